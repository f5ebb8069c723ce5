//! The worker pool: a bounded queue and the threads that answer from it.

use super::{Error, Handler, body};
use crate::limits::Limits;
use crate::web::Response;
use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Instant, SystemTime, UNIX_EPOCH};
use tiny_http::Request;

/// Where listeners put requests. The workers end when the last one is dropped.
#[derive(Clone)]
pub(super) struct Queue {
    jobs: Sender<Job>,
    refused: Sender<Request>,
}

/// A request that waits for a worker.
struct Job {
    request: Request,
    is_local: bool,
    arrived: Instant,
}

/// Requests that wait to be told that the queue is full. Past that, listeners wait.
const REFUSED_LEN_MAX: usize = 64;

impl Queue {
    /// Puts a request in the queue, or has it answered 503 when that is full.
    pub(super) fn put(&self, request: Request, is_local: bool) {
        let full = match self.jobs.try_send(Job { request, is_local, arrived: Instant::now() }) {
            Ok(()) => return,
            Err(TrySendError::Full(job) | TrySendError::Disconnected(job)) => job.request,
        };
        // Telling it may have to read its body, which must not hold up the listener.
        if let Err(error) = self.refused.send(full) {
            drop(error.into_inner().respond(tiny_http::Response::empty(503)));
        }
    }
}

fn overloaded() -> Response {
    let why = "Overloaded: all workers are busy and the queue is full. Try again in a moment.";
    Response::text(503, why).with_header("Retry-After", "1")
}

/// Starts the pool.
pub(super) fn start(
    workers: usize,
    limits: &Limits,
    handler: &Arc<Handler>,
) -> Result<(Queue, Vec<JoinHandle<()>>), Error> {
    let (sender, jobs) = bounded(limits.queue_len_max);
    let (refused, to_refuse) = bounded::<Request>(REFUSED_LEN_MAX);
    let ids = Arc::new(Ids::new());
    let threads = (0..workers.max(1)).map(|number| {
        let worker = Worker {
            jobs: jobs.clone(),
            handler: handler.clone(),
            ids: ids.clone(),
            body_bytes_max: limits.body_bytes_max,
        };
        thread::Builder::new()
            .name(format!("worker-{number}"))
            .spawn(move || worker.run())
            .map_err(Error::Thread)
    });
    let mut threads = threads.collect::<Result<Vec<_>, _>>()?;
    let refuse = move || to_refuse.iter().for_each(|request| body::refuse(request, overloaded()));
    threads.push(thread::Builder::new().name("refuse".into()).spawn(refuse).map_err(Error::Thread)?);
    Ok((Queue { jobs: sender, refused }, threads))
}

struct Worker {
    jobs: Receiver<Job>,
    handler: Arc<Handler>,
    ids: Arc<Ids>,
    body_bytes_max: usize,
}

impl Worker {
    fn run(&self) {
        for job in &self.jobs {
            // A request that breaks its worker must not take the worker away from the others.
            if catch_unwind(AssertUnwindSafe(|| self.answer(job))).is_err() {
                log::error!("a defect of the server ended one request");
            }
        }
    }

    fn answer(&self, Job { mut request, is_local, arrived }: Job) {
        let id = self.ids.next();
        match body::read(&mut request, self.body_bytes_max) {
            Ok(body) => {
                let asked = body::describe(&request, body, is_local, id, arrived);
                body::respond(request, (self.handler)(&asked));
            }
            Err(body::Problem::TooLarge) => {
                let why = format!("Request too large: a body is at most {} bytes.", self.body_bytes_max);
                body::refuse(request, Response::text(413, why));
            }
            Err(body::Problem::Broken(error)) => {
                log::debug!("request {id}: the body did not arrive: {error}");
                body::refuse(request, Response::text(400, format!("The body did not arrive: {error}")));
            }
        }
    }
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
