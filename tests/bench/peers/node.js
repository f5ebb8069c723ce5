// npm's xmlrpc, as a peer of the bench `speed`. It has no system.multicall.
//   NODE_PATH=... node node.js CERTIFICATE KEY
'use strict'

const fs = require('node:fs')
const xmlrpc = require('xmlrpc')

const [cert, key] = process.argv.slice(2).map(file => fs.readFileSync(file))

const server = xmlrpc.createSecureServer({ host: '127.0.0.1', port: 0, cert, key }, () => {
  console.log(`listening https://127.0.0.1:${server.httpServer.address().port}/RPC2`)
})

server.on('add', (_, [a, b], answer) => answer(null, a + b))
server.on('sum', (_, [numbers], answer) => {
  answer(null, numbers.reduce((sum, number) => sum + number, 0))
})
// n + 0.5, because the encoder writes whole numbers as ints.
server.on('structs', (_, __, answer) => {
  const struct = (_, n) => ({ id: n, name: `name ${n}`, value: n + 0.5 })
  answer(null, Array.from({ length: 10000 }, struct))
})
server.on('echo', (_, [data], answer) => answer(null, data))
// Sleeping would stop the whole process; programs for Node wait with timers.
server.on('block10ms', (_, __, answer) => setTimeout(() => answer(null, true), 10))
