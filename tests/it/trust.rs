//! What an operator's mistakes and others' files may not do to a server.

use crate::trial::trial;
use hotcall::xmlrpc::Value;
use hotcall_tests::load::Load;
use hotcall_tests::{Server, Setup, artifacts, repository, wait_until};
use libtest_mimic::Trial;
use rustix::process::Signal;
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

pub fn trials() -> Vec<Trial> {
    vec![
        trial("trust::harmful_files_hurt_no_call_and_are_one_line_each", harmful_files),
        trial("trust::no_call_waits_for_a_plugin_that_hangs_in_its_probe", hangs_in_its_probe),
        trial("trust::no_call_waits_for_a_plugin_that_hangs_in_the_server", hangs_in_the_server),
        trial("trust::a_probe_inherits_no_socket_and_no_key", a_probe_inherits_nothing),
        trial("trust::a_server_whose_program_was_replaced_still_probes", the_program_may_go),
        trial("trust::the_probe_can_be_turned_off", the_probe_can_be_turned_off),
        trial("trust::what_others_may_write_is_refused_with_the_remedy", unsafe_files),
        trial("trust::an_unsafe_state_directory_is_no_place_to_start", unsafe_state_directory),
        trial("trust::what_leads_to_the_state_directory_counts_too", way_to_the_state),
        trial("trust::only_what_is_pinned_is_served", only_what_is_pinned),
        trial("trust::a_hangup_takes_new_pins_and_leaves_what_serves", new_pins),
        trial("trust::a_swapped_link_is_a_reload", a_swapped_link),
        trial("trust::check_takes_the_same_steps", check_takes_the_same_steps),
    ]
}

/// Plugins compiled for one test.
struct Built(tempfile::TempDir);

impl Built {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn version(&self, version: i32) -> PathBuf {
        let output = self.0.path().join(format!("v{version}.so"));
        let source = repository().join("tests/fixtures/version.c");
        artifacts::compile_c(&source, &output, &[&format!("-DVERSION={version}")]);
        output
    }

    /// The plugin that does this harm.
    fn harmful(&self, harm: &str) -> PathBuf {
        let output = self.0.path().join(format!("{}.so", harm.replace('=', "-").to_lowercase()));
        let source = repository().join("host/tests/fixtures/harmful.c");
        artifacts::compile_c(&source, &output, &[&format!("-D{harm}")]);
        output
    }
}

fn version(server: &Server) -> i32 {
    match server.call("version", vec![]) {
        Ok(Value::Int(version)) => version,
        other => panic!("an int wanted: {other:?}"),
    }
}

fn refusals(server: &Server, name: &str) -> Vec<String> {
    let log = server.log();
    let lines = log.lines().filter(|line| line.contains("is not served") && line.contains(name));
    lines.map(ToOwned::to_owned).collect()
}

fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

fn harmful_files() {
    const CLIENTS: u64 = 4;
    const HARMS: [(&str, &str); 9] = [
        ("CONSTRUCTOR=crash", "it crashed (SIGSEGV) in its constructors"),
        ("CONSTRUCTOR=give_up", "it crashed (SIGABRT) in its constructors, saying"),
        ("CONSTRUCTOR=leave", "with status 3 in its constructors"),
        ("CONSTRUCTOR=hang", "it did not finish its constructors in 4000 ms"),
        ("CREATE=crash", "it crashed (SIGSEGV) in create"),
        ("CREATE=give_up", "it crashed (SIGABRT) in create, saying"),
        ("CREATE=leave", "with status 3 in create"),
        ("CREATE=hang", "it did not finish create in 4000 ms"),
        ("CREATE=print_without_end", "it did not finish create in 4000 ms"),
    ];
    let built = Built::new();
    let setup = Setup::new().plugin("version.so", &built.version(1));
    let server = setup.config("[limits]\nprobe_ms_max = 4_000\n").start();
    Load::during(
        &server,
        CLIENTS,
        "version",
        |version| version == 1,
        |load| {
            for (number, (harm, says)) in HARMS.iter().enumerate() {
                let name = format!("harmful-{number}.so");
                server.put(&built.harmful(harm), &name);
                // Calls are answered while it is tried, however long that takes.
                load.goes_on();
                wait_until(format!("the refusal of {harm}"), || {
                    !refusals(&server, &name).is_empty()
                });
                let line = refusals(&server, &name).remove(0);
                assert!(line.contains(says), "{harm}: {line}");
                load.goes_on();
            }
            // It is not tried again.
            for _ in 0..3 {
                server.signal(Signal::HUP);
                load.goes_on();
            }
        },
    );
    for number in 0..HARMS.len() {
        assert_eq!(refusals(&server, &format!("harmful-{number}.so")).len(), 1, "{}", server.log());
    }
    server.put(&built.version(2), "version.so");
    wait_until("the next version", || version(&server) == 2);
}

/// Calls go on while a plugin hangs at `place`, which nothing ends before the server.
fn calls_go_on_while_it_hangs(place: &str, config: &str) {
    let built = Built::new();
    let mark = built.0.path().join("mark");
    let hanging = built.0.path().join("hanging.so");
    let source = repository().join("host/tests/fixtures/harmful.c");
    let defines = [format!("-D{place}=hang_once"), format!("-DMARK=\"{}\"", mark.display())];
    artifacts::compile_c(&source, &hanging, &defines.each_ref().map(String::as_str));
    let server = Setup::new().plugin("version.so", &built.version(1)).config(config).start();
    Load::during(
        &server,
        4,
        "version",
        |version| version == 1,
        |load| {
            server.put(&hanging, "hanging.so");
            wait_until(format!("the plugin that hangs in {place}"), || mark.exists());
            for _ in 0..20 {
                load.goes_on();
                assert_eq!(version(&server), 1, "on a new connection");
            }
        },
    );
    assert!(refusals(&server, "hanging.so").is_empty(), "it hung all the while: {}", server.log());
}

fn hangs_in_its_probe() {
    for place in ["CONSTRUCTOR", "CREATE"] {
        calls_go_on_while_it_hangs(place, "[limits]\nprobe_ms_max = 3_600_000\n");
    }
}

/// Not in a constructor, which only a probe protects against: see the crate's known problems.
fn hangs_in_the_server() {
    calls_go_on_while_it_hangs("CREATE", "probe = false\n");
}

fn a_probe_inherits_nothing() {
    let built = Built::new();
    // What whoever started the server left open for it is not the plugin's either.
    let setup = Setup::new().plugin("version.so", &built.version(1)).after("exec 9</etc/passwd");
    let server = setup.start();
    // Besides the listener, a connection is open while the plugin is tried.
    let client = server.client();
    assert_eq!(client.call::<Value>("version", vec![]).unwrap(), Value::Int(1));
    server.put(&built.harmful("CREATE=look_around"), "look.so");
    let line = server.wait_for_log(&["is not served", "look.so"]);
    let seen: Vec<&str> = line.split('|').collect();
    let descriptors: Vec<_> = seen.iter().filter(|seen| seen.contains("fd ")).collect();
    assert!(descriptors.len() >= 4, "{seen:#?}");
    for part in ["/etc/passwd", "socket:", "inotify", "eventpoll", ".pem", "/lock", ".so"] {
        assert!(
            !descriptors
                .iter()
                .any(|seen| seen.ends_with(part) || seen.contains(&format!(" {part}"))),
            "{part}: {seen:#?}"
        );
    }
    let variables: Vec<_> = seen.iter().filter_map(|seen| seen.strip_prefix("env ")).collect();
    assert!(variables.contains(&"HOTCALL_PROBE=1"), "{seen:#?}");
    // The server was started with this one.
    assert!(!variables.iter().any(|variable| variable.starts_with("RUST_LOG=")), "{seen:#?}");
}

fn the_program_may_go() {
    let built = Built::new();
    let place = tempfile::tempdir().unwrap();
    let program = place.path().join("hotcall");
    fs::copy(artifacts::hotcall(), &program).unwrap();
    let server = Setup::new().program(&program).plugin("version.so", &built.version(1)).start();
    fs::remove_file(&program).unwrap();
    fs::write(&program, "#!/bin/false\n").unwrap();
    server.put(&built.version(2), "version.so");
    wait_until("the next version", || version(&server) == 2);
    server.put(&built.harmful("CREATE=crash"), "harmful.so");
    let line = server.wait_for_log(&["is not served", "harmful.so"]);
    assert!(line.contains("it crashed (SIGSEGV) in create"), "{line}");
}

fn the_probe_can_be_turned_off() {
    let built = Built::new();
    let setup = Setup::new().plugin("version.so", &built.version(1));
    let server = setup.config("probe = false\n").start();
    server.wait_for_log(&["WARN", "probe = false"]);
    assert_eq!(version(&server), 1);
    // It fails by its own words, and only if it finds no mark of a probe.
    server.put(&built.harmful("CREATE=look_around"), "look.so");
    let line = server.wait_for_log(&["is not served", "look.so"]);
    assert!(line.contains("env RUST_LOG=") && !line.contains("HOTCALL_PROBE"), "{line}");
}

fn unsafe_files() {
    let built = Built::new();
    let server = Setup::new().plugin("version.so", &built.version(1)).start();
    let file = server.plugins().join("version.so");
    fs::copy(built.version(2), server.beside("incoming")).unwrap();
    chmod(&server.beside("incoming"), 0o664);
    fs::rename(server.beside("incoming"), &file).unwrap();
    let line = server.wait_for_log(&["is not served", "version.so"]);
    for part in [
        "writable by its group (mode 0664)",
        &format!("run chmod g-w {}", file.display()),
        "keeps serving",
    ] {
        assert!(line.contains(part), "{part}: {line}");
    }
    assert_eq!(version(&server), 1);
    chmod(&file, 0o644);
    wait_until("the next version", || version(&server) == 2);
    assert_eq!(refusals(&server, "version.so").len(), 1, "{}", server.log());

    let setup = Setup::new().plugin("version.so", &built.version(1));
    let overridden = setup.config("check_permissions = false\n").start();
    overridden.wait_for_log(&["WARN", "check_permissions = false"]);
    chmod(&overridden.plugins(), 0o777);
    overridden.put(&built.version(2), "version.so");
    wait_until("the next version", || version(&overridden) == 2);
}

fn unsafe_state_directory() {
    let root = tempfile::tempdir().unwrap();
    let state = root.path().join("state");
    fs::create_dir(&state).unwrap();
    chmod(&state, 0o775);
    for command in [&["serve", "--https", "127.0.0.1:0"][..], &["check", "none.so"], &["dev", "."]]
    {
        let mut hotcall = Command::new(artifacts::hotcall());
        hotcall.args(command).arg("--state-dir").arg(&state).current_dir(root.path());
        let output = hotcall.env("RUST_LOG", "error").output().unwrap();
        let says = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{command:?}: {says}");
        let remedy = format!("chmod g-w {}", state.display());
        assert!(says.contains("mode 0775") && says.contains(&remedy), "{command:?}: {says}");
        assert_eq!(says.lines().count(), 1, "{command:?}: {says}");
        assert_eq!(fs::read_dir(&state).unwrap().count(), 0, "{command:?} wrote nothing there");
    }
}

/// Who can rename a directory above puts another in its place, and runs code here.
fn way_to_the_state() {
    let root = tempfile::tempdir().unwrap();
    let above = root.path().join("above");
    fs::create_dir(&above).unwrap();
    let refused = |state: &Path, parts: &[&str]| {
        let mut hotcall = Command::new(artifacts::hotcall());
        // Not `serve`, which would go on for ever if it did not refuse.
        hotcall.args(["check", "none.so", "--state-dir"]).arg(state).current_dir(root.path());
        let output = hotcall.env("RUST_LOG", "error").output().unwrap();
        let says = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{says}");
        assert_eq!(says.lines().count(), 1, "{says}");
        for part in parts {
            assert!(says.contains(part), "{part}: {says}");
        }
    };
    chmod(&above, 0o777);
    let remedy = format!("chmod go-w {};", above.display());
    refused(&above.join("deep/state"), &["mode 0777", &remedy, "check_permissions"]);
    assert_eq!(fs::read_dir(&above).unwrap().count(), 0, "nothing was made there");
    let link = root.path().join("link");
    symlink(above.join("state"), &link).unwrap();
    refused(&link, &["mode 0777", &remedy]);
    // Only root can give a link away.
    if std::os::unix::fs::lchown(&link, Some(4242), None).is_ok() {
        chmod(&above, 0o700);
        fs::create_dir(above.join("state")).unwrap();
        chmod(root.path(), 0o1777);
        refused(&link, &[&format!("{} belongs to user 4242", link.display()), "chown -h"]);
    }
    chmod(&above, 0o777);
    let setup = Setup::new().state_dir(&above.join("state")).config("check_permissions = false\n");
    setup.start().wait_for_log(&["WARN", "check_permissions = false"]);
}

fn sha256(file: &Path) -> String {
    let sum = artifacts::run(Command::new("sha256sum").arg(file));
    sum.split_whitespace().next().unwrap().to_owned()
}

fn only_what_is_pinned() {
    let built = Built::new();
    let pinned = [sha256(&built.version(1)), sha256(&built.version(2))];
    let config = format!("[trust]\nsha256 = {pinned:?}\n");
    let server = Setup::new().plugin("version.so", &built.version(1)).config(&config).start();
    assert_eq!(version(&server), 1);
    server.put(&built.version(3), "version.so");
    let line = server.wait_for_log(&["is not served", "version.so"]);
    assert!(line.contains("not trusted") && line.contains(&sha256(&built.version(3))), "{line}");
    server.put(&built.version(2), "version.so");
    wait_until("the pinned version", || version(&server) == 2);
}

fn new_pins() {
    let built = Built::new();
    let pins = |versions: &[i32]| {
        let pins: Vec<String> =
            versions.iter().map(|version| sha256(&built.version(*version))).collect();
        format!("[trust]\nsha256 = {pins:?}\n")
    };
    let server = Setup::new().plugin("version.so", &built.version(1)).config(&pins(&[1])).start();
    let hang_up = |config: String| {
        server.configure(&config);
        server.signal(Signal::HUP);
    };
    server.put(&built.version(2), "version.so");
    server.wait_for_log(&["is not served", "version.so", "not trusted"]);
    hang_up(pins(&[1, 2]));
    wait_until("the version that is pinned now", || version(&server) == 2);

    hang_up(pins(&[1]));
    let line = server.wait_for_log(&["WARN", "serves although", "not trusted"]);
    assert!(
        line.contains("plugin version of") && line.contains(&sha256(&built.version(2))),
        "{line}"
    );
    assert_eq!(version(&server), 2);
    server.put(&built.version(3), "version.so");
    wait_until("the refusal", || refusals(&server, "version.so").len() == 2);
    assert_eq!(version(&server), 2);
    hang_up(String::new());
    wait_until("what nobody pins any more", || version(&server) == 3);
    assert!(!server.log().contains("at the next start only"), "{}", server.log());
}

fn a_swapped_link() {
    let built = Built::new();
    let server = Setup::new().config("follow_symlinks = true\n").start();
    server.wait_for_log(&["WARN", "follow_symlinks = true"]);
    let publish = |version: i32| {
        let data = server.plugins().join(format!("..{version}"));
        fs::create_dir(&data).unwrap();
        fs::copy(built.version(version), data.join("version.so")).unwrap();
        symlink(format!("..{version}"), server.plugins().join("..data_tmp")).unwrap();
        fs::rename(server.plugins().join("..data_tmp"), server.plugins().join("..data")).unwrap();
    };
    publish(1);
    symlink("..data/version.so", server.plugins().join("version.so")).unwrap();
    wait_until("the first version", || server.call("version", vec![]).is_ok());
    for next in 2..4 {
        publish(next);
        wait_until("the next version", || version(&server) == next);
    }
}

fn check(directory: &Path, arguments: &[&str]) -> Output {
    let mut check = Command::new(artifacts::hotcall());
    check.arg("check").arg("--state-dir").arg(directory.join("state"));
    check.current_dir(directory).args(arguments).output().unwrap()
}

fn check_takes_the_same_steps() {
    let built = Built::new();
    let directory = built.0.path();
    let (good, bad) = (built.version(1), built.harmful("CREATE=crash"));
    let table = |arguments: &[&str]| {
        let output = check(directory, arguments);
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    let (code, text) = table(&["v1.so"]);
    let steps = [
        "permissions  ok",
        "trust        off",
        "probe        ok",
        "destroy      ok",
        &sha256(&good),
    ];
    for step in steps {
        assert!(text.contains(step), "{step}: {text}");
    }
    assert_eq!(code, Some(0), "{text}");
    let (code, text) = table(&[bad.to_str().unwrap()]);
    assert!(text.contains("probe        it crashed (SIGSEGV) in create"), "{text}");
    assert_eq!(code, Some(1));
    chmod(&good, 0o646);
    let (code, text) = table(&["v1.so"]);
    assert!(
        text.contains("permissions  ") && text.contains("writable by others (mode 0646)"),
        "{text}"
    );
    assert_eq!(code, Some(1));
    fs::write(
        directory.join("h.toml"),
        "check_permissions = false\nprobe = false\n[trust]\nsha256 = []\n",
    )
    .unwrap();
    let (code, text) = table(&["--config", "h.toml", "v1.so"]);
    assert!(
        text.contains("permissions  off") && text.contains("trust        it is not trusted"),
        "{text}"
    );
    assert_eq!(code, Some(1));
}
