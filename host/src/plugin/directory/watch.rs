//! Hints from the kernel that the plugins directory changed. Events get lost, arrive twice, and
//! never come from some file systems. So a hint carries nothing, and the loader lists the
//! directory itself, also without a hint. Events only ever save it a wait (`arrival`).

use super::arrival::{Arrival, Arrivals};
use super::listing;
use notify::event::{AccessKind, AccessMode};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Watches the directory, and its parent for the directory's own coming and going.
pub(crate) struct Watcher {
    inner: RecommendedWatcher,
    directory: PathBuf,
    /// What is watched under the two names: device and inode.
    watched: [Option<(u64, u64)>; 2],
    /// Set when a name may lead to another directory than before, even one with the same inode
    /// number.
    stale: Arc<AtomicBool>,
    arrivals: Arc<Arrivals>,
    was_warned: bool,
}

impl Watcher {
    /// Starts to watch, and calls `hint` whenever something may have changed.
    ///
    /// # Errors
    /// The kernel has no more watchers to give.
    pub(crate) fn start(
        directory: &Path,
        hint: impl Fn() + Send + 'static,
    ) -> notify::Result<Self> {
        let stale = Arc::new(AtomicBool::new(false));
        let arrivals = Arc::new(Arrivals::new());
        let (is_stale, watched) = (Arc::clone(&stale), directory.to_owned());
        let noted = Arc::clone(&arrivals);
        let inner = notify::recommended_watcher(move |event: notify::Result<Event>| {
            let (is_hint, is_of_directory) = match &event {
                Ok(event) => (is_hint(event, &watched), event.paths.contains(&watched)),
                Err(_) => (true, true),
            };
            match &event {
                Ok(event) if !is_of_directory && !event.need_rescan() => {
                    note(event, &watched, &noted);
                }
                // The loader's listing opens the directory, which says nothing of its files.
                Ok(_) if !is_hint => {}
                _ => noted.forget(),
            }
            if is_hint {
                is_stale.fetch_or(is_of_directory, Ordering::Relaxed);
                hint();
            }
        })?;
        let (directory, watched) = (directory.to_owned(), [None; 2]);
        let mut watcher = Self { inner, directory, watched, stale, arrivals, was_warned: false };
        watcher.renew();
        Ok(watcher)
    }

    /// Watches what now stands under the two names, if that is something else than before. Returns
    /// whether the directory itself changed, apart from its files.
    pub(crate) fn renew(&mut self) -> bool {
        let is_stale = self.stale.swap(false, Ordering::Relaxed);
        let parent = self.directory.parent().map(Path::to_owned);
        let paths = [Some(self.directory.clone()), parent];
        for (path, watched) in paths.into_iter().zip(&mut self.watched) {
            let Some(path) = path else { continue };
            let identity = fs::metadata(&path).ok().map(|meta| (meta.dev(), meta.ino()));
            if identity == *watched && !is_stale {
                continue;
            }
            // Fails when the directory went and took its watch along: nothing to undo then.
            let _ = self.inner.unwatch(&path);
            // What could not be watched is tried again at the next look.
            *watched = None;
            let Some(identity) = identity else { continue };
            match self.inner.watch(&path, RecursiveMode::NonRecursive) {
                Ok(()) => *watched = Some(identity),
                Err(error) if !self.was_warned => {
                    self.was_warned = true;
                    log::warn!(
                        "cannot watch {}: {error}; changes there are seen late",
                        path.display()
                    );
                }
                Err(_) => {}
            }
        }
        is_stale
    }

    /// The names that came to their files at once since this was asked last.
    pub(crate) fn take_arrivals(&self) -> BTreeMap<OsString, Arrival> {
        self.arrivals.take()
    }
}

/// Takes note of what an event says of a plugin file in the directory.
fn note(event: &Event, directory: &Path, arrivals: &Arrivals) {
    // The first path alone: of a rename that has two, the second had an event of its own.
    let Some(path) = event.paths.first() else { return };
    let is_plugin = path.file_name().is_some_and(listing::is_plugin_name);
    if is_plugin && path.parent() == Some(directory) {
        arrivals.note(event.kind, path);
    }
}

/// Whether it may tell of a change. The loader's own reading causes events too: those must not wake
/// it.
fn is_hint(event: &Event, directory: &Path) -> bool {
    let is_change = match event.kind {
        EventKind::Access(kind) => kind == AccessKind::Close(AccessMode::Write),
        _ => true,
    };
    let is_near = |path: &PathBuf| path == directory || path.parent() == Some(directory);
    event.need_rescan() || is_change && (event.paths.is_empty() || event.paths.iter().any(is_near))
}

#[cfg(test)]
mod tests {
    use super::*;
    use notify::event::{Flag, ModifyKind, RenameMode};

    #[test]
    fn only_changes_nearby_are_hints() {
        let directory = Path::new("/srv/plugins");
        let event = |kind, path: &str| Event::new(kind).add_path(path.into());
        let write = EventKind::Access(AccessKind::Close(AccessMode::Write));
        assert!(is_hint(&event(write, "/srv/plugins/a.so"), directory));
        assert!(is_hint(&event(EventKind::Any, "/srv/plugins"), directory));
        assert!(!is_hint(&event(EventKind::Any, "/srv/other"), directory));
        let renamed = EventKind::Modify(ModifyKind::Name(RenameMode::To));
        let arrivals = Arrivals::new();
        for path in ["plugins/a.so.tmp", "plugins/.a.so", "other/a.so", "plugins/b.so"] {
            note(&event(renamed, &format!("/srv/{path}")), directory, &arrivals);
        }
        assert_eq!(arrivals.take().into_keys().collect::<Vec<_>>(), ["b.so"]);
        let open = EventKind::Access(AccessKind::Open(AccessMode::Any));
        assert!(!is_hint(&event(open, "/srv/plugins/a.so"), directory));
        assert!(is_hint(&Event::new(EventKind::Other).set_flag(Flag::Rescan), directory));
    }
}
