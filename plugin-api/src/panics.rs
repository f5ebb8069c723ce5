//! Where a panic's message goes: to the server's log, under the plugin's name and the request's id.
//!
//! Rust's own hook prints the message to standard error as it is, line breaks and control characters included. A
//! message often repeats what a client sent, so a client could forge log lines there. The server cleans what it logs.
//! A plugin has its own copy of the standard library, so this hook sees the panics of its plugin alone.

use crate::{Call, Host};
use std::backtrace::{Backtrace, BacktraceStatus};
use std::panic::{self, PanicHookInfo};
use std::sync::{Once, PoisonError, RwLock};
use std::thread;

/// Lines of a backtrace that are logged, where `RUST_BACKTRACE` asks for one.
const BACKTRACE_LINES_MAX: usize = 200;

/// The host of the last instance: for panics on threads that the plugin started.
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

/// One line, by the nearest way to the log.
fn tell(line: &str) {
    let by_call = Call::with_current(|call| call.error(line)).is_some();
    if by_call || Host::with_current(|host| host.try_error(line)).unwrap_or(false) {
        return;
    }
    let thread = thread::current();
    let line = format!("thread {} {line}", thread.name().unwrap_or("without a name"));
    // Never waits: whoever holds the lock for writing may be the thread that panics.
    let by_host = HOST.try_read().ok().and_then(|host| Some(host.as_ref()?.try_error(&line)));
    if by_host != Some(true) {
        // The instance has ended. Debug escapes what could forge a line or steer a terminal.
        eprintln!("{line:?}");
    }
}
