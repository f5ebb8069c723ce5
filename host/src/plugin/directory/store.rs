//! The server's own place on disk: private copies of plugins, and plugins' data directories.
//!
//! Only a private copy is ever mapped, because nobody writes over it. Each generation has its own
//! path: `dlopen` takes no descriptor, and for a known path it returns the code that it already
//! has. The way to the state directory is checked at the start, so nobody can swap a copy before
//! it is mapped. Knows no ELF and no ABI.

use super::content::ContentHash;
use super::permissions;
use crate::plugin::error::Error;
use crate::plugin::refusal::Refusal;
use rustix::fs::StatVfsMountFlags;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{process, thread};

/// Runs of one process at once, counting stale ones of an earlier process with its id.
const RUNS_MAX: u32 = 1_000;
/// How often the state directory's lock is asked for, and how long to wait in between.
const LOCK_TRIES_MAX: u32 = 100;
const LOCK_WAIT: Duration = Duration::from_millis(50);

/// One process's private directory, for as long as this lives.
pub(crate) struct Store {
    run: PathBuf,
    data: PathBuf,
    /// Locked, so that other servers see that this run is alive.
    _lock: File,
}

impl Store {
    /// Makes the directory, tests that code in it can be loaded, and removes what dead servers
    /// left.
    pub(crate) fn open(state_dir: &Path, is_checked: bool) -> Result<Self, Error> {
        let state_dir = std::path::absolute(state_dir).map_err(Error::state(state_dir))?;
        make_state_dir(&state_dir, is_checked)?;
        // Held until this run's own lock is taken: another server starting now would else take it
        // for stale.
        let _starting = lock_state(&state_dir)?;
        remove_stale(&state_dir);
        let run = make_run(&state_dir).map_err(Error::state(&state_dir))?;
        let lock = lock_run(&run).map_err(Error::state(&run))?;
        let store = Self { run, data: state_dir.join("data"), _lock: lock };
        let mount =
            rustix::fs::statvfs(&store.run).map_err(|e| Error::state(&state_dir)(e.into()))?;
        if mount.f_flag.contains(StatVfsMountFlags::NOEXEC) {
            return Err(Error::NoExec(state_dir));
        }
        Ok(store)
    }

    /// Writes a generation's private copy.
    pub(crate) fn copy(
        &self,
        generation: u64,
        hash: &ContentHash,
        bytes: &[u8],
    ) -> Result<PathBuf, Refusal> {
        let path = self.run.join(format!("{generation:06}-{:.16}.so", hash.hex()));
        let opened = OpenOptions::new().write(true).create_new(true).mode(0o400).open(&path);
        let written = opened.and_then(|mut file| file.write_all(bytes));
        written.map_err(|source| {
            let _ = fs::remove_file(&path);
            Refusal::Io { what: "copy it to the state directory", source }
        })?;
        Ok(path)
    }

    /// The bytes that can be written to the file system, as far as it tells.
    pub(crate) fn bytes_free(&self) -> u64 {
        match rustix::fs::statvfs(&self.run) {
            // File systems that do not limit the number of files have 0 of 0 left.
            Ok(mount) if mount.f_files == 0 || mount.f_favail > 0 => {
                mount.f_bavail.saturating_mul(mount.f_frsize)
            }
            _ => 0,
        }
    }

    /// Makes the directory that only this plugin uses and that outlives reloads.
    pub(crate) fn data_directory(&self, plugin: &str) -> Result<PathBuf, Refusal> {
        Self::make_data(&self.data, plugin)
    }

    /// As [`Store::data_directory`], for a plugin that is only looked at: gone with this store.
    pub(crate) fn scratch_data_directory(&self, plugin: &str) -> Result<PathBuf, Refusal> {
        Self::make_data(&self.run.join("data"), plugin)
    }

    /// An empty directory of a probe.
    pub(crate) fn scratch(&self, generation: u64) -> Result<Scratch, Refusal> {
        let path = self.run.join(format!("probe-{generation:06}"));
        make_directory(&path)
            .map_err(Refusal::io("make a scratch directory in the state directory"))?;
        Ok(Scratch(path))
    }

    fn make_data(parent: &Path, plugin: &str) -> Result<PathBuf, Refusal> {
        let path = parent.join(plugin);
        make_directory(&path).map_err(Refusal::Data)?;
        Ok(path)
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.run) {
            log::warn!("cannot remove {}: {error}; the next server removes it", self.run.display());
        }
    }
}

/// A directory that goes with this.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            log::warn!("cannot remove {}: {error}; it goes with the server", self.0.display());
        }
    }
}

/// Makes a directory that only this user may enter, and those above it. One that is there stays as
/// it is.
pub(crate) fn make_directory(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Makes the state directory if there is none, and checks that only this user can change what is
/// reached by its path, if `is_checked`: private copies of plugins are loaded from there.
///
/// # Errors
/// [`Error::State`] or [`Error::UnsafeState`].
pub fn make_state_dir(path: &Path, is_checked: bool) -> Result<(), Error> {
    let check = || match permissions::check_private(path) {
        Ok(()) => Ok(()),
        Err(Refusal::Io { source, .. }) => Err(Error::state(path)(source)),
        Err(refusal) => Err(Error::UnsafeState(refusal.to_string())),
    };
    if !is_checked {
        return make_directory(path).map_err(Error::state(path));
    }
    // Before, so that nothing is made in a place that is not safe; and after, because in a sticky
    // directory somebody else can have made it meanwhile.
    check()?;
    make_directory(path).map_err(Error::state(path))?;
    check()
}

fn lock_state(state_dir: &Path) -> Result<File, Error> {
    let file = open_lock(&state_dir.join("lock")).map_err(Error::state(state_dir))?;
    for _ in 0..LOCK_TRIES_MAX {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) => thread::sleep(LOCK_WAIT),
            Err(TryLockError::Error(error)) => return Err(Error::state(state_dir)(error)),
        }
    }
    Err(Error::state(state_dir)(io::Error::other(
        "another server holds its lock file all the time",
    )))
}

fn lock_run(run: &Path) -> io::Result<File> {
    let file = open_lock(&run.join("lock"))?;
    file.try_lock()?;
    Ok(file)
}

fn open_lock(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path)
}

fn make_run(state_dir: &Path) -> io::Result<PathBuf> {
    for number in 0..RUNS_MAX {
        let run = state_dir.join(format!("run-{}-{number}", process::id()));
        match DirBuilder::new().mode(0o700).create(&run) {
            Ok(()) => return Ok(run),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::Error::other(format!("{RUNS_MAX} run directories of this process are in use")))
}

/// A run directory is stale when nobody holds its lock. What cannot be removed is left: it harms
/// nobody.
fn remove_stale(state_dir: &Path) {
    let Ok(entries) = fs::read_dir(state_dir) else { return };
    for entry in entries.flatten() {
        let is_run = entry.file_name().to_str().is_some_and(|name| name.starts_with("run-"));
        if is_run && entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            let stale = match lock_run(&entry.path()) {
                Ok(lock) => Some(lock),
                Err(_) => continue,
            };
            if let Err(error) = fs::remove_dir_all(entry.path()) {
                log::warn!("cannot remove the stale {}: {error}", entry.path().display());
            }
            drop(stale);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_run_is_private_and_goes_with_its_store() {
        let state = tempfile::tempdir().unwrap();
        let store = Store::open(&state.path().join("deep/state"), true).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&store.run), 0o700);
        assert_eq!(mode(&state.path().join("deep/state")), 0o700);
        let copy = store.copy(7, &ContentHash::of(b"x"), b"x").unwrap();
        assert_eq!(copy.file_name().unwrap(), "000007-2d711642b726b044.so");
        assert_eq!(mode(&store.data_directory("sums").unwrap()), 0o700);
        let run = store.run.clone();
        drop(store);
        assert!(!run.exists());
    }

    #[test]
    fn removes_dead_runs_and_leaves_living_ones() {
        let state = tempfile::tempdir().unwrap();
        let dead = state.path().join("run-1-0");
        fs::create_dir(&dead).unwrap();
        fs::write(dead.join("old.so"), "x").unwrap();
        let living = Store::open(state.path(), true).unwrap();
        assert!(!dead.exists());
        let second = Store::open(state.path(), true).unwrap();
        assert!(living.run.exists() && second.run != living.run);
    }

    #[test]
    fn a_place_that_others_write_to_is_refused_unless_that_is_meant() {
        let state = tempfile::tempdir().unwrap();
        fs::set_permissions(state.path(), fs::Permissions::from_mode(0o770)).unwrap();
        let error = Store::open(state.path(), true).err().unwrap().to_string();
        assert!(error.contains("mode 0770") && error.contains("chmod g-w /"), "{error}");
        assert!(Store::open(state.path(), false).is_ok());
    }

    #[test]
    fn an_unusable_place_is_named() {
        let state = tempfile::tempdir().unwrap();
        let file = state.path().join("file");
        fs::write(&file, "").unwrap();
        let error = Store::open(&file.join("state"), true).err().unwrap().to_string();
        assert!(
            error.contains("--state-dir") && error.contains(&file.display().to_string()),
            "{error}"
        );
    }
}
