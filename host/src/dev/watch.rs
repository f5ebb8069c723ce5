//! Hints that something below some folders may have changed. A hint may come for nothing and may
//! be missed, so the receiver looks for itself, also without a hint.

use crossbeam_channel::{Receiver, Sender, bounded};
use notify::event::{AccessKind, AccessMode};
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Watches folders, each without what is below it, so that `target` is never watched.
pub(super) struct Watcher {
    /// None when the system offers no watching.
    inner: Option<RecommendedWatcher>,
    watched: HashSet<PathBuf>,
    /// Something was removed. A folder that came back under its name needs a new watch.
    removed: Arc<AtomicBool>,
    hints: Receiver<()>,
    /// Keeps `hints` connected when `inner` is None.
    _sender: Sender<()>,
}

impl Watcher {
    pub(super) fn new() -> Self {
        // One hint that waits is as good as many.
        let (sender, hints) = bounded(1);
        let removed = Arc::new(AtomicBool::new(false));
        let watcher = notify::recommended_watcher({
            let (sender, removed) = (sender.clone(), Arc::clone(&removed));
            move |event: notify::Result<notify::Event>| {
                let kind = event.map_or(EventKind::Any, |event| event.kind);
                if matches!(kind, EventKind::Remove(_)) {
                    removed.store(true, Ordering::Relaxed);
                }
                if is_hint(kind) {
                    // Full: a hint waits already.
                    let _ = sender.try_send(());
                }
            }
        });
        let inner = watcher
            .inspect_err(|error| {
                log::warn!("cannot watch files: {error}; sources are looked at now and then")
            })
            .ok();
        Self { inner, watched: HashSet::new(), removed, hints, _sender: sender }
    }

    /// Where hints arrive. It never disconnects.
    pub(super) fn hints(&self) -> &Receiver<()> {
        &self.hints
    }

    /// Forgets folders that may have been replaced, so that they are watched again.
    pub(super) fn refresh(&mut self) {
        if self.removed.swap(false, Ordering::Relaxed) {
            self.watched.clear();
        }
    }

    /// Watches these folders too. True when one of them was not watched before: what happened in it
    /// until now may have gone without a hint.
    pub(super) fn watch(&mut self, folders: &[PathBuf]) -> bool {
        let Some(inner) = &mut self.inner else { return false };
        let mut new = false;
        for folder in folders {
            if self.watched.contains(folder) {
                continue;
            }
            match inner.watch(folder, RecursiveMode::NonRecursive) {
                Ok(()) => new |= self.watched.insert(folder.clone()),
                Err(error) => log::debug!("cannot watch {}: {error}", folder.display()),
            }
        }
        new
    }
}

/// Reading is no change, and a build reads every source.
fn is_hint(kind: EventKind) -> bool {
    match kind {
        EventKind::Access(access) => access == AccessKind::Close(AccessMode::Write),
        _ => true,
    }
}
