//! `hotcall passwd`: gives a user of the server a password.

use super::output::{Failure, print, read_whole};
use crate::access::users;
use crate::text;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use std::io::{self, BufRead, IsTerminal, Write};
use std::path::PathBuf;

/// A line of standard input.
const LINE_BYTES_MAX: usize = 2_048;

/// Sets a user's password in a users file, which is made if there is none
///
/// Asks for the password twice on a terminal; else reads it from the first line of standard input.
/// A server that runs takes the change on SIGHUP. To remove a user, remove the line.
#[derive(clap::Args)]
pub(super) struct Args {
    /// The users file, as the config file's `users` names it
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The user's name
    #[arg(value_name = "NAME")]
    name: String,
}

/// Runs `hotcall passwd`.
///
/// # Errors
/// Why the file is as it was.
pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let password = if io::stdin().is_terminal() { ask_twice()? } else { first_line()? };
    users::set_password(&args.file, &args.name, &password).map_err(Failure::new)?;
    let file = args.file.to_string_lossy();
    print(format!("{} has a new password in {}\n", text::line(&args.name), text::line(&file)))
}

fn first_line() -> Result<String, Failure> {
    let bytes = read_whole("standard input", io::stdin().lock(), LINE_BYTES_MAX)?;
    let text = String::from_utf8(bytes).map_err(|_| Failure::new("the password is not UTF-8"))?;
    Ok(text.lines().next().unwrap_or_default().to_owned())
}

fn ask_twice() -> Result<String, Failure> {
    let _hidden = Hidden::new()
        .map_err(|error| Failure::new(format!("cannot turn the echo off: {error}")))?;
    let (first, second) = (ask("New password: ")?, ask("Once more: ")?);
    if first == second {
        Ok(first)
    } else {
        Err(Failure::new("these two differ; nothing has changed"))
    }
}

fn ask(prompt: &str) -> Result<String, Failure> {
    let failed = |error| Failure::new(format!("cannot ask for the password: {error}"));
    let mut terminal = io::stderr().lock();
    terminal.write_all(prompt.as_bytes()).and_then(|()| terminal.flush()).map_err(failed)?;
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line).map_err(failed)?;
    terminal.write_all(b"\n").map_err(failed)?;
    // A control character in it, such as that of an interrupt, is refused where passwords are
    // checked.
    line.strip_suffix('\n')
        .map(str::to_owned)
        .ok_or_else(|| Failure::new("no password was given; nothing has changed"))
}

/// The terminal without echo, and without signals, which would end the process and leave it so.
struct Hidden(Termios);

impl Hidden {
    fn new() -> rustix::io::Result<Self> {
        let before = tcgetattr(io::stdin())?;
        let mut hidden = before.clone();
        hidden.local_modes.remove(LocalModes::ECHO | LocalModes::ISIG);
        tcsetattr(io::stdin(), OptionalActions::Flush, &hidden)?;
        Ok(Self(before))
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        let _ = tcsetattr(io::stdin(), OptionalActions::Flush, &self.0);
    }
}
