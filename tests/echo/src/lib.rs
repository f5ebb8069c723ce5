//! Answers with what it is given, and misbehaves when asked to.
#![forbid(unsafe_code)]

use hotcall_plugin::{Call, Fault, Host, State, Value, method, plugin};
use std::fs::{self, File};
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// From one look at what is waited for to the next.
const POLL: Duration = Duration::from_millis(5);
/// The longest that [`until`] waits.
const UNTIL_MAX: Duration = Duration::from_secs(600);

struct Echo {
    config: Value,
    hoard: Mutex<Vec<File>>,
}

impl State for Echo {
    fn create(host: Host) -> Result<Self, Fault> {
        Ok(Self { config: host.config()?, hoard: Mutex::default() })
    }
}

impl Echo {
    /// The configuration that this instance was created with.
    #[method(name = "echo.config")]
    fn config(&self) -> Value {
        self.config.clone()
    }

    /// Keeps this many descriptors, or as many as there are, and no others. Answers how many.
    #[method(name = "echo.hoard")]
    fn hoard(&self, count: i32) -> Result<i32, Fault> {
        let mut hoard = self.hoard.lock().unwrap_or_else(PoisonError::into_inner);
        hoard.clear();
        hoard.extend((0..count).map_while(|_| File::open("/dev/null").ok()));
        i32::try_from(hoard.len()).map_err(|error| Fault::error(error.to_string()))
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

/// Panics on a new thread. Answers whether that thread panicked.
#[expect(clippy::panic, reason = "what becomes of a panic is what is tested")]
#[method(name = "echo.panic_elsewhere")]
fn panics_elsewhere(text: String) -> Result<bool, Fault> {
    let thread = thread::Builder::new().name("elsewhere".into()).spawn(move || panic!("{text}"));
    let thread: thread::JoinHandle<()> = thread.map_err(|error| Fault::error(error.to_string()))?;
    Ok(thread.join().is_err())
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

/// Answers once there is a file at this path, whatever its deadline.
#[method(name = "echo.until")]
fn until(call: &Call, path: &str) -> bool {
    call.info("waiting for a file");
    let end = Instant::now() + UNTIL_MAX;
    while !Path::new(path).exists() && Instant::now() < end {
        thread::sleep(POLL);
    }
    Path::new(path).exists()
}

/// Answers once it is cancelled.
#[method(name = "echo.wait")]
fn wait(call: &Call) {
    call.info("waiting to be cancelled");
    while !call.cancelled() {
        thread::sleep(POLL);
    }
    call.info("heard that it is cancelled");
}

/// Promises to be quick, and sleeps for so many milliseconds. Answers with the name of the thread
/// that it was called by.
#[method(name = "echo.nap", quick)]
fn nap(ms: i32) -> Result<String, Fault> {
    if let Ok(ms @ 1..) = u64::try_from(ms) {
        thread::sleep(Duration::from_millis(ms));
    }
    let name = fs::read_to_string("/proc/thread-self/comm")
        .map_err(|error| Fault::error(error.to_string()))?;
    Ok(name.trim().to_owned())
}

/// Text of this length.
#[method(name = "echo.text")]
fn text(bytes: i32) -> String {
    "x".repeat(usize::try_from(bytes).unwrap_or(0))
}

/// Who calls, as far as the plugin is told.
#[method(name = "echo.caller")]
fn caller(call: &Call) -> Vec<String> {
    vec![
        call.caller_name().to_owned(),
        call.caller_address().to_owned(),
        call.request_id().to_owned(),
    ]
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
    methods: [
        echo, version, types, fail, error, panics, panics_elsewhere, sleep, until, wait, nap, text,
        caller, log, Echo::config, Echo::hoard,
    ],
}
