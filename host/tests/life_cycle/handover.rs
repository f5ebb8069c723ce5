//! State on its way from one generation to the next.

use crate::scene::Scene;
use hotcall::plugin::{FileState, PluginStatus, Watch};
use hotcall::xmlrpc::Value;
use std::fs;

/// A scene in which version 1, built with these defines, serves with the number 5.
fn serving(defines: &[&str]) -> Scene {
    let mut scene = Scene::new();
    fs::rename(scene.build("state.c", &[&["VERSION=1"], defines].concat()), scene.file("state.so"))
        .unwrap();
    scene.start(Watch::Auto);
    assert_eq!(scene.call("add", &[Value::Int(5)]), Ok(Value::Int(5)));
    scene
}

/// Replaces the file by a build with these defines, in one step.
fn replace(scene: &Scene, defines: &[&str]) {
    fs::rename(scene.build("state.c", defines), scene.file("state.so")).unwrap();
}

fn refused(scene: &Scene) -> PluginStatus {
    let status = scene.until_state("state.so", FileState::Refused);
    assert_eq!(
        (scene.answer("version"), status.generation),
        (Some(1), Some(1)),
        "the old one goes on"
    );
    status
}

#[test]
fn the_state_outlives_its_generation() {
    let scene = serving(&[]);
    replace(&scene, &["VERSION=2"]);
    scene.until_answer("version", Some(2));
    assert_eq!(scene.answer("get"), Some(5));
    assert_eq!(scene.call("add", &[Value::Int(2)]), Ok(Value::Int(7)));
    replace(&scene, &["VERSION=3"]);
    scene.until_answer("version", Some(3));
    assert_eq!(scene.answer("get"), Some(7));
}

#[test]
fn the_state_follows_a_plugin_to_a_file_of_another_name() {
    let mut scene = Scene::new();
    scene.limits.removal_ms = 3_600_000;
    fs::rename(scene.build("state.c", &["VERSION=1"]), scene.file("state-1.so")).unwrap();
    scene.start(Watch::Auto);
    assert_eq!(scene.call("add", &[Value::Int(5)]), Ok(Value::Int(5)));
    fs::remove_file(scene.file("state-1.so")).unwrap();
    fs::rename(scene.build("state.c", &["VERSION=2"]), scene.file("state-2.so")).unwrap();
    scene.until_answer("version", Some(2));
    assert_eq!(scene.answer("get"), Some(5));
}

#[test]
fn a_state_that_is_refused_takes_the_swap_back() {
    for (define, reason) in [
        ("LOAD_STATUS=HOTCALL_FAULT", "not to my taste"),
        ("LOAD_STATUS=HOTCALL_ERROR", "not to my taste"),
        ("LOAD_STATUS=HOTCALL_PANIC", "it panicked: not to my taste"),
        ("LOAD_STATUS=77", "unknown status 77"),
    ] {
        let scene = serving(&[]);
        replace(&scene, &["VERSION=2", define]);
        let why = refused(&scene).last_error.unwrap();
        assert!(
            why.contains("refuses the state of generation 1") && why.contains(reason),
            "{define}: {why}"
        );
        assert_eq!(
            scene.call("add", &[Value::Int(1)]),
            Ok(Value::Int(6)),
            "its state is untouched"
        );
    }
}

#[test]
fn a_refused_state_binds_the_content_to_the_generation_that_has_it() {
    let scene = serving(&[]);
    let old = scene.build("state.c", &["VERSION=0"]);
    replace(&scene, &["VERSION=2"]);
    scene.until_answer("version", Some(2));
    fs::copy(&old, scene.file("state.so")).unwrap();
    let status = scene.until_state("state.so", FileState::Refused);
    assert!(status.last_error.unwrap().contains("a state from the future"));
    let mapped = scene.mapped();
    // Again, and again refused, but not loaded again.
    fs::copy(&old, scene.file("copy.so")).unwrap();
    let status = scene.until_state("copy.so", FileState::Refused);
    assert!(status.last_error.unwrap().contains("refused before"));
    assert_eq!(scene.mapped(), mapped);
    // Once the one with that state has gone, nothing is in the way.
    fs::remove_file(scene.file("copy.so")).unwrap();
    fs::remove_file(scene.file("state.so")).unwrap();
    scene.until_answer("version", None);
    fs::copy(&old, scene.file("state.so")).unwrap();
    scene.until_answer("version", Some(0));
    assert_eq!(scene.answer("get"), Some(0));
}

#[test]
fn a_state_that_cannot_be_saved_keeps_the_old_one() {
    for (define, reason) in [
        (
            "SAVE_STATUS=HOTCALL_FAULT",
            r"cannot save its state for it: no state\ntoday; trying again",
        ),
        ("SAVE_STATUS=HOTCALL_PANIC", r"it panicked: no state\ntoday"),
        ("SAVE_STATUS=77", "unknown status 77"),
        ("ENDLESS", "the state has"),
        ("LARGE=200000", "larger than 100000 bytes"),
    ] {
        let mut scene = Scene::new();
        scene.limits.response_bytes_max = 100_000;
        fs::rename(scene.build("state.c", &["VERSION=1", define]), scene.file("state.so")).unwrap();
        scene.start(Watch::Auto);
        replace(&scene, &["VERSION=2"]);
        let status = scene.until_state("state.so", FileState::Waiting);
        let why = status.last_error.unwrap();
        assert!(
            why.contains("generation 1 cannot save") && why.contains(reason),
            "{define}: {why}"
        );
        assert_eq!((scene.answer("version"), status.generation), (Some(1), Some(1)), "{define}");
    }
}

#[test]
fn a_state_that_cannot_be_saved_for_a_moment_is_asked_for_again() {
    let mut scene = Scene::new();
    let closed = scene.root.path().join("closed");
    fs::write(&closed, "").unwrap();
    let path = Value::from(closed.to_str().unwrap());
    scene.settings.insert("state".into(), Value::Struct(vec![("closed".into(), path)]));
    fs::rename(scene.build("state.c", &["VERSION=1"]), scene.file("state.so")).unwrap();
    scene.start(Watch::Auto);
    assert_eq!(scene.call("add", &[Value::Int(5)]), Ok(Value::Int(5)));
    replace(&scene, &["VERSION=2"]);
    let status = scene.until_state("state.so", FileState::Waiting);
    assert!(status.last_error.unwrap().contains("the door is closed"));
    assert_eq!(scene.call("add", &[Value::Int(1)]), Ok(Value::Int(6)));
    fs::remove_file(&closed).unwrap();
    scene.until_answer("version", Some(2));
    assert_eq!(scene.answer("get"), Some(6));
    assert_eq!(scene.until_state("state.so", FileState::Serving).last_error, None);
}

#[test]
fn what_waits_for_a_state_ends_its_wait_with_another_content_or_the_owner_s_end() {
    let scene = serving(&["SAVE_STATUS=HOTCALL_ERROR"]);
    replace(&scene, &["VERSION=2"]);
    scene.until_state("state.so", FileState::Waiting);
    replace(&scene, &["VERSION=3", "NO_LOAD"]);
    scene.until_answer("version", Some(3));

    let scene = serving(&["SAVE_STATUS=HOTCALL_ERROR"]);
    fs::rename(scene.file("state.so"), scene.root.path().join("gone.so")).unwrap();
    fs::rename(scene.build("state.c", &["VERSION=2"]), scene.file("other.so")).unwrap();
    scene.until_answer("version", Some(2));
    assert_eq!(scene.answer("get"), Some(0));
}

#[test]
fn one_side_alone_hands_nothing_over() {
    for (old, new) in [("NO_SAVE", "NO_LOAD"), ("NO_SAVE", "VERSION_"), ("VERSION_", "NO_LOAD")] {
        let scene = serving(&[old]);
        replace(&scene, &["VERSION=2", new]);
        scene.until_answer("version", Some(2));
        assert_eq!(scene.answer("get"), Some(0), "{old} {new}");
    }
}

#[test]
fn what_is_out_of_service_and_cannot_save_its_state_is_replaced_without_it() {
    let mut scene = Scene::new();
    scene.limits.panics_max = 1;
    fs::rename(
        scene.build("state.c", &["VERSION=1", "SAVE_STATUS=HOTCALL_PANIC"]),
        scene.file("state.so"),
    )
    .unwrap();
    scene.start(Watch::Auto);
    assert!(scene.call("panics", &[]).is_err());
    assert_eq!(scene.status_of("state.so").unwrap().state, FileState::Poisoned);
    replace(&scene, &["VERSION=2"]);
    scene.until("the new one serves", || scene.call("version", &[]) == Ok(Value::Int(2)));
    assert_eq!(scene.answer("get"), Some(0));
}

#[test]
fn a_refused_state_binds_nobody_once_its_generation_is_gone() {
    let mut scene = Scene::new();
    scene.limits.removal_ms = 100;
    fs::rename(scene.build("state.c", &["VERSION=1"]), scene.file("state-1.so")).unwrap();
    scene.start(Watch::Auto);
    fs::rename(
        scene.build("state.c", &["VERSION=2", "LOAD_STATUS=HOTCALL_FAULT"]),
        scene.file("state-2.so"),
    )
    .unwrap();
    scene.until_state("state-2.so", FileState::Conflicting);
    fs::remove_file(scene.file("state-1.so")).unwrap();
    scene.until_answer("version", Some(2));
    assert_eq!(scene.answer("get"), Some(0), "it starts afresh");
}
