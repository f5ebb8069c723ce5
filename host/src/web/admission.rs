//! Asks whether a request's sender may call, and puts a refusal into HTTP.

use super::response::Response;
use crate::access::{Access, Caller};
use crate::request::Request;
use crate::text::echoed;

/// Lets a request in.
///
/// # Errors
/// The response that says why not.
pub(super) fn admit(access: &Access, request: &Request) -> Result<Caller, Response> {
    access.admit(&request.head, &request.peer).map_err(|refusal| {
        let Request { id, peer, .. } = request;
        log::debug!("request {id} from {}: {} {}", peer.address, refusal.status, refusal.why);
        let response = Response::text(refusal.status, refusal.why);
        match refusal.header {
            Some((name, value)) => response.with_header(name, value),
            None => response,
        }
    })
}

/// The response to a call that its sender may not make.
pub(super) fn denied(request: &Request, method: &str) -> Response {
    let Request { id, peer, .. } = request;
    let shown = echoed(method);
    log::debug!("request {id} from {}: {shown:?} is denied", peer.address);
    Response::text(403, format!("Forbidden: this caller may not call {shown:?}."))
}
