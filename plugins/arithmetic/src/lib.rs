//! The bundled arithmetic plugin.
//!
//! Every method takes ints, 64-bit ints (i8) and doubles. The widest operand decides: two ints give
//! an int, an i8 gives an i8, a double gives a double. A result that its type cannot hold is a
//! fault, never a wrong number. The rules of each operation stand in the module `number`; this file
//! says what clients see.
#![forbid(unsafe_code)]

mod number;

use hotcall_plugin::{Fault, method, plugin};
use number::{Number, Numbers};

/// Adds two numbers.
///
/// Two ints give an int. If either is an i8 the sum is an i8; if either is a double the sum is a
/// double.
#[method(idempotent, quick, signatures("int(int, int)", "i8(i8, i8)", "double(double, double)"))]
fn add(a: Number, b: Number) -> Result<Number, Fault> {
    a.add(b)
}

/// Subtracts the second number from the first.
///
/// Two ints give an int. If either is an i8 the result is an i8; if either is a double it is a
/// double.
#[method(idempotent, quick, signatures("int(int, int)", "i8(i8, i8)", "double(double, double)"))]
fn subtract(a: Number, b: Number) -> Result<Number, Fault> {
    a.subtract(b)
}

/// Multiplies two numbers.
///
/// Two ints give an int. If either is an i8 the product is an i8; if either is a double it is a
/// double.
#[method(idempotent, quick, signatures("int(int, int)", "i8(i8, i8)", "double(double, double)"))]
fn multiply(a: Number, b: Number) -> Result<Number, Fault> {
    a.multiply(b)
}

/// Divides the first number by the second. The result is always a double: 7 / 2 is 3.5.
#[method(
    idempotent,
    quick,
    signatures("double(int, int)", "double(i8, i8)", "double(double, double)")
)]
fn divide(a: Number, b: Number) -> Result<f64, Fault> {
    a.divide(b)
}

/// The remainder of a division, with the sign of the divisor: -7 modulo 3 is 2.
#[method(idempotent, quick, signatures("int(int, int)", "i8(i8, i8)", "double(double, double)"))]
fn modulo(a: Number, b: Number) -> Result<Number, Fault> {
    a.modulo(b)
}

/// Raises the base to the exponent.
///
/// Ints with an exponent of 0 or more stay ints; a negative exponent or a double gives a double.
#[method(
    idempotent,
    quick,
    signatures(
        "int(int, int)",
        "i8(i8, i8)",
        "double(int, int)",
        "double(i8, i8)",
        "double(double, double)"
    )
)]
fn power(base: Number, exponent: Number) -> Result<Number, Fault> {
    base.power(exponent)
}

/// The number with the other sign.
#[method(idempotent, quick, signatures("int(int)", "i8(i8)", "double(double)"))]
fn negate(a: Number) -> Result<Number, Fault> {
    a.negate()
}

/// The number without its sign.
#[method(idempotent, quick, signatures("int(int)", "i8(i8)", "double(double)"))]
fn absolute(a: Number) -> Result<Number, Fault> {
    a.absolute()
}

/// The sum of an array of numbers; 0 when it is empty. The widest number decides the sum's type.
#[method(idempotent, signatures("int(array)", "i8(array)", "double(array)"))]
fn sum(numbers: Numbers<'_>) -> Result<Number, Fault> {
    number::sum(numbers.iter())
}

/// The arithmetic mean of an array of numbers, as a double. An empty array has none.
#[method(idempotent)]
fn mean(numbers: Numbers<'_>) -> Result<f64, Fault> {
    number::mean(numbers.iter())
}

plugin! {
    name: "arithmetic",
    methods: [add, subtract, multiply, divide, modulo, power, negate, absolute, sum, mean],
}
