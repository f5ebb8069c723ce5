//! Builds plugins for `hotcall dev`: every plugin in some directories into one output directory,
//! and again when its sources change.
//!
//! It knows cargo, make and files, and nothing of the server. The server sees plugins in the
//! output directory appear, change in one step and go away.
//!
//! A plugin is a folder, one of the directories themselves or a direct child of one, that holds
//! - a `Cargo.toml` of a package whose library is a `cdylib`: built with `cargo build`; or else
//! - a `Makefile` and a C or C++ source: built with `make OUT=FILE`, which must write the library
//!   to FILE.
//!
//! A change is any file of the folder that has another size, time or inode than when the last
//! build began. Hidden files, `target`, editors' backup files and compilers' output do not count.
//! A change during a build leads to another build. A failed build is shown, and the installed
//! plugin stays.
//!
//! # Known problems
//! - Only the plugin's own folder is looked at. After a change in a crate that it depends on,
//!   touch one of its files.
//! - A build that writes other sources into its folder each time is built again each time.

mod build;
mod builder;
mod child;
mod error;
mod project;
mod sources;
#[cfg(test)]
mod tests;
mod watch;

pub use builder::Options;
pub use error::Error;

use builder::Builder;
use child::Children;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use std::convert::Infallible;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// How long a child process that was asked to end may take before it is killed.
const CHILD_END_MS_MAX: u64 = 2_000;

/// Ends the build that runs, from any thread; none is started after it. For one [`start`].
#[derive(Clone, Debug, Default)]
pub struct Interrupt(Arc<Children>);

impl Interrupt {
    /// Ends it.
    pub fn end(&self) {
        self.0.end();
    }
}

/// Builds plugins on a thread of its own until it is stopped or dropped.
#[derive(Debug)]
pub struct DevBuilder {
    children: Arc<Children>,
    /// Dropped to tell the thread to end.
    stop: Option<Sender<Infallible>>,
    /// Disconnected when the thread has ended.
    done: Receiver<Infallible>,
    thread: Option<JoinHandle<()>>,
}

/// Builds every plugin once, then goes on in the background.
///
/// When it returns, every plugin that builds is installed; the others were reported to the log. The
/// compilers' own output goes to standard error.
///
/// # Errors
/// See [`Error`].
pub fn start(options: Options, interrupt: &Interrupt) -> Result<DevBuilder, Error> {
    let children = Arc::clone(&interrupt.0);
    let mut builder = Builder::new(options, Arc::clone(&children))?;
    builder.build_first();

    let (stop, stopped) = bounded(0);
    let (alive, done) = bounded(0);
    let thread = thread::Builder::new()
        .name("dev-builder".to_owned())
        .spawn(move || {
            builder.run(&stopped);
            drop::<Sender<Infallible>>(alive);
        })
        .map_err(Error::Thread)?;
    Ok(DevBuilder { children, stop: Some(stop), done, thread: Some(thread) })
}

impl DevBuilder {
    /// Ends a build that runs, and the thread. What is installed stays.
    pub fn stop(self) {
        drop(self);
    }
}

impl Drop for DevBuilder {
    fn drop(&mut self) {
        drop(self.stop.take());
        self.children.end();
        if self.done.recv_timeout(Duration::from_millis(CHILD_END_MS_MAX))
            == Err(RecvTimeoutError::Timeout)
        {
            self.children.kill();
        }
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            log::error!("the thread that builds plugins panicked; its message is above");
        }
    }
}
