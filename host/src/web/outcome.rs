//! What a request comes to: the response to a result, a fault or a defect. Must not know who made
//! the call.

use super::allowance::Allowance;
use super::content;
use super::response::Response;
use crate::request::Request;
use crate::xmlrpc::{self, Fault, code};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// What goes back for a call that was made.
pub(super) fn response(
    request: &Request,
    method: &str,
    document: Result<Vec<u8>, Fault>,
    allowance: &Allowance<'_>,
) -> Response {
    log_call(request, method, document.as_ref().err());
    let accepts_gzip = request.head.accepts_gzip;
    match document {
        Ok(document) => content::encode(Response::xml(document), accepts_gzip, allowance),
        Err(fault) => faulty(request, &fault),
    }
}

/// The response to a call that could not be decoded.
pub(super) fn unread(request: &Request, fault: &Fault, allowance: &Allowance<'_>) -> Response {
    log::debug!("request {} from {}: {fault}", request.id, request.peer.address);
    allowance.refused().unwrap_or_else(|| faulty(request, fault))
}

/// A fault as a response.
fn faulty(request: &Request, fault: &Fault) -> Response {
    let response = Response::xml(xmlrpc::encode_fault(fault));
    content::encode(response, request.head.accepts_gzip, &xmlrpc::Unlimited)
}

/// Keeps a defect of the server's own to the request that shows it.
pub(super) fn guarded<T>(
    request: &Request,
    answer: impl FnOnce() -> Result<T, Response>,
) -> Result<T, Response> {
    catch_unwind(AssertUnwindSafe(answer)).unwrap_or_else(|_| {
        log::error!("request {}: a defect of the server ended this call", request.id);
        let why = format!("internal error; the server's log has it under request {}", request.id);
        Err(faulty(request, &Fault::new(code::INTERNAL, why)))
    })
}

fn log_call(request: &Request, method: &str, fault: Option<&Fault>) {
    if !log::log_enabled!(log::Level::Debug) {
        return;
    }
    let Request { id, peer, arrived, .. } = request;
    let (from, ms) = (&peer.address, arrived.elapsed().as_millis());
    match fault {
        None => log::debug!("request {id} from {from}: {method:?} answered in {ms} ms"),
        Some(fault) => log::debug!("request {id} from {from}: {method:?} {fault} in {ms} ms"),
    }
}
