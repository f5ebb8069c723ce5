//! Names that were given to a file at once, by a rename or as a hard link. Such a file is whole
//! unless somebody still writes to it. Must not know what the loader does with a file.
#![allow(unsafe_code, reason = "fcntl, of which no crate that we have offers leases")]

use notify::EventKind;
use notify::event::{AccessKind, AccessMode, CreateKind, ModifyKind, RenameMode};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Names that are remembered between two looks. The files of further ones settle first.
const NAMES_MAX: usize = 1_024;

/// How a name came to its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arrival {
    Renamed,
    /// Made without a file's being renamed: a hard link or a file that is written in place.
    Created,
}

/// Names that came to their files since the last look, and were not written to since.
pub(super) struct Arrivals(Mutex<BTreeMap<OsString, Arrival>>);

impl Arrivals {
    pub(super) const fn new() -> Self {
        Self(Mutex::new(BTreeMap::new()))
    }

    /// Takes note of an event of a file in the directory. Events come in the order of the changes.
    pub(super) fn note(&self, kind: EventKind, path: &Path) {
        let Some(name) = path.file_name() else { return };
        let arrival = match kind {
            EventKind::Modify(ModifyKind::Name(RenameMode::To)) => Some(Arrival::Renamed),
            EventKind::Create(CreateKind::File) => Some(Arrival::Created),
            EventKind::Modify(ModifyKind::Data(_) | ModifyKind::Name(RenameMode::From))
            | EventKind::Access(AccessKind::Close(AccessMode::Write))
            | EventKind::Remove(_) => None,
            _ => return,
        };
        let mut names = self.lock();
        match arrival {
            Some(arrival) if names.len() < NAMES_MAX => {
                names.insert(name.to_owned(), arrival);
            }
            _ => {
                names.remove(name);
            }
        }
    }

    /// Forgets everything: events were lost, or tell of another directory.
    pub(super) fn forget(&self) {
        self.lock().clear();
    }

    /// What came since this was asked last.
    pub(super) fn take(&self) -> BTreeMap<OsString, Arrival> {
        std::mem::take(&mut *self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<OsString, Arrival>> {
        // Each change under the lock is a single call, so a poisoned map is whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Arrival {
    /// Whether the file that has the name now is whole. False when nobody can tell.
    pub(crate) fn is_whole(self, file: &File) -> bool {
        let is_new = match self {
            Self::Renamed => false,
            // A hard link gives a file another name; `open` gives a new file its only one.
            Self::Created => !file.metadata().is_ok_and(|meta| meta.nlink() > 1),
        };
        !is_new && has_no_writer(file)
    }
}

/// Whether no process has the file open for writing or mapped to be written to. The kernel tells
/// by granting a read lease; it grants one only to the file's owner and to root, and not on every
/// file system.
fn has_no_writer(file: &File) -> bool {
    let fcntl = |command, value: i32| {
        // SAFETY: these commands take an int, and the descriptor is open while `file` is borrowed.
        unsafe { libc::fcntl(file.as_raw_fd(), command, value) }
    };
    // Who opens the file for writing while the lease is held has its holder sent this signal, which
    // is ignored by default. The default signal would end the process.
    if fcntl(F_SETSIG, libc::SIGURG) != 0 || fcntl(libc::F_SETLEASE, libc::F_RDLCK) != 0 {
        return false;
    }
    fcntl(libc::F_SETLEASE, libc::F_UNLCK) == 0
}

/// Names the signal that tells of a lease; the same number on all architectures of Linux.
const F_SETSIG: i32 = 10;

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsStr;
    use std::fs;

    #[test]
    fn a_name_is_remembered_until_its_file_is_written_to() {
        let renamed = EventKind::Modify(ModifyKind::Name(RenameMode::To));
        let created = EventKind::Create(CreateKind::File);
        let (written, closed) = (
            EventKind::Modify(ModifyKind::Data(notify::event::DataChange::Any)),
            EventKind::Access(AccessKind::Close(AccessMode::Write)),
        );
        let opened = EventKind::Access(AccessKind::Open(AccessMode::Any));
        let arrivals = Arrivals::new();
        let after = |kinds: &[EventKind]| {
            kinds.iter().for_each(|kind| arrivals.note(*kind, Path::new("/plugins/a.so")));
            arrivals.take().remove(OsStr::new("a.so"))
        };
        assert_eq!(after(&[renamed, opened]), Some(Arrival::Renamed));
        assert_eq!(after(&[]), None, "it was taken");
        assert_eq!(after(&[created]), Some(Arrival::Created));
        assert_eq!(after(&[renamed, written]), None);
        assert_eq!(after(&[created, opened, closed]), None);
        assert_eq!(after(&[created, closed, renamed]), Some(Arrival::Renamed));
        (0..2 * NAMES_MAX)
            .for_each(|n| arrivals.note(renamed, Path::new(&format!("/plugins/{n}.so"))));
        assert_eq!(arrivals.take().len(), NAMES_MAX);
    }

    #[test]
    fn a_file_is_whole_once_nobody_writes_to_it() {
        let directory = tempfile::tempdir().unwrap();
        let (path, link) = (directory.path().join("a.so"), directory.path().join("b.so"));
        let writer = File::create(&path).unwrap();
        let file = File::open(&path).unwrap();
        assert!(!Arrival::Renamed.is_whole(&file), "a writer has it open");
        drop(writer);
        assert!(Arrival::Renamed.is_whole(&file));
        assert!(!Arrival::Created.is_whole(&file), "it has one name");
        fs::hard_link(&path, &link).unwrap();
        assert!(Arrival::Created.is_whole(&file));
    }
}
