//! The panic hook of plugins: it logs a panic's message, with the plugin's name and the request's
//! id.
//!
//! The standard library's hook prints the message to standard error as it is. Messages often repeat
//! what a client sent, so a client could forge log lines there. The server cleans what it logs.
//! Each plugin has its own copy of the standard library, so this hook sees the panics of its plugin
//! only.

use crate::call::Call;
use crate::host::Host;
use std::backtrace::{Backtrace, BacktraceStatus};
use std::panic::{self, PanicHookInfo};
use std::sync::{Once, PoisonError, RwLock};
use std::thread;

/// Logged lines of one backtrace. `RUST_BACKTRACE` turns backtraces on.
const BACKTRACE_LINES_MAX: usize = 200;

/// The host of the last instance, for panics on threads that the plugin started.
static HOST: RwLock<Option<Host>> = RwLock::new(None);

/// Sends panic messages to this host from now on.
pub(crate) fn report_to(host: &Host) {
    static INSTALLED: Once = Once::new();
    *HOST.write().unwrap_or_else(PoisonError::into_inner) = Some(host.clone());
    INSTALLED.call_once(|| panic::set_hook(Box::new(report)));
}

fn report(info: &PanicHookInfo<'_>) {
    let place = info.location().map_or_else(String::new, |location| format!(" at {location}"));
    let text = info.payload_as_str().unwrap_or("a panic without text");
    tell(&format!("panicked{place}: {text}"));
    let trace = Backtrace::capture();
    if trace.status() == BacktraceStatus::Captured {
        for line in trace.to_string().lines().take(BACKTRACE_LINES_MAX) {
            tell(line);
        }
    }
}

/// Logs one line by the call, else by a host.
fn tell(line: &str) {
    let by_call = Call::with_current(|call| call.error(line)).is_some();
    if by_call || Host::with_current(|host| host.try_error(line)).unwrap_or(false) {
        return;
    }
    let thread = thread::current();
    let line = format!("thread {} {line}", thread.name().unwrap_or("without a name"));
    // Never waits: the panicking thread itself may hold the lock.
    let by_host = HOST.try_read().ok().and_then(|host| Some(host.as_ref()?.try_error(&line)));
    if by_host != Some(true) {
        // The instance has ended. Debug escapes what could forge a line or steer a terminal.
        eprintln!("{line:?}");
    }
}
