//! `hotcall serve`: runs the server until a signal ends it.

use super::flags::{CommonFlags, ServeFlags};
use super::logger;
use super::manager::{self, Manager, Watchdog};
use super::output::{Failure, print};
use super::signals::{Kept, Signals, Wish};
use crate::config::{self, Config};
use crate::net::InheritedSocket;
use crate::server::{Options, Prepared, allocator};
use crate::text;
use clap::Args;
use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;
use std::thread;

/// Flags of `serve`. Those that are settings replace the config file's keys.
#[derive(Args, Clone, Debug)]
pub(super) struct ServeArgs {
    #[command(flatten)]
    settings: ServeFlags,
    /// Say what would be served, or why nothing would be, and exit with 0 or 1; nothing is bound or
    /// loaded
    #[arg(long)]
    check_config: bool,
    /// Print a config file with every key, its default and what it does
    #[arg(long, exclusive = true)]
    print_config: bool,
    #[command(flatten)]
    common: CommonArgs,
}

/// What `serve` and `dev` have in common.
#[derive(Args, Clone, Debug)]
pub(super) struct CommonArgs {
    /// The config file (TOML), reloaded on SIGHUP; flags given here replace its keys
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    settings: CommonFlags,
}

impl ServeArgs {
    fn config(&self) -> Result<Config, Failure> {
        let mut config = self.common.config()?;
        self.settings.replace(&mut config);
        Ok(config)
    }
}

impl CommonArgs {
    /// The config file with the flags on top.
    pub(super) fn config(&self) -> Result<Config, Failure> {
        let mut config = match &self.config {
            Some(path) => Config::read(path).map_err(Failure::new)?,
            None => Config::default(),
        };
        self.settings.replace(&mut config);
        Ok(config)
    }

    /// After the user has changed, so that SIGHUP does not fail by surprise.
    fn warn_of_unreadable_config(&self) {
        if let Some(path) = &self.config
            && let Err(error) = File::open(path)
        {
            let shown = path.display();
            log::warn!(
                "{shown} cannot be reloaded on SIGHUP by this user: {error}; \
                 let it read the file (chmod o+r {shown})"
            );
        }
    }
}

/// Runs `hotcall serve`.
///
/// # Errors
/// Why the server did not start, or that calls were cut off at its end.
pub(super) fn run(args: ServeArgs) -> Result<(), Failure> {
    if args.print_config {
        return print(config::example());
    }
    if args.check_config {
        let options = Options::try_from(args.config()?).map_err(Failure::new)?;
        options.check().map_err(Failure::new)?;
        return print(options.to_string());
    }
    // First, while there is one thread, and before anything is opened.
    let inherited = manager::sockets()?;
    let inherited_binds: Vec<_> = inherited.iter().map(InheritedSocket::bind).collect();
    let kept = Kept::new()?;
    let config = args.config()?;
    logger::limit(&config.limits);
    tell_what_is_off(&config);
    tell_of_root(&config);
    let options = |config| Options::new(config, inherited_binds.clone()).map_err(Failure::new);
    let prepared = Prepared::new(options(config)?, inherited).map_err(Failure::new)?;
    args.common.warn_of_unreadable_config();
    // Not before root is given up: threads would keep it.
    logger::start()?;
    until_signal(&kept.hear(|| ())?, prepared, || options(args.config()?))
}

/// Serves until SIGTERM or SIGINT; SIGHUP reloads the options by `reread` and looks at the plugins
/// directory.
pub(super) fn until_signal(
    signals: &Signals,
    prepared: Prepared,
    reread: impl Fn() -> Result<Options, Failure>,
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
                log::info!(
                    "SIGHUP: reading the configuration and looking at the plugins directory"
                );
                manager.reloading();
                let reload = |options| server.reload(options).map_err(Failure::new);
                let reloaded = reread().and_then(reload);
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
            "started as root without user: plugins can do whatever root can; name a user with \
             user = \"NAME\" or --user NAME, which the server becomes once it listens"
        );
    }
}

/// Protections that the config file turns off or loosens, at each start.
pub(super) fn tell_what_is_off(config: &Config) {
    if config.check_permissions == Some(false) {
        log::warn!(
            "check_permissions = false: anyone who can write to the plugins or the state \
             directory can run code as this server's user"
        );
    }
    if !config.probe {
        log::warn!(
            "probe = false: new plugins are not tried in a child process, and one that crashes or \
             hangs when it is loaded takes the server along"
        );
    }
    if config.follow_symlinks {
        log::warn!(
            "follow_symlinks = true: plugin files may be symbolic links, and anyone who can \
             change where one leads decides what is loaded"
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
