//! Every type both ways, and the texts for what does not fit.

use crate::host::Instance;
use hotcall_plugin::{DateTime, Value};

fn array<const N: usize>(items: [i32; N]) -> Value {
    Value::Array(items.map(Value::Int).to_vec())
}

fn structure<const N: usize>(members: [(&str, Value); N]) -> Value {
    Value::Struct(members.map(|(name, value)| (name.to_owned(), value)).to_vec())
}

/// The text of the fault that one parameter causes, which must be -32602.
fn refusal(method: &str, value: impl Into<Value>) -> String {
    let failure = Instance::new().call(method, &[value.into()]).unwrap_err();
    assert_eq!((failure.status, failure.code), (1, -32602), "{failure:?}");
    failure.message
}

#[test]
fn each_type_comes_back_as_it_went() {
    let date = DateTime::new(2026, 1, 31, 12, 0, 59).unwrap();
    let date = date.with_nanosecond(5).unwrap().with_offset_minutes(-90).unwrap();
    let point = structure([("x", 1.5.into()), ("y", (-2.0).into()), ("the label", "p".into())]);
    let mixed =
        Value::Array(vec![Value::Nil, true.into(), Value::Struct(vec![]), Value::Array(vec![])]);
    let values: &[(&str, Value)] = &[
        ("echo_bool", true.into()),
        ("echo_bool", false.into()),
        ("echo_i8", (-128).into()),
        ("echo_i16", 32_767.into()),
        ("echo_i32", i32::MIN.into()),
        ("echo_i64", i64::MIN.into()),
        ("echo_u8", 255.into()),
        ("echo_u16", 65_535.into()),
        ("echo_u32", i64::from(u32::MAX).into()),
        ("echo_f64", (-0.25).into()),
        ("echo_string", "h\u{e9}llo \u{1f980}".into()),
        ("echo_string", "".into()),
        ("echo_str", "borrowed".into()),
        ("echo_str", "".into()),
        ("echo_cow", "cow".into()),
        ("echo_slice", Value::Binary(vec![0, 255, 7])),
        ("echo_slice", Value::Binary(vec![])),
        ("echo_bytes", Value::Binary(b"owned".to_vec())),
        ("echo_datetime", date.into()),
        ("echo_value", mixed),
        ("echo_vec", array([1, 2, 3])),
        ("echo_vec", array([])),
        ("echo_option", 5.into()),
        ("echo_option", Value::Nil),
        ("echo_hash_map", structure([("only", 1.into())])),
        ("echo_tree_map", structure([("a", array([1])), ("b", array([]))])),
        ("echo_pair", Value::Array(vec![1.into(), "two".into()])),
        ("echo_eight", Value::Array((0..7).map(Value::Int).chain([true.into()]).collect())),
        ("echo_points", Value::Array(vec![point])),
        ("echo_labelled", structure([("type", "t".into()), ("value", 9.into())])),
        ("echo_byte_array", array([0, 255])),
        ("echo_unit", Value::Nil),
    ];
    let instance = Instance::new();
    for (method, value) in values {
        assert_eq!(
            instance.call(method, std::slice::from_ref(value)).as_ref(),
            Ok(value),
            "{method}"
        );
    }
}

#[test]
fn integers_take_either_width_when_the_number_fits() {
    let instance = Instance::new();
    assert_eq!(instance.call("echo_i64", &[7.into()]), Ok(Value::Long(7)));
    assert_eq!(instance.call("echo_i32", &[7_i64.into()]), Ok(Value::Int(7)));
    assert_eq!(instance.call("echo_u32", &[7.into()]), Ok(Value::Long(7)));
    assert_eq!(instance.call("echo_f64", &[7.into()]), Ok(Value::Double(7.0)));
    assert_eq!(
        refusal("echo_i32", 3_000_000_000_i64),
        "echo_i32: parameter 1 (value) wants int from -2147483648 to 2147483647, got 3000000000"
    );
    assert_eq!(
        refusal("echo_u8", -1),
        "echo_u8: parameter 1 (value) wants int from 0 to 255, got -1"
    );
    assert_eq!(refusal("echo_f64", 7_i64), "echo_f64: parameter 1 (value) wants double, got i8");
    assert_eq!(refusal("echo_i32", 7.0), "echo_i32: parameter 1 (value) wants int, got double");
}

#[test]
fn another_type_is_refused_by_name() {
    for (method, wanted) in [
        ("echo_bool", "boolean"),
        ("echo_i16", "int"),
        ("echo_i64", "i8"),
        ("echo_u32", "i8"),
        ("echo_f64", "double"),
        ("echo_string", "string"),
        ("echo_str", "string"),
        ("echo_slice", "base64"),
        ("echo_bytes", "base64"),
        ("echo_datetime", "dateTime.iso8601"),
        ("echo_vec", "array"),
        ("echo_pair", "array"),
        ("echo_hash_map", "struct"),
        ("echo_tree_map", "struct"),
        ("echo_labelled", "struct"),
    ] {
        assert_eq!(
            refusal(method, Value::Nil),
            format!("{method}: parameter 1 (value) wants {wanted}, got nil")
        );
    }
    assert_eq!(
        refusal("echo_option", "x"),
        "echo_option: parameter 1 (value) wants int, got string"
    );
    assert_eq!(refusal("echo_unit", true), "echo_unit: parameter 1 (value) wants nil, got boolean");
}

#[test]
fn a_nested_value_is_refused_with_its_place() {
    let good = structure([("x", 1.0.into()), ("y", 2.0.into())]);
    let bad = structure([("x", Value::Nil), ("y", 2.0.into())]);
    assert_eq!(
        refusal("echo_points", vec![good.clone(), good, bad]),
        "echo_points: parameter 1 (value), item 3, member x: wants double, got nil"
    );
    let lacking = structure([("y", 2.0.into())]);
    assert_eq!(
        refusal("echo_points", vec![lacking]),
        "echo_points: parameter 1 (value), item 1, member x: wants double, got nothing"
    );
    assert_eq!(
        refusal("echo_tree_map", structure([("k", Value::Array(vec![1.into(), "x".into()]))])),
        "echo_tree_map: parameter 1 (value), member k, item 2: wants int, got string"
    );
    assert_eq!(
        refusal("echo_pair", array([1])),
        "echo_pair: parameter 1 (value) wants array of 2 items, got 1 items"
    );
}

#[test]
fn a_long_member_name_is_cut_in_the_message() {
    let message = refusal("echo_hash_map", structure([("n".repeat(1_000).as_str(), Value::Nil)]));
    assert_eq!(
        message,
        format!(
            "echo_hash_map: parameter 1 (value), member {}...: wants int, got nil",
            "n".repeat(64)
        )
    );
}

#[test]
fn derived_structs_ignore_other_members_and_take_absent_options() {
    let point = structure([("z", 9.into()), ("y", 2.into()), ("x", 1.0.into())]);
    let read = structure([("x", 1.0.into()), ("y", 2.0.into()), ("the label", Value::Nil)]);
    assert_eq!(
        Instance::new().call("echo_points", &[Value::Array(vec![point])]),
        Ok(Value::Array(vec![read]))
    );
}

#[test]
fn several_results_are_an_array() {
    let doubles = Value::Array(vec![3.0.into(), 4.0.into()]);
    let instance = Instance::new();
    assert_eq!(
        instance.call("several", &[]),
        Ok(Value::Array(vec![1.into(), "two".into(), doubles]))
    );
    assert_eq!(instance.call("nothing", &[]), Ok(Value::Nil));
}
