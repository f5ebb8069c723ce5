//! Reading what TLS needs from files, with a limit, and secrets only where they are kept as secrets.

use super::Error;
use rustix::fs::Mode;
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
            "{shown} is a secret, and its mode {:03o} lets others read or change it: chmod g-w,o= {shown}",
            found & 0o777
        )));
    }
    read_open(path, &file)
}

fn open(path: &Path) -> Result<File, Error> {
    File::open(path).map_err(|error| unreadable(path, &error))
}

fn read_open(path: &Path, file: &File) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    // One byte past the limit shows that there is more.
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(|error| unreadable(path, &error))?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(Error::Tls(format!("{} is larger than {FILE_BYTES_MAX} bytes", path.display())));
    }
    Ok(bytes)
}

fn unreadable(path: &Path, error: &std::io::Error) -> Error {
    Error::Tls(format!("cannot read {}: {error}", path.display()))
}
