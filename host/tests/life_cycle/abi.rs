//! Plugins that were built for any earlier minor of this major ABI still load and work: one plugin
//! that uses all of the ABI is compiled against every header recorded in `plugin-api/abi`.

use crate::scene::Scene;
use hotcall::plugin::Watch;
use hotcall::xmlrpc::Value;
use hotcall_plugin::abi::ABI_MAJOR;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The recorded headers' folders, by version.
fn records() -> Vec<(String, PathBuf)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugin-api/abi");
    let folders = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut records: Vec<_> = folders
        .map(|path| (path.file_name().unwrap().to_str().unwrap().to_owned(), path))
        .collect();
    records.retain(|(version, _)| version.starts_with(&format!("{ABI_MAJOR}.")));
    assert!(records.iter().any(|(version, _)| version == "1.0"), "{records:?}");
    records
}

/// `everything.c`, compiled against the header in that folder and no other.
fn everything(scene: &Scene, include: &Path, version: i32) -> PathBuf {
    let out = scene.root.path().join(format!("everything-{version}.so"));
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/everything.c");
    let mut cc = Command::new("cc");
    cc.args(["-std=c11", "-O1", "-Wall", "-Wextra", "-Werror", "-fPIC", "-shared", "-I"])
        .arg(include);
    let output =
        cc.arg(format!("-DVERSION={version}")).arg("-o").arg(&out).arg(source).output().unwrap();
    assert!(output.status.success(), "{cc:?}:\n{}", String::from_utf8_lossy(&output.stderr));
    out
}

fn text(value: &str) -> Value {
    Value::from(value)
}

#[test]
fn a_plugin_built_for_each_recorded_abi_loads_and_works() {
    for (version, include) in records() {
        assert!(include.join("hotcall_plugin.h").is_file(), "abi/{version} has a header");
        lives_and_answers(&include);
    }
}

/// A later minor's tables are longer than this host knows, and nothing else is different.
#[test]
fn a_plugin_built_for_a_later_minor_loads_too() {
    let mut scene = Scene::new();
    let defines = ["NOTE_MINOR=9u", "TABLE_SIZE=1000", "METHOD_SIZE=200"];
    fs::rename(scene.build("broken.c", &defines), scene.file("later.so")).unwrap();
    scene.start(Watch::Off);
    assert_eq!(scene.answer("broken"), Some(1));
}

fn lives_and_answers(include: &Path) {
    let mut scene = Scene::new();
    let journal = scene.root.path().join("journal");
    let settings = [("journal", journal.to_str().unwrap()), ("greeting", "hello")];
    let settings = settings.map(|(name, value)| (name.to_owned(), text(value))).to_vec();
    scene.settings.insert("everything".into(), Value::Struct(settings));
    fs::rename(everything(&scene, include, 1), scene.file("everything.so")).unwrap();
    scene.start(Watch::Off);

    introspects(&scene);
    answers(&scene);
    assert_eq!(scene.answer("everything.count"), Some(1));
    assert_eq!(scene.answer("everything.count"), Some(2));

    let events = || -> Vec<String> {
        let text = fs::read_to_string(&journal).unwrap();
        text.lines().map(str::to_owned).collect()
    };
    fs::rename(everything(&scene, include, 2), scene.file("everything.so")).unwrap();
    scene.look();
    scene.until("the first is destroyed", || events().contains(&"destroy 1".to_owned()));
    assert_eq!(
        scene.answer("everything.count"),
        Some(3),
        "it counts on from the state that it took over"
    );
    scene.stop();

    let life = [
        "create 1",
        "create 2",
        "save 1",
        "load 2",
        "quiesce 1",
        "destroy 1",
        "quiesce 2",
        "destroy 2",
    ];
    assert_eq!(events(), life);
}

fn introspects(scene: &Scene) {
    let snapshot = scene.registry.snapshot();
    let info = |name: &str| &snapshot.get(name).unwrap().info;
    assert_eq!(info("everything.count").signatures, [["int"]]);
    assert!(info("everything.count").quick && !info("everything.count").idempotent);
    assert_eq!(info("everything.see").help, "Tells what a call knows.");
    assert_eq!(info("everything.see").signatures, [vec!["struct", "any"], vec!["struct"]]);
    assert!(info("everything.see").idempotent && info("everything.fail").signatures.is_empty());
}

fn answers(scene: &Scene) {
    let params = [Value::Array(vec![Value::Nil, Value::Double(0.5)]), text("gr\u{fc}n")];
    let seen = scene.call("everything.see", &params).unwrap();
    let expected = [
        ("greeting", text("hello")),
        ("caller", text("alice")),
        ("address", text("192.0.2.1:5")),
        ("request", text("r-17")),
        ("in_time", Value::Bool(true)),
        ("params", Value::Array(params.to_vec())),
    ];
    assert_eq!(
        seen,
        Value::Struct(expected.map(|(name, value)| (name.to_owned(), value)).to_vec())
    );
    let failed = |status: i32| scene.call("everything.fail", &[Value::Int(status)]).unwrap_err();
    assert_eq!((failed(1).code, failed(1).message.as_str()), (42, "as asked"));
    assert_eq!((failed(2).code, failed(2).message.as_str()), (-32500, "as asked"));
    assert_eq!(failed(3).code, -32003);
}
