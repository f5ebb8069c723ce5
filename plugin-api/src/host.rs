//! The host's services for one instance of a plugin, for as long as the instance lives.
//!
//! A [`Host`] may be kept anywhere, even in a thread that outlives the instance: its pointer is
//! withdrawn when the instance ends. Must not know of calls.
#![allow(unsafe_code, reason = "calls the functions of the host's table")]

use crate::abi;
use crate::call::Level;
use crate::fault::Fault;
use crate::from_value::FromValue;
use crate::tree::{Tree, str_of};
use std::cell::Cell;
use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::ptr::NonNull;
use std::sync::{Arc, PoisonError, RwLock, TryLockError};

/// The host, as one instance of a plugin sees it: configuration, data directory, log. Cheap to
/// clone; any thread.
///
/// # Examples
/// ```
/// use hotcall_plugin::{Fault, FromValue, Host, State};
///
/// #[derive(FromValue)]
/// struct Config {
///     greeting: Option<String>,
/// }
///
/// struct Greeter {
///     greeting: String,
/// }
///
/// impl State for Greeter {
///     fn create(host: Host) -> Result<Self, Fault> {
///         let config: Config = host.config()?;
///         host.info(format_args!("keeps its files in {}", host.data_directory().display()));
///         Ok(Self { greeting: config.greeting.unwrap_or_else(|| "Hello".to_owned()) })
///     }
/// }
/// ```
#[derive(Clone, Debug)]
pub struct Host(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    version: String,
    data_directory: PathBuf,
    /// `None` once the instance has ended. Readers hold the lock while they use the table, so that
    /// the end waits for them.
    table: RwLock<Option<Table>>,
}

#[derive(Clone, Copy, Debug)]
struct Table(NonNull<abi::Host>);

// SAFETY: the ABI lets any thread use a host's table until `destroy` has returned.
unsafe impl Send for Table {}
// SAFETY: as above; the table is never written while it is valid.
unsafe impl Sync for Table {}

thread_local! {
    /// The host for which this thread runs code outside a call. A destructor would keep the library
    /// mapped.
    static CURRENT: Cell<Option<NonNull<Host>>> = const { Cell::new(None) };
}

/// Restores the host that was current before.
struct Restore(Option<NonNull<Host>>);

impl Drop for Restore {
    fn drop(&mut self) {
        CURRENT.set(self.0);
    }
}

impl Host {
    /// # Safety
    /// `raw` must be a host's table that stays valid until [`Host::close`] has returned.
    pub(crate) unsafe fn new(raw: NonNull<abi::Host>) -> Result<Self, Fault> {
        // SAFETY: the caller promises a valid table; its fields are never written while it is
        // valid.
        let version = unsafe { (*raw.as_ptr()).version };
        // SAFETY: as above.
        let directory = unsafe { (*raw.as_ptr()).data_directory };
        // SAFETY: the host's texts live as long as its table.
        let version = unsafe { str_of(version) };
        // SAFETY: the host's texts live as long as its table.
        let directory = unsafe { str_of(directory) };
        let broken = |defect| Fault::error(format!("the host's table holds {defect}"));
        Ok(Self(Arc::new(Inner {
            version: version.map_err(broken)?.to_owned(),
            data_directory: PathBuf::from(directory.map_err(broken)?),
            table: RwLock::new(Some(Table(raw))),
        })))
    }

    /// This plugin's configuration, as the type that it should have: best a struct with
    /// `#[derive(FromValue)]`, or [`Value`](crate::Value) to look at it freely. With no
    /// configuration it is an empty struct.
    ///
    /// # Errors
    /// When the configuration does not fit the type, with the member and what it should be.
    pub fn config<T: for<'a> FromValue<'a>>(&self) -> Result<T, Fault> {
        self.with_table(|table| {
            // SAFETY: the table is valid while `with_table` runs this.
            let config = unsafe { (*table.as_ptr()).config };
            // SAFETY: the host's configuration, when there is one, lives as long as its table.
            let config = unsafe { config.as_ref() }.unwrap_or(&NO_CONFIG);
            // SAFETY: a tree of the host's, alive and unchanged while its table is; T keeps nothing
            // of it.
            let tree = unsafe { Tree::new(config) };
            T::from_value(tree).map_err(|mismatch| Fault::error(mismatch.about("configuration")))
        })
        .unwrap_or_else(|| {
            Err(Fault::error("the instance has ended and has no configuration any more"))
        })
    }

    /// A directory that only this plugin uses. It outlives reloads and restarts.
    ///
    /// During a reload the old and the new version both use it for a moment. This is unsafe for
    /// files that a library guards with POSIX locks, which are per process: with its own copy of
    /// SQLite (rusqlite's feature `bundled`), LMDB or the like in each version, committed data is
    /// lost. Such a plugin says `reload: exclusive` in [`plugin!`](crate::plugin), or links the
    /// system's shared library.
    pub fn data_directory(&self) -> &Path {
        &self.0.data_directory
    }

    /// The host's name and version, for example `hotcall 0.1.0`.
    pub fn version(&self) -> &str {
        &self.0.version
    }

    /// Writes a line to the server's log, with the plugin's name. After the instance has ended it
    /// does nothing.
    pub fn log(&self, level: Level, message: impl Display) {
        let message = message.to_string();
        // SAFETY: the table is valid while `with_table` runs this.
        self.with_table(|table| unsafe { write_line(table, level, &message) });
    }

    /// [`Host::log`] at [`Level::Error`].
    pub fn error(&self, message: impl Display) {
        self.log(Level::Error, message);
    }

    /// [`Host::log`] at [`Level::Warn`].
    pub fn warn(&self, message: impl Display) {
        self.log(Level::Warn, message);
    }

    /// [`Host::log`] at [`Level::Info`].
    pub fn info(&self, message: impl Display) {
        self.log(Level::Info, message);
    }

    /// [`Host::log`] at [`Level::Debug`].
    pub fn debug(&self, message: impl Display) {
        self.log(Level::Debug, message);
    }

    /// [`Host::log`] at [`Level::Trace`].
    pub fn trace(&self, message: impl Display) {
        self.log(Level::Trace, message);
    }

    /// Runs `work` as code of this host's instance, outside a call.
    pub(crate) fn run<R>(&self, work: impl FnOnce() -> R) -> R {
        let _restore = Restore(CURRENT.replace(Some(NonNull::from(self))));
        work()
    }

    /// Passes the host of [`Host::run`], if this thread is in it, to `work`.
    pub(crate) fn with_current<R>(work: impl FnOnce(&Self) -> R) -> Option<R> {
        let host = CURRENT.get()?;
        // SAFETY: `run` put it there on this thread, borrows it, and takes it away before it
        // returns.
        Some(work(unsafe { host.as_ref() }))
    }

    /// Logs like [`Host::error`] but never waits for the lock. Returns whether the line was logged.
    pub(crate) fn try_error(&self, line: &str) -> bool {
        let table = match self.0.table.try_read() {
            Ok(table) => table,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return false,
        };
        let Some(Table(raw)) = *table else { return false };
        // SAFETY: the table is valid while its lock is held.
        unsafe { write_line(raw, Level::Error, line) };
        true
    }

    /// Takes the table back: when this returns, no clone of the handle uses it any more.
    pub(crate) fn close(&self) {
        *self.0.table.write().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn with_table<R>(&self, work: impl FnOnce(NonNull<abi::Host>) -> R) -> Option<R> {
        let table = self.0.table.read().unwrap_or_else(PoisonError::into_inner);
        table.map(|Table(raw)| work(raw))
    }
}

/// # Safety
/// `table` is a host's table that is valid until this returns.
unsafe fn write_line(table: NonNull<abi::Host>, level: Level, message: &str) {
    // SAFETY: by this function's contract.
    let log = unsafe { (*table.as_ptr()).log };
    // SAFETY: the table's function with the table itself; the host reads `message` before it
    // returns.
    unsafe { log(table.as_ptr(), level as u32, abi::Str::new(message)) }
}

/// Stands for a configuration that was not given.
const NO_CONFIG: abi::Value = abi::Value {
    tag: abi::STRUCT,
    reserved: 0,
    payload: abi::Payload { structure: abi::Members { ptr: std::ptr::null(), len: 0 } },
};
