//! One number of a client, and the arithmetic of three types: int, i8 and double.
//!
//! Must not know of methods. Every operation answers in the widest type of its operands, or with a
//! fault that says what was computed and why there is no answer.

use hotcall_plugin::{
    Arena, Built, Fault, FromValue, IntoValue, Mismatch, Tree, Type, View, tree::Items,
};
use std::fmt;

#[cfg(test)]
mod tests;

/// A number as the client wrote it. XML-RPC has no infinity and no NaN, so a double is finite.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Number {
    Int(i32),
    Long(i64),
    Double(f64),
}

/// Two operands in their common type.
enum Pair {
    Int(i32, i32),
    Long(i64, i64),
    Double(f64, f64),
}

impl FromValue<'_> for Number {
    const TYPE: Type = Type::Any;

    fn from_value(value: Tree<'_>) -> Result<Self, Mismatch> {
        match value.view()? {
            View::Int(int) => Ok(Self::Int(int)),
            View::Long(long) => Ok(Self::Long(long)),
            View::Double(double) if double.is_finite() => Ok(Self::Double(double)),
            View::Double(double) => {
                Err(Mismatch::because(format!("wants a finite double, got {double}")))
            }
            other => Err(Mismatch::new("int, i8 or double", &other)),
        }
    }
}

/// An array of numbers where the client's request left them: a copy of a million would take as much
/// memory as their document.
#[derive(Clone, Copy)]
pub(crate) struct Numbers<'a>(Items<'a>);

impl<'a> FromValue<'a> for Numbers<'a> {
    const TYPE: Type = Type::Array;

    fn from_value(value: Tree<'a>) -> Result<Self, Mismatch> {
        let items = match value.view()? {
            View::Array(items) => items,
            other => return Err(Mismatch::new(Self::TYPE.name(), &other)),
        };
        for (index, item) in items.iter().enumerate() {
            Number::from_value(item).map_err(|mismatch| mismatch.in_item(index))?;
        }
        Ok(Self(items))
    }
}

impl<'a> Numbers<'a> {
    pub(crate) fn iter(self) -> impl ExactSizeIterator<Item = Number> + Clone + use<'a> {
        // All of them were read once.
        self.0.iter().map(|item| Number::from_value(item).unwrap_or(Number::Int(0)))
    }
}

impl IntoValue for Number {
    const TYPE: Type = Type::Any;

    fn into_value<'c>(self, arena: Arena<'c>) -> Result<Built<'c>, Fault> {
        match self {
            Self::Int(int) => int.into_value(arena),
            Self::Long(long) => long.into_value(arena),
            Self::Double(double) => double.into_value(arena),
        }
    }
}

/// Writes the digits that a message shows. A double always has a point or an exponent.
impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Int(int) => write!(f, "{int}"),
            Self::Long(long) => write!(f, "{long}"),
            Self::Double(double) => write!(f, "{double:?}"),
        }
    }
}

impl Number {
    pub(crate) fn add(self, other: Self) -> Result<Self, Fault> {
        let what = || format!("{self} + {other}");
        match self.with(other) {
            Pair::Int(a, b) => int(a.checked_add(b), what),
            Pair::Long(a, b) => long(a.checked_add(b), what),
            Pair::Double(a, b) => double(a + b, what),
        }
    }

    pub(crate) fn subtract(self, other: Self) -> Result<Self, Fault> {
        let what = || format!("{self} - {other}");
        match self.with(other) {
            Pair::Int(a, b) => int(a.checked_sub(b), what),
            Pair::Long(a, b) => long(a.checked_sub(b), what),
            Pair::Double(a, b) => double(a - b, what),
        }
    }

    pub(crate) fn multiply(self, other: Self) -> Result<Self, Fault> {
        let what = || format!("{self} * {other}");
        match self.with(other) {
            Pair::Int(a, b) => int(a.checked_mul(b), what),
            Pair::Long(a, b) => long(a.checked_mul(b), what),
            Pair::Double(a, b) => double(a * b, what),
        }
    }

    /// True division: a double, whatever the operands.
    pub(crate) fn divide(self, other: Self) -> Result<f64, Fault> {
        if other.is_zero() {
            return Err(Fault::invalid_params(format!("{self} / {other}: division by zero")));
        }
        finite(self.as_double() / other.as_double(), || format!("{self} / {other}"))
    }

    /// The remainder with the divisor's sign, as Python's `%`.
    pub(crate) fn modulo(self, other: Self) -> Result<Self, Fault> {
        if other.is_zero() {
            return Err(Fault::invalid_params(format!("{self} modulo {other}: modulo by zero")));
        }
        // The least integer modulo -1 is 0, though its quotient overflows: hence the wrapping
        // remainder.
        Ok(match self.with(other) {
            Pair::Int(a, b) => {
                let rest = a.wrapping_rem(b);
                Self::Int(if rest != 0 && (rest < 0) != (b < 0) { rest + b } else { rest })
            }
            Pair::Long(a, b) => {
                let rest = a.wrapping_rem(b);
                Self::Long(if rest != 0 && (rest < 0) != (b < 0) { rest + b } else { rest })
            }
            Pair::Double(a, b) => {
                let rest = a % b;
                Self::Double(match rest {
                    0.0 => 0.0_f64.copysign(b),
                    _ if (rest < 0.0) != (b < 0.0) => rest + b,
                    _ => rest,
                })
            }
        })
    }

    pub(crate) fn power(self, exponent: Self) -> Result<Self, Fault> {
        let what = || format!("{self} to the power of {exponent}");
        match self.with(exponent) {
            Pair::Int(base, power @ 0..) => {
                int(integer_power(base.into(), power.into()).and_then(narrow), what)
            }
            Pair::Long(base, power @ 0..) => long(integer_power(base, power), what),
            _ if self.is_zero() && exponent.as_double() < 0.0 => {
                Err(Fault::invalid_params(format!("{}: zero has no negative power", what())))
            }
            Pair::Double(base, power) if base < 0.0 && power.fract() != 0.0 => Err(
                Fault::invalid_params(format!("{}: a negative number has no such power", what())),
            ),
            Pair::Int(..) | Pair::Long(..) | Pair::Double(..) => {
                double(self.as_double().powf(exponent.as_double()), what)
            }
        }
    }

    pub(crate) fn negate(self) -> Result<Self, Fault> {
        let what = || format!("-({self})");
        match self {
            Self::Int(a) => int(a.checked_neg(), what),
            Self::Long(a) => long(a.checked_neg(), what),
            Self::Double(a) => Ok(Self::Double(-a)),
        }
    }

    pub(crate) fn absolute(self) -> Result<Self, Fault> {
        let what = || format!("|{self}|");
        match self {
            Self::Int(a) => int(a.checked_abs(), what),
            Self::Long(a) => long(a.checked_abs(), what),
            Self::Double(a) => Ok(Self::Double(a.abs())),
        }
    }

    fn with(self, other: Self) -> Pair {
        match (self, other) {
            (Self::Int(a), Self::Int(b)) => Pair::Int(a, b),
            (Self::Int(a), Self::Long(b)) => Pair::Long(a.into(), b),
            (Self::Long(a), Self::Int(b)) => Pair::Long(a, b.into()),
            (Self::Long(a), Self::Long(b)) => Pair::Long(a, b),
            (a, b) => Pair::Double(a.as_double(), b.as_double()),
        }
    }

    /// Rounds an i8 past 2^53 to the nearest double.
    fn as_double(self) -> f64 {
        match self {
            Self::Int(int) => int.into(),
            Self::Long(long) => long as f64,
            Self::Double(double) => double,
        }
    }

    fn is_zero(self) -> bool {
        match self {
            Self::Int(int) => int == 0,
            Self::Long(long) => long == 0,
            Self::Double(double) => double == 0.0,
        }
    }
}

/// The sum in the widest type of all numbers; the order of ints does not matter, for only the total
/// must fit.
pub(crate) fn sum(numbers: impl ExactSizeIterator<Item = Number> + Clone) -> Result<Number, Fault> {
    let what = || format!("the sum of {} numbers", numbers.len());
    if numbers.clone().any(|number| matches!(number, Number::Double(_))) {
        return double(numbers.clone().map(Number::as_double).sum(), what);
    }
    let total = integer_total(numbers.clone());
    if numbers.clone().any(|number| matches!(number, Number::Long(_))) {
        long(i64::try_from(total).ok(), what)
    } else {
        int(i32::try_from(total).ok(), what)
    }
}

/// The mean as a double. Ints are added exactly, so that it is off by no more than the last
/// rounding.
pub(crate) fn mean(numbers: impl ExactSizeIterator<Item = Number> + Clone) -> Result<f64, Fault> {
    if numbers.len() == 0 {
        return Err(Fault::invalid_params("an empty array has no mean"));
    }
    let count = numbers.len() as f64;
    if numbers.clone().all(|number| !matches!(number, Number::Double(_))) {
        return Ok(integer_total(numbers) as f64 / count);
    }
    let total: f64 = numbers.clone().map(Number::as_double).sum();
    if total.is_finite() {
        return Ok(total / count);
    }
    // The sum passes the greatest double, but the mean of finite numbers never does: divide first.
    finite(numbers.clone().map(|number| number.as_double() / count).sum(), || {
        format!("the mean of {} numbers", numbers.len())
    })
}

/// 128 bits hold the sum of more i8 numbers than any memory does.
fn integer_total(numbers: impl Iterator<Item = Number>) -> i128 {
    let wide = |number| match number {
        Number::Int(int) => int.into(),
        Number::Long(long) => long.into(),
        Number::Double(_) => 0,
    };
    numbers.map(wide).sum()
}

/// `None` when it passes 64 bits. An exponent past 32 bits is possible only for -1, 0 and 1.
fn integer_power(base: i64, exponent: i64) -> Option<i64> {
    match (base, exponent) {
        (0 | 1, 1..) => Some(base),
        (-1, _) => Some(if exponent % 2 == 0 { 1 } else { -1 }),
        _ => base.checked_pow(u32::try_from(exponent).ok()?),
    }
}

fn narrow(wide: i64) -> Option<i32> {
    i32::try_from(wide).ok()
}

fn int(result: Option<i32>, what: impl Fn() -> String) -> Result<Number, Fault> {
    let too_wide =
        || Fault::invalid_params(format!("{} exceeds a 32-bit int; pass i8 or double", what()));
    result.map(Number::Int).ok_or_else(too_wide)
}

fn long(result: Option<i64>, what: impl Fn() -> String) -> Result<Number, Fault> {
    let too_wide = || Fault::invalid_params(format!("{} exceeds a 64-bit i8; pass double", what()));
    result.map(Number::Long).ok_or_else(too_wide)
}

fn double(result: f64, what: impl Fn() -> String) -> Result<Number, Fault> {
    finite(result, what).map(Number::Double)
}

fn finite(result: f64, what: impl Fn() -> String) -> Result<f64, Fault> {
    if result.is_finite() {
        return Ok(result);
    }
    Err(Fault::invalid_params(format!("{} exceeds a double, and XML-RPC has no infinity", what())))
}
