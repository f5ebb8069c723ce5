//! Files that must not be served: each is refused with a reason, and whatever served before still
//! does.

use crate::scene::Scene;
use hotcall::plugin::inspect;
use hotcall::plugin::{FileState, Watch};
use std::fs;
use std::io::Write;
use std::path::Path;

/// A defect, by the macro that makes `broken.c` have it, and a part of the reason.
const DEFECTS: [(&str, &str); 17] = [
    ("NO_NOTE", "no .note.hotcall section"),
    ("NO_SYMBOL", "does not export hotcall_plugin_v1"),
    ("UNDEFINED_SYMBOL", "hotcall_test_defined_nowhere"),
    ("TABLE_SIZE=64", "struct_size 64 and needs 128"),
    ("METHOD_SIZE=8", "struct_size 8 and needs 64"),
    ("MAJOR=2", "abi_major is 2"),
    ("METHODS_LEN=0", "no methods"),
    ("METHODS_LEN=2", "exports broken twice"),
    ("METHODS_LEN=4000000000", "may have 10000"),
    ("METHODS=(const hotcall_method*const*)16", "not in the library"),
    ("METHODS=0", "not in the library"),
    ("INVOKE=0", "no invoke function"),
    ("METHOD=\"a b\"", "ASCII letters"),
    ("METHOD=\"system.halt\"", "reserved"),
    ("METHOD=\"\\377\"", "not UTF-8"),
    ("PLUGIN=\"../up\"", "ASCII letters"),
    ("TYPE=99", "unknown type 99"),
];

fn refusal_of(scene: &Scene, file: &Path) -> String {
    scene.inspected(file).refusal.unwrap_or_default()
}

/// Why these bytes are refused, which must be before they are copied or loaded.
fn refusal(scene: &Scene, bytes: &[u8]) -> String {
    let file = scene.root.path().join("candidate.so");
    fs::write(&file, bytes).unwrap();
    let report = scene.inspected(&file);
    assert_eq!(report.passed, ["permissions", "read", "trust"]);
    report.refusal.unwrap()
}

#[test]
fn a_plugin_without_defect_passes_every_step() {
    let scene = Scene::new();
    let report = scene.inspected(&scene.build("broken.c", &[]));
    assert_eq!(report.refusal, None);
    assert_eq!(report.passed, inspect::STEPS);
    assert_eq!(report.abi, Some((1, 0)));
    assert_eq!(report.methods[0].name, "broken");
    assert!(report.warnings.is_empty());
}

#[test]
fn a_variable_shared_between_generations_is_a_warning() {
    let scene = Scene::new();
    let report = scene.inspected(&scene.build("broken.c", &["UNIQUE"]));
    assert_eq!(report.refusal, None);
    assert!(report.warnings[0].contains("shared") && report.warnings[0].contains("counter"));
}

#[test]
fn each_defect_of_a_table_is_named() {
    let scene = Scene::new();
    for (define, reason) in DEFECTS {
        let text = refusal_of(&scene, &scene.build("broken.c", &[define]));
        assert!(text.contains(reason), "{define}: {text:?} lacks {reason:?}");
    }
    let failed = refusal_of(&scene, &scene.build("broken.c", &["CREATE_STATUS=HOTCALL_FAULT"]));
    assert!(failed.contains("failed: the disk is on fire"), "{failed}");
    let panicked = refusal_of(&scene, &scene.build("broken.c", &["CREATE_STATUS=HOTCALL_PANIC"]));
    assert!(panicked.contains("panicked: the disk is on fire"), "{panicked}");
}

#[test]
fn a_cut_off_file_is_refused_at_every_place() {
    let scene = Scene::new();
    let whole = fs::read(scene.build("broken.c", &[])).unwrap();
    for part in 1..40 {
        let text = refusal(&scene, &whole[..whole.len() * part / 40]);
        assert!(text.contains("cut off"), "at {part}/40: {text:?}");
    }
    assert!(refusal(&scene, &whole[..whole.len() - 1]).contains("cut off"));
    assert!(refusal(&scene, &whole[..1]).contains("not a shared library"));
}

#[test]
fn foreign_files_are_refused_before_any_code_runs() {
    let scene = Scene::new();
    let whole = fs::read(scene.build("broken.c", &[])).unwrap();
    let patched = |at: usize, byte: u8| {
        let mut bytes = whole.clone();
        bytes[at] = byte;
        refusal(&scene, &bytes)
    };
    assert!(refusal(&scene, b"#!/bin/sh\n").contains("not a shared library"));
    assert!(refusal(&scene, b"").contains("not a shared library"));
    // Offsets of e_ident, e_type and e_machine in the ELF header.
    assert!(patched(4, 1).contains("64 bits"));
    assert!(patched(5, 2).contains("big-endian"));
    assert!(patched(16, 1).contains("shared object"));
    assert!(patched(18, 40).contains("built for ELF machine 40"));
    let note = whole.windows(8).position(|window| window == b"Hotcall\0").unwrap();
    assert!(patched(note + 8, 0).contains("note is damaged"));
    assert!(patched(note + 12, 2).contains("plugin ABI 2"));
}

#[test]
fn a_refused_file_leaves_the_running_one_alone_and_is_not_tried_again() {
    let mut scene = Scene::new();
    let journal = scene.root.path().join("journal");
    fs::copy(scene.life("p", "m", 1), scene.file("p.so")).unwrap();
    scene.start(Watch::Auto);
    assert_eq!(scene.answer("m"), Some(1));
    let bad = scene.build("broken.c", &["CREATE_STATUS=HOTCALL_FAULT"]);

    fs::copy(&bad, scene.file("p.so")).unwrap();
    let refused = scene.until_state("p.so", FileState::Refused);
    assert!(refused.last_error.unwrap().contains("the disk is on fire"));
    assert_eq!((refused.generation, scene.answer("m")), (Some(1), Some(1)));
    let mapped = scene.mapped();

    // The refused content once more, under another name: remembered, not loaded.
    fs::copy(&bad, scene.file("q.so")).unwrap();
    let again = scene.until_state("q.so", FileState::Refused);
    assert!(again.last_error.unwrap().contains("refused before"));
    assert_eq!(scene.mapped(), mapped);

    // A good one heals it.
    fs::copy(scene.life("p", "m", 2), scene.file("p.so")).unwrap();
    scene.until_answer("m", Some(2));
    assert_eq!(scene.until_state("p.so", FileState::Serving).last_error, None);
    assert!(!journal.exists());
}

#[test]
fn a_half_copied_file_is_served_once_it_is_whole() {
    let mut scene = Scene::new();
    fs::copy(scene.life("p", "m", 1), scene.file("p.so")).unwrap();
    scene.start(Watch::Auto);
    let whole = fs::read(scene.life("p", "m", 2)).unwrap();
    let (head, tail) = whole.split_at(whole.len() / 2);
    fs::write(scene.file("p.so"), head).unwrap();
    let refused = scene.until_state("p.so", FileState::Refused);
    assert!(refused.last_error.unwrap().contains("cut off"));
    assert_eq!(scene.answer("m"), Some(1));
    let mut file = fs::OpenOptions::new().append(true).open(scene.file("p.so")).unwrap();
    file.write_all(tail).unwrap();
    scene.until_answer("m", Some(2));
}

#[test]
fn links_and_large_files_are_refused() {
    let mut scene = Scene::new();
    let built = scene.life("p", "m", 1);
    scene.limits.plugin_bytes_max = fs::metadata(&built).unwrap().len();
    std::os::unix::fs::symlink(&built, scene.file("link.so")).unwrap();
    fs::write(
        scene.file("large.so"),
        vec![0; 1 + usize::try_from(scene.limits.plugin_bytes_max).unwrap()],
    )
    .unwrap();
    scene.start(Watch::Off);
    let error = |file| scene.status_of(file).unwrap().last_error.unwrap();
    assert!(error("link.so").contains("symbolic link"));
    assert!(error("large.so").contains("plugin_bytes_max"));
    assert_eq!(scene.answer("m"), None);
}
