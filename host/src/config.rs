//! What an operator chooses: the config file's keys, with their defaults. Command-line flags come on top.

mod mistake;

use crate::access;
use crate::limits::{Limits, MethodLimits};
use crate::plugin::{PluginOptions, Trust, Watch};
use crate::xmlrpc::{DateTime, EncodeStyle, Value};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::{env, fmt, fs};

/// A config file with every key, its default and what it does.
pub const EXAMPLE: &str = include_str!("config/example.toml");

/// The config file, whole. Relative paths in it are relative to the file's directory.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The directory that is watched for plugins. Default `plugins`.
    pub plugins_dir: Option<PathBuf>,
    /// Addresses for HTTPS. Default `127.0.0.1:8443` when no listener at all is named.
    pub https: Vec<SocketAddr>,
    /// Addresses for plain HTTP.
    pub http: Vec<SocketAddr>,
    /// Paths of Unix sockets.
    pub unix: Vec<PathBuf>,
    /// Their mode, as `chmod` takes it. Default: `0600`.
    pub unix_mode: Option<String>,
    /// Their group. Default: the server's.
    pub unix_group: Option<String>,
    /// The user that a server started by root becomes before it loads anything. Default: it stays root.
    pub user: Option<String>,
    /// The group that it takes with that. Default: the user's.
    pub group: Option<String>,
    /// Whether a crash may write the memory to disk, where keys and passwords are in it. Default: no.
    pub core_dumps: bool,
    /// The certificate, PEM.
    pub cert: Option<PathBuf>,
    /// Its private key, PEM.
    pub key: Option<PathBuf>,
    /// What has the key's passphrase in its first line, if the key is encrypted.
    pub key_passphrase_file: Option<PathBuf>,
    /// Further certificates, for clients that name a host of theirs. Without `cert`, the first is also for all others.
    pub certificates: Vec<CertificateKeys>,
    /// The authorities whose certificates of clients are believed, PEM. Default: clients are not asked for any.
    pub client_ca: Option<PathBuf>,
    /// Whether a client must have a certificate. Default: `required`, with `client_ca`.
    pub client_auth: Option<ClientAuthName>,
    /// Certificates of clients that were revoked, PEM.
    pub client_crl: Option<PathBuf>,
    /// What in a client's certificate is the caller's name. Default: `cn`.
    pub client_name: Option<ClientNameName>,
    /// Host names and addresses that the server answers for. Default: loopback's on loopback, any elsewhere.
    pub hosts: Vec<String>,
    /// Origins of web pages that may call. Default: none but the server's own.
    pub origins: Vec<String>,
    /// The users file, which `hotcall passwd` writes. Default: none, and nobody is asked for a password.
    pub users: Option<PathBuf>,
    /// Whether callers without a name are let in. Default: no, when there is a way to have one.
    pub allow_anonymous: bool,
    /// Who may call what. Default: all may call all.
    pub allow: Vec<access::RuleKeys>,
    /// Where the server keeps its own files. Default: see [`default_state_dir`].
    pub state_dir: Option<PathBuf>,
    /// Worker threads, at most. Default: 32, or four for each core if that is more.
    pub workers: Option<usize>,
    /// Whether plain calls go to the workers without passing through tiny_http. Default: yes.
    pub direct_lane: Option<bool>,
    /// How changes of the plugins directory are noticed.
    pub watch: Option<WatchName>,
    /// Whether each new plugin content is tried in a child process first. Default: yes.
    pub probe: Option<bool>,
    /// Whether plugins that somebody else than the server's user could change are refused. Default: yes.
    pub check_permissions: Option<bool>,
    /// Whether a plugin file may be a symbolic link. Default: no.
    pub follow_symlinks: bool,
    /// Which plugins are loaded at all. Default: all.
    pub trust: Option<TrustKeys>,
    /// See [`Limits`].
    pub limits: Limits,
    /// How results are written.
    pub xmlrpc: EncodeStyle,
    /// Each plugin's own configuration, under its name.
    pub plugins: BTreeMap<String, toml::Table>,
    /// What the server does with a plugin, under the plugin's name.
    pub plugin_options: BTreeMap<String, PluginOptions>,
    /// What calls of a method may take, under the method's name.
    pub methods: BTreeMap<String, MethodLimits>,
}

/// The keys of `[trust]`. A plugin that fits one of them is loaded.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct TrustKeys {
    /// SHA-256 of plugin files, in hexadecimal.
    pub sha256: Option<Vec<String>>,
    /// Public keys whose minisign signature `NAME.so.minisig` makes a plugin be loaded.
    pub minisign_keys: Option<Vec<String>>,
}

/// The keys of one of `[[certificates]]`.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct CertificateKeys {
    /// The certificate and then those of its issuers, PEM.
    pub cert: PathBuf,
    /// Its private key, PEM.
    pub key: PathBuf,
    /// What has the key's passphrase in its first line, if the key is encrypted.
    pub key_passphrase_file: Option<PathBuf>,
}

/// Whether clients must have a certificate, as the config file spells it.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum ClientAuthName {
    /// A client without one is refused in the handshake.
    Required,
    /// A client without one has no name.
    Optional,
}

/// What in a client's certificate is the caller's name, as the config file spells it.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum ClientNameName {
    /// The subject's common name.
    Cn,
    /// A host name of the subjectAltName.
    Dns,
    /// A mail address of the subjectAltName.
    Email,
    /// A URI of the subjectAltName.
    Uri,
}

/// [`Watch`] as the config file and the command line spell it.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum WatchName {
    /// Kernel events, and a slow periodic rescan.
    Auto,
    /// A periodic rescan only, where events do not come (NFS, some bind mounts).
    Poll,
    /// Only at the start and on SIGHUP.
    Off,
}

impl From<WatchName> for Watch {
    fn from(name: WatchName) -> Self {
        match name {
            WatchName::Auto => Self::Auto,
            WatchName::Poll => Self::Poll,
            WatchName::Off => Self::Off,
        }
    }
}

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
    /// A file that cannot be read, is not TOML, or has a key that is not known: with its line and column, and the key that was
    /// probably meant.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let shown = path.display();
        let text =
            fs::read_to_string(path).map_err(|error| Error(format!("cannot read {shown}: {error}")))?;
        let mut config: Self = toml::from_str(&text).map_err(|error| {
            Error(format!("{shown}: {}", mistake::describe(&error, &text, &Self::places())))
        })?;
        config.anchor(path.parent().unwrap_or(Path::new("")));
        Ok(config)
    }

    /// Where keys can stand.
    fn places() -> [mistake::Place; 8] {
        [
            ("above the first [table] of the file", mistake::known_keys::<Self>()),
            ("under [limits]", mistake::known_keys::<Limits>()),
            ("under [xmlrpc]", mistake::known_keys::<EncodeStyle>()),
            ("under [trust]", mistake::known_keys::<TrustKeys>()),
            ("under [[allow]]", mistake::known_keys::<access::RuleKeys>()),
            ("under [[certificates]]", mistake::known_keys::<CertificateKeys>()),
            ("under [plugin_options.NAME]", mistake::known_keys::<PluginOptions>()),
            ("under [methods.NAME]", mistake::known_keys::<MethodLimits>()),
        ]
    }

    fn anchor(&mut self, base: &Path) {
        let single = [
            &mut self.plugins_dir,
            &mut self.cert,
            &mut self.key,
            &mut self.key_passphrase_file,
            &mut self.client_ca,
            &mut self.client_crl,
            &mut self.users,
            &mut self.state_dir,
        ];
        let certificates = self.certificates.iter_mut().flat_map(|files| {
            [Some(&mut files.cert), Some(&mut files.key), files.key_passphrase_file.as_mut()]
        });
        for path in single.into_iter().map(Option::as_mut).chain(certificates).flatten().chain(&mut self.unix)
        {
            *path = base.join(&*path);
        }
    }

    /// `[trust]`, understood.
    ///
    /// # Errors
    /// Neither of its keys is there, or something in them is not what it should be.
    pub fn trust(&self) -> Result<Trust, Error> {
        let Some(keys) = &self.trust else { return Ok(Trust::default()) };
        let trust = Trust::new(keys.sha256.as_deref(), keys.minisign_keys.as_deref()).map_err(Error)?;
        if trust.is_open() {
            return Err(Error("[trust] says nothing: give it sha256 or minisign_keys, or remove it".into()));
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
        let why = || Error(format!("unix_mode is {text:?}: give it as chmod takes it, as in \"0660\""));
        mode.map(Some).ok_or_else(why)
    }

    /// All certificates, the default one first.
    ///
    /// # Errors
    /// A certificate without its key, or the reverse.
    pub fn certificates(&self) -> Result<Vec<CertificateKeys>, Error> {
        let first = match (self.cert.clone(), self.key.clone()) {
            (Some(cert), Some(key)) => {
                Some(CertificateKeys { cert, key, key_passphrase_file: self.key_passphrase_file.clone() })
            }
            (None, None) if self.key_passphrase_file.is_none() => None,
            (None, None) => {
                return Err(Error("key_passphrase_file is there without a key: give cert and key".into()));
            }
            _ => return Err(Error("give --cert and --key together".into())),
        };
        Ok(first.into_iter().chain(self.certificates.iter().cloned()).collect())
    }

    /// Who may call.
    pub fn access(&self) -> access::Settings {
        access::Settings {
            hosts: self.hosts.clone(),
            origins: self.origins.clone(),
            users: self.users.clone(),
            by_certificate: self.client_ca.is_some(),
            allow_anonymous: self.allow_anonymous,
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

/// Where the server keeps its files unless told otherwise: systemd's `$STATE_DIRECTORY`, else
/// `$XDG_STATE_HOME/hotcall`, else `$HOME/.local/state/hotcall`, else `/var/lib/hotcall`. When it `becomes_another` user, only the
/// first and the last: the others are of the user who starts it.
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
        toml::Value::Integer(number) => i32::try_from(*number).map_or(Value::Long(*number), Value::Int),
        toml::Value::Float(number) => Value::Double(*number),
        toml::Value::Boolean(flag) => Value::Bool(*flag),
        toml::Value::Datetime(moment) => {
            date_time(moment).map_or_else(|| Value::String(moment.to_string()), Value::DateTime)
        }
        toml::Value::Array(items) => Value::Array(items.iter().map(value_of).collect()),
        toml::Value::Table(table) => {
            Value::Struct(table.iter().map(|(name, value)| (name.clone(), value_of(value))).collect())
        }
    }
}

/// A full date and time; TOML's bare dates and bare times have no XML-RPC type and stay text.
fn date_time(moment: &toml::value::Datetime) -> Option<DateTime> {
    let (date, time) = (moment.date?, moment.time?);
    let plain =
        DateTime::new(date.year, date.month, date.day, time.hour, time.minute, time.second.unwrap_or(0))?;
    let exact = plain.with_nanosecond(time.nanosecond.unwrap_or(0))?;
    match moment.offset {
        None => Some(exact),
        Some(toml::value::Offset::Z) => exact.with_offset_minutes(0),
        Some(toml::value::Offset::Custom { minutes }) => exact.with_offset_minutes(minutes),
    }
}

#[cfg(test)]
mod tests;
