//! The bundled plugin in C: its own test passes under the sanitizers, and its file holds what the
//! host looks for.
#![allow(clippy::panic, clippy::indexing_slicing, reason = "a failed helper is a failed test")]

use hotcall_plugin::abi;
use std::path::Path;
use std::process::Command;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../plugins/text-c");

#[test]
fn its_own_test_passes() {
    let folder = tempfile::tempdir().unwrap();
    make("check", &folder.path().join("text-c.so"));
}

#[test]
fn it_exports_the_table_alone_and_carries_the_note() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("text-c.so");
    make("all", &file);

    let symbols = run(Command::new("readelf").args(["--wide", "--dyn-syms"]).arg(&file));
    let exported: Vec<_> = symbols
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>())
        .filter(|columns| {
            columns.len() == 8 && ["GLOBAL", "WEAK"].contains(&columns[4]) && columns[6] != "UND"
        })
        .map(|columns| columns[7].to_owned())
        .collect();
    assert_eq!(exported, [abi::SYMBOL], "{symbols}");

    let notes = run(Command::new("readelf").args(["--wide", "--notes"]).arg(&file));
    let words = [abi::NOTE_MAGIC, abi::ABI_MAJOR, abi::ABI_MINOR];
    let bytes =
        words.map(|word| word.to_le_bytes().map(|byte| format!("{byte:02x}")).join(" ")).join(" ");
    assert!(notes.contains("Hotcall") && notes.contains(&bytes), "no note of {bytes} in:\n{notes}");
}

fn make(target: &str, out: &Path) {
    let out = format!("OUT={}", out.display());
    // A make that runs these tests must not pass its own settings on.
    run(Command::new("make").env_remove("MAKEFLAGS").args(["-C", FOLDER, target, &out]));
}

fn run(command: &mut Command) -> String {
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}; install gcc, make, binutils"));
    let stderr = String::from_utf8_lossy(&output.stderr);
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{command:?}: {}\n{stdout}\n{stderr}", output.status);
    stdout
}
