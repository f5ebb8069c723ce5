//! The short smoke run: every target over its whole corpus, and over what `mutate` makes, the same
//! each time.
//!
//! `HOTCALL_FUZZ_ROUNDS` makes it longer, `HOTCALL_FUZZ_SEED` begins it elsewhere. A failure says
//! which two show it alone.

use super::mutate::Random;
use super::*;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::{env, fs};

#[test]
fn abi() {
    shake("abi", 6_000);
}

#[test]
fn content() {
    shake("content", 250);
}

#[test]
fn decode() {
    shake("decode", 1_500);
}

#[test]
fn decode_differential() {
    shake("decode_differential", 1_000);
}

#[test]
fn encode_decode() {
    shake("encode_decode", 1_000);
}

#[test]
fn framing() {
    shake("framing", 1_000);
}

#[test]
fn http_head() {
    shake("http_head", 3_000);
}

#[test]
fn every_target_has_a_corpus_and_a_test_and_a_fuzzer() {
    let here = include_str!("tests.rs");
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    for (name, _) in TARGETS {
        assert!(here.contains(&format!("shake(\"{name}\", ")), "{name} is not run here");
        let fuzzer = root().join("fuzz_targets").join(format!("{name}.rs"));
        assert!(fuzzer.is_file(), "{} is missing", fuzzer.display());
        assert!(manifest.contains(&format!("name = \"{name}\"")), "{name} is not in Cargo.toml");
        assert!(!corpus(name).is_empty(), "{name} has no corpus");
    }
}

/// Runs a target over its corpus and as many rounds, and says which bytes it failed for.
fn shake(name: &str, rounds: u64) {
    let set =
        |variable: &str| env::var(variable).ok().and_then(|number| number.parse::<u64>().ok());
    let rounds = set("HOTCALL_FUZZ_ROUNDS").unwrap_or(rounds);
    let first = set("HOTCALL_FUZZ_SEED").unwrap_or(0);
    let files = corpus(name);
    for path in &files {
        try_out(name, &fs::read(path).unwrap(), || path.display().to_string());
    }
    let corpus: Vec<_> = files.iter().map(|path| fs::read(path).unwrap()).collect();
    for seed in first..first.saturating_add(rounds) {
        let bytes = Random(seed).input(name, &corpus);
        try_out(name, &bytes, || format!("HOTCALL_FUZZ_SEED={seed} HOTCALL_FUZZ_ROUNDS=1"));
    }
}

fn try_out(name: &str, bytes: &[u8], origin: impl FnOnce() -> String) {
    if catch_unwind(AssertUnwindSafe(|| run(name, bytes))).is_err() {
        panic!("{name} failed for {}: {}", origin(), bytes.escape_ascii());
    }
}

fn corpus(name: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(root().join("corpus").join(name)).unwrap();
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fuzz")
}
