//! `hotcall methods`: what a server offers, asked of its `system.` methods.

use super::connection::{Connection, failure};
use super::{Failure, print};
use crate::client::{Client, Error};
use crate::xmlrpc::{Value, code};
use std::fmt::Write;

/// List a server's methods, or show one
#[derive(clap::Args)]
pub(super) struct Args {
    /// Where the server is: http://, https:// (without a path, /RPC2) or unix:PATH
    url: String,
    /// Show all signatures and the whole help of this method
    method: Option<String>,
    #[command(flatten)]
    connection: Connection,
}

/// Calls in one `system.multicall`: below what servers allow.
const BATCH_CALLS_MAX: usize = 200;

/// Asks and prints.
pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let client = args.connection.client(&args.url)?;
    let listing = match &args.method {
        Some(name) => one(&client, name),
        None => all(&client),
    };
    print(listing.map_err(|error| failure(&error))?)
}

fn one(client: &Client, name: &str) -> Result<String, Error> {
    let help = client.call("system.methodHelp", [Value::from(name)])?;
    let signatures = or_nil(client.call("system.methodSignature", [Value::from(name)]))?;
    let mut listing = signature_lines(name, &signatures);
    for line in text(&help).trim().lines() {
        put(&mut listing, format_args!("{}\n", format!("    {line}").trim_end()));
    }
    Ok(listing)
}

fn all(client: &Client) -> Result<String, Error> {
    let Value::Array(names) = client.call("system.listMethods", [])? else {
        return Err(Error::Protocol("system.listMethods did not answer with an array".to_owned()));
    };
    let mut listing = String::new();
    let mut multicall = true;
    for names in names.chunks(BATCH_CALLS_MAX / 2) {
        let calls: Vec<(&str, &Value)> = names
            .iter()
            .flat_map(|name| [("system.methodSignature", name), ("system.methodHelp", name)])
            .collect();
        let answers = ask(client, &calls, &mut multicall)?;
        for (name, answer) in names.iter().zip(answers.chunks(2)) {
            let [signatures, help] = answer else { break };
            listing += &signature_lines(text(name), signatures);
            if let Some(line) = text(help).lines().map(str::trim).find(|line| !line.is_empty()) {
                put(&mut listing, format_args!("    {line}\n"));
            }
        }
    }
    Ok(listing)
}

/// Each call's answer, nil where it has none: all at once, or one by one once the server has shown that it does not
/// know how.
fn ask(client: &Client, calls: &[(&str, &Value)], multicall: &mut bool) -> Result<Vec<Value>, Error> {
    if *multicall {
        match client.call("system.multicall", [batch(calls)]) {
            Ok(Value::Array(answers)) if answers.len() == calls.len() => {
                return Ok(answers.into_iter().map(answer).collect());
            }
            Ok(_) => {}
            Err(Error::Fault(fault)) if fault.code != code::OVERLOADED => {}
            Err(error) => return Err(error),
        }
        *multicall = false;
    }
    calls.iter().map(|(method, param)| or_nil(client.call(method, [(*param).clone()]))).collect()
}

/// Servers may have help without signatures, or the other way round; what they do not have is a fault.
fn or_nil(result: Result<Value, Error>) -> Result<Value, Error> {
    match result {
        Err(Error::Fault(_)) => Ok(Value::Nil),
        result => result,
    }
}

fn batch(calls: &[(&str, &Value)]) -> Value {
    let call = |&(method, param): &(&str, &Value)| {
        Value::Struct(vec![
            ("methodName".to_owned(), Value::from(method)),
            ("params".to_owned(), Value::Array(vec![param.clone()])),
        ])
    };
    Value::Array(calls.iter().map(call).collect())
}

/// A multicall's answer is an array of the one result, or a fault's struct.
fn answer(value: Value) -> Value {
    match value {
        Value::Array(mut results) => results.pop().unwrap_or_default(),
        _ => Value::Nil,
    }
}

/// A line `name(int, int) -> int` for each signature; a server without any answers with something else than arrays.
fn signature_lines(name: &str, signatures: &Value) -> String {
    let mut lines = String::new();
    if let Value::Array(signatures) = signatures {
        for signature in signatures {
            if let Value::Array(types) = signature
                && let Some((result, params)) = types.split_first()
            {
                let params: Vec<&str> = params.iter().map(text).collect();
                put(&mut lines, format_args!("{name}({}) -> {}\n", params.join(", "), text(result)));
            }
        }
    }
    if lines.is_empty() { format!("{name}(...)\n") } else { lines }
}

fn text(value: &Value) -> &str {
    match value {
        Value::String(text) => text,
        _ => "",
    }
}

fn put(listing: &mut String, line: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    let _ = listing.write_fmt(line);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn array(texts: &[&str]) -> Value {
        Value::Array(texts.iter().map(|&text| Value::from(text)).collect())
    }

    #[test]
    fn signatures_read_like_declarations() {
        let two = Value::Array(vec![array(&["int", "int", "double"]), array(&["nil"])]);
        for (signatures, expected) in [
            (two, "add(int, double) -> int\nadd() -> nil\n"),
            (Value::Array(vec![]), "add(...)\n"),
            (Value::Array(vec![array(&[])]), "add(...)\n"),
            (Value::from("signatures not supported"), "add(...)\n"),
            (Value::Nil, "add(...)\n"),
        ] {
            assert_eq!(signature_lines("add", &signatures), expected);
        }
    }

    #[test]
    fn a_fault_within_a_multicall_is_no_answer() {
        let fault = Value::Struct(vec![("faultCode".into(), Value::Int(1))]);
        assert_eq!(answer(fault), Value::Nil);
        assert_eq!(answer(array(&["help"])), Value::from("help"));
        assert_eq!(answer(Value::Array(vec![])), Value::Nil);
    }

    #[test]
    fn a_multicall_names_each_method_and_its_one_parameter() {
        let name = Value::from("add");
        let Value::Array(calls) = batch(&[("system.methodHelp", &name)]) else { panic!("not an array") };
        assert_eq!(calls.len(), 1);
        assert_eq!(calls[0].get("methodName"), Some(&Value::from("system.methodHelp")));
        assert_eq!(calls[0].get("params"), Some(&array(&["add"])));
    }
}
