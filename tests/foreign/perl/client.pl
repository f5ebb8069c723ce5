# Perl's RPC::XML::Client: every type, the suite validator1, a fault, introspection and a batch.
#   perl client.pl URL CA_FILE
use strict;
use warnings;
use utf8;
use RPC::XML;
use RPC::XML::Client;

$RPC::XML::ALLOW_NIL = 1;
binmode STDERR, ':encoding(UTF-8)';

my ($url, $ca) = @ARGV;
my %tls = (SSL_ca_file => $ca, verify_hostname => 1);
my $client = RPC::XML::Client->new($url, useragent => [ssl_opts => \%tls]);

my $TEXT  = " Zoë <b>&amp; \"it's\" ]]> €\x{1f600}\n\ttwo  ";
my $BYTES = pack 'C*', 0 .. 255;
my $DATE  = '19980717T14:08:55';

# Returns the response as an object: a type and a value, or a fault.
sub answer {
    my ($method, @params) = @_;
    my $answer = $client->send_request($method, @params);
    ref $answer or die "$method: $answer\n";
    return $answer;
}

sub result {
    my ($method, @params) = @_;
    my $answer = answer($method, @params);
    die "$method: fault ", $answer->code, ': ', $answer->string, "\n" if $answer->is_fault;
    return $answer->value;
}

# Turns a nested value into text, to compare it. Perl's scalars have no types.
sub text {
    my ($value) = @_;
    return 'undef' if !defined $value;
    return '[' . join(', ', map { text($_) } @$value) . ']' if ref $value eq 'ARRAY';
    return "'$value'" if ref $value ne 'HASH';
    return '{' . join(', ', map { "$_: " . text($value->{$_}) } sort keys %$value) . '}';
}

sub same {
    my ($got, $wanted, $what) = @_;
    die "$what: got ", text($got), ', wanted ', text($wanted), "\n" if text($got) ne text($wanted);
}

sub fault {
    my ($code, $string, $method, @params) = @_;
    my $answer = answer($method, @params);
    die "$method: no fault $code\n" if !$answer->is_fault;
    my $found = $answer->string =~ /\Q$string\E/ ? $string : $answer->string;
    same([$answer->code, $found], [$code, $string], $method);
}

sub echo {
    my ($method, $type, $value) = @_;
    my $answer = answer($method, $value);
    same([$answer->type, $answer->value], [$type, $value->value], $method);
}

echo('interopEchoTests.echoInteger', 'int', RPC::XML::int->new($_)) for 0, -1, 2**31 - 1, -(2**31);
echo('interopEchoTests.echoInteger', 'int', RPC::XML::i4->new(4));
echo('interop.echoI8', 'i8', RPC::XML::i8->new($_)) for 5, 2**40, '-9223372036854775808';
echo('interopEchoTests.echoFloat', 'double', RPC::XML::double->new($_)) for -2.5, 0.1, 1234.5678;
echo('interopEchoTests.echoString', 'string', RPC::XML::string->new($_)) for '', ' ', $TEXT;
echo('interopEchoTests.echoBoolean', 'boolean', RPC::XML::boolean->new($_)) for 0, 1;
echo('interopEchoTests.echoBase64', 'base64', RPC::XML::base64->new($BYTES));
my $structs = RPC::XML::array->new({ name => $TEXT, '<&>' => [1] }, {});
echo('interopEchoTests.echoStructArray', 'array', $structs);
echo('interopEchoTests.echoValue', 'array', RPC::XML::array->new([], {}, [['a']]));
my $date = RPC::XML::datetime_iso8601->new($DATE);
same(answer('interopEchoTests.echoDate', $date)->type, 'dateTime.iso8601', 'a date');
same(result('interopEchoTests.echoDate', $date), $DATE, 'a date');
echo('interop.echoNil', 'nil', RPC::XML::nil->new);

my %stooges = (moe => 1, larry => 2, curly => 4);
my @structs = (\%stooges, { moe => 8, larry => 16 }, \%stooges);
same(result('validator1.arrayOfStructsTest', \@structs), 8, 'arrayOfStructs');
my @characters =
    map { "ct$_" } qw(LeftAngleBrackets RightAngleBrackets Ampersands Apostrophes Quotes);
my %counts;
@counts{@characters} = (2, 1, 3, 1, 4);
same(result('validator1.countTheEntities', q{<<>&&&'""""}), \%counts, 'countTheEntities');
same(result('validator1.easyStructTest', \%stooges), 7, 'easyStruct');
same(result('validator1.echoStructTest', { a => \%stooges }), { a => \%stooges }, 'echoStruct');
my @types = (
    RPC::XML::int->new(1),
    RPC::XML::boolean->new(1),
    RPC::XML::string->new($TEXT),
    RPC::XML::double->new(0.5),
    RPC::XML::datetime_iso8601->new($DATE),
    RPC::XML::base64->new($BYTES),
);
same(result('validator1.manyTypesTest', @types), [1, 1, $TEXT, 0.5, $DATE, $BYTES], 'manyTypes');
my @strings = map { "$_;" } 0 .. 149;
same(result('validator1.moderateSizeArrayCheck', \@strings), '0;149;', 'moderateSizeArray');
my $calendar = { 1999 => {}, 2000 => { '03' => {}, '04' => { '01' => \%stooges, '02' => {} } } };
same(result('validator1.nestedStructTest', $calendar), 7, 'nestedStruct');
my %times = (times10 => 30, times100 => 300, times1000 => 3000);
same(result('validator1.simpleStructReturnTest', 3), \%times, 'simpleStructReturn');

fault(7, $TEXT, 'interop.echoFault', 7, $TEXT);
fault(-32601, 'no.such.method', 'no.such.method');
fault(-32602, 'wants int, got string', 'interopEchoTests.echoInteger', RPC::XML::string->new('1'));

my $methods = result('system.listMethods');
my $method = 'validator1.easyStructTest';
die "system.listMethods lacks validator1\n" if !grep { $_ eq $method } @$methods;
same(result('system.methodSignature', $method), [['int', 'struct']], 'methodSignature');
die "no help\n" if result('system.methodHelp', $method) !~ /moe, larry and curly/;

my @calls = (
    { methodName => 'interopEchoTests.echoString', params => [$TEXT] },
    { methodName => 'interop.echoFault', params => [8, 'in a batch'] },
    { methodName => 'interopEchoTests.echoIntegerArray', params => [[1, 2]] },
);
my $batch = result('system.multicall', \@calls);
same($batch, [[$TEXT], { faultCode => 8, faultString => 'in a batch' }, [[1, 2]]], 'multicall');

# Requests in the zlib format, which HTTP calls deflate.
$client->compress_requests(1);
$client->compress_thresh(100);
same(result('interopEchoTests.echoString', $TEXT x 1000), $TEXT x 1000, 'compressed');
