//! Files come, change and go while calls run.

use crate::scene::{PATIENCE, Scene};
use hotcall::plugin::{self, Config, FileState, Watch};
use hotcall::registry::Registry;
use hotcall::xmlrpc::Value;
use std::fs::{self, OpenOptions};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

fn cp(from: &Path, to: &Path) {
    fs::write(to, fs::read(from).unwrap()).unwrap();
}

/// Ends the callers, also when the test fails.
struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Replaces m's plugin by each way there is while four threads call it: no call fails.
fn replace_under_load(replace: &[fn(&Path, &Path)], watch: Watch) {
    let mut scene = Scene::new();
    // However slow this machine is, a file that is removed to be replaced is back in time.
    scene.limits.removal_ms = 3_600_000;
    cp(&scene.life("p", "m", 0), &scene.file("p.so"));
    scene.start(watch);
    let (scene, is_over) = (&scene, &AtomicBool::new(false));
    thread::scope(|scope| {
        let caller = || {
            let mut newest = 0;
            while !is_over.load(Ordering::Relaxed) {
                let answer = scene.answer("m").expect("m is always there");
                assert!(answer >= newest, "generation {answer} answered after {newest}");
                newest = answer;
            }
        };
        let callers: Vec<_> = (0..4).map(|_| scope.spawn(caller)).collect();
        let _end = End(is_over);
        for (version, replace) in (1..).zip(replace) {
            replace(&scene.life("p", "m", version), &scene.file("p.so"));
            scene.until("the new version answers", || {
                scene.answer("m") == Some(version)
                    || callers.iter().any(thread::ScopedJoinHandle::is_finished)
            });
        }
    });
    assert_eq!(scene.status_of("p.so").unwrap().generation, Some(1 + replace.len() as u64));
}

const WAYS: [fn(&Path, &Path); 5] = [
    |new, old| fs::rename(new, old).unwrap(),
    cp,
    |new, old| {
        fs::remove_file(old).unwrap();
        cp(new, old);
    },
    |new, old| {
        fs::remove_file(old).unwrap();
        fs::hard_link(new, old).unwrap();
    },
    |new, old| {
        fs::remove_file(old).unwrap();
        fs::rename(new, old.with_file_name("renamed.tmp")).unwrap();
        fs::rename(old.with_file_name("renamed.tmp"), old).unwrap();
    },
];

#[test]
fn no_call_fails_however_a_file_is_replaced() {
    replace_under_load(&WAYS, Watch::Auto);
}

#[test]
fn polling_sees_the_same() {
    replace_under_load(&WAYS[..2], Watch::Poll);
}

#[test]
fn nothing_is_seen_before_asked_when_watching_is_off() {
    let mut scene = Scene::new();
    cp(&scene.life("q", "n", 1), &scene.file("q.so"));
    scene.start(Watch::Off);
    // Another life cycle that looks at the same directory shows that there was time to see both.
    let seen = Arc::new(Registry::default());
    let state_dir = scene.root.path().join("witness");
    let config = Config { state_dir, ..scene.config(Watch::Poll) };
    let witness = plugin::start(config, Arc::clone(&seen)).unwrap();
    cp(&scene.life("p", "m", 1), &scene.file("p.so"));
    fs::remove_file(scene.file("q.so")).unwrap();
    scene.until("the witness has seen both", || {
        let snapshot = seen.snapshot();
        snapshot.get("m").is_some() && snapshot.get("n").is_none()
    });
    assert_eq!((scene.answer("m"), scene.status_of("p.so")), (None, None));
    assert_eq!(scene.status_of("q.so").unwrap().state, FileState::Serving);
    witness.stop(Instant::now() + PATIENCE);
    scene.look();
    scene.until_answer("m", Some(1));
    scene.until_answer("n", None);
}

/// A scene in which no file settles before the test is over.
fn unsettled(watch: Watch) -> Scene {
    let mut scene = Scene::new();
    scene.limits.settle_ms = 3_600_000;
    scene.start(watch);
    scene
}

#[test]
fn a_renamed_or_linked_file_does_not_settle() {
    let scene = unsettled(Watch::Auto);
    for version in 1..=3 {
        fs::rename(scene.life("p", "m", version), scene.file("p.so")).unwrap();
        scene.until_answer("m", Some(version));
    }
    let built = scene.life("q", "n", 1);
    age(&built);
    fs::hard_link(built, scene.file("q.so")).unwrap();
    scene.until_answer("n", Some(1));
}

/// Makes a file older than the settle time of [`unsettled`].
fn age(file: &Path) {
    let long_ago = SystemTime::now() - Duration::from_secs(2 * 3_600);
    fs::File::options().write(true).open(file).unwrap().set_modified(long_ago).unwrap();
}

#[test]
fn a_linked_file_settles_when_it_is_new() {
    let scene = unsettled(Watch::Auto);
    fs::hard_link(scene.life("p", "m", 1), scene.file("p.so")).unwrap();
    scene.until_state("p.so", FileState::Settling);
    look_by_rename(&scene);
    assert_eq!(scene.answer("m"), None);
}

/// Puts a file in by a rename and waits until it serves: the loader has looked at all files then.
fn look_by_rename(scene: &Scene) {
    fs::rename(scene.life("other", "seen", 1), scene.file("other.so")).unwrap();
    scene.until_answer("seen", Some(1));
}

#[test]
fn a_file_that_is_written_in_place_settles() {
    let scene = unsettled(Watch::Auto);
    cp(&scene.life("p", "m", 1), &scene.file("p.so"));
    scene.until_state("p.so", FileState::Settling);
    look_by_rename(&scene);
    assert_eq!(scene.answer("m"), None);
    scene.until_state("p.so", FileState::Settling);
    // The same bytes by a rename.
    fs::rename(scene.file("p.so"), scene.file("p.so.tmp")).unwrap();
    fs::rename(scene.file("p.so.tmp"), scene.file("p.so")).unwrap();
    scene.until_answer("m", Some(1));
}

#[test]
fn a_renamed_file_settles_while_a_writer_has_it_open() {
    let scene = unsettled(Watch::Auto);
    let built = scene.life("p", "m", 1);
    let writer = OpenOptions::new().append(true).open(&built).unwrap();
    fs::rename(&built, scene.file("p.so")).unwrap();
    scene.until_state("p.so", FileState::Settling);
    look_by_rename(&scene);
    assert_eq!(scene.answer("m"), None);
    drop(writer);
    age(&scene.file("p.so"));
    fs::hard_link(scene.file("p.so"), scene.file("again.so")).unwrap();
    scene.until_answer("m", Some(1));
    assert_eq!(scene.status_of("p.so").unwrap().state, FileState::Settling);
}

#[test]
fn a_renamed_file_settles_where_no_event_tells_of_it() {
    let scene = unsettled(Watch::Poll);
    fs::rename(scene.life("p", "m", 1), scene.file("p.so")).unwrap();
    scene.until_state("p.so", FileState::Settling);
    fs::rename(scene.life("q", "n", 1), scene.file("q.so")).unwrap();
    scene.until_state("q.so", FileState::Settling);
    assert_eq!(scene.answer("m"), None);
}

#[test]
fn a_removed_plugin_goes_and_comes_back() {
    let mut scene = Scene::new();
    let built = scene.life("p", "m", 1);
    cp(&built, &scene.file("p.so"));
    scene.start(Watch::Auto);
    fs::remove_file(scene.file("p.so")).unwrap();
    scene.until_answer("m", None);
    scene.until("the status has forgotten it", || scene.running().status().is_empty());
    cp(&built, &scene.file("p.so"));
    scene.until_answer("m", Some(1));
}

#[test]
fn a_plugin_that_is_gone_for_less_than_the_grace_serves_on() {
    let mut scene = Scene::new();
    scene.limits.removal_ms = 3_600_000;
    let built = scene.life("p", "m", 1);
    cp(&built, &scene.file("p.so"));
    scene.start(Watch::Auto);
    fs::remove_file(scene.file("p.so")).unwrap();
    scene.until_state("p.so", FileState::Missing);
    assert_eq!(scene.answer("m"), Some(1));
    cp(&built, &scene.file("p.so"));
    assert_eq!(scene.until_state("p.so", FileState::Serving).generation, Some(1));
}

#[test]
fn the_directory_may_come_go_and_be_swapped() {
    let mut scene = Scene::new();
    fs::remove_dir(&scene.plugins).unwrap();
    // So long that only a hint can bring what follows in time.
    scene.limits.rescan_ms = 3_600_000;
    scene.start(Watch::Auto);
    assert!(scene.running().status().is_empty());

    let fill = |version| {
        let made = scene.root.path().join("made");
        fs::create_dir(&made).unwrap();
        cp(&scene.life("p", "m", version), &made.join("p.so"));
        fs::rename(&made, &scene.plugins).unwrap();
    };
    fill(1);
    scene.until_answer("m", Some(1));
    fs::remove_dir_all(&scene.plugins).unwrap();
    scene.until_answer("m", None);
    fs::create_dir(&scene.plugins).unwrap();
    cp(&scene.life("p", "m", 2), &scene.file("p.so"));
    scene.until_answer("m", Some(2));
    fs::rename(&scene.plugins, scene.root.path().join("old")).unwrap();
    fill(3);
    scene.until_answer("m", Some(3));
    cp(&scene.life("p", "m", 4), &scene.file("p.so"));
    scene.until_answer("m", Some(4));
}

#[test]
fn the_same_content_is_the_same_generation() {
    let mut scene = Scene::new();
    let built = scene.life("p", "m", 1);
    cp(&built, &scene.file("p.so"));
    cp(&scene.life("q", "n", 1), &scene.file("q.so"));
    scene.start(Watch::Auto);
    let generation = scene.status_of("p.so").unwrap().generation;

    cp(&built, &scene.file("p.so"));
    fs::remove_file(scene.file("q.so")).unwrap();
    // q's end shows that the loader has looked since the copy.
    scene.until_answer("n", None);
    let status = scene.until_state("p.so", FileState::Serving);
    assert_eq!(status.generation, generation);

    fs::rename(scene.file("p.so"), scene.file("renamed.so")).unwrap();
    let status = scene.until_state("renamed.so", FileState::Serving);
    assert_eq!(status.generation, generation);
    scene.until("the old name is forgotten", || scene.status_of("p.so").is_none());
    assert_eq!(scene.answer("m"), Some(1));
}

#[test]
fn an_earlier_good_content_is_a_new_generation() {
    let mut scene = Scene::new();
    let (one, two) = (scene.life("p", "m", 1), scene.life("p", "m", 2));
    cp(&one, &scene.file("p.so"));
    scene.start(Watch::Auto);
    cp(&two, &scene.file("p.so"));
    scene.until_answer("m", Some(2));
    cp(&one, &scene.file("p.so"));
    scene.until_answer("m", Some(1));
    scene.until("generation 3 serves", || scene.status_of("p.so").unwrap().generation == Some(3));
    assert_eq!(scene.status_of("p.so").unwrap().kept_generations, 2);
}

#[test]
fn a_plugin_may_move_to_a_file_of_another_name() {
    let mut scene = Scene::new();
    scene.limits.removal_ms = 3_600_000;
    cp(&scene.life("p", "m", 1), &scene.file("p-1.so"));
    scene.start(Watch::Auto);
    fs::remove_file(scene.file("p-1.so")).unwrap();
    cp(&scene.life("p", "m", 2), &scene.file("p-2.so"));
    scene.until_answer("m", Some(2));
    scene.until("the old file is forgotten", || scene.status_of("p-1.so").is_none());
}

#[test]
fn the_first_keeps_a_name_until_it_goes() {
    let mut scene = Scene::new();
    cp(&scene.life("first", "m", 1), &scene.file("a.so"));
    cp(&scene.life("second", "m", 2), &scene.file("b.so"));
    scene.start(Watch::Auto);
    assert_eq!(scene.answer("m"), Some(1));
    let status = scene.status_of("b.so").unwrap();
    assert_eq!(status.state, FileState::Conflicting);
    let error = status.last_error.unwrap();
    for part in ["first", "second", "a.so", " m,"] {
        assert!(error.contains(part), "{error}");
    }
    assert_eq!(scene.answer("second.wait"), None, "it is refused whole");

    fs::remove_file(scene.file("a.so")).unwrap();
    scene.until_answer("m", Some(2));
    assert_eq!(scene.until_state("b.so", FileState::Serving).last_error, None);
}

#[test]
fn a_full_directory_keeps_what_serves() {
    let mut scene = Scene::new();
    scene.limits.plugin_files_max = 1;
    cp(&scene.life("q", "n", 1), &scene.file("b.so"));
    scene.start(Watch::Auto);
    cp(&scene.life("p", "m", 2), &scene.file("a.so"));
    // A new version of b shows that the loader has looked since a came.
    cp(&scene.life("q", "n", 3), &scene.file("b.so"));
    scene.until_answer("n", Some(3));
    assert_eq!((scene.answer("m"), scene.running().status().len()), (None, 1));
    fs::remove_file(scene.file("b.so")).unwrap();
    scene.until_answer("m", Some(2));
}

#[test]
fn a_data_directory_that_cannot_be_made_is_tried_again_when_the_file_is_touched() {
    let mut scene = Scene::new();
    let data = scene.root.path().join("state/data");
    fs::create_dir_all(data.parent().unwrap()).unwrap();
    fs::write(&data, "in the way").unwrap();
    let built = scene.life("p", "m", 1);
    cp(&built, &scene.file("p.so"));
    scene.start(Watch::Auto);
    let status = scene.status_of("p.so").unwrap();
    assert!(status.last_error.unwrap().contains("data directory"));
    fs::remove_file(&data).unwrap();
    cp(&built, &scene.file("p.so"));
    scene.until_answer("m", Some(1));
    assert!(data.join("p").is_dir());
}

#[test]
fn files_may_trade_names() {
    let mut scene = Scene::new();
    cp(&scene.life("p", "m", 1), &scene.file("a.so"));
    cp(&scene.life("q", "n", 2), &scene.file("b.so"));
    scene.start(Watch::Auto);
    fs::rename(scene.file("a.so"), scene.file("c.tmp")).unwrap();
    fs::rename(scene.file("b.so"), scene.file("a.so")).unwrap();
    fs::rename(scene.file("c.tmp"), scene.file("b.so")).unwrap();
    let serves = |file, name: &str| {
        let status = scene.status_of(file);
        status.is_some_and(|s| s.state == FileState::Serving && s.name.as_deref() == Some(name))
    };
    scene.until("both serve under their new names", || serves("a.so", "q") && serves("b.so", "p"));
    assert_eq!((scene.answer("m"), scene.answer("n")), (Some(1), Some(2)));
}

#[test]
fn destroyed_once_after_the_last_call() {
    let mut scene = Scene::new();
    let path = |name: &str| scene.root.path().join(name).to_str().unwrap().to_owned();
    let (journal, entered, leave) = (path("journal"), path("entered"), path("leave"));
    let config = Value::Struct(vec![("journal".into(), Value::from(journal.as_str()))]);
    scene.settings.insert("p".into(), config);
    cp(&scene.life("p", "m", 1), &scene.file("p.so"));
    scene.start(Watch::Auto);
    let events = || -> Vec<(String, String)> {
        let text = fs::read_to_string(&journal).unwrap();
        text.lines()
            .map(|line| line.rsplit_once(' ').map(|(e, tid)| (e.into(), tid.into())).unwrap())
            .collect()
    };
    let has = |event: &str| events().iter().any(|(e, _)| e == event);

    thread::scope(|scope| {
        let (scene, params) =
            (&scene, [Value::from(entered.as_str()), Value::from(leave.as_str())]);
        let caller = scope.spawn(move || scene.call("p.wait", &params));
        scene.until("the call is in the plugin", || Path::new(&entered).exists());
        cp(&scene.life("p", "m", 2), &scene.file("p.so"));
        scene.until_answer("m", Some(2));
        scene.until("the old one was told", || has("quiesce 1"));
        assert!(!has("destroy 1"), "a call still runs: {:?}", events());
        fs::write(&leave, "").unwrap();
        assert_eq!(caller.join().unwrap(), Ok(Value::Int(1)));
    });
    scene.until("the old one is destroyed", || has("destroy 1"));
    scene.stop();
    assert!(scene.registry.snapshot().methods().next().is_none());

    let names: Vec<_> = events().into_iter().map(|(event, _)| event).collect();
    let expected =
        ["create 1", "create 2", "quiesce 1", "return 1", "destroy 1", "quiesce 2", "destroy 2"];
    assert_eq!(names, expected);
    let creators: Vec<_> = events().into_iter().filter(|(e, _)| e.starts_with("create")).collect();
    assert_eq!(creators[0].1, creators[1].1, "one thread loads: {:?}", events());
    let left = fs::read_dir(scene.root.path().join("state")).unwrap().flatten();
    let runs = left.filter(|entry| entry.file_name().to_str().unwrap().starts_with("run-"));
    assert_eq!(runs.count(), 0, "the private copies are removed");
}
