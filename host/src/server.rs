//! The whole server: builds registry, plugins, dispatch and listeners in the order of the data
//! flow, and takes them apart in the opposite order.
//!
//! `Prepared::new` does everything that may need root and starts no thread. It looks up users,
//! reads the users file, keys and certificates, makes the state directory, and binds the
//! listeners. The process then becomes the configured user. Only `Prepared::start` loads plugins
//! and starts threads. The listeners are open meanwhile, so early connections wait in the kernel's
//! queue.

pub(crate) mod allocator;
pub(crate) mod environment;
mod error;
mod large_blocks;
mod options;
mod privileges;
mod summary;
mod tls;

pub use error::Error;
pub use large_blocks::Allocator;
pub use options::Options;

use crate::access::{Access, Policy};
use crate::config::Config;
use crate::net::tls::{Ready, Tls};
use crate::net::{self, Bind, InheritedSocket, UnixAccess};
use crate::plugin::{self, Plugins};
use crate::queue::Place;
use crate::registry::Registry;
use crate::request::{Head, Peer, Request};
use crate::rpc::{Concurrency, Dispatcher};
use crate::web::{App, Begun, Response, Work};
use options::{WORKERS_PER_CORE, cores};
use privileges::Identity;
use std::sync::Arc;
use std::time::Instant;

impl Options {
    /// Whether a server could start with them, as far as can be said without binding, loading or
    /// writing anything: files of TLS and of users are read.
    ///
    /// # Errors
    /// What is missing or cannot be used.
    pub fn check(&self) -> Result<(), Error> {
        tls::check(self)?;
        Identity::of(self)?;
        unix_access(self, None)?;
        policy(self).map(drop)
    }
}

/// A server that has bound its listeners, has read its keys, and runs as whom it is to run. It has
/// no thread yet.
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
    pub fn new(options: Options, inherited: Vec<InheritedSocket>) -> Result<Self, Error> {
        let identity = Identity::of(&options)?;
        let source = tls::source(&options)?;
        let policy = policy(&options)?;
        let is_made_here = source == tls::Source::Development;
        // Made by the user who is to read it again.
        let of_files = if is_made_here { None } else { tls::ready(&options)? };
        if let Some(identity) = &identity {
            identity.make_directory(&options.state_dir())?;
        }
        let unix = unix_access(&options, identity.as_ref())?;
        let listeners = net::bind(&options.binds, inherited, unix).map_err(Error::Net)?;
        if let Some(identity) = &identity {
            identity.assume()?;
            identity.warn_of_unreadable(&options);
        }
        if have_secrets(&options, source) {
            privileges::decide_about_core_dumps(options.config.core_dumps)?;
        }
        let made = plugin::make_state_dir(&options.state_dir(), options.checks_permissions());
        made.map_err(Error::Plugins)?;
        let tls = if is_made_here { tls::ready(&options)? } else { of_files };
        Ok(Self { options, listeners, tls, policy })
    }

    /// Loads the plugins, then serves: the first call is answered as well as any later one.
    ///
    /// # Errors
    /// The state directory cannot be used, or a thread could not be started.
    pub fn start(self) -> Result<Server, Error> {
        let Self { options, listeners, tls, policy } = self;
        let tls = tls.map(Tls::new).map(Arc::new);
        // Of those that run as soon as they are needed: nobody should wait for others' passwords
        // until it is clear that more must.
        let for_passwords = options.workers().min(cores() * WORKERS_PER_CORE);
        let access = Arc::new(Access::new(policy, for_passwords).map_err(Error::Options)?);
        let registry = Arc::new(Registry::default());
        let plugins =
            plugin::start(options.plugin_config(), registry.clone()).map_err(Error::Plugins)?;
        let config = &options.config;
        let dispatcher =
            Dispatcher::new(registry, config.limits.clone()).with_control(plugins.control());
        let concurrency = Arc::new(Concurrency::new(&config.methods));
        let dispatcher =
            dispatcher.with_style(config.xmlrpc).with_concurrency(Arc::clone(&concurrency));
        let budget = net::Budget::new(&config.limits);
        let app = App::new(dispatcher, access.clone()).with_memory(budget.clone());
        let handler = Arc::new(Application(Arc::new(app)));
        let settings = net::Settings {
            tls: tls.as_ref(),
            private: &options.state_dir(),
            workers: options.workers(),
            workers_freely: cores() * WORKERS_PER_CORE,
            queues: plugin::queue_rules(&config.plugin_options),
            reactors: cores(),
            direct_lane: config.direct_lane,
            budget: &budget,
            limits: &config.limits,
        };
        match net::start(listeners, settings, handler) {
            Ok(front) => Ok(Server { front, tls, access, concurrency, plugins, options }),
            Err(error) => {
                plugins.stop(Instant::now() + config.limits.drain_max());
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
        let count = |number: usize, what: &str| {
            format!("{number} {what}{}", if number == 1 { "" } else { "s" })
        };
        let serving = plugins.iter().filter(|plugin| !plugin.methods.is_empty()).count();
        let methods = plugins.iter().map(|plugin| plugin.methods.len()).sum();
        let refused = plugins.iter().filter(|plugin| plugin.last_error.is_some()).count();
        let mut text = format!("{} of {}", count(methods, "method"), count(serving, "plugin"));
        if refused > 0 {
            text +=
                &format!("; {} with an error, see hotcall plugins", count(refused, "plugin file"));
        }
        text
    }

    /// What shows whether it is alive.
    pub fn heartbeat(&self) -> net::Heartbeat {
        self.front.heartbeat()
    }

    /// Where each listener is reached.
    pub fn urls(&self) -> &[String] {
        self.front.urls()
    }

    /// Takes what of these options can be taken while it runs: the certificates, who may call, the
    /// plugins' configurations and options, the trust and the limits of methods and queues; and
    /// looks at the plugins directory. The log names what else is not as it was at the start.
    ///
    /// # Errors
    /// The options cannot be used; nothing has changed then.
    pub fn reload(&mut self, mut options: Options) -> Result<(), Error> {
        let keys = self.options.fixed_settings_that_differ(&options);
        // The listeners are still those of the start.
        let Self { options: start, .. } = self;
        options.binds.clone_from(&start.binds);
        options.inherited.clone_from(&start.inherited);
        options.config.state_dir.clone_from(&start.config.state_dir);
        // Once for all: the memory of what was read stays what it is, whatever is read later.
        if have_secrets(&options, tls::source(&options)?) {
            privileges::decide_about_core_dumps(self.options.config.core_dumps)?;
        }
        let policy = policy(&options)?;
        let ready = tls::ready(&options)?;
        let Options { plugin_settings, config, trust, .. } = options;
        let Config { plugin_options, methods, .. } = config;
        let queues = plugin::queue_rules(&plugin_options);
        self.plugins.reconfigure(plugin_settings, plugin_options, trust).map_err(Error::Plugins)?;
        // Nothing fails from here on.
        if let (Some(tls), Some(ready)) = (&self.tls, ready) {
            tls.replace(ready);
        }
        self.access.replace(policy);
        self.concurrency.replace(&methods);
        self.front.set_queues(queues);
        if !keys.is_empty() {
            log::warn!(
                "changed in the configuration, and taken at the next start only: {}",
                keys.join(", ")
            );
        }
        Ok(())
    }

    /// Answers what has been accepted, ends the plugins, and stops. `false` when the drain limit
    /// passed first.
    pub fn stop(self) -> bool {
        let deadline = Instant::now() + self.options.config.limits.drain_max();
        let drained = self.front.drain(deadline);
        self.plugins.stop(deadline);
        drained
    }
}

/// What answers requests, as the network side sees it.
struct Application(Arc<App>);

impl net::Handler for Application {
    fn place(&self, head: &Head, peer: &Peer) -> Place {
        App::place(head, peer)
    }

    fn work(&self, request: Request) -> Work {
        self.0.work(request)
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

/// Whose Unix sockets are.
fn unix_access(options: &Options, identity: Option<&Identity>) -> Result<UnixAccess, Error> {
    let group = options.config.unix_group.as_deref().map(privileges::group_id).transpose()?;
    let default = UnixAccess::default();
    Ok(UnixAccess {
        mode: options.unix_mode.unwrap_or(default.mode),
        owner: identity.map(Identity::uid),
        group: group.map(|group| group.as_raw()).or(identity.map(Identity::gid)),
    })
}

/// Whether there is something in the memory that is nobody else's to know.
fn have_secrets(options: &Options, source: tls::Source) -> bool {
    source != tls::Source::Unneeded || options.access.keys.users.is_some()
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
            "anyone who reaches {address} could call every method: name a users file with users = \
             \"FILE\" (hotcall passwd FILE NAME creates one), require certificates with \
             client_ca = \"FILE\", or accept all callers with allow_anonymous = true"
        ))),
        _ => Policy::new(&options.access).map_err(Error::Options),
    }
}
