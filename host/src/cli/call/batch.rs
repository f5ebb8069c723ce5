//! `hotcall call --multicall`: the calls of a file, sent in batches.

use super::progress::Progress;
use crate::cli::connection::failure;
use crate::cli::json;
use crate::cli::output::{Failure, print, read_whole};
use crate::client::{Client, Error};
use crate::xmlrpc::{Fault, Value, code};
use std::fs::File;
use std::io;
use std::num::NonZeroUsize;
use std::path::Path;

/// How many calls a file may hold, and in how many bytes: all are read before the first is made.
const CALLS_MAX: usize = 1_000_000;
const FILE_BYTES_MAX: usize = 256 << 20;

/// A method and its parameters.
type Line = (String, Vec<Value>);

/// The calls in a file, or on standard input if it is `-`.
pub(super) fn read(file: &Path) -> Result<Vec<Line>, Failure> {
    let name = file.display().to_string();
    if name == "-" {
        let name = "standard input";
        return lines(name, &read_whole(name, io::stdin().lock(), FILE_BYTES_MAX)?);
    }
    let open =
        File::open(file).map_err(|error| Failure::new(format!("cannot open {name}: {error}")))?;
    lines(&name, &read_whole(&name, open, FILE_BYTES_MAX)?)
}

/// Makes the calls and prints a line for each.
pub(super) fn run(client: &Client, calls: Vec<Line>, batch: NonZeroUsize) -> Result<(), Failure> {
    const FEWER: &str = "send fewer calls in one request with --batch";
    let total = calls.len();
    let progress = Progress::new(total);
    let (mut made, mut faults) = (0, 0);
    let mut calls = calls.into_iter();
    while calls.len() > 0 {
        let part: Vec<_> = calls.by_ref().take(batch.get()).collect();
        let results = send(client, part).map_err(|error| {
            let what = Failure::new(format!("after {made} of {total} calls: {}", failure(&error)));
            match error {
                Error::Http { status: 413, .. } => what.hint(FEWER),
                // The batch's own parameter, not that of a call in it, was refused.
                Error::Fault(fault) if fault.code == code::INVALID_PARAMS => what.hint(FEWER),
                _ => what,
            }
        })?;
        progress.add(results.len());
        made += results.len();
        faults += results.iter().filter(|result| result.is_err()).count();
        let mut output = String::new();
        for result in results {
            output += &json::line(&result.unwrap_or_else(entry))?;
            output.push('\n');
        }
        progress.aside(|| print(output))?;
    }
    match faults {
        0 => Ok(()),
        faults => Err(Failure::new(format!("{faults} of {total} calls ended in a fault"))),
    }
}

fn send(client: &Client, calls: Vec<Line>) -> Result<Vec<Result<Value, Fault>>, Error> {
    let mut multicall = client.multicall();
    multicall.calls_max(calls.len());
    for (method, params) in calls {
        multicall.add(&method, params)?;
    }
    multicall.send()
}

/// A fault as it stands among the results of a multicall.
fn entry(Fault { code, message }: Fault) -> Value {
    Value::Struct(vec![
        ("faultCode".to_owned(), Value::Int(code)),
        ("faultString".to_owned(), Value::String(message)),
    ])
}

/// Reads the lines of a file of this name.
fn lines(name: &str, bytes: &[u8]) -> Result<Vec<Line>, Failure> {
    let text =
        str::from_utf8(bytes).map_err(|_| Failure::new(format!("{name} is not UTF-8 text")))?;
    let mut calls = Vec::new();
    for (at, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let place = format!("{name}, line {}", at + 1);
        if calls.len() == CALLS_MAX {
            return Err(Failure::new(format!("{place}: more than {CALLS_MAX} calls")));
        }
        let wrong = || {
            Failure::new(format!("{place} is not a call"))
                .hint("write {\"method\": \"add\", \"params\": [2, 3]} or [\"add\", 2, 3]")
        };
        let [value] = <[Value; 1]>::try_from(json::values(&place, line)?).map_err(|_| wrong())?;
        calls.push(call(value).ok_or_else(wrong)?);
    }
    Ok(calls)
}

fn call(value: Value) -> Option<Line> {
    match value {
        Value::Array(mut items) if !items.is_empty() => match items.remove(0) {
            Value::String(method) => Some((method, items)),
            _ => None,
        },
        Value::Struct(members) => {
            let (mut method, mut params) = (None, Vec::new());
            for member in members {
                match (member.0.as_str(), member.1) {
                    ("method", Value::String(name)) => method = Some(name),
                    ("params", Value::Array(values)) => params = values,
                    _ => return None,
                }
            }
            Some((method?, params))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_a_line_are_read() {
        let text = b"{\"method\": \"add\", \"params\": [2, 3]}\n\n[\"add\", 2, 3]\r\n\
                     {\"params\": [], \"method\": \"m\"}\n[\"m\"]\n{\"method\":\"m\"}";
        let add = ("add".to_owned(), vec![Value::Int(2), Value::Int(3)]);
        let m = ("m".to_owned(), vec![]);
        assert_eq!(lines("f", text).unwrap(), [add.clone(), add, m.clone(), m.clone(), m]);
        assert_eq!(lines("f", b"\n").unwrap(), []);
    }

    #[test]
    fn a_wrong_line_is_named() {
        for line in [
            "[]",
            "[1]",
            "5",
            "{}",
            "{\"method\":1}",
            "{\"method\":\"m\",\"params\":{}}",
            "{\"method\":\"m\",\"x\":1}",
            "[\"m\"] [\"m\"]",
        ] {
            let failure =
                lines("f", format!("[\"m\"]\n{line}\n").as_bytes()).unwrap_err().to_string();
            assert!(failure.starts_with("f, line 2 is not a call (write {"), "{line}: {failure}");
        }
        let failure = lines("f", b"\n[\"m\"").unwrap_err().to_string();
        assert!(failure.starts_with("f, line 2 is not JSON: "), "{failure}");
        assert_eq!(lines("f", b"\xff").unwrap_err().to_string(), "f is not UTF-8 text");
    }
}
