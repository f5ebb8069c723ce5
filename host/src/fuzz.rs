//! The functions that fuzzers run: one for each place where foreign bytes come in.
//!
//! `tests/fuzz` hands them to libFuzzer. Here they run on any Rust with every `cargo test`: over
//! the committed corpora, over mutations of them and over generated input.
//!
//! No part of the API.

pub mod constructs;
#[cfg(test)]
mod costs;
#[cfg(test)]
mod documents;
mod memory;
#[cfg(test)]
mod mutate;
#[cfg(test)]
mod tests;

/// A target's name, which is that of its corpus, and what must not panic.
pub type Target = (&'static str, fn(&[u8]));

/// All targets.
pub const TARGETS: [Target; 7] = [
    ("abi", crate::plugin::instance::fuzz::abi),
    ("content", crate::web::fuzz::content),
    ("decode", crate::xmlrpc::fuzz::decode),
    ("decode_differential", crate::xmlrpc::fuzz::differential::differential),
    ("encode_decode", crate::xmlrpc::fuzz::encode_decode),
    ("framing", crate::net::fuzz::framing),
    ("http_head", crate::net::fuzz::http_head),
];

/// Memory that a target may take whatever it is given.
const MEMORY_BYTES_MAX: usize = 1 << 20;
/// Memory that it may take for each byte that it is given: a value takes more than its tag.
const MEMORY_BYTES_PER_BYTE: usize = 200;

/// Whether these bytes are one whole request that is let in. For `benches/gate.rs`.
pub fn vet(bytes: &[u8]) -> bool {
    crate::net::fuzz::vet(bytes)
}

/// Runs the target of this name, one of [`TARGETS`].
///
/// # Panics
/// There is none of this name, or it found a bug.
pub fn run(name: &str, bytes: &[u8]) {
    let target = TARGETS.iter().find(|(target, _)| *target == name);
    assert!(target.is_some(), "no fuzz target is called {name}");
    if let Some((_, run)) = target {
        let taken = memory::used(|| run(bytes)).peak;
        let may_take = MEMORY_BYTES_MAX + bytes.len() * MEMORY_BYTES_PER_BYTE;
        assert!(taken <= may_take, "{} bytes took {taken} bytes of memory", bytes.len());
    }
}
