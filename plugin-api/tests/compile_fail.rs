//! What an author does wrong is refused when the plugin is built, in our words and at the author's
//! own line.
//!
//! Each file of `compile_fail/` is compiled on its own against the SDK. `//~ ERROR text` at the end
//! of a line wants an error there that contains the text; other errors of the compiler do not
//! matter. A file without such a line must compile without a single warning. `//@ flag ...` in the
//! first line adds flags for the compiler.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use serde_json::Value;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const MARKER: &str = "//~ ERROR ";

#[test]
fn mistakes_are_refused_at_the_authors_line() {
    let sdk = Sdk::build();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/compile_fail");
    let mut files: Vec<_> =
        fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(files.len() > 20, "the cases are in {}", folder.display());
    let problems: Vec<_> = files.iter().flat_map(|file| sdk.check(file)).collect();
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

/// The library as this workspace builds it, and where its dependencies are.
struct Sdk {
    library: PathBuf,
    output: PathBuf,
}

impl Sdk {
    /// Asks cargo, which has just built it for this test, under which name.
    fn build() -> Self {
        let output = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("compile_fail");
        fs::create_dir_all(&output).unwrap();
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
        let built = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
            .args([
                "build",
                "--offline",
                "--message-format=json",
                "--package",
                "hotcall-plugin",
                "--target-dir",
            ])
            .arg(target)
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .output()
            .unwrap();
        let scene = String::from_utf8_lossy(&built.stderr);
        assert!(built.status.success(), "{scene}");
        let library = json_lines(&built.stdout)
            .filter(|message| message["target"]["name"] == "hotcall_plugin")
            .flat_map(|message| message["filenames"].as_array().cloned().unwrap_or_default())
            .filter_map(|name| name.as_str().map(PathBuf::from))
            .find(|name| name.extension().is_some_and(|e| e == "rlib"))
            .unwrap_or_else(|| panic!("cargo named no library: {scene}"));
        Self { library, output }
    }

    /// Compiles one file; answers what is not as its markers say.
    fn check(&self, file: &Path) -> Vec<String> {
        let source = fs::read_to_string(file).unwrap();
        let flags =
            source.lines().next().and_then(|line| line.strip_prefix("//@ ")).unwrap_or_default();
        let compiled = Command::new(env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()))
            .args([
                "--edition=2024",
                "--crate-type=cdylib",
                "--emit=metadata",
                "--error-format=json",
            ])
            .args(flags.split_whitespace())
            .arg("--out-dir")
            .arg(&self.output)
            .arg("--extern")
            .arg(format!("hotcall_plugin={}", self.library.display()))
            .arg("-L")
            .arg(format!("dependency={}", self.library.with_file_name("deps").display()))
            .env("CARGO_PKG_VERSION", "1.2.3")
            .env("CARGO_PKG_DESCRIPTION", "a case")
            .arg(file)
            .output()
            .unwrap();
        let found: Vec<_> =
            json_lines(&compiled.stderr).flat_map(|message| reports(&message)).collect();
        let name = file.file_name().unwrap().to_string_lossy();
        let wanted: Vec<_> =
            source.lines().zip(1..).filter_map(|(line, n)| marker(line, n)).collect();
        if wanted.is_empty() && !(compiled.status.success() && found.is_empty()) {
            return vec![format!("{name}: must compile without a warning, got {found:#?}")];
        }
        if !wanted.is_empty() && compiled.status.success() {
            return vec![format!("{name}: compiled, though it must not")];
        }
        let missing = |(line, text): (u64, &str)| {
            let hit = found
                .iter()
                .any(|report| report.error && report.line == line && report.text.contains(text));
            (!hit).then(|| format!("{name}:{line}: wants the error `{text}`, got {found:#?}"))
        };
        wanted.into_iter().filter_map(missing).collect()
    }
}

/// One message at one line of the author's file.
#[derive(Debug)]
struct Report {
    error: bool,
    line: u64,
    text: String,
}

/// What one message of the compiler says at each line that it points to first.
fn reports(message: &Value) -> Vec<Report> {
    let level = message["level"].as_str().unwrap_or_default();
    let spans = message["spans"].as_array().cloned().unwrap_or_default();
    let text = message["message"].as_str().unwrap_or_default();
    let report = |line| Report { error: level == "error", line, text: text.to_owned() };
    spans
        .iter()
        .filter(|span| span["is_primary"] == true)
        .filter_map(|span| span["line_start"].as_u64())
        .map(report)
        .collect()
}

fn marker(line: &str, number: u64) -> Option<(u64, &str)> {
    line.split_once(MARKER).map(|(_, text)| (number, text.trim()))
}

fn json_lines(bytes: &[u8]) -> impl Iterator<Item = Value> {
    bytes.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok())
}
