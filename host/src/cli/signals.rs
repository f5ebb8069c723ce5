//! What signals do to a command that serves, from its first moment to its last.
//!
//! Signals are caught before root is given up. The thread that reads them starts afterwards.

use super::logger;
use super::output::Failure;
use crossbeam_channel::{Receiver, RecvTimeoutError, bounded};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals as Caught;
use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

/// What the sender of a signal wants of a running server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    /// SIGHUP.
    Reload,
    /// SIGTERM or SIGINT.
    Stop,
}

/// The signals of this process, caught and kept until a thread handles them.
pub(super) struct Kept(Caught);

/// The signals of this process, handled by a thread.
pub(super) struct Signals {
    wishes: Receiver<Wish>,
    serving: Arc<AtomicBool>,
}

impl Kept {
    /// From now on signals do nothing but wait. Starts no thread.
    ///
    /// # Errors
    /// The system does not let this process catch signals.
    pub(super) fn new() -> Result<Self, Failure> {
        Caught::new([SIGTERM, SIGINT, SIGHUP]).map(Self).map_err(Failure::new)
    }

    /// Handles signals from now on. Until [`Signals::serve`], one that asks to stop ends the
    /// process at once, with `clean_up` before that: there is nothing to drain yet, and what is
    /// under way may hang.
    ///
    /// # Errors
    /// A thread could not be started.
    pub(super) fn hear(self, clean_up: impl Fn() + Send + 'static) -> Result<Signals, Failure> {
        let mut caught = self.0;
        // A wish that is waiting already need not be said twice.
        let (sender, wishes) = bounded(2);
        let serving = Arc::new(AtomicBool::new(false));
        let is_serving = Arc::clone(&serving);
        let listen = move || {
            let mut is_stopping = false;
            for signal in caught.forever() {
                match (signal, is_serving.load(Ordering::Acquire)) {
                    // Before anything is served it waits: the start has read the configuration
                    // already.
                    (SIGHUP, _) => {
                        let _ = sender.try_send(Wish::Reload);
                    }
                    (_, false) => {
                        log::info!("stopped before anything was served");
                        clean_up();
                        logger::flush();
                        process::exit(0);
                    }
                    (_, true) if is_stopping => {
                        log::warn!("stopped at once by a second signal");
                        logger::flush();
                        process::exit(1);
                    }
                    (_, true) => {
                        is_stopping = true;
                        log::info!(
                            "stopping: answering the calls that run; a second signal exits at once"
                        );
                        // Waits only behind a reload that is under way.
                        let _ = sender.send(Wish::Stop);
                    }
                }
            }
        };
        thread::Builder::new().name("signals".into()).spawn(listen).map_err(Failure::new)?;
        Ok(Signals { wishes, serving })
    }
}

impl Signals {
    /// From now on signals are wishes.
    pub(super) fn serve(&self) {
        self.serving.store(true, Ordering::Release);
    }

    /// The next wish; None when there was none for so long. There is none after [`Wish::Stop`].
    pub(super) fn next(&self, patience: Option<Duration>) -> Option<Wish> {
        match patience.map_or_else(
            || self.wishes.recv().map_err(Into::into),
            |patience| self.wishes.recv_timeout(patience),
        ) {
            Ok(wish) => Some(wish),
            Err(RecvTimeoutError::Timeout) => None,
            // The thread that handles signals ends with the process.
            Err(RecvTimeoutError::Disconnected) => Some(Wish::Stop),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hangup_that_nobody_hears_yet_is_kept() {
        let kept = Kept::new().unwrap();
        signal_hook::low_level::raise(SIGHUP).unwrap();
        let signals = kept.hear(|| ()).unwrap();
        assert_eq!(signals.next(Some(Duration::from_secs(60))), Some(Wish::Reload));
    }
}
