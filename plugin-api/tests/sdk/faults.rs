//! Counts of parameters, faults, panics, memory limits, and the context of a call.

use crate::host::{Context, Failure, Instance};
use hotcall_plugin::{Value, abi};

fn failure(status: abi::Status, code: i32, message: &str) -> Result<Value, Failure> {
    Err(Failure { status, code, message: message.to_owned() })
}

#[test]
fn a_method_is_called() {
    let instance = Instance::new();
    assert_eq!(instance.call("add", &[2.into(), 3.into()]), Ok(5.into()));
    assert_eq!(instance.call("nested.twice", &[4.into()]), Ok(8.into()));
    assert_eq!(instance.call("call", &[1.into(), 2.into(), 4.into()]), Ok(7.into()));
    assert_eq!(instance.call("borrowed", &["abc".into(), "".into()]), Ok("bc".into()));
}

#[test]
fn a_wrong_count_is_told_with_what_is_wanted() {
    let instance = Instance::new();
    for (method, given, message) in [
        ("add", 3, "add takes 2 parameters (a: int, b: int), got 3"),
        ("add", 0, "add takes 2 parameters (a: int, b: int), got 0"),
        ("nothing", 1, "nothing takes no parameters, got 1"),
        ("nested.twice", 2, "nested.twice takes 1 parameter (a: int), got 2"),
        (
            "greet",
            4,
            "greet takes 1 to 3 parameters (name: string, [title: string], [times: int]), got 4",
        ),
        (
            "greet",
            0,
            "greet takes 1 to 3 parameters (name: string, [title: string], [times: int]), got 0",
        ),
        ("option_first", 1, "option_first takes 2 parameters (a: int, b: int), got 1"),
        ("counter.increment", 2, "counter.increment takes 0 to 1 parameter ([by: int]), got 2"),
    ] {
        let params = vec![Value::Nil; given];
        assert_eq!(instance.call(method, &params), failure(abi::FAULT, -32602, message));
    }
}

#[test]
fn trailing_options_may_be_left_out() {
    let instance = Instance::new();
    assert_eq!(instance.call("greet", &["Ada".into()]), Ok("Ada".into()));
    assert_eq!(instance.call("greet", &["Ada".into(), "Lady".into()]), Ok("Lady Ada".into()));
    assert_eq!(instance.call("greet", &["Ada".into(), Value::Nil, 2.into()]), Ok("AdaAda".into()));
    assert_eq!(instance.call("option_first", &[Value::Nil, 1.into()]), Ok(101.into()));
}

#[test]
fn a_wrong_argument_is_named() {
    assert_eq!(
        Instance::new().call("add", &[1.into(), "2".into()]),
        failure(abi::FAULT, -32602, "add: parameter 2 (b) wants int, got string")
    );
}

#[test]
fn an_argument_that_breaks_the_abi_is_refused() {
    let instance = Instance::new();
    let date = hotcall_plugin::DateTime::new(2026, 1, 1, 0, 0, 0).unwrap();
    assert_eq!(instance.call("echo_datetime", &[date.into()]), Ok(date.into()));
    let context = Context::default();
    let mut params = crate::host::raw(&date.into(), &context);
    params.tag = 77;
    assert_eq!(
        instance.call_raw("echo_datetime", &[params]),
        failure(
            abi::FAULT,
            -32602,
            "echo_datetime: parameter 1 (value) is malformed: unknown value tag 77"
        )
    );
}

#[test]
fn errors_of_every_kind_become_faults() {
    let instance = Instance::new();
    let sum = instance.call("add", &[i32::MAX.into(), 1.into()]);
    assert_eq!(sum, failure(abi::FAULT, -32602, "sum exceeds 32 bits"));
    assert_eq!(
        instance.call("borrowed", &["".into(), "".into()]),
        failure(abi::FAULT, 7, "too short")
    );
    assert_eq!(instance.call("plain_error", &[]), failure(abi::ERROR, 0, "it broke"));
    assert_eq!(instance.call("boxed_error", &["12".into()]), Ok(12.into()));
    assert_eq!(
        instance.call("boxed_error", &["x".into()]),
        failure(abi::ERROR, 0, "invalid digit found in string")
    );
    assert_eq!(
        instance.call("boxed_error", &["".into()]),
        failure(abi::FAULT, 12, "a fault in a box")
    );
}

#[test]
fn panics_are_caught_with_their_text() {
    let instance = Instance::new();
    for (how, text) in [
        ("text", "plain"),
        ("format", "number 6"),
        ("other", "a panic without text"),
        // Its payload panics when it is dropped, with a payload that does so too.
        ("bomb", "a panic without text"),
    ] {
        assert_eq!(instance.call("panics", &[how.into()]), failure(abi::PANIC, 0, text));
    }
    assert_eq!(instance.call("unbuildable", &[]), failure(abi::PANIC, 0, "while building"));
    assert_eq!(instance.call("add", &[1.into(), 1.into()]), Ok(2.into()), "the plugin works on");
}

#[test]
fn panics_are_logged_by_their_call_with_the_place() {
    let instance = Instance::new();
    let context = Context::default();
    let none = "a panic without text";
    for (how, texts) in [
        ("text", &["plain"][..]),
        ("format", &["number 6"]),
        ("other", &[none]),
        ("bomb", &[none; 2]),
    ] {
        instance.call_in(&context, "panics", &[how.into()]).unwrap_err();
        let log = std::mem::take(&mut *context.log.lock().unwrap());
        // Where RUST_BACKTRACE is set, a backtrace follows each.
        let lines: Vec<_> =
            log.iter().filter(|(_, line)| line.starts_with("panicked at ")).collect();
        assert_eq!(lines.len(), texts.len(), "{how}: {log:?}");
        for ((level, line), text) in lines.into_iter().zip(texts) {
            assert!(
                line.contains("tests/sdk/plugin.rs:") && line.ends_with(&format!(": {text}")),
                "{line}"
            );
            assert_eq!(*level, 1);
        }
    }
}

#[test]
fn a_result_past_the_calls_memory_is_a_fault() {
    let instance = Instance::new();
    let context = |arena_bytes_max| Context { arena_bytes_max, ..Context::default() };
    let too_large = failure(abi::FAULT, -32002, "the result is larger than one call may answer");
    for (method, value) in [
        ("echo_str", Value::from("12345678")),
        ("echo_slice", Value::Binary(vec![0; 8])),
        ("echo_vec", Value::Array(vec![1.into()])),
        ("echo_hash_map", Value::Struct(vec![("a".into(), 1.into())])),
    ] {
        assert_eq!(
            instance.call_in(&context(7), method, std::slice::from_ref(&value)),
            too_large,
            "{method}"
        );
        assert_eq!(
            instance.call_in(&context(64), method, std::slice::from_ref(&value)),
            Ok(value),
            "{method}"
        );
    }
}

#[test]
fn a_message_past_the_calls_memory_has_a_stand_in() {
    let context = Context { arena_bytes_max: 0, ..Context::default() };
    assert_eq!(
        Instance::new().call_in(&context, "plain_error", &[]),
        failure(abi::ERROR, 0, "the call's memory does not hold the message")
    );
}

#[test]
fn a_method_sees_its_call() {
    let context = Context { cancelled: true, remaining_ms: 0, ..Context::default() };
    let facts = |remaining: i64, cancelled: bool| {
        let texts = ["alice", "192.0.2.1:4000", "r-7"].map(Value::from);
        Ok(Value::Array([remaining.into(), cancelled.into()].into_iter().chain(texts).collect()))
    };
    let instance = Instance::new();
    assert_eq!(instance.call("context", &[]), facts(1_500, false));
    assert_eq!(instance.call_in(&context, "context", &[]), facts(0, true));
    let lines = [(1, "1"), (1, "e"), (2, "w"), (3, "i"), (4, "d"), (5, "t5")];
    assert_eq!(*context.log.lock().unwrap(), lines.map(|(level, text)| (level, text.to_owned())));
}
