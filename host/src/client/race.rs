//! Connects to one of a server's addresses (RFC 8305, "Happy Eyeballs").
//!
//! A host with an IPv6 and an IPv4 address may be reachable by only one of them. Attempts alternate
//! between the families. They start 250 ms apart, or as soon as one fails. The first that connects
//! wins, and the others are closed. So an address that does not answer costs 250 ms instead of the
//! whole connect timeout. The calling thread waits for all attempts.
//!
//! Knows no names and no HTTP.

use super::deadline::Deadline;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, ioctl_fionbio};
use rustix::net::{AddressFamily, SocketFlags, SocketType, connect, socket_with, sockopt};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};
use std::{io, mem};
use ureq::Error;

/// How many of a host's addresses are tried.
pub(super) const ADDRESSES_MAX: usize = 16;
/// The Connection Attempt Delay (RFC 8305, section 5).
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// A connection, blocking and with `TCP_NODELAY`.
#[derive(Debug)]
pub(super) struct Connected {
    pub(super) socket: OwnedFd,
    /// How long connecting took, which is a round trip.
    pub(super) trip: Duration,
}

/// A connection that is being made.
struct Attempt {
    socket: OwnedFd,
    began: Instant,
}

/// Connects to the first of these addresses that answers.
///
/// # Errors
/// The deadline passed, or the last failure when every attempt failed.
pub(super) fn first_of(addresses: &[SocketAddr], deadline: &Deadline) -> Result<Connected, Error> {
    let mut untried = by_turns(addresses).into_iter().take(ADDRESSES_MAX).peekable();
    let mut attempts: Vec<Attempt> = Vec::new();
    let mut failure = Error::HostNotFound;
    let mut next_at = Instant::now();
    loop {
        if next_at <= Instant::now()
            && let Some(address) = untried.next()
        {
            match Attempt::start(&address) {
                Ok(attempt) => attempts.push(attempt),
                Err(error) => {
                    failure = deadline.explain(error.into());
                    continue;
                }
            }
            next_at = Instant::now() + ATTEMPT_DELAY;
        }
        if attempts.is_empty() {
            return Err(failure);
        }
        let until_next = untried.peek().map(|_| next_at.saturating_duration_since(Instant::now()));
        let limit = [until_next, deadline.left()?].into_iter().flatten().min();
        let ended = ended(&attempts, limit)?;
        for (attempt, has_ended) in mem::take(&mut attempts).into_iter().zip(ended) {
            if !has_ended {
                attempts.push(attempt);
                continue;
            }
            match attempt.result() {
                Ok(connected) => return Ok(connected),
                Err(error) => failure = deadline.explain(error),
            }
            next_at = Instant::now();
        }
    }
}

/// The same addresses, alternating between the families (RFC 8305, section 4). The resolver's first
/// address stays first, and each family keeps the resolver's order.
fn by_turns(addresses: &[SocketAddr]) -> Vec<SocketAddr> {
    let is_first_v6 = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (preferred, others): (Vec<_>, Vec<_>) =
        addresses.iter().copied().partition(|address| address.is_ipv6() == is_first_v6);
    let mut others = others.into_iter();
    let mut turns = Vec::with_capacity(addresses.len());
    for address in preferred {
        turns.push(address);
        turns.extend(others.next());
    }
    turns.extend(others);
    turns
}

/// Waits until at least one attempt has ended, but no longer than `limit`: which ones have.
fn ended(attempts: &[Attempt], limit: Option<Duration>) -> Result<Vec<bool>, Error> {
    let mut sockets: Vec<_> =
        attempts.iter().map(|attempt| PollFd::new(&attempt.socket, PollFlags::OUT)).collect();
    let limit = limit.and_then(|limit| Timespec::try_from(limit).ok());
    match poll(&mut sockets, limit.as_ref()) {
        Ok(_) | Err(Errno::INTR) => {}
        Err(error) => return Err(io::Error::from(error).into()),
    }
    Ok(sockets.iter().map(|socket| !socket.revents().is_empty()).collect())
}

impl Attempt {
    fn start(address: &SocketAddr) -> Result<Self, Errno> {
        let family = if address.is_ipv6() { AddressFamily::INET6 } else { AddressFamily::INET };
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(family, SocketType::STREAM, flags, None)?;
        sockopt::set_tcp_nodelay(&socket, true)?;
        let began = Instant::now();
        match connect(&socket, address) {
            Ok(()) | Err(Errno::INPROGRESS) => Ok(Self { socket, began }),
            Err(error) => Err(error),
        }
    }

    fn result(self) -> io::Result<Connected> {
        let Self { socket, began } = self;
        sockopt::socket_error(&socket)??;
        ioctl_fionbio(&socket, false)?;
        Ok(Connected { socket, trip: began.elapsed() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, Ipv6Addr, TcpListener, TcpStream};

    const PATIENCE: Duration = Duration::from_secs(20);

    /// A listener whose queue is full: new connections get no answer, as if nobody had the address.
    struct Full {
        _listener: OwnedFd,
        _queue: Vec<TcpStream>,
        address: SocketAddr,
    }

    impl Full {
        fn new() -> Self {
            let (family, kind) = (AddressFamily::INET, SocketType::STREAM);
            let listener = socket_with(family, kind, SocketFlags::CLOEXEC, None).unwrap();
            rustix::net::bind(&listener, &SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).unwrap();
            // The queue takes one connection more than it is said to.
            rustix::net::listen(&listener, 0).unwrap();
            let address = rustix::net::getsockname(&listener).unwrap().try_into().unwrap();
            let queue = vec![TcpStream::connect(address).unwrap()];
            Self { _listener: listener, _queue: queue, address }
        }
    }

    /// An address at which nobody listens.
    fn refused() -> SocketAddr {
        TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
    }

    fn peer(connected: &Connected) -> SocketAddr {
        rustix::net::getpeername(&connected.socket).unwrap().unwrap().try_into().unwrap()
    }

    #[test]
    fn families_take_turns_in_the_resolvers_order() {
        let v4 = |last| SocketAddr::from((Ipv4Addr::new(192, 0, 2, last), 80));
        let v6 = |last| SocketAddr::from((Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, last), 80));
        let given = [v6(1), v6(2), v6(3), v4(1), v4(2)];
        assert_eq!(by_turns(&given), [v6(1), v4(1), v6(2), v4(2), v6(3)]);
        assert_eq!(by_turns(&[v4(1), v6(1), v6(2)]), [v4(1), v6(1), v6(2)]);
        assert_eq!(by_turns(&[]), []);
    }

    #[test]
    fn an_address_that_does_not_answer_is_passed_by() {
        let (silent, listener) = (Full::new(), TcpListener::bind("127.0.0.1:0").unwrap());
        let good = listener.local_addr().unwrap();
        let connected = first_of(&[silent.address, good], &Deadline::after(PATIENCE)).unwrap();
        assert_eq!(peer(&connected), good);
        assert!(connected.trip < PATIENCE, "{:?}", connected.trip);
    }

    #[test]
    fn the_first_address_is_taken_when_it_answers() {
        let listeners = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let addresses = listeners.each_ref().map(|listener| listener.local_addr().unwrap());
        let connected = first_of(&addresses, &Deadline::after(PATIENCE)).unwrap();
        assert_eq!(peer(&connected), addresses[0]);
        listeners[1].set_nonblocking(true).unwrap();
        assert!(listeners[1].accept().is_err(), "the second address was called too");
    }

    #[test]
    fn a_refusal_starts_the_next_attempt() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let good = listener.local_addr().unwrap();
        // Addresses that nobody can connect to fail before anything is waited for.
        let broadcast = SocketAddr::from((Ipv4Addr::BROADCAST, 9));
        let addresses = [refused(), broadcast, refused(), good];
        let connected = first_of(&addresses, &Deadline::after(PATIENCE)).unwrap();
        assert_eq!(peer(&connected), good);
    }

    #[test]
    fn the_losers_are_closed() {
        let silent = Full::new();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let good = listener.local_addr().unwrap();
        let _connected = first_of(&[silent.address, good], &Deadline::after(PATIENCE)).unwrap();
        // A socket that waits for an answer is in state 02 (SYN_SENT).
        let to_silent = std::fs::read_to_string("/proc/net/tcp").unwrap();
        let remote = format!(":{:04X} 02", silent.address.port());
        assert!(!to_silent.lines().any(|line| line.contains(&remote)), "{to_silent}");
    }

    #[test]
    fn when_all_fail_the_last_failure_is_told() {
        let error = first_of(&[refused(), refused()], &Deadline::after(PATIENCE)).unwrap_err();
        let is_refusal = |error: &io::Error| error.kind() == io::ErrorKind::ConnectionRefused;
        assert!(matches!(&error, ureq::Error::Io(error) if is_refusal(error)), "{error:?}");
        let none = first_of(&[], &Deadline::after(PATIENCE)).unwrap_err();
        assert!(matches!(none, ureq::Error::HostNotFound), "{none:?}");
    }

    #[test]
    fn the_deadline_ends_all_attempts() {
        let silent = Full::new();
        let deadline = Deadline::after(Duration::from_millis(300));
        let error = first_of(&[silent.address; 3], &deadline).unwrap_err();
        assert!(matches!(error, ureq::Error::Timeout(ureq::Timeout::Connect)), "{error:?}");
    }

    #[test]
    fn at_most_so_many_addresses_are_tried() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut addresses = vec![refused(); ADDRESSES_MAX];
        addresses.push(listener.local_addr().unwrap());
        first_of(&addresses, &Deadline::after(PATIENCE)).unwrap_err();
    }
}
