//! The documents of `tests/corpus` through Hotcall's decoder, and through Python's for comparison.

use crate::trial::{trial, trial_with};
use hotcall::xmlrpc::Value;
use hotcall_tests::corpus::{Case, Kind, Outcome, cases, root};
use hotcall_tests::notation::value_of;
use hotcall_tests::{foreign, repository};
use libtest_mimic::Trial;
use serde_json::{Value as Json, json};
use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::io::Write;
use std::process::Stdio;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("corpus::each_document_is_what_it_should_be", each_document_is_what_it_should_be),
        trial_with("python3", "corpus::python_reads_the_same", python_reads_the_same),
    ]
}

/// So many documents there must be, lest a loader that finds none passes.
const DOCUMENTS_MIN: usize = 300;

fn each_document_is_what_it_should_be() {
    let cases = cases();
    assert!(cases.len() >= DOCUMENTS_MIN, "only {} documents", cases.len());
    let mut names = HashSet::new();
    let mut wrong = Vec::new();
    for case in &cases {
        if !names.insert(&case.name) {
            wrong.push(format!("{}: another has this name", case.name));
        }
        let decoded = case.decoded();
        let is_right = match (&decoded, &case.expected) {
            (Outcome::Refused(code, message), Outcome::Refused(expected, part)) => {
                code == expected && message.contains(part) && message.starts_with("line ")
            }
            (decoded, expected) => format!("{decoded:?}") == format!("{expected:?}"),
        };
        if !is_right {
            wrong.push(format!("{}: {decoded:?}\n    instead of {:?}", case.name, case.expected));
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

/// Python's `xmlrpc.client.loads` gives the same value, or both refuse, or `python-differs.txt`
/// says why not.
fn python_reads_the_same() {
    let cases = cases();
    let answers = python(&cases);
    let mut reasons = reasons();
    let mut wrong = Vec::new();
    for (case, answer) in cases.iter().zip(&answers) {
        let (ours, theirs) = (ours(&case.decoded()), theirs(case.kind, answer));
        match (ours == theirs, reasons.remove(&case.name)) {
            (true, None) | (false, Some(_)) => {}
            (true, Some(reason)) => {
                wrong.push(format!("{}: no difference any more; remove: {reason}", case.name));
            }
            (false, None) => {
                wrong.push(format!(
                    "{}:\n    Hotcall {ours:?}\n    Python  {theirs:?} {answer}",
                    case.name
                ));
            }
        }
    }
    wrong.extend(
        reasons.into_keys().map(|name| format!("python-differs.txt: no document is called {name}")),
    );
    assert!(
        wrong.is_empty(),
        "{} differences without a reason:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

/// What a decoder made of a document, as far as it can be compared; `None` when it refused.
fn ours(outcome: &Outcome) -> Option<String> {
    Some(match outcome {
        Outcome::Value(value) => comparable(value),
        Outcome::Call(call) => {
            format!("{:?} {}", call.method, list(&call.params))
        }
        Outcome::Fault(fault) => format!("{fault}"),
        Outcome::Refused(..) => return None,
    })
}

fn theirs(kind: Kind, answer: &Json) -> Option<String> {
    let value = |json: &Json| {
        value_of(json).map_or_else(|| format!("not a value: {json}"), |v| comparable(&v))
    };
    if answer.get("refused").is_some() {
        return None;
    }
    if let Some([code, message]) = answer["fault"].as_array().map(Vec::as_slice) {
        return Some(format!("fault {code}: {}", message.as_str().unwrap_or("no text")));
    }
    let params: Vec<_> = answer["params"].as_array().unwrap().iter().map(value).collect();
    match (kind, params.as_slice()) {
        (Kind::Value | Kind::Response, [only]) => Some(only.clone()),
        _ => Some(format!("{} [{}]", answer["method"], params.join(", "))),
    }
}

/// To the bit, but for the width of whole numbers, of which Python has one.
fn comparable(value: &Value) -> String {
    match value {
        Value::Int(number) => format!("whole {number}"),
        Value::Long(number) => format!("whole {number}"),
        Value::Array(items) => list(items),
        Value::Struct(members) => {
            let members =
                members.iter().map(|(name, value)| format!("{name:?}: {}", comparable(value)));
            format!("{{{}}}", members.collect::<Vec<_>>().join(", "))
        }
        other => format!("{other:?}"),
    }
}

fn list(items: &[Value]) -> String {
    format!("[{}]", items.iter().map(comparable).collect::<Vec<_>>().join(", "))
}

/// Runs Python once over all documents.
fn python(cases: &[Case]) -> Vec<Json> {
    let mut child = foreign::python_alone(&repository().join("tests/corpus/loads.py"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3 runs");
    let mut input = child.stdin.take().expect("a pipe");
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let lines: String = cases.iter().map(|case| format!("{}\n", json!(hex(&case.bytes)))).collect();
    // Python reads all before it writes, so neither waits for the other.
    input.write_all(lines.as_bytes()).expect("python3 reads");
    drop(input);
    let output = child.wait_with_output().expect("python3 ends");
    assert!(output.status.success(), "{}", output.status);
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    let answers: Vec<Json> =
        text.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    assert_eq!(answers.len(), cases.len(), "an answer for each document");
    answers
}

/// From the name of a document to why Python makes something else of it.
fn reasons() -> BTreeMap<String, String> {
    let text = fs::read_to_string(root().join("python-differs.txt")).unwrap();
    let mut reasons = BTreeMap::new();
    let mut reason = "";
    for line in text.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#')) {
        match line.strip_prefix("    ") {
            None => reason = line,
            Some(name) => {
                let before = reasons.insert(name.to_owned(), reason.to_owned());
                assert!(
                    before.is_none() && !reason.is_empty(),
                    "python-differs.txt: {name} twice or too early"
                );
            }
        }
    }
    reasons
}
