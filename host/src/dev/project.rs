//! Which folders hold plugins, and of which kind.

use super::child::Children;
use super::error::BuildError;
use super::sources::ignored;
use serde::Deserialize;
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, fs, io};

/// Folders that may hold a plugin, in all directories together.
const FOLDERS_MAX: usize = 10_000;

/// What a folder turned out to hold.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A crate with a cdylib, installed under this file name.
    Crate(String),
    /// A Makefile and C, installed under this file name.
    Make(String),
    /// A crate without a cdylib.
    NoPlugin,
}

/// The folders that may hold a plugin: a directory itself, and its direct children.
///
/// # Errors
/// A directory that cannot be read, or too many folders. A directory that is gone holds none.
pub(super) fn candidates(dirs: &[PathBuf]) -> io::Result<BTreeSet<PathBuf>> {
    let mut found = BTreeSet::new();
    for dir in dirs {
        let entries = match fs::read_dir(dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        if is_candidate(dir) {
            found.insert(dir.clone());
        }
        for entry in entries {
            let entry = entry?;
            let path = entry.path();
            if !ignored(&entry.file_name().to_string_lossy())
                && path.is_dir()
                && is_candidate(&path)
            {
                found.insert(path);
            }
            if found.len() > FOLDERS_MAX {
                return Err(io::Error::other(format!(
                    "more than {FOLDERS_MAX} folders may hold a plugin"
                )));
            }
        }
    }
    Ok(found)
}

/// Finds out what a candidate holds; asks cargo about a crate.
pub(super) fn identify(folder: &Path, children: &Children) -> Result<Kind, BuildError> {
    let manifest = folder.join("Cargo.toml");
    if !manifest.is_file() {
        let name = folder.file_name().unwrap_or(folder.as_os_str()).to_string_lossy();
        if name.contains(|c: char| c.is_ascii_control()) {
            let why = "its folder's name has a control character, and no server serves such a \
                       file; rename it";
            return Err(BuildError::Output(why.to_owned()));
        }
        return Ok(Kind::Make(format!("{name}.so")));
    }
    let mut command = Command::new(cargo());
    command
        .args(["metadata", "--no-deps", "--format-version", "1", "--manifest-path"])
        .arg(&manifest);
    command.current_dir(folder).stdout(Stdio::piped());
    let (status, printed) = children.run(&mut command)?;
    if !status.success() {
        return Err(BuildError::Failed("cargo metadata", status));
    }
    let metadata: Metadata = serde_json::from_slice(&printed).map_err(|error| {
        BuildError::Output(format!("cargo metadata printed what cannot be read: {error}"))
    })?;
    let library = metadata
        .packages
        .into_iter()
        .filter(|package| same_file(&package.manifest_path, &manifest))
        .flat_map(|package| package.targets)
        .find(Target::is_cdylib);
    Ok(library.map_or(Kind::NoPlugin, |target| {
        Kind::Crate(format!("lib{}.so", target.name.replace('-', "_")))
    }))
}

/// The cargo to run: the one that runs us, if one does.
pub(super) fn cargo() -> OsString {
    env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

/// Whether two paths lead to one file.
pub(super) fn same_file(one: &Path, other: &Path) -> bool {
    match (fs::canonicalize(one), fs::canonicalize(other)) {
        (Ok(one), Ok(other)) => one == other,
        _ => false,
    }
}

/// What we read of a target in cargo's messages.
#[derive(Deserialize)]
pub(super) struct Target {
    name: String,
    kind: Vec<String>,
}

impl Target {
    /// Whether it is the library of its package, as a shared library with a C interface.
    pub(super) fn is_cdylib(&self) -> bool {
        self.kind.iter().any(|kind| kind == "cdylib")
    }
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    manifest_path: PathBuf,
    targets: Vec<Target>,
}

fn is_candidate(folder: &Path) -> bool {
    folder.join("Cargo.toml").is_file() || (folder.join("Makefile").is_file() && has_c(folder))
}

/// A Makefile alone may be anything, such as documentation's.
fn has_c(folder: &Path) -> bool {
    let Ok(entries) = fs::read_dir(folder) else { return false };
    let sources = ["c", "cc", "cpp", "cxx"];
    entries.flatten().any(|entry| {
        entry
            .path()
            .extension()
            .is_some_and(|extension| sources.iter().any(|source| extension == *source))
    })
}
