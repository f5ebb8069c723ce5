// npm's xmlrpc: every type, the suite validator1, a fault, introspection and a batch.
//   NODE_PATH=... node client.js URL CA_FILE
//
// It writes 2**40 as <int>1099511627776</int>, small numbers as <double>3e-7</double>, texts with
// markup as CDATA and undefined as <value/>. It reads an i8 as a string.
'use strict'

const assert = require('node:assert').strict
const fs = require('node:fs')
const xmlrpc = require('xmlrpc')

const TEXT = ' Zoë <b>&amp; "it\'s" ]]> €\u{1f600}\n\ttwo  '
const BYTES = Buffer.from(Array.from({ length: 256 }, (_, n) => n))
const MOMENT = new Date(1998, 6, 17, 14, 8, 55)

const [url, ca] = process.argv.slice(2)
const { hostname, port, pathname } = new URL(url)
const client = xmlrpc.createSecureClient({
  host: hostname, port, path: pathname, ca: fs.readFileSync(ca)
})

function call (method, ...params) {
  return new Promise((resolve, reject) => {
    client.methodCall(method, params, (error, result) => error ? reject(error) : resolve(result))
  })
}

async function echoes (method, ...values) {
  for (const value of values) {
    assert.deepEqual(await call(`interopEchoTests.${method}`, value), value, method)
  }
}

async function fault (code, text, method, ...params) {
  const isRight = error => {
    assert.equal(error.code, code, `${method}: ${error}`)
    assert(error.faultString.includes(text), error.faultString)
    return true
  }
  await assert.rejects(call(method, ...params), isRight, `${method}: no fault ${code}`)
}

async function everyType () {
  await echoes('echoInteger', 0, -1, 2 ** 31 - 1, -(2 ** 31))
  await echoes('echoFloat', -2.5, 0.1, 3e-7, 5e-324, 1 / 3)
  await echoes('echoString', '', ' ', TEXT, 'a]]>b')
  await echoes('echoBoolean', true, false)
  await echoes('echoDate', MOMENT)
  await echoes('echoBase64', BYTES)
  await echoes('echoStringArray', [], ['a', '', TEXT])
  await echoes('echoIntegerArray', [1, 2, 3])
  await echoes('echoStruct', { varString: TEXT, varInt: 7, varFloat: 0.5, '<&>': null })
  await echoes('echoStructArray', [{ a: [[]] }, {}])
  await echoes('echoValue', null, [null, [{}]])
  assert.equal(await call('interop.echoNil', null), null)
  assert.equal(await call('interop.echoI8', 2 ** 40), String(2 ** 40))
  assert.deepEqual(
    await call('interop.typesOf', [1, 1e10, 0.5, '', undefined, null, MOMENT, BYTES]),
    ['int', 'i8', 'double', 'string', 'string', 'nil', 'dateTime.iso8601', 'base64']
  )
}

async function validator1 () {
  const stooges = { moe: 1, larry: 2, curly: 4 }
  const check = async (method, params, wanted) => {
    assert.deepEqual(await call(`validator1.${method}`, ...params), wanted, method)
  }
  await check('arrayOfStructsTest', [[stooges, { moe: 8 }, stooges]], 8)
  const counts = {
    ctLeftAngleBrackets: 2, ctRightAngleBrackets: 1, ctAmpersands: 3, ctApostrophes: 1, ctQuotes: 4
  }
  await check('countTheEntities', ['<<>&&&\'""""'], counts)
  await check('easyStructTest', [stooges], 7)
  await check('echoStructTest', [{ a: stooges }], { a: stooges })
  const many = [1, true, TEXT, 0.5, MOMENT, BYTES]
  await check('manyTypesTest', many, many)
  await check('moderateSizeArrayCheck', [Array.from({ length: 150 }, (_, n) => `${n};`)], '0;149;')
  await check('nestedStructTest', [{ 2000: { '04': { '01': stooges } } }], 7)
  await check('simpleStructReturnTest', [3], { times10: 30, times100: 300, times1000: 3000 })
}

async function main () {
  await everyType()
  await validator1()

  await fault(7, TEXT, 'interop.echoFault', 7, TEXT)
  await fault(-32601, 'no.such.method', 'no.such.method')
  await fault(-32602, 'wants int, got string', 'interopEchoTests.echoInteger', '1')

  assert((await call('system.listMethods')).includes('validator1.easyStructTest'))
  const signatures = await call('system.methodSignature', 'validator1.easyStructTest')
  assert.deepEqual(signatures, [['int', 'struct']])
  assert.match(await call('system.methodHelp', 'validator1.easyStructTest'), /moe, larry and curly/)

  assert.deepEqual(await call('system.multicall', [
    { methodName: 'interopEchoTests.echoString', params: [TEXT] },
    { methodName: 'interop.echoFault', params: [8, 'in a batch'] },
    { methodName: 'interopEchoTests.echoIntegerArray', params: [[1, 2]] }
  ]), [[TEXT], { faultCode: 8, faultString: 'in a batch' }, [[1, 2]]])
}

main().catch(error => {
  console.error(error)
  process.exit(1)
})
