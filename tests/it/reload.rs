//! Plugins that come, change, break and go while clients call.

use crate::trial::trial;
use hotcall::client::Error;
use hotcall::xmlrpc::{Value, code};
use hotcall_tests::load::Load;
use hotcall_tests::{Server, Setup, artifacts, repository, wait_until};
use libtest_mimic::Trial;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicI32, Ordering};

pub fn trials() -> Vec<Trial> {
    vec![
        trial("reload::fifty_replacements_under_load_fail_no_call", replacements_under_load),
        trial("reload::bad_files_are_refused_and_the_old_version_serves", bad_files_are_refused),
        trial(
            "reload::a_removed_file_takes_its_methods_along_and_brings_them_back",
            removal_and_return,
        ),
        trial(
            "reload::the_directory_may_be_missing_and_go_and_come",
            the_directory_may_go_and_come,
        ),
        trial("reload::one_name_has_one_owner", one_name_has_one_owner),
        trial("reload::a_rust_plugin_replaces_a_plugin_in_c", languages_mix),
        trial("reload::without_watching_a_hangup_rescans", hangup_rescans),
    ]
}

/// Compiles `version.c`, once for each version, into a folder of its own.
struct Versions(tempfile::TempDir);

impl Versions {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn version(&self, version: i32) -> PathBuf {
        self.special(version, &[])
    }

    fn special(&self, version: i32, defines: &[&str]) -> PathBuf {
        let output = self
            .0
            .path()
            .join(format!("v{version}{}.so", defines.join("").replace(['"', '/'], "")));
        if !output.exists() {
            let define = format!("-DVERSION={version}");
            let arguments: Vec<&str> =
                std::iter::once(define.as_str()).chain(defines.iter().copied()).collect();
            artifacts::compile_c(
                &repository().join("tests/fixtures/version.c"),
                &output,
                &arguments,
            );
        }
        output
    }
}

fn version_of(server: &Server) -> Result<i32, Error> {
    server.call("version", vec![]).map(|value| match value {
        Value::Int(version) => version,
        other => panic!("an int wanted: {other:?}"),
    })
}

fn wait_for_version(server: &Server, wanted: i32) {
    wait_until(format!("version {wanted}"), || {
        version_of(server).is_ok_and(|version| version == wanted)
    });
}

fn is_not_found(result: &Result<Value, Error>) -> bool {
    matches!(result, Err(Error::Fault(fault)) if fault.code == code::METHOD_NOT_FOUND)
}

/// How a file gets into the directory.
#[derive(Clone, Copy, Debug)]
enum Way {
    Move,
    CopyOver,
    RemoveAndCopy,
    HardLink,
}

const WAYS: [Way; 4] = [Way::Move, Way::CopyOver, Way::RemoveAndCopy, Way::HardLink];

fn put(server: &Server, new: &Path, way: Way) {
    let target = server.plugins().join("version.so");
    let beside = server.beside("incoming.so");
    match way {
        Way::Move => {
            fs::copy(new, &beside).unwrap();
            fs::rename(&beside, &target).unwrap();
        }
        Way::CopyOver => drop(fs::copy(new, &target).unwrap()),
        Way::RemoveAndCopy => {
            fs::remove_file(&target).unwrap();
            fs::copy(new, &target).unwrap();
        }
        Way::HardLink => {
            fs::copy(new, &beside).unwrap();
            fs::remove_file(&target).unwrap();
            fs::hard_link(&beside, &target).unwrap();
            fs::remove_file(&beside).unwrap();
        }
    }
}

fn replacements_under_load() {
    const CLIENTS: u64 = 8;
    const REPLACEMENTS: i32 = 50;
    let versions = Versions::new();
    let server = Setup::new().plugin("version.so", &versions.version(0)).start();
    // An answer is of the version that was put last, or of the one before it.
    let newest = AtomicI32::new(0);
    let seen = Mutex::new(BTreeSet::new());
    let is_right = |version| {
        seen.lock().unwrap().insert(version);
        let newest = newest.load(Ordering::Acquire);
        // The newest may be put between the answer and this look at it.
        (newest - 2..=newest).contains(&version)
    };
    Load::during(&server, CLIENTS, "version", is_right, |load| {
        for version in 1..=REPLACEMENTS {
            let built = versions.version(version);
            newest.store(version, Ordering::Release);
            put(&server, &built, WAYS[version.unsigned_abs() as usize % WAYS.len()]);
            wait_for_version(&server, version);
            load.goes_on();
        }
    });
    assert_eq!(
        seen.into_inner().unwrap(),
        (0..=REPLACEMENTS).collect(),
        "each version answered somebody"
    );
}

fn bad_files_are_refused() {
    let versions = Versions::new();
    let server = Setup::new().plugin("version.so", &versions.version(1)).start();
    let good = fs::read(versions.version(2)).unwrap();
    let mut foreign = good.clone();
    foreign[18] = 0x28; // e_machine: 32-bit Arm
    let cases: [(&str, Vec<u8>, &str); 6] = [
        ("cut to half", good[..good.len() / 2].to_vec(), "is cut off"),
        ("a text file", b"not a library\n".repeat(100), "not a shared library"),
        ("an empty file", Vec::new(), "not a shared library"),
        ("a library that is no plugin", library_without_symbol(), "not a Hotcall plugin"),
        ("ABI major 2", fs::read(versions.special(3, &["-DMAJOR=2"])).unwrap(), "plugin ABI 2"),
        ("another machine", foreign, "build it for this machine"),
    ];
    for (what, bytes, says) in cases {
        let log_before = server.log().len();
        fs::write(server.beside("incoming.so"), bytes).unwrap();
        fs::rename(server.beside("incoming.so"), server.plugins().join("version.so")).unwrap();
        let refusals = || -> Vec<String> {
            let log = server.log();
            let new = log[log_before..].lines().filter(|line| line.contains("is not served"));
            new.map(ToOwned::to_owned).collect()
        };
        wait_until(format!("the refusal of {what}"), || !refusals().is_empty());
        // Several rescans later it is still one line.
        for _ in 0..3 {
            server.signal(rustix::process::Signal::HUP);
            assert_eq!(version_of(&server).unwrap(), 1, "{what}");
        }
        let lines = refusals();
        assert_eq!(lines.len(), 1, "{what}: {lines:?}");
        assert!(lines[0].contains("version.so") && lines[0].contains(says), "{what}: {}", lines[0]);
    }
    put(&server, &versions.version(2), Way::Move);
    wait_for_version(&server, 2);
}

fn library_without_symbol() -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    let (source, output) = (dir.path().join("plain.c"), dir.path().join("plain.so"));
    fs::write(&source, "int plain(void);\nint plain(void) { return 1; }\n").unwrap();
    artifacts::compile_c(&source, &output, &[]);
    fs::read(output).unwrap()
}

fn removal_and_return() {
    let versions = Versions::new();
    let server = Setup::new().plugin("version.so", &versions.version(1)).start();
    assert_eq!(version_of(&server).unwrap(), 1);
    fs::remove_file(server.plugins().join("version.so")).unwrap();
    wait_until("the method's end", || is_not_found(&server.call("version", vec![])));
    fs::copy(versions.version(1), server.plugins().join("version.so")).unwrap();
    wait_for_version(&server, 1);
}

fn the_directory_may_go_and_come() {
    let versions = Versions::new();
    let server = Setup::new().without_directory().start();
    assert!(is_not_found(&server.call("version", vec![])));
    for version in 1..=3 {
        fs::create_dir(server.plugins()).unwrap();
        fs::copy(versions.version(version), server.plugins().join("version.so")).unwrap();
        wait_for_version(&server, version);
        fs::remove_dir_all(server.plugins()).unwrap();
        wait_until("the method's end", || is_not_found(&server.call("version", vec![])));
    }
}

fn one_name_has_one_owner() {
    let versions = Versions::new();
    let server = Setup::new().plugin("a.so", &versions.special(1, &["-DPLUGIN=\"first\""])).start();
    fs::copy(versions.special(2, &["-DPLUGIN=\"second\""]), server.plugins().join("b.so")).unwrap();
    let line = server.wait_for_log(&["is not served", "b.so"]);
    assert!(
        line.contains("first") && line.contains("second") && line.contains("version"),
        "{line}"
    );
    assert_eq!(version_of(&server).unwrap(), 1);
    fs::remove_file(server.plugins().join("a.so")).unwrap();
    wait_for_version(&server, 2);
}

fn languages_mix() {
    let server = Setup::new().plugin("plugin.so", artifacts::text_c()).start();
    assert_eq!(server.call("upper", vec!["x".into()]).unwrap(), Value::from("X"));
    fs::copy(artifacts::plugin("arithmetic"), server.plugins().join("plugin.so")).unwrap();
    let sum = || server.call("add", vec![Value::Int(2), Value::Int(3)]);
    wait_until("the plugin in Rust", || sum().is_ok_and(|sum| sum == Value::Int(5)));
    assert!(is_not_found(&server.call("upper", vec!["x".into()])));
}

fn hangup_rescans() {
    let versions = Versions::new();
    let server =
        Setup::new().plugin("version.so", &versions.version(1)).argument("--watch=off").start();
    put(&server, &versions.version(2), Way::Move);
    assert_eq!(version_of(&server).unwrap(), 1);
    server.signal(rustix::process::Signal::HUP);
    wait_for_version(&server, 2);
}
