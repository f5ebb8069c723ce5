"""Every method of the bundled arithmetic plugin, as a Python user calls it."""

from .hotcall_testing import equal, fault, proxy

INVALID_PARAMS = -32602

with proxy() as p:
    equal(p.add(2, 3), 5)
    equal(p.add(2.5, 3), 5.5)
    equal(p.subtract(2, 3), -1)
    equal(p.subtract(0.5, 0.25), 0.25)
    equal(p.multiply(6, 7), 42)
    equal(p.divide(7, 2), 3.5)
    equal(p.divide(6, 3), 2.0)
    equal(p.modulo(-7, 3), 2)
    equal(p.modulo(7.5, 2), 1.5)
    equal(p.power(2, 10), 1024)
    equal(p.power(2, -1), 0.5)
    equal(p.negate(5), -5)
    equal(p.absolute(-5), 5)
    equal(p.absolute(-2.5), 2.5)
    equal(p.sum([1, 2, 3]), 6)
    equal(p.sum([1, 2.5]), 3.5)
    equal(p.sum([]), 0)
    equal(p.mean([1, 2]), 1.5)

    fault(INVALID_PARAMS, "exceeds a 32-bit int", p.add, 2**31 - 1, 1)
    fault(INVALID_PARAMS, "zero", p.divide, 1, 0)
    fault(INVALID_PARAMS, "zero", p.modulo, 1, 0)
    fault(INVALID_PARAMS, "parameter 2", p.add, 1, "x")
    fault(INVALID_PARAMS, "takes 2 parameters", p.add, 1)
    fault(INVALID_PARAMS, "", p.mean, [])
