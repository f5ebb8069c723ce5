//! Looks at the files of TLS from time to time, and has them read when they are others. A look is a few `stat` calls:
//! that works on every file system, and finds a swapped link too.

use super::{Error, Ready, Settings, Tls, files};
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use std::convert::Infallible;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

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

/// The thread that looks. It ends with this.
pub(in crate::net) struct Watch {
    end: Option<Sender<Infallible>>,
    thread: Option<JoinHandle<()>>,
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

impl Watch {
    pub(in crate::net) fn start(tls: Arc<Tls>, interval: Duration) -> Result<Self, Error> {
        let (end, ended) = bounded(0);
        let thread = thread::Builder::new().name("certificates".into());
        let thread = thread.spawn(move || watch(&tls, &ended, interval)).map_err(Error::Thread)?;
        Ok(Self { end: Some(end), thread: Some(thread) })
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.end.take();
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            log::error!("a defect of the server ended the watch over certificates");
        }
    }
}

fn watch(tls: &Tls, end: &Receiver<Infallible>, interval: Duration) {
    let mut last = None;
    while end.recv_timeout(interval) == Err(RecvTimeoutError::Timeout) {
        last = Some(tls.look(last));
    }
}

impl Tls {
    /// Reads the files when they have changed since they were read and rest since the `last` look: certificate and key
    /// come one after the other. What they look like now is for the next look.
    pub(super) fn look(&self, last: Option<Stamps>) -> Stamps {
        let mut state = self.lock();
        let now = Stamps::of(&state.settings);
        if now != state.seen && last.as_ref() == Some(&now) {
            match Ready::new(state.settings.clone()) {
                Ok(ready) => {
                    self.take(&mut state, ready);
                    log::info!("the certificates have changed, and new handshakes get the new ones");
                }
                Err(error) => {
                    // One line for each change.
                    state.seen = now.clone();
                    log::error!("new certificates: {error}; those before stay in use");
                }
            }
        } else if state.has_old_keys()
            && let Err(error) = self.renew(&mut state)
        {
            log::error!("no new keys for session tickets: {error}; those before stay in use");
        }
        now
    }
}
