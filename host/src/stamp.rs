//! Tells whether a file was written or replaced, without reading it. Must not know which files
//! matter.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;

/// A file's state; equal when it was neither written nor replaced. Inode numbers are used again
/// within moments, so it only ever says "changed, look" and never "the same content".
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
