//! The largest requests that the default limits let in, in shapes that differ in what memory they
//! take: a value in memory is larger than its text when that is short.

use crate::documents::{self, Exchange, array, call};
use hotcall::xmlrpc::Value;

/// The default limit of a request.
pub const REQUEST_BYTES: usize = 16 << 20;
/// Below the default limit of values in a request, of which the array is one too.
const VALUES: usize = 999_000;

/// A kind of request.
pub struct Shape {
    /// As the tables have it.
    pub what: &'static str,
    /// The peak that is wanted, as a multiple of its size.
    pub times_max: Option<f64>,
    /// The request, and its answer.
    pub exchange: fn() -> Exchange,
}

const fn shape(what: &'static str, times_max: Option<f64>, exchange: fn() -> Exchange) -> Shape {
    Shape { what, times_max, exchange }
}

/// All of them, in the order of the table.
pub const SHAPES: [Shape; 8] = [
    shape("a text, whose length is answered", Some(1.1), || documents::length(REQUEST_BYTES)),
    shape("an array of ints, summed", Some(2.0), ints),
    shape("an array of short strings, counted", None, || counted("<value>a</value>", 1)),
    shape("an array of structs with one member, counted", None, || {
        counted(
            "<value><struct><member><name>a</name><value><int>1</int></value></member></struct>\
             </value>",
            2,
        )
    }),
    shape("an array of arrays of one, counted", None, || {
        counted("<value><array><data><value><int>1</int></value></data></array></value>", 2)
    }),
    shape("an array of empty values, counted", None, || counted("<value/>", 1)),
    shape("an array of strings, echoed", None, echoed_strings),
    shape("base64, echoed", None, || documents::large_echo(REQUEST_BYTES)),
];

fn ints() -> Exchange {
    let (document, count) = filled("sum", "<value><int>1</int></value>", 1);
    Exchange { document, result: Value::Int(i32::try_from(count).unwrap()) }
}

fn counted(item: &str, values: usize) -> Exchange {
    let (document, count) = filled("count", item, values);
    Exchange { document, result: Value::Int(i32::try_from(count).unwrap()) }
}

fn echoed_strings() -> Exchange {
    let (document, count) = filled("echo_strings", "<value><string>hotcall</string></value>", 1);
    Exchange { document, result: Value::Array(vec!["hotcall".into(); count]) }
}

/// A call with an array of as many items as fit, each of which is so many values; and how many
/// those are.
fn filled(method: &str, item: &str, values: usize) -> (String, usize) {
    let markup_bytes = call(method, &[array("")]).len();
    let count = ((REQUEST_BYTES - markup_bytes) / item.len()).min(VALUES / values);
    (call(method, &[array(&item.repeat(count))]), count)
}
