//! The service manager that may have started this process: the sockets that it hands over, and the
//! notices that it gets. Without one, this does nothing.
//!
//! Speaks systemd's protocols (sd_listen_fds(3), sd_notify(3)), and alone reads their variables.
//! Those of the sockets are removed, and the descriptors close on exec, so plugins have neither.
//! `NOTIFY_SOCKET` stays, because each notice is sent through it. systemd takes notices from the
//! main process only, and probes do not get the variable. A notice waits at most 1 s, since that
//! socket is a queue that the manager may not read.

use super::output::Failure;
use crate::net::{Heartbeat, InheritedSocket};
use crate::server::environment;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use listenfd::ListenFd;
use sd_notify::NotifyState;
use std::convert::Infallible;
use std::env;
use std::io;
use std::os::unix::net::UnixDatagram;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

const NAMES: &str = "LISTEN_FDNAMES";
const NOTIFY_SOCKET: &str = "NOTIFY_SOCKET";
const WATCHDOG_USEC: &str = "WATCHDOG_USEC";
/// The first descriptor that is handed over.
const FIRST: usize = 3;
/// From one look whether the status has changed to the next.
const STATUS_WAIT: Duration = Duration::from_secs(2);

/// How long a notice waits for a manager that has many to read.
const NOTICE_MAX: Duration = Duration::from_secs(1);

/// Takes the sockets that this process inherited. Its child processes get neither the sockets nor
/// the variables. Must be called before there is a second thread.
///
/// # Errors
/// One of them cannot be served, or has a name that says nothing.
pub(super) fn sockets() -> Result<Vec<InheritedSocket>, Failure> {
    let names = env::var(NAMES).unwrap_or_default();
    let mut names = names.split(':');
    let mut given = ListenFd::from_env();
    environment::change(&[("LISTEN_PID", None), ("LISTEN_FDS", None), (NAMES, None)])
        .map_err(Failure::new)?;
    (0..given.len())
        .map(|index| socket(&mut given, index, names.next().unwrap_or_default()))
        .collect()
}

fn socket(given: &mut ListenFd, index: usize, name: &str) -> Result<InheritedSocket, Failure> {
    let failed = |why: &dyn std::fmt::Display| {
        let number = FIRST + index;
        Failure::new(format!(
            "cannot serve the socket that was handed over as descriptor {number}, {name:?}: {why}"
        ))
    };
    if let Ok(Some(socket)) = given.take_unix_listener(index) {
        return InheritedSocket::unix(socket).map_err(|error| failed(&error));
    }
    let socket = match given.take_tcp_listener(index) {
        Ok(Some(socket)) => socket,
        Ok(None) => return Err(failed(&"it was there a moment ago")),
        Err(error) => return Err(failed(&error)),
    };
    let inherited = match name {
        "http" => InheritedSocket::http(socket),
        "https" => InheritedSocket::https(socket),
        // What systemd calls them when nobody says anything.
        name if name.is_empty() || name == "unknown" || name.ends_with(".socket") => {
            InheritedSocket::https(socket)
        }
        _ => return Err(failed(&"its name, from FileDescriptorName=, may be https or http")),
    };
    inherited.map_err(|error| failed(&error))
}

/// Who is told how the server fares.
pub(super) struct Manager {
    is_there: bool,
    status: String,
}

impl Manager {
    /// The one that the environment names, if it does.
    pub(super) fn new() -> Self {
        Self { is_there: env::var_os(NOTIFY_SOCKET).is_some(), status: String::new() }
    }

    /// How long to wait before it may want to hear something again.
    pub(super) fn patience(&self) -> Option<Duration> {
        self.is_there.then_some(STATUS_WAIT)
    }

    /// All is served, for the first time or after a reload.
    pub(super) fn ready(&mut self, status: String) {
        tell(&[NotifyState::Ready, NotifyState::Status(&status)]);
        self.status = status;
    }

    /// Tells a status that is another one than before.
    pub(super) fn status(&mut self, status: String) {
        if status != self.status {
            tell(&[NotifyState::Status(&status)]);
            self.status = status;
        }
    }

    /// Tells that the configuration is being reloaded; [`Manager::ready`] tells when that is done.
    pub(super) fn reloading(&self) {
        match NotifyState::monotonic_usec_now() {
            Ok(now) => tell(&[NotifyState::Reloading, now]),
            Err(error) => log::warn!("the service manager is not told of the reload: {error}"),
        }
    }

    /// What has been accepted is answered, and then the process ends.
    pub(super) fn stopping(&self) {
        tell(&[NotifyState::Stopping, NotifyState::Status("answering the calls that run")]);
    }
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = send(states) {
        log::warn!("the service manager at {NOTIFY_SOCKET} does not hear: {error}");
    }
}

/// Not `sd_notify::notify`, which waits without end for a manager that takes no notices.
fn send(states: &[NotifyState<'_>]) -> io::Result<()> {
    let Some(path) = env::var_os(NOTIFY_SOCKET) else { return Ok(()) };
    let notice: String = states.iter().map(|state| format!("{state}\n")).collect();
    let socket = UnixDatagram::unbound()?;
    socket.set_write_timeout(Some(NOTICE_MAX))?;
    socket.connect(path)?;
    socket.send(notice.as_bytes()).map(drop)
}

/// Feeds the service manager's watchdog, if it has one, as long as every reactor and the accepting
/// thread made a round since the last time. Ends when dropped.
pub(super) struct Watchdog {
    end: Option<Sender<Infallible>>,
    thread: Option<JoinHandle<()>>,
}

impl Watchdog {
    /// # Errors
    /// A thread could not be started.
    pub(super) fn start(heartbeat: Heartbeat) -> Result<Self, Failure> {
        let Some(patience) = sd_notify::watchdog_enabled().filter(|patience| !patience.is_zero())
        else {
            return Ok(Self { end: None, thread: None });
        };
        if env::var_os(NOTIFY_SOCKET).is_none() {
            log::warn!(
                "{WATCHDOG_USEC} is set without {NOTIFY_SOCKET}: nobody is told that the server is \
                 alive"
            );
            return Ok(Self { end: None, thread: None });
        }
        let (end, ended) = bounded(0);
        let watch = move || watch(&heartbeat, patience, &ended);
        let thread =
            thread::Builder::new().name("watchdog".into()).spawn(watch).map_err(Failure::new)?;
        Ok(Self { end: Some(end), thread: Some(thread) })
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.end = None;
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            log::error!("a defect of the server ended the watchdog's thread");
        }
    }
}

fn watch(heartbeat: &Heartbeat, patience: Duration, ended: &Receiver<Infallible>) {
    /// From one check of all rounds to the next.
    const LOOK_WAIT: Duration = Duration::from_millis(10);
    let is_over = |wait| ended.recv_timeout(wait) != Err(RecvTimeoutError::Timeout);
    loop {
        let (woken, since) = (heartbeat.wake(), Instant::now());
        let mut has_complained = false;
        loop {
            let missing = heartbeat.missing(&woken);
            if missing.is_empty() {
                break;
            }
            if !has_complained && since.elapsed() >= patience / 4 {
                has_complained = true;
                let names = missing.join(", ");
                log::error!(
                    "the watchdog is not fed: held up since {:?}: {names}",
                    since.elapsed()
                );
            }
            if is_over(LOOK_WAIT.min(patience / 8)) {
                return;
            }
        }
        tell(&[NotifyState::Watchdog]);
        if is_over(patience / 2) {
            return;
        }
    }
}
