//! What the peers of the bench `speed` answer too, besides the bundled `add` and `sum`.
#![forbid(unsafe_code)]

use hotcall_plugin::{FromValue, IntoValue, Mismatch, Tree, Type, View, method, plugin};
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

/// How many items an array has. None of them is copied, so that what a call takes is the server's.
struct Count(usize);

impl<'a> FromValue<'a> for Count {
    const TYPE: Type = Type::Array;

    fn from_value(value: Tree<'a>) -> Result<Self, Mismatch> {
        match value.view()? {
            View::Array(items) => Ok(Self(items.len())),
            other => Err(Mismatch::new("array", &other)),
        }
    }
}

/// How many items an array has.
#[method]
fn count(items: Count) -> i32 {
    i32::try_from(items.0).unwrap_or(i32::MAX)
}

/// Answers with the strings that it is given.
#[method]
fn echo_strings(strings: Vec<&str>) -> Vec<&str> {
    strings
}

plugin! {
    name: "benched",
    methods: [structs, echo, block10ms, length, count, echo_strings],
}
