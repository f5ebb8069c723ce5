//! The gate: the state machine of one client's connection, from its first byte to its close.
//!
//! A connection is a state, a deadline, the bytes that came and the bytes to send. Its reactor
//! says when to continue. It never waits, and it never runs anything that could wait. The deadline
//! of its state ends a silent client, a slow one and one that takes no response.
//!
//! - A request is read whole and vetted before it goes on. Nothing more is read while it is
//!   answered. Responses therefore keep their order, and a client that only sends fills its own
//!   buffers.
//! - Some requests are refused before they have come whole. The rest of such a request is
//!   discarded: closing on unread bytes would reset the connection and lose the response.
//! - Discarding is cheap: no decryption, no buffer kept, at most four times `body_bytes_max`. A
//!   client that sends more may be reset. An attacker gains nothing, because bodies within the
//!   limit cost more.
//! - After a handshake, an outdated TLS context gets 503 before the first request is read. That
//!   request can arrive with the handshake's last bytes.

use super::connection_limits::ConnectionSlot;
use super::progress;
use super::service::{Service, Submitted};
use super::stream::Stream;
use super::timers::Alarm;
use crate::cancellation::Cancellation;
use crate::net::body_budget::Share;
use crate::net::http1::buffer::Spare;
use crate::net::http1::framing::{Reader, Step};
use crate::net::http1::head::{Parsed, Version};
use crate::net::http1::own_answers::{broken, outdated};
use crate::net::http1::reply::{Outgoing, Reply};
use crate::net::tls::Context;
use crate::net::workers::call::Call;
use crate::net::workers::ticket::{AnswerTo, Ticket};
use crate::request::{Peer, Request};
use crate::web::Response;
use log::Level;
use smol_str::SmolStr;
use std::io::{self, ErrorKind, Read};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// After its last answer a client's remaining bytes are thrown away, `discard_bytes_max` of them
/// and for `request_ms_max` at most: closing at once would reset the connection, and many clients
/// write all of a request, however long, before they look for an answer. When none comes for so
/// long, the client has sent what it wanted to send.
const LINGER: Duration = Duration::from_secs(1);
/// For so long handshakes may go on once the server ends.
const DRAIN_HANDSHAKE: Duration = Duration::from_secs(1);
/// A plugin that heeds its deadline, and a fault that says more than that it passed, get so much
/// longer.
const OVERDUE_GRACE: Duration = Duration::from_millis(250);
/// Steps that one connection takes before it is others' turn.
const STEPS_MAX: usize = 32;

/// A client's connection.
pub(crate) struct Connection {
    stream: Stream,
    /// What its handshake is made with.
    tls: Option<Arc<Context>>,
    peer: Arc<Peer>,
    reader: Reader,
    state: State,
    /// When this state is over, whatever comes.
    deadline: Instant,
    /// The client will send nothing more, or is gone.
    is_read_closed: bool,
    /// Of the calls that come through it, one after the other, until one is cancelled.
    cancellation: Cancellation,
    /// Of the memory for bodies: what the request takes that comes or is answered, or its answer.
    share: Share,
    pub(crate) alarm: Alarm,
    _place: ConnectionSlot,
}

enum State {
    Handshaking,
    /// Waits for a request of which no byte has come.
    Idle,
    /// Since when.
    Reading(Instant),
    Calling(Calling),
    Writing(Outgoing, Then),
    Lingering(Lingering),
}

/// What is thrown away yet.
struct Lingering {
    bytes_left: usize,
    until: Instant,
}

/// A call that runs.
struct Calling {
    call: Arc<Call>,
    number: u64,
    id: SmolStr,
    form: Form,
}

/// How an answer is written.
#[derive(Clone, Copy)]
struct Form {
    version: Version,
    keep_alive: bool,
    /// Only the answer's head is wanted.
    is_head: bool,
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
pub(crate) enum Flow {
    /// Tell it when something happens, or when its deadline has passed.
    Wait,
    /// It has more to do, after the others.
    Again,
    Close,
}

/// Where the connection is kept.
pub(crate) struct Home<'a> {
    pub(crate) service: &'a Service,
    /// Takes the answers to its calls.
    pub(crate) answers: &'a Arc<dyn AnswerTo>,
    pub(crate) key: usize,
    pub(crate) spare: &'a mut Spare,
    /// When this turn of the reactor began.
    pub(crate) now: Instant,
}

impl Connection {
    pub(crate) fn new(
        stream: Stream,
        tls: Option<Arc<Context>>,
        peer: Peer,
        place: ConnectionSlot,
        service: &Service,
    ) -> Self {
        Self {
            stream,
            tls,
            share: service.share(peer.ip),
            peer: Arc::new(peer),
            reader: Reader::new(),
            state: State::Handshaking,
            deadline: Instant::now() + service.limits().handshake_max(),
            is_read_closed: false,
            cancellation: Cancellation::default(),
            alarm: Alarm::default(),
            _place: place,
        }
    }

    pub(crate) const fn stream(&mut self) -> &mut Stream {
        &mut self.stream
    }

    pub(crate) const fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Handles an event. `is_ended`: the client has closed its side, or both; a client that waits
    /// for a response is expected to stay.
    pub(crate) fn hear(&mut self, is_ended: bool, home: &mut Home<'_>) -> Flow {
        self.stream.hear(is_ended);
        if is_ended {
            self.is_read_closed = true;
            if let State::Calling(calling) = &self.state {
                calling.call.cancellation.cancel();
            }
        }
        self.advance(home)
    }

    /// Goes on as far as it goes without waiting.
    pub(crate) fn advance(&mut self, home: &mut Home<'_>) -> Flow {
        for _ in 0..STEPS_MAX {
            let stepped = match &mut self.state {
                State::Handshaking => self.shake_hands(home),
                State::Idle | State::Reading(_) => self.read(home),
                State::Calling(_) => return Flow::Wait,
                State::Writing(..) => self.write(home),
                State::Lingering(_) => self.linger(home),
            };
            match stepped {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Flow::Wait,
                Err(error) => {
                    log::debug!("{}: {error}", self.peer);
                    return Flow::Close;
                }
            }
        }
        Flow::Again
    }

    /// The deadline of its state has passed.
    pub(crate) fn expire(&mut self, home: &mut Home<'_>) -> Flow {
        match &self.state {
            State::Calling(calling) => {
                home.service.pool().abandon(&calling.call);
                let answer = home.service.share(self.peer.ip);
                calling.call.keep(std::mem::replace(&mut self.share, answer));
                log::warn!("request {}: not answered by its deadline", calling.id);
                let (form, id) = (calling.form, calling.id.clone());
                let reply = home.service.handler().overdue(&id);
                self.reply(reply.into(), &id, form, home);
                self.advance(home)
            }
            State::Reading(_) => {
                let why = "Request timeout: the request did not come whole in time.";
                self.refuse(Response::text(408, why).into());
                self.advance(home)
            }
            State::Handshaking => {
                log::debug!("{}: no TLS handshake in time", self.peer);
                Flow::Close
            }
            State::Writing(outgoing, _) => {
                let is_due = home.service.slow_clients().allows(home.now);
                let level = if is_due { Level::Info } else { Level::Debug };
                log::log!(level, "{}: did not take its answer in time: {outgoing}", self.peer);
                self.stream.abort();
                Flow::Close
            }
            // Idle clients are let go without a word: one is sent only to a client that waits for
            // it.
            State::Idle | State::Lingering(_) => Flow::Close,
        }
    }

    /// The answer to the call with this number has come, or will never come.
    pub(crate) fn answer(
        &mut self,
        number: u64,
        reply: Option<Reply>,
        home: &mut Home<'_>,
    ) -> Flow {
        match &self.state {
            State::Calling(calling) if calling.number == number => {
                let (form, id) = (calling.form, calling.id.clone());
                let reply = reply.unwrap_or_else(|| broken(&id).into());
                self.reply(reply, &id, form, home);
                self.advance(home)
            }
            // It came too late.
            _ => Flow::Wait,
        }
    }

    /// The server ends at this moment: takes no request that has not begun.
    pub(crate) fn drain(&mut self, end: Instant, home: &mut Home<'_>) -> Flow {
        match &mut self.state {
            State::Handshaking => {
                self.deadline = self.deadline.min(Instant::now() + DRAIN_HANDSHAKE);
                Flow::Wait
            }
            // What is on its way already counts as begun.
            State::Idle => {
                self.stream.hear(false);
                let flow = self.advance(home);
                self.hurry(end, home);
                flow
            }
            State::Lingering(lingering) => {
                lingering.until = lingering.until.min(home.now + LINGER);
                Flow::Wait
            }
            State::Reading(_) => {
                self.hurry(end, home);
                Flow::Wait
            }
            _ => Flow::Wait,
        }
    }

    /// Refuses a request that does not come whole while there is time to tell its client.
    fn hurry(&mut self, end: Instant, home: &Home<'_>) {
        if matches!(self.state, State::Reading(_)) {
            let half = end.saturating_duration_since(home.now) / 2;
            self.deadline = self.deadline.min(home.now + half);
        }
    }

    /// Closes the connection if the client requirements changed since its handshake. A request that
    /// has begun is answered first.
    pub(crate) fn reassess(&mut self, home: &mut Home<'_>) -> Flow {
        if !self.is_last(home) || !matches!(self.state, State::Idle) {
            return Flow::Wait;
        }
        self.stream.hear(false);
        self.advance(home)
    }

    /// Whether it ends with the answer to what has begun.
    fn is_last(&self, home: &Home<'_>) -> bool {
        home.service.is_draining() || self.is_outdated()
    }

    /// Whether its handshake was made with requirements for clients that are not the current ones
    /// any more.
    fn is_outdated(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.is_outdated())
    }

    /// The server has ended. Nobody waits for what still runs. Whether the client had all that it
    /// was to have.
    pub(crate) fn cut(&self, service: &Service) -> bool {
        match &self.state {
            State::Calling(calling) => {
                service.pool().abandon(&calling.call);
                false
            }
            State::Writing(outgoing, _) => {
                log::warn!("{}: did not take its answer before the end: {outgoing}", self.peer);
                false
            }
            State::Handshaking | State::Idle | State::Reading(_) | State::Lingering(_) => true,
        }
    }

    fn shake_hands(&mut self, home: &Home<'_>) -> io::Result<()> {
        let is_done = self
            .stream
            .shake_hands()
            .map_err(|error| io::Error::other(format!("no TLS handshake: {error}")))?;
        if !is_done {
            return Err(ErrorKind::WouldBlock.into());
        }
        if self.is_outdated() {
            log::debug!("{}: the requirements for clients changed during its handshake", self.peer);
            self.refuse(outdated().into());
            return Ok(());
        }
        match self.stream.caller_name(self.tls.as_deref()) {
            Ok(name) if !name.is_empty() => {
                self.peer = Arc::new(Peer { name: name.into(), ..(*self.peer).clone() });
            }
            Ok(_) => {}
            Err(why) => {
                let is_due = home.service.refused_certificates().allows(home.now);
                let level = if is_due { Level::Info } else { Level::Debug };
                log::log!(level, "{}: refused: {why}", self.peer);
                return Err(ErrorKind::ConnectionAborted.into());
            }
        }
        self.rest(home);
        Ok(())
    }

    /// Waits for the next request.
    fn rest(&mut self, home: &Home<'_>) {
        self.state = State::Idle;
        self.share.give_back();
        self.deadline = home.now + home.service.limits().idle_max();
    }

    fn read(&mut self, home: &mut Home<'_>) -> io::Result<()> {
        if self.reader.has_begun() && matches!(self.state, State::Idle) {
            self.state = State::Reading(home.now);
            self.deadline = home.now + home.service.limits().request_max();
        }
        let State::Reading(begun) = self.state else { return self.fill(home) };
        match self.reader.next(home.service.limits(), home.spare) {
            Ok(Step::Wanting) => match self.share.resize(self.reader.body_bytes()) {
                Ok(()) => self.fill(home),
                Err(exceeded) => {
                    self.refuse(exceeded.response().into());
                    Ok(())
                }
            },
            Ok(Step::Continue) => {
                let told = b"HTTP/1.1 100 Continue\r\n\r\n".to_vec();
                self.state = State::Writing(Outgoing::from(told), Then::Resume(begun));
                Ok(())
            }
            Ok(Step::Request(parsed, body)) => {
                self.call(parsed, body, begun, home);
                Ok(())
            }
            Err(refusal) => {
                log::debug!("{}: {} {}", self.peer, refusal.status, refusal.why);
                self.refuse(refusal.into());
                Ok(())
            }
        }
    }

    fn fill(&mut self, home: &mut Home<'_>) -> io::Result<()> {
        let Self { reader, stream, .. } = self;
        match reader.fill(home.spare, |buffer| stream.read(buffer)) {
            Ok(0) => Err(ErrorKind::UnexpectedEof.into()),
            Ok(_) => Ok(()),
            Err(error) if error.kind() == ErrorKind::Interrupted => Ok(()),
            // Nothing more is on its way to an idle connection, and nothing more is wanted.
            Err(error)
                if error.kind() == ErrorKind::WouldBlock
                    && matches!(self.state, State::Idle)
                    && self.is_last(home) =>
            {
                drop(self.stream.finish());
                Err(ErrorKind::UnexpectedEof.into())
            }
            Err(error) => Err(error),
        }
    }

    /// Has a whole request answered.
    fn call(&mut self, parsed: Parsed, body: Vec<u8>, arrived: Instant, home: &Home<'_>) {
        let Parsed { head, version, keep_alive, .. } = parsed;
        let service = home.service;
        let (number, id) = service.name_request();
        let form = Form { version, keep_alive, is_head: head.method == "HEAD" };
        if self.is_read_closed {
            self.cancellation.cancel();
        } else if self.cancellation.is_cancelled() {
            self.cancellation = Cancellation::default();
        }
        let ticket = || Ticket::new(Arc::clone(home.answers), home.key, number);
        let (peer, cancellation) = (Arc::clone(&self.peer), self.cancellation.clone());
        let request = Request { head, body, peer, id: id.clone(), arrived, cancellation };
        match service.submit(request, ticket) {
            Submitted::Answered(reply) => self.reply(reply, &id, form, home),
            Submitted::Running(call) => {
                self.state = State::Calling(Calling { call, number, id, form });
                self.deadline = arrived + service.limits().call_max() + OVERDUE_GRACE;
            }
        }
    }

    /// Begins to write the answer to the request with this id.
    fn reply(&mut self, reply: Reply, id: &str, form: Form, home: &Home<'_>) {
        let reply = match self.share.resize(reply.body.len()) {
            Ok(()) => reply,
            Err(exceeded) => home.service.handler().unsendable(id, exceeded.setting()).into(),
        };
        let reply = if form.is_head { reply.without_body() } else { reply };
        let keeps = form.keep_alive && !self.is_last(home);
        let then = if keeps { Then::NextRequest } else { Then::Linger };
        self.state = State::Writing(reply.framed(form.version, keeps), then);
        self.deadline = home.now + home.service.limits().request_max();
    }

    /// Begins to write why the connection cannot go on.
    fn refuse(&mut self, reply: Reply) {
        self.reader = Reader::new();
        self.share.give_back();
        self.state = State::Writing(reply.framed(Version::Http11, false), Then::Linger);
        self.deadline = Instant::now() + LINGER;
    }

    fn write(&mut self, home: &Home<'_>) -> io::Result<()> {
        let State::Writing(outgoing, then) = &mut self.state else { return Ok(()) };
        let before = outgoing.written();
        if let Err(error) = outgoing.write_to(&mut self.stream) {
            let taken = outgoing.written() - before;
            self.deadline =
                progress::deadline(self.deadline, home.now, taken, home.service.limits());
            return Err(error);
        }
        match *then {
            Then::Resume(begun) => self.state = State::Reading(begun),
            Then::NextRequest => self.rest(home),
            Then::Linger => {
                self.share.give_back();
                self.stream.finish()?;
                let limits = home.service.limits();
                let longest =
                    if home.service.is_draining() { LINGER } else { limits.request_max() };
                self.state = State::Lingering(Lingering {
                    bytes_left: limits.discard_bytes_max(),
                    until: home.now + longest,
                });
                self.deadline = home.now + LINGER;
            }
        }
        Ok(())
    }

    fn linger(&mut self, home: &Home<'_>) -> io::Result<()> {
        let State::Lingering(lingering) = &mut self.state else { return Ok(()) };
        let count = self.stream.discard()?;
        lingering.bytes_left = lingering.bytes_left.saturating_sub(count);
        self.deadline = lingering.until.min(home.now + LINGER);
        if count == 0 || lingering.bytes_left == 0 {
            Err(ErrorKind::UnexpectedEof.into())
        } else {
            Ok(())
        }
    }
}
