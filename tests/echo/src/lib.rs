//! Answers with what it is given, and misbehaves when asked to.
#![forbid(unsafe_code)]

use hotcall_plugin::{Call, Fault, Host, State, Value, method, plugin};
use std::thread;
use std::time::{Duration, Instant};

struct Echo {
    config: Value,
}

impl State for Echo {
    fn create(host: Host) -> Result<Self, Fault> {
        Ok(Self { config: host.config()? })
    }
}

impl Echo {
    /// The configuration that this instance was created with.
    #[method(name = "echo.config")]
    fn config(&self) -> Value {
        self.config.clone()
    }
}

/// Answers with its one parameter.
#[method]
fn echo(value: Value) -> Value {
    value
}

/// Answers with the type names of its parameter's items.
#[method(name = "echo.types")]
fn types(items: Vec<Value>) -> Vec<String> {
    items.iter().map(|item| item.type_name().to_owned()).collect()
}

/// Fails with the given code and text.
#[method(name = "echo.fail")]
fn fail(code: i32, text: &str) -> Result<(), Fault> {
    Err(Fault::new(code, text.to_owned()))
}

/// Fails without a code of its own.
#[method(name = "echo.error")]
fn error(text: &str) -> Result<(), Fault> {
    Err(Fault::error(text.to_owned()))
}

/// Panics.
#[expect(clippy::panic, reason = "what becomes of a panic is what is tested")]
#[method(name = "echo.panic")]
fn panics(text: &str) -> Result<(), Fault> {
    panic!("{text}")
}

/// Answers after this many milliseconds.
#[method(name = "echo.sleep")]
fn sleep(call: &Call, ms: i32) -> i32 {
    call.info("sleeping");
    let end = Instant::now() + Duration::from_millis(u64::try_from(ms).unwrap_or(0));
    while let Some(rest) = end.checked_duration_since(Instant::now()) {
        thread::sleep(rest);
    }
    ms
}

/// Text of this length.
#[method(name = "echo.text")]
fn text(bytes: i32) -> String {
    "x".repeat(usize::try_from(bytes).unwrap_or(0))
}

/// Who calls, as far as the plugin is told.
#[method(name = "echo.caller")]
fn caller(call: &Call) -> Vec<String> {
    vec![call.caller_name().to_owned(), call.caller_address().to_owned(), call.request_id().to_owned()]
}

/// Writes a line to the server's log.
#[method(name = "echo.log")]
fn log(call: &Call, text: &str) {
    call.info(text);
}

/// The version that it was compiled as: two builds of this crate are two versions of one plugin.
#[method(name = "echo.version", idempotent, quick)]
fn version() -> &'static str {
    option_env!("ECHO_VERSION").unwrap_or("0")
}

plugin! {
    name: "echo",
    state: Echo,
    methods: [echo, version, types, fail, error, panics, sleep, text, caller, log, Echo::config],
}
