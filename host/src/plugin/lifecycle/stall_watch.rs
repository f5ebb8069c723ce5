//! Watches what the loader is busy with while it runs a plugin's code in this process.
//!
//! A function that does not return holds up the loader for ever: code cannot be taken out of a
//! process. Serving plugins go on, but nothing is loaded or replaced any more, so operators are
//! told which plugin it is. The watch also ends pauses that last too long, because the loader may
//! be unable to.

use super::pauses::Pauses;
use super::status::{FileState, PluginStatus};
use crate::plugin::instance::thread_names::Named;
use crossbeam_channel::{Receiver, RecvTimeoutError};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// From one look at the loader to the next.
const TICK: Duration = Duration::from_millis(500);

/// What is being done, if anything is.
#[derive(Default)]
pub(crate) struct CurrentTask(Mutex<Option<Task>>);

#[derive(Clone, PartialEq, Eq)]
struct Task {
    file: PathBuf,
    step: &'static str,
    since: Instant,
}

/// A generation's code runs on this thread until this goes.
pub(crate) struct TaskGuard {
    current_task: Arc<CurrentTask>,
    _named: Named,
}

impl CurrentTask {
    /// To be called before a generation's code runs on this thread.
    pub(crate) fn begin(
        self: &Arc<Self>,
        file: PathBuf,
        step: &'static str,
        named: Named,
    ) -> TaskGuard {
        *self.lock() = Some(Task { file, step, since: Instant::now() });
        TaskGuard { current_task: Arc::clone(self), _named: named }
    }
}

impl TaskGuard {
    /// The next function runs.
    pub(crate) fn next_step(&self, step: &'static str) {
        if let Some(task) = self.current_task.lock().as_mut() {
            (task.step, task.since) = (step, Instant::now());
        }
    }
}

impl Drop for TaskGuard {
    fn drop(&mut self) {
        *self.current_task.lock() = None;
    }
}

impl CurrentTask {
    /// Whether one function has run for longer than `patience`.
    pub(crate) fn is_held_up(&self, patience: Duration) -> bool {
        self.late(patience).is_some()
    }

    /// Tells operators which file holds up the loader, and of the others that wait for it.
    pub(crate) fn mark(&self, status: &mut PluginStatus, patience: Duration) {
        let Some(task) = self.late(patience) else { return };
        if task.file == status.file {
            status.last_error = Some(task.text());
        } else if matches!(status.state, FileState::Settling | FileState::Probing) {
            status.last_error =
                Some(format!("it waits for the loader, which {} holds up", task.file.display()));
        }
    }

    fn late(&self, patience: Duration) -> Option<Task> {
        self.lock().clone().filter(|task| task.since.elapsed() > patience)
    }

    fn lock(&self) -> MutexGuard<'_, Option<Task>> {
        // Only assignments are made under the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Task {
    fn text(&self) -> String {
        let (step, seconds) = (self.step, self.since.elapsed().as_secs());
        format!(
            "{step} has run for {seconds} s; nothing is loaded, replaced or removed before it \
             returns"
        )
    }
}

/// Says which plugin holds up the loader, once for each function that does, and ends the pauses
/// that last too long meanwhile, until the loader has ended.
pub(crate) fn watch(
    current_task: &CurrentTask,
    pauses: &Pauses,
    loader: &Receiver<()>,
    patience: Duration,
) {
    let mut told: Option<Task> = None;
    while loader.recv_timeout(TICK) == Err(RecvTimeoutError::Timeout) {
        pauses.end_overdue();
        let late = current_task.late(patience);
        if late == told {
            continue;
        }
        if let Some(task) = told.take() {
            log::info!(
                "plugin file {}: {} has returned; the loader goes on",
                task.file.display(),
                task.step
            );
        }
        if let Some(task) = &late {
            log::error!(
                "plugin file {} holds up the loader: {}; if it never does, restart without that \
                 file",
                task.file.display(),
                task.text()
            );
        }
        told = late;
    }
}
