//! One call's context, from the host. Must not know of values: `arena` builds them in this call's
//! memory.
#![allow(unsafe_code, reason = "calls the functions of the host's call table")]

use crate::abi;
use crate::tree::str_of;
use std::cell::Cell;
use std::fmt::Display;
use std::ptr::NonNull;
use std::time::Duration;

/// How much a line of the log matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u32)]
pub enum Level {
    /// Something failed that should not.
    Error = 1,
    /// Something is not as it should be, and work went on.
    Warn = 2,
    /// Worth a line in a log that is kept.
    Info = 3,
    /// For developers who look for a bug.
    Debug = 4,
    /// Every step.
    Trace = 5,
}

/// The running call: who asks, how long they wait, and a log that names the request.
///
/// A method that wants it takes `&Call` first (after `&self`); clients do not see that parameter.
///
/// # Examples
/// ```
/// use hotcall_plugin::{Call, Fault};
///
/// #[hotcall_plugin::method]
/// fn greet(call: &Call, greeting: &str) -> Result<String, Fault> {
///     if call.cancelled() {
///         return Err("nobody waits any more".into());
///     }
///     call.info(format_args!("{} left", call.remaining().as_millis()));
///     Ok(format!("{greeting}, {}", call.caller_name()))
/// }
/// ```
#[derive(Debug)]
pub struct Call {
    /// The pointer also keeps a `Call` on its thread, as the ABI demands.
    raw: NonNull<abi::Call>,
}

thread_local! {
    /// The call that runs on this thread. A destructor would keep the library mapped.
    static CURRENT: Cell<Option<NonNull<abi::Call>>> = const { Cell::new(None) };
}

/// Restores the call that ran before.
struct Restore(Option<NonNull<abi::Call>>);

impl Drop for Restore {
    fn drop(&mut self) {
        CURRENT.set(self.0);
    }
}

impl Call {
    /// # Safety
    /// `raw` must be the host's call table, valid and used by this thread alone for as long as the
    /// `Call` is.
    pub(crate) const unsafe fn new(raw: NonNull<abi::Call>) -> Self {
        Self { raw }
    }

    /// Runs `work` as this thread's current call.
    pub(crate) fn run<R>(&self, work: impl FnOnce(&Self) -> R) -> R {
        let _restore = Restore(CURRENT.replace(Some(self.raw)));
        work(self)
    }

    /// Passes the call that runs on this thread, if there is one, to `work`.
    pub(crate) fn with_current<R>(work: impl FnOnce(&Self) -> R) -> Option<R> {
        let raw = CURRENT.get()?;
        // SAFETY: `run` put it there on this thread and takes it away before its call ends, so the
        // call still runs.
        Some(work(&unsafe { Self::new(raw) }))
    }

    /// The time until the caller gives up; zero when it has passed.
    pub fn remaining(&self) -> Duration {
        // SAFETY: `Call::new` was promised a valid table; its fields are never written while it is
        // valid.
        let remaining_ms = unsafe { (*self.raw.as_ptr()).remaining_ms };
        // SAFETY: the table's function, called on the call's thread with the table itself.
        Duration::from_millis(unsafe { remaining_ms(self.raw.as_ptr()) })
    }

    /// Whether nobody waits for the result any more. A long method asks now and then, and returns
    /// early.
    pub fn cancelled(&self) -> bool {
        // SAFETY: as in `remaining`.
        let cancelled = unsafe { (*self.raw.as_ptr()).cancelled };
        // SAFETY: as in `remaining`.
        unsafe { cancelled(self.raw.as_ptr()) != 0 }
    }

    /// Who calls; empty when the caller is not authenticated.
    pub fn caller_name(&self) -> &str {
        // SAFETY: as in `remaining`.
        let name = unsafe { (*self.raw.as_ptr()).caller_name };
        self.text(name)
    }

    /// The address that the call came from, as text; empty when there is none.
    pub fn caller_address(&self) -> &str {
        // SAFETY: as in `remaining`.
        let address = unsafe { (*self.raw.as_ptr()).caller_address };
        self.text(address)
    }

    /// The id under which the server's log speaks of this request.
    pub fn request_id(&self) -> &str {
        // SAFETY: as in `remaining`.
        let id = unsafe { (*self.raw.as_ptr()).request_id };
        self.text(id)
    }

    /// Writes a line to the server's log, with the plugin's name and the request's id.
    pub fn log(&self, level: Level, message: impl Display) {
        let message = message.to_string();
        // SAFETY: as in `remaining`.
        let log = unsafe { (*self.raw.as_ptr()).log };
        // SAFETY: as in `remaining`; the host reads `message` before it returns.
        unsafe { log(self.raw.as_ptr(), level as u32, abi::Str::new(&message)) }
    }

    /// [`Call::log`] at [`Level::Error`].
    pub fn error(&self, message: impl Display) {
        self.log(Level::Error, message);
    }

    /// [`Call::log`] at [`Level::Warn`].
    pub fn warn(&self, message: impl Display) {
        self.log(Level::Warn, message);
    }

    /// [`Call::log`] at [`Level::Info`].
    pub fn info(&self, message: impl Display) {
        self.log(Level::Info, message);
    }

    /// [`Call::log`] at [`Level::Debug`].
    pub fn debug(&self, message: impl Display) {
        self.log(Level::Debug, message);
    }

    /// [`Call::log`] at [`Level::Trace`].
    pub fn trace(&self, message: impl Display) {
        self.log(Level::Trace, message);
    }

    /// Memory of the call that nothing else uses, until the host has encoded the result.
    pub(crate) fn alloc(&self, size: usize, align: usize) -> Option<NonNull<u8>> {
        // SAFETY: as in `remaining`.
        let alloc = unsafe { (*self.raw.as_ptr()).alloc };
        // SAFETY: as in `remaining`; no reference into the table is alive, so that the host may
        // write it.
        NonNull::new(unsafe { alloc(self.raw.as_ptr(), size, align) })
    }

    /// A text that is not UTF-8 would be a fault of the host; empty is the safest answer.
    fn text(&self, raw: abi::Str) -> &str {
        // SAFETY: the host's texts live as long as its call, which outlives `self`.
        unsafe { str_of(raw) }.unwrap_or_default()
    }
}
