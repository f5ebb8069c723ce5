"""What the scripts beside this one share: a proxy over HTTPS that trusts the server's own certificate."""

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
    """Asserts that the call fails with that code, and a message that holds the text."""
    try:
        result = call(*params)
    except xmlrpc.client.Fault as raised:
        assert raised.faultCode == code, f"code {raised.faultCode}, wanted {code}: {raised.faultString}"
        assert text in raised.faultString, f"{raised.faultString!r} lacks {text!r}"
    else:
        raise AssertionError(f"no fault {code}, but {result!r}")
