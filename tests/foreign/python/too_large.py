"""Python's xmlrpc.client gets a 413 for an oversized request.

It writes the whole request before it reads the response.
"""

import xmlrpc.client

from .hotcall_testing import equal, proxy

MB = 10**6

for size in [17 * MB, 40 * MB]:
    with proxy() as p:
        try:
            result = p.add("x" * size)
        except xmlrpc.client.ProtocolError as raised:
            equal(raised.errcode, 413)
        else:
            raise AssertionError(f"{size} bytes were taken: {result!r}")
