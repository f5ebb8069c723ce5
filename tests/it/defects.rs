//! One plugin for each defect, put into the directory of a server that is being called: each is
//! refused with one line or served with open eyes, and no call of another plugin fails before,
//! during or after.

use crate::trial::trial;
use hotcall::client::Client;
use hotcall::xmlrpc::Value;
use hotcall_tests::artifacts::{self, run};
use hotcall_tests::load::Load;
use hotcall_tests::{Server, Setup, repository, wait_until};
use libtest_mimic::Trial;
use rustix::process::Signal;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

pub fn trials() -> Vec<Trial> {
    vec![
        trial("defects::each_is_refused_with_one_line", each_is_refused),
        trial("defects::what_a_plugin_leaves_behind_harms_nobody", leftovers_harm_nobody),
        trial(
            "defects::a_name_with_a_control_character_is_refused_once",
            name_with_control_character,
        ),
    ]
}

/// A defect of `broken.c`, by the macro that makes it, and a part of the reason that the log gives.
const REFUSED: [(&str, &str); 8] = [
    ("MAGIC=1u", "note is damaged"),
    ("NOTE_MAJOR=2u", "plugin ABI 2"),
    ("TABLE_SIZE=64", "struct_size 64"),
    ("METHODS_LEN=0", "no methods"),
    ("METHODS_LEN=2", "exports broken twice"),
    ("METHOD=\"\\377\"", "not UTF-8"),
    ("INVOKE=0", "no invoke function"),
    ("UNDEFINED_SYMBOL", "hotcall_test_defined_nowhere"),
];

fn fixture(name: &str) -> PathBuf {
    repository().join("host/tests/fixtures").join(name)
}

/// `broken.c` with these macros. Its defects are worth a warning to the compiler too.
fn broken(folder: &Path, name: &str, defines: &[&str]) -> PathBuf {
    let output = folder.join(name);
    let defines = defines.iter().map(|define| format!("-D{define}")).collect::<Vec<_>>();
    let arguments = std::iter::once("-Wno-error").chain(defines.iter().map(String::as_str));
    artifacts::compile_c(&fixture("broken.c"), &output, &arguments.collect::<Vec<_>>());
    output
}

/// `leftovers.cc` with these macros.
fn leftovers(folder: &Path, name: &str, defines: &[&str]) -> PathBuf {
    let output = folder.join(name);
    let mut cxx = Command::new("c++");
    cxx.args(["-std=c++17", "-O1", "-Wall", "-Wextra", "-Werror", "-fPIC", "-shared", "-I"]);
    cxx.arg(repository().join("plugin-api/include"))
        .args(defines.iter().map(|define| format!("-D{define}")));
    run(cxx.arg("-o").arg(&output).arg(fixture("leftovers.cc")));
    output
}

/// A server with one good plugin, which a client calls all the time.
struct Scene<'a> {
    server: &'a Server,
    client: Client,
    builds: tempfile::TempDir,
    load: &'a Load,
}

impl Scene<'_> {
    fn run(test: impl FnOnce(&Scene<'_>)) {
        let builds = tempfile::tempdir().unwrap();
        let good = builds.path().join("good.so");
        artifacts::compile_c(
            &repository().join("tests/fixtures/version.c"),
            &good,
            &["-DVERSION=1"],
        );
        let mut server =
            Setup::new().plugin("good.so", &good).config("[limits]\nremoval_ms = 50\n").start();
        Load::during(
            &server,
            1,
            "version",
            |answer| answer == 1,
            |load| {
                test(&Scene { server: &server, client: server.client(), builds, load });
            },
        );
        assert_eq!(server.stop().code(), Some(0), "it ends as it should");
    }

    fn put(&self, file: &Path, name: &str) {
        self.server.put(file, name);
    }

    fn answer(&self) -> Option<i32> {
        match self.client.call("broken", vec![]) {
            Ok(Value::Int(answer)) => Some(answer),
            _ => None,
        }
    }

    /// What an operator sees of it.
    fn log_lines(&self, parts: &[&str]) -> Vec<String> {
        let log = self.server.log();
        let lines = log
            .lines()
            .filter(|line| !line.contains("TRACE"))
            .filter(|line| parts.iter().all(|part| line.contains(part)));
        lines.map(str::to_owned).collect()
    }
}

fn each_is_refused() {
    Scene::run(|scene| {
        for (number, (define, reason)) in REFUSED.iter().enumerate() {
            let name = format!("defect-{number}.so");
            scene.put(&broken(scene.builds.path(), &name, &[define]), &name);
            let line = scene.server.wait_for_log(&[&name, "is not served"]);
            assert!(line.contains(reason), "{define}: {line:?} lacks {reason:?}");
            // Asked to look again, it does not say so again.
            for _ in 0..3 {
                scene.server.signal(Signal::HUP);
                scene.load.goes_on();
            }
            assert_eq!(
                scene.log_lines(&[&name]).len(),
                1,
                "{define}: {:?}",
                scene.log_lines(&[&name])
            );
            assert_eq!(scene.answer(), None, "{define}");
        }
    });
}

/// Each of these is served, replaced and removed; its old code stays mapped, so that what it left
/// behind still runs.
fn leftovers_harm_nobody() {
    Scene::run(|scene| {
        let folder = scene.builds.path();
        replaced_and_removed(
            scene,
            "thread.so",
            [
                broken(folder, "thread-1.so", &["SPAWN"]),
                broken(folder, "thread-2.so", &["SPAWN", "TYPE=HOTCALL_ANY"]),
            ],
        );
        replaced_and_removed(
            scene,
            "key.so",
            [
                broken(folder, "key-1.so", &["THREAD_KEY"]),
                broken(folder, "key-2.so", &["THREAD_KEY", "TYPE=HOTCALL_ANY"]),
            ],
        );
        replaced_and_removed(
            scene,
            "local.so",
            [
                leftovers(folder, "local-1.so", &["THREAD_LOCAL"]),
                leftovers(folder, "local-2.so", &["THREAD_LOCAL", "ADD=1"]),
            ],
        );
        assert!(scene.log_lines(&["shared with"]).is_empty());
        replaced_and_removed(
            scene,
            "unique.so",
            [
                leftovers(folder, "unique-1.so", &["UNIQUE"]),
                leftovers(folder, "unique-2.so", &["UNIQUE", "ADD=1"]),
            ],
        );
        let warnings = scene.log_lines(&["WARN", "unique.so", "shared with"]);
        assert_eq!(warnings.len(), 2, "one for each version: {warnings:?}");
    });
}

fn replaced_and_removed(scene: &Scene, name: &str, [one, two]: [PathBuf; 2]) {
    scene.put(&one, name);
    wait_until(format!("{name} serves"), || scene.answer().is_some());
    // Many calls, so that many of the server's threads have been in it.
    for _ in 0..50 {
        assert!(scene.answer().is_some(), "{name}");
    }
    scene.put(&two, name);
    let serves = [name, "serves"];
    wait_until(format!("the second {name}"), || scene.log_lines(&serves).len() == 2);
    assert!(scene.answer().is_some(), "{name}");
    fs::remove_file(scene.server.plugins().join(name)).unwrap();
    wait_until(format!("{name} is gone"), || scene.answer().is_none());
    scene.load.goes_on();
}

fn name_with_control_character() {
    const WHY: &str = "its file name has a control character; rename it";
    let (bad, odd) = ("ec\u{1b}\nho.so", "arith\u{9b}metic.so");
    let server = Setup::new()
        .plugin(bad, artifacts::plugin("echo"))
        .config("[limits]\nrescan_ms = 20\nremoval_ms = 50\n")
        .start();
    server.wait_for_log(&[r"ec\u{1b}\nho.so is not served", WHY]);
    fs::copy(artifacts::plugin("arithmetic"), server.plugins().join(odd)).unwrap();
    let client = server.client();
    wait_until("a name with another such character is served", || {
        client.call::<i32>("add", (2, 3)).is_ok()
    });
    assert_eq!(server.log().matches(WHY).count(), 1, "{}", server.log());

    let mut check = Command::new(artifacts::hotcall());
    check
        .arg("check")
        .arg("--state-dir")
        .arg(server.beside("check"))
        .arg(server.plugins().join(bad));
    let checked = check.output().unwrap();
    let table = String::from_utf8(checked.stdout).unwrap();
    assert!(checked.status.code() == Some(1) && table.contains(WHY), "{table}");

    fs::rename(server.plugins().join(bad), server.plugins().join("echo.so")).unwrap();
    wait_until("the renamed file is served", || client.call::<i32>("echo", 1).is_ok());
}
