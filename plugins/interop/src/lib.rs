//! The bundled interop plugin: methods that answer with what they are given, for the author of a
//! client to see what arrives.
//!
//! `interopEchoTests.*` are the methods of the suite that the toolkits of 2001 agreed upon; the
//! test programs of xmlrpc-epi, xmlrpc-c, Frontier and phpxmlrpc call them. `interop.*` is for what
//! that suite did not know.
#![forbid(unsafe_code)]

mod toolkit;

use hotcall_plugin::{DateTime, Fault, Members, Value, method, plugin};
use toolkit::Toolkit;

/// Defines methods that answer with their only parameter.
macro_rules! echoes {
    ($($(#[$doc:meta])* fn $function:ident($parameter:ident: $ty:ty) as $name:tt;)*) => {$(
        $(#[$doc])*
        #[method(name = $name, idempotent)]
        fn $function($parameter: $ty) -> $ty {
            $parameter
        }
    )*};
}
echoes! {
    /// Answers with the string that it is given.
    fn echo_string(string: &str) as "interopEchoTests.echoString";
    /// Answers with the int that it is given.
    fn echo_integer(integer: i32) as "interopEchoTests.echoInteger";
    /// Answers with the double that it is given; an int comes back as a double.
    fn echo_float(float: f64) as "interopEchoTests.echoFloat";
    /// Answers with the boolean that it is given.
    fn echo_boolean(boolean: bool) as "interopEchoTests.echoBoolean";
    /// Answers with the bytes that it is given.
    fn echo_base64(base64: &[u8]) as "interopEchoTests.echoBase64";
    /// Answers with the date and time that it is given.
    fn echo_date(date: DateTime) as "interopEchoTests.echoDate";
    /// Answers with the struct that it is given, its members in the same order.
    fn echo_struct(members: Members) as "interopEchoTests.echoStruct";
    /// Answers with the array of strings that it is given.
    fn echo_string_array(strings: Vec<&str>) as "interopEchoTests.echoStringArray";
    /// Answers with the array of ints that it is given.
    fn echo_integer_array(integers: Vec<i32>) as "interopEchoTests.echoIntegerArray";
    /// Answers with the array of doubles that it is given; ints come back as doubles.
    fn echo_float_array(floats: Vec<f64>) as "interopEchoTests.echoFloatArray";
    /// Answers with the array of structs that it is given.
    fn echo_struct_array(structs: Vec<Members>) as "interopEchoTests.echoStructArray";
    /// Answers with the value that it is given, of any type.
    fn echo_value(value: Value) as "interopEchoTests.echoValue";
    /// Answers with the 64-bit int that it is given, as an i8 however small it is.
    fn echo_i8(long: i64) as "interop.echoI8";
    /// Answers with nil when it is given nil.
    fn echo_nil(nil: ()) as "interop.echoNil";
    /// Answers with the array that it is given, whatever is in it.
    fn echo_array(values: Vec<Value>) as "interop.echoArray";
}

/// Takes nothing and answers an empty string, which is what nothing is to a client that has no nil.
#[method(name = "interopEchoTests.echoVoid", idempotent, quick)]
fn echo_void() -> &'static str {
    ""
}

/// Takes nothing and answers an int.
#[method(name = "interopEchoTests.noInParams", idempotent, quick)]
fn no_in_params() -> i32 {
    42
}

/// What answers: toolkitDocsUrl, toolkitName, toolkitVersion and toolkitOperatingSystem, all
/// strings.
#[method(name = "interopEchoTests.whichToolkit", idempotent, quick)]
fn which_toolkit() -> Toolkit {
    Toolkit::hotcall()
}

/// The names of the types of the values in an array, as they arrived.
#[method(name = "interop.typesOf", idempotent)]
fn types_of(values: Vec<Value>) -> Vec<&'static str> {
    values.iter().map(Value::type_name).collect()
}

/// Fails with the code and the text that it is given.
#[method(name = "interop.echoFault", signatures("nil(int, string)"))]
fn echo_fault(code: i32, text: &str) -> Result<(), Fault> {
    Err(Fault::new(code, text.to_owned()))
}

plugin! {
    name: "interop",
    methods: [
        echo_string, echo_integer, echo_float, echo_boolean, echo_base64, echo_date, echo_struct,
        echo_string_array, echo_integer_array, echo_float_array, echo_struct_array, echo_value,
        echo_void, no_in_params, which_toolkit, echo_i8, echo_nil, echo_array, types_of, echo_fault,
    ],
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scalars_come_back() {
        assert_eq!(echo_string(" <é> "), " <é> ");
        assert_eq!(echo_integer(i32::MIN), i32::MIN);
        assert_eq!(echo_float(-0.5).to_bits(), (-0.5_f64).to_bits());
        assert_eq!([echo_boolean(true), echo_boolean(false)], [true, false]);
        assert_eq!(echo_base64(&[0, 255]), [0, 255]);
        assert_eq!(echo_i8(i64::MAX), i64::MAX);
        let date = DateTime::new(1998, 7, 17, 14, 8, 55).unwrap();
        assert_eq!(echo_date(date), date);
        assert_eq!(echo_value(Value::Nil), Value::Nil);
    }

    #[test]
    fn structs_keep_the_order_of_their_members() {
        let members = || Members(vec![("z".into(), Value::Int(1)), ("a".into(), Value::Nil)]);
        assert_eq!(echo_struct(members()), members());
        assert_eq!(echo_struct_array(vec![members()]), [members()]);
    }

    #[test]
    fn types_are_named_as_signatures_name_them() {
        let values = vec![Value::Int(1), Value::Long(1), Value::Double(1.0), Value::Binary(vec![])];
        assert_eq!(types_of(values), ["int", "i8", "double", "base64"]);
    }

    #[test]
    fn a_fault_is_the_callers_own() {
        let fault = echo_fault(7, "why").unwrap_err();
        assert_eq!((fault.code(), fault.message()), (Some(7), "why"));
    }
}
