//! Every operation at its edges.

use super::Number::{self, Double, Int, Long};
use super::{mean, sum};
use hotcall_plugin::Fault;

type Binary = fn(Number, Number) -> Result<Number, Fault>;

/// The text of a fault, which must be one of wrong parameters.
fn refused<T: std::fmt::Debug>(result: Result<T, Fault>) -> String {
    let fault = result.unwrap_err();
    assert_eq!(fault.code(), Some(-32602), "{fault}");
    fault.message().to_owned()
}

#[test]
fn the_widest_operand_decides_the_type() {
    let operations: [(Binary, i32); 3] =
        [(Number::add, 8), (Number::subtract, 4), (Number::multiply, 12)];
    for (operation, expected) in operations {
        assert_eq!(operation(Int(6), Int(2)), Ok(Int(expected)));
        assert_eq!(operation(Long(6), Int(2)), Ok(Long(expected.into())));
        assert_eq!(operation(Int(6), Long(2)), Ok(Long(expected.into())));
        assert_eq!(operation(Int(6), Double(2.0)), Ok(Double(expected.into())));
        assert_eq!(operation(Double(6.0), Long(2)), Ok(Double(expected.into())));
    }
}

#[test]
fn a_sum_past_its_type_is_a_fault_that_says_so() {
    assert_eq!(
        refused(Int(i32::MAX).add(Int(1))),
        "2147483647 + 1 exceeds a 32-bit int; pass i8 or double"
    );
    assert_eq!(Long(i32::MAX.into()).add(Int(1)), Ok(Long(2_147_483_648)));
    assert_eq!(
        refused(Long(i64::MAX).add(Int(1))),
        "9223372036854775807 + 1 exceeds a 64-bit i8; pass double"
    );
    assert_eq!(
        refused(Double(f64::MAX).add(Double(f64::MAX))),
        "1.7976931348623157e308 + 1.7976931348623157e308 exceeds a double, and XML-RPC has no \
         infinity"
    );
}

#[test]
fn differences_and_products_past_their_type_are_faults() {
    assert_eq!(
        refused(Int(i32::MIN).subtract(Int(1))),
        "-2147483648 - 1 exceeds a 32-bit int; pass i8 or double"
    );
    assert_eq!(
        refused(Int(65_536).multiply(Int(65_536))),
        "65536 * 65536 exceeds a 32-bit int; pass i8 or double"
    );
    assert!(refused(Long(i64::MIN).subtract(Int(1))).contains("exceeds a 64-bit i8"));
    assert!(refused(Long(i64::MIN).multiply(Int(-1))).contains("exceeds a 64-bit i8"));
    assert!(refused(Double(1e200).multiply(Double(1e200))).contains("no infinity"));
    assert!(refused(Double(f64::MIN).subtract(Double(f64::MAX))).contains("no infinity"));
}

#[test]
fn division_is_true_division() {
    assert_eq!(Int(7).divide(Int(2)), Ok(3.5));
    assert_eq!(Int(6).divide(Int(2)), Ok(3.0));
    assert_eq!(Int(i32::MIN).divide(Int(-1)), Ok(2_147_483_648.0));
    assert_eq!(Long(i64::MIN).divide(Int(-1)), Ok(9_223_372_036_854_775_808.0));
    assert_eq!(Double(-1.0).divide(Long(4)), Ok(-0.25));
}

#[test]
fn division_by_zero_and_past_a_double_are_faults() {
    assert_eq!(refused(Int(1).divide(Int(0))), "1 / 0: division by zero");
    assert_eq!(refused(Double(0.0).divide(Double(-0.0))), "0.0 / -0.0: division by zero");
    assert_eq!(refused(Long(1).divide(Long(0))), "1 / 0: division by zero");
    assert!(refused(Double(1e308).divide(Double(1e-308))).contains("no infinity"));
}

#[test]
fn modulo_has_the_sign_of_the_divisor() {
    for (a, b, expected) in
        [(7, 3, 1), (-7, 3, 2), (7, -3, -2), (-7, -3, -1), (6, 3, 0), (-6, 3, 0), (0, -3, 0)]
    {
        assert_eq!(Int(a).modulo(Int(b)), Ok(Int(expected)), "{a} modulo {b}");
        assert_eq!(Long(a.into()).modulo(Int(b)), Ok(Long(expected.into())), "{a} modulo {b}");
        assert_eq!(Double(a.into()).modulo(Int(b)), Ok(Double(expected.into())), "{a} modulo {b}");
    }
    assert_eq!(Double(5.5).modulo(Int(-2)), Ok(Double(-0.5)));
}

#[test]
fn modulo_of_the_least_integer_by_minus_one_is_zero() {
    assert_eq!(Int(i32::MIN).modulo(Int(-1)), Ok(Int(0)));
    assert_eq!(Long(i64::MIN).modulo(Int(-1)), Ok(Long(0)));
    assert_eq!(Int(i32::MAX).modulo(Int(i32::MIN)), Ok(Int(-1)));
    assert_eq!(Int(i32::MIN).modulo(Int(i32::MAX)), Ok(Int(i32::MAX - 1)));
}

#[test]
fn modulo_of_doubles_is_zero_with_the_divisors_sign() {
    let Ok(Double(zero)) = Double(-6.0).modulo(Double(3.0)) else { panic!("a double was wanted") };
    assert!(zero == 0.0 && zero.is_sign_positive());
    let Ok(Double(zero)) = Double(6.0).modulo(Double(-3.0)) else { panic!("a double was wanted") };
    assert!(zero == 0.0 && zero.is_sign_negative());
}

#[test]
fn modulo_by_zero_is_a_fault() {
    assert_eq!(refused(Int(7).modulo(Int(0))), "7 modulo 0: modulo by zero");
    assert_eq!(refused(Long(7).modulo(Long(0))), "7 modulo 0: modulo by zero");
    assert_eq!(refused(Double(7.5).modulo(Double(0.0))), "7.5 modulo 0.0: modulo by zero");
}

#[test]
fn integer_powers_stay_integers() {
    assert_eq!(Int(2).power(Int(10)), Ok(Int(1024)));
    assert_eq!(Int(-2).power(Int(31)), Ok(Int(i32::MIN)));
    assert_eq!(Int(0).power(Int(0)), Ok(Int(1)));
    assert_eq!(Int(5).power(Int(0)), Ok(Int(1)));
    assert_eq!(Long(2).power(Int(40)), Ok(Long(1 << 40)));
    assert_eq!(Int(2).power(Long(40)), Ok(Long(1 << 40)));
    assert_eq!(
        refused(Int(2).power(Int(31))),
        "2 to the power of 31 exceeds a 32-bit int; pass i8 or double"
    );
    assert!(refused(Long(2).power(Int(63))).contains("exceeds a 64-bit i8"));
}

#[test]
fn powers_of_minus_one_zero_and_one_take_any_exponent() {
    assert_eq!(Long(-1).power(Long(i64::MAX)), Ok(Long(-1)));
    assert_eq!(Long(-1).power(Long(i64::MAX - 1)), Ok(Long(1)));
    assert_eq!(Long(1).power(Long(i64::MAX)), Ok(Long(1)));
    assert_eq!(Long(0).power(Long(i64::MAX)), Ok(Long(0)));
    assert!(refused(Long(2).power(Long(i64::MAX))).contains("exceeds a 64-bit i8"));
}

#[test]
fn negative_and_double_exponents_give_doubles() {
    assert_eq!(Int(2).power(Int(-2)), Ok(Double(0.25)));
    assert_eq!(Long(2).power(Int(-1)), Ok(Double(0.5)));
    assert_eq!(Int(-1).power(Int(-3)), Ok(Double(-1.0)));
    assert_eq!(Int(2).power(Double(2.0)), Ok(Double(4.0)));
    assert_eq!(Double(2.25).power(Double(0.5)), Ok(Double(1.5)));
    assert_eq!(Double(-2.0).power(Int(3)), Ok(Double(-8.0)));
    assert!(refused(Double(10.0).power(Int(400))).contains("no infinity"));
}

#[test]
fn powers_without_an_answer_are_faults() {
    assert_eq!(refused(Int(0).power(Int(-1))), "0 to the power of -1: zero has no negative power");
    assert_eq!(
        refused(Double(0.0).power(Double(-0.5))),
        "0.0 to the power of -0.5: zero has no negative power"
    );
    assert_eq!(
        refused(Double(-0.0).power(Int(-1))),
        "-0.0 to the power of -1: zero has no negative power"
    );
    assert_eq!(
        refused(Int(-8).power(Double(0.5))),
        "-8 to the power of 0.5: a negative number has no such power"
    );
}

#[test]
fn the_least_integer_has_no_counterpart() {
    assert_eq!(
        refused(Int(i32::MIN).negate()),
        "-(-2147483648) exceeds a 32-bit int; pass i8 or double"
    );
    assert_eq!(
        refused(Int(i32::MIN).absolute()),
        "|-2147483648| exceeds a 32-bit int; pass i8 or double"
    );
    assert!(refused(Long(i64::MIN).negate()).ends_with("exceeds a 64-bit i8; pass double"));
    assert!(refused(Long(i64::MIN).absolute()).ends_with("exceeds a 64-bit i8; pass double"));
}

#[test]
fn negation_and_absolute_keep_the_type() {
    assert_eq!(Int(5).negate(), Ok(Int(-5)));
    assert_eq!(Long(-5).negate(), Ok(Long(5)));
    assert_eq!(Double(2.5).negate(), Ok(Double(-2.5)));
    assert_eq!(Int(-5).absolute(), Ok(Int(5)));
    assert_eq!(Long(i64::MIN + 1).absolute(), Ok(Long(i64::MAX)));
    assert_eq!(Double(-2.5).absolute(), Ok(Double(2.5)));
}

#[test]
fn sums_take_the_widest_type_and_only_the_total_must_fit() {
    assert_eq!(sum([].into_iter()), Ok(Int(0)));
    assert_eq!(sum([Int(1), Int(2)].into_iter()), Ok(Int(3)));
    assert_eq!(sum([Int(1), Long(2)].into_iter()), Ok(Long(3)));
    assert_eq!(sum([Int(1), Long(2), Double(0.5)].into_iter()), Ok(Double(3.5)));
    assert_eq!(sum([Int(i32::MAX), Int(1), Int(-1)].into_iter()), Ok(Int(i32::MAX)));
    assert_eq!(sum([Long(i64::MAX), Long(1), Long(-1)].into_iter()), Ok(Long(i64::MAX)));
    assert_eq!(
        refused(sum([Int(i32::MAX), Int(1)].into_iter())),
        "the sum of 2 numbers exceeds a 32-bit int; pass i8 or double"
    );
    assert!(refused(sum([Long(i64::MAX), Int(1)].into_iter())).contains("exceeds a 64-bit i8"));
    assert!(refused(sum([Double(f64::MAX), Double(f64::MAX)].into_iter())).contains("no infinity"));
}

#[test]
fn means_are_doubles_and_never_overflow() {
    assert_eq!(mean([Int(1), Int(2)].into_iter()), Ok(1.5));
    assert_eq!(mean([Int(i32::MAX), Int(i32::MAX)].into_iter()), Ok(f64::from(i32::MAX)));
    assert_eq!(mean([Long(i64::MAX), Long(i64::MIN)].into_iter()), Ok(-0.5));
    assert_eq!(mean([Double(f64::MAX), Double(f64::MAX)].into_iter()), Ok(f64::MAX));
    assert_eq!(mean([Int(1), Double(2.5)].into_iter()), Ok(1.75));
    assert_eq!(refused(mean([].into_iter())), "an empty array has no mean");
}
