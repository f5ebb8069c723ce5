//! Plugins of which no two instances may live at the same time: `alone.c` fails when it meets
//! another one.
//!
//! The first 15 bytes of these tests' names differ. They are the names of their threads, by which
//! the server tells threads that a plugin started from those that call it, and the tests of
//! `retire` share this process.

use crate::scene::{Scene, context, invoke};
use hotcall::pause::{Pause, Resumed};
use hotcall::plugin::{FileState, PluginOptions, ReloadMode, Trust, Watch};
use hotcall::registry::{Inside, Method};
use hotcall::xmlrpc::{Fault, Value, code};
use std::collections::BTreeMap;
use std::fs;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;

/// The files that the plugin's configuration names.
const KEYS: [&str; 7] = ["lock", "journal", "refuses", "refuses_all", "slow", "stuck", "closed"];

/// A scene with version 1 in `alone.so`, built with these defines, that has not started.
fn scene(defines: &[&str]) -> Scene {
    let mut scene = Scene::new();
    let paths = KEYS
        .map(|key| (key.to_owned(), Value::from(scene.root.path().join(key).to_str().unwrap())));
    scene.settings.insert("alone".into(), Value::Struct(paths.into()));
    put(&scene, "alone.so", &[&["VERSION=1"], defines].concat());
    scene
}

/// The same, started, with the number 5 as its state.
fn serving(defines: &[&str]) -> Scene {
    let mut scene = scene(defines);
    scene.start(Watch::Auto);
    assert_eq!(call(&scene, "alone.add", &[Value::Int(5)]), Ok(Value::Int(5)));
    scene
}

/// Replaces a file by a build with these defines, in one step.
fn put(scene: &Scene, file: &str, defines: &[&str]) {
    fs::rename(scene.build("alone.c", defines), scene.file(file)).unwrap();
}

fn says(scene: &Scene, key: &str) {
    fs::write(scene.root.path().join(key), "").unwrap();
}

fn says_no_more(scene: &Scene, key: &str) {
    fs::remove_file(scene.root.path().join(key)).unwrap();
}

/// Calls a method as dispatch does: waits while its gate is closed, and then looks again.
fn call(scene: &Scene, method: &str, params: &[Value]) -> Result<Value, Fault> {
    loop {
        let snapshot = scene.registry.snapshot();
        let found = snapshot
            .get(method)
            .ok_or_else(|| Fault::new(-32601, format!("no method {method}")))?;
        match enter(found) {
            Ok(_inside) => return invoke(found, params, &context()),
            Err(pause) => {
                let (sender, over) = mpsc::channel();
                pause.then(1_000, move |resumed| sender.send(resumed).unwrap());
                assert_eq!(over.recv(), Ok(Resumed::Over));
            }
        }
    }
}

fn enter(method: &Method) -> Result<Option<Inside>, Pause> {
    method.gate.as_ref().map_or(Ok(None), hotcall::registry::Gate::enter)
}

fn version(scene: &Scene) -> Result<Value, Fault> {
    call(scene, "alone.version", &[])
}

fn number(scene: &Scene) -> Result<Value, Fault> {
    call(scene, "alone.add", &[Value::Int(0)])
}

fn until_version(scene: &Scene, wanted: i32) {
    scene.until(&format!("version {wanted} serves"), || version(scene) == Ok(Value::Int(wanted)));
}

fn journal(scene: &Scene) -> String {
    fs::read_to_string(scene.root.path().join("journal")).unwrap().replace('\n', " ")
}

/// A thread with a name of its own: one that has a caller's name and has not called yet would be
/// taken for a plugin's.
fn caller() -> thread::Builder {
    static CALLERS: AtomicUsize = AtomicUsize::new(0);
    thread::Builder::new().name(format!("caller-{}", CALLERS.fetch_add(1, Ordering::Relaxed)))
}

/// Ends callers, also when the test fails.
struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A call that runs until it is told to return.
struct Running<'a> {
    scene: &'a Scene,
    thread: thread::JoinHandle<Result<Value, Fault>>,
}

impl<'a> Running<'a> {
    fn start(scene: &'a Scene) -> Self {
        let path = |name| scene.root.path().join(name).to_str().unwrap().to_owned();
        let params = [Value::from(&*path("entered")), Value::from(&*path("leave"))];
        let snapshot = scene.registry.snapshot();
        let thread = caller().spawn(move || {
            let found = snapshot.get("alone.wait").unwrap();
            let _inside = enter(found).unwrap();
            invoke(found, &params, &context())
        });
        let thread = thread.unwrap();
        scene.until("the call runs", || scene.root.path().join("entered").exists());
        Self { scene, thread }
    }

    fn end(self) -> Result<Value, Fault> {
        says(self.scene, "leave");
        self.thread.join().unwrap()
    }
}

#[test]
fn two_versions_never_meet_and_the_state_goes_along() {
    let scene = serving(&["DECLARED"]);
    for version in 2..=4 {
        put(&scene, "alone.so", &[&format!("VERSION={version}"), "DECLARED"]);
        until_version(&scene, version);
        assert_eq!(number(&scene), Ok(Value::Int(5)));
    }
    let of_one_to_the_next = "save 1 quiesce 1 destroy 1 create 2 load 2 save 2";
    assert!(
        journal(&scene).starts_with(&format!("create 1 {of_one_to_the_next}")),
        "{}",
        journal(&scene)
    );
}

#[test]
fn without_it_they_do_meet() {
    let scene = serving(&[]);
    put(&scene, "alone.so", &["VERSION=2"]);
    let status = scene.until_state("alone.so", FileState::Refused);
    assert!(status.last_error.unwrap().contains("another one has the lock"));
    assert_eq!(status.reload, Some(ReloadMode::Overlap));
}

#[test]
fn what_the_operator_says_comes_before_what_the_plugin_declares() {
    let overlap = PluginOptions { reload: Some(ReloadMode::Overlap), ..PluginOptions::default() };
    let mut scene = scene(&["DECLARED"]);
    scene.options.insert("alone".into(), overlap);
    scene.start(Watch::Auto);
    put(&scene, "alone.so", &["VERSION=2", "DECLARED"]);
    let status = scene.until_state("alone.so", FileState::Refused);
    assert!(status.last_error.unwrap().contains("another one has the lock"));
    // And may change while the server runs, even with a call under way that began before there was
    // a gate.
    let running = Running::start(&scene);
    let exclusive =
        PluginOptions { reload: Some(ReloadMode::Exclusive), ..PluginOptions::default() };
    let options = BTreeMap::from([("alone".to_owned(), exclusive)]);
    scene.running().reconfigure(scene.settings.clone(), options, Trust::default()).unwrap();
    put(&scene, "alone.so", &["VERSION=3"]);
    scene.until_state("alone.so", FileState::Replacing);
    assert_eq!(version(&scene), Ok(Value::Int(1)), "nobody waits before the call has ended");
    assert_eq!(running.end(), Ok(Value::Int(1)));
    until_version(&scene, 3);
    assert_eq!(scene.status_of("alone.so").unwrap().reload, Some(ReloadMode::Exclusive));
}

/// A call that runs while version 2 is put in place, and puts that off.
fn putting_off(scene: &Scene) -> Running<'_> {
    let running = Running::start(scene);
    put(scene, "alone.so", &["VERSION=2", "DECLARED"]);
    let status = scene.until_state("alone.so", FileState::Waiting);
    assert!(status.last_error.unwrap().contains("calls that may be in generation 1 do not end"));
    assert_eq!(version(scene), Ok(Value::Int(1)));
    running
}

#[test]
fn older_calls_that_do_not_end_put_it_off() {
    let mut scene = scene(&["UNDECLARED"]);
    scene.limits.exclusive_ms_max = 100;
    scene.start(Watch::Auto);
    // It began before there was a gate, and keeps its whole snapshot.
    let running = putting_off(&scene);
    // The gate is there at the next attempt, which still waits for that call.
    scene.until_state("alone.so", FileState::Replacing);
    scene.until_state("alone.so", FileState::Waiting);
    assert_eq!(version(&scene), Ok(Value::Int(1)));
    assert_eq!(running.end(), Ok(Value::Int(1)));
    until_version(&scene, 2);
}

#[test]
fn either_version_may_declare_it() {
    for (old, new) in [("DECLARED", "UNDECLARED"), ("UNDECLARED", "DECLARED")] {
        let scene = serving(&[old]);
        put(&scene, "alone.so", &["VERSION=2", new]);
        until_version(&scene, 2);
        assert_eq!(number(&scene), Ok(Value::Int(5)), "{old} {new}");
    }
}

#[test]
fn a_version_that_refuses_leaves_the_old_one_with_its_state() {
    for (define, key, why) in [
        ("PLAIN", Some("refuses"), "create function failed: not today"),
        ("LOAD_STATUS=HOTCALL_FAULT", None, "not to my taste"),
        ("LOAD_STATUS=HOTCALL_PANIC", None, "it panicked"),
    ] {
        let scene = serving(&["DECLARED"]);
        if let Some(key) = key {
            says(&scene, key);
        }
        put(&scene, "alone.so", &["VERSION=2", "DECLARED", define]);
        let status = scene.until_state("alone.so", FileState::Refused);
        assert!(status.last_error.as_ref().unwrap().contains(why), "{status:#?}");
        assert_eq!(
            (version(&scene), number(&scene)),
            (Ok(Value::Int(1)), Ok(Value::Int(5))),
            "{define}"
        );
        // An operator who asks is told, although the old version has another number by now.
        let reloaded = scene.running().control().reload("alone", context().deadline);
        assert!(reloaded.unwrap_err().message.contains(why), "{define}");
        assert_eq!(number(&scene), Ok(Value::Int(5)));
        // It is not tried again and again: each try would make calls wait.
        let tries = journal(&scene).matches("create 2").count();
        assert_eq!(tries, 2);
        scene.look();
        scene.look();
        put(&scene, "alone.so", &["VERSION=3", "DECLARED"]);
        if key.is_some() {
            scene.until_state("alone.so", FileState::Refused);
            says_no_more(&scene, "refuses");
            put(&scene, "alone.so", &["VERSION=4", "DECLARED"]);
        }
        scene.until("the next one serves", || {
            version(&scene).is_ok_and(|version| version != Value::Int(1))
        });
        assert_eq!(journal(&scene).matches("create 2").count(), tries);
        assert_eq!(number(&scene), Ok(Value::Int(5)));
    }
}

#[test]
fn a_state_that_cannot_be_saved_is_not_lost() {
    let scene = serving(&["DECLARED"]);
    says(&scene, "closed");
    put(&scene, "alone.so", &["VERSION=2", "DECLARED"]);
    let status = scene.until_state("alone.so", FileState::Waiting);
    assert!(status.last_error.unwrap().contains("no state today; trying again"));
    assert_eq!((version(&scene), number(&scene)), (Ok(Value::Int(1)), Ok(Value::Int(5))));
    assert!(!journal(&scene).contains("quiesce"), "the old one was not told to end");
    says_no_more(&scene, "closed");
    until_version(&scene, 2);
    assert_eq!(number(&scene), Ok(Value::Int(5)));
}

#[test]
fn calls_that_do_not_end_put_the_reload_off() {
    let mut scene = scene(&["DECLARED"]);
    scene.limits.exclusive_ms_max = 400;
    scene.start(Watch::Auto);
    let running = putting_off(&scene);
    assert_eq!(running.end(), Ok(Value::Int(1)));
    until_version(&scene, 2);
}

#[test]
fn calls_wait_while_the_new_version_is_made_and_none_fails() {
    let scene = serving(&["DECLARED"]);
    let (stop, calls) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|threads| {
        for _ in 0..4 {
            let calls_on = || {
                while !stop.load(Ordering::Relaxed) {
                    assert!(number(&scene).is_ok() && version(&scene).is_ok());
                    calls.fetch_add(1, Ordering::Relaxed);
                }
            };
            caller().spawn_scoped(threads, calls_on).unwrap();
        }
        let _end = End(&stop);
        for version in 2..=20 {
            put(&scene, "alone.so", &[&format!("VERSION={version}"), "DECLARED"]);
            until_version(&scene, version);
        }
    });
    assert!(calls.load(Ordering::Relaxed) > 0);
    assert_eq!(number(&scene), Ok(Value::Int(5)));
}

#[test]
fn a_removed_version_ends_before_another_file_s_begins() {
    let mut scene = scene(&["DECLARED"]);
    scene.limits.removal_ms = 0;
    scene.start(Watch::Auto);
    let running = Running::start(&scene);
    fs::remove_file(scene.file("alone.so")).unwrap();
    scene.until("its methods are gone", || version(&scene).is_err());
    put(&scene, "other.so", &["VERSION=2", "DECLARED"]);
    let status = scene.until_state("other.so", FileState::Waiting);
    assert!(status.last_error.unwrap().contains("waits for the end of generation 1"));
    assert_eq!(running.end(), Ok(Value::Int(1)));
    until_version(&scene, 2);
}

#[test]
fn others_snapshots_do_not_delay_the_end_of_a_removed_version() {
    let mut scene = scene(&["DECLARED"]);
    scene.limits.removal_ms = 0;
    scene.start(Watch::Auto);
    let _of_another_s_call = scene.registry.snapshot();
    fs::remove_file(scene.file("alone.so")).unwrap();
    scene.until("it is destroyed", || journal(&scene).contains("destroy 1"));
    put(&scene, "alone.so", &["VERSION=2", "DECLARED"]);
    until_version(&scene, 2);
}

#[test]
fn a_renamed_file_and_another_of_the_same_plugin_do_not_meet_either() {
    let mut scene = scene(&["DECLARED"]);
    scene.limits.removal_ms = 3_600_000;
    scene.start(Watch::Auto);
    put(&scene, "second.so", &["VERSION=2", "DECLARED"]);
    scene.until_state("second.so", FileState::Conflicting);
    fs::rename(scene.file("alone.so"), scene.root.path().join("gone.so")).unwrap();
    until_version(&scene, 2);
    assert!(scene.status_of("alone.so").is_none(), "its place is taken");
}

#[test]
fn a_changed_configuration_replaces_it_by_itself() {
    let mut scene = serving(&["DECLARED"]);
    let Some(Value::Struct(members)) = scene.settings.get_mut("alone") else { panic!() };
    members.push(("more".into(), Value::Int(1)));
    let settings = scene.settings.clone();
    scene.running().reconfigure(settings, BTreeMap::new(), Trust::default()).unwrap();
    scene.until("it is made again", || journal(&scene).matches("create 1").count() == 2);
    assert_eq!(number(&scene), Ok(Value::Int(5)));
}

#[test]
fn a_destroy_that_does_not_return_keeps_the_next_one_from_being_made() {
    let mut scene = scene(&["DECLARED"]);
    scene.limits.exclusive_ms_max = 300;
    scene.start(Watch::Auto);
    says(&scene, "stuck");
    put(&scene, "alone.so", &["VERSION=2", "DECLARED"]);
    scene.until("calls are answered again", || version(&scene).is_err());
    assert_eq!(version(&scene).unwrap_err().code, code::OVERLOADED);
    scene.until("operators are told", || {
        let status = scene.status_of("alone.so").unwrap();
        status
            .last_error
            .is_some_and(|why| why.contains("destroy of generation 1 has not returned"))
    });
    assert!(!journal(&scene).contains("create 2"));
    says_no_more(&scene, "stuck");
    until_version(&scene, 2);
    assert_eq!(scene.status_of("alone.so").unwrap().last_error, None);
}

#[test]
fn when_neither_version_can_be_made_the_old_one_is_tried_again() {
    let mut scene = scene(&["DECLARED"]);
    scene.limits.exclusive_ms_max = 300;
    scene.start(Watch::Auto);
    assert_eq!(call(&scene, "alone.add", &[Value::Int(5)]), Ok(Value::Int(5)));
    says(&scene, "refuses_all");
    put(&scene, "alone.so", &["VERSION=2", "DECLARED"]);
    scene.until("calls are answered again", || version(&scene).is_err());
    assert_eq!(version(&scene).unwrap_err().code, code::OVERLOADED);
    let why = scene.status_of("alone.so").unwrap().last_error.unwrap();
    assert!(why.contains("no version serves") && why.contains("not today"), "{why}");
    says_no_more(&scene, "refuses_all");
    until_version(&scene, 1);
    assert_eq!(number(&scene), Ok(Value::Int(5)), "with its state");
    assert_eq!(scene.until_state("alone.so", FileState::Refused).generation, Some(4));
}

#[test]
fn a_new_content_takes_over_when_no_version_could_be_made() {
    let mut scene = scene(&["DECLARED"]);
    scene.limits.exclusive_ms_max = 300;
    scene.start(Watch::Auto);
    assert_eq!(call(&scene, "alone.add", &[Value::Int(5)]), Ok(Value::Int(5)));
    let first = scene.build("alone.c", &["VERSION=1", "DECLARED"]);
    says(&scene, "refuses_all");
    put(&scene, "alone.so", &["VERSION=2", "DECLARED"]);
    scene.until("calls are answered again", || version(&scene).is_err());
    says_no_more(&scene, "refuses_all");
    says(&scene, "refuses");
    // Also the content that served before, which is what an operator would put back.
    fs::rename(first, scene.file("alone.so")).unwrap();
    scene.until_state("alone.so", FileState::Serving);
    assert_eq!((version(&scene), number(&scene)), (Ok(Value::Int(1)), Ok(Value::Int(5))));
}

#[test]
fn the_trial_s_create_meets_no_instance_and_is_made_all_the_same() {
    let mut scene = scene(&["DECLARED"]);
    scene.keys.probe = true;
    scene.start(Watch::Auto);
    assert_eq!(call(&scene, "alone.add", &[Value::Int(5)]), Ok(Value::Int(5)));
    put(&scene, "alone.so", &["VERSION=2", "DECLARED"]);
    until_version(&scene, 2);
    let first = "create 1 quiesce 1 destroy 1 create 1";
    let next = "save 1 quiesce 1 destroy 1 create 2 quiesce 2 destroy 2 create 2 load 2";
    assert!(journal(&scene).starts_with(&format!("{first} {next}")), "{}", journal(&scene));
    // What would take the server along ends a child process, and the old version goes on.
    put(&scene, "alone.so", &["VERSION=3", "DECLARED", "CRASHES"]);
    let status = scene.until_state("alone.so", FileState::Refused);
    assert!(status.last_error.unwrap().contains("crashed (SIGABRT) in create"));
    assert_eq!((version(&scene), number(&scene)), (Ok(Value::Int(2)), Ok(Value::Int(5))));
}

#[test]
fn the_end_of_the_server_is_the_end_of_each_instance_once() {
    let mut scene = serving(&["DECLARED"]);
    scene.stop();
    assert_eq!(journal(&scene), "create 1 quiesce 1 destroy 1 ");

    let mut scene = serving(&["DECLARED"]);
    let running = Running::start(&scene);
    put(&scene, "alone.so", &["VERSION=2", "DECLARED"]);
    scene.until_state("alone.so", FileState::Replacing);
    assert_eq!(running.end(), Ok(Value::Int(1)));
    scene.stop();
    let journal = journal(&scene);
    for what in ["destroy 1", "quiesce 1"] {
        assert_eq!(journal.matches(what).count(), 1, "{journal}");
    }
    assert_eq!(
        journal.matches("create 2").count(),
        journal.matches("destroy 2").count(),
        "{journal}"
    );
}

#[test]
fn a_file_that_changes_while_it_is_replaced_is_taken_afterwards() {
    let scene = serving(&["DECLARED"]);
    let running = Running::start(&scene);
    put(&scene, "alone.so", &["VERSION=2", "DECLARED"]);
    scene.until_state("alone.so", FileState::Replacing);
    put(&scene, "alone.so", &["VERSION=3", "DECLARED"]);
    scene.until("the next one waits for its turn", || {
        scene.status_of("alone.so").is_some_and(|status| status.state != FileState::Replacing)
    });
    assert_eq!(running.end(), Ok(Value::Int(1)));
    until_version(&scene, 3);
    assert_eq!(number(&scene), Ok(Value::Int(5)));
}
