//! The files of the repository, and what module of which crate a Rust source is.

use crate::tokens::{Token, tokens_of};
use proc_macro2::TokenStream;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;
use std::{env, fs};

/// The hidden folder that is ours.
const BUILD_STEPS: &str = ".ci";

/// A file of a crate.
pub(crate) struct Source {
    /// From the repository's root.
    pub(crate) path: PathBuf,
    /// `net::pool`, or nothing for the crate's root.
    pub(crate) module: String,
    pub(crate) text: String,
    /// Without code under `#[cfg(test)]`.
    pub(crate) tokens: Vec<Token>,
    pub(crate) tokens_with_tests: Vec<Token>,
}

impl Source {
    pub(crate) fn new(path: &Path, module: String, text: String) -> Self {
        let parsed = text.parse::<TokenStream>();
        let stream = parsed.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let [tokens, tokens_with_tests] =
            [false, true].map(|with_tests| tokens_of(&stream, with_tests));
        Self { path: path.to_owned(), module, text, tokens, tokens_with_tests }
    }

    /// Whether a parent has the file for tests only. Modules for tests may name what they test,
    /// wherever it is.
    pub(crate) fn is_for_tests(&self, sources: &[Self]) -> bool {
        let (parent, name) = self.module.rsplit_once("::").unwrap_or(("", &self.module));
        let parent = sources.iter().find(|source| source.module == parent && !name.is_empty());
        parent.is_some_and(|parent| {
            let declares = |tokens| declared(tokens).contains(name);
            declares(&parent.tokens_with_tests) && !declares(&parent.tokens)
                || parent.is_for_tests(sources)
        })
    }
}

/// The modules that a source declares as files.
fn declared(tokens: &[Token]) -> BTreeSet<&str> {
    let file = |three: &'_ [Token]| three[0].0 == "mod" && three[2].0 == ";";
    tokens.windows(3).filter(|three| file(three)).map(|three| three[1].0.as_str()).collect()
}

pub(crate) fn all_modules(sources: &[Source]) -> BTreeSet<String> {
    sources.iter().map(|source| source.module.clone()).collect()
}

/// `net` of `net::conn::stream`.
pub(crate) fn top(module: &str) -> String {
    module.split("::").next().unwrap_or_default().to_owned()
}

/// All crates of the repository by their roots: libraries, programs, tests and benches, and those
/// of packages outside of the workspace.
pub(crate) static CRATES: LazyLock<BTreeMap<PathBuf, Vec<Source>>> = LazyLock::new(|| {
    let manifests = files().into_iter().filter(|path| path.ends_with("Cargo.toml"));
    let roots: BTreeSet<_> = manifests.flat_map(|manifest| roots(&manifest)).collect();
    let sources = |root: PathBuf| {
        let mut sources = Vec::new();
        collect(&root, String::new(), &mut sources);
        (root, sources)
    };
    roots.into_iter().map(sources).collect()
});

/// The roots of the crates of the workspace that a manifest belongs to, as cargo sees them.
fn roots(manifest: &Path) -> Vec<PathBuf> {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["metadata", "--no-deps", "--offline", "--format-version=1", "--manifest-path"]);
    let output = cargo.arg(workspace().join(manifest)).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap().iter();
    let targets = packages.flat_map(|package| package["targets"].as_array().unwrap());
    let path = |target: &serde_json::Value| {
        let path = Path::new(target["src_path"].as_str().unwrap());
        path.strip_prefix(workspace()).unwrap().to_owned()
    };
    targets.map(path).collect()
}

/// Collects a module and all that it declares. Nothing is above a crate's root.
fn collect(path: &Path, module: String, found: &mut Vec<Source>) {
    let text = fs::read_to_string(workspace().join(path)).unwrap();
    let source = Source::new(path, module, text);
    let is_folder = source.module.is_empty() || path.ends_with("mod.rs");
    let folder =
        if is_folder { path.parent().unwrap().to_owned() } else { path.with_extension("") };
    let children: Vec<_> = declared(&source.tokens_with_tests)
        .into_iter()
        .map(|name| (name.to_owned(), [&source.module, name].join("::")))
        .collect();
    found.push(source);
    for (name, module) in children {
        let files = [folder.join(format!("{name}.rs")), folder.join(name).join("mod.rs")];
        if let Some(file) = files.iter().find(|file| workspace().join(file).is_file()) {
            collect(file, module.trim_start_matches("::").to_owned(), found);
        }
    }
}

pub(crate) fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// All files of the repository by their paths in it, but for what is built there and what editors
/// and git keep in hidden folders.
pub(crate) fn files() -> Vec<PathBuf> {
    let is_skipped = |path: &Path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name == ".git" || path.is_dir() && (name == "target" || name.starts_with('.'))
    };
    let mut found = Vec::new();
    let mut folders = vec![workspace().to_owned(), workspace().join(BUILD_STEPS)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if is_skipped(&path) {
                continue;
            } else if path.is_dir() {
                folders.push(path);
            } else {
                found.push(path.strip_prefix(workspace()).unwrap().to_owned());
            }
        }
    }
    found.sort();
    found
}
