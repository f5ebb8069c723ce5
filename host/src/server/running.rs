//! A server that runs: what it serves, other options, and its end.

use super::error::Error;
use super::options::Options;
use super::policy::policy;
use super::{privileges, tls};
use crate::access::Access;
use crate::net;
use crate::net::tls::Tls;
use crate::plugin::Plugins;
use crate::rpc::Concurrency;
use std::sync::Arc;
use std::time::Instant;

/// A running server.
pub struct Server {
    pub(super) front: net::Front,
    pub(super) tls: Option<Arc<Tls>>,
    pub(super) access: Arc<Access>,
    pub(super) concurrency: Arc<Concurrency>,
    pub(super) plugins: Plugins,
    /// What it was started with.
    pub(super) options: Options,
}

impl Server {
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

    /// Takes what of these options can be taken while it runs: the certificates, who may call, the
    /// plugins' configurations and options, the trust and the methods' limits; and looks at the
    /// plugins directory. The log names what else is not as it was at the start.
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
        if tls::has_secrets(&options, tls::source(&options)?) {
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

    /// Answers what has been accepted, ends the plugins, and stops. `false` when the drain limit
    /// passed first.
    pub fn stop(self) -> bool {
        let deadline = Instant::now() + self.options.limits.drain_max();
        let drained = self.front.drain(deadline);
        self.plugins.stop(deadline);
        drained
    }
}
