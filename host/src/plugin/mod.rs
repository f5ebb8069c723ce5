//! The plugin life cycle: from a file in the plugins directory to methods in the registry, and out again.
//!
//! ```text
//! hint or periodic look -> permissions -> settled? -> trust -> ELF bounds and note -> private copy
//!   -> probe in a child process -> dlopen -> table -> create -> the old generation's save_state -> load_state
//!   -> ATOMIC SWAP in the registry -> old generation: quiesce, drain, destroy, keep mapped
//! ```
//!
//! Where to begin: `lifecycle` is the loop, `slot` its states, `events` its events; `admit` decides
//! what serves, and `candidate` is the list of steps that a file takes. Below them: `scan` and `watch` see files,
//! `permissions` and `trust` say whose they are, `elf` reads them, `store` copies them, `probe` tries them elsewhere,
//! `library` loads them, `handover` moves their state, `generation` serves them through `boundary`.
//!
//! Invariants
//! - One thread, the loader, runs all of a plugin's code but its methods and its end, which has a thread of its own. It holds
//!   no lock that a call needs.
//! - The registry is all that is written here for others. This module knows no network, no HTTP, no XML.
//! - A failed step changes nothing that serves. No file's code runs before its bytes are checked, and the watched file
//!   itself is never mapped.
//! - Nothing is unmapped, but for a plugin that declares that it leaves nothing behind, when the operator says so.
//! - `unsafe` stands in `library`, `callbacks` and `boundary` only, and in a probe's `inherited`.

mod admin;
mod directory;
pub(crate) mod instance;
mod library;
mod lifecycle;
pub mod probe;
mod refusal;

pub use admin::control::RELOADS_AWAITED_MAX;
pub use admin::inspect;
pub use lifecycle::status::{FileState, PluginStatus};

use crate::limits::Limits;
use crate::registry::{Control, Registry};
use crate::xmlrpc::Value;
use admin::control::Controller;
use arc_swap::ArcSwap;
use crossbeam_channel::{Receiver, RecvTimeoutError, bounded};
use directory::permissions::Policy;
use directory::store::Store;
use lifecycle::events::{Mailbox, Settings};
use lifecycle::exclusive::Pauses;
use lifecycle::loader::Loader;
use lifecycle::stall_watch::Desk;
use lifecycle::status::Row;
use refusal::Refusal;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use std::{fmt, io, thread};

pub use directory::trust::Trust;

/// What [`Plugins::stop`] waits beyond its deadline for a `destroy` that is under way.
const STOP_GRACE: Duration = Duration::from_secs(1);

/// From one look to the next whether the start is held up.
const START_TICK: Duration = Duration::from_millis(100);

/// Where plugins come from and what they get.
#[derive(Clone, Debug)]
pub struct Config {
    /// The plugins directory. It need not exist yet.
    pub directory: PathBuf,
    /// Where private copies and plugins' data are kept.
    pub state_dir: PathBuf,
    /// How changes are seen.
    pub watch: Watch,
    /// Each plugin's configuration, a struct, by the plugin's name.
    pub settings: BTreeMap<String, Value>,
    /// What the server does with a plugin, by the plugin's name.
    pub options: BTreeMap<String, PluginOptions>,
    /// What a plugin and a call may use.
    pub limits: Limits,
    /// The `hotcall` program, which tries each new content in a child process first. None: contents are not tried.
    pub probe: Option<PathBuf>,
    /// Whether files and directories that somebody else could change are refused.
    pub check_permissions: bool,
    /// Whether a plugin file may be a symbolic link.
    pub follow_symlinks: bool,
    /// Which contents may be loaded at all.
    pub trust: Trust,
}

/// What the server does with a plugin. Unlike its configuration, the plugin does not learn of it.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(default, deny_unknown_fields)]
pub struct PluginOptions {
    /// What becomes of a generation's library once the generation is destroyed.
    pub unload: Unload,
    /// How a version replaces the one before it. None: as the plugin declares.
    pub reload: Option<ReloadMode>,
}

/// How a version of a plugin replaces the one before it.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum ReloadMode {
    /// The new one is made beside the old one: for a moment there are two.
    #[default]
    Overlap,
    /// Calls wait while the old one ends and then the new one is made: there are never two.
    Exclusive,
}

impl ReloadMode {
    /// In one word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Overlap => "overlap",
            Self::Exclusive => "exclusive",
        }
    }
}

/// What becomes of a library that is no longer used.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Unload {
    /// It stays mapped, which is always safe.
    #[default]
    Keep,
    /// It is unmapped if the plugin declares that it leaves nothing behind (`HOTCALL_PLUGIN_LEAVES_NOTHING`), and nothing
    /// is known that speaks against it. A plugin that declares it wrongly takes the server along.
    Close,
}

/// How changes of the plugins directory are seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Watch {
    /// At once by the kernel's hints, and by a slow periodic look.
    #[default]
    Auto,
    /// By a periodic look only, for file systems without hints.
    Poll,
    /// Only when [`Plugins::rescan`] is called.
    Off,
}

/// The running life cycle. Dropping it without [`Plugins::stop`] stops it without waiting.
pub struct Plugins {
    mailbox: Arc<Mailbox>,
    shared: Arc<Shared>,
    /// Says by disconnecting that the loader has ended.
    done: Receiver<()>,
    loader: Option<JoinHandle<()>>,
}

/// What the loader publishes besides the registry.
#[derive(Default)]
struct Shared {
    rows: ArcSwap<Vec<Row>>,
    desk: Desk,
    /// How long one function of a plugin may hold up the loader before operators are told.
    patience: Duration,
    kept: AtomicUsize,
    kept_bytes: AtomicU64,
    kept_file_bytes: AtomicU64,
    /// Callers that wait for a reload.
    reloads_awaited: AtomicUsize,
    /// What calls wait for, and until when: the loader may be held up by then.
    pauses: Pauses,
}

impl Shared {
    fn status(&self) -> Vec<PluginStatus> {
        let now = |row: &Row| {
            let mut status = row.now();
            self.desk.mark(&mut status, self.patience);
            status
        };
        self.rows.load().iter().map(now).collect()
    }
}

/// Why the life cycle cannot start: always the operator's to solve.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The state directory cannot be used.
    State {
        /// The path that failed.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Somebody else could change what the state directory holds; the text says how to mend that.
    UnsafeState(String),
    /// Code in the state directory cannot be loaded.
    NoExec(PathBuf),
    /// A plugin's settings are not a struct.
    Settings(String),
    /// The loader thread cannot be started.
    Thread(io::Error),
}

/// Starts the life cycle and loads what is in the directory. Returns once that is done, whatever was refused.
///
/// # Errors
/// The state directory or the settings cannot be used, or there is no thread to be had. Never because of a plugin.
pub fn start(config: Config, registry: Arc<Registry>) -> Result<Plugins, Error> {
    check(&config.settings)?;
    let store = Store::open(&config.state_dir, config.check_permissions)?;
    let directory = std::path::absolute(&config.directory).map_err(Error::state(&config.directory))?;
    let patience = config.limits.probe_max();
    let (mailbox, shared) = (Arc::<Mailbox>::default(), Arc::new(Shared { patience, ..Shared::default() }));
    let (ready, is_ready) = bounded::<()>(0);
    let (alive, done) = bounded::<()>(0);
    let config = Config { directory, ..config };
    let (events, publisher) = (Arc::clone(&mailbox), Arc::clone(&shared));
    let loader = thread::Builder::new()
        .name(instance::thread_names::LOADER.into())
        .spawn(move || {
            let _alive = alive;
            Loader::new(config, store, registry, events, publisher).run(ready);
        })
        .map_err(Error::Thread)?;
    let (desk, watched) = (Arc::clone(&shared), done.clone());
    let watch = move || lifecycle::stall_watch::watch(&desk, &watched, patience);
    thread::Builder::new().name("hotcall-watch".into()).spawn(watch).map_err(Error::Thread)?;
    // Disconnects when what is there is loaded. A plugin that holds up the loader does not hold up the others' server.
    while is_ready.recv_timeout(START_TICK) == Err(RecvTimeoutError::Timeout) {
        if shared.desk.is_held_up(patience) {
            break;
        }
    }
    Ok(Plugins { mailbox, shared, done, loader: Some(loader) })
}

fn check(settings: &BTreeMap<String, Value>) -> Result<(), Error> {
    match settings.iter().find(|(_, value)| !matches!(value, Value::Struct(_))) {
        Some((name, _)) => Err(Error::Settings(name.clone())),
        None => Ok(()),
    }
}

/// Makes the state directory if there is none, and checks that only this user can change what is reached by its path, if
/// `is_checked`: private copies of plugins are loaded from there.
///
/// # Errors
/// [`Error::State`] or [`Error::UnsafeState`].
pub fn make_state_dir(path: &Path, is_checked: bool) -> Result<(), Error> {
    let check = || match directory::permissions::check_private(path) {
        Ok(()) => Ok(()),
        Err(Refusal::Io { source, .. }) => Err(Error::state(path)(source)),
        Err(refusal) => Err(Error::UnsafeState(refusal.to_string())),
    };
    if !is_checked {
        return directory::store::make_directory(path).map_err(Error::state(path));
    }
    // Before, so that nothing is made in a place that is not safe; and after, because in a sticky directory somebody else
    // can have made it meanwhile.
    check()?;
    directory::store::make_directory(path).map_err(Error::state(path))?;
    check()
}

impl Config {
    /// How plugin files are opened.
    const fn policy(&self) -> Policy {
        Policy { is_checked: self.check_permissions, follows_links: self.follow_symlinks }
    }
}

impl Plugins {
    /// Looks at the directory now. Returns before that is done.
    pub fn rescan(&self) {
        self.mailbox.ask();
    }

    /// Takes these as the plugins' configurations and looks at the directory now: a plugin whose configuration changed gets
    /// a new generation, and with another trust what does not serve is judged anew. What serves goes on, trusted or not.
    /// Returns before that is done.
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
        self.mailbox.settings(Settings { settings, options, trust });
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

    /// Retired generations that are still mapped.
    pub fn kept(&self) -> usize {
        self.shared.kept.load(Ordering::Relaxed)
    }

    /// The address space that they take, in bytes.
    pub fn kept_bytes(&self) -> u64 {
        self.shared.kept_bytes.load(Ordering::Relaxed)
    }

    /// What their private copies take in the state directory, in bytes.
    pub fn kept_file_bytes(&self) -> u64 {
        self.shared.kept_file_bytes.load(Ordering::Relaxed)
    }

    /// Empties the registry, then quiesces and destroys all plugins, and removes the private
    /// copies. To be called when no call runs any more; what still runs at `deadline` is not destroyed.
    pub fn stop(mut self, deadline: Instant) {
        self.mailbox.stop(deadline);
        let Some(loader) = self.loader.take() else { return };
        let left = deadline.saturating_duration_since(Instant::now()) + STOP_GRACE;
        if self.done.recv_timeout(left) == Err(RecvTimeoutError::Timeout) {
            log::error!("a plugin holds up the loader and is left behind; see the last lines about plugins");
        } else if loader.join().is_err() {
            log::error!("the plugin loader panicked; this is an error of the server, please report it");
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

impl Error {
    fn state(path: &Path) -> impl Fn(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::State { path: path.clone(), source }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::State { path, source } => write!(
                f,
                "cannot use {} for the server's state: {source}; name a directory of its own with --state-dir",
                path.display()
            ),
            Self::UnsafeState(what) => write!(f, "the state directory is not safe: {what}"),
            Self::NoExec(path) => write!(
                f,
                "{} is on a file system mounted noexec, where no plugin can be loaded; \
                 name a directory elsewhere with --state-dir",
                path.display()
            ),
            Self::Settings(name) => {
                write!(f, "the configuration of plugin {name} is not a table; make it one")
            }
            Self::Thread(source) => write!(f, "cannot start the plugin loader's thread: {source}"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::State { source, .. } | Self::Thread(source) => Some(source),
            Self::UnsafeState(_) | Self::NoExec(_) | Self::Settings(_) => None,
        }
    }
}
