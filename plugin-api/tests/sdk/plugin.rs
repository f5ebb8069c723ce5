//! The plugin under test, as an author writes one.

use hotcall_plugin::{
    Bytes, Call, DateTime, Fault, FromValue, Handover, Host, IntoValue, Level, State, Value,
    method, plugin,
};
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::error::Error;
use std::sync::atomic::{AtomicI32, Ordering};

/// Defines methods that answer with their only parameter.
macro_rules! echoes {
    ($($name:ident: $ty:ty),* $(,)?) => {$(
        #[method]
        fn $name(value: $ty) -> $ty { value }
    )*};
}
echoes! {
    echo_bool: bool, echo_i8: i8, echo_i16: i16, echo_i32: i32, echo_i64: i64, echo_u8: u8,
    echo_u16: u16, echo_u32: u32, echo_f64: f64, echo_string: String, echo_str: &str,
    echo_cow: Cow<'_, str>, echo_slice: &[u8], echo_bytes: Bytes, echo_datetime: DateTime,
    echo_value: Value, echo_vec: Vec<i32>, echo_option: Option<i32>,
    echo_hash_map: HashMap<String, i32>, echo_tree_map: BTreeMap<&str, Vec<i32>>,
    echo_pair: (i32, &str), echo_eight: (i32, i32, i32, i32, i32, i32, i32, bool),
    echo_points: Vec<Point>, echo_labelled: Labelled<'_, i32>, echo_byte_array: Vec<u8>,
    echo_unit: (),
}

#[derive(FromValue, IntoValue)]
pub(crate) struct Point {
    x: f64,
    y: f64,
    #[hotcall(rename = "the label")]
    label: Option<String>,
}

#[derive(FromValue, IntoValue)]
struct Labelled<'a, T> {
    r#type: &'a str,
    value: T,
}

/// Adds two integers.
///
/// Faults when the sum is too large.
#[method(idempotent, quick)]
fn add(a: i32, b: i32) -> Result<i32, Fault> {
    a.checked_add(b).ok_or_else(|| Fault::invalid_params("sum exceeds 32 bits"))
}

#[method]
fn greet(name: &str, title: Option<&str>, times: Option<i32>) -> String {
    format!("{}{name}", title.map(|t| format!("{t} ")).unwrap_or_default())
        .repeat(times.unwrap_or(1).try_into().unwrap_or(0))
}

#[method]
fn option_first(a: Option<i32>, b: i32) -> i32 {
    a.unwrap_or(100) + b
}

#[method]
fn nothing() {}

#[method]
fn several() -> (i32, &'static str, [f64; 2]) {
    (1, "two", [3.0, 4.0])
}

#[method(signatures("int(int)", "string()"))]
fn dynamic(_: Value) -> Value {
    Value::Nil
}

// The names of the macro's own locals and types must not get in the way.
#[method]
fn call(state: i32, arguments: i32, p0: i32) -> i32 {
    state + arguments + p0
}

#[method]
fn borrowed<'a>(text: &'a str, _other: &str) -> Result<&'a str, Fault> {
    text.get(1..).ok_or(Fault::new(7, "too short"))
}

#[method]
fn plain_error() -> Result<i32, String> {
    Err("it broke".to_owned())
}

#[method]
fn boxed_error(text: &str) -> Result<i32, Box<dyn Error>> {
    if text.is_empty() {
        return Err(Fault::new(12, "a fault in a box").into());
    }
    Ok(text.parse()?)
}

#[method]
fn panics(how: &str) {
    struct Bomb(i32);
    impl Drop for Bomb {
        fn drop(&mut self) {
            if self.0 > 0 {
                std::panic::panic_any(Bomb(self.0 - 1));
            }
        }
    }
    match how {
        "text" => panic!("plain"),
        "format" => panic!("number {}", how.len()),
        "other" => std::panic::panic_any(5),
        _ => std::panic::panic_any(Bomb(2)),
    }
}

/// Panics while the result is built.
struct Unbuildable;

impl IntoValue for Unbuildable {
    const TYPE: hotcall_plugin::Type = hotcall_plugin::Type::Nil;

    fn into_value<'c>(
        self,
        _: hotcall_plugin::Arena<'c>,
    ) -> Result<hotcall_plugin::Built<'c>, Fault> {
        panic!("while building")
    }
}

#[method]
fn unbuildable() -> Unbuildable {
    Unbuildable
}

#[method]
fn context(call: &Call) -> (i64, bool, String, String, String) {
    call.log(Level::Error, 1);
    call.error("e");
    call.warn("w");
    call.info("i");
    call.debug("d");
    call.trace(format_args!("t{}", 5));
    let text = str::to_owned;
    (
        call.remaining().as_millis().try_into().unwrap(),
        call.cancelled(),
        text(call.caller_name()),
        text(call.caller_address()),
        text(call.request_id()),
    )
}

pub(crate) mod nested {
    use hotcall_plugin::method;

    #[method(name = "nested.twice")]
    pub(crate) fn twice(a: i32) -> i32 {
        a * 2
    }
}

/// Counts, and says to its host's log what becomes of it.
pub(crate) struct Counter {
    host: Host,
    count: AtomicI32,
    config: Config,
}

#[derive(FromValue, Default)]
struct Config {
    start: Option<i32>,
    panic_in: Option<String>,
}

impl Counter {
    fn maybe_panic(&self, place: &str) {
        assert!(self.config.panic_in.as_deref() != Some(place), "wanted in {place}");
    }

    /// Adds to the count.
    #[method(name = "counter.increment")]
    fn increment(&self, call: &Call, by: Option<i32>) -> i32 {
        call.info("incrementing");
        let by = by.unwrap_or(1);
        self.count.fetch_add(by, Ordering::Relaxed) + by
    }

    #[method]
    fn host_facts(&self) -> (&str, String, Value) {
        let directory = self.host.data_directory().display().to_string();
        (self.host.version(), directory, self.host.config().unwrap())
    }
}

impl State for Counter {
    fn create(host: Host) -> Result<Self, Fault> {
        let config: Config = host.config()?;
        host.info("created");
        let this = Self { host, count: AtomicI32::new(config.start.unwrap_or(0)), config };
        this.maybe_panic("create");
        Ok(this)
    }

    fn quiesce(&self) {
        self.host.debug("quiesced");
        self.maybe_panic("quiesce");
    }
}

impl Handover for Counter {
    const VERSION: u32 = 3;

    fn save(&self) -> Result<Value, Fault> {
        self.maybe_panic("save");
        Ok(Value::Struct(vec![("count".into(), self.count.load(Ordering::Relaxed).into())]))
    }

    fn load(&self, version: u32, state: Value) -> Result<(), Fault> {
        self.maybe_panic("load");
        match (version, state.get("count")) {
            (Self::VERSION, Some(Value::Int(count))) => self.count.store(*count, Ordering::Relaxed),
            _ => return Err(Fault::error("a state that is not mine")),
        }
        Ok(())
    }
}

impl Drop for Counter {
    fn drop(&mut self) {
        self.host.warn(format_args!("dropped at {}", self.count.load(Ordering::Relaxed)));
        let host = self.host.clone();
        LEFT_BEHIND.with_borrow_mut(|hosts| hosts.push(host));
        self.maybe_panic("drop");
    }
}

thread_local! {
    /// Handles that outlive their instance.
    static LEFT_BEHIND: std::cell::RefCell<Vec<Host>> =
        const { std::cell::RefCell::new(Vec::new()) };
}

/// Uses every handle that outlived its instance on this thread; answers what each says of its
/// configuration.
pub(crate) fn use_handles_left_behind() -> Vec<Result<Value, Fault>> {
    let use_one = |host: Host| {
        host.error("after the end");
        host.config()
    };
    LEFT_BEHIND.take().into_iter().map(use_one).collect()
}

plugin! {
    name: "under-test_1",
    version: "9.8.7",
    state: Counter,
    handover: true,
    reload: exclusive,
    methods: [
        echo_bool, echo_i8, echo_i16, echo_i32, echo_i64, echo_u8, echo_u16, echo_u32, echo_f64,
        echo_string, echo_str, echo_cow, echo_slice, echo_bytes, echo_datetime, echo_value,
        echo_vec, echo_option, echo_hash_map, echo_tree_map, echo_pair, echo_eight, echo_points,
        echo_labelled, echo_byte_array, echo_unit, add, greet, option_first, nothing, several,
        dynamic, call, borrowed, plain_error, boxed_error, panics, unbuildable, context,
        nested::twice, Counter::increment, Counter::host_facts,
    ],
}
