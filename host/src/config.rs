//! What an operator chooses: the config file's keys, with their defaults. Command-line flags come on top.

use crate::access;
use crate::limits::Limits;
use crate::plugin::{PluginOptions, Trust, Watch};
use crate::xmlrpc::{DateTime, EncodeStyle, Value};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::{env, fmt, fs};

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
    /// The certificate, PEM.
    pub cert: Option<PathBuf>,
    /// Its private key, PEM.
    pub key: Option<PathBuf>,
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
    /// Worker threads. Default: four for each core.
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
    /// A file that cannot be read, is not TOML, or has a key that is not known: with its line.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let shown = path.display();
        let text =
            fs::read_to_string(path).map_err(|error| Error(format!("cannot read {shown}: {error}")))?;
        let mut config: Self =
            toml::from_str(&text).map_err(|error| Error(format!("{shown}: {}", one_line(&error, &text))))?;
        config.anchor(path.parent().unwrap_or(Path::new("")));
        Ok(config)
    }

    fn anchor(&mut self, base: &Path) {
        let single =
            [&mut self.plugins_dir, &mut self.cert, &mut self.key, &mut self.state_dir, &mut self.users];
        for path in single.into_iter().flatten().chain(&mut self.unix) {
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

    /// Who may call.
    pub fn access(&self) -> access::Settings {
        access::Settings {
            hosts: self.hosts.clone(),
            origins: self.origins.clone(),
            users: self.users.clone(),
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
/// `$XDG_STATE_HOME/hotcall`, else `$HOME/.local/state/hotcall`, else `/var/lib/hotcall`.
pub fn default_state_dir() -> PathBuf {
    let directory = |name: &str| {
        env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    directory("STATE_DIRECTORY")
        .or_else(|| directory("XDG_STATE_HOME").map(|path| path.join("hotcall")))
        .or_else(|| directory("HOME").map(|path| path.join(".local/state/hotcall")))
        .unwrap_or_else(|| PathBuf::from("/var/lib/hotcall"))
}

fn one_line(error: &toml::de::Error, text: &str) -> String {
    let before = error.span().and_then(|span| text.get(..span.start));
    let line = before.map(|before| format!("line {}: ", before.matches('\n').count() + 1));
    format!("{}{}", line.unwrap_or_default(), error.message())
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
mod tests {
    use super::*;
    use crate::plugin::Unload;
    use crate::xmlrpc::{Dates, I8Style, InvalidChars, NilStyle};

    fn read(text: &str) -> Result<Config, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("hotcall.toml");
        fs::write(&path, text).unwrap();
        Config::read(&path).map_err(|error| error.to_string().replace(dir.path().to_str().unwrap(), "DIR"))
    }

    #[test]
    fn every_key_is_read() {
        let config = read(
            "plugins_dir = '/srv/plugins'\nhttps = ['0.0.0.0:443', '[::]:443']\nhttp = ['127.0.0.1:80']\n\
             unix = ['/run/hotcall.sock']\ncert = '/etc/c.pem'\nkey = '/etc/k.pem'\nstate_dir = '/var/lib/h'\n\
             hosts = ['h']\norigins = ['https://o']\nusers = '/u'\n\
             allow_anonymous = true\nworkers = 3\nwatch = 'poll'\nprobe = false\n\
             check_permissions = false\nfollow_symlinks = true\n[[allow]]\nusers = ['a']\n\
             addresses = ['unix']\nmethods = ['m']\n[trust]\nsha256 = []\n[limits]\nbody_bytes_max = 5\n\
             [xmlrpc]\ninvalid_chars = 'replace'\ni8 = 'ex:i8'\nnil = 'refuse'\ndates = 'plain'\n[plugins.counter]\nstart = 7\n\
             big = 5000000000\nsince = 2026-01-31T12:00:00Z\nday = 2026-01-31\nnested = { a = [true, 0.5] }\n\
             [plugin_options.counter]\nunload = 'close'\n",
        )
        .unwrap();
        assert_eq!(config.https.len(), 2);
        let access = config.access();
        assert_eq!((access.allow.len(), access.allow[0].methods.as_slice()), (1, &["m".to_owned()][..]));
        assert_eq!((access.users, access.allow_anonymous), (Some(PathBuf::from("/u")), true));
        assert_eq!((access.hosts, access.origins), (vec!["h".to_owned()], vec!["https://o".to_owned()]));
        assert_eq!(config.plugin_options["counter"].unload, Unload::Close);
        assert_eq!(config.watch, Some(WatchName::Poll));
        assert_eq!((config.probe, config.check_permissions), (Some(false), Some(false)));
        assert!(config.follow_symlinks && !config.trust().unwrap().is_open());
        assert_eq!(config.limits, Limits { body_bytes_max: 5, ..Limits::default() });
        let style = EncodeStyle {
            invalid_chars: InvalidChars::Replace,
            i8: I8Style::Ex,
            nil: NilStyle::Refuse,
            dates: Dates::Plain,
        };
        assert_eq!(config.xmlrpc, style);
        let settings = &config.plugin_settings()["counter"];
        assert_eq!(settings.get("start"), Some(&Value::Int(7)));
        assert_eq!(settings.get("big"), Some(&Value::Long(5_000_000_000)));
        assert_eq!(settings.get("day"), Some(&Value::from("2026-01-31")));
        let Some(Value::DateTime(since)) = settings.get("since") else { panic!("{settings:?}") };
        assert_eq!(since.to_string(), "20260131T12:00:00Z");
        let nested = settings.get("nested").and_then(|nested| nested.get("a")).cloned();
        assert_eq!(nested, Some(Value::Array(vec![Value::Bool(true), Value::Double(0.5)])));
    }

    #[test]
    fn trust_is_in_something() {
        let trust = |text: &str| read(text).unwrap().trust().map_err(|error| error.to_string());
        assert!(trust("").unwrap().is_open());
        assert!(trust("[trust]").unwrap_err().contains("says nothing"));
        let pin = trust("[trust]\nsha256 = ['12']").unwrap_err();
        assert!(pin.contains("\"12\"") && pin.contains("64 hexadecimal digits"), "{pin}");
        let key = trust("[trust]\nminisign_keys = ['RWQ']").unwrap_err();
        assert!(key.contains("\"RWQ\"") && key.contains("second line of minisign.pub"), "{key}");
        assert!(read("[trust]\nsha512 = []\n").unwrap_err().contains("line 2: unknown field"));
    }

    #[test]
    fn relative_paths_start_at_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("hotcall.toml");
        fs::write(&path, "plugins_dir = 'so'\nunix = ['s']\ncert = '/c'\n").unwrap();
        let config = Config::read(&path).unwrap();
        assert_eq!(config.plugins_dir, Some(dir.path().join("so")));
        assert_eq!(config.unix, [dir.path().join("s")]);
        assert_eq!(config.cert, Some(PathBuf::from("/c")));
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        let why = read("workers = 2\nplugin_dir = 'x'\n").unwrap_err();
        assert!(why.starts_with("DIR/hotcall.toml: line 2: unknown field `plugin_dir`"), "{why}");
        assert!(read("[limits]\nbody_max = 1\n").unwrap_err().contains("line 2: unknown field"), "limits");
        assert!(read("https = ['nowhere']\n").unwrap_err().contains("line 1"), "address");
        assert!(
            read("[plugin_options.p]\nunlode = 'x'\n").unwrap_err().contains("line 2: unknown field"),
            "options"
        );
        let why = read("[xmlrpc]\nnil = 'none'\n").unwrap_err();
        assert!(why.contains("line 2: unknown variant `none`, expected one of `nil`, `ex:nil`"), "{why}");
        assert!(read("= = =").unwrap_err().contains("line 1"), "syntax");
        let none = Config::read(Path::new("/nonexistent/hotcall.toml")).unwrap_err().to_string();
        assert!(none.starts_with("cannot read /nonexistent/hotcall.toml: No such file"), "{none}");
    }
}
