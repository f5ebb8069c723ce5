//! The one door from the network to whatever answers requests.

use crate::queue::Place;
use crate::request::{Head, Peer, Request};
use crate::web::{Begun, Response, Work};

/// What answers requests.
pub trait Handler: Send + Sync {
    /// Where one waits for a worker.
    fn place(&self, head: &Head, peer: &Peer) -> Place;

    /// All that is to be done for the answer to one, by a worker.
    fn work(&self, request: Request) -> Work;

    /// Answers one if nothing has to be waited for, else says what is to be done for its answer.
    fn begin(&self, request: Request) -> Begun;

    /// Answers a request that was not answered by its deadline, and whose id is this.
    fn overdue(&self, id: &str) -> Response;

    /// Answers a request whose response is too large for the memory that this setting leaves, and
    /// whose id is this. The request may have been executed.
    fn unsendable(&self, id: &str, setting: &str) -> Response;
}
