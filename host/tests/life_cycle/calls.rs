//! What passes through a call, and how it may end.

use crate::scene::{Scene, context};
use hotcall::plugin::Watch;
use hotcall::xmlrpc::{DateTime, Value};
use std::fs;
use std::time::Instant;

fn serving(fixture: &str) -> Scene {
    let mut scene = Scene::new();
    scene.limits.response_bytes_max = 100_000;
    fs::rename(scene.build(fixture, &[]), scene.file("plugin.so")).unwrap();
    scene.start(Watch::Off);
    scene
}

#[test]
fn every_type_survives_the_way_there_and_back() {
    let scene = serving("echo.c");
    let date = DateTime::new(2026, 1, 31, 12, 0, 0).unwrap();
    let params = vec![
        Value::Nil,
        Value::Bool(true),
        Value::Bool(false),
        Value::Int(i32::MIN),
        Value::Long(i64::MAX),
        Value::Double(-0.5),
        Value::String(String::new()),
        Value::String("grüß\u{1F980}\0".into()),
        Value::DateTime(date),
        Value::DateTime(date.with_nanosecond(5).unwrap().with_offset_minutes(-90).unwrap()),
        Value::Binary(vec![]),
        Value::Binary(vec![0, 255, 7]),
        Value::Array(vec![]),
        Value::Array(vec![Value::Array(vec![Value::Int(1)]), Value::String("x".into())]),
        Value::Struct(vec![]),
        Value::Struct(vec![
            ("a".into(), Value::Int(1)),
            ("ü".into(), Value::Struct(vec![("b".into(), Value::Nil)])),
        ]),
    ];
    assert_eq!(scene.call("echo", &params), Ok(Value::Array(params)));
    assert_eq!(scene.call("echo", &[]), Ok(Value::Array(vec![])));
}

#[test]
fn introspection_has_what_the_table_says() {
    let scene = serving("echo.c");
    let snapshot = scene.registry.snapshot();
    let info = &snapshot.get("echo").unwrap().info;
    assert_eq!(info.help, "Gives back what it gets.");
    assert_eq!(info.signatures, [["array", "any"]]);
    assert!(info.idempotent && info.quick);
}

#[test]
fn each_status_is_a_fault_of_its_own() {
    let scene = serving("answers.c");
    let fault = |method: &str| scene.call(method, &[]).unwrap_err();
    assert_eq!((fault("fault_").code, fault("fault_").message.as_str()), (42, "no such order"));
    assert_eq!((fault("error_").code, fault("error_").message.as_str()), (-32500, "it broke"));
    assert_eq!(fault("message_").message, "a\u{FFFD}b");
    let panic = fault("panic_");
    assert_eq!(panic.code, -32003);
    assert!(panic.message.contains("panic_") && panic.message.contains("r-17"), "{panic}");
    assert!(!panic.message.contains("secret"), "{panic}");
    for method in ["status_", "tag_", "null_", "utf8_", "endless_"] {
        let fault = fault(method);
        assert_eq!(fault.code, -32603, "{method}: {fault}");
        assert!(fault.message.contains("r-17"), "{method}: {fault}");
    }
}

#[test]
fn a_call_has_only_so_much_memory() {
    let scene = serving("answers.c");
    assert_eq!(scene.call("exhaust_", &[]).unwrap_err().code, -32002);
    assert_eq!(scene.call("repeated_", &[]).unwrap_err().code, -32002);
    assert_eq!(scene.call("align_", &[]), Ok(Value::Int(1)));
}

#[test]
fn large_parameters_do_not_eat_the_result_s_memory() {
    let scene = serving("echo.c");
    let params = [Value::Array(vec![Value::Int(7); 3_000])];
    assert_eq!(scene.call("echo", &params), Ok(Value::Array(params.to_vec())));
}

#[test]
fn a_call_knows_its_caller_and_its_time() {
    let scene = serving("answers.c");
    let answer = |context: &_| match scene.call_as("context_", &[], context).unwrap() {
        Value::Array(values) => values,
        other => panic!("{other:?}"),
    };
    let texts = ["alice", "192.0.2.1:5", "r-17"].map(Value::from);
    let in_time = answer(&context());
    assert_eq!(in_time[..3], texts);
    assert_eq!(in_time[3..], [Value::Bool(true), Value::Bool(false)]);
    let mut late = context();
    late.deadline = Instant::now();
    assert_eq!(answer(&late)[3..], [Value::Bool(false), Value::Bool(true)]);
}
