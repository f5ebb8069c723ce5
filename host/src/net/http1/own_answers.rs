//! Responses of the network side itself, all of them to requests that were not executed.

use crate::queue::Full;
use crate::web::Response;

/// What is answered at once when a request cannot wait.
pub(crate) fn overload(full: &Full) -> Response {
    let why = format!("Overloaded: {full}. Try again in a moment.");
    Response::text(503, why).with_header("Retry-After", "1")
}

/// What is answered when the requirements for clients changed while this one shook hands.
pub(crate) fn outdated() -> Response {
    let why =
        "Unavailable: what is asked of clients changed during the TLS handshake. Connect again.";
    Response::text(503, why).with_header("Retry-After", "1")
}

/// The answer when the relay or a worker has failed.
pub(crate) fn broken(id: &str) -> Response {
    log::error!("request {id}: no answer from within");
    let why = format!(
        "Overloaded: the request could not be answered; the server's log has it under {id}."
    );
    Response::text(503, why).with_header("Retry-After", "1")
}
