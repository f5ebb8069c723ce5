//! The options in a few lines: what would be served.

use super::options::Options;
use super::tls::{self, Source};
use crate::plugin::Watch;
use crate::{access, text};
use std::fmt;

impl fmt::Display for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut line = |what: &str, value: &dyn fmt::Display| {
            writeln!(f, "{what:<12} {}", text::line(&value.to_string()))
        };
        for bind in self.listeners() {
            line("listen", bind)?;
        }
        match tls::source(self) {
            Ok(Source::Files) => {
                for files in &self.certificates {
                    line("certificate", &files.cert.display())?;
                }
            }
            Ok(Source::Development) => {
                line("certificate", &self.state_dir().join("dev-cert.pem").display())?;
            }
            Ok(Source::Unneeded) | Err(_) => {}
        }
        if let Some(clients) = &self.clients {
            let how =
                if clients.is_required() { "required of clients" } else { "optional for clients" };
            line("client CA", &format_args!("{}, {how}", clients.ca.display()))?;
        }
        line("callers", &Callers(&self.access))?;
        if let Some(user) = &self.config.user {
            line("user", user)?;
        }
        let watch = match self.config.watch {
            Watch::Auto => "watched",
            Watch::Poll => "polled",
            Watch::Off => "looked at on SIGHUP only",
        };
        line("plugins", &format_args!("{}, {watch}", self.plugins_dir().display()))?;
        line("state", &self.state_dir().display())?;
        line("workers", &self.workers())
    }
}

/// Who may call, in one line.
struct Callers<'a>(&'a access::Settings);

impl fmt::Display for Callers<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let access::Settings { keys, by_certificate, allow } = self.0;
        let access::AccessKeys { users, allow_anonymous, .. } = keys;
        match (users, by_certificate) {
            (None, false) => f.write_str("anybody")?,
            (None, true) => f.write_str("named by their certificates")?,
            (Some(users), false) => write!(f, "the users in {}", users.display())?,
            (Some(users), true) => {
                write!(f, "the users in {}, or named by their certificates", users.display())?;
            }
        }
        if *allow_anonymous && (users.is_some() || *by_certificate) {
            f.write_str(", or without a name")?;
        }
        match allow.len() {
            0 => f.write_str("; all methods"),
            1 => f.write_str("; methods by 1 rule"),
            number => write!(f, "; methods by {number} rules"),
        }
    }
}
