//! The handle to the life cycle: starts the loader and the watch over it, and asks and stops them.
//! Must not know the loader's steps.

use super::admin::control::Controller;
use super::config::{Config, PluginOptions};
use super::directory::store::Store;
use super::directory::trust::Trust;
use super::error::Error;
use super::instance::thread_names;
use super::lifecycle::events::{Mailbox, PluginSettings};
use super::lifecycle::loader::Loader;
use super::lifecycle::published::Shared;
use super::lifecycle::stall_watch;
use super::lifecycle::status::PluginStatus;
use crate::registry::{Control, Registry};
use crate::xmlrpc::Value;
use crossbeam_channel::{Receiver, RecvTimeoutError, bounded};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// What [`Plugins::stop`] waits beyond its deadline for a `destroy` that is under way.
const STOP_GRACE: Duration = Duration::from_secs(1);

/// From one look to the next whether the start is held up.
const START_TICK: Duration = Duration::from_millis(100);

/// The running life cycle. Dropping it without [`Plugins::stop`] stops it without waiting.
pub struct Plugins {
    mailbox: Arc<Mailbox>,
    shared: Arc<Shared>,
    /// Says by disconnecting that the loader has ended.
    done: Receiver<()>,
    loader: Option<JoinHandle<()>>,
}

/// Starts the life cycle and loads what is in the directory. Returns once that is done, whatever
/// was refused.
///
/// # Errors
/// The state directory or the settings cannot be used, or a thread could not be started. Never
/// because of a plugin.
pub fn start(config: Config, registry: Arc<Registry>) -> Result<Plugins, Error> {
    check(&config.settings)?;
    let store = Store::open(&config.state_dir, config.keys.checks_permissions())?;
    let directory =
        std::path::absolute(&config.directory).map_err(Error::state(&config.directory))?;
    let patience = config.limits.probe_max();
    let (mailbox, shared) =
        (Arc::<Mailbox>::default(), Arc::new(Shared { patience, ..Shared::default() }));
    let (ready, is_ready) = bounded::<()>(0);
    let (alive, done) = bounded::<()>(0);
    let config = Config { directory, ..config };
    let (events, publisher) = (Arc::clone(&mailbox), Arc::clone(&shared));
    let loader = thread::Builder::new()
        .name(thread_names::LOADER.into())
        .spawn(move || {
            let _alive = alive;
            Loader::new(config, store, registry, events, publisher).run(ready);
        })
        .map_err(Error::Thread)?;
    let (watching, watched) = (Arc::clone(&shared), done.clone());
    let watch =
        move || stall_watch::watch(&watching.current_task, &watching.pauses, &watched, patience);
    thread::Builder::new().name("hotcall-watch".into()).spawn(watch).map_err(Error::Thread)?;
    // Disconnects when what is there is loaded. A plugin that holds up the loader does not hold up
    // the others' server.
    while is_ready.recv_timeout(START_TICK) == Err(RecvTimeoutError::Timeout) {
        if shared.current_task.is_held_up(patience) {
            break;
        }
    }
    Ok(Plugins { mailbox, shared, done, loader: Some(loader) })
}

impl Plugins {
    /// Takes these as the plugins' configurations and looks at the directory now: a plugin whose
    /// configuration changed gets a new generation, and with another trust what does not serve is
    /// checked again. What serves goes on, trusted or not. Returns before that is done.
    ///
    /// # Errors
    /// [`Error::Settings`]: nothing has changed then.
    pub fn reconfigure(
        &self,
        settings: BTreeMap<String, Value>,
        options: BTreeMap<String, PluginOptions>,
        trust: Trust,
    ) -> Result<(), Error> {
        check(&settings)?;
        self.mailbox.settings(PluginSettings { settings, options, trust });
        Ok(())
    }

    /// What operators may ask by `hotcall.*`.
    pub fn control(&self) -> Arc<dyn Control> {
        let (mailbox, shared) = (Arc::clone(&self.mailbox), Arc::clone(&self.shared));
        Arc::new(Controller { mailbox, shared })
    }

    /// All plugin files as of the last change, sorted by name, with the counters of this moment.
    pub fn status(&self) -> Vec<PluginStatus> {
        self.shared.status()
    }

    /// Empties the registry, then quiesces and destroys all plugins, and removes the private
    /// copies. To be called when no call runs any more; what still runs at `deadline` is not
    /// destroyed.
    pub fn stop(mut self, deadline: Instant) {
        self.mailbox.stop(deadline);
        let Some(loader) = self.loader.take() else { return };
        let left = deadline.saturating_duration_since(Instant::now()) + STOP_GRACE;
        if self.done.recv_timeout(left) == Err(RecvTimeoutError::Timeout) {
            log::error!(
                "a plugin holds up the loader and is left behind; see the last lines about plugins"
            );
        } else if loader.join().is_err() {
            log::error!(
                "the plugin loader panicked; this is an error of the server, please report it"
            );
        }
    }
}

impl Drop for Plugins {
    fn drop(&mut self) {
        if self.loader.is_some() {
            self.mailbox.stop(Instant::now());
        }
    }
}

fn check(settings: &BTreeMap<String, Value>) -> Result<(), Error> {
    match settings.iter().find(|(_, value)| !matches!(value, Value::Struct(_))) {
        Some((name, _)) => Err(Error::Settings(name.clone())),
        None => Ok(()),
    }
}
