//! Carries requests through tiny_http: all that are not plain calls, and every call when the
//! direct lane is off.
//!
//! A few threads, the carriers, write each request to tiny_http and wait for its response. A
//! receiving thread takes each request that tiny_http has read and hands it to the worker pool.
//!
//! A request that waits for an exclusive reload holds neither a carrier nor a worker. Its carrier
//! sends it through tiny_http again when the pause ends.

use super::carried::{self, ID_FIELD};
use super::upstream::{self, PROOF_TARGET, Upstream};
use crate::limits::Limits;
use crate::net::error::Error;
use crate::net::handler::Handler;
use crate::net::http1::own_answers::overload;
use crate::net::workers::call::Call;
use crate::net::workers::job::{Job, Parking};
use crate::net::workers::join::join_all;
use crate::net::workers::pool::Pool;
use crate::net::workers::ticket::Ticket;
use crate::pause::Resumed;
use crate::queue::{Full, Place, Turn};
use crate::request::{Head, Peer, Request};
use crate::web::{Done, Response, Work};
use crossbeam_channel::{Receiver, Sender, unbounded};
use smol_str::SmolStr;
use std::collections::HashMap;
use std::io::{self, Cursor};
use std::mem;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use tiny_http::StatusCode;

/// How long the receiving thread waits for a request before it looks whether it is to stop.
const RECEIVE_WAIT: Duration = Duration::from_millis(50);
/// Beyond a call's own deadline: for the way back.
const ANSWER_GRACE: Duration = Duration::from_secs(1);

/// The entrance: a queue of requests for the carriers.
pub(crate) struct Relay {
    exchanges: Arc<Sender<Exchange>>,
    exchanges_max: usize,
}

/// What one carrier works with.
struct Carrier {
    queue: Receiver<Exchange>,
    /// For exchanges that have to wait. It does not keep the queue open.
    exchanges: Weak<Sender<Exchange>>,
    /// Exchanges that wait for one plugin.
    parked_max: usize,
    upstream: Arc<Upstream>,
    calls: Arc<Calls>,
}

/// Threads that serve the relay.
pub(crate) struct Threads {
    carriers: Vec<JoinHandle<()>>,
    receiver: JoinHandle<()>,
    stop: Arc<AtomicBool>,
}

/// A request, and who waits for its answer.
struct Exchange {
    request: Request,
    call: Arc<Call>,
    ticket: Ticket,
    deadline: Instant,
}

/// The requests that are in the relay, by their ids.
#[derive(Default)]
struct Calls(Mutex<HashMap<SmolStr, Beside>>);

/// What goes beside tiny_http, which carries only bytes.
#[derive(Clone)]
struct Beside {
    call: Arc<Call>,
    peer: Arc<Peer>,
    arrived: Instant,
}

/// A request as tiny_http gives it.
struct Carried {
    request: tiny_http::Request,
    beside: Beside,
    place: Place,
    rest: Rest,
}

/// What is still to be done for a request.
enum Rest {
    /// All: a worker reads its body first.
    Read { head: Box<Head>, id: SmolStr, handler: Arc<dyn Handler> },
    /// What the application left for its next turn.
    Work(Box<Work>),
    /// Nothing.
    None,
}

/// Starts tiny_http behind `carriers` threads. `private` is a directory to which only this server's
/// user may write.
pub(crate) fn start(
    private: &Path,
    carriers: usize,
    limits: &Limits,
    pool: &Pool,
    handler: Arc<dyn Handler>,
) -> Result<(Relay, Threads), Error> {
    let (upstream, server) = Upstream::start(private)?;
    let (upstream, calls, stop) =
        (Arc::new(upstream), Arc::new(Calls::default()), Arc::new(AtomicBool::new(false)));
    let exchanges_max = limits.queue_len_max.max(1);
    // `Relay::submit` bounds it; what has waited for a plugin comes back whatever its length.
    let (exchanges, queue) = unbounded();
    let exchanges = Arc::new(exchanges);
    let receiver = {
        let (calls, pool, stop) = (Arc::clone(&calls), pool.clone(), Arc::clone(&stop));
        let receive = move || receive(&server, &calls, &pool, &handler, &stop);
        thread::Builder::new().name("receive".into()).spawn(receive).map_err(Error::Thread)?
    };
    let mut threads = Threads { carriers: Vec::new(), receiver, stop };
    for number in 0..carriers {
        let carrier = Carrier {
            queue: queue.clone(),
            exchanges: Arc::downgrade(&exchanges),
            parked_max: exchanges_max,
            upstream: Arc::clone(&upstream),
            calls: Arc::clone(&calls),
        };
        let carry = move || carrier.carry();
        let thread = thread::Builder::new()
            .name(format!("relay-{number}"))
            .spawn(carry)
            .map_err(Error::Thread)?;
        threads.carriers.push(thread);
    }
    Ok((Relay { exchanges, exchanges_max }, threads))
}

impl Relay {
    /// Has a request answered through tiny_http.
    pub(crate) fn submit(
        &self,
        request: Request,
        call: Arc<Call>,
        ticket: Ticket,
        deadline: Instant,
    ) {
        if self.exchanges.len() >= self.exchanges_max {
            return ticket.answer(overload(&Full::Relay).into());
        }
        let exchange = Exchange { request, call, ticket, deadline: deadline + ANSWER_GRACE };
        if let Err(unsent) = self.exchanges.send(exchange) {
            unsent.into_inner().ticket.answer(overload(&Full::Relay).into());
        }
    }
}

impl Threads {
    /// Ends them once the [`Relay`] is gone. `false` when some still waited for a response at the
    /// deadline.
    pub(crate) fn stop(self, deadline: Instant) -> bool {
        let are_done = join_all(self.carriers, deadline);
        self.stop.store(true, Ordering::Release);
        join_all(vec![self.receiver], deadline) && are_done
    }
}

impl Calls {
    fn lock(&self) -> MutexGuard<'_, HashMap<SmolStr, Beside>> {
        // Nothing panics under the lock, so a poisoned table is whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Carrier {
    /// Carries one request after the other to tiny_http, over one connection.
    fn carry(&self) {
        let mut connection: Option<UnixStream> = None;
        for exchange in &self.queue {
            let Exchange { request, call, deadline, .. } = &exchange;
            // One that was answered at its deadline must not keep this thread from others.
            let is_wanted = || !call.is_abandoned();
            self.calls.lock().insert(request.id.clone(), exchange.beside());
            let exchanged = is_wanted().then(|| {
                let mut stream = connection.take().map_or_else(|| self.upstream.open(), Ok)?;
                let reply = upstream::exchange(&mut stream, request, *deadline, is_wanted)?;
                connection = Some(stream);
                Ok::<_, io::Error>(reply)
            });
            self.calls.lock().remove(&request.id);
            match (exchanged, call.take_pause()) {
                (Some(Ok(_)), Some(pause)) => {
                    let exchanges = Weak::clone(&self.exchanges);
                    pause
                        .then(self.parked_max, move |resumed| exchange.resume(resumed, &exchanges));
                }
                (Some(Ok(reply)), None) => exchange.ticket.answer(reply),
                // Without an answer the ticket says so.
                (Some(Err(error)), _) if is_wanted() => {
                    log::error!("request {}: no answer from within: {error}", request.id);
                }
                _ => {}
            }
        }
    }
}

impl Exchange {
    fn beside(&self) -> Beside {
        let Request { peer, arrived, .. } = &self.request;
        Beside { call: Arc::clone(&self.call), peer: Arc::clone(peer), arrived: *arrived }
    }

    /// Goes the whole way again: what tiny_http answered was no answer for the client.
    fn resume(self, resumed: Resumed, exchanges: &Weak<Sender<Self>>) {
        match (resumed, exchanges.upgrade()) {
            (Resumed::Over, Some(exchanges)) => drop(exchanges.send(self)),
            (Resumed::Over, None) => {}
            (Resumed::Refused, _) => self.ticket.answer(overload(&Full::Pause).into()),
        }
    }
}

/// Moves requests into the pool.
fn receive(
    server: &tiny_http::Server,
    calls: &Calls,
    pool: &Pool,
    handler: &Arc<dyn Handler>,
    stop: &AtomicBool,
) {
    loop {
        let request = match server.recv_timeout(RECEIVE_WAIT) {
            Ok(Some(request)) => request,
            Ok(None) if stop.load(Ordering::Acquire) => return,
            Ok(None) => continue,
            // Only the accept thread reports errors, and then it has ended: what is connected is
            // served on.
            Err(error) => {
                log::error!("no further connections within: {error}");
                continue;
            }
        };
        // What clients send has an id, so a proof cannot be asked for from outside.
        let id = carried::field(&request, ID_FIELD);
        if id.is_none() && request.url() == PROOF_TARGET {
            respond(request, tiny_http::Response::empty(StatusCode(204)));
            continue;
        }
        let id = id.unwrap_or_default();
        // Without an entry, its carrier has given it up.
        let Some(beside) = calls.lock().get(&id).cloned() else { continue };
        let head = carried::head(&request);
        let place = handler.place(&head, &beside.peer);
        let rest = Rest::Read { head: Box::new(head), id, handler: Arc::clone(handler) };
        pool.submit(Box::new(Carried { request, beside, place, rest }));
    }
}

impl Job for Carried {
    fn call(&self) -> &Arc<Call> {
        &self.beside.call
    }

    fn place(&self) -> &Place {
        &self.place
    }

    /// When the call has to wait for a pause, its carrier sends it again.
    fn run(mut self: Box<Self>, turn: &dyn Turn, parking: &Arc<Parking>) -> bool {
        let work = match self.work() {
            Ok(Some(work)) => work,
            Ok(None) => return false,
            Err(error) => {
                log::debug!("a request did not come whole: {error}");
                return false;
            }
        };
        let (pause, work) = match work.run(turn) {
            Done::Answered(response) => {
                respond(self.request, framed(response));
                return false;
            }
            Done::Waiting(pause, work) => (pause, work),
        };
        let is_left = self.beside.call.leave();
        if pause.is_none() && is_left {
            self.place = work.place.clone();
            self.rest = Rest::Work(work);
            parking.park(None, self);
            return true;
        }
        if let Some(pause) = pause.filter(|_| is_left) {
            self.beside.call.pause(pause);
        }
        respond(self.request, tiny_http::Response::empty(StatusCode(204)));
        is_left
    }

    fn refuse(self: Box<Self>, full: Full) {
        respond(self.request, framed(overload(&full)));
    }
}

impl Carried {
    /// What is to be done now, once.
    fn work(&mut self) -> io::Result<Option<Box<Work>>> {
        Ok(match mem::replace(&mut self.rest, Rest::None) {
            Rest::Read { head, id, handler } => {
                let mut body = Vec::with_capacity(self.request.body_length().unwrap_or(0));
                self.request.as_reader().read_to_end(&mut body)?;
                let Beside { call, peer, arrived } = self.beside.clone();
                let cancellation = call.cancellation.clone();
                let head = *head;
                let request = Request { head, body, peer, id, arrived, cancellation };
                Some(Box::new(handler.work(request)))
            }
            Rest::Work(work) => Some(work),
            Rest::None => None,
        })
    }
}

fn framed(response: Response) -> tiny_http::Response<Cursor<Vec<u8>>> {
    let headers = response
        .headers
        .iter()
        .map(|(name, value)| (*name, &**value))
        .chain([("Server", concat!("Hotcall/", env!("CARGO_PKG_VERSION")))])
        .filter_map(|(name, value)| tiny_http::Header::from_bytes(name, value).ok())
        .collect();
    let length = response.body.len();
    // Always with a Content-Length: some clients cannot read chunks.
    tiny_http::Response::new(
        response.status.into(),
        headers,
        Cursor::new(response.body),
        Some(length),
        None,
    )
    .with_chunked_threshold(usize::MAX)
}

fn respond<R: io::Read>(request: tiny_http::Request, response: tiny_http::Response<R>) {
    if let Err(error) = request.respond(response) {
        log::debug!("a response could not be sent: {error}");
    }
}
