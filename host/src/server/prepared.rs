//! From options to a running server, in the order of the data's way.

use super::error::Error;
use super::options::{Options, WORKERS_PER_CORE, cores};
use super::policy::policy;
use super::privileges::{self, Identity};
use super::running::Server;
use super::tls;
use crate::access::{Access, Policy};
use crate::net::tls::{Ready, Tls};
use crate::net::{self, Bind, Handed, UnixAccess};
use crate::pause::Pause;
use crate::plugin;
use crate::registry::Registry;
use crate::request::Request;
use crate::rpc::{Concurrency, Dispatcher};
use crate::web::{App, Begun, Response};
use std::sync::Arc;
use std::time::Instant;

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
        let unix = unix_access(&options, identity.as_ref())?;
        let listeners = net::bind(&options.binds, handed, unix).map_err(Error::Net)?;
        if let Some(identity) = &identity {
            identity.assume()?;
            identity.warn_of_unreadable(&options);
        }
        if tls::has_secrets(&options, source) {
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
        // Of those that run as soon as they are needed: nobody should wait for others' passwords
        // until it is clear that more must.
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

impl Server {
    /// Prepares and starts one.
    ///
    /// # Errors
    /// What could not be read, made or bound, and what to do about it.
    pub fn start(options: Options) -> Result<Self, Error> {
        Prepared::new(options, Vec::new())?.start()
    }
}

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

/// Whose Unix sockets are.
fn unix_access(options: &Options, identity: Option<&Identity>) -> Result<UnixAccess, Error> {
    let group = options.unix_group.as_deref().map(privileges::group_id).transpose()?;
    let default = UnixAccess::default();
    Ok(UnixAccess {
        mode: options.unix_mode.unwrap_or(default.mode),
        owner: identity.map(Identity::uid),
        group: group.map(|group| group.as_raw()).or(identity.map(Identity::gid)),
    })
}

/// Workers beside those that were asked for, so that these answer calls: for those who wait for
/// reloads, where there are operators, and for a password that would take the only one.
fn reserve(options: &Options) -> usize {
    let has_unix = options.listeners().any(|bind| matches!(bind, Bind::Unix(_)));
    let for_reloads =
        if has_unix || options.access.names_operators() { plugin::RELOADS_AWAITED_MAX } else { 0 };
    for_reloads + usize::from(options.workers == 1 && options.access.users.is_some())
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
