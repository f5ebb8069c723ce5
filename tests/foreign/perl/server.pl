# Perl's RPC::XML::Server, for Hotcall's client: echoes, a fault, introspection and batches. It
# serves one connection at a time.
#   perl server.pl
use strict;
use warnings;
use RPC::XML;
use RPC::XML::Server;

$RPC::XML::ENCODING  = 'utf-8';
$RPC::XML::ALLOW_NIL = 1;

my $server = RPC::XML::Server->new(host => '127.0.0.1');
ref $server or die "$server\n";

# Perl's values lose their XML-RPC types, so each type has a method that returns it.
my %types = (
    'string'   => ['string',           sub { RPC::XML::string->new($_[1]) }],
    'int'      => ['int',              sub { RPC::XML::int->new($_[1]) }],
    'i8'       => ['i8',               sub { RPC::XML::i8->new($_[1]) }],
    'double'   => ['double',           sub { RPC::XML::double->new($_[1]) }],
    'boolean'  => ['boolean',          sub { RPC::XML::boolean->new($_[1]) }],
    'dateTime' => ['dateTime.iso8601', sub { RPC::XML::datetime_iso8601->new($_[1]) }],
    'base64'   => ['base64',           sub { RPC::XML::base64->new($_[1]) }],
    'array'    => ['array',            sub { $_[1] }],
    'struct'   => ['struct',           sub { $_[1] }],
    'nil'      => ['nil',              sub { RPC::XML::nil->new }],
);
for my $type (keys %types) {
    my ($name, $code) = @{ $types{$type} };
    add("echo.$type", "$name $name", "Answers with its $type.", $code);
}
my $fail = sub { RPC::XML::fault->new($_[1], $_[2]) };
add('fail', 'int int string', 'Fails with this code and text.', $fail);

sub add {
    my ($name, $signature, $help, $code) = @_;
    my %method = (name => $name, signature => [$signature], help => $help, code => $code);
    my $added = $server->add_method(\%method);
    ref $added or die "$added\n";
}

$| = 1;
printf "listening http://127.0.0.1:%d/RPC2\n", $server->port;
$server->server_loop;
