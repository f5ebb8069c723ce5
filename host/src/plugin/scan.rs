//! Looking at the plugins directory: which files are there, and what is in one. Knows nothing of plugins.

use super::refusal::Refusal;
use rustix::fs::OFlags;
use sha2::{Digest, Sha256};
use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

/// Tells two contents of one name apart without reading them. Inode numbers are used again within moments, so it
/// only ever says "changed, look" and never "the same plugin": that is the content hash's to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

/// A plugin's identity: the SHA-256 of its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ContentHash([u8; 32]);

/// One entry of the directory.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) name: OsString,
    pub(super) stamp: Stamp,
    pub(super) is_symlink: bool,
}

/// A listing, sorted by name.
#[derive(Debug, Default)]
pub(super) struct Listing {
    pub(super) entries: Vec<Entry>,
    /// There is no such directory.
    pub(super) is_missing: bool,
}

/// A file, read once.
pub(super) struct Content {
    pub(super) stamp: Stamp,
    pub(super) hash: ContentHash,
    pub(super) bytes: Vec<u8>,
}

impl ContentHash {
    pub(super) fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// 64 hexadecimal digits.
    pub(super) fn hex(&self) -> String {
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

/// Lists the regular files and symbolic links named `*.so` directly inside; hidden ones and others are passed over.
///
/// # Errors
/// The directory cannot be read, for another reason than that there is none.
pub(super) fn list(directory: &Path) -> io::Result<Listing> {
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
        match fs::symlink_metadata(directory.join(&name)) {
            Ok(meta) if meta.is_file() || meta.is_symlink() => {
                let (stamp, is_symlink) = (Stamp::from(&meta), meta.is_symlink());
                listing.entries.push(Entry { name, stamp, is_symlink });
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
/// A symbolic link, too large, or not readable.
pub(super) fn read(path: &Path, bytes_max: u64) -> Result<Content, Refusal> {
    let file = open(path)?;
    let meta = file.metadata().map_err(Refusal::io("look at it"))?;
    if !meta.is_file() {
        return Err(Refusal::NotElf("it is not a regular file"));
    }
    if meta.size() > bytes_max {
        return Err(Refusal::TooLarge { bytes_max });
    }
    let mut bytes = Vec::new();
    // It may grow while it is read, so the size above is no bound.
    let read = file.take(bytes_max.saturating_add(1)).read_to_end(&mut bytes);
    read.map_err(Refusal::io("read it"))?;
    if bytes.len() as u64 > bytes_max {
        return Err(Refusal::TooLarge { bytes_max });
    }
    Ok(Content { stamp: Stamp::from(&meta), hash: ContentHash::of(&bytes), bytes })
}

fn open(path: &Path) -> Result<File, Refusal> {
    // NONBLOCK: a FIFO put there between the look and the open must not stop the loader.
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC).bits();
    let opened = OpenOptions::new().read(true).custom_flags(flags.cast_signed()).open(path);
    opened.map_err(|error| match error.raw_os_error() {
        Some(code) if code == rustix::io::Errno::LOOP.raw_os_error() => Refusal::Symlink,
        _ => Refusal::Io { what: "open it", source: error },
    })
}

fn is_plugin_name(name: &OsString) -> bool {
    let name = name.as_bytes();
    name.ends_with(b".so") && !name.starts_with(b".")
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
        let entries = list(directory.path()).unwrap().entries;
        let names: Vec<_> = entries.into_iter().map(|entry| entry.name).collect();
        assert_eq!(names, ["a.so", "b.so"]);
    }

    #[test]
    fn a_missing_directory_is_empty_and_said_to_be_missing() {
        let directory = tempfile::tempdir().unwrap();
        let listing = list(&directory.path().join("none")).unwrap();
        assert!(listing.is_missing && listing.entries.is_empty());
    }

    #[test]
    fn refuses_links_and_large_files() {
        let directory = tempfile::tempdir().unwrap();
        let (file, link) = (directory.path().join("a.so"), directory.path().join("b.so"));
        fs::write(&file, "12345").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        assert!(matches!(read(&link, 10), Err(Refusal::Symlink)));
        assert!(matches!(read(&file, 4), Err(Refusal::TooLarge { bytes_max: 4 })));
        let content = read(&file, 5).unwrap();
        assert_eq!(content.bytes, b"12345");
        assert_eq!(content.hash.hex(), "5994471abb01112afcc18159f6cc74b4f511b99806da59b3caf5a9c173cacfc5");
    }
}
