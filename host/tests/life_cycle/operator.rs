//! What operators see and ask for: counters, plugins out of service, reloads and new
//! configurations.

use crate::scene::{PATIENCE, Scene, context};
use hotcall::plugin::{FileState, Trust, Watch};
use hotcall::registry::CallContext;
use hotcall::xmlrpc::{Fault, Value, code};
use std::collections::BTreeMap;
use std::fs;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant, SystemTime};

fn scene(panics_max: u32) -> Scene {
    let mut scene = Scene::new();
    scene.limits.panics_max = panics_max;
    // Neither a new look nor a pause can be what ends a row of panics.
    scene.limits.panics_ms_max = 3_600_000;
    (scene.limits.panic_retry_ms, scene.limits.panic_retry_ms_max) = (3_600_000, 3_600_000);
    fs::rename(scene.build("answers.c", &[]), scene.file("answers.so")).unwrap();
    fs::copy(scene.life("p", "m", 1), scene.file("p.so")).unwrap();
    scene.start(Watch::Auto);
    scene
}

fn reload(scene: &Scene, plugin: &str) -> Result<Value, Fault> {
    scene.running().control().reload(plugin, Instant::now() + PATIENCE)
}

/// Panicking calls, each by a new caller.
fn panics(scene: &Scene, count: u32) {
    static CALLER_NEXT: AtomicU32 = AtomicU32::new(0);
    for _ in 0..count {
        let caller = CALLER_NEXT.fetch_add(1, Ordering::Relaxed);
        let context = CallContext { caller_name: format!("caller {caller}").into(), ..context() };
        let fault = scene.call_as("panic_", &[], &context).unwrap_err();
        assert_eq!(fault.code, code::PLUGIN_PANICKED);
        assert!(fault.message.contains("panicked;"), "it entered the plugin: {fault}");
    }
}

fn is_out_of_service(scene: &Scene) -> bool {
    let fault = scene.call("align_", &[]).err();
    fault.is_some_and(|fault| {
        fault.code == code::PLUGIN_PANICKED && fault.message.contains("out of service")
    })
}

#[test]
fn panics_in_a_row_take_a_plugin_out_of_service_and_no_other() {
    let scene = scene(3);
    panics(&scene, 2);
    assert_eq!(scene.call("align_", &[]), Ok(Value::Int(1)), "one that works ends the row");
    panics(&scene, 2);
    assert_eq!(scene.call("fault_", &[]).unwrap_err().code, 42, "and so does one that says no");
    panics(&scene, 3);
    assert_eq!(
        scene.call("align_", &[]),
        Ok(Value::Int(1)),
        "new callers do not take it from known ones"
    );
    panics(&scene, 2);
    assert!(
        scene.call("panic_", &[]).unwrap_err().message.contains("panicked;"),
        "a known one's panic counts"
    );
    assert!(is_out_of_service(&scene));
    let status = scene.status_of("answers.so").unwrap();
    assert_eq!((status.state, status.generation), (FileState::Poisoned, Some(1)));
    assert_eq!((status.calls, status.faults), (13, 11), "what did not enter it is not counted");
    assert!(status.last_error.unwrap().contains("out of service: its calls panicked, 3 in a row"));
    assert!(status.retry_at.is_some_and(|at| at > SystemTime::now() + Duration::from_secs(3_000)));
    assert_eq!(scene.answer("m"), Some(1));
    assert_eq!(scene.status_of("p.so").unwrap().state, FileState::Serving);
}

#[test]
fn one_caller_is_refused_before_the_plugin_is_out_of_service() {
    let scene = scene(3);
    for _ in 0..2 {
        let fault = scene.call("panic_", &[]).unwrap_err();
        assert!(fault.message.contains("panicked;"), "it entered the plugin: {fault}");
    }
    for method in ["panic_", "align_"] {
        let fault = scene.call(method, &[]).unwrap_err();
        assert_eq!(fault.code, code::PLUGIN_PANICKED);
        assert!(
            fault.message.contains("was not called: 2 calls of this caller panicked in a row"),
            "{fault}"
        );
        assert!(fault.message.contains("try again in 3600 s"), "{fault}");
    }
    assert_eq!(scene.answer("m"), Some(1), "of another plugin");
    let other = CallContext { caller_name: "bert".into(), ..context() };
    assert_eq!(scene.call_as("align_", &[], &other), Ok(Value::Int(1)));
    let status = scene.status_of("answers.so").unwrap();
    assert_eq!((status.state, status.callers_refused), (FileState::Serving, 1));
    assert_eq!((status.calls, status.faults), (3, 2), "what did not enter it is not counted");
    reload(&scene, "answers").unwrap();
    assert_eq!(scene.call("align_", &[]), Ok(Value::Int(1)), "a new generation begins from none");
}

#[test]
fn a_call_that_works_puts_it_back_into_service() {
    let mut scene = Scene::new();
    scene.limits.panics_max = 3;
    (scene.limits.panic_retry_ms, scene.limits.panic_retry_ms_max) = (2_000, 2_000);
    fs::rename(scene.build("answers.c", &[]), scene.file("answers.so")).unwrap();
    scene.start(Watch::Off);
    panics(&scene, 3);
    assert!(is_out_of_service(&scene));
    scene.until("one is tried", || scene.call("align_", &[]).is_ok());
    let status = scene.status_of("answers.so").unwrap();
    assert_eq!(
        (status.state, status.last_error, status.retry_at),
        (FileState::Serving, None, None)
    );
}

#[test]
fn a_new_content_or_a_reload_puts_it_back_into_service() {
    let scene = scene(1);
    panics(&scene, 1);
    assert!(is_out_of_service(&scene));
    // The same content is nothing new.
    fs::copy(scene.file("answers.so"), scene.root.path().join("same.so")).unwrap();
    fs::rename(scene.root.path().join("same.so"), scene.file("answers.so")).unwrap();
    fs::copy(scene.life("p", "m", 2), scene.file("p.so")).unwrap();
    scene.until_answer("m", Some(2));
    assert!(is_out_of_service(&scene));

    let plugin = reload(&scene, "answers").unwrap();
    assert_eq!(plugin.get("state"), Some(&Value::from("serving")));
    assert_eq!(plugin.get("calls"), Some(&Value::Int(0)));
    assert_eq!(scene.call("align_", &[]), Ok(Value::Int(1)));

    panics(&scene, 1);
    // A byte after an ELF file's end means nothing to it, and makes it another content.
    let mut bytes = fs::read(scene.file("answers.so")).unwrap();
    bytes.push(0);
    fs::write(scene.file("answers.so"), bytes).unwrap();
    scene.until("the new content serves", || !is_out_of_service(&scene));
}

#[test]
fn a_reload_makes_a_generation_of_the_present_content_and_hands_the_state_over() {
    let mut scene = Scene::new();
    let closed = scene.root.path().join("closed");
    let path = Value::from(closed.to_str().unwrap());
    scene.settings.insert("state".into(), Value::Struct(vec![("closed".into(), path)]));
    fs::rename(scene.build("state.c", &["VERSION=1"]), scene.file("state.so")).unwrap();
    // Nothing is looked at unless asked.
    scene.start(Watch::Off);
    assert_eq!(scene.call("add", &[Value::Int(5)]), Ok(Value::Int(5)));
    for generation in 2..5 {
        let loaded_at = || scene.status_of("state.so").unwrap().loaded_at.unwrap();
        let before = loaded_at();
        let plugin = reload(&scene, "state").unwrap();
        assert_eq!(plugin.get("generation"), Some(&Value::Int(generation)));
        assert_eq!(plugin.get("kept_generations"), Some(&Value::Int(generation - 1)));
        assert_eq!(scene.answer("get"), Some(5));
        assert_ne!(loaded_at(), before);
    }
    let status = scene.status_of("state.so").unwrap();
    assert!(status.kept_generations == 3 && status.kept_bytes > 0, "{status:?}");

    // A state that cannot be saved is said, and the old one goes on.
    fs::write(&closed, "").unwrap();
    let fault = reload(&scene, "state").unwrap_err();
    assert_eq!(fault.code, code::APPLICATION);
    assert!(fault.message.contains("the door is closed"), "{fault}");
    assert_eq!(scene.answer("get"), Some(5));
    fs::remove_file(&closed).unwrap();
    scene.until("it is tried again", || {
        scene.status_of("state.so").unwrap().state == FileState::Serving
    });
}

#[test]
fn a_reload_tries_what_was_refused_again() {
    let mut scene = Scene::new();
    fs::copy(scene.life("broken", "m", 1), scene.file("p.so")).unwrap();
    scene.start(Watch::Auto);
    let bad = scene.build("broken.c", &["CREATE_STATUS=HOTCALL_FAULT"]);
    fs::rename(&bad, scene.file("p.so")).unwrap();
    scene.until_state("p.so", FileState::Refused);
    let fault = reload(&scene, "broken").unwrap_err();
    assert_eq!(fault.code, code::APPLICATION);
    assert!(fault.message.contains("failed: the disk is on fire"), "not from memory: {fault}");
    assert_eq!(scene.answer("m"), Some(1));
}

#[test]
fn what_cannot_be_reloaded_is_said() {
    let mut scene = Scene::new();
    scene.limits.removal_ms = 3_600_000;
    fs::copy(scene.life("p", "m", 1), scene.file("p.so")).unwrap();
    scene.start(Watch::Off);
    let fault = reload(&scene, "nobody").unwrap_err();
    assert_eq!(fault.code, code::INVALID_PARAMS);
    assert!(fault.message.contains("\"nobody\""), "{fault}");
    fs::remove_file(scene.file("p.so")).unwrap();
    let fault = reload(&scene, "p").unwrap_err();
    assert_eq!((fault.code, scene.answer("m")), (code::APPLICATION, Some(1)));
    assert!(fault.message.contains("its file is gone"), "{fault}");
    let late = scene.running().control().reload("p", Instant::now()).unwrap_err();
    assert!(late.code == code::DEADLINE || late.code == code::APPLICATION, "{late}");
    let control = scene.running().control();
    scene.stop();
    assert_eq!(control.reload("p", Instant::now() + PATIENCE).unwrap_err().code, code::OVERLOADED);
    assert_eq!(control.plugins(), Value::Array(vec![]));
}

fn start_at(number: i32) -> BTreeMap<String, Value> {
    let settings = Value::Struct(vec![("start".into(), Value::Int(number))]);
    BTreeMap::from([("state".into(), settings)])
}

#[test]
fn a_changed_configuration_makes_a_new_generation_of_its_plugin_alone() {
    let mut scene = Scene::new();
    scene.settings = start_at(1);
    fs::rename(scene.build("state.c", &["VERSION=1", "NO_LOAD"]), scene.file("state.so")).unwrap();
    fs::copy(scene.life("p", "m", 1), scene.file("p.so")).unwrap();
    scene.start(Watch::Off);
    assert_eq!(scene.answer("get"), Some(1));
    let generation = |file| scene.status_of(file).unwrap().generation;
    let other = generation("p.so");

    scene.running().reconfigure(start_at(2), BTreeMap::new(), Trust::default()).unwrap();
    scene.until_answer("get", Some(2));
    // The same once more, with a configuration for a plugin that is not there: nothing is new.
    let mut more = start_at(2);
    more.insert("absent".into(), Value::Struct(vec![]));
    scene.running().reconfigure(more, BTreeMap::new(), Trust::default()).unwrap();
    scene.running().reconfigure(start_at(3), BTreeMap::new(), Trust::default()).unwrap();
    scene.until_answer("get", Some(3));
    // The status is published a moment after the registry.
    scene.until("generation 4", || generation("state.so") == Some(4));
    assert_eq!(generation("p.so"), other);

    // None is another than an empty one only in name.
    scene.running().reconfigure(BTreeMap::new(), BTreeMap::new(), Trust::default()).unwrap();
    scene.until_answer("get", Some(0));
    assert!(
        scene
            .running()
            .reconfigure(
                BTreeMap::from([("p".into(), Value::Int(1))]),
                BTreeMap::new(),
                Trust::default()
            )
            .is_err()
    );
    assert_eq!(scene.answer("m"), Some(1));
}

#[test]
fn a_configuration_that_a_plugin_refuses_leaves_it_as_it_was_and_is_forgiven() {
    let mut scene = Scene::new();
    fs::rename(scene.build("picky.c", &[]), scene.file("picky.so")).unwrap();
    scene.start(Watch::Off);
    let with = |mode: &str| {
        BTreeMap::from([("picky".into(), Value::Struct(vec![("mode".into(), mode.into())]))])
    };
    assert_eq!(scene.call("mode", &[]), Ok(Value::from("")));
    scene.running().reconfigure(with("bad"), BTreeMap::new(), Trust::default()).unwrap();
    let status = scene.until_state("picky.so", FileState::Refused);
    assert!(status.last_error.unwrap().contains("no such mode"));
    assert_eq!((scene.call("mode", &[]), status.generation), (Ok(Value::from("")), Some(1)));
    scene.running().reconfigure(with("good"), BTreeMap::new(), Trust::default()).unwrap();
    scene.until("the good mode", || scene.call("mode", &[]) == Ok(Value::from("good")));
    assert_eq!(scene.until_state("picky.so", FileState::Serving).last_error, None);
}
