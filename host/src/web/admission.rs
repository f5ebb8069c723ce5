//! Asks whether a request's sender may call, and puts a refusal into HTTP.

use super::{Request, Response};
use crate::access::{Access, Caller, Visit};
use crate::text::echoed;

/// Lets a request in.
///
/// # Errors
/// The response that says why not.
pub(super) fn admit(access: &Access, request: &Request) -> Result<Caller, Response> {
    let visit = Visit {
        way: request.way,
        host: request.host.as_deref(),
        origin: request.origin.as_deref(),
        fetch_site: request.fetch_site.as_deref(),
        address: request.caller_ip,
        is_encrypted: request.is_encrypted,
        name: &request.caller_name,
        authorization: request.authorization.as_deref(),
    };
    access.admit(&visit).map_err(|refusal| {
        let Request { id, caller_address, .. } = request;
        log::debug!("request {id} from {caller_address}: {} {}", refusal.status, refusal.why);
        let response = Response::text(refusal.status, refusal.why);
        match refusal.header {
            Some((name, value)) => response.with_header(name, value),
            None => response,
        }
    })
}

/// The response to a call that its sender may not make.
pub(super) fn denied(request: &Request, method: &str) -> Response {
    let Request { id, caller_address, .. } = request;
    let shown = echoed(method);
    log::debug!("request {id} from {caller_address}: {shown:?} is denied");
    Response::text(403, format!("Forbidden: this caller may not call {shown:?}."))
}
