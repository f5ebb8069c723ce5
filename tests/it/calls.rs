//! Calls over HTTPS as clients make them.

use crate::trial::{trial, trial_with};
use hotcall::client::Error;
use hotcall::xmlrpc::{Value, code};
use hotcall_tests::{Setup, artifacts, foreign};
use libtest_mimic::Trial;

pub fn trials() -> Vec<Trial> {
    vec![
        trial_with("python3", "calls::python_calls_every_method_of_arithmetic", || {
            foreign::python("arithmetic", &bundled().start());
        }),
        trial_with("python3", "calls::python_sends_every_type_there_and_back", || {
            foreign::python(
                "types",
                &Setup::new().plugin("echo.so", artifacts::plugin("echo")).start(),
            );
        }),
        trial_with("python3", "calls::python_introspects_and_calls_in_batches", || {
            foreign::python("introspection", &bundled().start());
        }),
        trial("calls::a_panic_stays_in_its_call", a_panic_stays_in_its_call),
        trial(
            "calls::a_plugin_knows_its_caller_and_its_configuration",
            a_plugin_knows_its_circumstances,
        ),
        trial("calls::results_and_batches_are_bounded", results_and_batches_are_bounded),
    ]
}

fn bundled() -> Setup {
    Setup::new()
        .plugin("arithmetic.so", artifacts::plugin("arithmetic"))
        .plugin("text-c.so", artifacts::text_c())
}

fn fault_code(result: Result<Value, Error>) -> i32 {
    match result {
        Err(Error::Fault(fault)) => fault.code,
        other => panic!("a fault wanted, got {other:?}"),
    }
}

fn a_panic_stays_in_its_call() {
    let server = Setup::new().plugin("echo.so", artifacts::plugin("echo")).start();
    let client = server.client();
    for _ in 0..20 {
        assert_eq!(
            fault_code(client.call("echo.panic", vec!["boom".into()])),
            code::PLUGIN_PANICKED
        );
        assert_eq!(client.call::<Value>("echo", vec![Value::Int(1)]).unwrap(), Value::Int(1));
    }
    server.wait_for_log(&["echo.panic", "boom"]);
}

fn a_plugin_knows_its_circumstances() {
    let server = Setup::new()
        .plugin("echo.so", artifacts::plugin("echo"))
        .config("[plugins.echo]\nname = 'x'\nlimits = [1, 2.5]\n")
        .start();
    let config = server.call("echo.config", vec![]).unwrap();
    assert_eq!(config.get("name"), Some(&Value::from("x")));
    assert_eq!(config.get("limits"), Some(&Value::Array(vec![Value::Int(1), Value::Double(2.5)])));
    let Value::Array(caller) = server.call("echo.caller", vec![]).unwrap() else {
        panic!("an array wanted")
    };
    let [Value::String(name), Value::String(address), Value::String(id)] = &caller[..] else {
        panic!("three strings wanted: {caller:?}")
    };
    assert!(name.is_empty() && address.starts_with("127.0.0.1:") && !id.is_empty(), "{caller:?}");
    server.call("echo.log", vec!["hello\nlog".into()]).unwrap();
    let line = server.wait_for_log(&["echo", "hello"]);
    assert!(line.contains("log"), "one line: {line:?}");
}

fn results_and_batches_are_bounded() {
    let server = Setup::new()
        .plugin("echo.so", artifacts::plugin("echo"))
        .config("[limits]\nresponse_bytes_max = 100_000\nmulticall_calls_max = 3\n")
        .start();
    let client = server.client();
    assert!(client.call::<Value>("echo.text", vec![Value::Int(50_000)]).is_ok());
    assert_eq!(
        fault_code(client.call("echo.text", vec![Value::Int(200_000)])),
        code::RESPONSE_TOO_LARGE
    );
    let entry = Value::Struct(vec![
        ("methodName".into(), "echo.text".into()),
        ("params".into(), Value::Array(vec![Value::Int(40_000)])),
    ]);
    let batch = |count| vec![Value::Array(vec![entry.clone(); count])];
    assert!(client.call::<Value>("system.multicall", batch(2)).is_ok());
    let Value::Array(results) = client.call("system.multicall", batch(3)).unwrap() else {
        panic!()
    };
    assert_eq!(
        results[2].get("faultCode"),
        Some(&Value::Int(code::RESPONSE_TOO_LARGE)),
        "{results:?}"
    );
    assert_eq!(fault_code(client.call("system.multicall", batch(4))), code::INVALID_PARAMS);
}
