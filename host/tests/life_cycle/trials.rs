//! Contents on trial, and plugins that do not return: neither holds up what has nothing to do with
//! them.

use crate::scene::{PATIENCE, Scene};
use hotcall::plugin::{FileState, Watch};
use hotcall::xmlrpc::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Instant;

/// Longer than any test: who waits for a plugin that hangs waits in vain.
const FOR_EVER_MS: u64 = 3_600_000;

fn put(scene: &Scene, built: PathBuf, name: &str) {
    fs::rename(built, scene.file(name)).unwrap();
}

fn reload(scene: &Scene, wanted: &str) -> Result<Value, String> {
    let deadline = Instant::now() + PATIENCE;
    scene.running().control().reload(wanted, deadline).map_err(|fault| fault.message)
}

#[test]
fn plugins_that_hang_on_trial_hold_up_no_other() {
    let mut scene = Scene::probing();
    scene.limits.probe_ms_max = FOR_EVER_MS;
    put(&scene, scene.life("p", "m", 1), "p.so");
    scene.start(Watch::Auto);
    for (number, harm) in ["CONSTRUCTOR=hang", "CREATE=hang", "DESTROY=hang"].iter().enumerate() {
        let name = format!("a{number}.so");
        put(&scene, scene.build("harmful.c", &[harm]), &name);
        scene.until_state(&name, FileState::Probing);
    }
    put(&scene, scene.life("p", "m", 2), "p.so");
    scene.until_answer("m", Some(2));
    // A file that is replaced or removed while it is tried is not waited for.
    put(&scene, scene.build("harmful.c", &[]), "a0.so");
    scene.until_answer("harmful", Some(1));
    fs::remove_file(scene.file("a1.so")).unwrap();
    scene.until("its row goes", || scene.status_of("a1.so").is_none());
    // And neither does the end wait for the last one.
    scene.stop();
}

#[test]
fn the_start_waits_for_what_hangs_no_longer_than_for_one_probe() {
    let mut scene = Scene::probing();
    scene.limits.probe_ms_max = 5_000;
    // All are tried before it, and more than may use the processor at once.
    for number in 0..10 {
        let number = format!("NUMBER={number}");
        put(&scene, scene.build("harmful.c", &["CREATE=hang", &number]), &format!("{number}.so"));
    }
    put(&scene, scene.life("p", "m", 1), "p.so");
    scene.start(Watch::Auto);
    assert_eq!(scene.answer("m"), Some(1));
}

/// Each holds its place among those that may use a processor for a while, and its process to the
/// end.
#[test]
fn a_good_plugin_serves_behind_many_constructors_that_hang() {
    const HANGING: usize = 45;
    let mut scene = Scene::probing();
    scene.limits.probe_ms_max = 5_000;
    for number in 0..HANGING {
        let harm = format!("NUMBER={number}");
        put(
            &scene,
            scene.build("harmful.c", &["CONSTRUCTOR=hang", &harm]),
            &format!("a{number}.so"),
        );
    }
    put(&scene, scene.life("p", "m", 1), "p.so");
    scene.start(Watch::Auto);
    scene.until_answer("m", Some(1));
    let waits = |number: usize| {
        scene.status_of(&format!("a{number}.so")).is_some_and(|it| it.generation.is_none())
    };
    assert!((0..HANGING).all(waits), "none of them serves");
    scene.stop();
}

#[test]
fn which_of_two_serves_is_by_name_however_fast_they_are() {
    let mut scene = Scene::probing();
    put(&scene, scene.build("harmful.c", &["CREATE=dawdle"]), "a.so");
    put(&scene, scene.build("harmful.c", &["NUMBER=2"]), "b.so");
    scene.start(Watch::Auto);
    let state = |name: &str| scene.status_of(name).unwrap().state;
    assert_eq!((state("a.so"), state("b.so")), (FileState::Serving, FileState::Conflicting));
}

#[test]
fn a_destroy_that_does_not_return_is_told_and_holds_up_nobody() {
    let mut scene = Scene::probing();
    scene.limits.drain_ms_max = 50;
    put(&scene, scene.build("harmful.c", &["DESTROY=hang_in_the_server"]), "h.so");
    put(&scene, scene.life("p", "m", 1), "p.so");
    scene.start(Watch::Auto);
    assert_eq!((scene.answer("harmful"), scene.answer("m")), (Some(1), Some(1)));
    put(&scene, scene.build("harmful.c", &["NUMBER=2"]), "h.so");
    scene.until("it is told", || {
        scene
            .status_of("h.so")
            .unwrap()
            .warnings
            .iter()
            .any(|warning| warning.contains("destroy of generation 1"))
    });
    put(&scene, scene.life("p", "m", 2), "p.so");
    scene.until_answer("m", Some(2));
}

#[test]
fn a_create_that_hangs_in_the_server_is_told_and_what_serves_goes_on() {
    let mut scene = Scene::probing();
    scene.limits.probe_ms_max = 2_000;
    put(&scene, scene.life("p", "m", 1), "a.so");
    scene.start(Watch::Auto);
    put(&scene, scene.build("harmful.c", &["CREATE=hang_in_the_server"]), "h.so");
    scene.until("it is told", || {
        let status = scene.status_of("h.so");
        status
            .and_then(|status| status.last_error)
            .is_some_and(|why| why.starts_with("create has run for"))
    });
    assert_eq!(scene.answer("m"), Some(1));
}

#[test]
fn a_start_is_not_held_up_by_a_create_that_hangs_in_the_server() {
    let mut scene = Scene::probing();
    scene.limits.probe_ms_max = 2_000;
    put(&scene, scene.build("harmful.c", &["CREATE=hang_in_the_server"]), "h.so");
    scene.start(Watch::Auto);
    scene.until("it is told", || {
        scene.running().status().iter().all(|status| status.last_error.is_some())
    });
}

#[test]
fn what_was_refused_for_its_configuration_is_tried_with_another() {
    let mut scene = Scene::probing();
    let mode = |mode: &str| Value::Struct(vec![("mode".into(), Value::from(mode))]);
    scene.settings.insert("picky".into(), mode("bad"));
    put(&scene, scene.build("picky.c", &[]), "picky.so");
    scene.start(Watch::Auto);
    let status = scene.status_of("picky.so").unwrap();
    assert_eq!((status.state, status.name.as_deref()), (FileState::Refused, Some("picky")));
    for (setting, state) in
        [("good", FileState::Serving), ("bad", FileState::Refused), ("fine", FileState::Serving)]
    {
        let settings = [("picky".to_owned(), mode(setting))].into();
        scene.running().reconfigure(settings, scene.options.clone(), scene.trust.clone()).unwrap();
        scene.until_state("picky.so", state);
    }
    assert_eq!(scene.call("mode", &[]), Ok(Value::from("fine")));
}

#[test]
fn what_was_refused_is_tried_again_as_an_operator_asks() {
    let scene = {
        let mut scene = Scene::probing();
        scene.limits.removal_ms = 50;
        put(&scene, scene.life("p", "m", 1), "p.so");
        scene.start(Watch::Auto);
        scene
    };
    let gate = scene.root.path().join("gate");
    let define = format!("MARK=\"{}\"", gate.display());
    put(&scene, scene.build("harmful.c", &["CREATE=need_the_mark", &define]), "h.so");
    let why = scene.until_state("h.so", FileState::Refused).last_error.unwrap();
    assert!(why.contains("SIGABRT"), "{why}");
    assert!(
        reload(&scene, "harmful").unwrap_err().contains("SIGABRT"),
        "by the plugin's name, which its trial told"
    );
    assert!(reload(&scene, "h.so").unwrap_err().contains("SIGABRT"), "by its file's name");
    fs::create_dir(&gate).unwrap();
    assert_eq!(reload(&scene, "h.so").unwrap().get("state"), Some(&Value::from("serving")));

    // A file that comes again is a new try too.
    let file = scene.file("h.so");
    fs::remove_dir(&gate).unwrap();
    fs::rename(&file, scene.root.path().join("h.so")).unwrap();
    scene.until_answer("harmful", None);
    fs::copy(scene.root.path().join("h.so"), &file).unwrap();
    scene.until_state("h.so", FileState::Refused);
    fs::remove_file(&file).unwrap();
    scene.until("it is forgotten", || scene.status_of("h.so").is_none());
    fs::create_dir(&gate).unwrap();
    fs::copy(scene.root.path().join("h.so"), &file).unwrap();
    scene.until_answer("harmful", Some(1));
}

#[test]
fn a_verdict_holds_for_the_configuration_that_it_was_given() {
    let mut scene = Scene::probing();
    let mode = |mode: &str| Value::Struct(vec![("mode".into(), Value::from(mode))]);
    let gate = scene.root.path().join("gate");
    let defines = [format!("WAIT_FOR=\"{}\"", gate.display())];
    scene.settings.insert("picky".into(), mode("bad"));
    scene.start(Watch::Auto);
    put(&scene, scene.build("picky.c", &defines.each_ref().map(String::as_str)), "picky.so");
    scene.until_state("picky.so", FileState::Probing);
    scene.until("its create runs in the probe", || gate.with_extension("entered").exists());
    let settings = [("picky".to_owned(), mode("good"))].into();
    scene.running().reconfigure(settings, scene.options.clone(), scene.trust.clone()).unwrap();
    fs::create_dir(&gate).unwrap();
    scene.until_state("picky.so", FileState::Serving);
    assert_eq!(scene.call("mode", &[]), Ok(Value::from("good")));
}

#[test]
fn a_file_that_comes_again_is_a_new_try_although_an_older_version_served() {
    let mut scene = Scene::probing();
    scene.limits.removal_ms = 50;
    let gate = scene.root.path().join("gate");
    let define = format!("MARK=\"{}\"", gate.display());
    put(&scene, scene.build("harmful.c", &["NUMBER=1"]), "h.so");
    scene.start(Watch::Auto);
    let needs = scene.build("harmful.c", &["CREATE=need_the_mark", &define]);
    fs::copy(&needs, scene.file("h.so")).unwrap();
    scene.until_state("h.so", FileState::Refused);
    fs::create_dir(&gate).unwrap();
    fs::remove_file(scene.file("h.so")).unwrap();
    scene.until_answer("harmful", None);
    fs::copy(&needs, scene.file("h.so")).unwrap();
    scene.until_answer("harmful", Some(1));
}

#[test]
fn what_is_loaded_before_a_create_that_hangs_is_served() {
    let mut scene = Scene::probing();
    scene.limits.probe_ms_max = 2_000;
    put(&scene, scene.life("p", "m", 1), "a.so");
    put(&scene, scene.build("harmful.c", &["CREATE=hang_in_the_server"]), "b.so");
    scene.start(Watch::Auto);
    scene.until_answer("m", Some(1));
}

#[test]
fn one_plugin_s_destroys_that_hang_leave_room_for_another_s() {
    let mut scene = Scene::new();
    let journal = scene.root.path().join("journal");
    let config = Value::Struct(vec![("journal".into(), Value::from(journal.to_str().unwrap()))]);
    scene.settings.insert("p".into(), config);
    put(&scene, scene.build("harmful.c", &["DESTROY=hang_in_the_server"]), "h.so");
    put(&scene, scene.life("p", "m", 1), "p.so");
    scene.start(Watch::Auto);
    for _ in 0..12 {
        reload(&scene, "harmful").unwrap();
    }
    put(&scene, scene.life("p", "m", 2), "p.so");
    scene.until("the other one is destroyed", || {
        fs::read_to_string(&journal).is_ok_and(|journal| journal.contains("destroy 1"))
    });
}

/// Looks of one [`look_often`].
const LOOKS: i32 = 20;

/// Makes the loader look at the directory many times. A new file shows each look.
fn look_often(scene: &Scene) {
    for number in 0..LOOKS {
        let name = format!("text-{number}.so");
        fs::write(scene.file(&name), format!("text number {number}")).unwrap();
        scene.until_state(&name, FileState::Refused);
        fs::remove_file(scene.file(&name)).unwrap();
    }
}

/// The probe's program fails, as if no process could be started, until a file exists.
#[test]
fn a_probe_that_cannot_start_is_tried_seldom_and_at_once_when_asked() {
    let mut scene = Scene::probing();
    let [program, starts, open] =
        ["program", "starts", "open"].map(|name| scene.root.path().join(name));
    let script = format!(
        "#!/bin/sh\n[ $1 = guard-probe ] && exec {hotcall} \"$@\"\necho >> {starts}\n\
         [ -e {open} ] && exec {hotcall} \"$@\"\n",
        hotcall = env!("CARGO_BIN_EXE_hotcall"),
        starts = starts.display(),
        open = open.display()
    );
    fs::write(&program, script).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o700)).unwrap();
    scene.program = program;
    (scene.limits.plugin_retry_ms, scene.limits.plugin_retry_ms_max) = (FOR_EVER_MS, FOR_EVER_MS);
    scene.start(Watch::Auto);
    put(&scene, scene.life("p", "m", 1), "p.so");
    let error = scene.until_state("p.so", FileState::Refused).last_error.unwrap();
    assert!(error.contains("cannot probe it"), "{error}");
    look_often(&scene);
    let count = || fs::read_to_string(&starts).unwrap().lines().count();
    assert_eq!(count(), 1);
    fs::write(&open, "").unwrap();
    scene.look();
    scene.until_answer("m", Some(1));
    assert_eq!((count(), scene.status_of("p.so").unwrap().last_error), (2, None));
}

#[test]
fn a_scratch_directory_that_cannot_be_made_is_tried_seldom_and_at_once_when_asked() {
    const TRIES: usize = 100;
    let mut scene = Scene::probing();
    (scene.limits.plugin_retry_ms, scene.limits.plugin_retry_ms_max) = (FOR_EVER_MS, FOR_EVER_MS);
    scene.start(Watch::Auto);
    let run = fs::read_dir(scene.root.path().join("state")).unwrap().flatten();
    let run = run
        .map(|entry| entry.path())
        .find(|path| path.is_dir() && !path.ends_with("data"))
        .unwrap();
    // Files occupy the names of the next scratch directories.
    let taken = |number: usize| run.join(format!("probe-{number:06}"));
    (0..TRIES).for_each(|number| fs::write(taken(number), "").unwrap());
    put(&scene, scene.life("p", "m", 1), "p.so");
    let error = scene.until_state("p.so", FileState::Refused).last_error.unwrap();
    assert!(error.contains("cannot make a scratch directory"), "{error}");
    look_often(&scene);
    assert_eq!(scene.answer("m"), None);
    (0..TRIES).for_each(|number| fs::remove_file(taken(number)).unwrap());
    look_often(&scene);
    assert_eq!(scene.answer("m"), None, "it is not tried by itself so soon");
    let served = reload(&scene, "p.so").unwrap();
    // Each content gets a number: the texts, the first try and the reload.
    let number = Value::Int(2 * LOOKS + 2);
    assert_eq!((served.get("generation"), scene.answer("m")), (Some(&number), Some(1)));
}
