//! Plugins that would take the server along: the child process that tries them is taken instead.

use crate::scene::Scene;
use hotcall::plugin::inspect;
use hotcall::plugin::{FileState, Watch};
use hotcall::xmlrpc::Value;
use std::fs;
use std::path::Path;
use std::thread;

/// For plugins that may hang: each takes as long.
const PROBE_MS_MAX: u64 = 5_000;

/// Why a plugin with this harm in it is refused, which must be by its probe.
fn refusal(scene: &Scene, harm: &str) -> String {
    let report = scene.inspected(&scene.build("harmful.c", &[harm]));
    assert_eq!(report.passed.last(), Some(&"copy"), "{harm}: {report:?}");
    report.refusal.unwrap()
}

#[test]
fn a_harmless_plugin_passes() {
    let scene = Scene::probing();
    let report = scene.inspected(&scene.build("harmful.c", &[]));
    assert_eq!(report.refusal, None);
    assert_eq!(report.passed, inspect::STEPS);
    assert!(report.off == ["trust"] && report.warnings.is_empty(), "{report:?}");
}

#[test]
fn each_way_to_end_the_process_is_a_refusal_that_names_its_step() {
    let scene = Scene::probing();
    let cases = [
        ("CONSTRUCTOR=crash", "it crashed (SIGSEGV) in its constructors; "),
        ("CONSTRUCTOR=trap", "it crashed (SIGILL) in its constructors; "),
        ("CONSTRUCTOR=leave", "it ended the process with status 3 in its constructors; "),
        ("CONSTRUCTOR=end_well", "it ended the process with status 0 in its constructors; "),
        ("CREATE=crash", "it crashed (SIGSEGV) in create; "),
        ("CREATE=give_up", "it crashed (SIGABRT) in create, saying \"the stars are wrong\"; "),
        ("CREATE=leave", "it ended the process with status 3 in create; "),
        ("CREATE=leave_at_once", "it ended the process with status 4 in create; "),
        ("CREATE=end_well", "it ended the process with status 0 in create; "),
        ("CREATE=eat", "it crashed (SIGABRT) in create, saying \"no memory\"; "),
        ("DESTROY=crash", "it crashed (SIGSEGV) in destroy; "),
        ("DESTROY=leave", "it ended the process with status 3 in destroy; "),
        (
            "DESTROY=crash_at_exit",
            "it crashed (SIGSEGV) in its destructors, at the exit of the process; ",
        ),
    ];
    for (harm, says) in cases {
        let expected = if cfg!(target_arch = "aarch64") {
            says.replace("SIGILL", "SIGTRAP")
        } else {
            says.into()
        };
        let refusal = refusal(&scene, harm);
        assert!(refusal.starts_with(&expected), "{harm}: {refusal}");
        assert!(!refusal.contains('\n'), "{harm}: {refusal}");
    }
}

#[test]
fn a_plugin_that_hangs_is_ended_with_all_that_it_started() {
    let mut scene = Scene::probing();
    scene.limits.probe_ms_max = PROBE_MS_MAX;
    let cases = [
        ("CONSTRUCTOR=hang", "its constructors"),
        ("CREATE=hang", "create"),
        ("CREATE=hang_apart", "create"),
        ("CREATE=print_without_end", "create"),
        ("DESTROY=hang", "destroy"),
    ];
    let probes = || {
        let state = scene.root.path().to_str().unwrap();
        let command = |entry: fs::DirEntry| fs::read(entry.path().join("cmdline")).ok();
        let all = fs::read_dir("/proc").unwrap().flatten().filter_map(command);
        all.filter(|line| String::from_utf8_lossy(line).contains(state)).count()
    };
    // At once: each takes its whole time.
    thread::scope(|scope| {
        for (harm, place) in cases {
            let scene = &scene;
            scope.spawn(move || {
                let refusal = refusal(scene, harm);
                let expected = format!("it did not finish {place} in {PROBE_MS_MAX} ms");
                assert!(refusal.starts_with(&expected), "{harm}: {refusal}");
                assert!(refusal.contains("probe_ms_max"), "{harm}: {refusal}");
            });
        }
        scene.until("probes are seen", || probes() > 0);
    });
    scene.until("no probe is left", || probes() == 0);
}

#[test]
fn a_plugin_that_is_slow_once_is_served_and_one_that_stays_slow_is_quarantined() {
    let mut scene = Scene::probing();
    scene.limits.probe_ms_max = 1_000;
    let marks = scene.root.path().join("marks");
    fs::create_dir(&marks).unwrap();
    let mark = format!("MARK=\"{}/try\"", marks.display());
    let [once, always] = ["CREATE=hang_once", "CREATE=hang_and_count"]
        .map(|harm| scene.build("harmful.c", &[harm, &mark]));
    scene.start(Watch::Auto);
    fs::copy(once, scene.file("once.so")).unwrap();
    let refused = scene.until_state("once.so", FileState::Refused);
    assert!(refused.last_error.unwrap().starts_with("it did not finish create in 1000 ms"));
    scene.until_answer("harmful", Some(1));
    fs::remove_dir(marks.join("try")).unwrap();
    let tries = || fs::read_dir(&marks).unwrap().count();
    fs::copy(&always, scene.file("always.so")).unwrap();
    // It makes its mark while it is tried, so what is refused then was refused by the last try.
    scene.until("the last try", || tries() == 3);
    scene.until_state("always.so", FileState::Refused);
    fs::copy(&always, scene.file("copy.so")).unwrap();
    let refused = scene.until_state("copy.so", FileState::Refused);
    assert!(
        refused
            .last_error
            .unwrap()
            .starts_with("the same content was refused before: it did not finish")
    );
    assert_eq!(tries(), 3);
}

#[test]
fn what_outlives_its_probe_does_not_hold_it_up() {
    let mut scene = Scene::probing();
    // The child that it forks keeps the pipes open; waiting for their ends would never end.
    scene.limits.probe_ms_max = 3_600_000;
    let report =
        scene.inspected(&scene.build("harmful.c", &["CONSTRUCTOR=leave_a_child", "CREATE=leave"]));
    assert!(report.refusal.unwrap().starts_with("it ended the process with status 3 in create"));
}

#[test]
fn what_is_left_behind_is_a_warning() {
    let scene = Scene::probing();
    let threads = scene.inspected(&scene.build("harmful.c", &["CREATE=leave_a_thread"]));
    assert_eq!(threads.refusal, None);
    assert!(
        threads.warnings[0].contains("1 threads running after destroy"),
        "{:?}",
        threads.warnings
    );
    let joined = scene.inspected(&scene.build("harmful.c", &["CREATE=join_a_thread"]));
    assert!(joined.refusal.is_none() && joined.warnings.is_empty(), "{joined:?}");
}

#[test]
fn a_file_of_the_right_length_with_zeros_in_it_harms_nobody() {
    let mut scene = Scene::probing();
    scene.limits.probe_ms_max = PROBE_MS_MAX;
    let whole = fs::read(scene.build("harmful.c", &[])).unwrap();
    let file = scene.root.path().join("zeroed.so");
    let mut crashed = 0;
    // Zeros from each place to the end, and, as a file with a hole has them, in each part only.
    let tails = (1..40).map(|part| whole.len() * part / 40..whole.len());
    let holes = (1..40).map(|part| whole.len() * part / 40..whole.len() * (part + 1) / 40);
    for zeroed in tails.chain(holes) {
        let mut bytes = whole.clone();
        bytes[zeroed].fill(0);
        fs::write(&file, &bytes).unwrap();
        // Some pass, because those bytes are never used. Whatever passed has been loaded by this
        // process too.
        if let Some(refusal) = scene.inspected(&file).refusal {
            crashed += usize::from(refusal.contains("it crashed (SIG"));
        }
    }
    assert!(crashed > 0, "reading alone has found every damage: then this test wants another one");
}

#[test]
fn a_probe_gets_nothing_of_the_server_but_three_pipes() {
    let mut scene = Scene::probing();
    let member = |name: &str| (name.to_owned(), Value::Int(1));
    scene.settings.insert("harmful".into(), Value::Struct(vec![member("a"), member("b")]));
    scene.settings.insert("other".into(), Value::Struct(vec![member("secret")]));
    scene.limits.probe_address_space_bytes_max = 1 << 30;
    let _socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let text = refusal(&scene, "CREATE=look_around");
    let seen: Vec<&str> = text
        .split('|')
        .map(|seen| seen.trim_start_matches("its create function failed: "))
        .collect();
    let descriptors: Vec<_> = seen.iter().filter_map(|seen| seen.strip_prefix("fd ")).collect();
    assert_eq!(descriptors.len(), 4, "{seen:#?}");
    assert!(descriptors.iter().all(|target| target.starts_with("pipe:")), "{seen:#?}");
    let variables: Vec<_> = seen.iter().filter_map(|seen| seen.strip_prefix("env ")).collect();
    assert!(variables.contains(&"HOTCALL_PROBE=1"), "{seen:#?}");
    // cargo sets this one for every test.
    assert!(
        !variables.iter().any(|variable| variable.starts_with("CARGO_MANIFEST_DIR")),
        "{seen:#?}"
    );
    for wanted in ["core 0", "space 1073741824", "group 1", "settings 2"] {
        assert!(seen.contains(&wanted), "{wanted}: {seen:#?}");
    }
    let data = seen.iter().find_map(|seen| seen.strip_prefix("data ")).unwrap();
    assert!(data.contains("/probe-") && !Path::new(data).exists(), "{data}");
}

#[test]
fn the_server_goes_on_and_remembers_what_would_have_ended_it() {
    let mut scene = Scene::probing();
    fs::copy(scene.life("p", "m", 1), scene.file("p.so")).unwrap();
    scene.start(Watch::Auto);
    assert_eq!(scene.answer("m"), Some(1));
    let bad = scene.build("harmful.c", &["CREATE=give_up"]);
    fs::copy(&bad, scene.file("p.so")).unwrap();
    let refused = scene.until_state("p.so", FileState::Refused);
    assert!(refused.last_error.unwrap().starts_with("it crashed (SIGABRT) in create"));
    assert_eq!((refused.generation, scene.answer("m")), (Some(1), Some(1)));
    assert_eq!(scene.mapped(), 1, "its code never came here");
    fs::copy(&bad, scene.file("q.so")).unwrap();
    let again = scene.until_state("q.so", FileState::Refused);
    assert!(again.last_error.unwrap().starts_with("the same content was refused before"));
    // Neither the copy nor the scratch directory is left.
    let left = |part: &str| {
        let state = fs::read_dir(scene.root.path().join("state")).unwrap().flatten();
        let run = state
            .map(|entry| entry.path())
            .find(|path| path.to_str().unwrap().contains("/run-"))
            .unwrap();
        let names = fs::read_dir(run).unwrap().flatten().map(|entry| entry.file_name());
        names.filter(|name| name.to_str().unwrap().contains(part)).count()
    };
    assert_eq!((left(".so"), left("probe-")), (1, 0));
    fs::copy(scene.life("p", "m", 2), scene.file("p.so")).unwrap();
    scene.until_answer("m", Some(2));
}

#[test]
fn a_program_that_is_no_hotcall_is_said_to_be_none_and_tried_again() {
    let mut scene = Scene::probing();
    scene.program = "/bin/false".into();
    let report = scene.inspected(&scene.build("harmful.c", &[]));
    let refusal = report.refusal.unwrap();
    assert!(refusal.starts_with("cannot probe it: ") && refusal.contains("hotcall"), "{refusal}");

    let link = scene.root.path().join("program");
    std::os::unix::fs::symlink("/nonexistent", &link).unwrap();
    scene.program = link.clone();
    fs::copy(scene.life("p", "m", 1), scene.file("p.so")).unwrap();
    scene.start(Watch::Auto);
    let refused = scene.status_of("p.so").unwrap();
    assert!(refused.last_error.unwrap().starts_with("cannot start its probe"));
    fs::remove_file(&link).unwrap();
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_hotcall"), &link).unwrap();
    scene.until_answer("m", Some(1));
}
