//! The short smoke run: every target over its whole corpus, and over mutations that are the same each time.
#![allow(clippy::cast_possible_truncation, reason = "random numbers are cut to size")]

use super::*;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::{env, fs};

/// Mutations of each file of a corpus; `HOTCALL_FUZZ_ROUNDS` makes it more, for a longer run without a fuzzer.
const ROUNDS: u64 = 60;
const MUTATIONS_MAX: usize = 6;
/// A mutation that grows past this is cut: the smoke run is short.
const BYTES_MAX: usize = 8_192;

/// What mutations splice in: pieces that mean something to one parser or another.
const PIECES: [&[u8]; 38] = [
    b"<",
    b">",
    b"/",
    b"&",
    b";",
    b"]]>",
    b"<![CDATA[",
    b"<!--",
    b"-->",
    b"<?",
    b"?>",
    b"<!DOCTYPE a [",
    b"\0",
    b"\xFF",
    b"\xEF\xBB\xBF",
    b"\xFE\xFF",
    b"\xFF\xFE",
    b"<value>",
    b"</value>",
    b"<value/>",
    b"<array><data>",
    b"<struct><member>",
    b"xmlns:ex='",
    b"<ex:nil/>",
    b"&#x10FFFF;",
    b"&#0;",
    b"encoding='utf-16'",
    b"encoding='latin1'",
    b"\r\n",
    b"\n",
    b"\r",
    b" ",
    b":",
    b"Transfer-Encoding: chunked\r\n",
    b"Content-Length: 1\r\n",
    b"Host: h\r\n",
    b"HTTP/1.1",
    b"Content-Type: a\r\n",
];

#[test]
fn abi() {
    shake("abi");
}

#[test]
fn decode() {
    shake("decode");
}

#[test]
fn encode_decode() {
    shake("encode_decode");
}

#[test]
fn http_head() {
    shake("http_head");
}

#[test]
fn every_target_has_a_corpus_and_a_test_and_a_fuzzer() {
    let here = include_str!("tests.rs");
    for (name, _) in TARGETS {
        assert!(here.contains(&format!("shake(\"{name}\")")), "{name} is not run here");
        let fuzzer = root().join("fuzz_targets").join(format!("{name}.rs"));
        assert!(fuzzer.is_file(), "{} is missing", fuzzer.display());
        assert!(!corpus(name).is_empty(), "{name} has no corpus");
    }
}

/// Runs a target over its corpus and mutations of it, and says which bytes it failed for.
fn shake(name: &str) {
    let rounds = env::var("HOTCALL_FUZZ_ROUNDS").ok().and_then(|rounds| rounds.parse().ok());
    for path in corpus(name) {
        let seed = fs::read(&path).unwrap();
        try_out(name, &seed, &format!("{}", path.display()));
        for round in 0..rounds.unwrap_or(ROUNDS) {
            let mut random = Random(round);
            try_out(name, &random.mutate(&seed), &format!("{}, mutation {round}", path.display()));
        }
    }
}

fn try_out(name: &str, bytes: &[u8], origin: &str) {
    let outcome = catch_unwind(AssertUnwindSafe(|| run(name, bytes)));
    assert!(outcome.is_ok(), "{name} failed for {origin}: {}", bytes.escape_ascii());
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

/// SplitMix64: seeded, so that a failure is a failure again.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }

    fn mutate(&mut self, seed: &[u8]) -> Vec<u8> {
        let mut bytes = seed.to_vec();
        for _ in 0..=self.below(MUTATIONS_MAX) {
            let at = self.below(bytes.len());
            let end = (at + self.below(40)).min(bytes.len());
            match self.below(6) {
                0 => bytes.truncate(at.max(1)),
                1 if !bytes.is_empty() => bytes[at] = self.next() as u8,
                2 => drop(bytes.drain(at..end)),
                3 => {
                    let part = bytes[at..end].to_vec();
                    let to = self.below(bytes.len());
                    drop(bytes.splice(to..to, part));
                }
                4 if !bytes.is_empty() => bytes[at] ^= 1 << self.below(8),
                _ => {
                    let piece = PIECES[self.below(PIECES.len())];
                    drop(bytes.splice(at..at, piece.iter().copied()));
                }
            }
        }
        bytes.truncate(BYTES_MAX);
        bytes
    }
}
