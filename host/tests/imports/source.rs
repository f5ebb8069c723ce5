//! The files of the workspace, and what module of which crate a Rust source is.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// A file of a crate: its path from the crate's root, the module that it is, and its text.
pub(crate) struct Source {
    pub(crate) path: PathBuf,
    pub(crate) module: String,
    pub(crate) text: String,
}

impl Source {
    pub(crate) fn new(path: impl Into<PathBuf>, text: impl Into<String>) -> Self {
        let path = path.into();
        Self { module: module(&path), path, text: text.into() }
    }

    /// Modules for tests only may name what they test, wherever it is.
    pub(crate) fn is_test(&self) -> bool {
        self.module.split("::").any(|part| part == "tests" || part == "fuzz")
    }
}

pub(crate) fn all_modules(sources: &[Source]) -> BTreeSet<String> {
    sources.iter().map(|source| source.module.clone()).collect()
}

/// `net` of `net::conn::stream`.
pub(crate) fn top(module: &str) -> String {
    module.split("::").next().unwrap_or_default().to_owned()
}

/// `net` for net.rs and net/mod.rs, `net::pool` for net/pool.rs, and nothing for lib.rs.
fn module(path: &Path) -> String {
    let mut parts: Vec<_> =
        path.with_extension("").iter().map(|part| part.to_string_lossy().into_owned()).collect();
    if matches!(parts.last().map(String::as_str), Some("mod" | "lib" | "main")) {
        parts.pop();
    }
    parts.join("::")
}

/// The Rust files of a folder of the workspace.
pub(crate) fn sources(folder: &str) -> Vec<Source> {
    let root = workspace().join(folder);
    let rust =
        files(&root).into_iter().filter(|path| path.extension().is_some_and(|end| end == "rs"));
    let read = |path: PathBuf| {
        Source::new(path.strip_prefix(&root).unwrap(), fs::read_to_string(&path).unwrap())
    };
    let mut sources: Vec<_> = rust.map(read).collect();
    // A program beside a library is another crate.
    if sources.iter().any(|source| source.path == Path::new("lib.rs")) {
        for source in sources.iter_mut().filter(|source| source.path == Path::new("main.rs")) {
            source.module = "main".into();
        }
    }
    sources
}

pub(crate) fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// All files below a folder, but for what is built there.
pub(crate) fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.ends_with("target") {
            found.extend(files(&path));
        } else if path.is_file() {
            found.push(path);
        }
    }
    found.sort();
    found
}
