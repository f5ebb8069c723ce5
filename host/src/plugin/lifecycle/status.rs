//! The plugins' status for operators: assembled by the loader at each change, with counters read
//! when asked. Knows no files and loads nothing.

use crate::plugin::config::ReloadMode;
use crate::plugin::instance::health::Health;
use crate::plugin::library::count::Count;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

/// What the operator is told of one plugin file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PluginStatus {
    /// The plugin's name, when known.
    pub name: Option<String>,
    /// Its version, when known.
    pub version: Option<String>,
    /// What it says that it is for, if it says so.
    pub description: Option<String>,
    /// The file.
    pub file: PathBuf,
    /// The content that serves, or that of the file when none does, in hexadecimal.
    pub sha256: Option<String>,
    /// The file's content as last settled; another one than serves when it waits or was refused.
    pub file_sha256: Option<String>,
    /// What serves for this file; not always its present content.
    pub generation: Option<u64>,
    /// What is known of the file's present content.
    pub state: FileState,
    /// The methods that serve, sorted.
    pub methods: Vec<String>,
    /// Calls that the serving generation has ended.
    pub calls: u64,
    /// Those of them that ended with a fault.
    pub faults: u64,
    /// Why the present content does not serve, or what serves is out of service.
    pub last_error: Option<String>,
    /// What an operator should know of what serves, and of what served before.
    pub warnings: Vec<String>,
    /// How it is replaced; known with the plugin.
    pub reload: Option<ReloadMode>,
    /// When the serving generation was made.
    pub loaded_at: Option<SystemTime>,
    /// When the server retries by itself: to load the file, or to let a call into a plugin that is
    /// out of service.
    pub retry_at: Option<SystemTime>,
    /// Callers that are refused because calls of theirs panicked.
    pub callers_refused: usize,
    /// Retired generations of this plugin that are still mapped.
    pub kept_generations: usize,
    /// The address space that they take.
    pub kept_bytes: u64,
    /// What their private copies take on disk.
    pub kept_file_bytes: u64,
}

/// What is known of a plugin file's present content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileState {
    /// It changed a moment ago.
    Settling,
    /// A child process tries it.
    Probing,
    /// It serves.
    Serving,
    /// It is out of service: its calls panicked too often in a row. A trial call is let in now and
    /// then.
    Poisoned,
    /// It waits for the running version, which cannot give way at this moment.
    Waiting,
    /// It replaces a version that has to end first: calls wait.
    Replacing,
    /// It waits for a name that another file's plugin has.
    Conflicting,
    /// It is not loaded; `last_error` says why.
    Refused,
    /// It is gone, and its methods go in a moment.
    Missing,
}

impl FileState {
    /// In one word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Settling => "settling",
            Self::Probing => "probing",
            Self::Serving => "serving",
            Self::Poisoned => "poisoned",
            Self::Waiting => "waiting",
            Self::Replacing => "replacing",
            Self::Conflicting => "conflicting",
            Self::Refused => "refused",
            Self::Missing => "missing",
        }
    }
}

/// One file as of the last change.
pub(crate) struct Row {
    pub(crate) status: PluginStatus,
    /// Of the serving generation, which this does not keep alive.
    pub(crate) health: Option<Arc<Health>>,
}

impl Row {
    /// The same with what serves by now.
    pub(crate) fn now(&self) -> PluginStatus {
        let mut status = self.status.clone();
        let Some(health) = &self.health else { return status };
        (status.calls, status.faults) = (health.calls(), health.faults());
        if health.is_poisoned() {
            if status.state == FileState::Serving {
                status.state = FileState::Poisoned;
            }
            let why =
                || format!("out of service: its calls panicked, {} in a row", health.panics_max());
            status.last_error.get_or_insert_with(why);
            status.retry_at =
                health.next_try().and_then(|wait| SystemTime::now().checked_add(wait));
        }
        status.callers_refused = health.callers_refused();
        status
    }

    /// With what is known of the plugin's earlier generations.
    pub(crate) fn with_past(mut self, kept: Count, warning: Option<&String>) -> Self {
        self.status.kept_generations = kept.generations;
        self.status.kept_bytes = kept.bytes;
        self.status.kept_file_bytes = kept.file_bytes;
        self.status.warnings.extend(warning.cloned());
        self
    }
}
