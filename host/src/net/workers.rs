//! The worker pool: tiny_http's requests go into one bounded queue, and workers answer from it.

use super::upstream::{ADDRESS_FIELD, ID_FIELD, LOCAL_FIELD, NAME_FIELD, PROOF_TARGET, WAITED_FIELD};
use super::{Error, Handler};
use crate::limits::Limits;
use crate::web::{Request, Response};
use base64::prelude::{BASE64_STANDARD, Engine};
use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use std::io::{self, Cursor};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use tiny_http::StatusCode;

/// How long the receiving thread waits for a request before it looks whether it is to stop.
const RECEIVE_WAIT: Duration = Duration::from_millis(50);

/// The threads between tiny_http and the handler.
pub(super) struct Workers {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

/// Starts the pool on a server's requests.
pub(super) fn start(
    server: tiny_http::Server,
    workers: usize,
    limits: &Limits,
    handler: &Arc<Handler>,
) -> Result<Workers, Error> {
    let (queue, jobs) = bounded(limits.queue_len_max.max(1));
    let stop = Arc::new(AtomicBool::new(false));
    let mut pool = Workers { stop: Arc::clone(&stop), threads: Vec::new() };
    for number in 0..workers {
        let (jobs, handler) = (jobs.clone(), Arc::clone(handler));
        pool.spawn(format!("worker-{number}"), move || work(&jobs, &*handler))?;
    }
    pool.spawn("receive".into(), move || receive(&server, &queue, &stop))?;
    Ok(pool)
}

impl Workers {
    fn spawn(&mut self, name: String, work: impl FnOnce() + Send + 'static) -> Result<(), Error> {
        self.threads.push(thread::Builder::new().name(name).spawn(work).map_err(Error::Thread)?);
        Ok(())
    }

    /// Ends the pool when its queue is empty. `false` when calls were still running at the deadline.
    pub(super) fn stop(self, deadline: Instant) -> bool {
        /// How often the threads are asked whether they have ended.
        const POLL: Duration = Duration::from_millis(5);
        self.stop.store(true, Ordering::Release);
        while self.threads.iter().any(|thread| !thread.is_finished()) {
            if Instant::now() >= deadline {
                return false;
            }
            thread::sleep(POLL);
        }
        self.threads.into_iter().all(|thread| thread.join().is_ok())
    }
}

/// Moves requests into the queue. The workers end with this thread, when it drops the queue.
fn receive(server: &tiny_http::Server, queue: &Sender<tiny_http::Request>, stop: &AtomicBool) {
    loop {
        let request = match server.recv_timeout(RECEIVE_WAIT) {
            Ok(Some(request)) => request,
            Ok(None) if stop.load(Ordering::Acquire) => return,
            Ok(None) => continue,
            // Only the accept thread reports errors, and then it has ended: what is connected is served on.
            Err(error) => {
                log::error!("no further connections within: {error}");
                continue;
            }
        };
        if request.url() == PROOF_TARGET {
            respond(request, tiny_http::Response::empty(StatusCode(204)));
            continue;
        }
        match queue.try_send(request) {
            Ok(()) => {}
            Err(TrySendError::Full(request) | TrySendError::Disconnected(request)) => {
                respond(request, framed(Response::text(503, "Overloaded: the queue is full.")));
            }
        }
    }
}

fn work(jobs: &Receiver<tiny_http::Request>, handler: &Handler) {
    for request in jobs {
        // A request that breaks its worker must not take the worker away from the others.
        if catch_unwind(AssertUnwindSafe(|| answer(request, handler))).is_err() {
            log::error!("a defect of the server ended one request");
        }
    }
}

fn answer(mut request: tiny_http::Request, handler: &Handler) {
    let mut body = Vec::with_capacity(request.body_length().unwrap_or(0));
    if let Err(error) = request.as_reader().read_to_end(&mut body) {
        return log::debug!("a request did not come whole: {error}");
    }
    let response = handler(&describe(&request, body));
    respond(request, framed(response));
}

/// The request as the application sees it.
fn describe(request: &tiny_http::Request, body: Vec<u8>) -> Request {
    let field = |name: &'static str| {
        let found = request.headers().iter().find(|header| header.field.equiv(name));
        found.map(|header| header.value.to_string())
    };
    let waited = field(WAITED_FIELD).and_then(|waited| waited.parse().ok()).map(Duration::from_millis);
    let now = Instant::now();
    Request {
        method: request.method().to_string(),
        target: request.url().to_owned(),
        content_encoding: field("Content-Encoding"),
        content_type: field("Content-Type"),
        body,
        caller_name: field(NAME_FIELD).and_then(|name| named(&name)).unwrap_or_default(),
        caller_address: field(ADDRESS_FIELD).unwrap_or_default(),
        is_local: field(LOCAL_FIELD).is_some(),
        id: field(ID_FIELD).unwrap_or_default(),
        arrived: waited.and_then(|waited| now.checked_sub(waited)).unwrap_or(now),
    }
}

/// The name that the gate has written.
fn named(name: &str) -> Option<String> {
    String::from_utf8(BASE64_STANDARD.decode(name).ok()?).ok()
}

fn framed(response: Response) -> tiny_http::Response<Cursor<Vec<u8>>> {
    let headers = response
        .headers
        .iter()
        .chain(&[("Server", concat!("Hotcall/", env!("CARGO_PKG_VERSION")))])
        .filter_map(|(name, value)| tiny_http::Header::from_bytes(*name, *value).ok())
        .collect();
    let length = response.body.len();
    // Always with a Content-Length: some clients cannot read chunks.
    tiny_http::Response::new(response.status.into(), headers, Cursor::new(response.body), Some(length), None)
        .with_chunked_threshold(usize::MAX)
}

fn respond<R: io::Read>(request: tiny_http::Request, response: tiny_http::Response<R>) {
    if let Err(error) = request.respond(response) {
        log::debug!("a response could not be sent: {error}");
    }
}
