//! What becomes of a result on its way from the plugin's memory to the response.

use crate::scene::{Scene, context};
use hotcall::access::{Access, Policy, Settings};
use hotcall::arena;
use hotcall::cancellation::Cancellation;
use hotcall::pause::Pause;
use hotcall::plugin::Watch;
use hotcall::queue::Alone;
use hotcall::registry::Answer;
use hotcall::request::{Head, Peer, Request};
use hotcall::rpc::Dispatcher;
use hotcall::web::{App, Done};
use hotcall::xmlrpc::{EncodeOptions, Fault, Items, Value};
use hotcall::xmlrpc::{encode_call, encode_fault, encode_response};
use std::fs;
use std::sync::Arc;
use std::time::Instant;

const RESPONSE_BYTES_MAX: usize = 100_000;

fn serving(fixture: &str, defines: &[&str]) -> Scene {
    let mut scene = Scene::new();
    scene.limits.response_bytes_max = RESPONSE_BYTES_MAX;
    fs::rename(scene.build(fixture, defines), scene.file("plugin.so")).unwrap();
    scene.start(Watch::Off);
    scene
}

/// The body of the response to a call without parameters.
fn respond(scene: &Scene, method: &str) -> Vec<u8> {
    let dispatcher = Dispatcher::new(Arc::clone(&scene.registry), scene.limits.clone());
    let access = Access::new(Policy::new(&Settings::default()).unwrap(), 2).unwrap();
    let request = Request {
        head: Head { method: "POST".into(), target: "/RPC2".into(), ..Head::default() },
        body: encode_call(method, &[], &EncodeOptions::default()).unwrap(),
        peer: Arc::new(Peer { is_encrypted: true, ..Peer::default() }),
        id: "r-17".into(),
        arrived: Instant::now(),
        cancellation: Cancellation::default(),
    };
    let app = Arc::new(App::new(dispatcher, Arc::new(access)));
    match app.work(request).run(&Alone) {
        Done::Answered(response) => response.body,
        Done::Waiting(..) => panic!("nothing is replaced"),
    }
}

/// The response is a whole fault and nothing else, whatever was written before it was found out.
fn is_fault(scene: &Scene, method: &str, code: i32, message: &str) {
    let body = String::from_utf8(respond(scene, method)).unwrap();
    let fault = String::from_utf8(encode_fault(&Fault::new(code, message))).unwrap();
    assert_eq!(body, fault, "{method}");
}

#[test]
fn a_broken_result_is_an_internal_error_and_counts_as_a_fault() {
    let scene = serving("answers.c", &[]);
    let broken = [
        "tag_",
        "null_",
        "utf8_",
        "endless_",
        "date_",
        "late_",
        "name_",
        // The text that cannot be sent comes first, and the broken one counts.
        "unsendable_and_broken_",
    ];
    for (method, faults) in broken.into_iter().zip(1..) {
        let where_more_is = "the server's log has the details under request r-17";
        let message = format!("internal error in method {method}; {where_more_is}");
        is_fault(&scene, method, -32603, &message);
        let copied = scene.call(method, &[]);
        assert_eq!(copied, Err(Fault::new(-32603, message)), "and when it is copied");
        let status = scene.status_of("plugin.so").unwrap();
        assert_eq!((status.calls, status.faults), (2 * faults, 2 * faults), "{method}");
    }
}

#[test]
fn a_result_past_a_limit_is_too_large() {
    let scene = serving("answers.c", &[]);
    let message = format!("the result of repeated_ is larger than {RESPONSE_BYTES_MAX} bytes");
    is_fault(&scene, "repeated_", -32002, &message);
    let mut small = Scene::new();
    small.limits.xml_values_max = 1_000;
    fs::rename(small.build("answers.c", &[]), small.file("plugin.so")).unwrap();
    small.start(Watch::Off);
    is_fault(&small, "repeated_", -32002, "the result of repeated_ has more than 1000 values");
}

#[test]
fn a_result_that_cannot_be_sent_is_the_plugin_s_error_and_counts_as_a_result() {
    let scene = serving("answers.c", &[]);
    let nan = "the result holds NaN, which XML-RPC cannot carry; send it as a string";
    is_fault(&scene, "nan_", -32500, nan);
    is_fault(
        &scene,
        "control_",
        -32500,
        "the result holds U+0001, which XML cannot carry; send it as base64",
    );
    let status = scene.status_of("plugin.so").unwrap();
    assert_eq!((status.calls, status.faults), (2, 0));
}

#[test]
fn a_value_and_a_name_that_come_again_are_written_again() {
    let scene = serving("answers.c", &[]);
    let member = |number| ("a".to_owned(), Value::Int(number));
    let expected = Value::Array(vec![Value::Struct(vec![member(1), member(2)]); 2]);
    let document = encode_response(&expected, &EncodeOptions::default()).unwrap();
    assert_eq!(respond(&scene, "shared_"), document);
}

#[test]
fn an_instance_is_not_destroyed_before_its_result_is_read() {
    let mut scene = Scene::new();
    let paths = ["lock", "journal"]
        .map(|key| (key.to_owned(), Value::from(scene.root.path().join(key).to_str().unwrap())));
    scene.settings.insert("alone".into(), Value::Struct(paths.into()));
    let built = scene.build("alone.c", &["VERSION=1", "DECLARED"]);
    fs::rename(built, scene.file("plugin.so")).unwrap();
    scene.start(Watch::Off);
    let (snapshot, context) = (scene.registry.snapshot(), context());
    let found = snapshot.get("alone.version").unwrap();
    let gate = found.gate.as_ref().unwrap();
    arena::with(|arena| {
        let answer = found.instance.invoke(found.index, Items::NONE, arena, &context).unwrap();
        gate.close(Pause::begin(), None);
        assert!(matches!(&answer, Answer::InPlace(_)) && !gate.is_drained());
        assert_eq!(answer.into_value(), Ok(Value::Int(1)));
        assert!(gate.is_drained());
    });
    gate.reopen();
}
