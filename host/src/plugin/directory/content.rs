//! The content of one file. It is read once, so that the bytes that are checked are the bytes that
//! are loaded. Must not know plugins.

use super::arrival::Arrival;
use super::permissions::{self, Policy};
use crate::plugin::refusal::Refusal;
use crate::stamp::Stamp;
use sha2::{Digest, Sha256};
use std::fmt::Write as _;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

/// A plugin's identity: the SHA-256 of its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ContentHash([u8; 32]);

/// A file, read once.
pub(crate) struct Content {
    pub(crate) stamp: Stamp,
    pub(crate) hash: ContentHash,
    pub(crate) bytes: Vec<u8>,
}

impl ContentHash {
    pub(crate) fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// From 64 hexadecimal digits of either case.
    pub(crate) fn from_hex(text: &str) -> Option<Self> {
        let mut hash = [0; 32];
        let (pairs, []) = text.as_bytes().as_chunks::<2>() else { return None };
        if pairs.len() != hash.len() {
            return None;
        }
        let digit =
            |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        for (byte, [high, low]) in hash.iter_mut().zip(pairs) {
            *byte = digit(*high)? << 4 | digit(*low)?;
        }
        Some(Self(hash))
    }

    /// 64 hexadecimal digits.
    pub(crate) fn hex(&self) -> String {
        self.0.iter().fold(String::with_capacity(64), |mut hex, byte| {
            // Writing to a String cannot fail.
            let _ = write!(hex, "{byte:02x}");
            hex
        })
    }
}

/// Reads a file, so that the bytes that are checked are the bytes that are loaded. Tells also
/// whether it is known to be whole, which only an arrival can show. A file that was linked must not
/// be younger than `settle` for that.
///
/// # Errors
/// Too large, not readable, or not to be opened by this policy.
pub(crate) fn read(
    path: &Path,
    policy: Policy,
    bytes_max: u64,
    arrival: Option<Arrival>,
    settle: Duration,
) -> Result<(Content, bool), Refusal> {
    let file = permissions::open(path, policy)?;
    let lease = arrival.and_then(|arrival| arrival.lease(&file, settle));
    let content = read_open(&file, bytes_max)?;
    // The lease covers the reading, so that nobody wrote to the file meanwhile.
    Ok((content, lease.is_some_and(|lease| lease.holds())))
}

/// Reads a file that is open.
///
/// # Errors
/// Too large, or not readable.
pub(crate) fn read_open(file: &File, bytes_max: u64) -> Result<Content, Refusal> {
    let meta = file.metadata().map_err(Refusal::io("look at it"))?;
    if meta.size() > bytes_max {
        return Err(Refusal::TooLarge { bytes_max });
    }
    /// A block of this size goes back to the system soon after it is freed. A smaller one would
    /// stay in the heap of the thread that loads.
    const MAPPED_BYTES_MIN: usize = 1 << 20;
    let size = usize::try_from(meta.size()).unwrap_or(0);
    let mut bytes = Vec::with_capacity(size.max(MAPPED_BYTES_MIN));
    // It may grow while it is read, so the size above is no bound.
    let read = file.take(bytes_max.saturating_add(1)).read_to_end(&mut bytes);
    read.map_err(Refusal::io("read it"))?;
    if bytes.len() as u64 > bytes_max {
        return Err(Refusal::TooLarge { bytes_max });
    }
    Ok(Content { stamp: Stamp::from(&meta), hash: ContentHash::of(&bytes), bytes })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn refuses_links_and_large_files() {
        let directory = tempfile::tempdir().unwrap();
        let (file, link) = (directory.path().join("a.so"), directory.path().join("b.so"));
        fs::write(&file, "12345").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        let policy = Policy { is_checked: true, follows_links: false };
        assert!(matches!(read(&link, policy, 10, None, Duration::ZERO), Err(Refusal::Symlink)));
        assert!(matches!(
            read(&file, policy, 4, None, Duration::ZERO),
            Err(Refusal::TooLarge { bytes_max: 4 })
        ));
        let (content, is_whole) = read(&file, policy, 5, None, Duration::ZERO).unwrap();
        assert!(!is_whole, "nothing shows it");
        assert_eq!(content.bytes, b"12345");
        assert_eq!(
            content.hash.hex(),
            "5994471abb01112afcc18159f6cc74b4f511b99806da59b3caf5a9c173cacfc5"
        );
        assert_eq!(ContentHash::from_hex(&content.hash.hex().to_uppercase()), Some(content.hash));
        assert_eq!(ContentHash::from_hex("5994"), None);
        assert_eq!(ContentHash::from_hex(&"g".repeat(64)), None);
    }
}
