//! A plugin file's place in the life cycle: the file's state on disk, and the generation that
//! serves for it.
//!
//! A file that could not be read, copied or probed is blocked. A try reads the whole file, so each
//! wait is twice as long, up to `plugin_retry_ms_max`. A changed file or directory, SIGHUP and
//! `hotcall.reload` retry at once; hints about other files do not. After a full disk, each look
//! asks for the free bytes and retries once the file fits. The log has one line at the beginning
//! and one at the end.

use super::generation::Generation;
use super::status::{FileState, PluginStatus, Row};
use crate::limits::Limits;
use crate::plugin::clock::later;
use crate::plugin::config::Watch;
use crate::plugin::directory::content::ContentHash;
use crate::plugin::instance::candidate::Candidate;
use crate::plugin::library::descriptor::Descriptor;
use crate::stamp::Stamp;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

/// What is known of the file's present content. What serves is apart from it: an older generation
/// serves on through every state.
pub(super) enum SlotState {
    /// To be read at `due`, and loaded if the first reading gave `hash` too. Without one there was
    /// no first reading yet: a file that is being written is not read again and again.
    Settling { stamp: Stamp, hash: Option<ContentHash>, due: Instant },
    /// This content serves.
    Serving,
    /// Ready to serve but for a name that another file's plugin has; waits for that to go.
    Conflicting(Box<Candidate>),
    /// Ready to serve but for the running generation, which could not give way `tries` times; the
    /// next try is at `due`. None: when an instance of its plugin has ended.
    Waiting { candidate: Box<Candidate>, tries: u32, due: Option<Instant> },
    /// The content of this number replaces an instance that must end first.
    Replacing { id: u64 },
    /// A child process tries the content of this number.
    Probing { id: u64 },
    /// Its probe took too long `tries` times; the next try is at `due`.
    Retrying { hash: ContentHash, tries: u32, due: Instant },
    /// Not to be loaded until the content changes.
    Refused,
    /// It could not be read, copied or probed, which may pass without a change of the file. Retried
    /// at `due`, or only for operators without one. `hash` is None if it could not be read. If the
    /// disk was full, it is retried at the first look that finds `bytes_free_min` free.
    Blocked { hash: Option<ContentHash>, due: Option<Instant>, bytes_free_min: Option<u64> },
    /// Not read yet.
    New,
    /// The file is gone; what serves for it goes at `due`.
    Missing { due: Instant },
}

impl SlotState {
    /// What the operator is told.
    pub(super) const fn file_state(&self) -> FileState {
        match self {
            Self::Settling { .. } => FileState::Settling,
            Self::Probing { .. } => FileState::Probing,
            Self::Serving => FileState::Serving,
            Self::Waiting { .. } => FileState::Waiting,
            Self::Replacing { .. } => FileState::Replacing,
            Self::Conflicting(_) => FileState::Conflicting,
            Self::Refused | Self::Retrying { .. } | Self::Blocked { .. } | Self::New => {
                FileState::Refused
            }
            Self::Missing { .. } => FileState::Missing,
        }
    }
}

/// One file name of the plugins directory.
pub(super) struct Slot {
    pub(super) state: SlotState,
    /// As of the last settled content.
    pub(super) stamp: Option<Stamp>,
    /// Of the last settled content.
    pub(super) hash: Option<ContentHash>,
    /// Of the signature file, as of the last listing after which the content was read.
    pub(super) signature: Option<Stamp>,
    /// What answers the calls.
    pub(super) running: Option<Arc<Generation>>,
    /// Why the present content does not serve.
    pub(super) last_error: Option<String>,
    /// The plugin that the last loaded content is, whether it came to serve or not.
    pub(super) plugin: Option<String>,
    /// The next settled content is loaded even if it is what runs.
    pub(super) is_forced: bool,
    /// The last wait in [`SlotState::Blocked`]; zero if the present content was not blocked yet.
    pub(super) wait: Duration,
    /// Whether the last try ended in [`SlotState::Blocked`].
    pub(super) is_blocked: bool,
}

impl Slot {
    /// A file that was never read.
    pub(super) const fn new() -> Self {
        Self {
            state: SlotState::New,
            stamp: None,
            hash: None,
            signature: None,
            running: None,
            last_error: None,
            plugin: None,
            is_forced: false,
            wait: Duration::ZERO,
            is_blocked: false,
        }
    }

    /// Whether its present content is what serves for it.
    pub(super) fn is_served_by_its_content(&self) -> bool {
        self.running
            .as_ref()
            .is_some_and(|running| Some(running.hash) == self.hash && !running.is_over())
    }

    /// Whether `hash` serves here although the file is gone or has another content now: then it may
    /// move to the file that has it, as when files are renamed.
    pub(super) fn could_give_up(&self, hash: ContentHash) -> bool {
        let serves =
            self.running.as_ref().is_some_and(|running| running.hash == hash && !running.is_over());
        let content_is_other = match self.state {
            SlotState::Missing { .. } => true,
            SlotState::Settling { .. } => false,
            _ => self.hash != Some(hash),
        };
        serves && content_is_other
    }

    /// Delays the next try, twice as long as the last time; without a watch until an operator asks.
    pub(super) fn block(&mut self, limits: &Limits, watch: Watch, bytes_free_min: Option<u64>) {
        let (first, longest) = (limits.plugin_retry_ms, limits.plugin_retry_ms_max);
        self.wait =
            (self.wait * 2).max(Duration::from_millis(first)).min(Duration::from_millis(longest));
        self.is_blocked = true;
        let due = (watch != Watch::Off).then(|| later(Instant::now(), self.wait));
        self.state = SlotState::Blocked { hash: self.hash, due, bytes_free_min };
    }

    /// When it wants to be looked at.
    pub(super) const fn due(&self) -> Option<Instant> {
        match self.state {
            SlotState::Settling { due, .. }
            | SlotState::Missing { due }
            | SlotState::Retrying { due, .. } => Some(due),
            SlotState::Blocked { due, .. } | SlotState::Waiting { due, .. } => due,
            _ => None,
        }
    }

    /// When the server retries what failed.
    fn retry_at(&self) -> Option<SystemTime> {
        let due = match self.state {
            SlotState::Retrying { due, .. } => due,
            SlotState::Waiting { due, .. } | SlotState::Blocked { due, .. } => due?,
            _ => return None,
        };
        SystemTime::now().checked_add(due.saturating_duration_since(Instant::now()))
    }

    /// Whether what serves, or else what waits to serve, declares that no two instances of it may
    /// live at the same time.
    pub(super) fn is_exclusive(&self) -> Option<bool> {
        let waiting = || match &self.state {
            SlotState::Conflicting(candidate) | SlotState::Waiting { candidate, .. } => {
                Some(candidate.is_exclusive())
            }
            _ => None,
        };
        self.running.as_ref().map(|running| running.is_exclusive()).or_else(waiting)
    }

    /// What the operator is told.
    pub(super) fn status(&self, file: &Path) -> Row {
        let candidate = match &self.state {
            SlotState::Conflicting(candidate) | SlotState::Waiting { candidate, .. } => {
                Some(&candidate.descriptor)
            }
            _ => None,
        };
        let running = self.running.as_ref();
        let descriptor = running.map(|running| &running.descriptor).or(candidate);
        let methods = running.into_iter().flat_map(|running| running.descriptor.names());
        let status = PluginStatus {
            name: descriptor
                .map(|descriptor| descriptor.name.clone())
                .or_else(|| self.plugin.clone()),
            version: descriptor.map(|descriptor| descriptor.version.clone()),
            description: descriptor.and_then(Descriptor::description),
            file: file.to_owned(),
            sha256: running.map(|running| running.hash).or(self.hash).map(|hash| hash.hex()),
            file_sha256: self.hash.map(|hash| hash.hex()),
            generation: running.map(|running| running.id),
            state: self.state.file_state(),
            methods: methods.map(str::to_owned).collect(),
            calls: 0,
            faults: 0,
            // A content that is being tried again has no verdict yet.
            last_error: self
                .last_error
                .clone()
                .filter(|_| !matches!(self.state, SlotState::Probing { .. })),
            warnings: running.map(|running| running.warnings.clone()).unwrap_or_default(),
            reload: None,
            loaded_at: running.map(|running| running.loaded_at),
            retry_at: self.retry_at(),
            callers_refused: 0,
            kept_generations: 0,
            kept_bytes: 0,
            kept_file_bytes: 0,
        };
        Row { status, health: running.map(|running| Arc::clone(&running.health)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_up_to_the_longest() {
        let limits = Limits { plugin_retry_ms: 100, plugin_retry_ms_max: 500, ..Limits::default() };
        let mut slot = Slot::new();
        for ms in [100, 200, 400, 500, 500] {
            let before = Instant::now();
            slot.block(&limits, Watch::Poll, None);
            assert_eq!(slot.wait, Duration::from_millis(ms));
            assert!(slot.due().is_some_and(|due| due >= before + slot.wait));
        }
        slot.block(&limits, Watch::Off, None);
        assert_eq!(slot.due(), None);
    }
}
