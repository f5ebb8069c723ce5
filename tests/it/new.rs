//! `hotcall new`: what it makes builds, passes its own test, is passed by `hotcall check`, and
//! serves.

use crate::trial::trial;
use hotcall::xmlrpc::Value;
use hotcall_tests::artifacts::{self, run};
use hotcall_tests::{Server, Setup, repository, wait_for};
use libtest_mimic::Trial;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

pub fn trials() -> Vec<Trial> {
    vec![
        trial("new::a_crate_builds_is_tested_checked_and_served", a_crate_serves),
        trial("new::a_plugin_in_c_builds_is_tested_checked_and_served", a_plugin_in_c_serves),
        trial("new::a_workspace_that_lists_the_crate_has_it_and_no_other", workspaces),
        trial("new::nothing_is_overwritten_or_left_half_done", nothing_is_overwritten),
        trial("new::no_path_of_the_building_machine_is_in_it", no_machine_path),
    ]
}

/// `hotcall new` with these arguments, run in `directory`.
fn new(directory: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(artifacts::hotcall());
    command.arg("new").args(arguments).current_dir(directory).stdin(Stdio::null()).output().unwrap()
}

/// The same, which must work. Gives what it printed.
fn made(directory: &Path, arguments: &[&str]) -> String {
    let output = new(directory, arguments);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

/// The same, which must fail. Gives its one line.
fn refused(directory: &Path, arguments: &[&str], status: i32) -> String {
    let output = new(directory, arguments);
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(status), "{arguments:?}: {errors}");
    assert!(output.stdout.is_empty());
    errors
}

fn api() -> String {
    repository().join("plugin-api").to_str().unwrap().to_owned()
}

/// `cargo` in a folder, with its own target directory.
fn cargo(folder: &Path, arguments: &[&str]) -> String {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut cargo = Command::new(program);
    cargo.args(arguments).args(["--offline", "--quiet"]).current_dir(folder);
    run(cargo.env_remove("CARGO_TARGET_DIR").env("RUSTFLAGS", "-Dwarnings"))
}

fn check(file: &Path) -> String {
    let state = tempfile::tempdir().unwrap();
    run(Command::new(artifacts::hotcall())
        .arg("check")
        .arg("--state-dir")
        .arg(state.path())
        .arg(file))
}

/// Puts the file into a running server, and calls what `hotcall new` says is in it.
fn serves(file: &Path, ident: &str) {
    let server = Setup::new().start();
    fs::copy(file, server.plugins().join("new.so")).unwrap();
    let greet = format!("{ident}.greet");
    let greeting = wait_for(&greet, || server.call(&greet, vec!["world".into()]).ok());
    assert_eq!(greeting, Value::from("Hello, world!"));
    let mean =
        |numbers: Vec<Value>| server.call(&format!("{ident}.mean"), vec![Value::Array(numbers)]);
    assert_eq!(mean(vec![Value::Int(1), Value::Double(2.5)]).unwrap(), Value::Double(1.75));
    assert!(mean(vec![]).is_err());
    assert_eq!(
        help(&server, &greet).lines().next().unwrap().split(',').next().unwrap(),
        "Greets somebody"
    );
}

fn help(server: &Server, method: &str) -> String {
    match server.call("system.methodHelp", vec![method.into()]).unwrap() {
        Value::String(text) => text.trim_end_matches('.').to_owned(),
        other => panic!("a string wanted: {other:?}"),
    }
}

/// Without a checkout of Hotcall, and in a workspace that does not list it: where a crate is
/// hardest to build.
fn a_crate_serves() {
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join("Cargo.toml"), "[workspace]\nresolver = \"3\"\n").unwrap();
    let printed = made(root.path(), &["my-plugin"]);
    let folder = root.path().join("my-plugin");
    for part in [
        "my-plugin",
        "hotcall-plugin",
        "cargo test",
        "cargo build --release",
        "target/release/libmy_plugin.so",
    ] {
        assert!(printed.contains(part), "{part}: {printed}");
    }
    // The versions that this repository is tested with, without asking a registry.
    fs::copy(repository().join("Cargo.lock"), folder.join("Cargo.lock")).unwrap();
    cargo(&folder, &["test"]);
    cargo(&folder, &["build"]);
    let file = folder.join("target/debug/libmy_plugin.so");
    let table = check(&file);
    for part in
        ["my-plugin 0.1.0", "my_plugin.greet", "(string, boolean) -> string", "my_plugin.mean"]
    {
        assert!(table.contains(part), "{part}: {table}");
    }
    serves(&file, "my_plugin");
    let source = fs::read_to_string(folder.join("src/lib.rs")).unwrap();
    assert!(source.contains("forbid(unsafe_code)") && !source.contains("{{"), "{source}");
}

fn a_plugin_in_c_serves() {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir(root.path().join("with space")).unwrap();
    let printed = made(root.path(), &["my-plugin", "--c", "--path", "with space"]);
    assert!(printed.contains("make check") && printed.contains("my-plugin.so"), "{printed}");
    let folder = root.path().join("with space/my-plugin");
    let header = fs::read_to_string(folder.join("hotcall_plugin.h")).unwrap();
    assert_eq!(header, hotcall_plugin_header());
    let make = |target: &str| {
        let mut make = Command::new("make");
        make.arg("CFLAGS=-Wall -Wextra -Wpedantic -Werror").arg(target).current_dir(&folder);
        run(make.env_remove("MAKEFLAGS").env_remove("MAKELEVEL").env_remove("MAKEOVERRIDES"))
    };
    make("check");
    make("all");
    let file = folder.join("my-plugin.so");
    let table = check(&file);
    assert!(table.contains("(array) -> double") && table.contains("my_plugin.greet"), "{table}");
    serves(&file, "my_plugin");
}

fn hotcall_plugin_header() -> String {
    fs::read_to_string(repository().join("plugin-api/include/hotcall_plugin.h")).unwrap()
}

/// A workspace that lists the new crate makes it a member; in one that does not, the crate stands
/// alone.
fn workspaces() {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir_all(root.path().join("listed")).unwrap();
    fs::create_dir_all(root.path().join("apart")).unwrap();
    let manifest = "[workspace]\nresolver = \"3\"\nmembers = [\"listed/*\"]\n";
    fs::write(root.path().join("Cargo.toml"), manifest).unwrap();

    let printed = made(root.path(), &["one", "--path", "listed"]);
    assert!(printed.contains("../../target/release/libone.so"), "{printed}");
    // Two of that name would be refused by cargo.
    made(root.path(), &["three", "--path", "listed"]);
    assert!(root.path().join("hotcall-plugin/src/lib.rs").is_file());
    let printed = made(root.path(), &["two", "--path", "apart", "--api", &api()]);
    let root_path = root.path().canonicalize().unwrap();
    assert!(
        printed.contains(root_path.to_str().unwrap()) && printed.contains("members"),
        "{printed}"
    );

    let metadata = |folder: &str| -> PathBuf {
        let folder = root.path().join(folder);
        let printed = cargo(&folder, &["metadata", "--no-deps", "--format-version", "1"]);
        let metadata: serde_json::Value = serde_json::from_str(&printed).unwrap();
        PathBuf::from(metadata["workspace_root"].as_str().unwrap())
    };
    assert_eq!(metadata("listed/one"), root_path);
    assert_eq!(metadata("listed/three"), root_path);
    assert_eq!(metadata("apart/two"), root_path.join("apart/two"));
}

fn nothing_is_overwritten() {
    let root = tempfile::tempdir().unwrap();
    let taken = root.path().join("taken");
    fs::create_dir(&taken).unwrap();
    fs::write(taken.join("mine"), "mine").unwrap();
    for arguments in [&["taken"][..], &["taken", "--c"]] {
        let line = refused(root.path(), arguments, 1);
        assert!(line.contains("taken exists") && line.lines().count() == 1, "{line}");
    }
    assert_eq!(fs::read_dir(&taken).unwrap().count(), 1);

    for name in ["test", "fn", "a/b", "..", "2fast", "system"] {
        assert!(refused(root.path(), &[name], 2).contains(name), "{name}");
    }
    let line = refused(root.path(), &["one", "--path", "missing"], 1);
    assert!(line.contains("missing") && line.lines().count() == 1, "{line}");
    let line = refused(root.path(), &["one", "--api", "taken"], 1);
    assert!(line.contains("--api") && line.lines().count() == 1, "{line}");
    assert_eq!(fs::read_dir(root.path()).unwrap().count(), 1, "only what was there before");
}

/// Outside of a checkout the dependency comes along; inside of one it is that of the checkout.
fn no_machine_path() {
    let root = tempfile::tempdir().unwrap();
    let printed = made(root.path(), &["plain"]);
    let manifest = fs::read_to_string(root.path().join("plain/Cargo.toml")).unwrap();
    assert!(manifest.contains("hotcall-plugin = { path = \"hotcall-plugin\" }\n"), "{manifest}");
    assert!(printed.contains("plain/hotcall-plugin"), "{printed}");

    let checkout = root.path().join("checkout");
    fs::create_dir_all(checkout.join("plugin-api")).unwrap();
    fs::create_dir(checkout.join("plugins")).unwrap();
    fs::copy(repository().join("plugin-api/Cargo.toml"), checkout.join("plugin-api/Cargo.toml"))
        .unwrap();
    made(&checkout, &["inside", "--path", "plugins"]);
    let manifest = fs::read_to_string(checkout.join("plugins/inside/Cargo.toml")).unwrap();
    assert!(manifest.contains("hotcall-plugin = { path = \"../../plugin-api\" }\n"), "{manifest}");
    for path in [repository(), root.path().to_owned()] {
        assert!(!manifest.contains(path.to_str().unwrap()), "{manifest}");
    }
}
