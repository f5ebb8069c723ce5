//! Finds a server's addresses by its name, within a deadline.
//!
//! A client looks its server's name up when it makes a connection, and not for calls on a kept one.
//! The system's resolver has no deadline, so it runs on a thread. Calls that wait at the same time
//! share one lookup. Literal addresses need none.
//!
//! Results are not cached. `getaddrinfo` does not tell how long an address is valid. A cache with a
//! guessed lifetime would send calls to a server's old address after it has moved. Lookups are
//! rare, because connections are kept. A host that wants them cached runs a resolver that knows
//! each record's time to live (systemd-resolved, dnsmasq, unbound).
//!
//! Knows no sockets.

use super::deadline::Deadline;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Duration;
use ureq::http::Uri;
use ureq::unversioned::resolver::DefaultResolver;

/// How long a call without a deadline waits at once.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// Looks up the addresses of one host.
#[derive(Debug, Default)]
pub(super) struct Names {
    /// The lookup that has not ended, if any: at most one thread per client.
    running: Mutex<Option<Arc<Lookup>>>,
}

/// One lookup, which several calls may wait for.
#[derive(Debug, Default)]
struct Lookup {
    /// An error is kept as its text, because each caller gets it.
    found: Mutex<Option<Result<Vec<SocketAddr>, String>>>,
    has_ended: Condvar,
}

/// What asks the system.
type Ask = fn(&str) -> io::Result<Vec<SocketAddr>>;

impl Names {
    /// The addresses of this URL's host, with its port. A client asks for one host only.
    ///
    /// # Errors
    /// The name is unknown, or the deadline passed.
    pub(super) fn addresses(
        self: &Arc<Self>,
        url: &Uri,
        deadline: &Deadline,
    ) -> Result<Vec<SocketAddr>, ureq::Error> {
        let (Some(scheme), Some(authority)) = (url.scheme(), url.authority()) else {
            return Err(ureq::Error::HostNotFound);
        };
        let host = DefaultResolver::host_and_port(scheme, authority);
        let host = host.ok_or(ureq::Error::HostNotFound)?;
        self.look_up(host, deadline, |host| Ok(host.to_socket_addrs()?.collect()))
    }

    fn look_up(
        self: &Arc<Self>,
        host: String,
        deadline: &Deadline,
        ask: Ask,
    ) -> Result<Vec<SocketAddr>, ureq::Error> {
        if let Ok(literal) = host.parse() {
            return Ok(vec![literal]);
        }
        let lookup = self.join(host, ask)?;
        let mut found = lookup.found.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(found) = &*found {
                return found.clone().map_err(|error| io::Error::other(error).into());
            }
            let limit = deadline.left()?.unwrap_or(WAIT_MAX);
            let waited = lookup.has_ended.wait_timeout(found, limit);
            found = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// The lookup that runs, or a new one.
    fn join(self: &Arc<Self>, host: String, ask: Ask) -> io::Result<Arc<Lookup>> {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(lookup) = &*running {
            return Ok(Arc::clone(lookup));
        }
        let lookup = Arc::new(Lookup::default());
        let (names, ending) = (Arc::clone(self), Arc::clone(&lookup));
        thread::Builder::new().name("lookup".to_owned()).spawn(move || {
            let found = ask(&host).map_err(|error| error.to_string());
            // Calls that come from now on look again.
            *names.running.lock().unwrap_or_else(PoisonError::into_inner) = None;
            *ending.found.lock().unwrap_or_else(PoisonError::into_inner) = Some(found);
            ending.has_ended.notify_all();
        })?;
        *running = Some(Arc::clone(&lookup));
        Ok(lookup)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{Barrier, RwLock};

    const PATIENCE: Duration = Duration::from_secs(20);

    #[test]
    fn literal_addresses_ask_nobody() {
        let names = Arc::new(Names::default());
        for (host, address) in [("127.0.0.1:80", "127.0.0.1:80"), ("[::1]:443", "[::1]:443")] {
            let deadline = Deadline::after(PATIENCE);
            let found = names.look_up(host.to_owned(), &deadline, |_| panic!("asked"));
            assert_eq!(found.unwrap(), [address.parse().unwrap()]);
        }
        assert!(names.running.lock().unwrap().is_none());
    }

    #[test]
    fn the_port_comes_from_the_scheme_when_the_url_has_none() {
        let names = Arc::new(Names::default());
        let (plain, tls) = ("http://127.0.0.1/x", "https://[::1]");
        for (url, address) in [(plain, "127.0.0.1:80"), (tls, "[::1]:443")] {
            let found = names.addresses(&url.parse().unwrap(), &Deadline::after(PATIENCE));
            assert_eq!(found.unwrap(), [address.parse().unwrap()]);
        }
    }

    #[test]
    fn localhost_is_found() {
        let names = Arc::new(Names::default());
        let url = "http://localhost:1234".parse().unwrap();
        let found = names.addresses(&url, &Deadline::after(PATIENCE)).unwrap();
        assert!(!found.is_empty());
        assert!(found.iter().all(|address| address.ip().is_loopback() && address.port() == 1234));
    }

    #[test]
    fn calls_that_wait_share_a_lookup_and_later_ones_look_again() {
        static ASKED: AtomicUsize = AtomicUsize::new(0);
        static HELD: RwLock<()> = RwLock::new(());
        let ask: Ask = |_| {
            ASKED.fetch_add(1, Ordering::SeqCst);
            drop(HELD.read());
            Ok(vec![([192, 0, 2, 1], 80).into()])
        };
        let names = Arc::new(Names::default());
        let held = HELD.write().unwrap();
        let joined = Barrier::new(4);
        thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    let lookup = names.join("host".to_owned(), ask).unwrap();
                    joined.wait();
                    let ended = |found: &mut Option<_>| found.is_none();
                    drop(lookup.has_ended.wait_while(lookup.found.lock().unwrap(), ended).unwrap());
                });
            }
            joined.wait();
            drop(held);
        });
        assert_eq!(ASKED.load(Ordering::SeqCst), 1);
        names.look_up("host".to_owned(), &Deadline::after(PATIENCE), ask).unwrap();
        assert_eq!(ASKED.load(Ordering::SeqCst), 2);
    }

    #[test]
    fn a_lookup_that_hangs_ends_at_the_deadline() {
        static HELD: RwLock<()> = RwLock::new(());
        let ask: Ask = |_| {
            drop(HELD.read());
            Ok(Vec::new())
        };
        let names = Arc::new(Names::default());
        let held = HELD.write().unwrap();
        for _ in 0..2 {
            let deadline = Deadline::after(Duration::from_millis(20));
            let error = names.look_up("host".to_owned(), &deadline, ask).unwrap_err();
            assert!(matches!(error, ureq::Error::Timeout(ureq::Timeout::Connect)), "{error:?}");
        }
        drop(held);
    }

    #[test]
    fn an_unknown_name_is_told_in_the_resolvers_words() {
        let names = Arc::new(Names::default());
        let ask: Ask = |_| Err(io::Error::other("failed to lookup address information: no"));
        let error = names.look_up("host".to_owned(), &Deadline::after(PATIENCE), ask).unwrap_err();
        assert!(error.to_string().contains("failed to lookup address"), "{error}");
    }
}
