//! The keys of the config file: each is declared once, here or in the room that takes it.
//!
//! The order is that of the example. Knows no file: `config` reads one, and `example` writes one.

use crate::access::{AccessKeys, RuleKeys, access_keys};
use crate::limits::{Limits, MethodLimits};
use crate::net::tls::{CertificateFiles, ClientKeys, client_keys};
use crate::plugin::{PluginKeys, PluginOptions, Watch, plugin_keys};
use crate::settings::{Section, Setting, Table, flag, settings};
use crate::xmlrpc::EncodeStyle;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

/// More threads than this cost memory and answer no more calls.
pub(crate) const WORKERS_MAX: usize = 1_024;

/// The keys that say where the server listens.
const LISTENERS: &str = "https, http or unix";

settings! {
    /// The config file, whole. Relative paths in it start at the file's directory.
    #[derive(Clone, Debug, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    pub struct Config {
        /// The directory to watch for plugins. Default: `plugins` where the server is started.
        plugins_dir: Option<PathBuf> = None =>
            heading("What is served"),
            shown("\"plugins\""),
            flag(flag!(
                PathBuf, "plugins", "DIR",
                "The directory to watch for plugins [default: plugins]"
            ).of_serve_alone());
        /// The server's own files. Default: systemd's directory, else below $XDG_STATE_HOME or
        /// $HOME.
        ///
        /// See [`default_state_dir`](super::default_state_dir).
        state_dir: Option<PathBuf> = None =>
            shown("\"/var/lib/hotcall\""),
            flag(flag!(
                PathBuf, "state-dir", "DIR",
                "Where the server keeps its own files [default: $STATE_DIRECTORY, \
                 $XDG_STATE_HOME/hotcall, ~/.local/state/hotcall or /var/lib/hotcall]"
            ).rank(1));
        /// How changes of the plugins directory are noticed: auto, poll (where kernel events do not
        /// come) or off.
        watch: Watch = Watch::Auto =>
            shown("\"auto\""),
            flag(flag!(
                Watch, "watch", "HOW",
                "How changes of the plugins directory are noticed [default: auto]"
            ).rank(3));
        /// Threads that run one plugin's calls, 1 to 1024, started as they are needed. Default: 32,
        /// or four for each core if that is more. A quarter more are there for other plugins, and
        /// four for the server's own methods and passwords.
        workers: Option<usize> = None =>
            shown("32"),
            range(1, WORKERS_MAX as u64),
            flag(flag!(
                usize, "workers", "N",
                "Worker threads of one plugin, started as they are needed [default: 32, or four \
                 for each core]"
            ).rank(2));
        /// Whether plain calls go straight to the workers. If not, they pass through tiny_http, as
        /// everything else does.
        direct_lane: bool = true;
    } PluginKeys in plugin_keys! {
        /// The user to become. Keys and files of users are read again only if it may read them.
        ///
        /// Default: a server that root starts stays root.
        user: Option<String> = None =>
            heading(
                "As whom. Started as root it binds, reads keys, and becomes this user before it \
                 loads a plugin. Example."
            ),
            shown("\"hotcall\""),
            flag(flag!(
                String, "user", "NAME",
                "The user to become, when root starts it, before any plugin is loaded"
            ).of_serve_alone());
        /// Its group. Default: the user's. The user's other groups come too.
        group: Option<String> = None =>
            shown("\"hotcall\""),
            flag(flag!(
                String, "group", "NAME",
                "The group to take with that [default: the user's]"
            ).of_serve_alone().requires("user"));
        /// Whether a crash may write the memory to disk, with keys and passwords in it.
        core_dumps: bool = false;
        /// Addresses for HTTPS. `[::]` takes IPv4 too, unless the system's net.ipv6.bindv6only is
        /// set.
        https: Vec<SocketAddr> = Vec::new() =>
            heading(
                "Where. With none of these, nor a socket from systemd, https = \
                 [\"127.0.0.1:8443\"]."
            ),
            example("[\"[::]:443\"]"),
            group(LISTENERS),
            flag(flag!(
                [SocketAddr], "https", "ADDR",
                "Listen for HTTPS; port 0 picks a free one; may be repeated \
                 [default: what systemd hands over, or 127.0.0.1:8443]"
            ));
        /// Addresses for plain HTTP.
        http: Vec<SocketAddr> = Vec::new() =>
            example("[\"127.0.0.1:8080\"]"),
            group(LISTENERS),
            flag(flag!([SocketAddr], "http", "ADDR", "Listen for plain HTTP; may be repeated"));
        /// Paths of Unix sockets. For operators too: see hotcall.plugins.
        unix: Vec<PathBuf> = Vec::new() =>
            example("[\"/run/hotcall/hotcall.sock\"]"),
            group(LISTENERS),
            flag(flag!(
                [PathBuf], "unix", "PATH",
                "Listen on a Unix socket (of mode unix_mode in the config file, or 0600); may be \
                 repeated"
            ));
        /// Who may connect to these, by file modes. Operators are the server's user and root only.
        unix_mode: Option<String> = None => shown("\"0600\"");
        /// Their group, for unix_mode = "0660".
        ///
        /// Default: the server's.
        unix_group: Option<String> = None => example("\"hotcall-clients\"");
        /// PEM, with the certificates of its issuers behind it.
        cert: Option<PathBuf> = None =>
            reloaded(),
            heading(
                "The default certificate. Without any, one is made for loopback addresses. All of \
                 them are read again when they change."
            ),
            example("\"tls/fullchain.pem\""),
            flag(flag!(
                PathBuf, "cert", "FILE",
                "The certificate (PEM); without one a self-signed one is made for loopback \
                 addresses"
            ).requires("key"));
        /// Its private key, PEM, of mode 0600 or 0640.
        key: Option<PathBuf> = None =>
            reloaded(),
            example("\"tls/privkey.pem\""),
            flag(flag!(
                PathBuf, "key", "FILE", "The certificate's private key (PEM)"
            ).requires("cert"));
        /// For an encrypted key: its passphrase, in the first line.
        key_passphrase_file: Option<PathBuf> = None => reloaded(), example("\"tls/passphrase\"");
        /// The authorities whose certificates are believed, up to their roots, PEM.
        ///
        /// Default: clients are not asked for certificates.
        client_ca: Option<PathBuf> = None =>
            reloaded(),
            heading("Certificates of clients, on https"),
            example("\"tls/clients.pem\""),
            flag(flag!(
                PathBuf, "client-ca", "FILE",
                "Ask clients for a certificate by one of these authorities (PEM)"
            ));
    } ClientKeys in client_keys! {} AccessKeys in access_keys! {
        /// Further certificates. Without `cert`, the first is also for all other clients.
        certificates: Vec<CertificateFiles> = Vec::new() =>
            reloaded(),
            heading("Further certificates, for clients that name a host of theirs. Example."),
            table(&Table::new("[[certificates]]", CertificateFiles::SETTINGS));
        /// Who may call what. Default: all may call all.
        allow: Vec<RuleKeys> = Vec::new() =>
            reloaded(),
            heading(
                "What callers may call. With any of these tables, nothing else: a caller must be \
                 among `users` and come from `addresses`, where they are given. Names of \
                 certificates are users too. Example."
            ),
            table(&Table::new("[[allow]]", RuleKeys::SETTINGS));
        /// Which plugins are loaded at all. Default: all.
        trust: Option<TrustKeys> = None =>
            reloaded(),
            heading("With either key, only plugins that fit are loaded. Example."),
            table(&Table::new("[trust]", TrustKeys::SETTINGS));
        /// See [`Limits`].
        limits: Limits = Limits::default() =>
            heading(
                "None is infinite. 0 is refused where it would leave nothing to answer, and is \
                 none where a comment says so."
            ),
            table(&Table::new("[limits]", Limits::SETTINGS));
        /// How results are written.
        xmlrpc: EncodeStyle = EncodeStyle::default() =>
            heading("How results are written"),
            table(&Table::new("[xmlrpc]", EncodeStyle::SETTINGS));
        /// Each plugin's own configuration, under its name.
        plugins: BTreeMap<String, toml::Table> = BTreeMap::new() =>
            reloaded(),
            heading("What the plugin `greet` gets in its `create`. Example."),
            table(&Table::new("[plugins.NAME]", GREET).example("[plugins.greet]").open());
        /// What the server does with a plugin, under the plugin's name.
        plugin_options: BTreeMap<String, PluginOptions> = BTreeMap::new() =>
            reloaded(),
            heading("What the server does with the plugin `greet`."),
            table(
                &Table::new("[plugin_options.NAME]", PluginOptions::SETTINGS)
                    .example("[plugin_options.greet]")
            );
        /// What calls of a method may take, under the method's name.
        methods: BTreeMap<String, MethodLimits> = BTreeMap::new() =>
            reloaded(),
            heading("What calls of the method `report.make` may take."),
            table(
                &Table::new("[methods.NAME]", MethodLimits::SETTINGS)
                    .example("[methods.\"report.make\"]")
            );
    }
}

settings! {
    /// The keys of `[trust]`. A plugin that fits one of them is loaded.
    #[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
    #[serde(deny_unknown_fields)]
    pub struct TrustKeys {
        /// SHA-256 of plugin files, in hexadecimal.
        sha256: Option<Vec<String>> =>
            shown("[\"5994471abb01112afcc18159f6cc74b4f511b99806da59b3caf5a9c173cacfc5\"]");
        /// Public keys, if NAME.so has a minisign signature NAME.so.minisig.
        minisign_keys: Option<Vec<String>> =>
            shown("[\"RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3\"]");
    }
}

/// A key that a plugin might have.
const GREET: &[Setting] = &[Setting::new("language", "\"en\"", &[])];

/// The tables of the file, in its order, under the keys that are their names.
pub(super) fn tables() -> impl Iterator<Item = (&'static Setting, &'static Table)> {
    Config::SETTINGS.iter().filter_map(|setting| Some((setting, setting.table?)))
}
