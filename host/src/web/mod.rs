//! From a complete HTTP request to its response: one function, [`App::respond`], and no I/O.
//!
//! Routes `/` and `/RPC2` to calls and says clearly why anything else is not answered. Knows no sockets and no
//! plugins.

mod admission;
mod content;
#[cfg(any(test, feature = "fuzz"))]
pub(crate) mod fuzz;

pub use crate::access::Way;

use crate::access::{Access, Caller};
use crate::registry::CallContext;
use crate::rpc::Dispatcher;
use crate::xmlrpc::{self, DecodeLimits, Document, Fault, Value, code};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

/// What is answered at the server's paths.
const METHODS: &str = "OPTIONS, POST";
const METHODS_TEXT: &str = "POST an XML-RPC call to /RPC2 or /.";

/// A whole request, as the network side has read and bounded it.
#[derive(Clone)]
pub struct Request {
    /// `POST`, in capitals.
    pub method: String,
    /// The target as sent: a path, perhaps with a query.
    pub target: String,
    /// The `Content-Encoding` header, when there is one.
    pub content_encoding: Option<String>,
    /// The `Content-Type` header, when there is one. Its charset counts; whatever it says else, the body is read as XML.
    pub content_type: Option<String>,
    /// Whether the `Accept-Encoding` header takes gzip.
    pub accepts_gzip: bool,
    /// The body, complete.
    pub body: Vec<u8>,
    /// Where it came from, as text; empty when there is no address.
    pub caller_address: String,
    /// The name that the sender has proven below HTTP, by a certificate; empty when there is none.
    pub caller_name: String,
    /// How it came.
    pub way: Way,
    /// Whether it came through TLS.
    pub is_encrypted: bool,
    /// The host that it wants to reach, perhaps with a port. None in HTTP/1.0 when the sender did not say.
    pub host: Option<String>,
    /// The `Origin` header, when there is one.
    pub origin: Option<String>,
    /// The `Sec-Fetch-Site` header, when there is one.
    pub fetch_site: Option<String>,
    /// The `Authorization` header, when there is one that can be understood.
    pub authorization: Option<String>,
    /// The id under which the log speaks of it.
    pub id: String,
    /// When it arrived: deadlines count from here.
    pub arrived: Instant,
}

/// What goes back. Its framing is the network side's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// The HTTP status: 200 for every XML-RPC fault.
    pub status: u16,
    /// Header fields, `Content-Type` among them.
    pub headers: Vec<(&'static str, &'static str)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Response {
    /// A short text that says why there is no better answer.
    pub fn text(status: u16, why: impl Into<String>) -> Self {
        let mut body = why.into();
        body.push('\n');
        Self { status, headers: vec![("Content-Type", "text/plain; charset=utf-8")], body: body.into_bytes() }
    }

    /// The same with one more header field.
    #[must_use]
    pub fn with_header(mut self, name: &'static str, value: &'static str) -> Self {
        self.headers.push((name, value));
        self
    }

    fn xml(body: Vec<u8>) -> Self {
        Self { status: 200, headers: vec![("Content-Type", "text/xml; charset=utf-8")], body }
    }
}

/// The application: what answers requests.
pub struct App {
    dispatcher: Dispatcher,
    access: Arc<Access>,
    decode_limits: DecodeLimits,
}

impl App {
    /// Answers with this dispatcher, within its limits, whom this lets in.
    pub fn new(dispatcher: Dispatcher, access: Arc<Access>) -> Self {
        let limits = dispatcher.limits();
        let decode_limits = DecodeLimits {
            bytes_max: limits.body_bytes_max,
            depth_max: limits.xml_depth_max,
            values_max: limits.xml_values_max,
            text_bytes_max: limits.body_bytes_max,
            ..DecodeLimits::default()
        };
        Self { dispatcher, access, decode_limits }
    }

    /// Answers one request.
    pub fn respond(&self, request: &Request) -> Response {
        let path = request.target.split(['?', '#']).next().unwrap_or_default();
        if !matches!(path, "/" | "/RPC2" | "*") {
            return Response::text(404, "Not found: XML-RPC calls are answered at /RPC2 and /.");
        }
        match request.method.as_str() {
            "POST" => {}
            // Of a path, or of the server as a whole.
            "OPTIONS" => return Response::text(200, METHODS_TEXT).with_header("Allow", METHODS),
            _ => {
                let why =
                    format!("Method not allowed: an XML-RPC call is a POST with an XML body. {METHODS_TEXT}");
                return Response::text(405, why).with_header("Allow", METHODS);
            }
        }
        let caller = match admission::admit(&self.access, request) {
            Ok(caller) => caller,
            Err(refusal) => return refusal,
        };
        let limits = self.dispatcher.limits();
        match content::decode(&request.body, request.content_encoding.as_deref(), limits.body_bytes_max) {
            Ok(document) => content::encode(self.call(request, &caller, &document), request.accepts_gzip),
            Err(refusal) => refusal,
        }
    }

    /// From the XML of a call to its answer.
    fn call(&self, request: &Request, caller: &Caller, document: &[u8]) -> Response {
        let answer = || self.answer(request, caller, document);
        let answer = catch_unwind(AssertUnwindSafe(answer)).unwrap_or_else(|_| {
            log::error!("request {}: a defect of the server ended this call", request.id);
            let why = format!("internal error; the server's log has it under request {}", request.id);
            Err(Fault::new(code::INTERNAL, why))
        });
        answer.unwrap_or_else(|fault| Response::xml(xmlrpc::encode_fault(&fault)))
    }

    fn answer(&self, request: &Request, caller: &Caller, document: &[u8]) -> Result<Response, Fault> {
        let limits = self.dispatcher.limits();
        let content_type = request.content_type.as_deref().unwrap_or_default();
        let document = Document::from(document).with_content_type(content_type);
        let call = xmlrpc::decode_call(document, &self.decode_limits).inspect_err(|fault| {
            log::debug!("request {} from {}: {fault}", request.id, request.caller_address);
        })?;
        if !caller.permit.allows(&call.method) {
            return Ok(admission::denied(request, &call.method));
        }
        let context = CallContext {
            deadline: request.arrived + limits.call_max(),
            caller_name: caller.name.clone(),
            caller_address: request.caller_address.clone(),
            request_id: request.id.clone(),
        };
        let result = self.dispatcher.call(&call.method, &call.params, &context, &caller.permit);
        log_call(request, &call.method, &result);
        xmlrpc::encode_response(&result?, self.dispatcher.encode_options()).map(Response::xml)
    }
}

fn log_call(request: &Request, method: &str, result: &Result<Value, Fault>) {
    let Request { id, caller_address, arrived, .. } = request;
    let ms = arrived.elapsed().as_millis();
    match result {
        Ok(_) => log::debug!("request {id} from {caller_address}: {method:?} answered in {ms} ms"),
        Err(fault) => log::debug!("request {id} from {caller_address}: {method:?} {fault} in {ms} ms"),
    }
}
