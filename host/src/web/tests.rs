//! Tests of requests to an application whose methods are plain functions: when they are refused,
//! which thread decodes them, and within which bounds.

use super::*;
use crate::access::{Access, Policy, RuleKeys, Settings};
use crate::arena::Arena;
use crate::cancellation::Cancellation;
use crate::limits::Limits;
use crate::memory::{Little, Memory};
use crate::queue::{Alone, Key, Turn};
use crate::registry::{Answer, CallContext, Instance, Method, MethodInfo, Promise, Registry};
use crate::request::{Head, Peer, Request};
use crate::rpc::Dispatcher;
use crate::xmlrpc::{Defect, Fault, Items, Value};
use flate2::Compression;
use flate2::write::GzEncoder;
use std::cell::Cell;
use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

const ADD: &str = "<methodCall><methodName>add</methodName>\
    <params><param><value><int>2</int></value></param></params></methodCall>";

struct Methods;

impl Instance for Methods {
    fn invoke<'a>(
        &'a self,
        index: usize,
        params: Items<'a>,
        _: &'a Arena,
        _: &'a CallContext,
    ) -> Result<Answer<'a>, Fault> {
        match index {
            0 => Ok(Value::Int(i32::try_from(params.len()).unwrap()).into()),
            1 => Ok(Value::from("x".repeat(1 << 20)).into()),
            _ => panic!("a defect"),
        }
    }

    fn refuse(&self, _: usize, defect: Defect, _: &CallContext) -> Fault {
        panic!("an owned result has {defect}")
    }
}

fn app(settings: &Settings) -> App {
    app_for(Arc::new(Access::new(Policy::new(settings).unwrap(), 2).unwrap()))
}

fn app_for(access: Arc<Access>) -> App {
    let registry = Registry::default();
    let method = |(index, name): (usize, &str)| Method {
        info: Arc::new(MethodInfo { name: name.to_owned(), ..MethodInfo::default() }),
        instance: Arc::new(Methods),
        index,
        queue: Key::Plugin("methods".into()),
        gate: None,
        promise: Arc::new(Promise::new(true)),
    };
    registry.publish(["add", "big", "broken"].into_iter().enumerate().map(method).collect());
    App::new(Dispatcher::new(Arc::new(registry), Limits::default()), access)
}

fn request(body: impl Into<Vec<u8>>, coding: &str) -> Request {
    Request {
        head: Head {
            method: "POST".into(),
            target: "/RPC2".into(),
            content_encoding: (!coding.is_empty()).then(|| coding.into()),
            ..Head::default()
        },
        body: body.into(),
        peer: Arc::new(Peer { is_encrypted: true, ..Peer::default() }),
        id: "test".into(),
        arrived: Instant::now(),
        cancellation: Cancellation::default(),
    }
}

/// The same with this Content-Type.
fn typed(mut request: Request, content_type: &str) -> Request {
    request.head.content_type = Some(content_type.into());
    request
}

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text.as_bytes()).and_then(|()| encoder.finish()).unwrap()
}

/// A call whose parameter is an array of `count` values.
fn call(method: &str, value: &str, count: usize) -> String {
    let values = value.repeat(count);
    let params = format!(
        "<params><param><value><array><data>{values}</data></array></value></param></params>"
    );
    format!("<methodCall><methodName>{method}</methodName>{params}</methodCall>")
}

fn text(response: &Response) -> String {
    String::from_utf8_lossy(&response.body).into_owned()
}

/// The response, however long it takes.
fn respond(app: &Arc<App>, request: &Request) -> Response {
    answered(app.work(request.clone()).run(&Alone))
}

/// The response that needs no worker.
fn at_once(app: &Arc<App>, request: &Request) -> Option<Response> {
    match app.begin(request.clone()) {
        Begun::Answered(response) => Some(response),
        Begun::Unfinished(_) => None,
    }
}

fn add_for_a_network() -> RuleKeys {
    RuleKeys {
        addresses: Some(vec!["10.0.0.0/8".into()]),
        methods: vec!["add".into()],
        ..RuleKeys::default()
    }
}

#[test]
fn callers_that_fit_no_rule_are_refused_before_decoding() {
    let settings = Settings { allow: vec![add_for_a_network()], ..Settings::default() };
    let app = Arc::new(app(&settings));
    let large = call("add", "<value/>", 100_000);
    for (body, coding, permitted) in [
        (ADD.into(), "", 200),
        (call("none", "<value/>", 1).into(), "", 403),
        (b"no XML".to_vec(), "", 200),
        (b"no gzip".to_vec(), "gzip", 400),
        (b"no coding".to_vec(), "none", 415),
        (gzip(&large), "gzip", 200),
        (large.into_bytes(), "", 200),
    ] {
        let refused = request(body, coding);
        let response = at_once(&app, &refused).expect("no worker is needed");
        assert_eq!(response.status, 403);
        assert_eq!(text(&response), "Forbidden: this caller may not call any method.\n");
        assert_eq!(respond(&app, &refused), response);
        let peer = Peer { ip: Some([10, 1, 2, 3].into()), ..Peer::default() };
        let allowed = Request { peer: Arc::new(peer), ..refused };
        assert_eq!(respond(&app, &allowed).status, permitted, "{coding}");
    }
}

#[test]
fn reactors_leave_documents_for_xml_rs_to_workers() {
    let app = Arc::new(app(&Settings::default()));
    assert!(text(&at_once(&app, &request(ADD, "")).unwrap()).contains("<int>1</int>"));
    for document in
        [format!("<!-- -->{ADD}"), ADD.replace("</int>", "</int><!-- -->"), "no XML".to_owned()]
    {
        let request = request(document, "");
        let Begun::Unfinished(work) = app.begin(request.clone()) else {
            panic!("it is read by a reactor")
        };
        assert_eq!(answered(work.run(&Alone)), respond(&app, &request));
    }
}

/// A turn that must wait in one queue, and then nowhere.
struct Once(Key, Cell<bool>);

impl Once {
    fn new(key: Key) -> Self {
        Self(key, Cell::new(false))
    }
}

impl Turn for Once {
    fn enter(&self, key: &Key) -> bool {
        *key != self.0 || self.1.replace(true)
    }
}

fn waiting(done: Done) -> Box<Work> {
    match done {
        Done::Waiting(None, work) => work,
        _ => panic!("it does not wait for its turn"),
    }
}

fn answered(done: Done) -> Response {
    match done {
        Done::Answered(response) => response,
        Done::Waiting(..) => panic!("there is nothing to wait for"),
    }
}

#[test]
fn a_document_is_decoded_once_and_then_waits_for_its_plugin() {
    const ALL: usize = 64 << 20;
    let memory = Arc::new(Little::new(ALL));
    let app = Arc::new(app(&Settings::default()).with_memory(memory.clone()));
    let plugin = Key::Plugin("methods".into());
    let values = "<value><array><data><value>text</value></data></array></value>";
    for coding in ["", "gzip"] {
        let document = call("add", values, 10_000);
        let body = if coding.is_empty() { document.into_bytes() } else { gzip(&document) };
        let request = request(body, coding);
        let Begun::Unfinished(work) = app.begin(request.clone()) else { panic!("it is large") };
        assert_eq!(work.place.key, Key::Documents);
        let waiting = waiting(work.run(&Once::new(plugin.clone())));
        assert_eq!(waiting.place.key, plugin);
        // 20,000 values and 10,000 texts.
        let kept = memory.taken();
        assert!((20_000 * size_of::<Value>()..1 << 20).contains(&kept), "{kept}");
        // Nothing is left for a second decoding, and none is needed.
        assert!(memory.take(ALL - kept));
        assert_eq!(answered(waiting.run(&Alone)).status, 200);
        assert_eq!(memory.taken(), ALL - kept);
        // It waits only if there is memory for that.
        memory.give_back(8 << 20);
        let Begun::Unfinished(work) = app.begin(request) else { panic!("it is large") };
        assert!(memory.take((8 << 20) - (1 << 16)));
        assert_eq!(answered(work.run(&Once::new(plugin.clone()))).status, 503);
        memory.give_back(memory.taken());
    }
}

#[test]
fn a_request_that_waits_to_be_decoded_is_admitted_once() {
    let policy = |settings| Policy::new(&settings).unwrap();
    let access = Arc::new(Access::new(policy(Settings::default()), 2).unwrap());
    let app = Arc::new(app_for(Arc::clone(&access)));
    let work = app.work(request(call("add", "<value/>", 10_000), ""));
    let waiting = waiting(work.run(&Once::new(Key::Documents)));
    assert_eq!(waiting.place.key, Key::Documents);
    // The decision is made, and a password was verified for it.
    access.replace(policy(Settings { allow: vec![add_for_a_network()], ..Settings::default() }));
    assert_eq!(answered(waiting.run(&Alone)).status, 200);
}

#[test]
fn decoding_stops_at_the_deadline_and_when_the_client_has_gone() {
    let app = Arc::new(app(&Settings::default()));
    let document = call("add", "<value/>", 10_000);
    let for_xml_rs = format!("<!-- -->{document}");
    for (body, coding) in [
        (document.clone().into_bytes(), ""),
        (for_xml_rs.clone().into_bytes(), ""),
        (gzip(&for_xml_rs), "gzip"),
        (gzip("").repeat(1_000), "gzip"),
    ] {
        let request = request(body, coding);
        let long_ago = Instant::now().checked_sub(Duration::from_secs(3_600)).unwrap();
        let late = respond(&app, &Request { arrived: long_ago, ..request.clone() });
        assert!(text(&late).contains("-32000") && late.status == 200, "{}", text(&late));
        request.cancellation.cancel();
        assert_eq!(respond(&app, &request), late, "its client has gone");
    }
}

#[test]
fn inflated_and_decoded_requests_count_to_the_budget() {
    const ALL: usize = 8 << 20;
    let memory = Arc::new(Little::new(ALL));
    let app = Arc::new(app(&Settings::default()).with_memory(memory.clone()));
    let texts = format!("<value>{}</value>", "\u{e9}".repeat(1_000));
    let latin1: Vec<u8> = call("add", &texts, 1_000).chars().map(|c| c as u8).collect();
    let requests = [
        request(gzip(&call("add", &texts, 1_000)), "gzip"),
        request(gzip(&format!("<!-- -->{}", call("add", "<value/>", 100_000))), "gzip"),
        request(call("add", "<value/>", 100_000), ""),
        typed(request(latin1, ""), "text/xml; charset=latin1"),
    ];
    for (number, request) in requests.iter().enumerate() {
        let answered = respond(&app, request);
        assert!(answered.status == 200 && text(&answered).contains("<int>1</int>"), "{number}");
        assert_eq!(memory.taken(), 0);
        // Others take most of it.
        assert!(memory.take(ALL - (256 << 10)));
        let refused = respond(&app, request);
        assert_eq!(refused.status, 503, "{number}: {}", text(&refused));
        assert!(refused.headers.contains(&("Retry-After", "1".into())));
        assert_eq!(memory.taken(), ALL - (256 << 10));
        assert_eq!(respond(&app, &self::request(ADD, "")).status, 200, "small ones are served");
        memory.give_back(ALL - (256 << 10));
    }
    for too_large in [
        request(gzip(&call("add", &texts, 5_000)), "gzip"),
        request(call("add", "<value/>", 400_000), ""),
        request(format!("<!-- -->{}", call("add", "<value/>", 400_000)), ""),
    ] {
        let answered = respond(&app, &too_large);
        assert_eq!(answered.status, 413, "there will never be so much: {}", text(&answered));
    }
    assert_eq!(memory.taken(), 0);
}

#[test]
fn responses_count_to_the_budget_and_every_path_gives_back() {
    const ALL: usize = 8 << 20;
    let memory = Arc::new(Little::new(ALL));
    let app = Arc::new(app(&Settings::default()).with_memory(memory.clone()));
    let batch = |count: usize| {
        let entry = "<value><struct><member><name>methodName</name><value>big</value></member>\
                     </struct></value>";
        request(call("system.multicall", entry, count), "")
    };
    assert_eq!(respond(&app, &batch(1)).body.len() >> 20, 1);
    let executed = "the call was executed, but too little memory is left for its response";
    let twenty = respond(&app, &batch(20));
    let unsent = text(&twenty).matches(executed).count();
    assert_eq!(twenty.status, 200, "status 503 says that nothing was executed");
    assert!(
        unsent < 20 && twenty.body.len() >> 20 == 20 - unsent,
        "each has a result or a fault: {unsent}"
    );
    assert!(memory.take(ALL - (256 << 10)));
    for request in [request(call("big", "", 0), ""), batch(1)] {
        let answered = respond(&app, &request);
        let text = text(&answered);
        assert!(
            answered.status == 200 && text.contains("-32002") && text.contains(executed),
            "{text}"
        );
    }
    for request in [
        request(call("broken", "<value/>", 1_000), ""),
        request(call("none", "<value/>", 1_000), ""),
        request(call("add", "<value/>", 1_000) + "junk", ""),
    ] {
        assert_eq!(respond(&app, &request).status, 200);
    }
    assert_eq!(memory.taken(), ALL - (256 << 10));
}
