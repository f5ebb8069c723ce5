//! A reactor: one thread that drives many connections as their sockets become ready. An idle
//! connection costs memory only.
//!
//! A reactor waits for nothing but events. Reads and writes do not block, handshakes proceed in
//! steps, and slow work goes to the workers. Other threads reach a reactor through its [`Inbox`].

use super::connection::{Connection, Flow, Home};
use super::heartbeat::ThreadBeat;
use super::service::Service;
use super::timers::Timers;
use crate::net::http1::buffer::Spare;
use crate::net::http1::reply::Reply;
use crate::net::workers::ticket::AnswerTo;
use crate::slice::Slice;
use mio::{Events, Interest, Poll, Token, Waker};
use slab::Slab;
use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// No connection has this key.
const INBOX: Token = Token(usize::MAX);
/// Events taken from the kernel at a time.
const EVENTS_MAX: usize = 1_024;

/// What others tell a reactor.
pub(crate) enum Message {
    /// Take care of it.
    Connection(Box<Connection>),
    /// The answer to a call. None when there will never be one.
    Answer { connection: usize, number: u64, reply: Option<Reply> },
    /// Some connections were let in by what is not asked any more.
    Reassess,
    /// End with the last connection; cut those that are left at this moment.
    Drain(Instant),
}

/// Where others leave messages. Bounded by what it is for: a connection comes once and has one call
/// at a time, and what is asked of clients changes as often as an operator changes it.
pub(crate) struct Inbox {
    messages: Mutex<Vec<Message>>,
    beat: Arc<ThreadBeat>,
}

impl Inbox {
    pub(crate) fn push(&self, message: Message) {
        // Nothing panics under the lock, so a poisoned list is whole.
        let mut messages = self.messages.lock().unwrap_or_else(PoisonError::into_inner);
        let is_first = messages.is_empty();
        messages.push(message);
        drop(messages);
        // The reactor takes all at once, so only the first needs to wake it.
        if is_first && let Err(error) = self.beat.wake() {
            log::error!("a reactor cannot be woken: {error}");
        }
    }

    /// Shows that the reactor's loop makes progress.
    pub(crate) fn beat(&self) -> Arc<ThreadBeat> {
        Arc::clone(&self.beat)
    }

    /// Swaps all messages with an empty list, so that both lists' memory is used again.
    fn take(&self, into: &mut Vec<Message>) {
        std::mem::swap(&mut *self.messages.lock().unwrap_or_else(PoisonError::into_inner), into);
    }
}

impl AnswerTo for Inbox {
    fn answer(&self, connection: usize, number: u64, reply: Option<Reply>) {
        self.push(Message::Answer { connection, number, reply });
    }
}

/// A running reactor.
pub(crate) struct Reactor {
    pub(crate) inbox: Arc<Inbox>,
    /// Whether all connections had ended by themselves.
    thread: JoinHandle<bool>,
}

impl Reactor {
    pub(crate) fn start(number: usize, service: Arc<Service>) -> io::Result<Self> {
        let poll = Poll::new()?;
        let name = format!("reactor-{number}");
        let beat = ThreadBeat::new(name.clone(), Waker::new(poll.registry(), INBOX)?);
        let inbox = Arc::new(Inbox { messages: Mutex::default(), beat });
        let running = Running {
            poll,
            service,
            inbox: Arc::clone(&inbox),
            answers: Arc::clone(&inbox) as Arc<dyn AnswerTo>,
            connections: Slab::new(),
            serials: 0,
            timers: Timers::default(),
            again: VecDeque::new(),
            drain: None,
            spare: Spare::default(),
            now: Instant::now(),
        };
        let thread = thread::Builder::new().name(name).spawn(move || running.run())?;
        Ok(Self { inbox, thread })
    }

    /// Waits for its end after [`Message::Drain`]. `false` when connections were cut.
    pub(crate) fn join(self) -> bool {
        self.thread.join().unwrap_or_else(|_| {
            log::error!("a defect of the server ended a reactor");
            false
        })
    }
}

struct Running {
    poll: Poll,
    service: Arc<Service>,
    inbox: Arc<Inbox>,
    /// The same, for answers.
    answers: Arc<dyn AnswerTo>,
    connections: Slab<Kept>,
    serials: u64,
    timers: Timers,
    /// Those that have more to do.
    again: VecDeque<usize>,
    drain: Option<Instant>,
    spare: Spare,
    /// When this turn began. It stands for every moment of the turn, because reading the clock
    /// costs as much as a part of a call. So a deadline is noticed one turn late at most.
    now: Instant,
}

struct Kept {
    connection: Box<Connection>,
    serial: u64,
    /// It stands in `again`, once.
    is_again: bool,
}

impl Running {
    fn run(mut self) -> bool {
        Slice::Short.choose();
        let mut events = Events::with_capacity(EVENTS_MAX);
        let mut messages = Vec::new();
        loop {
            if let Some(are_answered) = self.over() {
                self.inbox.beat.end();
                return are_answered;
            }
            let polled = self.poll.poll(&mut events, self.patience());
            self.now = Instant::now();
            match polled {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => {
                    log::error!("a reactor cannot wait for events: {error}");
                    return false;
                }
            }
            for event in &events {
                if event.token() == INBOX {
                    continue;
                }
                let key = event.token().0;
                let is_ended = event.is_read_closed() || event.is_error();
                self.with(key, |connection, home| connection.hear(is_ended, home));
            }
            self.inbox.take(&mut messages);
            for message in messages.drain(..) {
                self.hear(message);
            }
            for _ in 0..self.again.len() {
                let Some(key) = self.again.pop_front() else { break };
                if let Some(kept) = self.connections.get_mut(key) {
                    kept.is_again = false;
                }
                self.with(key, Connection::advance);
            }
            self.expire();
            self.inbox.beat.beat();
        }
    }

    /// How long to wait for events.
    fn patience(&self) -> Option<Duration> {
        if !self.again.is_empty() {
            return Some(Duration::ZERO);
        }
        let next = [self.timers.next(), self.drain].into_iter().flatten().min()?;
        Some(next.saturating_duration_since(self.now))
    }

    /// Once it has to end: whether all clients were answered before.
    fn over(&self) -> Option<bool> {
        let deadline = self.drain?;
        if self.connections.is_empty() {
            return Some(true);
        }
        if Instant::now() < deadline {
            return None;
        }
        let mut are_answered = true;
        for (_, kept) in &self.connections {
            are_answered &= kept.connection.cut(&self.service);
        }
        Some(are_answered)
    }

    fn hear(&mut self, message: Message) {
        match message {
            Message::Connection(connection) => self.keep(connection),
            Message::Answer { connection, number, reply } => {
                self.with(connection, |connection, home| connection.answer(number, reply, home));
            }
            Message::Drain(deadline) => {
                self.drain = Some(deadline);
                self.with_each(|connection, home| connection.drain(deadline, home));
            }
            Message::Reassess => self.with_each(Connection::reassess),
        }
    }

    fn with_each(&mut self, step: impl Fn(&mut Connection, &mut Home<'_>) -> Flow) {
        let keys: Vec<usize> = self.connections.iter().map(|(key, _)| key).collect();
        for key in keys {
            self.with(key, &step);
        }
    }

    fn keep(&mut self, mut connection: Box<Connection>) {
        let entry = self.connections.vacant_entry();
        let key = entry.key();
        let interests = Interest::READABLE | Interest::WRITABLE;
        if let Err(error) =
            self.poll.registry().register(connection.stream(), Token(key), interests)
        {
            return log::warn!("a connection is closed: {error}");
        }
        self.serials += 1;
        entry.insert(Kept { connection, serial: self.serials, is_again: false });
        // What came before it was registered makes no event.
        self.with(key, Connection::advance);
    }

    fn expire(&mut self) {
        let now = self.now;
        while let Some((moment, key, serial)) = self.timers.take(now) {
            let Some(kept) = self.connections.get_mut(key).filter(|kept| kept.serial == serial)
            else {
                continue;
            };
            if !kept.connection.alarm.ring(moment) {
                continue;
            }
            if kept.connection.deadline() <= now {
                self.with(key, Connection::expire);
            } else {
                self.with(key, |_, _| Flow::Wait);
            }
        }
    }

    /// Has a connection go on, if it is there still, and does what follows from it.
    fn with(&mut self, key: usize, step: impl FnOnce(&mut Connection, &mut Home<'_>) -> Flow) {
        let Some(Kept { connection, serial, is_again }) = self.connections.get_mut(key) else {
            return;
        };
        let (service, answers, spare) = (&*self.service, &self.answers, &mut self.spare);
        match step(connection, &mut Home { service, answers, key, spare, now: self.now }) {
            Flow::Close => {
                // Dropping it closes it, and the kernel forgets what it was to tell of it.
                self.connections.remove(key);
            }
            flow => {
                let deadline = connection.deadline();
                self.timers.set(&mut connection.alarm, deadline, key, *serial);
                if flow == Flow::Again && !std::mem::replace(is_again, true) {
                    self.again.push_back(key);
                }
            }
        }
    }
}
