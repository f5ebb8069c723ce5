//! Tests of requests to an application whose methods are plain functions: when they are refused,
//! which thread decodes them, and within which bounds.

use super::*;
use crate::access::{Access, Policy, RuleKeys, Settings};
use crate::arena::Arena;
use crate::cancellation::Cancellation;
use crate::limits::Limits;
use crate::memory::{Little, Memory};
use crate::registry::{Answer, CallContext, Instance, Method, MethodInfo, Promise, Registry};
use crate::request::{Head, Peer, Request};
use crate::rpc::Dispatcher;
use crate::xmlrpc::{Defect, Fault, Items, Value};
use flate2::Compression;
use flate2::write::GzEncoder;
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
    let registry = Registry::default();
    let method = |(index, name): (usize, &str)| Method {
        info: Arc::new(MethodInfo { name: name.to_owned(), ..MethodInfo::default() }),
        instance: Arc::new(Methods),
        index,
        gate: None,
        promise: Arc::new(Promise::new(true)),
    };
    registry.publish(["add", "big", "broken"].into_iter().enumerate().map(method).collect());
    let access = Access::new(Policy::new(settings).unwrap(), 2).unwrap();
    App::new(Dispatcher::new(Arc::new(registry), Limits::default()), Arc::new(access))
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

/// The response that needs no worker.
fn at_once(app: &Arc<App>, request: &Request) -> Option<Response> {
    match app.begin(request.clone()) {
        Begun::Answered(response) => Some(response),
        Begun::Unfinished(_) => None,
    }
}

#[test]
fn callers_that_fit_no_rule_are_refused_before_decoding() {
    let rule = RuleKeys {
        addresses: Some(vec!["10.0.0.0/8".into()]),
        methods: vec!["add".into()],
        ..RuleKeys::default()
    };
    let app = Arc::new(app(&Settings { allow: vec![rule], ..Settings::default() }));
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
        assert_eq!(app.respond(&refused).unwrap(), response);
        let peer = Peer { ip: Some([10, 1, 2, 3].into()), ..Peer::default() };
        let allowed = Request { peer: Arc::new(peer), ..refused };
        assert_eq!(app.respond(&allowed).unwrap().status, permitted, "{coding}");
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
        let Done::Answered(response) = work() else { panic!("nothing is being replaced") };
        assert_eq!(response, app.respond(&request).unwrap());
    }
}

#[test]
fn decoding_stops_at_the_deadline_and_when_the_client_has_gone() {
    let app = app(&Settings::default());
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
        let late = app.respond(&Request { arrived: long_ago, ..request.clone() }).unwrap();
        assert!(text(&late).contains("-32000") && late.status == 200, "{}", text(&late));
        request.cancellation.cancel();
        assert_eq!(app.respond(&request).unwrap(), late, "its client has gone");
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
        let answered = app.respond(request).unwrap();
        assert!(answered.status == 200 && text(&answered).contains("<int>1</int>"), "{number}");
        assert_eq!(memory.taken(), 0);
        // Others take most of it.
        assert!(memory.take(ALL - (256 << 10)));
        let refused = app.respond(request).unwrap();
        assert_eq!(refused.status, 503, "{number}: {}", text(&refused));
        assert!(refused.headers.contains(&("Retry-After", "1".into())));
        assert_eq!(memory.taken(), ALL - (256 << 10));
        assert_eq!(
            app.respond(&self::request(ADD, "")).unwrap().status,
            200,
            "small ones are served"
        );
        memory.give_back(ALL - (256 << 10));
    }
    for too_large in [
        request(gzip(&call("add", &texts, 5_000)), "gzip"),
        request(call("add", "<value/>", 400_000), ""),
        request(format!("<!-- -->{}", call("add", "<value/>", 400_000)), ""),
    ] {
        let answered = app.respond(&too_large).unwrap();
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
    assert_eq!(app.respond(&batch(1)).unwrap().body.len() >> 20, 1);
    let executed = "the call was executed, but too little memory is left for its response";
    let twenty = app.respond(&batch(20)).unwrap();
    let unsent = text(&twenty).matches(executed).count();
    assert_eq!(twenty.status, 200, "status 503 says that nothing was executed");
    assert!(
        unsent < 20 && twenty.body.len() >> 20 == 20 - unsent,
        "each has a result or a fault: {unsent}"
    );
    assert!(memory.take(ALL - (256 << 10)));
    for request in [request(call("big", "", 0), ""), batch(1)] {
        let answered = app.respond(&request).unwrap();
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
        assert_eq!(app.respond(&request).unwrap().status, 200);
    }
    assert_eq!(memory.taken(), ALL - (256 << 10));
}
