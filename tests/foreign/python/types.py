"""Every type there and back, through the echo plugin."""

import datetime
import xmlrpc.client

from .hotcall_testing import equal, fault, proxy


class Long:
    """An int that is sent as <i8>, which xmlrpc.client reads but never writes."""

    def __init__(self, value):
        self.value = value


def dump_long(_marshaller, long, write):
    write(f"<value><i8>{long.value}</i8></value>")


xmlrpc.client.Marshaller.dispatch[Long] = dump_long

with proxy() as p:
    for value in [
        None, True, False, 0, -1, 2**31 - 1, -(2**31), 0.0, -2.5, 1e300, 5e-324, 0.1,
        "", " ", "  two  ", "a<b>&c]]>\"'", "line\nline", "tab\t", "\u00e9\u20ac\U0001f600",
        [], [[]], [1, "two", None, [3.0]], {}, {"a": {"b": [{}]}}, {"": 1, " x ": 2, "<&>": 3},
    ]:
        equal(p.echo(value), value)
    # xmlrpc.client writes a bare CR, which XML readers turn into LF.
    equal(p.echo("return\r\n"), "return\n")

    equal(p.echo(xmlrpc.client.Binary(bytes(range(256)))).data, bytes(range(256)))
    equal(p.echo(xmlrpc.client.Binary(b"")).data, b"")
    equal(p.echo(Long(2**40)), 2**40)
    equal(p.echo(Long(-(2**63))), -(2**63))
    moment = datetime.datetime(2026, 1, 31, 12, 30, 59)
    equal(p.echo(moment), xmlrpc.client.DateTime(moment))
    values = [1, Long(1), 1.0, "", True, None, moment, xmlrpc.client.Binary(b""), [], {}]
    types = ["int", "i8", "double", "string", "boolean", "nil", "dateTime.iso8601", "base64"]
    types += ["array", "struct"]
    equal(getattr(p, "echo.types")(values), types)
    equal(list(p.echo({"z": 1, "a": 2, "m": 3})), ["z", "a", "m"])

    equal(p.echo("x" * 1_000_000), "x" * 1_000_000)
    equal(p.echo(list(range(10_000))), list(range(10_000)))

    fault(7, "told to", getattr(p, "echo.fail"), 7, "told to")
    fault(-32500, "no code", getattr(p, "echo.error"), "no code")
    fault(-32003, "panicked", getattr(p, "echo.panic"), "secret details")
    try:
        getattr(p, "echo.panic")("secret details")
    except xmlrpc.client.Fault as raised:
        assert "secret" not in raised.faultString, raised.faultString
    fault(-32601, "no.such.method", getattr(p, "no.such.method"))
    fault(-32602, "takes 1 parameter", p.echo)
    equal(p.echo("still here"), "still here")

with proxy(use_builtin_types=True) as p:
    equal(p.echo(b"\x00\xff"), b"\x00\xff")
    equal(p.echo(moment), moment)
