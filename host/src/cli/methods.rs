//! `hotcall methods`: what a server offers, asked of its `system.` methods.

use super::connection::{Connection, failure};
use super::output::{Failure, print, write_part};
use crate::client::{Client, Error, Signature};
use crate::text;
use crate::xmlrpc::{Value, code};

/// Lists a server's methods, or tells all about one
#[derive(clap::Args)]
pub(super) struct Args {
    /// Where the server is: http://, https:// (without a path, /RPC2) or unix:PATH
    url: String,
    /// Show all signatures and the whole help of this method
    method: Option<String>,
    #[command(flatten)]
    connection: Connection,
}

/// Methods that are asked about in one request, with two calls each: below what servers allow.
const BATCH_METHODS_MAX: usize = 100;

/// Asks and prints.
pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let client = args.connection.client(&args.url)?;
    // Only operators are told of plugins, on Unix sockets only.
    let is_local = args.url.starts_with("unix:");
    let about = |method| if is_local { plugins(&client, method) } else { String::new() };
    match &args.method {
        Some(name) => {
            let listing = one(&client, name).map_err(|error| failure(&error))?;
            print(listing + &about(Some(name)))
        }
        None if all(&client)? => print(about(None)),
        None => Ok(()),
    }
}

/// A line for each plugin that says what it is for: of those with this method, or of all. None
/// where the server does not tell.
fn plugins(client: &Client, method: Option<&String>) -> String {
    match client.call("hotcall.plugins", []) {
        Ok(Value::Array(plugins)) => plugin_lines(&plugins, method),
        _ => String::new(),
    }
}

fn plugin_lines(plugins: &[Value], method: Option<&String>) -> String {
    let has = |plugin: &Value, method: &str| match plugin.get("methods") {
        Some(Value::Array(methods)) => methods.contains(&Value::from(method)),
        _ => false,
    };
    let text = |plugin: &Value, key| plugin.get(key).and_then(|text| text.to::<String>().ok());
    let mut lines = String::new();
    for plugin in plugins.iter().filter(|plugin| method.is_none_or(|method| has(plugin, method))) {
        let named = text(plugin, "name").zip(text(plugin, "description"));
        let Some((name, description)) = named else { continue };
        let named = [name, text(plugin, "version").unwrap_or_default()].join(" ");
        put(&mut lines, &format!("plugin {}: {description}", named.trim_end()));
    }
    lines
}

fn one(client: &Client, name: &str) -> Result<String, Error> {
    let help = client.method_help(name)?;
    let signatures = or_default(client.method_signatures(name))?;
    let mut listing = signature_lines(name, &signatures);
    for line in help.trim().lines() {
        put(&mut listing, format!("    {line}").trim_end());
    }
    Ok(listing)
}

/// Prints methods as the server's answers come: a server may name very many of them. The first
/// answer that does not come ends it. False when nobody reads on.
fn all(client: &Client) -> Result<bool, Failure> {
    let names = client.list_methods().map_err(|error| failure(&error))?;
    let mut multicall = true;
    for names in names.chunks(BATCH_METHODS_MAX) {
        let answers = if multicall {
            together(client, names).map_err(|error| failure(&error))?
        } else {
            None
        };
        multicall = answers.is_some();
        let mut answers = answers.unwrap_or_default().into_iter();
        for name in names {
            let about = answers.next().map_or_else(|| alone(client, name), Ok);
            let entry = entry(name, &about.map_err(|error| failure(&error))?);
            if !write_part(entry.as_bytes())? {
                return Ok(false);
            }
        }
    }
    Ok(true)
}

/// A method's signatures and the first line of its help.
fn entry(name: &str, (signatures, help): &About) -> String {
    let mut entry = signature_lines(name, signatures);
    if let Some(line) = help.lines().map(str::trim).find(|line| !line.is_empty()) {
        put(&mut entry, &format!("    {line}"));
    }
    entry
}

/// What is known of a method: nothing where the server answers with a fault.
type About = (Vec<Signature>, String);

fn alone(client: &Client, name: &str) -> Result<About, Error> {
    Ok((or_default(client.method_signatures(name))?, or_default(client.method_help(name))?))
}

/// Asks about these methods in one request. `None` when the server does not know how.
fn together(client: &Client, names: &[String]) -> Result<Option<Vec<About>>, Error> {
    let mut batch = client.multicall();
    for name in names {
        batch
            .add("system.methodSignature", name.as_str())?
            .add("system.methodHelp", name.as_str())?;
    }
    let answers: Vec<_> = match batch.send::<Value>() {
        Ok(answers) => answers.into_iter().map(Result::unwrap_or_default).collect(),
        Err(Error::Fault(fault)) if fault.code != code::OVERLOADED => return Ok(None),
        Err(Error::Protocol(_)) => return Ok(None),
        Err(error) => return Err(error),
    };
    let about = |pair: &[Value]| match pair {
        [signatures, help] => (Signature::all(signatures), help.to().unwrap_or_default()),
        _ => About::default(),
    };
    Ok(Some(answers.chunks(2).map(about).collect()))
}

/// Servers may have help without signatures, or the other way round; what they do not have is a
/// fault.
fn or_default<T: Default>(result: Result<T, Error>) -> Result<T, Error> {
    match result {
        Err(Error::Fault(_) | Error::Mismatch(_)) => Ok(T::default()),
        result => result,
    }
}

/// A line `name(int, int) -> int` for each signature.
fn signature_lines(name: &str, signatures: &[Signature]) -> String {
    let mut lines = String::new();
    if signatures.is_empty() {
        put(&mut lines, &format!("{name}(...)"));
    }
    for signature in signatures {
        put(&mut lines, &format!("{name}{signature}"));
    }
    lines
}

/// Adds one clean line.
fn put(listing: &mut String, line: &str) {
    *listing += &text::line(line);
    listing.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn array(texts: &[&str]) -> Value {
        Value::Array(texts.iter().map(|&text| Value::from(text)).collect())
    }

    #[test]
    fn plugins_are_one_line_each() {
        let plugin = |members: &[(&str, Value)]| {
            let member = |(name, value): &(&str, Value)| ((*name).to_owned(), value.clone());
            Value::Struct(members.iter().map(member).collect())
        };
        let plugins = [
            plugin(&[
                ("name", "sums".into()),
                ("version", "1.0.0".into()),
                ("description", "Adds\n\u{1b}[1m".into()),
                ("methods", array(&["add"])),
            ]),
            plugin(&[("name", "silent".into()), ("methods", array(&["silent"]))]),
            plugin(&[("name", "words".into()), ("description", "Texts".into())]),
            Value::Nil,
        ];
        let sums = "plugin sums 1.0.0: Adds\\n\\u{1b}[1m\n";
        assert_eq!(plugin_lines(&plugins, None), format!("{sums}plugin words: Texts\n"));
        assert_eq!(plugin_lines(&plugins, Some(&"add".to_owned())), sums);
        assert_eq!(plugin_lines(&plugins, Some(&"silent".to_owned())), "");
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
            assert_eq!(signature_lines("add", &Signature::all(&signatures)), expected);
        }
    }
}
