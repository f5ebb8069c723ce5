//! Everything that is chosen before a start. Must not know what is done with it.

use super::client_auth::client_auth;
use super::error::Error;
use crate::access;
use crate::config::{Config, default_state_dir};
use crate::limits::{Limits, MethodLimits};
use crate::net::tls::{CertificateFiles, ClientAuth};
use crate::net::{self, Bind};
use crate::plugin::{self, PluginOptions, Trust, Watch};
use crate::xmlrpc::{EncodeStyle, Value};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::thread;

/// Calls may block, so there may be more workers than cores. One that is never needed is never
/// started.
pub(super) const WORKERS_PER_CORE: usize = 4;

/// Everything that is chosen before a start.
#[derive(Clone, Debug)]
pub struct Options {
    /// The watched directory.
    pub plugins_dir: PathBuf,
    /// The server's own files.
    pub state_dir: PathBuf,
    /// Where to listen.
    pub binds: Vec<Bind>,
    /// Where it listens besides, by sockets that it is handed.
    pub handed: Vec<Bind>,
    /// The mode of Unix sockets.
    pub unix_mode: Option<u32>,
    /// The group of Unix sockets.
    pub unix_group: Option<String>,
    /// Whom to become before anything is loaded.
    pub user: Option<String>,
    /// With which group.
    pub group: Option<String>,
    /// Whether a crash may write the memory to disk.
    pub core_dumps: bool,
    /// Certificates and their keys, the default one first.
    pub certificates: Vec<CertificateFiles>,
    /// How clients of the HTTPS listeners show who they are, if they are asked.
    pub clients: Option<ClientAuth>,
    /// Who may call.
    pub access: access::Settings,
    /// Worker threads, at most.
    pub workers: usize,
    /// Whether plain calls go to the workers without passing through tiny_http.
    pub direct_lane: bool,
    /// How changes are noticed.
    pub watch: Watch,
    /// Whether each new plugin content is tried in a child process first.
    pub probe: bool,
    /// Whether plugins that somebody else could change are refused.
    pub check_permissions: bool,
    /// Whether a plugin file may be a symbolic link.
    pub follow_symlinks: bool,
    /// Which plugins are loaded at all.
    pub trust: Trust,
    /// Every limit.
    pub limits: Limits,
    /// How results are written.
    pub xmlrpc: EncodeStyle,
    /// Each plugin's configuration.
    pub plugin_settings: BTreeMap<String, Value>,
    /// What the server does with each plugin.
    pub plugin_options: BTreeMap<String, PluginOptions>,
    /// What calls of single methods may take.
    pub methods: BTreeMap<String, MethodLimits>,
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
    pub fn new(config: Config, handed: Vec<Bind>) -> Result<Self, Error> {
        const WORKERS_DEFAULT_MIN: usize = 32;
        const WORKERS_MAX: usize = 1_024;
        const DEFAULT_HTTPS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8443);
        let certificates = config.certificates().map_err(|error| Error::Options(error.to_string()))?;
        config.limits.check().map_err(Error::Options)?;
        if config.workers.is_some_and(|workers| !(1..=WORKERS_MAX).contains(&workers)) {
            return Err(Error::Options(format!("workers may be 1 to {WORKERS_MAX}")));
        }
        let clients = client_auth(&config)?;
        let unix_mode = config.unix_mode().map_err(|error| Error::Options(error.to_string()))?;
        let plugin_settings = config.plugin_settings();
        let access = config.access();
        let trust = config.trust().map_err(|error| Error::Options(error.to_string()))?;
        let mut binds: Vec<Bind> = config.https.into_iter().map(Bind::Https).collect();
        binds.extend(config.http.into_iter().map(Bind::Http));
        binds.extend(config.unix.into_iter().map(Bind::Unix));
        if binds.is_empty() && handed.is_empty() {
            binds.push(Bind::Https(DEFAULT_HTTPS));
        }
        net::check(&binds, &handed).map_err(Error::Options)?;
        Ok(Self {
            plugins_dir: config.plugins_dir.unwrap_or_else(|| PathBuf::from("plugins")),
            state_dir: config.state_dir.unwrap_or_else(|| default_state_dir(config.user.is_some())),
            binds,
            handed,
            unix_mode,
            unix_group: config.unix_group,
            user: config.user,
            group: config.group,
            core_dumps: config.core_dumps,
            certificates: certificates.into_iter().map(CertificateFiles::from).collect(),
            clients,
            access,
            workers: config
                .workers
                .unwrap_or((cores() * WORKERS_PER_CORE).clamp(WORKERS_DEFAULT_MIN, WORKERS_MAX)),
            direct_lane: config.direct_lane.unwrap_or(true),
            watch: config.watch.map_or(Watch::Auto, Watch::from),
            probe: config.probe.unwrap_or(true),
            check_permissions: config.check_permissions.unwrap_or(true),
            follow_symlinks: config.follow_symlinks,
            trust,
            limits: config.limits,
            xmlrpc: config.xmlrpc,
            plugin_settings,
            plugin_options: config.plugin_options,
            methods: config.methods,
        })
    }

    /// All places where it listens.
    pub fn listeners(&self) -> impl Iterator<Item = &Bind> {
        self.binds.iter().chain(&self.handed)
    }

    /// The keys that only a start takes and that are other ones there.
    pub(super) fn fixed_keys_that_differ(&self, new: &Self) -> Vec<&'static str> {
        // All by name, so that a new one is not forgotten here.
        let Self {
            plugins_dir,
            state_dir,
            binds,
            handed: _,
            unix_mode,
            unix_group,
            user,
            group,
            core_dumps,
            certificates: _,
            clients: _,
            workers,
            direct_lane,
            watch,
            limits,
            xmlrpc,
            probe,
            check_permissions,
            follow_symlinks,
            access: _,
            trust: _,
            plugin_settings: _,
            plugin_options: _,
            methods: _,
        } = self;
        let keys = [
            ("plugins_dir", *plugins_dir != new.plugins_dir),
            ("state_dir", *state_dir != new.state_dir),
            ("https, http or unix", *binds != new.binds),
            ("unix_mode", *unix_mode != new.unix_mode),
            ("unix_group", *unix_group != new.unix_group),
            ("user", *user != new.user),
            ("group", *group != new.group),
            ("core_dumps", *core_dumps != new.core_dumps),
            ("workers", *workers != new.workers),
            ("direct_lane", *direct_lane != new.direct_lane),
            ("watch", *watch != new.watch),
            ("[limits]", *limits != new.limits),
            ("[xmlrpc]", *xmlrpc != new.xmlrpc),
            ("probe", *probe != new.probe),
            ("check_permissions", *check_permissions != new.check_permissions),
            ("follow_symlinks", *follow_symlinks != new.follow_symlinks),
        ];
        keys.into_iter().filter_map(|(key, differs)| differs.then_some(key)).collect()
    }

    /// The files that are read anew while the server runs.
    pub(super) fn files(&self) -> impl Iterator<Item = &Path> {
        net::tls::files(&self.certificates, self.clients.as_ref()).chain(self.access.users.as_deref())
    }

    /// What of it the plugins' life cycle gets.
    pub fn plugin_config(&self) -> plugin::Config {
        plugin::Config {
            directory: self.plugins_dir.clone(),
            state_dir: self.state_dir.clone(),
            watch: self.watch,
            settings: self.plugin_settings.clone(),
            options: self.plugin_options.clone(),
            limits: self.limits.clone(),
            probe: self.probe.then(plugin::probe::this_program),
            check_permissions: self.check_permissions,
            follow_symlinks: self.follow_symlinks,
            trust: self.trust.clone(),
        }
    }
}

/// How many processors this process may use.
pub(super) fn cores() -> usize {
    thread::available_parallelism().map_or(1, NonZeroUsize::get)
}
