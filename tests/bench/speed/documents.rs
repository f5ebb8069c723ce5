//! The documents that all peers get, and the values that all must answer.

use hotcall::xmlrpc::Value;
use std::fmt::Write;

/// Ints of the long array.
pub const INTS: i32 = 100_000;
/// Structs of the long answer.
const STRUCTS: i32 = 10_000;
/// Calls of the batch.
const BATCH: i32 = 1_000;
/// Ints of the long array are below this, so that 32 bits hold their sum.
const INT_MAX: i32 = 20_000;

/// A document and its right answer.
pub struct Exchange {
    /// What is posted.
    pub document: String,
    /// What the method's result is.
    pub result: Value,
}

/// `add(2, 3)`.
pub fn add() -> Exchange {
    let params = [int(2), int(3)];
    Exchange { document: call("add", &params), result: Value::Int(5) }
}

/// The sum of many ints.
pub fn sum() -> Exchange {
    let numbers = || (0..INTS).map(|n| n.wrapping_mul(7_919).rem_euclid(INT_MAX));
    let items: String = numbers().map(int).collect();
    Exchange { document: call("sum", &[array(&items)]), result: Value::Int(numbers().sum()) }
}

/// Many structs, for the asking.
pub fn structs() -> Exchange {
    let item = |id: i32| {
        let members = [
            ("id", Value::Int(id)),
            ("name", Value::from(format!("name {id}").as_str())),
            ("value", Value::Double(f64::from(id) + 0.5)),
        ];
        Value::Struct(members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
    };
    Exchange {
        document: call("structs", &[]),
        result: Value::Array((0..STRUCTS).map(item).collect()),
    }
}

/// So many bytes that come back.
pub fn echo(bytes: usize) -> Exchange {
    echo_of((0..bytes).map(|n| n.wrapping_mul(31).to_le_bytes()[0]).collect())
}

fn echo_of(bytes: Vec<u8>) -> Exchange {
    let text = openssl::base64::encode_block(&bytes);
    let param = format!("<value><base64>{text}</base64></value>\n");
    Exchange { document: call("echo", &[param]), result: Value::Binary(bytes) }
}

/// Bytes that come back, of which the whole document has about so many bytes.
pub fn large_echo(document_bytes: usize) -> Exchange {
    /// What is round them, at most.
    const MARKUP_BYTES: usize = 300;
    let bytes = vec![b'x'; (document_bytes - MARKUP_BYTES) / 4 * 3];
    echo_of(bytes)
}

/// Many calls of `add` in one.
pub fn multicall() -> Exchange {
    let mut calls = String::new();
    for n in 0..BATCH {
        let params = array(&[int(n), int(3)].concat());
        write!(
            calls,
            "<value><struct>\n\
             <member>\n<name>methodName</name>\n<value><string>add</string></value>\n</member>\n\
             <member>\n<name>params</name>\n{params}</member>\n\
             </struct></value>\n"
        )
        .expect("a string takes it");
    }
    let result = (0..BATCH).map(|n| Value::Array(vec![Value::Int(n + 3)])).collect();
    Exchange { document: call("system.multicall", &[array(&calls)]), result: Value::Array(result) }
}

/// What a worker answers and no plugin: who the server is.
pub fn identity() -> Exchange {
    let identity = concat!("Hotcall/", env!("CARGO_PKG_VERSION"));
    Exchange { document: call("system.identity", &[]), result: identity.into() }
}

/// 10 ms of waiting.
pub fn block() -> Exchange {
    Exchange { document: call("block10ms", &[]), result: Value::Bool(true) }
}

/// A text of which the whole document has so many bytes, and its length.
pub fn length(document_bytes: usize) -> Exchange {
    let document =
        |text: &str| call("length", &[format!("<value><string>{text}</string></value>\n")]);
    let length = document_bytes - document("").len();
    Exchange { document: document(&"x".repeat(length)), result: Value::from(length as i64) }
}

/// A call, as Python's client writes it.
pub fn call(method: &str, params: &[String]) -> String {
    let params: String = params.iter().map(|value| format!("<param>\n{value}</param>\n")).collect();
    format!(
        "<?xml version='1.0'?>\n<methodCall>\n<methodName>{method}</methodName>\n\
         <params>\n{params}</params>\n</methodCall>\n"
    )
}

fn int(number: i32) -> String {
    format!("<value><int>{number}</int></value>\n")
}

/// An array of these values.
pub fn array(items: &str) -> String {
    format!("<value><array><data>\n{items}</data></array></value>\n")
}
