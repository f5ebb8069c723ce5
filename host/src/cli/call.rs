//! `hotcall call`: one call from the command line.

use super::connection::{Connection, failure};
use super::{Failure, json, print};

/// Call a method and print its result as JSON
#[derive(clap::Args)]
#[command(after_long_help = ARGUMENTS_HELP)]
pub(super) struct Args {
    /// Where the server is: http://, https:// (without a path, /RPC2) or unix:PATH
    url: String,
    /// The method's name
    method: String,
    /// The parameters, each in JSON or with a type in front: see below
    #[arg(allow_negative_numbers = true)]
    pub(super) args: Vec<String>,
    /// Print the response document as it came, instead of JSON
    #[arg(long)]
    xml: bool,
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
  base64:@FILE              bytes, the content of a file

In the result, a date and time is printed as a string like \"2026-01-31T12:00:00\", bytes as a string in base64, and
numbers that JSON does not have as \"NaN\", \"inf\" or \"-inf\". A fault is printed on standard error; the exit status is
then 1.";

/// Calls and prints.
pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let params = args.args.iter().map(|arg| json::argument(arg)).collect::<Result<Vec<_>, _>>()?;
    let client = args.connection.client(&args.url)?;
    let exchange = client.exchange(&args.method, &params).map_err(|error| failure(&error))?;
    if args.xml {
        print(&exchange.response)?;
    }
    let result = exchange.result().map_err(|error| failure(&error))?;
    if args.xml { Ok(()) } else { print(json::text(&result)? + "\n") }
}
