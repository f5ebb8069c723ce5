//! From a complete HTTP request to its response: one function, [`App::respond`], and no I/O.
//!
//! Routes `/` and `/RPC2` to calls and says clearly why anything else is not answered. Knows no sockets and no
//! plugins.

use crate::registry::CallContext;
use crate::rpc::Dispatcher;
use crate::xmlrpc::{self, DecodeLimits, Document, EncodeOptions, EncodeStyle, Fault, Value, code};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

/// A whole request, as the network side has read and bounded it.
#[derive(Clone, Debug)]
pub struct Request {
    /// `POST`, in capitals.
    pub method: String,
    /// The target as sent: a path, perhaps with a query.
    pub target: String,
    /// The `Content-Encoding` header, when there is one.
    pub content_encoding: Option<String>,
    /// The `Content-Type` header, when there is one. Its charset counts; whatever it says else, the body is read as XML.
    pub content_type: Option<String>,
    /// The body, complete.
    pub body: Vec<u8>,
    /// Who sent it, as the network side has verified; empty when it has not.
    pub caller_name: String,
    /// Where it came from, as text; empty when there is no address.
    pub caller_address: String,
    /// Whether it came through a Unix socket, which only this machine's own users can reach, by its permissions.
    pub is_local: bool,
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
    decode_limits: DecodeLimits,
    encode_options: EncodeOptions,
}

impl App {
    /// Answers with this dispatcher, within its limits.
    pub fn new(dispatcher: Dispatcher) -> Self {
        let limits = dispatcher.limits();
        let decode_limits = DecodeLimits {
            bytes_max: limits.body_bytes_max,
            depth_max: limits.xml_depth_max,
            values_max: limits.xml_values_max,
            text_bytes_max: limits.body_bytes_max,
            ..DecodeLimits::default()
        };
        let encode_options =
            EncodeOptions { bytes_max: limits.response_bytes_max, ..EncodeOptions::default() };
        Self { dispatcher, decode_limits, encode_options }
    }

    /// The same, writing results in this style.
    #[must_use]
    pub fn with_style(mut self, style: EncodeStyle) -> Self {
        self.encode_options.style = style;
        self
    }

    /// Answers one request.
    pub fn respond(&self, request: &Request) -> Response {
        let path = request.target.split(['?', '#']).next().unwrap_or_default();
        if !matches!(path, "/" | "/RPC2") {
            return Response::text(404, "Not found: XML-RPC calls are answered at /RPC2 and /.");
        }
        if request.method != "POST" {
            let why = "Method not allowed: an XML-RPC call is a POST with an XML body.";
            return Response::text(405, why).with_header("Allow", "POST");
        }
        if let Some(coding) = request.content_encoding.as_deref().filter(|coding| !is_identity(coding)) {
            let coding: String = coding.chars().take(CODING_SHOWN_CHARS_MAX).collect();
            let why = format!("Unsupported content coding {coding:?}: send the body as it is.");
            return Response::text(415, why).with_header("Accept-Encoding", "identity");
        }
        Response::xml(self.call(request))
    }

    /// From the XML of a call to the XML of its answer.
    fn call(&self, request: &Request) -> Vec<u8> {
        let answer = catch_unwind(AssertUnwindSafe(|| self.answer(request))).unwrap_or_else(|_| {
            log::error!("request {}: a defect of the server ended this call", request.id);
            let why = format!("internal error; the server's log has it under request {}", request.id);
            Err(Fault::new(code::INTERNAL, why))
        });
        answer.unwrap_or_else(|fault| xmlrpc::encode_fault(&fault))
    }

    fn answer(&self, request: &Request) -> Result<Vec<u8>, Fault> {
        let limits = self.dispatcher.limits();
        let content_type = request.content_type.as_deref().unwrap_or_default();
        let document = Document::from(&request.body).with_content_type(content_type);
        let call = xmlrpc::decode_call(document, &self.decode_limits).inspect_err(|fault| {
            log::debug!("request {} from {}: {fault}", request.id, request.caller_address);
        })?;
        let context = CallContext {
            deadline: request.arrived + limits.call_max(),
            caller_name: request.caller_name.clone(),
            caller_address: request.caller_address.clone(),
            request_id: request.id.clone(),
            // Until there are users, whoever may open the socket's file is an operator.
            is_operator: request.is_local,
        };
        let result = self.dispatcher.call(&call.method, &call.params, &context);
        log_call(request, &call.method, &result);
        xmlrpc::encode_response(&result?, &self.encode_options)
    }
}

/// An unknown content coding is repeated to its sender up to here.
const CODING_SHOWN_CHARS_MAX: usize = 40;

fn is_identity(coding: &str) -> bool {
    coding.trim().is_empty() || coding.trim().eq_ignore_ascii_case("identity")
}

fn log_call(request: &Request, method: &str, result: &Result<Value, Fault>) {
    let Request { id, caller_address, arrived, .. } = request;
    let ms = arrived.elapsed().as_millis();
    match result {
        Ok(_) => log::debug!("request {id} from {caller_address}: {method:?} answered in {ms} ms"),
        Err(fault) => log::debug!("request {id} from {caller_address}: {method:?} {fault} in {ms} ms"),
    }
}
