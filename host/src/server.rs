//! The whole server: registry, plugins, dispatch, listeners, put together in the order of the data's way and
//! taken apart in the opposite one.

mod summary;
mod tls;

use crate::access::{self, Access, Policy};
use crate::config::{Config, default_state_dir};
use crate::limits::{Limits, MethodLimits};
use crate::net::tls::{CertificateFiles, ClientAuth, Tls};
use crate::net::{self, Bind};
use crate::plugin::{self, PluginOptions, Plugins, Trust, Watch};
use crate::registry::Registry;
use crate::rpc::{Concurrency, Dispatcher};
use crate::web::{App, Begun, Request, Response};
use crate::xmlrpc::{EncodeStyle, Value};
use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::Instant;

/// Everything that is chosen before a start.
#[derive(Clone, Debug)]
pub struct Options {
    /// The watched directory.
    pub plugins_dir: PathBuf,
    /// The server's own files.
    pub state_dir: PathBuf,
    /// Where to listen; at least one.
    pub binds: Vec<Bind>,
    /// Certificates and their keys, the default one first.
    pub certificates: Vec<CertificateFiles>,
    /// How clients of the HTTPS listeners show who they are, if they are asked.
    pub clients: Option<ClientAuth>,
    /// Who may call.
    pub access: access::Settings,
    /// Worker threads.
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

/// Why the server did not start.
#[derive(Debug)]
pub enum Error {
    /// The options do not fit together, or a file of them cannot be used.
    Options(String),
    /// The network side.
    Net(net::Error),
    /// The plugins' side.
    Plugins(plugin::Error),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Options(why) => f.write_str(why),
            Self::Net(error) => error.fmt(f),
            Self::Plugins(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Error {}

impl TryFrom<Config> for Options {
    type Error = Error;

    fn try_from(config: Config) -> Result<Self, Error> {
        /// Calls may block, so there are more workers than cores.
        const WORKERS_PER_CORE: usize = 4;
        const WORKERS_MAX: usize = 1_024;
        const DEFAULT_HTTPS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8443);
        let certificates = config.certificates().map_err(|error| Error::Options(error.to_string()))?;
        config.limits.check().map_err(Error::Options)?;
        if config.workers.is_some_and(|workers| !(1..=WORKERS_MAX).contains(&workers)) {
            return Err(Error::Options(format!("workers may be 1 to {WORKERS_MAX}")));
        }
        let clients = tls::clients(&config)?;
        let plugin_settings = config.plugin_settings();
        let access = config.access();
        let trust = config.trust().map_err(|error| Error::Options(error.to_string()))?;
        let mut binds: Vec<Bind> = config.https.into_iter().map(Bind::Https).collect();
        binds.extend(config.http.into_iter().map(Bind::Http));
        binds.extend(config.unix.into_iter().map(Bind::Unix));
        if binds.is_empty() {
            binds.push(Bind::Https(DEFAULT_HTTPS));
        }
        Ok(Self {
            plugins_dir: config.plugins_dir.unwrap_or_else(|| PathBuf::from("plugins")),
            state_dir: config.state_dir.unwrap_or_else(default_state_dir),
            binds,
            certificates: certificates.into_iter().map(CertificateFiles::from).collect(),
            clients,
            access,
            workers: config.workers.unwrap_or((cores() * WORKERS_PER_CORE).min(WORKERS_MAX)),
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
}

impl Options {
    /// The keys that only a start takes and that are other ones there.
    fn fixed_keys_that_differ(&self, new: &Self) -> Vec<&'static str> {
        // All by name, so that a new one is not forgotten here.
        let Self {
            plugins_dir,
            state_dir,
            binds,
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

    /// Whether a server could start with them, as far as can be said without binding, loading or writing anything: files of
    /// TLS and of users are read.
    ///
    /// # Errors
    /// What is missing or cannot be used.
    pub fn check(&self) -> Result<(), Error> {
        tls::check(self)?;
        policy(&self.binds, &self.access).map(drop)
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

/// A running server.
pub struct Server {
    front: net::Front,
    tls: Option<Arc<Tls>>,
    access: Arc<Access>,
    concurrency: Arc<Concurrency>,
    plugins: Plugins,
    /// What it was started with.
    options: Options,
}

impl Server {
    /// Loads the plugins, then listens: the first call is answered as well as any later one.
    ///
    /// # Errors
    /// What could not be read, made or bound, and what to do about it.
    pub fn start(options: Options) -> Result<Self, Error> {
        plugin::make_state_dir(&options.state_dir, options.check_permissions).map_err(Error::Plugins)?;
        let tls = tls::ready(&options)?.map(Tls::new).map(Arc::new);
        let access = Arc::new(Access::new(policy(&options.binds, &options.access)?));
        let registry = Arc::new(Registry::default());
        let private = options.state_dir.clone();
        let plugins = plugin::start(options.plugin_config(), registry.clone()).map_err(Error::Plugins)?;
        let dispatcher = Dispatcher::new(registry, options.limits.clone()).with_control(plugins.control());
        let concurrency = Arc::new(Concurrency::new(&options.methods));
        let dispatcher = dispatcher.with_style(options.xmlrpc).with_concurrency(Arc::clone(&concurrency));
        let app = App::new(dispatcher, access.clone());
        let handler = Arc::new(Application(Arc::new(app)));
        let (binds, limits) = (&options.binds, &options.limits);
        let workers = options.workers + reserve(binds, &options.access);
        let settings = net::Settings {
            binds,
            tls: tls.as_ref(),
            private: &private,
            workers,
            reactors: cores(),
            direct_lane: options.direct_lane,
            limits,
        };
        match net::start(&settings, handler) {
            Ok(front) => Ok(Self { front, tls, access, concurrency, plugins, options }),
            Err(error) => {
                plugins.stop(Instant::now() + options.limits.drain_max());
                Err(Error::Net(error))
            }
        }
    }

    /// Where each listener is reached.
    pub fn urls(&self) -> &[String] {
        self.front.urls()
    }

    /// Takes what of these options can be taken while it runs: the certificates, who may call, the plugins' configurations and
    /// options, the trust and the methods' limits; and looks at the plugins directory. The log names what else is not as it was at
    /// the start.
    ///
    /// # Errors
    /// The options cannot be used; nothing has changed then.
    pub fn reload(&mut self, options: Options) -> Result<(), Error> {
        let keys = self.options.fixed_keys_that_differ(&options);
        // The listeners are still those of the start.
        let (binds, state_dir) = (self.options.binds.clone(), self.options.state_dir.clone());
        let options = Options { binds, state_dir, ..options };
        let policy = policy(&options.binds, &options.access)?;
        let ready = tls::ready(&options)?;
        let Options { plugin_settings, plugin_options, trust, methods, .. } = options;
        self.plugins.reconfigure(plugin_settings, plugin_options, trust).map_err(Error::Plugins)?;
        // Nothing fails from here on.
        if let (Some(tls), Some(ready)) = (&self.tls, ready) {
            tls.replace(ready);
        }
        self.access.replace(policy);
        self.concurrency.replace(&methods);
        if !keys.is_empty() {
            log::warn!("changed in the configuration, and taken at the next start only: {}", keys.join(", "));
        }
        Ok(())
    }

    /// Answers what has been accepted, ends the plugins, and stops. `false` when the drain limit passed first.
    pub fn stop(self) -> bool {
        let deadline = Instant::now() + self.options.limits.drain_max();
        let drained = self.front.drain(deadline);
        self.plugins.stop(deadline);
        drained
    }
}

/// What answers requests, as the network side sees it.
struct Application(Arc<App>);

impl net::Handler for Application {
    fn respond(&self, request: &Request) -> Response {
        self.0.respond(request)
    }

    fn begin(&self, request: Request) -> Begun {
        self.0.begin(request)
    }

    fn overdue(&self, id: &str) -> Response {
        App::overdue(id)
    }
}

fn cores() -> usize {
    thread::available_parallelism().map_or(1, NonZeroUsize::get)
}

/// Workers for those who wait for reloads, so that all that were asked for answer calls. Nobody may wait where there are no
/// operators.
fn reserve(binds: &[Bind], access: &access::Settings) -> usize {
    let has_operators = access.names_operators() || binds.iter().any(|bind| matches!(bind, Bind::Unix(_)));
    if has_operators { plugin::RELOADS_AWAITED_MAX } else { 0 }
}

/// Decides who may call. Nobody serves the whole network by mistake.
fn policy(binds: &[Bind], access: &access::Settings) -> Result<Policy, Error> {
    let open = binds.iter().find_map(|bind| match bind {
        Bind::Https(address) | Bind::Http(address) => {
            (!address.ip().to_canonical().is_loopback()).then_some(address)
        }
        Bind::Unix(_) => None,
    });
    match open {
        Some(address) if !access.settles_who_may_call() => Err(Error::Options(format!(
            "whoever reaches {address} could call every method: name a users file in the config file with users = \"FILE\" \
             (hotcall passwd FILE NAME makes one), ask for certificates with client_ca = \"FILE\", or let all in with \
             allow_anonymous = true"
        ))),
        _ => Policy::new(access).map_err(Error::Options),
    }
}
