//! The gate: what one client's connection may do, from its first byte to its close.
//!
//! A connection has a thread of its own, which waits for the client and never runs a plugin's code. Every wait has a
//! deadline, and each request is read whole and vetted before it goes on.

use super::head::Refusal;
use super::inbound::{End, Inbound};
use super::stream::{Socket, Stream, Timed};
use super::tls::Context;
use super::upstream::{Failure, Passage, Peer, Reply, Upstream};
use crate::limits::Limits;
use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Shutdown};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// After a refusal the client's remaining bytes are read and thrown away for so long, and so many: closing at
/// once would reset the connection and could take the answer away from it.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES_MAX: u64 = 1 << 20;
/// Beyond a call's own deadline: for a plugin that notices it late, and for the way back.
const ANSWER_GRACE: Duration = Duration::from_secs(5);

/// What all connections share.
pub(super) struct Gate {
    upstream: Upstream,
    limits: Limits,
    ids: Ids,
    draining: AtomicBool,
    open: Mutex<Open>,
    closed: Condvar,
}

#[derive(Default)]
struct Open {
    next: u64,
    connections: HashMap<u64, Connection>,
    of_address: HashMap<IpAddr, usize>,
}

struct Connection {
    socket: Socket,
    /// Waits for a request of which no byte has come.
    is_idle: Arc<AtomicBool>,
}

/// A connection's place among the open ones.
pub(super) struct Place {
    gate: Arc<Gate>,
    number: u64,
    address: Option<IpAddr>,
    is_idle: Arc<AtomicBool>,
}

impl Gate {
    pub(super) fn new(upstream: Upstream, limits: Limits) -> Self {
        Self {
            upstream,
            limits,
            ids: Ids::new(),
            draining: AtomicBool::new(false),
            open: Mutex::default(),
            closed: Condvar::new(),
        }
    }

    /// Gives a new connection its place, if there is one.
    pub(super) fn admit(self: &Arc<Self>, socket: &Socket, address: Option<IpAddr>) -> io::Result<Place> {
        let socket = socket.try_clone()?;
        let mut open = self.lock();
        if open.connections.len() >= self.limits.connections_max {
            return Err(io::Error::other("connections_max is reached"));
        }
        if let Some(address) = address {
            let count = open.of_address.entry(address).or_insert(0);
            if *count >= self.limits.connections_per_address_max {
                return Err(io::Error::other("connections_per_address_max is reached"));
            }
            *count += 1;
        }
        open.next += 1;
        let (number, is_idle) = (open.next, Arc::new(AtomicBool::new(false)));
        open.connections.insert(number, Connection { socket, is_idle: Arc::clone(&is_idle) });
        Ok(Place { gate: Arc::clone(self), number, address, is_idle })
    }

    /// Lets idle connections go, and every other one after its request. `false` when some were left at the deadline:
    /// those are cut.
    pub(super) fn drain(&self, deadline: Instant) -> bool {
        self.draining.store(true, Ordering::SeqCst);
        let mut open = self.lock();
        for connection in
            open.connections.values().filter(|connection| connection.is_idle.load(Ordering::SeqCst))
        {
            // Its thread reads the end, or what was already on its way.
            drop(connection.socket.shutdown(Shutdown::Read));
        }
        while !open.connections.is_empty() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                for connection in open.connections.values() {
                    drop(connection.socket.shutdown(Shutdown::Both));
                }
                return false;
            }
            open = self.closed.wait_timeout(open, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    pub(super) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::SeqCst)
    }

    pub(super) const fn handshake_max(&self) -> Duration {
        Duration::from_millis(self.limits.handshake_ms_max)
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        // Nothing panics under the lock, so a poisoned list is whole.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.gate.lock();
        open.connections.remove(&self.number);
        if let Some(address) = self.address
            && let Some(count) = open.of_address.get_mut(&address)
        {
            *count -= 1;
            if *count == 0 {
                open.of_address.remove(&address);
            }
        }
        drop(open);
        self.gate.closed.notify_all();
    }
}

/// Serves one connection to its end.
pub(super) fn serve(place: &Place, socket: Socket, tls: Option<&Context>, address: &str) {
    let gate = &place.gate;
    let way = socket.way();
    let timed = Timed::new(socket, Instant::now() + gate.handshake_max());
    let stream = match Stream::accept(timed, tls) {
        Ok(stream) => stream,
        Err(why) => return log::debug!("{address}: no TLS handshake: {why}"),
    };
    let name = match stream.caller_name(tls) {
        Ok(name) => name,
        Err(why) => return log::info!("{address}: refused: {why}"),
    };
    let peer = Peer { address, way, is_encrypted: tls.is_some(), name: &name };
    let mut inbound = Inbound::new(stream);
    loop {
        if !inbound.has_begun() {
            place.is_idle.store(true, Ordering::SeqCst);
            if gate.is_draining() {
                return;
            }
        }
        let request = inbound.request(&gate.limits);
        place.is_idle.store(false, Ordering::SeqCst);
        let (head, body, begun) = match request {
            Ok(request) => request,
            Err(End::Closed) => return,
            Err(End::Refused(refusal)) => {
                log::debug!("{address}: {} {}", refusal.status, refusal.why);
                return refuse(&mut inbound.stream, &refusal);
            }
        };
        let id = gate.ids.next();
        let deadline = begun + gate.limits.call_max() + ANSWER_GRACE;
        let passage = Passage { head: &head, body: &body, peer: &peer, id: &id, begun, deadline };
        let answer = gate.upstream.exchange(&passage);
        drop(body);
        let keeps = head.keep_alive && !gate.is_draining();
        let bytes = match answer {
            Ok(reply) => framed(reply, keeps),
            Err(failure) => {
                let mut reply = overloaded(&failure, &id);
                if head.method == "HEAD" {
                    // Of what GET would have: no body follows the head.
                    reply.body.clear();
                }
                framed(reply, keeps)
            }
        };
        inbound.stream.set_deadline(Instant::now() + Duration::from_millis(gate.limits.request_ms_max));
        match inbound.stream.write_all(&bytes).and_then(|()| inbound.stream.flush()) {
            Ok(()) if keeps => {}
            Ok(()) => return linger(&mut inbound.stream),
            Err(error) => return log::debug!("{address}: request {id}: the response was not sent: {error}"),
        }
    }
}

/// The whole response in one piece: one write, and as few TLS records as hold it.
fn framed(Reply { head, body }: Reply, keeps: bool) -> Vec<u8> {
    let connection: &[u8] =
        if keeps { b"Connection: keep-alive\r\n\r\n" } else { b"Connection: close\r\n\r\n" };
    let mut bytes = head;
    bytes.extend_from_slice(connection);
    bytes.extend_from_slice(&body);
    bytes
}

fn overloaded(failure: &Failure, id: &str) -> Reply {
    let why = match failure {
        Failure::Full => {
            "Overloaded: all workers are busy and the queue is full. Try again in a moment.".to_owned()
        }
        Failure::Late => "Overloaded: the call was not answered in time.".to_owned(),
        Failure::Broken(error) => {
            log::error!("request {id}: no answer from within: {error}");
            format!("The request could not be answered; the server's log has it under {id}.")
        }
    };
    text(503, &why, "Retry-After: 1\r\n")
}

fn refuse(stream: &mut Stream, refusal: &Refusal) {
    let bytes = framed(text(refusal.status, &refusal.why, ""), false);
    stream.set_deadline(Instant::now() + LINGER);
    if stream.write_all(&bytes).and_then(|()| stream.flush()).is_ok() {
        linger(stream);
    }
}

/// Says that this was all, and lets the client read it before the connection goes.
fn linger(stream: &mut Stream) {
    stream.set_deadline(Instant::now() + LINGER);
    if stream.finish().is_ok() {
        drop(io::copy(&mut stream.take(LINGER_BYTES_MAX), &mut io::sink()));
    }
}

/// A short text/plain response of the gate's own.
fn text(status: u16, why: &str, fields: &str) -> Reply {
    let phrase = tiny_http::StatusCode(status).default_reason_phrase();
    let version = env!("CARGO_PKG_VERSION");
    let head = format!(
        "HTTP/1.1 {status} {phrase}\r\nServer: Hotcall/{version}\r\nContent-Type: text/plain; charset=utf-8\r\n\
         Content-Length: {}\r\n{fields}",
        why.len() + 1
    );
    Reply { head: head.into_bytes(), body: format!("{why}\n").into_bytes() }
}

/// Names requests: unique in this process, and unlike those of the process before.
struct Ids {
    process: u64,
    next: AtomicU64,
}

impl Ids {
    fn new() -> Self {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { process: since_epoch.as_secs(), next: AtomicU64::new(1) }
    }

    fn next(&self) -> String {
        format!("{:x}-{}", self.process, self.next.fetch_add(1, Ordering::Relaxed))
    }
}
