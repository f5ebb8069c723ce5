//! The requests of `tests/corpus/requests.txt`, and what becomes of them. The file says what it
//! looks like.

use crate::corpus::{root, unescaped};
use crate::wire::{Answer, Wire};
use std::fmt;
use std::io::{Read, Write};

/// The server's `body_bytes_max` for them.
pub const BODY_BYTES_MAX: usize = 10_000;

/// One connection's bytes, and what becomes of them.
pub struct Row {
    /// Which no other has.
    pub name: String,
    /// What a client sends.
    pub bytes: Vec<u8>,
    /// What it is answered with, in order.
    pub statuses: Vec<Status>,
    /// What becomes of the connection.
    pub end: End,
}

/// How one request is answered.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// With this status and a body; of a call, with its result.
    Whole(u16),
    /// With this status and no body.
    Head(u16),
    /// With a fault that says that the document cannot be read.
    Fault,
}

/// What becomes of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The next request is answered on it.
    Kept,
    /// The server closes it.
    Closed,
    /// The server waits for more. When the client sends none, it closes it.
    Cut,
}

/// All of them, in order.
pub fn rows() -> Vec<Row> {
    let text = std::fs::read_to_string(root().join("requests.txt")).expect("the file");
    text.split("\n== ").skip(1).map(row).collect()
}

fn row(text: &str) -> Row {
    let (name, rest) = text.split_once('\n').expect("a name");
    let (request, expected) =
        rest.split_once("=> ").unwrap_or_else(|| panic!("{name}: nothing expected"));
    let expected = expected.lines().next().unwrap_or_default();
    let (statuses, end) = expected.rsplit_once(' ').unwrap_or(("", expected));
    let end = match end {
        "kept" => End::Kept,
        "closed" => End::Closed,
        "cut" => End::Cut,
        other => panic!("{name}: {other} is no end"),
    };
    let statuses = statuses.split(", ").filter(|status| !status.is_empty()).map(status).collect();
    Row {
        name: name.to_owned(),
        bytes: unescaped(&expanded(&request.replace('\n', ""))),
        statuses,
        end,
    }
}

fn status(text: &str) -> Status {
    let number = |text: &str| text.parse().unwrap_or_else(|_| panic!("{text} is no status"));
    match text.strip_prefix("HEAD:") {
        Some(rest) => Status::Head(number(rest)),
        None if text == "fault" => Status::Fault,
        None => Status::Whole(number(text)),
    }
}

/// With what stands in braces put in.
fn expanded(text: &str) -> String {
    const CALL: &str = "<methodCall><methodName>add</methodName>\
                        <params><param><value><int>2</int></value></param>\
                        <param><value><int>3</int></value></param></params></methodCall>";
    let mut whole = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        let (name, after) = after.split_once('}').expect("a brace that ends");
        whole += before;
        match (name, name.rsplit_once('*')) {
            ("call", _) => whole += CALL,
            ("length", _) => whole += &CALL.len().to_string(),
            ("size", _) => whole += &format!("{:x}", CALL.len()),
            (_, Some((what, times))) => whole += &what.repeat(times.parse().expect("a number")),
            _ => panic!("{{{name}}} stands for nothing"),
        }
        rest = after;
    }
    whole + rest
}

impl Row {
    /// Sends it over a new connection, in two pieces if it is to be split, and reads all its
    /// answers.
    pub fn send<S: Read + Write>(
        &self,
        wire: &mut Wire<S>,
        split: Option<usize>,
    ) -> Vec<Option<Answer>> {
        let (first, rest) = self.bytes.split_at(split.unwrap_or(0));
        for piece in [first, rest] {
            if !piece.is_empty() {
                wire.send(piece);
            }
        }
        self.statuses.iter().map(|status| wire.next(matches!(status, Status::Head(_)))).collect()
    }

    /// Where to split it: around each of its lines' ends as far as the first few go, in its middle
    /// and near both its ends.
    pub fn splits(&self) -> Vec<usize> {
        const ENDS_MAX: usize = 4;
        let length = self.bytes.len();
        let ends = (0..length).filter(|&at| self.bytes[at] == b'\n').take(ENDS_MAX);
        let mut splits: Vec<usize> = ends.flat_map(|at| [at, at + 1]).collect();
        splits.extend([1, length / 2, length.saturating_sub(1)]);
        splits.retain(|&at| (1..length).contains(&at));
        splits.sort_unstable();
        splits.dedup();
        splits
    }
}

impl Status {
    /// Whether it is answered so.
    pub fn is_of(self, answer: &Answer) -> bool {
        let is_call =
            answer.field("Content-Type").is_some_and(|given| given.starts_with("text/xml"));
        match self {
            Self::Whole(status) => answer.status == status && (!is_call || answer.is_int(5)),
            Self::Head(status) => answer.status == status && answer.body.is_empty(),
            Self::Fault => answer.status == 200 && answer.is_int(-32700),
        }
    }
}

impl fmt::Debug for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole(status) => write!(f, "{status}"),
            Self::Head(status) => write!(f, "HEAD:{status}"),
            Self::Fault => f.write_str("fault"),
        }
    }
}
