//! The loader's published state besides the registry, for threads that must not wait for the
//! loader. Must not know the loader.

use super::pauses::Pauses;
use super::stall_watch::CurrentTask;
use super::status::{PluginStatus, Row};
use arc_swap::ArcSwap;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

/// What the loader publishes besides the registry.
#[derive(Default)]
pub(crate) struct Shared {
    pub(crate) rows: ArcSwap<Vec<Row>>,
    pub(crate) current_task: Arc<CurrentTask>,
    /// How long one function of a plugin may hold up the loader before operators are told.
    pub(crate) patience: Duration,
    /// Callers that wait for a reload.
    pub(crate) reloads_awaited: AtomicUsize,
    /// What calls wait for, and until when: the loader may be held up by then.
    pub(crate) pauses: Pauses,
}

impl Shared {
    pub(crate) fn status(&self) -> Vec<PluginStatus> {
        let now = |row: &Row| {
            let mut status = row.now();
            self.current_task.mark(&mut status, self.patience);
            status
        };
        self.rows.load().iter().map(now).collect()
    }
}
