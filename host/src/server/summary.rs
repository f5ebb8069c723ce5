//! The options in a few lines, for whoever wants to know what would be served before it is.

use super::tls::{self, Source};
use super::{Options, Watch};
use crate::net::Bind;
use std::fmt;

impl fmt::Display for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut line = |what: &str, value: &dyn fmt::Display| writeln!(f, "{what:<12} {value}");
        for bind in self.listeners() {
            match bind {
                Bind::Https(address) => line("listen", &format_args!("https://{address}/RPC2"))?,
                Bind::Http(address) => line("listen", &format_args!("http://{address}/RPC2"))?,
                Bind::Unix(path) => line("listen", &format_args!("unix:{}", path.display()))?,
            }
        }
        match tls::source(self) {
            Ok(Source::Files) => {
                for files in &self.certificates {
                    line("certificate", &files.cert.display())?;
                }
            }
            Ok(Source::Development) => {
                line("certificate", &self.state_dir.join("dev-cert.pem").display())?;
            }
            Ok(Source::Unneeded) | Err(_) => {}
        }
        if let Some(clients) = &self.clients {
            let how = if clients.is_required { "required of clients" } else { "optional for clients" };
            line("client CA", &format_args!("{}, {how}", clients.ca.display()))?;
        }
        if let Some(user) = &self.user {
            line("user", user)?;
        }
        let watch = match self.watch {
            Watch::Auto => "watched",
            Watch::Poll => "polled",
            Watch::Off => "looked at on SIGHUP only",
        };
        line("plugins", &format_args!("{}, {watch}", self.plugins_dir.display()))?;
        line("state", &self.state_dir.display())?;
        line("workers", &self.workers)
    }
}
