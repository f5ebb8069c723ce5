<?php
// PHP's xmlrpc extension over PHP's HTTPS stream: every type, the suite validator1, a fault,
// introspection and a batch.
//   php client.php URL CA_FILE
//
// The extension has no i8: it sends 2**40 as <int>0</int> and reads an i8 as null. It writes null
// as <string/>, and doubles with six decimals.

[, $url, $ca] = $argv;
const UTF_8 = ['encoding' => 'utf-8', 'escaping' => ['markup']];
const TEXT = " Zoë <b>&amp; \"it's\" ]]> €\u{1f600}\n\ttwo  ";

function call(string $method, array $params, array $options = UTF_8): mixed
{
    global $url, $ca;
    $context = stream_context_create([
        'http' => [
            'method' => 'POST',
            'header' => 'Content-Type: text/xml',
            'ignore_errors' => true,
            'content' => xmlrpc_encode_request($method, $params, $options),
        ],
        'ssl' => ['cafile' => $ca, 'verify_peer' => true, 'verify_peer_name' => true],
    ]);
    $answer = file_get_contents($url, false, $context);
    if ($answer === false) {
        fail("$method: no answer");
    }
    return xmlrpc_decode($answer, 'utf-8');
}

function fail(string $why): never
{
    fwrite(STDERR, "$why\n");
    exit(1);
}

function same(mixed $got, mixed $wanted, string $what): void
{
    if ($got != $wanted || gettype($got) !== gettype($wanted)) {
        fail("$what: got " . var_export($got, true) . ', wanted ' . var_export($wanted, true));
    }
}

function fault(int $code, string $text, string $method, array $params): void
{
    $answer = call($method, $params);
    if (!is_array($answer) || !xmlrpc_is_fault($answer)) {
        fail("$method: no fault $code");
    }
    same($answer['faultCode'], $code, $method);
    if (!str_contains($answer['faultString'], $text)) {
        fail("$method: '{$answer['faultString']}' lacks '$text'");
    }
}

function echoes(string $method, mixed $value): void
{
    same(call("interopEchoTests.$method", [$value]), $value, $method);
}

/** Marks a string as a value of another type, as the extension does with dates and bytes. */
function typed(string $type, string $text): object
{
    xmlrpc_set_type($text, $type);
    return $text;
}

foreach ([0, -1, 2 ** 31 - 1, -(2 ** 31)] as $int) {
    echoes('echoInteger', $int);
}
foreach ([-2.5, 0.25, 1234.5] as $double) {
    echoes('echoFloat', $double);
}
foreach (['', ' ', TEXT] as $string) {
    echoes('echoString', $string);
}
echoes('echoBoolean', true);
echoes('echoBoolean', false);
echoes('echoStringArray', ['a', '', TEXT]);
echoes('echoIntegerArray', [1, 2]);
echoes('echoStruct', ['varString' => TEXT, 'varInt' => 7, 'varFloat' => 0.5]);
echoes('echoStructArray', [['a' => [[]]], ['<&>' => 'b']]);
$bytes = implode('', array_map('chr', range(0, 255)));
same(call('interopEchoTests.echoBase64', [typed('base64', $bytes)])->scalar, $bytes, 'base64');
$date = call('interopEchoTests.echoDate', [typed('datetime', '19980717T14:08:55')]);
same([$date->xmlrpc_type, $date->scalar], ['datetime', '19980717T14:08:55'], 'a date');
same(call('interop.typesOf', [[null]]), ['string'], 'null');
same(call('interopEchoTests.echoVoid', []), '', 'nothing');
// Without options the extension declares iso-8859-1 and writes each byte as a numeric reference.
same(call('interopEchoTests.echoString', ["Zo\xeb <&>"], []), 'Zoë <&>', 'Latin-1');

$stooges = ['moe' => 1, 'larry' => 2, 'curly' => 4];
$structs = [$stooges, ['moe' => 8], $stooges];
same(call('validator1.arrayOfStructsTest', [$structs]), 8, 'arrayOfStructsTest');
$counts = [
    'ctLeftAngleBrackets' => 2,
    'ctRightAngleBrackets' => 1,
    'ctAmpersands' => 3,
    'ctApostrophes' => 1,
    'ctQuotes' => 4,
];
same(call('validator1.countTheEntities', ['<<>&&&\'""""']), $counts, 'countTheEntities');
same(call('validator1.easyStructTest', [$stooges]), 7, 'easyStructTest');
same(call('validator1.echoStructTest', [['a' => $stooges]]), ['a' => $stooges], 'echoStructTest');
$date = '19980717T14:08:55';
$many = [1, true, TEXT, 0.5, typed('datetime', $date), typed('base64', $bytes)];
$many = call('validator1.manyTypesTest', $many);
$got = [$many[0], $many[1], $many[2], $many[3], $many[4]->scalar, $many[5]->scalar];
same($got, [1, true, TEXT, 0.5, $date, $bytes], 'manyTypesTest');
$strings = array_map(fn ($n) => "$n;", range(0, 149));
same(call('validator1.moderateSizeArrayCheck', [$strings]), '0;149;', 'moderateSizeArrayCheck');
// The extension sends an array as an XML-RPC array if its keys are consecutive numbers, whatever
// the first one is. The key 1990 makes this one a struct.
$calendar = ['1990' => [], '2000' => ['04' => ['01' => $stooges]]];
same(call('validator1.nestedStructTest', [$calendar]), 7, 'nestedStructTest');
$times = ['times10' => 30, 'times100' => 300, 'times1000' => 3000];
same(call('validator1.simpleStructReturnTest', [3]), $times, 'simpleStructReturnTest');

fault(7, TEXT, 'interop.echoFault', [7, TEXT]);
fault(-32601, 'no.such.method', 'no.such.method', []);
fault(-32602, 'wants int, got string', 'interopEchoTests.echoInteger', ['1']);

if (!in_array('validator1.easyStructTest', call('system.listMethods', []), true)) {
    fail('system.listMethods lacks validator1');
}
$signatures = call('system.methodSignature', ['validator1.easyStructTest']);
same($signatures, [['int', 'struct']], 'methodSignature');
$help = call('system.methodHelp', ['validator1.easyStructTest']);
if (!str_contains($help, 'moe, larry and curly')) {
    fail('no help');
}

$batch = call('system.multicall', [[
    ['methodName' => 'interopEchoTests.echoString', 'params' => [TEXT]],
    ['methodName' => 'interop.echoFault', 'params' => [8, 'in a batch']],
    ['methodName' => 'interopEchoTests.echoIntegerArray', 'params' => [[1, 2]]],
]]);
same($batch, [[TEXT], ['faultCode' => 8, 'faultString' => 'in a batch'], [[1, 2]]], 'multicall');
