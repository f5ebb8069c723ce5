"""Requests that are larger than the server takes. xmlrpc.client sends all of a body before it looks for an answer."""

import ssl
import sys
import xmlrpc.client

url, ca = sys.argv[1], sys.argv[2]
options = {"context": ssl.create_default_context(cafile=ca)} if url.startswith("https") else {}
with xmlrpc.client.ServerProxy(url, **options) as p:
    for bytes in [17 << 20, 40 << 20]:
        try:
            p.add("x" * bytes, 1)
        except xmlrpc.client.ProtocolError as error:
            assert error.errcode == 413, error
        else:
            raise AssertionError(f"{bytes} bytes were taken")
    assert p.add(2, 3) == 5
