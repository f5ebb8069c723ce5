//! The application: turns a request into a response. [`Work::run`] goes all the way.
//!
//! [`App::begin`] runs on the reactor that read the request, as far as nothing takes long. It
//! decodes only small, uncompressed documents that the fast decoder takes. A worker does
//! everything else.

use super::allowance::{Allowance, Kept};
use super::outcome::{guarded, response, unread};
use super::response::Response;
use super::{admission, content, cross_origin};
use crate::access::{Access, Caller};
use crate::arena;
use crate::memory::{self, Memory};
use crate::pause::Pause;
use crate::queue::{Client, Key, Place, Turn};
use crate::registry::{Answer, CallContext};
use crate::request::{Head, Peer, Request};
use crate::rpc::{Dispatcher, Invocation, queue_of};
use crate::xmlrpc::{
    self, BorrowedCall, Call, DecodeLimits, Document, Fault, Store, Unwritten, code,
};
use smol_str::SmolStr;
use std::sync::Arc;

/// What is answered at the server's paths.
const METHODS: &str = "OPTIONS, POST";
const METHODS_TEXT: &str = "POST an XML-RPC call to /RPC2 or /.";

/// How far [`App::begin`] came.
pub enum Begun {
    /// To the end.
    Answered(Response),
    /// Up to work that may take long, which a worker does for the answer.
    Unfinished(Box<Work>),
}

/// What is to be done for an answer.
pub struct Work {
    /// Where it waits for a worker.
    pub place: Place,
    app: Arc<App>,
    request: Request,
    stage: Stage,
}

/// What came of [`Work`].
pub enum Done {
    /// The answer.
    Answered(Response),
    /// Nothing was executed: do this in its turn, once the pause is over if there is one.
    Waiting(Option<Pause>, Box<Work>),
}

/// How far a request is.
enum Stage {
    /// It is to be judged who sent it.
    Arrived,
    /// It is to be decoded.
    Admitted(Caller),
    /// It is to be made, and is in memory.
    Decoded(Caller, Call, Option<Kept>),
}

/// Why a request is not answered yet. Nothing was executed.
struct Wait {
    place: Place,
    stage: Stage,
    pause: Option<Pause>,
}

/// Why a call does not run.
enum Unready {
    /// It has to wait for its turn in this queue.
    Turn(Key),
    /// Its plugin is being replaced. Then it waits in this queue.
    Pause(Key, Pause),
}

impl Wait {
    fn for_turn(key: Key, stage: Stage, request: &Request) -> Box<Self> {
        Box::new(Self { place: place(key, &stage, request), stage, pause: None })
    }
}

impl Work {
    /// Does it.
    pub fn run(self, turn: &dyn Turn) -> Done {
        let Self { app, request, stage, .. } = self;
        match app.go_on(&request, stage, turn) {
            Ok(response) => Done::Answered(response),
            Err(wait) => {
                let Wait { place, stage, pause } = *wait;
                Done::Waiting(pause, Box::new(Self { place, app, request, stage }))
            }
        }
    }
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

    /// Answers one request if that waits for nothing and takes no time to speak of: a call of a
    /// method that is flagged quick, and has been so far.
    pub fn begin(self: &Arc<Self>, request: Request) -> Begun {
        // A password takes long to verify, by intention.
        if request.head.authorization.is_some() {
            return Begun::Unfinished(Box::new(self.work(request)));
        }
        let answer = || {
            let caller = self.admit(&request)?;
            if takes_long(&request) {
                return Ok(Err((Key::Documents, Stage::Admitted(caller))));
            }
            let allowance = self.allowance(&request);
            Store::with(|store| {
                let Some(call) = self.read_quickly(&request, &caller, store, &allowance)? else {
                    return Ok(Err((Key::Documents, Stage::Admitted(caller))));
                };
                // Who goes on with it has neither this thread's store nor the text in its place.
                let answered = self.run_quickly(&request, &caller, &call, &allowance);
                Ok(answered.map_err(|key| (key, Stage::Decoded(caller, call.into_owned(), None))))
            })
        };
        match guarded(&request, answer) {
            Ok(Ok(response)) | Err(response) => {
                Begun::Answered(cross_origin::share(&self.access, &request, response))
            }
            Ok(Err((key, stage))) => {
                let place = place(key, &stage, &request);
                let app = Arc::clone(self);
                Begun::Unfinished(Box::new(Work { place, app, request, stage }))
            }
        }
    }

    /// Where a request waits for a worker, before anything else is known of it.
    pub fn place(head: &Head, peer: &Peer) -> Place {
        let key = match &*head.method {
            "POST" if head.authorization.is_some() => Key::Passwords,
            "POST" => Key::Documents,
            _ => Key::Server,
        };
        Place { key, client: Client::new(&SmolStr::default(), peer.ip) }
    }

    /// All that is to be done for a request's answer.
    pub fn work(self: &Arc<Self>, request: Request) -> Work {
        let place = Self::place(&request.head, &request.peer);
        Work { place, app: Arc::clone(self), request, stage: Stage::Arrived }
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

    /// Answers a request from this stage on.
    fn go_on(
        &self,
        request: &Request,
        stage: Stage,
        turn: &dyn Turn,
    ) -> Result<Response, Box<Wait>> {
        let answer = || match stage {
            Stage::Arrived => {
                let caller = self.admit(request)?;
                // A verified password, or a request after a pause, is no large document.
                if takes_long(request) && !turn.enter(&Key::Documents) {
                    let stage = Stage::Admitted(caller);
                    return Ok(Err(Wait::for_turn(Key::Documents, stage, request)));
                }
                self.answer(request, caller, turn)
            }
            Stage::Admitted(caller) => self.answer(request, caller, turn),
            Stage::Decoded(caller, call, kept) => {
                let call = call.into();
                let answered = self.run(request, &caller, &call, &self.allowance(request), turn);
                let keep = || Ok((call.into_owned(), kept));
                self.or_wait(request, caller, answered, keep)
            }
        };
        let response = guarded(request, answer).unwrap_or_else(Ok)?;
        Ok(cross_origin::share(&self.access, request, response))
    }

    /// The answer to a call, or where it waits. `keep` gives the call for as long as it waits for
    /// its turn. After a pause it begins again: who may call, and what, is decided by what holds
    /// then.
    fn or_wait(
        &self,
        request: &Request,
        caller: Caller,
        answered: Result<Response, Unready>,
        keep: impl FnOnce() -> Result<(Call, Option<Kept>), Response>,
    ) -> Result<Result<Response, Box<Wait>>, Response> {
        Ok(match answered {
            Ok(response) => Ok(response),
            Err(Unready::Turn(key)) => {
                let (call, kept) = keep()?;
                Err(Wait::for_turn(key, Stage::Decoded(caller, call, kept), request))
            }
            Err(Unready::Pause(key, pause)) => {
                let client = Client::new(&caller.name, request.peer.ip);
                let place = Place { key, client };
                Err(Box::new(Wait { place, stage: Stage::Arrived, pause: Some(pause) }))
            }
        })
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
        caller: Caller,
        turn: &dyn Turn,
    ) -> Result<Result<Response, Box<Wait>>, Response> {
        let allowance = self.allowance(request);
        Store::with(|store| {
            let document = self.document(request, store, &allowance)?;
            let call = xmlrpc::decode_call_in(document, &self.decode_limits, store, &allowance)
                .map_err(|fault| unread(request, &fault, &allowance))?;
            permitted(request, &caller, &call)?;
            let answered = self.run(request, &caller, &call, &allowance, turn);
            self.or_wait(request, caller, answered, || {
                // It is not decoded again, but the store is another call's now.
                let kept = Kept::take(&self.memory, call.owned_bytes())?;
                Ok((call.into_owned(), Some(kept)))
            })
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
        turn: &dyn Turn,
    ) -> Result<Response, Unready> {
        let context = self.context(request, caller);
        let invocation = invocation(call, &context, caller);
        let document = {
            let snapshot = self.dispatcher.registry().snapshot();
            let key = queue_of(&snapshot, &invocation);
            if !turn.enter(&key) {
                return Err(Unready::Turn(key));
            }
            arena::with(|arena| {
                match self.dispatcher.call(&snapshot, invocation, arena, allowance) {
                    Ok(Ok(ref answer)) => Ok(self.written(answer, allowance)),
                    Ok(Err(fault)) => Ok(Err(fault)),
                    Err(pause) => Err(Unready::Pause(key, pause)),
                }
            })?
        };
        Ok(response(request, &call.method, document, allowance))
    }

    /// Answers a call here and now. If it may take longer, returns the queue it is to wait in.
    fn run_quickly(
        &self,
        request: &Request,
        caller: &Caller,
        call: &BorrowedCall<'_>,
        allowance: &Allowance<'_>,
    ) -> Result<Response, Key> {
        let context = self.context(request, caller);
        let invocation = invocation(call, &context, caller);
        let snapshot = self.dispatcher.registry().glance();
        let Some(quick) = self.dispatcher.quick(&snapshot, &invocation) else {
            return Err(queue_of(&snapshot, &invocation));
        };
        let document = arena::with(|arena| match quick.answer(arena) {
            Ok(ref answer) => self.written(answer, allowance),
            Err(fault) => Err(fault),
        });
        let answered = response(request, &call.method, document, allowance);
        Ok(match quick.end() {
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

/// Whether reading a request takes too long for a reactor.
fn takes_long(request: &Request) -> bool {
    const BODY_BYTES_MAX: usize = 16 << 10;
    request.body.len() > BODY_BYTES_MAX || request.head.content_encoding.is_some()
}

fn place(key: Key, stage: &Stage, request: &Request) -> Place {
    let user = match stage {
        Stage::Arrived => &SmolStr::default(),
        Stage::Admitted(caller) | Stage::Decoded(caller, ..) => &caller.name,
    };
    Place { key, client: Client::new(user, request.peer.ip) }
}

fn invocation<'a>(
    call: &'a BorrowedCall<'_>,
    context: &'a CallContext,
    caller: &'a Caller,
) -> Invocation<'a> {
    let params = call.params.items();
    Invocation { method: &call.method, params, context, permit: &caller.permit }
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
