//! What documents cost by their shape: `cargo bench -p hotcall --bench codec`.
//!
//! `decode_exact` is xml-rs alone: a comment before the root element is what the fast decoder
//! leaves at once.

#![allow(clippy::expect_used, reason = "what cannot be read or written is not timed")]

use divan::counter::BytesCount;
use divan::{Bencher, black_box};
use hotcall::xmlrpc::{
    DecodeLimits, EncodeOptions, Store, Unlimited, Value, decode_call_in, encode_call,
    parse_date_time,
};
use std::fmt;

fn main() {
    divan::main();
}

/// What the parameters of a call are.
#[derive(Clone, Copy)]
enum Shape {
    /// `add(2, 3)`.
    Add,
    /// 100,000 ints in an array.
    Ints,
    /// 10,000 structs of four members in an array.
    Structs,
    /// 100,000 doubles in an array.
    Doubles,
    /// 1 MiB of bytes.
    Binary,
    /// Texts of a kilobyte, with something to escape every 40 bytes.
    Escapes,
    /// Texts of a kilobyte that are not ASCII.
    Texts,
    /// 100 arrays within each other, 100 times.
    Nested,
}

const SHAPES: [Shape; 8] = [
    Shape::Add,
    Shape::Ints,
    Shape::Structs,
    Shape::Doubles,
    Shape::Binary,
    Shape::Escapes,
    Shape::Texts,
    Shape::Nested,
];

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Add => "add(2, 3)",
            Self::Ints => "100,000 ints",
            Self::Structs => "10,000 structs",
            Self::Doubles => "100,000 doubles",
            Self::Binary => "1 MiB of base64",
            Self::Escapes => "1,000 texts with escapes",
            Self::Texts => "1,000 texts",
            Self::Nested => "100 nests of 100",
        })
    }
}

impl Shape {
    fn params(self) -> Vec<Value> {
        let nest = || (0..100).fold(Value::Nil, |inside, _| Value::Array(vec![inside]));
        let result: Value = match self {
            Self::Add => return vec![Value::Int(2), Value::Int(3)],
            Self::Ints => (0..100_000).map(|n: i32| Value::Int(n * 7)).collect::<Vec<_>>().into(),
            Self::Structs => (0..10_000).map(member_of_staff).collect::<Vec<_>>().into(),
            Self::Doubles => {
                (0..100_000).map(|n| Value::Double(f64::from(n) * 0.37)).collect::<Vec<_>>().into()
            }
            Self::Binary => Value::Binary((0..1 << 20).map(|n: u32| n.to_le_bytes()[0]).collect()),
            Self::Escapes => {
                vec![Value::from("a < b && c > d, or so it is said & done\n".repeat(26)); 1_000]
                    .into()
            }
            Self::Texts => {
                vec![Value::from("Zoë walks the café’s cat at noon.\n".repeat(28)); 1_000].into()
            }
            Self::Nested => (0..100).map(|_| nest()).collect::<Vec<_>>().into(),
        };
        vec![result]
    }

    fn document(self) -> Vec<u8> {
        encode_call("m", &self.params(), &EncodeOptions::default()).expect("it can be written")
    }
}

fn member_of_staff(n: i32) -> Value {
    Value::Struct(vec![
        ("id".into(), n.into()),
        ("name".into(), format!("Number {n}").into()),
        ("present".into(), (n % 2 == 0).into()),
        (
            "since".into(),
            Value::DateTime(parse_date_time("20260131T12:00:00").expect("it is a date")),
        ),
    ])
}

/// As the server does.
fn read<'a>(document: &'a [u8], limits: &DecodeLimits, store: &'a Store) {
    black_box(
        decode_call_in(document, limits, store, &Unlimited).expect("it can be read").params.items(),
    );
}

fn decode(bencher: Bencher<'_, '_>, document: &[u8]) {
    let limits = DecodeLimits::default();
    bencher
        .counter(BytesCount::new(document.len()))
        .bench(|| Store::with(|store| read(black_box(document), &limits, store)));
}

#[divan::bench(args = SHAPES)]
fn decode_fast(bencher: Bencher<'_, '_>, shape: Shape) {
    decode(bencher, &shape.document());
}

#[divan::bench(args = SHAPES)]
fn decode_exact(bencher: Bencher<'_, '_>, shape: Shape) {
    let document = String::from_utf8(shape.document()).expect("it is UTF-8");
    decode(bencher, document.replacen("?>", "?><!-- -->", 1).as_bytes());
}

#[divan::bench(args = SHAPES)]
fn encode(bencher: Bencher<'_, '_>, shape: Shape) {
    let params = shape.params();
    let options = EncodeOptions::default();
    bencher
        .counter(BytesCount::new(shape.document().len()))
        .bench(|| encode_call("m", black_box(&params), &options).expect("it can be written"));
}
