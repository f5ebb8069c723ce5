//! Responses of the network side itself, all of them to requests that were not executed.

use super::budget::Exceeded;
use crate::web::Response;

/// What is answered at once when as many calls wait as may.
pub(super) fn overload() -> Response {
    let why = "Overloaded: all workers are busy and the queue is full. Try again in a moment.";
    Response::text(503, why).with_header("Retry-After", "1")
}

/// What is answered when as many calls wait for a plugin that is being replaced as may.
pub(super) fn waiting() -> Response {
    let why = "Overloaded: too many calls wait for a plugin that is being replaced. Try again in a moment.";
    Response::text(503, why).with_header("Retry-After", "1")
}

/// The response to a request whose body exceeds a limit of the memory for bodies.
pub(super) fn crowded(exceeded: Exceeded) -> Response {
    match exceeded {
        Exceeded::All => Response::crowded(),
        Exceeded::Address => {
            let why = "Overloaded: other large requests and responses of your address take its share of \
                       the memory for them (bodies_per_address_percent_max). Try again once they are done.";
            Response::text(503, why).with_header("Retry-After", "1")
        }
    }
}

/// What is answered when the requirements for clients changed while this one shook hands.
pub(super) fn outdated() -> Response {
    let why = "Unavailable: what is asked of clients changed during the TLS handshake. Connect again.";
    Response::text(503, why).with_header("Retry-After", "1")
}

/// What is answered when something within has failed.
pub(super) fn broken(id: &str) -> Response {
    log::error!("request {id}: no answer from within");
    let why = format!("Overloaded: the request could not be answered; the server's log has it under {id}.");
    Response::text(503, why).with_header("Retry-After", "1")
}
