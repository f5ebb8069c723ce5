//! What the peers of the bench `speed` answer too, besides the bundled `add` and `sum`.
#![forbid(unsafe_code)]

use hotcall_plugin::{IntoValue, method, plugin};
use std::thread;
use std::time::Duration;

const STRUCTS: i32 = 10_000;

#[derive(IntoValue)]
struct Item {
    id: i32,
    name: String,
    value: f64,
}

/// Many structs.
#[method]
fn structs() -> Vec<Item> {
    let item = |id: i32| Item { id, name: format!("name {id}"), value: f64::from(id) + 0.5 };
    (0..STRUCTS).map(item).collect()
}

/// Answers with the data that it is given.
#[method]
fn echo(data: &[u8]) -> &[u8] {
    data
}

/// Blocks its thread for 10 ms.
#[method]
fn block10ms() -> bool {
    thread::sleep(Duration::from_millis(10));
    true
}

/// How many bytes a text has.
#[method]
fn length(text: &str) -> i64 {
    i64::try_from(text.len()).unwrap_or(i64::MAX)
}

plugin! {
    name: "benched",
    methods: [structs, echo, block10ms, length],
}
