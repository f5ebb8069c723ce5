//! What every part of the loader may use: the configuration, the store, and where to report. Must
//! not know slots, or what is under way.

use super::events::Mailbox;
use super::published::Shared;
use super::stall_watch::TaskGuard;
use crate::plugin::clock::later;
use crate::plugin::config::{Config, ReloadMode, Unload};
use crate::plugin::directory::store::Store;
use crate::plugin::instance::thread_names::Names;
use crate::registry::CallContext;
use crate::xmlrpc::Value;
use std::ffi::OsStr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

/// The loader's surroundings.
pub(super) struct Context {
    pub(super) config: Config,
    pub(super) store: Store,
    pub(super) mailbox: Arc<Mailbox>,
    pub(super) shared: Arc<Shared>,
    pub(super) thread_names: Names,
}

impl Context {
    /// The path of a file of the plugins directory.
    pub(super) fn path(&self, name: &OsStr) -> PathBuf {
        self.config.directory.join(name)
    }

    /// The configuration of a plugin: an empty struct when there is none.
    pub(super) fn settings_of(&self, plugin: &str) -> Value {
        self.config.settings.get(plugin).cloned().unwrap_or_else(|| Value::Struct(Vec::new()))
    }

    /// What the operator wants to become of a plugin's generations once they are destroyed.
    pub(super) fn unload_of(&self, plugin: &str) -> Unload {
        self.config.options.get(plugin).map_or(Unload::Keep, |options| options.unload)
    }

    /// How a plugin is replaced: as the operator says, else as it declares.
    pub(super) fn reload_of(&self, plugin: &str, is_exclusive: bool) -> ReloadMode {
        let declared = if is_exclusive { ReloadMode::Exclusive } else { ReloadMode::Overlap };
        self.config.options.get(plugin).and_then(|options| options.reload).unwrap_or(declared)
    }

    /// The circumstances of a call that the loader makes itself.
    pub(super) fn call(&self, what: &str) -> CallContext {
        CallContext::of_the_server(what, later(Instant::now(), self.config.limits.call_max()))
    }

    /// To be called before a generation's code runs on this thread.
    pub(super) fn begin_task(
        &self,
        name: &OsStr,
        generation: u64,
        step: &'static str,
    ) -> TaskGuard {
        self.shared.current_task.begin(self.path(name), step, self.thread_names.bear(generation))
    }
}
