//! The settings as the server takes them: checked, and with no default left open.
//!
//! Holds the config itself, and beside it only values that had to be parsed or checked.

use super::error::Error;
use crate::access;
use crate::config::{Config, WORKERS_MAX, default_state_dir};
use crate::net::tls::{self, CertificateFiles, ClientAuth};
use crate::net::{self, Bind};
use crate::plugin::{self, PluginKeys, Trust};
use crate::settings::Section;
use crate::xmlrpc::Value;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::thread;

/// Calls may block, so there may be more workers than cores. One that is never needed is never
/// started.
pub(super) const WORKERS_PER_CORE: usize = 4;

/// Everything that is chosen before a start. Settings that mean what they say are read from
/// `config`.
#[derive(Clone, Debug)]
pub struct Options {
    /// The settings. Those that are optional and have a default are there.
    pub config: Config,
    /// Where to listen.
    pub binds: Vec<Bind>,
    /// Where it listens besides, by sockets that it is handed.
    pub inherited: Vec<Bind>,
    /// The mode of Unix sockets.
    pub unix_mode: Option<u32>,
    /// Certificates and their keys, the default one first.
    pub certificates: Vec<CertificateFiles>,
    /// How clients of the HTTPS listeners show who they are, if they are asked.
    pub clients: Option<ClientAuth>,
    /// Who may call.
    pub access: access::Settings,
    /// Which plugins are loaded at all.
    pub trust: Trust,
    /// Each plugin's configuration.
    pub plugin_settings: BTreeMap<String, Value>,
}

impl TryFrom<Config> for Options {
    type Error = Error;

    fn try_from(config: Config) -> Result<Self, Error> {
        Self::new(config, Vec::new())
    }
}

impl Options {
    /// What a config says for a server that is handed such sockets. With any, it listens nowhere
    /// else by default.
    ///
    /// # Errors
    /// What in the config does not fit together.
    pub fn new(mut config: Config, inherited: Vec<Bind>) -> Result<Self, Error> {
        const DEFAULT_HTTPS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8443);
        let wrong = |error: crate::config::Error| Error::Options(error.to_string());
        let certificates = config.certificates().map_err(wrong)?;
        config.check().map_err(wrong)?;
        let clients = config.clients().map_err(wrong)?;
        let unix_mode = config.unix_mode().map_err(wrong)?;
        let trust = config.trust().map_err(wrong)?;
        let Config { https, http, unix, .. } = &config;
        if https.is_empty() && http.is_empty() && unix.is_empty() && inherited.is_empty() {
            config.https.push(DEFAULT_HTTPS);
        }
        let mut binds: Vec<Bind> = config.https.iter().copied().map(Bind::Https).collect();
        binds.extend(config.http.iter().copied().map(Bind::Http));
        binds.extend(config.unix.iter().cloned().map(Bind::Unix));
        net::check(&binds, &inherited).map_err(Error::Options)?;
        config.unix_mode = unix_mode.map(|mode| format!("{mode:04o}"));
        let mut options = Self {
            binds,
            inherited,
            unix_mode,
            certificates,
            clients,
            access: config.access(),
            trust,
            plugin_settings: config.plugin_settings(),
            config,
        };
        options.settle();
        Ok(options)
    }

    /// Fills in the defaults that depend on more than the key, once for all. Settings that mean the
    /// same are equal then.
    fn settle(&mut self) {
        self.config.plugins_dir = Some(self.plugins_dir().to_owned());
        self.config.state_dir = Some(self.state_dir());
        self.config.workers = Some(self.workers());
        self.config.check_permissions = Some(self.checks_permissions());
    }

    /// The watched directory.
    pub fn plugins_dir(&self) -> &Path {
        self.config.plugins_dir.as_deref().unwrap_or(Path::new("plugins"))
    }

    /// The directory of the server's own files.
    pub fn state_dir(&self) -> PathBuf {
        let default = || default_state_dir(self.config.user.is_some());
        self.config.state_dir.clone().unwrap_or_else(default)
    }

    /// Worker threads, at most.
    pub fn workers(&self) -> usize {
        const DEFAULT_MIN: usize = 32;
        let default = || (cores() * WORKERS_PER_CORE).clamp(DEFAULT_MIN, WORKERS_MAX);
        self.config.workers.unwrap_or_else(default)
    }

    /// Whether plugins that somebody else could change are refused.
    pub fn checks_permissions(&self) -> bool {
        PluginKeys::from(&self.config).checks_permissions()
    }

    /// All places where it listens.
    pub fn listeners(&self) -> impl Iterator<Item = &Bind> {
        self.binds.iter().chain(&self.inherited)
    }

    /// The names of the settings that only a start takes and that are other ones there.
    pub(super) fn fixed_settings_that_differ(&self, new: &Self) -> Vec<&'static str> {
        let differing = self.config.differing(&new.config).into_iter();
        let fixed = differing.filter(|setting| !setting.is_reloaded);
        let mut names: Vec<_> = fixed.map(|setting| setting.name()).collect();
        names.dedup();
        names
    }

    /// The files that are read again while the server runs.
    pub(super) fn files(&self) -> impl Iterator<Item = &Path> {
        tls::files(&self.certificates, self.clients.as_ref())
            .chain(self.access.keys.users.as_deref())
    }

    /// What of it the plugins' life cycle gets.
    pub fn plugin_config(&self) -> plugin::Config {
        let config = &self.config;
        plugin::Config {
            directory: self.plugins_dir().to_owned(),
            state_dir: self.state_dir(),
            watch: config.watch,
            settings: self.plugin_settings.clone(),
            options: config.plugin_options.clone(),
            limits: config.limits.clone(),
            keys: config.into(),
            program: plugin::probe::this_program(),
            trust: self.trust.clone(),
        }
    }
}

/// How many threads run at a time.
pub(super) fn cores() -> usize {
    thread::available_parallelism().map_or(1, NonZeroUsize::get)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::Limits;

    fn fixed(change: impl Fn(&mut Config), other: impl Fn(&mut Config)) -> Vec<&'static str> {
        let options = |change: &dyn Fn(&mut Config)| {
            let mut config = Config::default();
            change(&mut config);
            Options::try_from(config).unwrap()
        };
        options(&change).fixed_settings_that_differ(&options(&other))
    }

    #[test]
    fn settings_that_mean_the_same_do_not_differ() {
        let spelled_out = |config: &mut Config| {
            config.plugins_dir = Some("plugins".into());
            config.state_dir = Some(default_state_dir(false));
            config.workers = Some((cores() * WORKERS_PER_CORE).max(32));
            config.check_permissions = Some(true);
            config.https = vec!["127.0.0.1:8443".parse().unwrap()];
        };
        assert_eq!(fixed(|_| (), spelled_out), [""; 0]);
        let mode = |mode: &'static str| {
            move |config: &mut Config| {
                config.unix = vec!["s".into()];
                config.unix_mode = Some(mode.into());
            }
        };
        assert_eq!(fixed(mode("660"), mode("0660")), [""; 0]);
        assert_eq!(fixed(mode("600"), mode("660")), ["unix_mode"]);
    }

    #[test]
    fn what_a_reload_does_not_take_is_named_once() {
        let all = |config: &mut Config| {
            config.plugins_dir = Some("p".into());
            config.http = vec!["127.0.0.1:80".parse().unwrap()];
            config.unix = vec!["s".into()];
            config.direct_lane = false;
            config.limits = Limits { call_ms_max: 1, ..Limits::default() };
            config.users = Some("users".into());
            config.allow_anonymous = true;
        };
        let named = ["plugins_dir", "direct_lane", "https, http or unix", "[limits]"];
        assert_eq!(fixed(|_| (), all), named);
    }
}
