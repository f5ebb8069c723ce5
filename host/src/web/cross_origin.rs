//! What lets a browser hand a response to a page of another origin, where the operator has listed that (the Fetch standard, section
//! 3.3: CORS). Whether the page may call is decided elsewhere: without these fields it could, and would not learn what came of it.

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
    let Some(origin) = request.head.origin.as_deref().filter(|origin| access.lists_origin(origin)) else {
        return response;
    };
    let response =
        response.with_header("Access-Control-Allow-Origin", origin.to_owned()).with_header("Vary", "Origin");
    if request.head.method != "OPTIONS" {
        return response;
    }
    // It may be the browser's question before the call.
    response
        .with_header("Access-Control-Allow-Methods", METHODS)
        .with_header("Access-Control-Allow-Headers", HEADERS)
        .with_header("Access-Control-Max-Age", ASK_AGAIN_SECONDS)
}
