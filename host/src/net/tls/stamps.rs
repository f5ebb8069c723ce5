//! What files looked like when they were last read.

use super::settings::{Settings, files};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// What files looked like; equal when none of them was written or replaced.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Stamps(Vec<Option<Stamp>>);

#[derive(Clone, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamps {
    pub(super) fn of(settings: &Settings) -> Self {
        Self(files(&settings.certificates, settings.clients.as_ref()).map(Stamp::of).collect())
    }
}

impl Stamp {
    /// Follows links: what they lead to counts.
    fn of(path: &Path) -> Option<Self> {
        let found = fs::metadata(path).ok()?;
        Some(Self {
            device: found.dev(),
            inode: found.ino(),
            size: found.size(),
            modified: (found.mtime(), found.mtime_nsec()),
            changed: (found.ctime(), found.ctime_nsec()),
        })
    }
}
