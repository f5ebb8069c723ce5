//! `hotcall serve`: the server, until a signal ends it.

use super::logger;
use super::manager::{self, Manager, Watchdog};
use super::output::{Failure, print};
use super::signals::{Kept, Signals, Wish};
use crate::config::{Config, EXAMPLE, WatchName};
use crate::net::InheritedSocket;
use crate::server::{Options, Prepared, allocator};
use crate::text;
use clap::Args;
use std::fs::File;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::thread;

/// Flags of `serve`. Each that is given replaces the config file's key of the same name.
#[derive(Args, Clone, Debug, Default)]
pub(super) struct ServeArgs {
    /// The directory to watch for plugins [default: plugins]
    #[arg(long, value_name = "DIR")]
    plugins: Option<PathBuf>,
    /// The user to become, when root starts it, before any plugin is loaded
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// The group to take with that [default: the user's]
    #[arg(long, value_name = "NAME", requires = "user")]
    group: Option<String>,
    /// Say what would be served, or why nothing would be, and exit with 0 or 1; nothing is bound or loaded
    #[arg(long)]
    check_config: bool,
    /// Print a config file with every key, its default and what it does
    #[arg(long, exclusive = true)]
    print_config: bool,
    #[command(flatten)]
    common: CommonArgs,
}

/// What `serve` and `dev` have in common.
#[derive(Args, Clone, Debug, Default)]
pub(super) struct CommonArgs {
    /// The config file (TOML), read anew on SIGHUP; flags given here replace its keys
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Listen for HTTPS; port 0 picks a free one; may be repeated [default: what systemd hands over, or 127.0.0.1:8443]
    #[arg(long, value_name = "ADDR")]
    https: Vec<SocketAddr>,
    /// Listen for plain HTTP; may be repeated
    #[arg(long, value_name = "ADDR")]
    http: Vec<SocketAddr>,
    /// Listen on a Unix socket (of mode unix_mode in the config file, or 0600); may be repeated
    #[arg(long, value_name = "PATH")]
    unix: Vec<PathBuf>,
    /// The certificate (PEM); without one a self-signed one is made for loopback addresses
    #[arg(long, value_name = "FILE", requires = "key")]
    cert: Option<PathBuf>,
    /// The certificate's private key (PEM)
    #[arg(long, value_name = "FILE", requires = "cert")]
    key: Option<PathBuf>,
    /// Ask clients for a certificate by one of these authorities (PEM)
    #[arg(long, value_name = "FILE")]
    client_ca: Option<PathBuf>,
    /// Where the server keeps its own files [default: $STATE_DIRECTORY, $XDG_STATE_HOME/hotcall, ~/.local/state/hotcall or /var/lib/hotcall]
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
    /// Worker threads at most, started as they are needed [default: 32, or four for each core]
    #[arg(long, value_name = "N")]
    workers: Option<usize>,
    /// How changes of the plugins directory are noticed [default: auto]
    #[arg(long, value_name = "HOW")]
    watch: Option<WatchName>,
}

impl ServeArgs {
    fn config(&self) -> Result<Config, Failure> {
        let mut config = self.common.config()?;
        replace(&mut config.plugins_dir, self.plugins.as_ref());
        if self.user.is_some() {
            config.user.clone_from(&self.user);
            config.group.clone_from(&self.group);
        }
        Ok(config)
    }
}

impl CommonArgs {
    /// The config file with the flags on top. Naming any listener replaces all of the file's.
    pub(super) fn config(&self) -> Result<Config, Failure> {
        let mut config = match &self.config {
            Some(path) => Config::read(path).map_err(Failure::new)?,
            None => Config::default(),
        };
        if !(self.https.is_empty() && self.http.is_empty() && self.unix.is_empty()) {
            config.https.clone_from(&self.https);
            config.http.clone_from(&self.http);
            config.unix.clone_from(&self.unix);
        }
        replace(&mut config.cert, self.cert.as_ref());
        replace(&mut config.key, self.key.as_ref());
        replace(&mut config.client_ca, self.client_ca.as_ref());
        replace(&mut config.state_dir, self.state_dir.as_ref());
        replace(&mut config.workers, self.workers.as_ref());
        replace(&mut config.watch, self.watch.as_ref());
        Ok(config)
    }

    /// After the user has changed, so that SIGHUP does not fail by surprise.
    fn warn_of_unreadable_config(&self) {
        if let Some(path) = &self.config
            && let Err(error) = File::open(path)
        {
            let shown = path.display();
            log::warn!(
                "{shown} cannot be read anew on SIGHUP by this user: {error}; let it read the file (chmod o+r {shown})"
            );
        }
    }
}

fn replace<T: Clone>(key: &mut Option<T>, flag: Option<&T>) {
    if let Some(flag) = flag {
        *key = Some(flag.clone());
    }
}

/// Runs `hotcall serve`.
///
/// # Errors
/// Why the server did not start, or that calls were cut off at its end.
pub(super) fn run(args: ServeArgs) -> Result<(), Failure> {
    if args.print_config {
        return print(EXAMPLE);
    }
    if args.check_config {
        let options = Options::try_from(args.config()?).map_err(Failure::new)?;
        options.check().map_err(Failure::new)?;
        return print(options.to_string());
    }
    // First, while there is one thread, and before anything is opened.
    let handed = manager::sockets()?;
    let places: Vec<_> = handed.iter().map(InheritedSocket::bind).collect();
    let kept = Kept::new()?;
    let config = args.config()?;
    logger::limit(&config.limits);
    tell_what_is_off(&config);
    tell_of_root(&config);
    let options = |config| Options::new(config, places.clone()).map_err(Failure::new);
    let prepared = Prepared::new(options(config)?, handed).map_err(Failure::new)?;
    args.common.warn_of_unreadable_config();
    // Not before root is given up: threads would keep it.
    logger::start()?;
    until_signal(&kept.hear(|| ())?, prepared, || options(args.config()?))
}

/// Serves until SIGTERM or SIGINT; SIGHUP reads the options `anew` and looks at the plugins directory.
pub(super) fn until_signal(
    signals: &Signals,
    prepared: Prepared,
    anew: impl Fn() -> Result<Options, Failure>,
) -> Result<(), Failure> {
    raise_descriptor_limit();
    let memory = allocator::Keeper::start().map_err(Failure::new)?;
    let mut server = prepared.start().map_err(Failure::new)?;
    signals.serve();
    announce(server.urls());
    let mut manager = Manager::new();
    manager.ready(server.status());
    let watchdog = Watchdog::start(server.heartbeat())?;
    loop {
        match signals.next(manager.patience()) {
            None => manager.status(server.status()),
            Some(Wish::Stop) => break,
            Some(Wish::Reload) => {
                log::info!("SIGHUP: reading the configuration and looking at the plugins directory");
                manager.reloading();
                let reloaded = anew().and_then(|options| server.reload(options).map_err(Failure::new));
                if let Err(failure) = reloaded {
                    log::error!("SIGHUP: {failure}; everything stays as it is");
                }
                manager.ready(server.status());
            }
        }
    }
    manager.stopping();
    let is_drained = server.stop();
    drop((watchdog, memory));
    if is_drained {
        Ok(())
    } else {
        Err(Failure::new("calls were still running at the drain limit, or their answers not taken"))
    }
}

/// Plugins do what the server's user may do.
fn tell_of_root(config: &Config) {
    if config.user.is_none() && rustix::process::geteuid().is_root() {
        log::warn!(
            "started as root without user: plugins can do whatever root can; name a user with user = \"NAME\" or --user NAME, \
             which the server becomes once it listens"
        );
    }
}

/// Protections that the config file turns off or loosens, at each start.
pub(super) fn tell_what_is_off(config: &Config) {
    if config.check_permissions == Some(false) {
        log::warn!(
            "check_permissions = false: whoever can write to the plugins or the state directory can run code as this \
             server's user"
        );
    }
    if config.probe == Some(false) {
        log::warn!(
            "probe = false: new plugins are not tried in a child process, and one that crashes or hangs when it is \
             loaded takes the server along"
        );
    }
    if config.follow_symlinks {
        log::warn!(
            "follow_symlinks = true: plugin files may be symbolic links, and whoever can change where one leads decides \
             what is loaded"
        );
    }
}

/// Prints where the server listens: the only lines on standard output. A thread of its own prints
/// them, because a full pipe would keep this one from signals. The process ends without it.
fn announce(urls: &[String]) {
    let lines: String = urls.iter().map(|url| format!("listening {}\n", text::line(url))).collect();
    let print = move || {
        let mut out = io::stdout().lock();
        // Without a reader, the server serves all the same.
        drop(out.write_all(lines.as_bytes()).and_then(|()| out.flush()));
    };
    if let Err(error) = thread::Builder::new().name("announce".into()).spawn(print) {
        log::warn!("cannot print where the server listens: {error}");
    }
}

/// As many descriptors as the system lets this process have: each connection takes one.
fn raise_descriptor_limit() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        log::debug!("the descriptor limit stays as it was: {error}");
    }
}
