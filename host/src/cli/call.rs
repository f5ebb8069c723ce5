//! `hotcall call`: calls from the command line. One, the same one many times, or many in batches.

mod answer;
mod batch;
mod input;
mod progress;
mod repeat;

use super::connection::Connection;
use super::output::Failure;
use answer::Call;
use std::io;
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::PathBuf;

/// Calls a method and prints its result as JSON
#[derive(clap::Args)]
#[command(after_long_help = ARGUMENTS_HELP)]
pub(super) struct Args {
    /// Where the server is: http://, https:// (without a path, /RPC2) or unix:PATH
    url: String,
    /// The method's name
    #[arg(required_unless_present = "multicall", conflicts_with = "multicall")]
    method: Option<String>,
    /// The parameters, each in JSON or with a type in front: see below
    #[arg(allow_negative_numbers = true)]
    pub(super) args: Vec<String>,
    /// Print the response document as it came, instead of JSON; a terminal gets control and
    /// invisible characters as escapes
    #[arg(long, conflicts_with = "multicall")]
    xml: bool,
    /// Call so many times (up to 1,000,000), one after the other, and print the last result; how
    /// long the calls took is told on standard error. The first failure ends it
    #[arg(long, value_name = "N", value_parser = repetitions, conflicts_with = "multicall")]
    repeat: Option<NonZeroU32>,
    /// With --repeat: go on after a failure, and fail at the end
    #[arg(long, requires = "repeat")]
    keep_going: bool,
    /// Make the calls in this file, or on standard input if it is `-`: see below
    #[arg(long, value_name = "FILE")]
    multicall: Option<PathBuf>,
    /// With --multicall: send so many calls in one request
    #[arg(long, value_name = "N", default_value = "200", requires = "multicall")]
    batch: NonZeroUsize,
    #[command(flatten)]
    connection: Connection,
}

const ARGUMENTS_HELP: &str = "\
How to write ARGS:
  5  -2.5  true  null  '\"text\"'  '[1, 2]'  '{\"a\": 1}'
                            JSON; a whole number past 32 bits is sent as i8
  string:TEXT               text as it is, without quotes
  int:5  i8:5  double:5     a number of this type
  date:2026-01-31T12:00:00  a date and time, also with a fraction, Z or an offset like +01:00
  base64:TEXT               bytes, given in base64
  base64:@FILE              bytes, the content of a file; base64:@- those of standard input
  -                         standard input: each JSON value there is one argument in this place, \
  so that
                            `echo 2 3 | hotcall call URL add -` adds 2 and 3

Standard input can be read once, up to 64 MiB.

In the result, a date and time is printed as a string like \"2026-01-31T12:00:00\", bytes as a \
string in base64, and
numbers that JSON does not have as \"NaN\", \"inf\" or \"-inf\". Control and invisible characters \
are printed as \\u escapes. A fault is printed on standard error; the exit status is
then 1.

FILE of --multicall has one call on each line, in one of these forms; empty lines are skipped:
  {\"method\": \"add\", \"params\": [2, 3]}
  [\"add\", 2, 3]
The whole file is checked before the first call. It may have 1,000,000 calls in 256 MiB. They are \
sent by
system.multicall, and each result is printed on a line of its own, in order; a fault is the line
  {\"faultCode\":4,\"faultString\":\"…\"}
and then the exit status is 1, once all calls are made. When a request as a whole fails, no other \
is sent.

A bar on standard error shows how far 1,000 calls or more have come, if that is a terminal.";

/// Calls and prints.
pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let Args { args: arguments, url, connection, .. } = args;
    if let Some(file) = &args.multicall {
        let calls = batch::read(file)?;
        return batch::run(&connection.client(url)?, calls, args.batch);
    }
    let call = Call {
        method: args.method.as_deref().unwrap_or_default(),
        params: input::params(arguments, io::stdin().lock())?,
        client: connection.client(url)?,
        xml: args.xml,
    };
    match args.repeat {
        Some(times) => repeat::run(&call, times, args.keep_going),
        None => call.make()?.print(),
    }
}

fn repetitions(text: &str) -> Result<NonZeroU32, String> {
    let times = text.parse().ok().filter(|times: &NonZeroU32| times.get() <= repeat::REPEAT_MAX);
    times.ok_or_else(|| format!("not a whole number from 1 to {}", repeat::REPEAT_MAX))
}
