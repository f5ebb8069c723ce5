//! What is tested, built once for each test process: the binary, the bundled plugins, and plugins
//! in C.

use crate::shared::repository;
use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// The `hotcall` binary.
pub fn hotcall() -> &'static Path {
    built("hotcall")
}

/// A plugin of the workspace, by its crate's name.
pub fn plugin(name: &str) -> &'static Path {
    built(name)
}

/// A target of a package, built for release with these variables, which its code may read.
pub fn release(package: &str, variables: &[(&str, &str)]) -> PathBuf {
    let package_flag = format!("--package={package}");
    let files = cargo_build(&["--release", &package_flag], variables);
    files.get(package).unwrap_or_else(|| panic!("cargo built no {package}: {files:?}")).clone()
}

/// A binary of a package that is no member of the workspace, built for release.
pub fn release_beside(manifest: &Path, binary: &str) -> PathBuf {
    let (manifest, target) =
        (format!("--manifest-path={}", manifest.display()), target().join("peers"));
    let target = format!("--target-dir={}", target.display());
    let files = cargo_build(&["--release", &manifest, &target], &[]);
    files.get(binary).unwrap_or_else(|| panic!("cargo built no {binary}: {files:?}")).clone()
}

/// The plugin in `tests/database`, with its own copy of SQLite or with the system's.
pub fn database(is_bundled: bool) -> PathBuf {
    let manifest = repository().join("tests/database/Cargo.toml");
    let (copy, features) = if is_bundled { ("bundled", "bundled") } else { ("shared", "") };
    let manifest = format!("--manifest-path={}", manifest.display());
    let target = format!("--target-dir={}", target().join("database").join(copy).display());
    let features = format!("--features={features}");
    let files = cargo_build(&[&manifest, &target, &features], &[]);
    files.get("database").unwrap_or_else(|| panic!("cargo built no plugin: {files:?}")).clone()
}

/// Where everything is built.
pub fn target() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    repository().join(target.unwrap_or_else(|| "target".into()))
}

/// The bundled plugin in C, built by its own Makefile where `make plugins` builds it.
pub fn text_c() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let directory = target().join("plugins");
        fs::create_dir_all(&directory).expect("a directory");
        let path = directory.join("text-c.so");
        let mut make = Command::new("make");
        make.arg("-C")
            .arg(repository().join("plugins/text-c"))
            .arg(format!("OUT={}", path.display()));
        // A parent make's flags and variables are not this one's.
        run(make.env_remove("MAKEFLAGS").env_remove("MAKELEVEL").env_remove("MAKEOVERRIDES"));
        path
    })
}

/// Compiles a C source into a plugin, with the given extra arguments for `cc`.
pub fn compile_c(source: &Path, output: &Path, arguments: &[&str]) {
    let include = repository().join("plugin-api/include");
    let mut cc = Command::new("cc");
    cc.args(["-std=c11", "-O1", "-Wall", "-Wextra", "-Werror", "-fPIC", "-shared", "-I"])
        .arg(include);
    run(cc.args(arguments).arg("-o").arg(output).arg(source));
}

/// Runs a command to its end and gives its standard output.
///
/// # Panics
/// When it cannot be run or fails: with all that it printed.
pub fn run(command: &mut Command) -> String {
    let shown = format!("{command:?}");
    let output =
        command.stdin(Stdio::null()).output().unwrap_or_else(|error| panic!("{shown}: {error}"));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(
        output.status.success(),
        "{shown}: {}\n--- stdout\n{out}\n--- stderr\n{err}",
        output.status
    );
    out
}

/// Builds the workspace's binary and plugins with cargo, which does nothing when they are fresh,
/// and finds the file of one target.
fn built(target: &str) -> &'static Path {
    static BUILT: OnceLock<HashMap<String, PathBuf>> = OnceLock::new();
    let packages = ["hotcall", "arithmetic", "counter", "interop", "validator1", "echo"]
        .map(|package| format!("--package={package}"));
    let files = BUILT.get_or_init(|| cargo_build(&packages.each_ref().map(String::as_str), &[]));
    files.get(target).unwrap_or_else(|| panic!("cargo built no {target}: {files:?}"))
}

/// Runs `cargo build` and gives the files of all binaries and plugins, by their targets' names.
fn cargo_build(arguments: &[&str], variables: &[(&str, &str)]) -> HashMap<String, PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut build = Command::new(cargo);
    build
        .current_dir(repository())
        .args(["build", "--locked", "--message-format=json"])
        .args(arguments);
    run(build.envs(variables.iter().copied())).lines().filter_map(file_of_message).collect()
}

/// The name and the file of a binary or a cdylib in one line of cargo's messages.
fn file_of_message(line: &str) -> Option<(String, PathBuf)> {
    let message: serde_json::Value = serde_json::from_str(line).ok()?;
    let kind = message["target"]["kind"][0].as_str()?;
    let wanted = match kind {
        "bin" => message["executable"].as_str()?,
        "cdylib" => message["filenames"]
            .as_array()?
            .iter()
            .find_map(|name| name.as_str().filter(|name| name.ends_with(".so")))?,
        _ => return None,
    };
    Some((message["target"]["name"].as_str()?.to_owned(), PathBuf::from(wanted)))
}
