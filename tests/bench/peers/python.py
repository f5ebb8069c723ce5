"""A peer of the bench `speed`: Python's SimpleXMLRPCServer with ThreadingMixIn, its decoder, or
its client.

    python3 python.py plain
    python3 python.py tls CERTIFICATE KEY
    python3 python.py decode DOCUMENT MILLISECONDS
    python3 python.py client URL CA 1 MILLISECONDS
"""

import pathlib
import ssl
import sys
import time
import xmlrpc.client
from socketserver import ThreadingMixIn
from xmlrpc.server import SimpleXMLRPCRequestHandler, SimpleXMLRPCServer


class Handler(SimpleXMLRPCRequestHandler):
    # The default, 1.0, closes the connection after each response.
    protocol_version = "HTTP/1.1"
    rpc_paths = ("/RPC2",)


class Server(ThreadingMixIn, SimpleXMLRPCServer):
    daemon_threads = True
    # With the default of 5, clients that connect at once wait a second before they retry.
    request_queue_size = 1024

    # Ignores clients that go away. The default prints each while the next server is measured.
    def handle_error(self, request, client_address):
        pass


def structs():
    return [{"id": n, "name": f"name {n}", "value": n + 0.5} for n in range(10_000)]


def block10ms():
    time.sleep(0.01)
    return True


def serve(is_tls, files):
    server = Server(("127.0.0.1", 0), Handler, logRequests=False, use_builtin_types=True)
    if is_tls:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(*files)
        # Otherwise the accepting thread would do the handshakes, one client after the other.
        server.socket = tls.wrap_socket(
            server.socket, server_side=True, do_handshake_on_connect=False
        )
    server.register_multicall_functions()
    server.register_function(lambda a, b: a + b, "add")
    server.register_function(sum)
    server.register_function(structs)
    server.register_function(lambda data: data, "echo")
    server.register_function(block10ms)
    scheme = "https" if is_tls else "http"
    print(f"listening {scheme}://127.0.0.1:{server.server_address[1]}/RPC2", flush=True)
    server.serve_forever()


def decode(file, milliseconds):
    """Decodes the file for so many milliseconds and prints the nanoseconds that one pass takes."""
    document = pathlib.Path(file).read_text()
    began, count = time.perf_counter_ns(), 0
    while time.perf_counter_ns() - began < int(milliseconds) * 1_000_000:
        xmlrpc.client.loads(document)
        count += 1
    print((time.perf_counter_ns() - began) // count)


def call_until(proxy, end):
    calls = 0
    while time.perf_counter() < end:
        if proxy.add(2, 3) != 5:
            sys.exit("2 + 3 is not 5")
        calls += 1
    return calls


def client(url, ca, milliseconds):
    """Prints how many calls a client makes per second, after a quarter of the time."""
    seconds = int(milliseconds) / 1_000
    tls = ssl.create_default_context(cafile=ca) if url.startswith("https:") else None
    proxy = xmlrpc.client.ServerProxy(url, context=tls)
    call_until(proxy, time.perf_counter() + seconds / 4)
    began = time.perf_counter()
    calls = call_until(proxy, began + seconds)
    print(calls / (time.perf_counter() - began))


match sys.argv[1:]:
    case ["plain"]:
        serve(False, [])
    case ["tls", *files]:
        serve(True, files)
    case ["decode", file, milliseconds]:
        decode(file, milliseconds)
    case ["client", url, ca, "1", milliseconds]:
        client(url, ca, milliseconds)
    case _:
        sys.exit(__doc__)
