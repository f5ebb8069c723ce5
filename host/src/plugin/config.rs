//! The configuration of the life cycle: where plugins come from, how they are watched and what
//! they get. Must not know how any of it is done, nor where the settings stand.

use super::directory::permissions::Policy;
use super::directory::trust::Trust;
use crate::limits::Limits;
use crate::queue::{Key, Rules};
use crate::settings::settings;
use crate::xmlrpc::Value;
use serde::Deserialize;
use std::collections::{BTreeMap, HashMap};
use std::num::{NonZeroU16, NonZeroUsize};
use std::path::PathBuf;

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
    /// Further settings.
    pub keys: PluginKeys,
    /// The `hotcall` program, which tries each new content in a child process first.
    pub program: PathBuf,
    /// Which contents may be loaded at all.
    pub trust: Trust,
}

impl Config {
    /// How plugin files are opened.
    pub(crate) const fn policy(&self) -> Policy {
        let keys = &self.keys;
        Policy { is_checked: keys.checks_permissions(), follows_links: keys.follow_symlinks }
    }
}

/// Gives `settings!` the settings that this room takes at a start, as they are. A new one needs
/// only its entry here and the code that uses it.
macro_rules! plugin_keys {
    ({ $($struct:tt)* } { $($before:tt)* } { $($after:tt)* } $($rest:tt)*) => {
        $crate::settings::settings! { $($struct)* { $($before)*
            /// Try each new plugin content in a child process first.
            probe: bool = true;
            /// Refuse plugins that somebody else than the server's user could change.
            ///
            /// Default: yes, but no for `hotcall dev`.
            check_permissions: Option<bool> = None => shown("true");
            /// Whether a plugin file may be a symbolic link.
            follow_symlinks: bool = false;
        $($after)* } $($rest)* }
    };
}
pub(crate) use plugin_keys;

plugin_keys! {
    {
        /// How plugin files are judged, as the operator chooses it.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct PluginKeys
    } {} {}
}

impl PluginKeys {
    /// Whether plugins that somebody else could change are refused.
    pub const fn checks_permissions(&self) -> bool {
        !matches!(self.check_permissions, Some(false))
    }
}

settings! {
    /// What the server does with a plugin. Unlike its configuration, the plugin does not learn of
    /// it.
    #[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
    #[serde(default, deny_unknown_fields)]
    pub struct PluginOptions {
        /// Or close: unmap old versions, if the plugin declares that it leaves nothing behind.
        unload: Unload = Unload::Keep => shown("\"keep\"");
        /// Or exclusive: never two versions at once. Default: what the plugin declares, else
        /// overlap.
        reload: Option<ReloadMode> = None => shown("\"overlap\"");
        /// Calls at a time, stuck ones too. 0: as many as its share of the workers allows.
        concurrency_max: usize = 0 => at_least(0);
        /// Calls that wait for a worker. Default: the queue_len_max of limits.
        queue_len_max: Option<NonZeroUsize> = None => shown("256");
        /// Its share of the workers relative to other plugins', 1 to 65535. Default: 1.
        weight: Option<NonZeroU16> = None => shown("1");
    }
}

/// How the calls of plugins with these options share the workers.
pub fn queue_rules(options: &BTreeMap<String, PluginOptions>) -> HashMap<Key, Rules> {
    let rules = |options: &PluginOptions| Rules {
        weight: options.weight.unwrap_or(Rules::default().weight),
        running_max: NonZeroUsize::new(options.concurrency_max),
        waiting_max: options.queue_len_max,
    };
    options.iter().map(|(name, options)| (Key::Plugin(name.into()), rules(options))).collect()
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
    /// It is unmapped if the plugin declares that it leaves nothing behind
    /// (`HOTCALL_PLUGIN_LEAVES_NOTHING`), and nothing is known that speaks against it. A plugin
    /// that declares it wrongly takes the server along.
    Close,
}

/// How changes of the plugins directory are noticed.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Watch {
    /// Kernel events, and a slow periodic rescan.
    #[default]
    Auto,
    /// A periodic rescan only, where events do not come (NFS, some bind mounts).
    Poll,
    /// Only at the start and on SIGHUP.
    Off,
}
