//! Looking at the plugins directory: which files are there, and what is in one. Knows nothing of plugins.

use super::permissions::{self, Policy};
use super::trust;
use crate::plugin::refusal::Refusal;
use sha2::{Digest, Sha256};
use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Tells two contents of one name apart without reading them. Inode numbers are used again within moments, so it
/// only ever says "changed, look" and never "the same plugin": that is the content hash's to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    /// The file's length in bytes.
    pub(crate) const fn size(self) -> u64 {
        self.size
    }
}

/// A plugin's identity: the SHA-256 of its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ContentHash([u8; 32]);

/// One entry of the directory.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) name: OsString,
    /// Of a symbolic link that is followed, its target's.
    pub(crate) stamp: Stamp,
    pub(crate) is_symlink: bool,
    /// Of the signature file beside it, if that matters and is there.
    pub(crate) signature: Option<Stamp>,
}

/// What a listing looks at besides names.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Attention {
    /// A symbolic link stands for its target.
    pub(crate) follows_links: bool,
    /// Signature files matter.
    pub(crate) wants_signatures: bool,
}

/// A listing, sorted by name.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    pub(crate) entries: Vec<Entry>,
    /// There is no such directory.
    pub(crate) is_missing: bool,
}

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
        let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
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

impl From<&Metadata> for Stamp {
    fn from(meta: &Metadata) -> Self {
        Self {
            device: meta.dev(),
            inode: meta.ino(),
            size: meta.size(),
            modified: (meta.mtime(), meta.mtime_nsec()),
            changed: (meta.ctime(), meta.ctime_nsec()),
        }
    }
}

/// Lists the regular files and symbolic links named `*.so` directly inside; hidden ones, names with
/// control characters and others are passed over.
///
/// # Errors
/// The directory cannot be read, for another reason than that there is none.
pub(crate) fn list(directory: &Path, attention: Attention) -> io::Result<Listing> {
    let mut listing = Listing::default();
    let names = match fs::read_dir(directory) {
        Ok(names) => names,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            listing.is_missing = true;
            return Ok(listing);
        }
        Err(error) => return Err(error),
    };
    for name in names {
        let name = name?.file_name();
        if !is_plugin_name(&name) {
            continue;
        }
        let path = directory.join(&name);
        match look(&path, attention.follows_links) {
            Ok((meta, is_symlink)) if meta.is_file() || meta.is_symlink() => {
                let signature =
                    attention.wants_signatures.then(|| fs::metadata(trust::signature_path(&path)));
                let signature = signature.and_then(Result::ok).map(|meta| Stamp::from(&meta));
                listing.entries.push(Entry { name, stamp: Stamp::from(&meta), is_symlink, signature });
            }
            Ok(_) => {}
            // It went between the listing and the look.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    listing.entries.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    Ok(listing)
}

/// Reads a file whole, so that the bytes that are checked are the bytes that are loaded.
///
/// # Errors
/// Too large, not readable, or not to be opened by this policy.
pub(crate) fn read(path: &Path, policy: Policy, bytes_max: u64) -> Result<Content, Refusal> {
    read_open(permissions::open(path, policy)?, bytes_max)
}

/// As [`read`], of a file that was opened for it.
pub(crate) fn read_open(file: File, bytes_max: u64) -> Result<Content, Refusal> {
    let meta = file.metadata().map_err(Refusal::io("look at it"))?;
    if meta.size() > bytes_max {
        return Err(Refusal::TooLarge { bytes_max });
    }
    let mut bytes = Vec::with_capacity(usize::try_from(meta.size()).unwrap_or(0));
    // It may grow while it is read, so the size above is no bound.
    let read = file.take(bytes_max.saturating_add(1)).read_to_end(&mut bytes);
    read.map_err(Refusal::io("read it"))?;
    if bytes.len() as u64 > bytes_max {
        return Err(Refusal::TooLarge { bytes_max });
    }
    Ok(Content { stamp: Stamp::from(&meta), hash: ContentHash::of(&bytes), bytes })
}

/// What a name stands for, and whether it is a symbolic link. One that leads nowhere is not found, as a file that is
/// removed; one that cannot be followed stands for itself and says so when it is read.
fn look(path: &Path, follows_links: bool) -> io::Result<(Metadata, bool)> {
    let meta = fs::symlink_metadata(path)?;
    if !meta.is_symlink() || !follows_links {
        let is_symlink = meta.is_symlink();
        return Ok((meta, is_symlink));
    }
    match fs::metadata(path) {
        Ok(target) => Ok((target, true)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(error),
        Err(_) => Ok((meta, true)),
    }
}

fn is_plugin_name(name: &OsString) -> bool {
    let name = name.as_bytes();
    name.ends_with(b".so") && !name.starts_with(b".") && !name.iter().any(u8::is_ascii_control)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_only_visible_libraries_in_order() {
        let directory = tempfile::tempdir().unwrap();
        for name in ["b.so", "a.so", ".hidden.so", "a.so.tmp", "notes.txt"] {
            fs::write(directory.path().join(name), name).unwrap();
        }
        fs::create_dir(directory.path().join("dir.so")).unwrap();
        let entries = list(directory.path(), Attention::default()).unwrap().entries;
        let names: Vec<_> = entries.into_iter().map(|entry| entry.name).collect();
        assert_eq!(names, ["a.so", "b.so"]);
    }

    #[test]
    fn a_missing_directory_is_empty_and_said_to_be_missing() {
        let directory = tempfile::tempdir().unwrap();
        let listing = list(&directory.path().join("none"), Attention::default()).unwrap();
        assert!(listing.is_missing && listing.entries.is_empty());
    }

    #[test]
    fn refuses_links_and_large_files() {
        let directory = tempfile::tempdir().unwrap();
        let (file, link) = (directory.path().join("a.so"), directory.path().join("b.so"));
        fs::write(&file, "12345").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        let policy = Policy { is_checked: true, follows_links: false };
        assert!(matches!(read(&link, policy, 10), Err(Refusal::Symlink)));
        assert!(matches!(read(&file, policy, 4), Err(Refusal::TooLarge { bytes_max: 4 })));
        let content = read(&file, policy, 5).unwrap();
        assert_eq!(content.bytes, b"12345");
        assert_eq!(content.hash.hex(), "5994471abb01112afcc18159f6cc74b4f511b99806da59b3caf5a9c173cacfc5");
        assert_eq!(ContentHash::from_hex(&content.hash.hex().to_uppercase()), Some(content.hash));
        assert_eq!(ContentHash::from_hex("5994"), None);
        assert_eq!(ContentHash::from_hex(&"g".repeat(64)), None);
    }
}
