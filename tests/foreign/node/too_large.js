// npm's xmlrpc sends an oversized request and gets a 413.
//   NODE_PATH=... node too_large.js URL CA_FILE
//
// It parses the response as XML whatever the status is, and adds status and body to the parser's
// error.
'use strict'

const assert = require('node:assert').strict
const fs = require('node:fs')
const xmlrpc = require('xmlrpc')

const MB = 1e6

const [url, ca] = process.argv.slice(2)
const { protocol, hostname, port, pathname } = new URL(url)
const options = { host: hostname, port, path: pathname }
const client = protocol === 'https:'
  ? xmlrpc.createSecureClient({ ...options, ca: fs.readFileSync(ca) })
  : xmlrpc.createClient(options)

function call (method, ...params) {
  return new Promise((resolve, reject) => {
    client.methodCall(method, params, (error, result) => error ? reject(error) : resolve(result))
  })
}

async function main () {
  for (const size of [17 * MB, 40 * MB]) {
    const error = await call('add', 'x'.repeat(size)).then(
      () => assert.fail(`${size} bytes were taken`),
      error => error
    )
    assert.equal(error.res?.statusCode, 413, `${size} bytes: ${error}`)
    assert.match(error.body, /too large/)
  }
}

main().catch(error => {
  console.error(error)
  process.exit(1)
})
