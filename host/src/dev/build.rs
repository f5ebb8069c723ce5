//! Builds one plugin and installs the file. Knows no watching.

use super::child::Children;
use super::error::BuildError;
use super::project::{Kind, Target, cargo, same_file};
use serde::Deserialize;
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{self, Command, Stdio};
use std::{fs, io};

/// Builds the plugin in `folder`, and gives the file that the build wrote.
pub(super) fn build(
    folder: &Path,
    kind: &Kind,
    output: &Path,
    release: bool,
    children: &Children,
) -> Result<Option<PathBuf>, BuildError> {
    match kind {
        Kind::Crate(_) => build_crate(folder, release, children).map(Some),
        Kind::Make(file) => build_make(folder, &output.join(".build"), file, children).map(Some),
        Kind::NoPlugin => Ok(None),
    }
}

/// Puts `built` in its place in one step. False when the same bytes stand there already.
pub(super) fn install(built: &Path, installed: &Path) -> Result<bool, BuildError> {
    let bytes = fs::read(built).map_err(|error| BuildError::Write(built.to_owned(), error))?;
    if fs::read(installed).is_ok_and(|old| old == bytes) {
        return Ok(false);
    }
    let name = installed.file_name().unwrap_or_default().to_string_lossy();
    // Hidden and without the extension, so that no server takes it for a plugin.
    let new = installed.with_file_name(format!(".{name}.new"));
    let write = || {
        fs::write(&new, &bytes)?;
        // A server may refuse a plugin that others can write, whatever our umask.
        fs::set_permissions(&new, fs::Permissions::from_mode(0o644))?;
        fs::rename(&new, installed)
    };
    write().map(|()| true).map_err(|error| BuildError::Write(installed.to_owned(), error))
}

fn build_crate(folder: &Path, release: bool, children: &Children) -> Result<PathBuf, BuildError> {
    let manifest = folder.join("Cargo.toml");
    let mut command = Command::new(cargo());
    // Without --locked: authors add dependencies while we run, and cargo then updates the lock
    // file.
    command
        .args(["build", "--lib", "--message-format=json-render-diagnostics", "--manifest-path"])
        .arg(&manifest);
    command.args(release.then_some("--release"));
    command.current_dir(folder).stdout(Stdio::piped());
    without_make(&mut command);
    let (status, printed) = children.run(&mut command)?;
    if !status.success() {
        return Err(BuildError::Failed("cargo build", status));
    }
    let artifacts = printed
        .split(|byte| *byte == b'\n')
        .filter_map(|line| serde_json::from_slice::<Artifact>(line).ok())
        .filter(|artifact| {
            artifact.target.is_cdylib() && same_file(&artifact.manifest_path, &manifest)
        });
    artifacts
        .flat_map(|artifact| artifact.filenames)
        .find(|file| file.extension().is_some_and(|extension| extension == "so"))
        .ok_or_else(|| BuildError::Output("cargo build named no shared library".to_owned()))
}

fn build_make(
    folder: &Path,
    staging: &Path,
    file: &str,
    children: &Children,
) -> Result<PathBuf, BuildError> {
    let out = staging.join(file);
    // An old file must not pass for a new one, be it of this plugin or of one that had its name.
    match fs::create_dir_all(staging).and_then(|()| fs::remove_file(&out)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(BuildError::Write(out, error));
        }
        _ => {}
    }
    // make cannot name a file in a path that holds a space. This way to the folder holds none, and
    // lasts as long as we keep it open.
    let open =
        fs::File::open(staging).map_err(|error| BuildError::Write(staging.to_owned(), error))?;
    let assignment = format!("OUT=/proc/{}/fd/{}/{file}", process::id(), open.as_raw_fd());
    let mut command = Command::new("make");
    command.arg("--silent").arg("-C").arg(folder).arg(assignment).stdout(io::stderr());
    without_make(&mut command);
    let (status, _) = children.run(&mut command)?;
    if !status.success() {
        return Err(BuildError::Failed("make", status));
    }
    if !out.is_file() {
        let text = format!(
            "make wrote no file {}: its Makefile must write the library to $(OUT)",
            out.display()
        );
        return Err(BuildError::Output(text));
    }
    Ok(out)
}

/// A make that started us must not hand its own settings and job server to a plugin's build.
fn without_make(command: &mut Command) {
    for name in ["MAKEFLAGS", "MFLAGS", "MAKEOVERRIDES", "MAKELEVEL", "CARGO_MAKEFLAGS"] {
        command.env_remove(name);
    }
}

/// What we read of cargo's `compiler-artifact` message; its other messages lack these fields.
#[derive(Deserialize)]
struct Artifact {
    manifest_path: PathBuf,
    target: Target,
    filenames: Vec<PathBuf>,
}
