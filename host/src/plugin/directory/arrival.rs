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
use std::time::Duration;

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
    /// Takes a lease of the file that has the name now. `None` when somebody may still write to it,
    /// or when nobody can tell. A hard link that is younger than `settle` is such a case: writes
    /// through its other name send no event here.
    pub(super) fn lease(self, file: &File, settle: Duration) -> Option<Lease<'_>> {
        let is_new = match self {
            Self::Renamed => false,
            Self::Created => {
                let meta = file.metadata().ok()?;
                let age = meta.modified().ok()?.elapsed().ok()?;
                // A hard link gives a file another name; `open` gives a new file its only one.
                meta.nlink() == 1 || age < settle
            }
        };
        if is_new { None } else { Lease::take(file) }
    }
}

/// A read lease. The kernel grants it only while no process has the file open for writing or mapped
/// to be written to, only to the file's owner and to root, and not on every file system. Processes
/// that open the file for writing wait until the lease is given back.
pub(super) struct Lease<'f>(&'f File);

impl<'f> Lease<'f> {
    fn take(file: &'f File) -> Option<Self> {
        // The kernel sends the holder this signal when a process wants to write. It is ignored by
        // default; the usual signal would end the process.
        let is_taken = control(file, F_SETSIG, libc::SIGURG) == 0
            && control(file, libc::F_SETLEASE, libc::F_RDLCK) == 0;
        is_taken.then_some(Self(file))
    }

    /// Whether no process has wanted to write since the lease was taken.
    pub(super) fn holds(&self) -> bool {
        control(self.0, libc::F_GETLEASE, 0) == libc::F_RDLCK
    }
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        control(self.0, libc::F_SETLEASE, libc::F_UNLCK);
    }
}

fn control(file: &File, command: i32, value: i32) -> i32 {
    // SAFETY: these commands take an int, and the descriptor is open while `file` is borrowed.
    unsafe { libc::fcntl(file.as_raw_fd(), command, value) }
}

/// Names the signal that tells of a lease; the same number on all architectures of Linux.
const F_SETSIG: i32 = 10;

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsStr;
    use std::fs;
    use std::io::ErrorKind;
    use std::os::unix::fs::OpenOptionsExt;
    use std::time::SystemTime;

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
    fn a_lease_is_taken_while_nobody_writes() {
        const SETTLE: Duration = Duration::from_secs(3_600);
        let directory = tempfile::tempdir().unwrap();
        let (path, link) = (directory.path().join("a.so"), directory.path().join("b.so"));
        let writer = File::create(&path).unwrap();
        let file = File::open(&path).unwrap();
        assert!(Arrival::Renamed.lease(&file, SETTLE).is_none(), "a writer has it open");
        drop(writer);
        assert!(Arrival::Renamed.lease(&file, SETTLE).is_some_and(|lease| lease.holds()));
        let set_age = |age| file.set_modified(SystemTime::now() - age).unwrap();
        set_age(2 * SETTLE);
        assert!(Arrival::Created.lease(&file, SETTLE).is_none(), "it has one name");
        fs::hard_link(&path, &link).unwrap();
        assert!(Arrival::Created.lease(&file, SETTLE).is_some());
        set_age(SETTLE / 2);
        assert!(Arrival::Created.lease(&file, SETTLE).is_none(), "it was written to lately");
    }

    #[test]
    fn a_writer_waits_for_the_lease_and_breaks_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.so");
        fs::write(&path, "whole").unwrap();
        let file = File::open(&path).unwrap();
        let lease = Arrival::Renamed.lease(&file, Duration::ZERO).unwrap();
        let without_waiting =
            File::options().write(true).custom_flags(libc::O_NONBLOCK).open(&path);
        assert_eq!(without_waiting.unwrap_err().kind(), ErrorKind::WouldBlock);
        assert!(!lease.holds());
        drop(lease);
        File::options().write(true).open(&path).unwrap();
    }
}
