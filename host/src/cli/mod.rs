//! The command line: one variant and one file for each command. Results go to standard output, all else to standard
//! error. The commands of the client side know `client` and `xmlrpc`, and nothing of the server's inside.

mod call;
mod check;
mod connection;
mod dev;
mod json;
mod logger;
mod manager;
mod methods;
mod new;
mod passwd;
mod plugins;
mod probe;
mod serve;
mod signals;

use crate::{plugin, text};
use clap::{Parser, Subcommand};
use std::io::{self, IsTerminal, Read, Write};
use std::process::ExitCode;
use std::{env, fmt};

/// An XML-RPC server whose methods are compiled plugins, and its client.
#[derive(Parser)]
#[command(name = "hotcall", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serves the plugins in a directory
    Serve(serve::ServeArgs),
    /// Builds the plugin sources in a directory, serves them, and rebuilds what changes
    Dev(dev::DevArgs),
    Call(call::Args),
    Methods(methods::Args),
    Plugins(plugins::PluginsArgs),
    Reload(plugins::ReloadArgs),
    /// Says whether plugin files would be served, and why not
    Check(check::CheckArgs),
    New(new::NewArgs),
    Passwd(passwd::Args),
    #[command(name = plugin::probe::COMMAND, hide = true)]
    Probe(probe::ProbeArgs),
    #[command(name = plugin::probe::guard::COMMAND, hide = true)]
    Guard,
}

/// Why a command did not do its work: what happened and what to do, in one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure(String);

impl Failure {
    /// A failure with this text, cleaned for a terminal. Line breaks and tabs become spaces.
    pub fn new(what: impl fmt::Display) -> Self {
        let mut line = what.to_string();
        if line.contains(['\n', '\r', '\t']) {
            let parts = line.split(['\n', '\r', '\t']).filter(|part| !part.is_empty());
            line = parts.collect::<Vec<_>>().join(" ");
        }
        Self(text::line(&line).into_owned())
    }

    /// The same with what to do about it.
    #[must_use]
    pub fn hint(self, what_to_do: &str) -> Self {
        Self(format!("{} ({})", self.0, text::line(what_to_do)))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Failure {}

/// Runs the command that the process was started with. A usage error ends the process with status 2.
pub fn run() -> ExitCode {
    crate::server::allocator::give_back_large_memory();
    let command = match Cli::try_parse() {
        Ok(cli) => cli.command,
        Err(error) => return refuse(&error),
    };
    // A server keeps a log; the other commands say what they have to say themselves.
    let serves = matches!(command, Command::Serve(_) | Command::Dev(_));
    logger::init(if serves { "info,notify=error" } else { "error" }, serves);
    let result = match command {
        Command::Serve(args) => serve::run(args),
        Command::Dev(args) => dev::run(args),
        Command::Call(args) => call::run(&args),
        Command::Methods(args) => methods::run(&args),
        Command::Plugins(args) => plugins::list(&args),
        Command::Reload(args) => plugins::reload(&args),
        Command::Check(args) => check::run(args),
        Command::New(args) => new::run(&args),
        Command::Passwd(args) => passwd::run(&args),
        Command::Probe(args) => probe::run(&args),
        Command::Guard => probe::guard(),
    };
    if let Err(failure) = &result {
        logger::say(&format!("hotcall: {failure}"));
    }
    logger::flush();
    if result.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Prints a usage error, `--help` or `--version`, and ends the process. clap repeats arguments as
/// they are, so it parses clean ones for that.
fn refuse(error: &clap::Error) -> ExitCode {
    let clean = env::args_os().map(|argument| text::line(&argument.to_string_lossy()).into_owned());
    if let Err(error) = Cli::try_parse_from(clean) {
        error.exit();
    }
    // The clean arguments are valid, so the first error is printed.
    // A standard error that is closed has nobody to tell.
    let _ = write!(io::stderr(), "{}", text::lines(&error.render().to_string()));
    u8::try_from(error.exit_code()).map_or(ExitCode::FAILURE, ExitCode::from)
}

/// Writes clean text to standard output. Line breaks stay.
fn print(output: impl AsRef<str>) -> Result<(), Failure> {
    write(text::lines(output.as_ref()).as_bytes())
}

/// Writes a server's document to standard output: clean on a terminal, else as it came.
fn print_document(document: &[u8]) -> Result<(), Failure> {
    if io::stdout().is_terminal() { print(String::from_utf8_lossy(document)) } else { write(document) }
}

/// Writes to standard output. A reader that has gone (`hotcall methods | head`) is no failure.
fn write(output: &[u8]) -> Result<(), Failure> {
    write_part(output).map(|_| ())
}

/// Writes to standard output. False when its reader has gone, and more would be in vain.
fn write_part(output: &[u8]) -> Result<bool, Failure> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(output).and_then(|()| stdout.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(Failure::new(format!("cannot write to standard output: {error}"))),
    }
}

/// Reads all of a file, or what else has this name, up to a limit.
fn read_whole(name: &str, from: impl Read, bytes_max: usize) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    // One byte past the limit shows that there is more.
    let limit = u64::try_from(bytes_max).unwrap_or(u64::MAX).saturating_add(1);
    let read = from.take(limit).read_to_end(&mut bytes);
    read.map_err(|error| Failure::new(format!("cannot read {name}: {error}")))?;
    if bytes.len() > bytes_max {
        return Err(Failure::new(format!("{name} is larger than {bytes_max} bytes")));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_failure_is_one_line() {
        let failure = Failure::new("a\r\n b\tc\u{1b}\u{9b}").hint("do d\u{202e}");
        assert_eq!(failure.to_string(), r"a  b c\u{1b}\u{9b} (do d\u{202e})");
    }

    #[test]
    fn options_stand_anywhere_and_negative_numbers_are_arguments() {
        let line = "hotcall call --user ann http://h m -5 -2.5 [-1] -1e3 --insecure string:-x --timeout 0.5";
        let Command::Call(args) = Cli::parse_from(line.split(' ')).command else { panic!("not a call") };
        assert_eq!(args.args, ["-5", "-2.5", "[-1]", "-1e3", "string:-x"]);
        assert!(Cli::try_parse_from("hotcall call http://h m --timeout 0".split(' ')).is_err());
        assert!(Cli::try_parse_from("hotcall call http://h m --cert c".split(' ')).is_err());
    }
}
