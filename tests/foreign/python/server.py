"""Python's SimpleXMLRPCServer over TLS, for Hotcall's client.

It has echoes, a fault, introspection and batches.

    python3 -m python.server CERTIFICATE KEY
"""

import ssl
import sys
import xmlrpc.client
from xmlrpc.server import SimpleXMLRPCServer


class Long(int):
    """An int that is answered as <i8>, which xmlrpc.client reads but does not write by itself."""


def dump_long(_marshaller, long, write):
    write(f"<value><i8>{int(long)}</i8></value>")


def echo(value):
    """Answers with the value that it is given."""
    return value


def fail(code, text):
    """Fails with this code and text."""
    raise xmlrpc.client.Fault(code, text)


xmlrpc.client.Marshaller.dispatch[Long] = dump_long
server = SimpleXMLRPCServer(
    ("127.0.0.1", 0), logRequests=False, allow_none=True, use_builtin_types=True
)
tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
tls.load_cert_chain(*sys.argv[1:3])
server.socket = tls.wrap_socket(server.socket, server_side=True)
server.register_introspection_functions()
server.register_multicall_functions()
server.register_function(echo)
server.register_function(lambda value: Long(value), "long")
server.register_function(fail)
print(f"listening https://127.0.0.1:{server.server_address[1]}/RPC2", flush=True)
server.serve_forever()
