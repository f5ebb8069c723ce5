"""Helpers of the programs in this package: an HTTPS proxy that trusts the server's certificate."""

import ssl
import sys
import xmlrpc.client


def proxy(**options):
    url, ca = sys.argv[1], sys.argv[2]
    options.setdefault("allow_none", True)
    return xmlrpc.client.ServerProxy(url, context=ssl.create_default_context(cafile=ca), **options)


def equal(got, wanted):
    assert got == wanted and type(got) is type(wanted), f"got {got!r}, wanted {wanted!r}"


def fault(code, text, call, *params):
    """Asserts that the call fails with this code and that its message contains the text."""
    try:
        result = call(*params)
    except xmlrpc.client.Fault as raised:
        got = raised.faultCode
        assert got == code, f"code {got}, wanted {code}: {raised.faultString}"
        assert text in raised.faultString, f"{raised.faultString!r} lacks {text!r}"
    else:
        raise AssertionError(f"no fault {code}, but {result!r}")
