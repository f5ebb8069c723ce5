//! The bundled validator1 plugin: the eight methods of the XML-RPC validation suite that UserLand
//! published in 2001.
//!
//! Clients of every language are tested with them, so names, members and results are exactly the
//! suite's. What the suite leaves open is decided here: a sum or product that an int does not hold
//! is a fault, and the array of `moderateSizeArrayCheck` may have any size but none, because some
//! testers draw a little outside of 100 to 200.
#![forbid(unsafe_code)]

mod shapes;
mod sum;

use hotcall_plugin::{DateTime, Fault, Members, method, plugin};
use shapes::{Calendar, Curly, Entities, Multiples, Stooges};
use sum::sum;

/// Adds up the members named curly of an array of structs.
///
/// The members are ints. A struct without one adds nothing; other members are ignored.
#[method(name = "validator1.arrayOfStructsTest", idempotent)]
fn array_of_structs(structs: Vec<Curly>) -> Result<i32, Fault> {
    sum(structs.iter().map(|one| one.curly.unwrap_or(0)))
}

/// Counts the characters of a text that XML treats specially.
///
/// The struct has ctLeftAngleBrackets, ctRightAngleBrackets, ctAmpersands, ctApostrophes and
/// ctQuotes.
#[method(name = "validator1.countTheEntities", idempotent)]
fn count_the_entities(text: &str) -> Result<Entities, Fault> {
    Entities::of(text)
}

/// Adds the members moe, larry and curly of a struct, all ints.
#[method(name = "validator1.easyStructTest", idempotent, quick)]
fn easy_struct(stooges: Stooges) -> Result<i32, Fault> {
    stooges.sum()
}

/// Answers with the struct that it is given.
#[method(name = "validator1.echoStructTest", idempotent)]
fn echo_struct(any: Members) -> Members {
    any
}

/// Answers with an array of its six parameters: an int, a boolean, a string, a double, a dateTime
/// and a base64.
#[method(name = "validator1.manyTypesTest", idempotent)]
fn many_types<'a>(
    number: i32,
    boolean: bool,
    string: &'a str,
    double: f64,
    date_time: DateTime,
    base64: &'a [u8],
) -> (i32, bool, &'a str, f64, DateTime, &'a [u8]) {
    (number, boolean, string, double, date_time, base64)
}

/// Joins the first and the last string of an array, which the suite fills with 100 to 200.
#[method(name = "validator1.moderateSizeArrayCheck", idempotent)]
fn moderate_size_array(strings: Vec<&str>) -> Result<String, Fault> {
    match (strings.first(), strings.last()) {
        (Some(first), Some(last)) => Ok([*first, *last].concat()),
        _ => Err(Fault::invalid_params("an empty array has no first and no last string")),
    }
}

/// Adds moe, larry and curly of April 1, 2000, in a calendar of structs: years, in them months, in
/// them days.
///
/// Months and days are named by two digits: the three ints are in the member 01 of 04 of 2000.
#[method(name = "validator1.nestedStructTest", idempotent)]
fn nested_struct(calendar: Calendar) -> Result<i32, Fault> {
    calendar.year_2000.april.first.sum()
}

/// Multiplies an int: a struct of times10, times100 and times1000.
#[method(name = "validator1.simpleStructReturnTest", idempotent, quick)]
fn simple_struct_return(number: i32) -> Result<Multiples, Fault> {
    Multiples::of(number)
}

plugin! {
    name: "validator1",
    methods: [
        array_of_structs, count_the_entities, easy_struct, echo_struct, many_types,
        moderate_size_array, nested_struct, simple_struct_return,
    ],
}

#[cfg(test)]
mod tests {
    use super::*;
    use hotcall_plugin::Value;

    fn stooges(moe: i32, larry: i32, curly: i32) -> Stooges {
        Stooges { moe, larry, curly }
    }

    #[test]
    fn an_absent_curly_counts_nothing() {
        let structs = [Some(3), None, Some(-10)].map(|curly| Curly { curly });
        assert_eq!(array_of_structs(structs.into()), Ok(-7));
        assert_eq!(array_of_structs(vec![]), Ok(0));
    }

    #[test]
    fn only_the_total_must_fit() {
        let most = || Curly { curly: Some(i32::MAX) };
        assert_eq!(
            array_of_structs(vec![most(), most(), Curly { curly: Some(-i32::MAX) }]),
            Ok(i32::MAX)
        );
        let fault = array_of_structs(vec![most(), most()]).unwrap_err();
        assert_eq!(fault.message(), "the sum, 4294967294, exceeds a 32-bit int");
    }

    #[test]
    fn each_entity_is_counted_for_itself() {
        let counts = count_the_entities("<<a>&&& it's \"x\"\" é").unwrap();
        assert_eq!(
            [
                counts.left_angle_brackets,
                counts.right_angle_brackets,
                counts.ampersands,
                counts.apostrophes,
                counts.quotes,
            ],
            [2, 1, 3, 1, 3]
        );
    }

    #[test]
    fn stooges_are_added() {
        assert_eq!(easy_struct(stooges(1, -2, 4)), Ok(3));
        assert!(easy_struct(stooges(i32::MIN, -1, 0)).is_err());
        let april = shapes::April { first: stooges(5, 6, 7) };
        assert_eq!(nested_struct(Calendar { year_2000: shapes::Year { april } }), Ok(18));
    }

    #[test]
    fn first_and_last_are_joined() {
        assert_eq!(moderate_size_array(vec!["a", "b", "c"]), Ok("ac".into()));
        assert_eq!(moderate_size_array(vec!["a"]), Ok("aa".into()));
        assert_eq!(moderate_size_array(vec![]).unwrap_err().code(), Some(-32602));
    }

    #[test]
    fn multiples_are_ints_or_a_fault() {
        let Multiples { times10, times100, times1000 } = simple_struct_return(-7).unwrap();
        assert_eq!([times10, times100, times1000], [-70, -700, -7000]);
        let fault = simple_struct_return(3_000_000).err().unwrap();
        assert_eq!(fault.message(), "3000000 times 1000 exceeds a 32-bit int");
    }

    #[test]
    fn what_is_echoed_keeps_the_order_of_its_members() {
        let members = Members(vec![("z".into(), Value::Nil), ("a".into(), Value::Int(1))]);
        assert_eq!(echo_struct(members.clone()), members);
    }
}
