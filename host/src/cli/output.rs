//! Output, input and errors of the commands. Must not know any command.

use crate::text;
use std::fmt;
use std::io::{self, IsTerminal, Read, Write};

/// Why a command did not do its work: what happened and what to do, in one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure(String);

impl Failure {
    /// A failure with this text, cleaned for a terminal. Line breaks and tabs become spaces.
    pub(crate) fn new(what: impl fmt::Display) -> Self {
        let mut line = what.to_string();
        if line.contains(['\n', '\r', '\t']) {
            let parts = line.split(['\n', '\r', '\t']).filter(|part| !part.is_empty());
            line = parts.collect::<Vec<_>>().join(" ");
        }
        Self(text::line(&line).into_owned())
    }

    /// The same with what to do about it.
    #[must_use]
    pub(crate) fn hint(self, what_to_do: &str) -> Self {
        Self(format!("{} ({})", self.0, text::line(what_to_do)))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Failure {}

/// Writes clean text to standard output. Line breaks stay.
pub(super) fn print(output: impl AsRef<str>) -> Result<(), Failure> {
    write(text::lines(output.as_ref()).as_bytes())
}

/// Writes a server's document to standard output: clean on a terminal, else as it came.
pub(super) fn print_document(document: &[u8]) -> Result<(), Failure> {
    if io::stdout().is_terminal() {
        print(String::from_utf8_lossy(document))
    } else {
        write(document)
    }
}

/// Writes to standard output. A reader that has gone (`hotcall methods | head`) is no failure.
fn write(output: &[u8]) -> Result<(), Failure> {
    write_part(output).map(|_| ())
}

/// Writes to standard output. False when its reader has gone, and more would be in vain.
pub(super) fn write_part(output: &[u8]) -> Result<bool, Failure> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(output).and_then(|()| stdout.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(Failure::new(format!("cannot write to standard output: {error}"))),
    }
}

/// Reads all of a file, or what else has this name, up to a limit.
pub(super) fn read_whole(
    name: &str,
    from: impl Read,
    bytes_max: usize,
) -> Result<Vec<u8>, Failure> {
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

    #[test]
    fn a_failure_is_one_line() {
        let failure = Failure::new("a\r\n b\tc\u{1b}\u{9b}").hint("do d\u{202e}");
        assert_eq!(failure.to_string(), r"a  b c\u{1b}\u{9b} (do d\u{202e})");
    }
}
