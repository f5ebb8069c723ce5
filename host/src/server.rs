//! The whole server: registry, plugins, dispatch, listeners, put together in the order of the data's way and
//! taken apart in the opposite one.

pub(crate) mod allocator;
pub(crate) mod environment;
mod privileges;
mod summary;
mod tls;

use crate::access::{self, Access, Policy};
use crate::config::{Config, default_state_dir};
use crate::limits::{Limits, MethodLimits};
use crate::net::tls::{CertificateFiles, ClientAuth, Ready, Tls};
use crate::net::{self, Bind, Handed, UnixAccess};
use crate::pause::Pause;
use crate::plugin::{self, PluginOptions, Plugins, Trust, Watch};
use crate::registry::Registry;
use crate::request::Request;
use crate::rpc::{Concurrency, Dispatcher};
use crate::web::{App, Begun, Response};
use crate::xmlrpc::{EncodeStyle, Value};
use privileges::Identity;
use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Instant;

/// Calls may block, so there may be more workers than cores. One that is never needed is never started.
const WORKERS_PER_CORE: usize = 4;

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
        Self::new(config, Vec::new())
    }
}

impl Options {
    /// What a config says for a server that is handed such sockets. With any, it listens nowhere else by default.
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
        let clients = tls::clients(&config)?;
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
    fn fixed_keys_that_differ(&self, new: &Self) -> Vec<&'static str> {
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

    /// Whether a server could start with them, as far as can be said without binding, loading or writing anything: files of
    /// TLS and of users are read.
    ///
    /// # Errors
    /// What is missing or cannot be used.
    pub fn check(&self) -> Result<(), Error> {
        tls::check(self)?;
        Identity::of(self)?;
        self.unix_access(None)?;
        policy(self).map(drop)
    }

    /// Whose Unix sockets are.
    fn unix_access(&self, identity: Option<&Identity>) -> Result<UnixAccess, Error> {
        let group = self.unix_group.as_deref().map(privileges::group_id).transpose()?;
        let default = UnixAccess::default();
        Ok(UnixAccess {
            mode: self.unix_mode.unwrap_or(default.mode),
            owner: identity.map(Identity::uid),
            group: group.map(|group| group.as_raw()).or(identity.map(Identity::gid)),
        })
    }

    /// Whether there is something in the memory that is nobody else's to know.
    fn have_secrets(&self, source: tls::Source) -> bool {
        source != tls::Source::Unneeded || self.access.users.is_some()
    }

    /// The files that are read anew while the server runs.
    fn files(&self) -> impl Iterator<Item = &Path> {
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

/// A server that has bound its listeners, has read its keys, and runs as whom it is to run. It has no thread yet.
pub struct Prepared {
    options: Options,
    listeners: net::Listeners,
    tls: Option<Ready>,
    policy: Policy,
}

impl Prepared {
    /// Does all that may need root, and gives root up if the options name a user.
    ///
    /// # Errors
    /// What could not be read, made or bound, or that this process cannot become that user.
    pub fn new(options: Options, handed: Vec<Handed>) -> Result<Self, Error> {
        let identity = Identity::of(&options)?;
        let source = tls::source(&options)?;
        let policy = policy(&options)?;
        let is_made_here = source == tls::Source::Development;
        // Made by the user who is to read it again.
        let of_files = if is_made_here { None } else { tls::ready(&options)? };
        if let Some(identity) = &identity {
            identity.make_directory(&options.state_dir)?;
        }
        let unix = options.unix_access(identity.as_ref())?;
        let listeners = net::bind(&options.binds, handed, unix).map_err(Error::Net)?;
        if let Some(identity) = &identity {
            identity.assume()?;
            identity.warn_of_unreadable(&options);
        }
        if options.have_secrets(source) {
            privileges::decide_about_core_dumps(options.core_dumps)?;
        }
        plugin::make_state_dir(&options.state_dir, options.check_permissions).map_err(Error::Plugins)?;
        let tls = if is_made_here { tls::ready(&options)? } else { of_files };
        Ok(Self { options, listeners, tls, policy })
    }

    /// Loads the plugins, then serves: the first call is answered as well as any later one.
    ///
    /// # Errors
    /// What of the state directory cannot be used, or that there are no threads to be had.
    pub fn start(self) -> Result<Server, Error> {
        let Self { options, listeners, tls, policy } = self;
        let tls = tls.map(Tls::new).map(Arc::new);
        // Of those that run as soon as they are needed: nobody should wait for others' passwords until it is clear that more must.
        let for_passwords = options.workers.min(cores() * WORKERS_PER_CORE);
        let access = Arc::new(Access::new(policy, for_passwords).map_err(Error::Options)?);
        let registry = Arc::new(Registry::default());
        let plugins = plugin::start(options.plugin_config(), registry.clone()).map_err(Error::Plugins)?;
        let dispatcher = Dispatcher::new(registry, options.limits.clone()).with_control(plugins.control());
        let concurrency = Arc::new(Concurrency::new(&options.methods));
        let dispatcher = dispatcher.with_style(options.xmlrpc).with_concurrency(Arc::clone(&concurrency));
        let budget = net::Budget::new(&options.limits);
        let app = App::new(dispatcher, access.clone()).with_memory(budget.clone());
        let handler = Arc::new(Application(Arc::new(app)));
        let settings = net::Settings {
            tls: tls.as_ref(),
            private: &options.state_dir,
            workers: options.workers + reserve(&options),
            workers_freely: cores() * WORKERS_PER_CORE + reserve(&options),
            reactors: cores(),
            direct_lane: options.direct_lane,
            budget: &budget,
            limits: &options.limits,
        };
        match net::start(listeners, &settings, handler) {
            Ok(front) => Ok(Server { front, tls, access, concurrency, plugins, options }),
            Err(error) => {
                plugins.stop(Instant::now() + options.limits.drain_max());
                Err(Error::Net(error))
            }
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
    /// Prepares and starts one.
    ///
    /// # Errors
    /// What could not be read, made or bound, and what to do about it.
    pub fn start(options: Options) -> Result<Self, Error> {
        Prepared::new(options, Vec::new())?.start()
    }

    /// What it serves, in a few words.
    pub fn status(&self) -> String {
        let plugins = self.plugins.status();
        let count =
            |number: usize, what: &str| format!("{number} {what}{}", if number == 1 { "" } else { "s" });
        let serving = plugins.iter().filter(|plugin| !plugin.methods.is_empty()).count();
        let methods = plugins.iter().map(|plugin| plugin.methods.len()).sum();
        let refused = plugins.iter().filter(|plugin| plugin.last_error.is_some()).count();
        let mut text = format!("{} of {}", count(methods, "method"), count(serving, "plugin"));
        if refused > 0 {
            text += &format!("; {} with an error, see hotcall plugins", count(refused, "plugin file"));
        }
        text
    }

    /// What shows whether it is alive.
    pub fn pulse(&self) -> net::Pulse {
        self.front.pulse()
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
        let Self { options: Options { binds, handed, state_dir, .. }, .. } = &*self;
        let (binds, handed, state_dir) = (binds.clone(), handed.clone(), state_dir.clone());
        let options = Options { binds, handed, state_dir, ..options };
        // Once for all: the memory of what was read stays what it is, whatever is read later.
        if options.have_secrets(tls::source(&options)?) {
            privileges::decide_about_core_dumps(self.options.core_dumps)?;
        }
        let policy = policy(&options)?;
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
    fn respond(&self, request: &Request) -> Result<Response, Pause> {
        self.0.respond(request)
    }

    fn begin(&self, request: Request) -> Begun {
        self.0.begin(request)
    }

    fn overdue(&self, id: &str) -> Response {
        App::overdue(id)
    }

    fn unsendable(&self, id: &str, setting: &str) -> Response {
        App::unsendable(id, setting)
    }
}

fn cores() -> usize {
    thread::available_parallelism().map_or(1, NonZeroUsize::get)
}

/// Workers beside those that were asked for, so that these answer calls: for those who wait for reloads, where there are operators,
/// and for a password that would take the only one.
fn reserve(options: &Options) -> usize {
    let has_unix = options.listeners().any(|bind| matches!(bind, Bind::Unix(_)));
    let for_reloads =
        if has_unix || options.access.names_operators() { plugin::RELOADS_AWAITED_MAX } else { 0 };
    for_reloads + usize::from(options.workers == 1 && options.access.users.is_some())
}

/// Decides who may call. Nobody serves the whole network by mistake.
fn policy(options: &Options) -> Result<Policy, Error> {
    let open = options.listeners().find_map(|bind| match bind {
        Bind::Https(address) | Bind::Http(address) => {
            (!address.ip().to_canonical().is_loopback()).then_some(address)
        }
        Bind::Unix(_) => None,
    });
    match open {
        Some(address) if !options.access.settles_who_may_call() => Err(Error::Options(format!(
            "whoever reaches {address} could call every method: name a users file in the config file with users = \"FILE\" \
             (hotcall passwd FILE NAME makes one), ask for certificates with client_ca = \"FILE\", or let all in with \
             allow_anonymous = true"
        ))),
        _ => Policy::new(&options.access).map_err(Error::Options),
    }
}
