# frozen_string_literal: true

# Ruby's XMLRPC::Client: every type, the suite validator1, a fault, introspection and a batch.
#   ruby client.rb URL CA_FILE
#
# It sends no i8: an integer beyond 32 bits is an error, or an <i4> with ENABLE_BIGINT.

require 'uri'
require 'xmlrpc/client'

# The manual says to change these constants.
%i[ENABLE_NIL_CREATE ENABLE_NIL_PARSER ENABLE_BIGINT].each do |setting|
  XMLRPC::Config.send(:remove_const, setting)
  XMLRPC::Config.const_set(setting, true)
end

TEXT = " Zoë <b>&amp; \"it's\" ]]> €\u{1f600}\n\ttwo  "
BYTES = (0..255).to_a.pack('C*')
MOMENT = XMLRPC::DateTime.new(1998, 7, 17, 14, 8, 55)

url, ca = ARGV
address = URI(url)
CLIENT = XMLRPC::Client.new3(
  host: address.host, port: address.port, path: address.path, use_ssl: true
)
CLIENT.http.ca_file = ca
CLIENT.http.verify_mode = OpenSSL::SSL::VERIFY_PEER

# Sends texts unchanged; they come back as UTF-8.
def call(method, *params)
  CLIENT.call(method, *params)
end

def same(got, wanted, what)
  return if got == wanted && got.instance_of?(wanted.class)

  raise "#{what}: got #{got.inspect}, wanted #{wanted.inspect}"
end

def echoes(method, *values)
  values.each { |value| same(call("interopEchoTests.#{method}", value), value, method) }
end

def fault(code, text, method, *params)
  call(method, *params)
rescue XMLRPC::FaultException => e
  same(e.faultCode, code, method)
  got = e.faultString
  raise "#{method}: #{got.inspect} lacks #{text.inspect}" unless got.include?(text)
else
  raise "#{method}: no fault #{code}"
end

echoes('echoInteger', 0, -1, 2**31 - 1, -(2**31))
echoes('echoFloat', -2.5, 0.1, 1e300, 5e-324)
echoes('echoString', '', ' ', TEXT)
echoes('echoBoolean', true, false)
echoes('echoStringArray', [], ['a', '', TEXT])
echoes('echoFloatArray', [0.5, -0.25])
echoes('echoStruct', { 'varString' => TEXT, '<&>' => [{}], 'nil' => nil })
echoes('echoStructArray', [{ 'a' => [[]] }, {}])
echoes('echoValue', [nil, [true], MOMENT.to_a])
same(call('interopEchoTests.echoBase64', XMLRPC::Base64.new(BYTES)).b, BYTES, 'base64')
same(call('interopEchoTests.echoDate', MOMENT).to_a, MOMENT.to_a, 'a date')
same(call('interop.echoNil', nil), nil, 'nil')
same(call('interop.echoI8', 5), 5, 'a small i8')
same(call('interop.echoI8', 2**40), 2**40, 'a wide <i4>')

stooges = { 'moe' => 1, 'larry' => 2, 'curly' => 4 }
structs = [stooges, { 'moe' => 8 }, stooges]
same(call('validator1.arrayOfStructsTest', structs), 8, 'arrayOfStructsTest')
counts = {
  'ctLeftAngleBrackets' => 2,
  'ctRightAngleBrackets' => 1,
  'ctAmpersands' => 3,
  'ctApostrophes' => 1,
  'ctQuotes' => 4
}
same(call('validator1.countTheEntities', %q(<<>&&&'"""")), counts, 'countTheEntities')
same(call('validator1.easyStructTest', stooges), 7, 'easyStructTest')
same(call('validator1.echoStructTest', { 'a' => stooges }), { 'a' => stooges }, 'echoStructTest')
many = call('validator1.manyTypesTest', 1, true, TEXT, 0.5, MOMENT, XMLRPC::Base64.new(BYTES))
many = [*many[0..3], many[4].to_a, many[5].b]
same(many, [1, true, TEXT, 0.5, MOMENT.to_a, BYTES], 'manyTypesTest')
strings = Array.new(150) { |n| "#{n};" }
same(call('validator1.moderateSizeArrayCheck', strings), '0;149;', 'moderateSizeArrayCheck')
calendar = { '2000' => { '04' => { '01' => stooges } } }
same(call('validator1.nestedStructTest', calendar), 7, 'nestedStructTest')
times = { 'times10' => 30, 'times100' => 300, 'times1000' => 3000 }
same(call('validator1.simpleStructReturnTest', 3), times, 'simpleStructReturnTest')

fault(7, TEXT, 'interop.echoFault', 7, TEXT)
fault(-32_601, 'no.such.method', 'no.such.method')
fault(-32_602, 'wants int, got string', 'interopEchoTests.echoInteger', '1')

methods = call('system.listMethods')
raise 'listMethods lacks validator1' unless methods.include?('validator1.easyStructTest')

signatures = call('system.methodSignature', 'validator1.easyStructTest')
same(signatures, [%w[int struct]], 'methodSignature')
help = call('system.methodHelp', 'validator1.easyStructTest')
raise 'no help' unless help.include?('moe, larry and curly')

text, failure, numbers = CLIENT.multicall(['interopEchoTests.echoString', TEXT],
                                          ['interop.echoFault', 8, 'in a batch'],
                                          ['interopEchoTests.echoIntegerArray', [1, 2]])
same([text, numbers], [TEXT, [1, 2]], 'multicall')
same([failure.faultCode, failure.faultString], [8, 'in a batch'], 'a fault in a batch')
