//! The response headers that let a browser hand a response to a page of another origin (the Fetch
//! standard, section 3.3: CORS).
//!
//! They are sent for origins that the operator listed. `access` decides whether the page may call.
//! Without these headers it could call, and would not see the result.

use super::response::Response;
use crate::access::Access;
use crate::request::Request;

/// What such a page may send: a call, with a password.
const METHODS: &str = "POST";
const HEADERS: &str = "Authorization, Content-Type";
/// A browser need not ask again for so long, in seconds.
const ASK_AGAIN_SECONDS: &str = "600";

/// Adds the fields for the page that sent the request, if its origin is listed.
pub(super) fn share(access: &Access, request: &Request, response: Response) -> Response {
    let Some(origin) = request.head.origin.as_deref().filter(|origin| access.lists_origin(origin))
    else {
        return response;
    };
    let response = response
        .with_header("Access-Control-Allow-Origin", origin.to_owned())
        .with_header("Vary", "Origin");
    if request.head.method != "OPTIONS" {
        return response;
    }
    // It may be the browser's question before the call.
    response
        .with_header("Access-Control-Allow-Methods", METHODS)
        .with_header("Access-Control-Allow-Headers", HEADERS)
        .with_header("Access-Control-Max-Age", ASK_AGAIN_SECONDS)
}
