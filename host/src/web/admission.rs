//! Asks whether a request's sender may call, and puts a refusal into HTTP.

use super::{Request, Response};
use crate::access::{Access, Visit};

/// Lets a request in.
///
/// # Errors
/// The response that says why not.
pub(super) fn admit(access: &Access, request: &Request) -> Result<(), Response> {
    let visit = Visit {
        way: request.way,
        host: request.host.as_deref(),
        origin: request.origin.as_deref(),
        fetch_site: request.fetch_site.as_deref(),
    };
    access.admit(&visit).map_err(|refusal| {
        let Request { id, caller_address, .. } = request;
        log::debug!("request {id} from {caller_address}: {} {}", refusal.status, refusal.why);
        Response::text(refusal.status, refusal.why)
    })
}
