//! Reads the files that TLS needs, with a limit. Secrets are read only from files that other users
//! can neither read nor change.

use crate::net::error::Error;
use rustix::fs::{Mode, OFlags};
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Certificates with their chains, keys, bundles of authorities and lists of what they revoked.
const FILE_BYTES_MAX: u64 = 16 << 20;
/// Nobody but the owner changes a secret. Its group may read it: that is how services share one.
const SECRET_MODE_REFUSED: Mode = Mode::WGRP.union(Mode::RWXO);

/// All of a file.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, Error> {
    read_open(path, &open(path)?)
}

/// All of a file that nobody else may read or change.
pub(super) fn read_secret(path: &Path) -> Result<Vec<u8>, Error> {
    let file = open(path)?;
    // Of the open file, so that it is the one that is read.
    let found = file.metadata().map_err(|error| unreadable(path, &error))?.mode();
    let mode = Mode::from_raw_mode(found);
    if mode.intersects(SECRET_MODE_REFUSED) {
        let shown = path.display();
        return Err(Error::Tls(format!(
            "{shown} is a secret, and its mode {:03o} lets others read or change it: chmod g-w,o= \
             {shown}",
            found & 0o777
        )));
    }
    read_open(path, &file)
}

/// What is no file of bytes, such as a pipe, would have to be waited for.
fn open(path: &Path) -> Result<File, Error> {
    let opened =
        rustix::fs::open(path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty());
    let file = File::from(opened.map_err(|error| unreadable(path, &error.into()))?);
    let meta = file.metadata().map_err(|error| unreadable(path, &error))?;
    if meta.is_file() {
        Ok(file)
    } else {
        Err(Error::Tls(format!("cannot read {}: it is not a regular file", path.display())))
    }
}

fn read_open(path: &Path, file: &File) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    // One byte past the limit shows that there is more.
    file.take(FILE_BYTES_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| unreadable(path, &error))?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(Error::Tls(format!(
            "{} is larger than {FILE_BYTES_MAX} bytes",
            path.display()
        )));
    }
    Ok(bytes)
}

fn unreadable(path: &Path, error: &std::io::Error) -> Error {
    Error::Tls(format!("cannot read {}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::{CWD, FileType, mknodat};

    #[test]
    fn nothing_is_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let pipe = dir.path().join("pipe");
        mknodat(CWD, &pipe, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        for path in [pipe.as_path(), dir.path()] {
            let refused = read_secret(path).unwrap_err().to_string();
            assert!(refused.ends_with("it is not a regular file"), "{refused}");
        }
    }
}
