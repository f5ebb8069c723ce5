//! `hotcall plugins` and `hotcall reload`: an operator's view of a server's plugins, by its
//! `hotcall.` methods.

use super::connection::{Connection, failure};
use super::output::{Failure, print};
use crate::client::Error;
use crate::text;
use crate::xmlrpc::Value;
use std::fmt::Write as _;

/// Shows a server's plugins: what serves, since when, and what is wrong
#[derive(clap::Args)]
#[command(after_help = "The server answers this on Unix sockets only: hotcall plugins \
                        unix:/run/hotcall.sock")]
pub(super) struct PluginsArgs {
    /// Where the server is, as unix:PATH
    url: String,
    #[command(flatten)]
    connection: Connection,
}

/// Reloads a plugin from its file, also one that is out of service or was refused
#[derive(clap::Args)]
#[command(after_help = "The server answers this on Unix sockets only: hotcall reload \
                        unix:/run/hotcall.sock NAME")]
pub(super) struct ReloadArgs {
    /// Where the server is, as unix:PATH
    url: String,
    /// The plugin's name, or its file's name in the plugins directory
    name: String,
    #[command(flatten)]
    connection: Connection,
}

/// Asks and prints a table.
pub(super) fn list(args: &PluginsArgs) -> Result<(), Failure> {
    let client = args.connection.client(&args.url)?;
    match client.call("hotcall.plugins", []).map_err(|error| failure(&error))? {
        Value::Array(plugins) => print(table(&plugins)),
        _ => Err(failure(&Error::Protocol(
            "hotcall.plugins did not answer with an array".to_owned(),
        ))),
    }
}

/// Asks, waits, and prints what serves now.
pub(super) fn reload(args: &ReloadArgs) -> Result<(), Failure> {
    let client = args.connection.client(&args.url)?;
    let params = [Value::from(args.name.as_str())];
    let plugin = client.call("hotcall.reload", params).map_err(|error| failure(&error))?;
    print(table(&[plugin]))
}

const COLUMNS: [(&str, &str); 10] = [
    ("PLUGIN", "name"),
    ("VERSION", "version"),
    ("STATE", "state"),
    ("RELOAD", "reload"),
    ("GENERATION", "generation"),
    ("CALLS", "calls"),
    ("FAULTS", "faults"),
    ("KEPT", "kept_generations"),
    ("LOADED", "loaded_at"),
    ("FILE", "file"),
];

/// A line for each plugin, and below it one for each thing to know.
fn table(plugins: &[Value]) -> String {
    let row = |plugin: &Value| COLUMNS.map(|(_, member)| cell(plugin.get(member)));
    let rows: Vec<_> = plugins.iter().map(row).collect();
    let mut widths = COLUMNS.map(|(title, _)| title.len());
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    let mut text = line(&COLUMNS.map(|(title, _)| title.to_owned()), &widths);
    for (plugin, row) in plugins.iter().zip(&rows) {
        text += &line(row, &widths);
        let warnings = match plugin.get("warnings") {
            Some(Value::Array(warnings)) => warnings.as_slice(),
            _ => &[],
        };
        let of = |kind, member| plugin.get(member).into_iter().map(move |note| (kind, note));
        let notes = of("description", "description").chain(of("error", "last_error"));
        let notes = notes.chain(of("next try", "retry_at"));
        let refused =
            of("callers refused", "callers_refused").filter(|(_, count)| **count != Value::Int(0));
        for (kind, note) in
            notes.chain(refused).chain(warnings.iter().map(|note| ("warning", note)))
        {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "  {kind}: {}", cell(Some(note)));
        }
    }
    text
}

fn line(cells: &[String], widths: &[usize]) -> String {
    let cells = cells.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
    format!("{}\n", cells.collect::<Vec<_>>().join("  ").trim_end())
}

/// One line of text; what is not there is a dash.
fn cell(value: Option<&Value>) -> String {
    match value {
        Some(Value::String(text)) => text::line(text).into_owned(),
        Some(Value::Int(number)) => number.to_string(),
        Some(Value::Long(number)) => number.to_string(),
        Some(Value::DateTime(moment)) => moment.to_string(),
        _ => "-".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_and_warnings_stand_below_their_plugin() {
        let plugin = |members: Vec<(&str, Value)>| {
            Value::Struct(
                members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
            )
        };
        let good = plugin(vec![
            ("name", "counter".into()),
            ("description", "Counts\u{1b}[1m".into()),
            ("state", "serving".into()),
            ("reload", "overlap".into()),
            ("generation", 12.into()),
            ("callers_refused", 0.into()),
            ("file", "/p/counter.so".into()),
        ]);
        let bad = plugin(vec![
            ("state", "refused".into()),
            ("file", "/p/x.so".into()),
            ("last_error", "no\ngood".into()),
            (
                "retry_at",
                Value::DateTime(crate::xmlrpc::parse_date_time("20260131T12:00:00Z").unwrap()),
            ),
            ("callers_refused", 2.into()),
            ("warnings", Value::Array(vec!["careful".into()])),
        ]);
        let expected = "\
PLUGIN   VERSION  STATE    RELOAD   GENERATION  CALLS  FAULTS  KEPT  LOADED  FILE
counter  -        serving  overlap  12          -      -       -     -       /p/counter.so
  description: Counts\\u{1b}[1m
-        -        refused  -        -           -      -       -     -       /p/x.so
  error: no\\ngood
  next try: 20260131T12:00:00Z
  callers refused: 2
  warning: careful
";
        assert_eq!(table(&[good, bad]), expected);
    }
}
