//! The documents of `tests/corpus`, read from its text files. What the files look like is in
//! `tests/corpus/README.md`.

use crate::notation::value_of;
use crate::shared::repository;
use hotcall::xmlrpc::{Call, DecodeLimits, Document, Fault, Value, decode_call, decode_response};
use std::fs;
use std::path::Path;

/// One document with what becomes of it.
pub struct Case {
    /// `folder/file: name`, which no other has.
    pub name: String,
    /// What it is, by the folder that it is in.
    pub kind: Kind,
    /// The document as a client sends it.
    pub bytes: Vec<u8>,
    content_type: String,
    limits: DecodeLimits,
    /// What Hotcall makes of it.
    pub expected: Outcome,
}

/// What a document is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// One `<value>`; what is sent is a call with it as its only parameter.
    Value,
    /// A whole request.
    Call,
    /// A whole response.
    Response,
}

/// What a decoder makes of a document.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// Of a [`Kind::Value`] or a [`Kind::Response`].
    Value(Value),
    /// Of a [`Kind::Call`].
    Call(Call),
    /// Of a [`Kind::Response`] that is a fault.
    Fault(Fault),
    /// The code, and a part of the message.
    Refused(i32, String),
}

impl Case {
    /// The header that comes with it; empty when none does.
    pub fn content_type(&self) -> &str {
        &self.content_type
    }

    /// What Hotcall's decoder makes of it.
    pub fn decoded(&self) -> Outcome {
        let document = Document::from(&self.bytes).with_content_type(&self.content_type);
        if self.kind == Kind::Response {
            return match decode_response(document, &self.limits) {
                Ok(Ok(value)) => Outcome::Value(value),
                Ok(Err(fault)) => Outcome::Fault(fault),
                Err(error) => Outcome::Refused(error.code, error.message),
            };
        }
        match decode_call(document, &self.limits) {
            Ok(mut call) if self.kind == Kind::Value && call.params.len() == 1 => {
                Outcome::Value(call.params.remove(0))
            }
            Ok(call) => Outcome::Call(call),
            Err(fault) => Outcome::Refused(fault.code, fault.message),
        }
    }
}

/// All documents, in the order of their files.
pub fn cases() -> Vec<Case> {
    let folders = [("values", Kind::Value), ("calls", Kind::Call), ("responses", Kind::Response)];
    folders.into_iter().flat_map(|(folder, kind)| folder_cases(folder, kind)).collect()
}

fn folder_cases(folder: &str, kind: Kind) -> Vec<Case> {
    let entries = fs::read_dir(root().join(folder)).unwrap();
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let read = |file: &Path| {
        let text = fs::read_to_string(file).unwrap();
        let theme = format!("{folder}/{}", file.file_stem().unwrap().to_string_lossy());
        let documents = text.split("\n== ").skip(1);
        documents.map(|document| case(&theme, kind, document)).collect::<Vec<_>>()
    };
    files.iter().flat_map(|file| read(file)).collect()
}

/// Where the corpus is.
pub fn root() -> std::path::PathBuf {
    repository().join("tests/corpus")
}

/// One document, from its name on.
fn case(theme: &str, kind: Kind, text: &str) -> Case {
    let (title, rest) = text.split_once('\n').unwrap_or((text, ""));
    let name = format!("{theme}: {}", title.trim());
    let (options, rest) = options(rest);
    let at =
        rest.rfind("\n=").unwrap_or_else(|| panic!("{name} has no line that begins with => or =!"));
    let (document, expected) = (&rest[..at], rest[at + 1..].trim());
    let mut case = Case {
        kind,
        bytes: Vec::new(),
        content_type: String::new(),
        limits: DecodeLimits::default(),
        expected: outcome(&name, kind, expected),
        name,
    };
    let mut document = document.to_owned();
    if kind == Kind::Value {
        document = format!(
            "<?xml version='1.0'?><methodCall><methodName>m</methodName>\
             <params><param>{document}</param></params></methodCall>"
        );
    }
    let mut encoding = "utf-8";
    let mut escaped = false;
    for option in options {
        match option.split_once(' ').unwrap_or((option, "")) {
            ("content-type", value) => case.content_type = value.to_owned(),
            ("encoding", value) => encoding = value,
            ("escapes", "") => escaped = true,
            ("limit", value) => limit(&mut case.limits, value),
            (other, _) => panic!("{}: {other} is no option", case.name),
        }
    }
    case.bytes = match (escaped, encoding) {
        (true, "utf-8") => unescaped(&document),
        (_, "utf-8") => document.into_bytes(),
        (false, "utf-16le") => document.encode_utf16().flat_map(u16::to_le_bytes).collect(),
        (false, "utf-16be") => document.encode_utf16().flat_map(u16::to_be_bytes).collect(),
        (_, other) => panic!("{}: {other} with these options is not understood", case.name),
    };
    case
}

/// The lines that begin with `%`, and the rest.
fn options(text: &str) -> (Vec<&str>, &str) {
    let mut options = Vec::new();
    let mut rest = text;
    while let Some(option) = rest.strip_prefix('%') {
        let (option, after) = option.split_once('\n').unwrap_or((option, ""));
        options.push(option.trim());
        rest = after;
    }
    (options, rest)
}

fn limit(limits: &mut DecodeLimits, text: &str) {
    let (key, number) = text.split_once(' ').unwrap();
    let place = match key {
        "bytes_max" => &mut limits.bytes_max,
        "depth_max" => &mut limits.depth_max,
        "values_max" => &mut limits.values_max,
        "text_bytes_max" => &mut limits.text_bytes_max,
        "method_bytes_max" => &mut limits.method_bytes_max,
        "name_bytes_max" => &mut limits.name_bytes_max,
        "element_name_bytes_max" => &mut limits.element_name_bytes_max,
        "attribute_bytes_max" => &mut limits.attribute_bytes_max,
        "attributes_max" => &mut limits.attributes_max,
        _ => panic!("{key} is no limit"),
    };
    *place = number.parse().unwrap();
}

/// `\r`, `\n`, `\t`, `\\` and `\xE9`, a byte.
pub(crate) fn unescaped(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some((plain, escape)) = rest.split_once('\\') {
        bytes.extend_from_slice(plain.as_bytes());
        let (byte, len) = match escape.as_bytes()[0] {
            b'r' => (b'\r', 1),
            b'n' => (b'\n', 1),
            b't' => (b'\t', 1),
            b'\\' => (b'\\', 1),
            b'x' => (u8::from_str_radix(&escape[1..3], 16).unwrap(), 3),
            other => panic!("\\{} is no escape", char::from(other)),
        };
        bytes.push(byte);
        rest = &escape[len..];
    }
    bytes.extend_from_slice(rest.as_bytes());
    bytes
}

fn outcome(name: &str, kind: Kind, text: &str) -> Outcome {
    let json = |text: &str| {
        let json =
            serde_json::from_str(text).unwrap_or_else(|error| panic!("{name}: {text}: {error}"));
        value_of(&json).unwrap_or_else(|| panic!("{name}: {text} is no value"))
    };
    if let Some(refusal) = text.strip_prefix("=! ") {
        let (code, part) = refusal.split_once(' ').unwrap_or((refusal, ""));
        return Outcome::Refused(code.parse().unwrap(), part.to_owned());
    }
    let text = text.strip_prefix("=> ").unwrap_or_else(|| panic!("{name}: {text}"));
    if let Some(fault) = text.strip_prefix("fault ") {
        let (code, message) = fault.split_once(' ').unwrap_or((fault, ""));
        return Outcome::Fault(Fault::new(code.parse().unwrap(), message));
    }
    match (kind, json(text)) {
        (Kind::Call, Value::Array(mut all)) if !all.is_empty() => match all.remove(0) {
            Value::String(method) => Outcome::Call(Call { method, params: all }),
            _ => panic!("{name}: a call begins with its method's name"),
        },
        (Kind::Call, _) => {
            panic!("{name}: a call is a list of its method's name and its parameters")
        }
        (_, value) => Outcome::Value(value),
    }
}
