//! The gate: what one client's connection may do, from its first byte to its close.
//!
//! A connection is a state, a deadline, and what has come and is to go; its reactor tells it when to go on. It never waits and
//! never runs what could. A request is read whole and vetted before it goes on, and the next one is not begun before it is
//! answered, so answers come in order.

use super::call::{Call, Ticket};
use super::framing::{Reader, Step};
use super::head::{Head, Version};
use super::places::Place;
use super::reactor::Inbox;
use super::reply::{Outgoing, Reply};
use super::request::{Passage, Peer};
use super::service::{Service, broken};
use super::stream::Stream;
use super::timers::Alarm;
use super::tls::Context;
use crate::web::Response;
use std::io::{self, ErrorKind, Read};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// After its last answer a client's remaining bytes are thrown away, `discard_bytes_max` of them and for
/// `request_ms_max` at most: closing at once would reset the connection, and many clients write all of a request, however long,
/// before they look for an answer. When none comes for so long, the client has sent what it wanted to send.
const LINGER: Duration = Duration::from_secs(1);
/// For so long handshakes may go on once the server ends.
const DRAIN_HANDSHAKE: Duration = Duration::from_secs(1);
/// A plugin that heeds its deadline, and a fault that says more than that it passed, get so much longer.
const OVERDUE_GRACE: Duration = Duration::from_millis(250);
/// A client must take so much of a response within `request_ms_max`, and then so much again.
const PROGRESS_BYTES: usize = 64 << 10;
/// Steps that one connection takes before it is others' turn.
const STEPS_MAX: usize = 32;

/// A client's connection.
pub(super) struct Connection {
    stream: Stream,
    /// What its handshake is made with, until it is done.
    tls: Option<Arc<Context>>,
    peer: Arc<Peer>,
    reader: Reader,
    state: State,
    /// When this state is over, whatever comes.
    deadline: Instant,
    /// The client will send nothing more, or is gone.
    is_read_closed: bool,
    pub(super) alarm: Alarm,
    _place: Place,
}

enum State {
    Handshaking,
    /// Waits for a request of which no byte has come.
    Idle,
    /// Since when.
    Reading(Instant),
    Calling(Calling),
    Writing(Outgoing, Then),
    /// Throws away what still comes.
    Lingering(Lingering),
}

/// A call that runs.
struct Calling {
    call: Arc<Call>,
    number: u64,
    id: String,
    version: Version,
    keep_alive: bool,
    /// Only the answer's head is wanted.
    is_head: bool,
}

/// How much more is thrown away.
struct Lingering {
    bytes_left: usize,
    /// When it is over, whatever still comes.
    until: Instant,
}

/// What follows when all is written.
#[derive(Clone, Copy)]
enum Then {
    /// The rest of the request that began at this moment, whose client was told to go on.
    Resume(Instant),
    NextRequest,
    Linger,
}

/// What the reactor does with the connection next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flow {
    /// Tell it when something happens, or when its deadline has passed.
    Wait,
    /// It has more to do, after the others.
    Again,
    Close,
}

/// Where the connection is kept.
pub(super) struct Home<'a> {
    pub(super) service: &'a Service,
    pub(super) inbox: &'a Arc<Inbox>,
    pub(super) key: usize,
}

impl Connection {
    pub(super) fn new(
        stream: Stream,
        tls: Option<Arc<Context>>,
        peer: Peer,
        place: Place,
        service: &Service,
    ) -> Self {
        Self {
            stream,
            tls,
            peer: Arc::new(peer),
            reader: Reader::new(),
            state: State::Handshaking,
            deadline: Instant::now() + service.limits().handshake_max(),
            is_read_closed: false,
            alarm: Alarm::default(),
            _place: place,
        }
    }

    pub(super) const fn stream(&mut self) -> &mut Stream {
        &mut self.stream
    }

    pub(super) const fn deadline(&self) -> Instant {
        self.deadline
    }

    /// The client has closed its side, or both. Whoever waits for an answer is expected to stay.
    pub(super) fn hear_end(&mut self) {
        self.is_read_closed = true;
        if let State::Calling(calling) = &self.state {
            calling.call.cancellation.cancel();
        }
    }

    /// Goes on as far as it goes without waiting.
    pub(super) fn advance(&mut self, home: &Home<'_>) -> Flow {
        for _ in 0..STEPS_MAX {
            let stepped = match &mut self.state {
                State::Handshaking => self.shake_hands(home.service),
                State::Idle | State::Reading(_) => self.read(home),
                State::Calling(_) => return Flow::Wait,
                State::Writing(..) => self.write(home.service),
                State::Lingering(_) => self.linger(),
            };
            match stepped {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Flow::Wait,
                Err(error) => {
                    log::debug!("{}: {error}", self.peer.address);
                    return Flow::Close;
                }
            }
        }
        Flow::Again
    }

    /// The deadline of its state has passed.
    pub(super) fn expire(&mut self, home: &Home<'_>) -> Flow {
        match &self.state {
            State::Calling(calling) => {
                home.service.pool().abandon(&calling.call);
                log::warn!("request {}: not answered by its deadline", calling.id);
                let reply = home.service.handler().overdue(&calling.id).into();
                self.reply(Some(reply), home.service);
                self.advance(home)
            }
            State::Reading(_) => {
                let why = "Request timeout: the request did not come whole in time.";
                self.refuse(Response::text(408, why).into());
                self.advance(home)
            }
            State::Handshaking => {
                log::debug!("{}: no TLS handshake in time", self.peer.address);
                Flow::Close
            }
            // Idle clients are let go without a word: one is sent only to a client that waits for it.
            State::Idle | State::Writing(..) | State::Lingering(_) => Flow::Close,
        }
    }

    /// The answer to the call with this number has come, or will never come.
    pub(super) fn answer(&mut self, number: u64, reply: Option<Reply>, home: &Home<'_>) -> Flow {
        match &self.state {
            State::Calling(calling) if calling.number == number => {
                self.reply(reply, home.service);
                self.advance(home)
            }
            // It came too late.
            _ => Flow::Wait,
        }
    }

    /// The server ends: takes no request that has not begun.
    pub(super) fn drain(&mut self, home: &Home<'_>) -> Flow {
        match &mut self.state {
            State::Handshaking => {
                self.deadline = self.deadline.min(Instant::now() + DRAIN_HANDSHAKE);
                Flow::Wait
            }
            // What is on its way already counts as begun.
            State::Idle => self.advance(home),
            State::Lingering(lingering) => {
                lingering.until = lingering.until.min(Instant::now() + LINGER);
                Flow::Wait
            }
            _ => Flow::Wait,
        }
    }

    /// The server has ended. Nobody waits for what still runs.
    pub(super) fn cut(&self, service: &Service) {
        if let State::Calling(calling) = &self.state {
            service.pool().abandon(&calling.call);
        }
    }

    fn shake_hands(&mut self, service: &Service) -> io::Result<()> {
        let is_done = self
            .stream
            .shake_hands()
            .map_err(|error| io::Error::other(format!("no TLS handshake: {error}")))?;
        if !is_done {
            return Err(ErrorKind::WouldBlock.into());
        }
        let tls = self.tls.take();
        match self.stream.caller_name(tls.as_deref()) {
            Ok(name) if !name.is_empty() => self.peer = Arc::new(Peer { name, ..(*self.peer).clone() }),
            Ok(_) => {}
            Err(why) => {
                log::info!("{}: refused: {why}", self.peer.address);
                return Err(ErrorKind::ConnectionAborted.into());
            }
        }
        self.rest(service);
        Ok(())
    }

    /// Waits for the next request.
    fn rest(&mut self, service: &Service) {
        self.state = State::Idle;
        self.deadline = Instant::now() + service.limits().idle_max();
    }

    fn read(&mut self, home: &Home<'_>) -> io::Result<()> {
        if self.reader.has_begun() && matches!(self.state, State::Idle) {
            self.begin_reading(home.service);
        }
        let State::Reading(begun) = self.state else { return self.fill(home.service) };
        match self.reader.next(home.service.limits()) {
            Ok(Step::Wanting) => self.fill(home.service),
            Ok(Step::Continue) => {
                let told = b"HTTP/1.1 100 Continue\r\n\r\n".to_vec();
                self.state = State::Writing(Outgoing::from(told), Then::Resume(begun));
                Ok(())
            }
            Ok(Step::Request(head, body)) => {
                self.call(head, body, begun, home);
                Ok(())
            }
            Err(refusal) => {
                log::debug!("{}: {} {}", self.peer.address, refusal.status, refusal.why);
                self.refuse(refusal.into());
                Ok(())
            }
        }
    }

    fn begin_reading(&mut self, service: &Service) {
        let now = Instant::now();
        self.state = State::Reading(now);
        self.deadline = now + service.limits().request_max();
    }

    fn fill(&mut self, service: &Service) -> io::Result<()> {
        let Self { reader, stream, .. } = self;
        match reader.fill(|buffer| stream.read(buffer)) {
            Ok(0) => Err(ErrorKind::UnexpectedEof.into()),
            Ok(_) => Ok(()),
            Err(error) if error.kind() == ErrorKind::Interrupted => Ok(()),
            // Nothing more is on its way to an idle connection, and nothing more is wanted.
            Err(error)
                if error.kind() == ErrorKind::WouldBlock
                    && service.is_draining()
                    && matches!(self.state, State::Idle) =>
            {
                drop(self.stream.finish());
                Err(ErrorKind::UnexpectedEof.into())
            }
            Err(error) => Err(error),
        }
    }

    /// Has a whole request answered.
    fn call(&mut self, head: Head, body: Vec<u8>, begun: Instant, home: &Home<'_>) {
        let service = home.service;
        let (number, id) = service.name_request();
        let (version, keep_alive, is_head) = (head.version, head.keep_alive, head.method == "HEAD");
        let passage = Passage { head, body, peer: Arc::clone(&self.peer), id: id.clone(), begun };
        let call = Arc::new(Call::default());
        if self.is_read_closed {
            call.cancellation.cancel();
        }
        let ticket = Ticket::new(Arc::clone(home.inbox), home.key, number);
        self.deadline = begun + service.limits().call_max() + OVERDUE_GRACE;
        self.state =
            State::Calling(Calling { call: Arc::clone(&call), number, id, version, keep_alive, is_head });
        if let Some(reply) = service.submit(passage, call, ticket) {
            self.reply(Some(reply), service);
        }
    }

    /// Begins to write the answer to the running call.
    fn reply(&mut self, reply: Option<Reply>, service: &Service) {
        let State::Calling(calling) = std::mem::replace(&mut self.state, State::Idle) else { return };
        let reply = reply.unwrap_or_else(|| broken(&calling.id).into());
        let reply = if calling.is_head { reply.without_body() } else { reply };
        let keeps = calling.keep_alive && !service.is_draining();
        let then = if keeps { Then::NextRequest } else { Then::Linger };
        self.state = State::Writing(reply.framed(calling.version, keeps), then);
        self.deadline = Instant::now() + service.limits().request_max();
    }

    /// Begins to write why the connection cannot go on.
    fn refuse(&mut self, reply: Reply) {
        self.state = State::Writing(reply.framed(Version::Http11, false), Then::Linger);
        self.deadline = Instant::now() + LINGER;
        // Its memory is of no use while what comes is thrown away.
        self.reader = Reader::new();
    }

    fn write(&mut self, service: &Service) -> io::Result<()> {
        let State::Writing(outgoing, then) = &mut self.state else { return Ok(()) };
        let before = outgoing.written();
        let result = outgoing.write_to(&mut self.stream);
        if outgoing.written() / PROGRESS_BYTES > before / PROGRESS_BYTES {
            self.deadline = Instant::now() + service.limits().request_max();
        }
        result?;
        match *then {
            Then::Resume(begun) => self.state = State::Reading(begun),
            Then::NextRequest => self.rest(service),
            Then::Linger => {
                self.stream.finish()?;
                let now = Instant::now();
                let longest = if service.is_draining() { LINGER } else { service.limits().request_max() };
                let bytes_left = service.limits().discard_bytes_max();
                self.state = State::Lingering(Lingering { bytes_left, until: now + longest });
                self.deadline = now + LINGER.min(longest);
            }
        }
        Ok(())
    }

    fn linger(&mut self) -> io::Result<()> {
        let State::Lingering(lingering) = &mut self.state else { return Ok(()) };
        let count = self.stream.discard()?;
        lingering.bytes_left = lingering.bytes_left.saturating_sub(count);
        self.deadline = lingering.until.min(Instant::now() + LINGER);
        if count == 0 || lingering.bytes_left == 0 { Err(ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
    }
}
