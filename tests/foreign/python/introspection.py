"""Introspection and multicall of the bundled plugins, as a Python user does them."""

import xmlrpc.client

from .hotcall_testing import equal, fault, proxy

ARITHMETIC = [
    "absolute",
    "add",
    "divide",
    "mean",
    "modulo",
    "multiply",
    "negate",
    "power",
    "subtract",
    "sum",
]
TEXT = ["count", "lower", "reverse", "upper"]
SYSTEM = [
    "system.getCapabilities",
    "system.identity",
    "system.listMethods",
    "system.methodExist",
    "system.methodHelp",
    "system.methodSignature",
    "system.multicall",
]
TYPES = {
    "int",
    "i8",
    "double",
    "boolean",
    "string",
    "array",
    "struct",
    "nil",
    "any",
    "base64",
    "dateTime.iso8601",
}

with proxy() as p:
    methods = p.system.listMethods()
    equal(methods, sorted(ARITHMETIC + TEXT + SYSTEM))
    for method in methods:
        text = p.system.methodHelp(method)
        assert len(text) > 10, f"{method}: {text!r}"
        signatures = p.system.methodSignature(method)
        assert signatures, method
        assert all(signature and set(signature) <= TYPES for signature in signatures), signatures
    assert ["int", "int", "int"] in p.system.methodSignature("add"), p.system.methodSignature("add")
    equal(p.system.methodSignature("upper"), [["string", "string"]])
    fault(-32601, "nope", p.system.methodHelp, "nope")
    equal(p.system.getCapabilities()["xmlrpc"]["specVersion"], 1)
    equal([p.system.methodExist("add"), p.system.methodExist("nope")], [True, False])
    assert p.system.identity().startswith("Hotcall/")

    equal(p.upper("straße"), "STRASSE" if p.upper("ß") == "SS" else "STRAßE")
    equal(p.reverse("añb€"), "€bña")
    equal(p.count("a\U0001f600"), 2)
    equal(p.lower("ABC"), "abc")
    fault(-32602, "string", p.upper, 5)

    batch = xmlrpc.client.MultiCall(p)
    batch.add(2, 3)
    batch.divide(1, 0)
    batch.multiply(6, 7)
    batch.upper("x")
    results = batch()
    equal([results[0], results[2], results[3]], [5, 42, "X"])
    try:
        results[1]
    except xmlrpc.client.Fault as raised:
        equal(raised.faultCode, -32602)
    else:
        raise AssertionError("the failing entry did not fail")

    nested = p.system.multicall([{"methodName": "system.multicall", "params": [[]]},
                                 {"methodName": "add", "params": [1, 1]}])
    equal(nested[0]["faultCode"], -32600)
    equal(nested[1], [2])
