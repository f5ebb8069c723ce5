//! Our load generator, for what wrk cannot do: a new connection for each call, replies that are
//! looked at, and times that are exact also where one call takes a second. A thread for each
//! connection, each waiting for its answer.

use crate::http::{Connection, Reply};
use crate::target::Target;
use crate::tickets::Tickets;
use std::thread;
use std::time::{Duration, Instant};

/// How calls use connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// One connection for all calls.
    Kept,
    /// A new one for each, with a full handshake.
    Full,
    /// A new one for each, which takes up the session of the one before.
    Resumed,
}

/// One who calls.
pub struct Caller<'a> {
    target: &'a Target,
    way: Way,
    tickets: Tickets,
    connection: Option<Connection>,
    full_handshakes: u64,
}

/// A load, and what every answer to it is like.
pub struct Load<'a> {
    /// Who is called.
    pub target: &'a Target,
    /// The document.
    pub document: &'a str,
    /// The length of each body.
    pub body_bytes: usize,
    /// How many call at a time.
    pub connections: usize,
    /// How.
    pub way: Way,
}

impl<'a> Caller<'a> {
    /// Without a connection yet.
    ///
    /// # Errors
    /// There is no TLS to be had.
    pub fn new(target: &'a Target, way: Way) -> Result<Self, String> {
        let tickets = Tickets::new().map_err(|error| error.to_string())?;
        Ok(Self { target, way, tickets, connection: None, full_handshakes: 0 })
    }

    /// Makes one call.
    ///
    /// # Errors
    /// The connection failed, or the answer is none.
    pub fn call(&mut self, request: &[u8]) -> Result<Reply, String> {
        let reply = self.exchange(request).map_err(|error| error.to_string())?;
        if reply.is_last || self.way != Way::Kept {
            self.connection = None;
        }
        Ok(reply)
    }

    fn exchange(&mut self, request: &[u8]) -> std::io::Result<Reply> {
        let connection = match &mut self.connection {
            Some(connection) => connection,
            none => {
                let session = self.tickets.last().filter(|_| self.way == Way::Resumed);
                let new =
                    Connection::open(self.target, self.tickets.connector(), session.as_ref())?;
                self.full_handshakes += u64::from(!new.is_resumed());
                none.insert(new)
            }
        };
        connection.call(request)
    }
}

impl Load<'_> {
    /// Puts the load on for `warm_up` and then for `time`, and gives the calls per second of the
    /// latter.
    ///
    /// # Errors
    /// What failed first: a measurement in which something fails is none.
    pub fn run(&self, warm_up: Duration, time: Duration) -> Result<f64, String> {
        let begin = Instant::now() + warm_up;
        thread::scope(|scope| {
            let callers: Vec<_> = (0..self.connections)
                .map(|_| scope.spawn(|| self.call_until(begin, begin + time)))
                .collect();
            let rates: Result<Vec<f64>, String> = callers
                .into_iter()
                .map(|caller| caller.join().unwrap_or_else(|_| Err("a caller panicked".to_owned())))
                .collect();
            Ok(rates?.iter().sum())
        })
    }

    /// One caller's calls per second. What counts begins with its first call after `begin` and ends
    /// with the one under way at `end`.
    fn call_until(&self, begin: Instant, end: Instant) -> Result<f64, String> {
        let mut caller = Caller::new(self.target, self.way)?;
        let request = self.target.post(self.document, self.way != Way::Kept);
        self.call_while(&mut caller, &request, begin)?;
        let (began, full_before) = (Instant::now(), caller.full_handshakes);
        let calls = self.call_while(&mut caller, &request, end)?;
        let full = caller.full_handshakes - full_before;
        if self.way == Way::Resumed && full > 0 {
            return Err(format!("{full} of {calls} sessions were not resumed"));
        }
        Ok(calls as f64 / began.elapsed().as_secs_f64())
    }

    /// Calls until then, and once at least.
    fn call_while(
        &self,
        caller: &mut Caller<'_>,
        request: &[u8],
        until: Instant,
    ) -> Result<u64, String> {
        let mut calls = 0;
        while calls == 0 || Instant::now() < until {
            let got = caller.call(request)?.body.len();
            if got != self.body_bytes {
                return Err(format!("an answer of {got} bytes instead of {}", self.body_bytes));
            }
            calls += 1;
        }
        Ok(calls)
    }
}
