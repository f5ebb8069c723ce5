//! The command line: one variant and one file for each command.
//!
//! Results go to standard output, everything else to standard error. The client commands know
//! `client` and `xmlrpc`, and must not know the server.

mod call;
mod check;
mod connection;
mod dev;
mod flags;
mod json;
mod logger;
mod manager;
mod methods;
mod new;
mod output;
mod passwd;
mod plugins;
mod probe;
mod serve;
mod signals;

use crate::{plugin, text};
use clap::{Parser, Subcommand};
use std::env;
use std::io::{self, Write};
use std::process::ExitCode;

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

/// Runs the command that the process was started with. A usage error ends the process with
/// status 2.
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

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn options_stand_anywhere_and_negative_numbers_are_arguments() {
        let line = "hotcall call --user ann http://h m -5 -2.5 [-1] -1e3 --insecure string:-x \
                    --timeout 0.5";
        let Command::Call(args) = Cli::parse_from(line.split(' ')).command else {
            panic!("not a call")
        };
        assert_eq!(args.args, ["-5", "-2.5", "[-1]", "-1e3", "string:-x"]);
        assert!(Cli::try_parse_from("hotcall call http://h m --timeout 0".split(' ')).is_err());
        assert!(Cli::try_parse_from("hotcall call http://h m --cert c".split(' ')).is_err());
    }
}
