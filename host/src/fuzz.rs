//! What fuzzers run: one function for each place where bytes of others come in. `tests/fuzz` hands them to libFuzzer;
//! here they run over the committed corpora and bounded mutations of them, on any Rust, with every `cargo test`.
//!
//! No part of the API.

#[cfg(test)]
mod tests;

/// A target's name, which is that of its corpus, and what must not panic.
pub type Target = (&'static str, fn(&[u8]));

/// All targets.
pub const TARGETS: [Target; 4] = [
    ("abi", crate::plugin::fuzz::abi),
    ("decode", crate::xmlrpc::fuzz::decode),
    ("encode_decode", crate::xmlrpc::fuzz::encode_decode),
    ("http_head", crate::net::fuzz::http_head),
];

/// Runs the target of this name; one of [`TARGETS`].
pub fn run(name: &str, bytes: &[u8]) {
    let target = TARGETS.iter().find(|(target, _)| *target == name);
    assert!(target.is_some(), "no fuzz target is called {name}");
    if let Some((_, run)) = target {
        run(bytes);
    }
}
