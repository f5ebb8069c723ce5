//! The config file of an operator. Command-line flags come on top.
//!
//! `keys` declares the keys, `example` writes a file with all of them, and `mistake` explains
//! errors in one.

mod example;
mod keys;
mod mistake;

pub use example::example;
pub(crate) use keys::WORKERS_MAX;
pub use keys::{Config, TrustKeys};

use crate::access;
use crate::net::tls::{CertificateFiles, ClientAuth, ClientKeys};
use crate::plugin::Trust;
use crate::settings::{Section, Setting, Values};
use crate::xmlrpc::{DateTime, Value};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{env, fmt, fs};

/// Why a config file cannot be used.
#[derive(Debug)]
pub struct Error(String);

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Error {}

impl Config {
    /// Reads a config file.
    ///
    /// # Errors
    /// A file that cannot be read, is not TOML, or has a key that is not known: with its line and
    /// column, and the key that was probably meant.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let shown = path.display();
        let text = fs::read_to_string(path)
            .map_err(|error| Error(format!("cannot read {shown}: {error}")))?;
        let mut config: Self = toml::from_str(&text).map_err(|error| {
            let mistake = mistake::describe(&error, &text, &places());
            Error(format!("{shown}: {mistake}"))
        })?;
        let base = path.parent().unwrap_or(Path::new(""));
        config.anchor(base);
        config.tables_mut().into_iter().for_each(|(_, table)| table.anchor(base));
        Ok(config)
    }

    /// Whether all numbers are in their ranges, and the limits fit together.
    ///
    /// # Errors
    /// A key whose value is wrong, and what it may be.
    pub fn check(&mut self) -> Result<(), Error> {
        self.check_ranges("").and_then(|()| self.limits.check()).map_err(Error)?;
        let tables = self.tables_mut();
        let mut all = tables.into_iter();
        all.try_for_each(|(place, table)| table.check_ranges(&place)).map_err(Error)
    }

    /// All tables of settings, and what stands before their keys. Limits are only numbers, and have
    /// a check of their own.
    fn tables_mut(&mut self) -> Vec<(String, &mut dyn Values)> {
        fn place<T: Values>(place: impl Into<String>, table: &mut T) -> (String, &mut dyn Values) {
            (place.into(), table)
        }
        let mut tables = vec![place("xmlrpc.", &mut self.xmlrpc)];
        tables.extend(self.trust.iter_mut().map(|table| place("trust.", table)));
        tables.extend(self.certificates.iter_mut().map(|table| place("certificates.", table)));
        tables.extend(self.allow.iter_mut().map(|table| place("allow.", table)));
        let options = self.plugin_options.iter_mut();
        tables.extend(options.map(|(name, table)| place(format!("plugin_options.{name}."), table)));
        let methods = self.methods.iter_mut();
        tables.extend(methods.map(|(name, table)| place(format!("methods.{name}."), table)));
        tables
    }

    /// `[trust]`, understood.
    ///
    /// # Errors
    /// Neither of its keys is there, or something in them is not what it should be.
    pub fn trust(&self) -> Result<Trust, Error> {
        let Some(keys) = &self.trust else { return Ok(Trust::default()) };
        let trust =
            Trust::new(keys.sha256.as_deref(), keys.minisign_keys.as_deref()).map_err(Error)?;
        if trust.is_open() {
            return Err(Error(
                "[trust] says nothing: give it sha256 or minisign_keys, or remove it".into(),
            ));
        }
        Ok(trust)
    }

    /// The mode of Unix sockets.
    ///
    /// # Errors
    /// It is no octal number of nine bits.
    pub fn unix_mode(&self) -> Result<Option<u32>, Error> {
        const BITS: u32 = 0o777;
        let Some(text) = &self.unix_mode else { return Ok(None) };
        let mode = u32::from_str_radix(text, 8).ok().filter(|mode| *mode <= BITS);
        let why =
            || Error(format!("unix_mode is {text:?}: give it as chmod takes it, as in \"0660\""));
        mode.map(Some).ok_or_else(why)
    }

    /// All certificates, the default one first.
    ///
    /// # Errors
    /// A certificate without its key, or the reverse.
    pub fn certificates(&self) -> Result<Vec<CertificateFiles>, Error> {
        let first = match (self.cert.clone(), self.key.clone()) {
            (Some(cert), Some(key)) => Some(CertificateFiles {
                cert,
                key,
                key_passphrase_file: self.key_passphrase_file.clone(),
            }),
            (None, None) if self.key_passphrase_file.is_none() => None,
            (None, None) => {
                return Err(Error(
                    "key_passphrase_file is there without a key: give cert and key".into(),
                ));
            }
            _ => return Err(Error("give --cert and --key together".into())),
        };
        Ok(first.into_iter().chain(self.certificates.iter().cloned()).collect())
    }

    /// How clients show who they are, if they are asked.
    ///
    /// # Errors
    /// A key about certificates of clients without the authorities that issue them.
    pub fn clients(&self) -> Result<Option<ClientAuth>, Error> {
        let keys = ClientKeys::from(self);
        if let Some(ca) = self.client_ca.clone() {
            return Ok(Some(ClientAuth { ca, keys }));
        }
        keys.differing(&ClientKeys::default()).first().map_or(Ok(None), |setting| {
            let key = setting.key;
            Err(Error(format!("{key} says nothing without client_ca: give both")))
        })
    }

    /// Who may call.
    pub fn access(&self) -> access::Settings {
        access::Settings {
            keys: self.into(),
            by_certificate: self.client_ca.is_some(),
            allow: self.allow.clone(),
        }
    }

    /// Each plugin's configuration as its `create` gets it.
    pub fn plugin_settings(&self) -> BTreeMap<String, Value> {
        self.plugins
            .iter()
            .map(|(name, table)| (name.clone(), value_of(&toml::Value::Table(table.clone()))))
            .collect()
    }
}

/// Where keys can stand.
fn places() -> Vec<mistake::Place> {
    let key = |setting: &Setting| setting.key.into();
    let keys = |settings: &'static [Setting]| settings.iter().map(key).collect();
    let top = ("above the first [table] of the file".into(), keys(Config::SETTINGS));
    let closed = keys::tables().filter(|(_, table)| table.is_closed);
    let others = closed.map(|(_, table)| (format!("under {}", table.title), keys(table.settings)));
    std::iter::once(top).chain(others).collect()
}

/// Where the server keeps its files unless told otherwise: systemd's `$STATE_DIRECTORY`, else
/// `$XDG_STATE_HOME/hotcall`, else `$HOME/.local/state/hotcall`, else `/var/lib/hotcall`. When it
/// `becomes_another` user, only the first and the last: the others are of the user who starts it.
pub fn default_state_dir(becomes_another: bool) -> PathBuf {
    let directory = |name: &str| {
        env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    let of_user = || {
        directory("XDG_STATE_HOME")
            .map(|path| path.join("hotcall"))
            .or_else(|| directory("HOME").map(|path| path.join(".local/state/hotcall")))
    };
    directory("STATE_DIRECTORY")
        .or_else(|| if becomes_another { None } else { of_user() })
        .unwrap_or_else(|| PathBuf::from("/var/lib/hotcall"))
}

fn value_of(value: &toml::Value) -> Value {
    match value {
        toml::Value::String(text) => Value::String(text.clone()),
        toml::Value::Integer(number) => {
            i32::try_from(*number).map_or(Value::Long(*number), Value::Int)
        }
        toml::Value::Float(number) => Value::Double(*number),
        toml::Value::Boolean(flag) => Value::Bool(*flag),
        toml::Value::Datetime(moment) => {
            date_time(moment).map_or_else(|| Value::String(moment.to_string()), Value::DateTime)
        }
        toml::Value::Array(items) => Value::Array(items.iter().map(value_of).collect()),
        toml::Value::Table(table) => Value::Struct(
            table.iter().map(|(name, value)| (name.clone(), value_of(value))).collect(),
        ),
    }
}

/// A full date and time; TOML's bare dates and bare times have no XML-RPC type and stay text.
fn date_time(moment: &toml::value::Datetime) -> Option<DateTime> {
    let (date, time) = (moment.date?, moment.time?);
    let plain = DateTime::new(
        date.year,
        date.month,
        date.day,
        time.hour,
        time.minute,
        time.second.unwrap_or(0),
    )?;
    let exact = plain.with_nanosecond(time.nanosecond.unwrap_or(0))?;
    match moment.offset {
        None => Some(exact),
        Some(toml::value::Offset::Z) => exact.with_offset_minutes(0),
        Some(toml::value::Offset::Custom { minutes }) => exact.with_offset_minutes(minutes),
    }
}

#[cfg(test)]
mod tests;
