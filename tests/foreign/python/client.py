"""Python's xmlrpc.client: the suites validator1 and interop, a fault, introspection and a batch."""

import datetime
import xmlrpc.client

from .hotcall_testing import equal, fault, proxy

TEXT = " Zoë <b>&amp; \"it's\" ]]> €\U0001f600\n\ttwo  "
BYTES = bytes(range(256))
MOMENT = datetime.datetime(1998, 7, 17, 14, 8, 55)


def every_type(p):
    echo = p.interopEchoTests
    for value in [0, 1, -1, 2**31 - 1, -(2**31)]:
        equal(echo.echoInteger(value), value)
    for value in [0.0, -2.5, 0.1, 1e300, 5e-324, 123456789.12345678]:
        equal(echo.echoFloat(value), value)
    for value in ["", " ", TEXT, "x" * 100_000]:
        equal(echo.echoString(value), value)
    equal([echo.echoBoolean(True), echo.echoBoolean(False)], [True, False])
    equal(echo.echoDate(MOMENT), MOMENT)
    # Echoed unchanged, these texts would not parse as a datetime.
    for text in ["19980717T14:08:55.5", "19980717T14:08:55Z", "1998-07-17T16:08:55.250+02:00"]:
        equal(echo.echoDate(xmlrpc.client.DateTime(text)), MOMENT)
    equal(echo.echoBase64(BYTES), BYTES)
    equal(echo.echoBase64(b""), b"")
    equal(echo.echoStringArray(["a", "", TEXT]), ["a", "", TEXT])
    equal(echo.echoIntegerArray([1, 2, 3]), [1, 2, 3])
    equal(echo.echoFloatArray([0.5, -0.25]), [0.5, -0.25])
    record = {"varString": TEXT, "varInt": 7, "varFloat": 0.5, "": [{}], "<&> ": None}
    equal(echo.echoStruct(record), record)
    equal(echo.echoStructArray([record, {}]), [record, {}])
    equal(echo.echoValue([[], {}, None, [record]]), [[], {}, None, [record]])
    equal(echo.echoVoid(), "")
    equal(type(echo.noInParams()), int)
    equal(echo.whichToolkit()["toolkitName"], "Hotcall")
    equal(p.interop.echoNil(None), None)
    equal(p.interop.echoI8(5), 5)  # comes back as <i8>
    types = ["int", "double", "string", "boolean", "nil", "dateTime.iso8601", "base64"]
    types += ["array", "struct"]
    equal(p.interop.typesOf([1, 0.5, "", True, None, MOMENT, BYTES, [], {}]), types)


def validator1(p):
    v = p.validator1
    stooges = {"moe": 1, "larry": 2, "curly": 4}
    equal(v.arrayOfStructsTest([stooges, {"moe": 8, "larry": 16}, stooges]), 8)
    counts = {
        "ctLeftAngleBrackets": 2,
        "ctRightAngleBrackets": 1,
        "ctAmpersands": 3,
        "ctApostrophes": 1,
        "ctQuotes": 4,
    }
    equal(v.countTheEntities("<<>&&&'\"\"\"\""), counts)
    equal(v.easyStructTest(stooges), 7)
    equal(v.echoStructTest({"a": stooges}), {"a": stooges})
    many = [1, True, TEXT, 0.5, MOMENT, BYTES]
    equal(v.manyTypesTest(*many), many)
    equal(v.moderateSizeArrayCheck([f"{n};" for n in range(150)]), "0;149;")
    equal(v.nestedStructTest({"1999": {}, "2000": {"03": {}, "04": {"01": stooges, "02": {}}}}), 7)
    equal(v.simpleStructReturnTest(3), {"times10": 30, "times100": 300, "times1000": 3000})

    fault(
        -32602,
        "(structs), item 2, member curly: wants int, got string",
        v.arrayOfStructsTest,
        [{}, {"curly": ""}],
    )
    fault(-32602, "member larry: wants int, got nothing", v.easyStructTest, {"moe": 1})
    fault(-32602, "wants struct, got array", v.echoStructTest, [])
    fault(-32602, "takes 6 parameters", v.manyTypesTest, 1)
    fault(-32602, "empty", v.moderateSizeArrayCheck, [])
    fault(
        -32602,
        "member 2000, member 04: wants struct, got nothing",
        v.nestedStructTest,
        {"2000": {}},
    )
    fault(-32602, "exceeds a 32-bit int", v.simpleStructReturnTest, 2**31 - 1)


with proxy(use_builtin_types=True) as p:
    every_type(p)
    validator1(p)
    p("transport").encode_threshold = 100  # requests in gzip from here on
    every_type(p)

    fault(7, TEXT, p.interop.echoFault, 7, TEXT)
    fault(-32601, "no.such.method", getattr(p, "no.such.method"))
    fault(-32602, "wants int, got string", p.interopEchoTests.echoInteger, "1")

    methods = p.system.listMethods()
    equal(methods, sorted(methods))
    for method in methods:
        assert p.system.methodHelp(method), f"{method} has no help"
        assert p.system.methodSignature(method) != "undef", f"{method} has no signature"
    equal(p.system.methodSignature("validator1.manyTypesTest"),
          [["array", "int", "boolean", "string", "double", "dateTime.iso8601", "base64"]])

    batch = xmlrpc.client.MultiCall(p)
    batch.interopEchoTests.echoString(TEXT)
    batch.interop.echoFault(8, "in a batch")
    batch.interopEchoTests.noInParams()
    results = batch()
    equal(results[0], TEXT)
    fault(8, "in a batch", lambda: results[1])
    equal(type(results[2]), int)
