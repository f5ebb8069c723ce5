//! Every ABI that was ever released is recorded under `abi/`, and each later one must keep what
//! plugins rely on: a field stays where it is and as large as it is, a constant keeps its value.
//! Structs may grow at their ends, and no more.
//!
//! A record is a copy of the header, `hotcall_plugin.h`, and what a compiler said of it,
//! `layout.txt`: one C expression and its value on each line. A plugin that was built then holds
//! these numbers in its code.

use super::{compiler, source};
use crate::expected;
use hotcall_plugin::abi;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// One released ABI.
struct Record {
    minor: u32,
    folder: PathBuf,
    layout: BTreeMap<String, i64>,
}

/// The tables that grow; what the other structs have, they have for ever.
const GROWING: [&str; 5] =
    ["hotcall_fault", "hotcall_call", "hotcall_host", "hotcall_method", "hotcall_plugin"];

/// Those of the present major, oldest first.
fn records() -> Vec<Record> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("abi");
    let mut records = Vec::new();
    for entry in fs::read_dir(&folder).unwrap() {
        let folder = entry.unwrap().path();
        let name = folder.file_name().unwrap().to_str().unwrap();
        let (major, minor) =
            name.split_once('.').unwrap_or_else(|| panic!("{name} is not MAJOR.MINOR"));
        if major.parse() == Ok(abi::ABI_MAJOR) {
            let text = fs::read_to_string(folder.join("layout.txt")).unwrap_or_default();
            records.push(Record { minor: minor.parse().unwrap(), layout: parse(&text), folder });
        }
    }
    records.sort_by_key(|record| record.minor);
    records
}

fn parse(text: &str) -> BTreeMap<String, i64> {
    let line = |line: &str| {
        let (expression, value) = line.rsplit_once(' ')?;
        Some((expression.to_owned(), value.parse().ok()?))
    };
    text.lines()
        .map(|text| line(text).unwrap_or_else(|| panic!("not EXPRESSION VALUE: {text:?}")))
        .collect()
}

/// Whether a later ABI may give this value where the recorded one gave `before`.
fn may_become(expression: &str, before: i64, now: i64) -> bool {
    let grows = expression == "HOTCALL_ABI_MINOR"
        || expression.ends_with("_v1.abi_minor")
        || expression == format!("{}.struct_size", abi::SYMBOL)
        || GROWING.iter().any(|c| expression == format!("sizeof({c})"));
    now == before || (grows && now > before)
}

/// What changed that must not, or is gone.
fn broken(record: &Record, now: &BTreeMap<String, i64>) -> Vec<String> {
    let kept = |(expression, before): &(&String, &i64)| {
        now.get(*expression).is_some_and(|now| may_become(expression, **before, *now))
    };
    let broken = record.layout.iter().filter(|line| !kept(line));
    broken
        .map(|(expression, before)| {
            format!("{expression}: {before}, now {:?}", now.get(expression))
        })
        .collect()
}

#[test]
fn nothing_recorded_has_changed() {
    for record in records() {
        let in_rust = broken(&record, &expected());
        assert!(
            in_rust.is_empty(),
            "abi.rs breaks {}:\n{}",
            record.folder.display(),
            in_rust.join("\n")
        );
        for compiler in compiler::all() {
            let in_c =
                broken(&record, &compiler.evaluate(&source::include(), record.layout.keys()));
            let folder = record.folder.display();
            assert!(
                in_c.is_empty(),
                "{compiler}: the header breaks {folder}:\n{}",
                in_c.join("\n")
            );
        }
    }
}

#[test]
fn each_recorded_header_has_its_recorded_layout() {
    for record in records() {
        for compiler in compiler::all() {
            let in_c = compiler.evaluate(&record.folder, record.layout.keys());
            assert!(
                in_c == record.layout,
                "{compiler}: {} does not fit its header",
                record.folder.display()
            );
        }
    }
}

/// The present ABI is recorded whole. When it is not, what to commit is written where the failure
/// says.
#[test]
fn the_present_abi_is_recorded() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!(
        "abi/{}.{}",
        abi::ABI_MAJOR,
        abi::ABI_MINOR
    ));
    let wanted: String =
        expected().iter().map(|(expression, value)| format!("{expression} {value}\n")).collect();
    if fs::read_to_string(folder.join("layout.txt")).is_ok_and(|recorded| recorded == wanted) {
        return;
    }
    let written = Path::new(env!("CARGO_TARGET_TMPDIR")).join("layout.txt");
    fs::write(&written, wanted).unwrap();
    panic!(
        "{} is not the present layout. A released ABI never changes: raise HOTCALL_ABI_MINOR, \
         append, and see CONTRIBUTING.md. For a new one, commit a copy of the header and of {}",
        folder.display(),
        written.display()
    );
}

#[test]
fn minors_are_recorded_without_a_gap() {
    let minors: Vec<_> = records().iter().map(|record| record.minor).collect();
    assert_eq!(minors, (0..=abi::ABI_MINOR).collect::<Vec<_>>());
}

#[test]
fn a_change_is_told_from_growth() {
    let record = |text| Record { minor: 0, folder: PathBuf::new(), layout: parse(text) };
    let line = "offsetof(hotcall_plugin, create) 80";
    assert!(broken(&record(line), &parse(line)).is_empty());
    assert_eq!(
        broken(&record(line), &parse("offsetof(hotcall_plugin, create) 88")).len(),
        1,
        "moved"
    );
    assert_eq!(broken(&record(line), &parse("")).len(), 1, "gone");
    assert!(
        broken(&record("sizeof(hotcall_plugin) 128"), &parse("sizeof(hotcall_plugin) 136"))
            .is_empty()
    );
    assert_eq!(
        broken(&record("sizeof(hotcall_plugin) 128"), &parse("sizeof(hotcall_plugin) 120")).len(),
        1
    );
    assert_eq!(
        broken(&record("sizeof(hotcall_value) 24"), &parse("sizeof(hotcall_value) 32")).len(),
        1
    );
    assert_eq!(broken(&record("HOTCALL_STRUCT 9"), &parse("HOTCALL_STRUCT 10")).len(), 1);
}
