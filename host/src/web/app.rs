//! The application: turns a request into a response. [`App::respond`] goes all the way.
//!
//! [`App::begin`] runs on the reactor that read the request, as far as nothing takes long. It
//! decodes only small, uncompressed documents that the fast decoder takes. A worker does
//! everything else.

use super::allowance::Allowance;
use super::response::Response;
use super::{admission, content, cross_origin};
use crate::access::{Access, Caller};
use crate::arena;
use crate::memory::{self, Memory};
use crate::pause::Pause;
use crate::registry::{Answer, CallContext};
use crate::request::Request;
use crate::rpc::{Dispatcher, Invocation};
use crate::xmlrpc::{self, BorrowedCall, DecodeLimits, Document, Fault, Store, Unwritten, code};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// What is answered at the server's paths.
const METHODS: &str = "OPTIONS, POST";
const METHODS_TEXT: &str = "POST an XML-RPC call to /RPC2 or /.";

/// How far [`App::begin`] came.
pub enum Begun {
    /// To the end.
    Answered(Response),
    /// Up to work that may take long, which a worker does for the answer.
    Unfinished(Work),
}

/// What is to be done for an answer.
pub type Work = Box<dyn FnOnce() -> Done + Send>;

/// What came of [`Work`].
pub enum Done {
    /// The answer.
    Answered(Response),
    /// A plugin that the call needs is being replaced. Nothing was executed: do this once the pause
    /// is over.
    Paused(Pause, Work),
}

/// The application: what answers requests.
pub struct App {
    dispatcher: Dispatcher,
    access: Arc<Access>,
    memory: Arc<dyn Memory>,
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
            text_bytes_max: limits.xml_text_bytes_max,
            method_bytes_max: limits.xml_method_bytes_max,
            name_bytes_max: limits.xml_name_bytes_max,
            element_name_bytes_max: limits.xml_element_name_bytes_max,
            attribute_bytes_max: limits.xml_attribute_bytes_max,
            attributes_max: limits.xml_attributes_max,
        };
        Self { dispatcher, access, memory: Arc::new(memory::Unlimited), decode_limits }
    }

    /// The same with a memory budget, for what requests become while they are read and answered.
    #[must_use]
    pub fn with_memory(mut self, memory: Arc<dyn Memory>) -> Self {
        self.memory = memory;
        self
    }

    /// Answers one request, however long that takes.
    ///
    /// # Errors
    /// A plugin that the call needs is being replaced. Nothing was executed: ask again once the
    /// pause is over.
    pub fn respond(&self, request: &Request) -> Result<Response, Pause> {
        self.finish(request, || {
            let caller = self.admit(request)?;
            self.answer(request, &caller)
        })
    }

    /// Answers one request if that waits for nothing and takes no time to speak of: a call of a
    /// method that is flagged quick, and has been so far.
    pub fn begin(self: &Arc<Self>, request: Request) -> Begun {
        /// Reading more takes too long for this.
        const BODY_BYTES_MAX: usize = 16 << 10;
        // A password takes long to verify, by intention.
        if request.head.authorization.is_some() {
            return Begun::Unfinished(Arc::clone(self).work(request));
        }
        let answer = || {
            let caller = self.admit(&request)?;
            if request.body.len() > BODY_BYTES_MAX || request.head.content_encoding.is_some() {
                return Ok(Err((caller, None)));
            }
            let allowance = self.allowance(&request);
            Store::with(|store| {
                let Some(call) = self.read_quickly(&request, &caller, store, &allowance)? else {
                    return Ok(Err((caller, None)));
                };
                // Who goes on with it has neither this thread's store nor the text in its place.
                let answered = self.run_quickly(&request, &caller, &call, &allowance);
                Ok(answered.ok_or_else(|| (caller, Some(call.into_owned()))))
            })
        };
        match guarded(&request, answer) {
            Ok(Ok(response)) | Err(response) => {
                Begun::Answered(cross_origin::share(&self.access, &request, response))
            }
            Ok(Err((caller, call))) => {
                let app = Arc::clone(self);
                Begun::Unfinished(Box::new(move || {
                    let answered = app.finish(&request, || match call {
                        Some(call) => {
                            Ok(app.run(&request, &caller, &call.into(), &app.allowance(&request)))
                        }
                        None => app.answer(&request, &caller),
                    });
                    app.done(request, answered)
                }))
            }
        }
    }

    /// All that is to be done for a request's answer, from the start.
    fn work(self: Arc<Self>, request: Request) -> Work {
        Box::new(move || {
            let answered = self.respond(&request);
            self.done(request, answered)
        })
    }

    /// A call that has to wait begins again: who may call, and what, is decided by what holds then.
    fn done(self: Arc<Self>, request: Request, answered: Result<Response, Pause>) -> Done {
        match answered {
            Ok(response) => Done::Answered(response),
            Err(pause) => Done::Paused(pause, self.work(request)),
        }
    }

    /// Answers a call that was not answered by its deadline, and whose request has this id.
    pub fn overdue(id: &str) -> Response {
        log::debug!("request {id}: answered without the call's result");
        let fault = Fault::new(code::DEADLINE, "the call's deadline passed before it was answered");
        Response::xml(xmlrpc::encode_fault(&fault))
    }

    /// Answers a request whose response is too large for the memory that this setting leaves, and
    /// whose id is this. The method may have run, so the answer is a fault: status 503 invites to
    /// call again.
    pub fn unsendable(id: &str, setting: &str) -> Response {
        log::debug!("request {id}: no memory for its response ({setting})");
        let why = format!(
            "the call was executed, but other large requests and responses take the memory for its \
             response ({setting})"
        );
        Response::xml(xmlrpc::encode_fault(&Fault::new(code::RESPONSE_TOO_LARGE, why)))
    }

    /// What goes out of an answer, or of what there is instead.
    fn finish(
        &self,
        request: &Request,
        answer: impl FnOnce() -> Result<Result<Response, Pause>, Response>,
    ) -> Result<Response, Pause> {
        let response = guarded(request, answer).unwrap_or_else(Ok)?;
        Ok(cross_origin::share(&self.access, request, response))
    }

    /// Decides whether the sender may call at all, before the body is decoded.
    ///
    /// # Errors
    /// The response to send instead of an answer.
    fn admit(&self, request: &Request) -> Result<Caller, Response> {
        route(request)?;
        admission::admit(&self.access, request)
    }

    /// Decodes a call and makes it.
    ///
    /// # Errors
    /// The response to send instead of an answer.
    fn answer(
        &self,
        request: &Request,
        caller: &Caller,
    ) -> Result<Result<Response, Pause>, Response> {
        let allowance = self.allowance(request);
        Store::with(|store| {
            let document = self.document(request, store, &allowance)?;
            let call = xmlrpc::decode_call_in(document, &self.decode_limits, store, &allowance)
                .map_err(|fault| unread(request, &fault, &allowance))?;
            permitted(request, caller, &call)?;
            Ok(self.run(request, caller, &call, &allowance))
        })
    }

    /// Decodes a call, unless that may take long.
    ///
    /// # Errors
    /// The response to send instead of an answer.
    fn read_quickly<'a>(
        &self,
        request: &'a Request,
        caller: &Caller,
        store: &'a Store,
        allowance: &Allowance<'_>,
    ) -> Result<Option<BorrowedCall<'a>>, Response> {
        let document = self.document(request, store, allowance)?;
        let call = xmlrpc::decode_call_quickly(document, &self.decode_limits, store, allowance)
            .map_err(|fault| unread(request, &fault, allowance))?;
        if let Some(call) = &call {
            permitted(request, caller, call)?;
        }
        Ok(call)
    }

    fn document<'a>(
        &self,
        request: &'a Request,
        store: &'a Store,
        allowance: &Allowance<'_>,
    ) -> Result<Document<'a>, Response> {
        let bytes_max = self.dispatcher.limits().body_bytes_max;
        let content = content::decode(
            &request.body,
            request.head.content_encoding.as_deref(),
            bytes_max,
            allowance,
        )
        .map_err(|why| match why {
            content::Undecoded::Refused(response) => response,
            content::Undecoded::Stopped(stop) => unread(request, &stop.into(), allowance),
        })?;
        let content_type = request.head.content_type.as_deref().unwrap_or_default();
        Ok(Document::from(store.document(content)).with_content_type(content_type))
    }

    fn allowance<'a>(&'a self, request: &'a Request) -> Allowance<'a> {
        Allowance::new(request, self.dispatcher.limits().call_max(), &*self.memory)
    }

    fn run(
        &self,
        request: &Request,
        caller: &Caller,
        call: &BorrowedCall<'_>,
        allowance: &Allowance<'_>,
    ) -> Result<Response, Pause> {
        let context = self.context(request, caller);
        let invocation = invocation(call, &context, caller);
        let document = {
            let snapshot = self.dispatcher.registry().snapshot();
            arena::with(|arena| {
                match self.dispatcher.call(&snapshot, invocation, arena, allowance)? {
                    Ok(ref answer) => Ok(self.written(answer, allowance)),
                    Err(fault) => Ok(Err(fault)),
                }
            })?
        };
        Ok(response(request, &call.method, document, allowance))
    }

    fn run_quickly(
        &self,
        request: &Request,
        caller: &Caller,
        call: &BorrowedCall<'_>,
        allowance: &Allowance<'_>,
    ) -> Option<Response> {
        let context = self.context(request, caller);
        let invocation = invocation(call, &context, caller);
        let snapshot = self.dispatcher.registry().glance();
        let quick = self.dispatcher.quick(&snapshot, &invocation)?;
        let document = arena::with(|arena| match quick.answer(arena) {
            Ok(ref answer) => self.written(answer, allowance),
            Err(fault) => Err(fault),
        });
        let answered = response(request, &call.method, document, allowance);
        Some(match quick.end() {
            Ok(()) => answered,
            Err(late) => response(request, &call.method, Err(late), allowance),
        })
    }

    fn context(&self, request: &Request, caller: &Caller) -> CallContext {
        CallContext {
            deadline: request.arrived + self.dispatcher.limits().call_max(),
            caller_name: caller.name.clone(),
            caller_address: request.peer.address.clone(),
            caller_ip: request.peer.ip,
            request_id: request.id.clone(),
            cancellation: request.cancellation.clone(),
        }
    }

    /// Encodes an answer from where it is. It is lent, because moving it costs more than an int's
    /// encoding.
    #[inline]
    fn written(&self, answer: &Answer<'_>, allowance: &Allowance<'_>) -> Result<Vec<u8>, Fault> {
        let options = self.dispatcher.encode_options();
        match xmlrpc::encode_result(answer.tree(), answer.limits(), options, allowance) {
            Ok(document) => Ok(document),
            Err(Unwritten::Defect(defect)) => Err(answer.refuse(defect)),
            Err(Unwritten::Fault(fault)) => Err(fault),
        }
    }
}

fn invocation<'a>(
    call: &'a BorrowedCall<'_>,
    context: &'a CallContext,
    caller: &'a Caller,
) -> Invocation<'a> {
    let params = call.params.items();
    Invocation { method: &call.method, params, context, permit: &caller.permit }
}

/// What goes back for a call that was made.
fn response(
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

/// Refuses a call that its caller may not make.
fn permitted(request: &Request, caller: &Caller, call: &BorrowedCall<'_>) -> Result<(), Response> {
    if caller.permit.allows(&call.method) {
        return Ok(());
    }
    Err(content::encode(
        admission::denied(request, &call.method),
        request.head.accepts_gzip,
        &xmlrpc::Unlimited,
    ))
}

/// The response to a call that could not be decoded.
fn unread(request: &Request, fault: &Fault, allowance: &Allowance<'_>) -> Response {
    log::debug!("request {} from {}: {fault}", request.id, request.peer.address);
    allowance.refused().unwrap_or_else(|| faulty(request, fault))
}

/// Sends what is no call to one of the server's paths away.
fn route(request: &Request) -> Result<(), Response> {
    let is_ours = |path: &str| matches!(path, "/" | "/RPC2" | "*");
    let target = request.head.target.as_str();
    if !is_ours(target) && !target.split(['?', '#']).next().is_some_and(is_ours) {
        return Err(Response::text(404, "Not found: XML-RPC calls are answered at /RPC2 and /."));
    }
    match request.head.method.as_str() {
        "POST" => Ok(()),
        // Of a path, or of the server as a whole.
        "OPTIONS" => Err(Response::text(200, METHODS_TEXT).with_header("Allow", METHODS)),
        _ => {
            let why = format!(
                "Method not allowed: an XML-RPC call is a POST with an XML body. {METHODS_TEXT}"
            );
            Err(Response::text(405, why).with_header("Allow", METHODS))
        }
    }
}

/// A fault as a response.
fn faulty(request: &Request, fault: &Fault) -> Response {
    let response = Response::xml(xmlrpc::encode_fault(fault));
    content::encode(response, request.head.accepts_gzip, &xmlrpc::Unlimited)
}

/// Keeps a defect of the server's own to the request that shows it.
fn guarded<T>(
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
