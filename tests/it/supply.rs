//! The supply chain: builds use the versions in the lock file, and the same source gives the same
//! bytes everywhere.

use crate::trial::trial;
use hotcall_tests::artifacts::run;
use hotcall_tests::repository;
use libtest_mimic::Trial;
use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

pub fn trials() -> Vec<Trial> {
    let mut trials = vec![
        trial("supply::every_build_of_make_and_ci_is_locked", locked),
        trial("supply::a_plugin_is_the_same_bytes_in_two_folders", plugins_are_reproducible),
    ];
    // It takes minutes, so only `make test-reproducible` asks for it.
    if env::var_os("HOTCALL_TESTS_RELEASE").is_some() {
        trials.push(trial(
            "supply::a_release_is_the_same_bytes_in_two_folders",
            release_is_reproducible,
        ));
    }
    trials
}

/// cargo's commands that resolve dependencies, and would change a stale lock file without
/// `--locked`.
const RESOLVING: [&str; 9] =
    ["bench", "build", "check", "clippy", "doc", "install", "run", "rustc", "test"];

fn locked() {
    let makefile = fs::read_to_string(repository().join("Makefile")).unwrap();
    let phony = makefile.lines().filter_map(|line| line.strip_prefix(".PHONY:"));
    let mut builds = 0;
    for target in phony.flat_map(str::split_whitespace) {
        // Prints the commands that the target would run.
        let printed = run(make(&repository()).args(["--dry-run", "CARGO=cargo", target]));
        builds += assert_locked(&format!("make {target}"), &printed);
    }
    assert!(builds >= 10, "only {builds} builds found in the Makefile");
    let ci = fs::read_to_string(repository().join(".ci/run")).unwrap();
    assert!(assert_locked(".ci/run", &ci) >= 2, "no builds found in .ci/run");
}

/// Checks each command that runs cargo, and gives the number of those that build.
fn assert_locked(of: &str, script: &str) -> usize {
    let script = script.replace("\\\n", " ");
    let commands = script.lines().flat_map(|line| line.split("&&")).filter(|command| {
        let words: Vec<_> = command.split_whitespace().collect();
        words.windows(2).any(|pair| pair[0] == "cargo" && RESOLVING.contains(&pair[1]))
    });
    let inspect =
        |command: &&str| assert!(command.contains(" --locked"), "{of} builds unlocked: {command}");
    commands.inspect(inspect).count()
}

/// One plugin in each language, with the recipe of `make plugins`.
fn plugins_are_reproducible() {
    // Debug information holds paths, and text-c has none by default.
    let arguments = ["plugins", "RUST_PLUGINS=counter", "C_PLUGINS=text-c", "CFLAGS=-O2 -g"];
    let built = assert_reproducible(&arguments, 3);
    assert_split(&built, "libcounter.so");
    assert!(built["libcounter.so"].len() < PLUGIN_BYTES_MAX);
}

/// What a bundled plugin in Rust may have without its debug information.
const PLUGIN_BYTES_MAX: usize = 500_000;

/// Checks that a file's line tables are in the file beside it, which it names.
fn assert_split(built: &Built, name: &str) {
    let sections = |name: &str| {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), &built[name]).unwrap();
        run(Command::new("readelf").arg("-SW").arg(file.path()))
    };
    let (program, debug) = (sections(name), sections(&format!("{name}.debug")));
    assert!(!program.contains(".debug_line") && debug.contains(".debug_line"), "{program}{debug}");
    assert!(program.contains(".gnu_debuglink"), "{program}");
    assert!(contains(&built[name], &format!("{name}.debug")));
}

fn release_is_reproducible() {
    // The server and four plugins with their debug information, and text-c.
    let built = assert_reproducible(&["build", "plugins"], 11);
    assert_split(&built, "hotcall");
}

/// Files that make has made, by their names.
type Built = BTreeMap<String, Vec<u8>>;

/// Runs make with these arguments in two copies of the repository, and compares the `count` files
/// that it made.
fn assert_reproducible(arguments: &[&str], count: usize) -> Built {
    let root = tempfile::tempdir().unwrap();
    let cargo_home = cargo_home();
    let one = Build {
        checkout: root.path().join("one"),
        target: root.path().join("one/target"),
        cargo_home: cargo_home.clone(),
    };
    // No path of the second build is one of the first, nor as long. They share the sources of
    // crates.
    let two = Build {
        checkout: root.path().join("another checkout"),
        target: root.path().join("elsewhere/out"),
        cargo_home: root.path().join("cargo"),
    };
    fs::create_dir(&two.cargo_home).unwrap();
    symlink(cargo_home.join("registry"), two.cargo_home.join("registry")).unwrap();

    let built = [&one, &two].map(|build| build.make(arguments));
    let hidden = hidden_paths(root.path(), &cargo_home);
    for files in &built {
        assert_eq!(files.len(), count, "{:?}", files.keys());
        for (name, bytes) in files {
            for path in &hidden {
                assert!(!contains(bytes, path), "{name} contains the path {path}");
            }
        }
    }
    let [one, two] = built;
    for (name, bytes) in &one {
        assert!(Some(bytes) == two.get(name), "{name} has other bytes in another folder");
    }
    one
}

/// A copy of the repository and where it is built.
struct Build {
    checkout: PathBuf,
    target: PathBuf,
    cargo_home: PathBuf,
}

impl Build {
    /// The server, if it was built, and the plugins, by their names.
    fn make(&self, arguments: &[&str]) -> Built {
        copy(&repository(), &self.checkout);
        let mut command = make(&self.checkout);
        command
            .args(arguments)
            .env("CARGO_TARGET_DIR", &self.target)
            .env("CARGO_HOME", &self.cargo_home);
        run(&mut command);
        let plugins =
            fs::read_dir(self.target.join("plugins")).unwrap().map(|entry| entry.unwrap().path());
        let release = self.target.join("release");
        let server = ["hotcall", "hotcall.debug"].map(|file| release.join(file));
        let server = server.into_iter().filter(|file| file.is_file());
        let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
        plugins.chain(server).map(|path| (name(&path), fs::read(path).unwrap())).collect()
    }
}

/// make, without what a parent make or a parent cargo has set for its own builds.
fn make(folder: &Path) -> Command {
    let mut make = Command::new("make");
    make.arg("--no-print-directory").current_dir(folder);
    for name in [
        "MAKEFLAGS",
        "MAKELEVEL",
        "MAKEOVERRIDES",
        "CARGO_TARGET_DIR",
        "CARGO_BUILD_TARGET",
        "RUSTFLAGS",
        "CARGO_ENCODED_RUSTFLAGS",
    ] {
        make.env_remove(name);
    }
    make
}

fn cargo_home() -> PathBuf {
    let home = || PathBuf::from(std::env::var_os("HOME").expect("HOME is set")).join(".cargo");
    std::env::var_os("CARGO_HOME").map_or_else(home, PathBuf::from)
}

/// The paths of this machine that no release may contain.
fn hidden_paths(root: &Path, cargo_home: &Path) -> Vec<String> {
    let sysroot = run(Command::new("rustc").args(["--print", "sysroot"]));
    let paths = [root, cargo_home, &repository(), Path::new(sysroot.trim())].map(Path::to_owned);
    // With its slash, so that no word of a message counts. Some containers have `/` as their home.
    let home = std::env::var("HOME").into_iter().filter(|home| home != "/").map(|home| home + "/");
    paths.iter().map(|path| path.display().to_string()).chain(home).collect()
}

fn contains(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

/// Copies the sources: not what was built of them, nor hidden files.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name();
        if name == "target" || name.to_string_lossy().starts_with('.') {
            continue;
        }
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to.join(name));
        } else {
            fs::copy(entry.path(), to.join(name)).unwrap();
        }
    }
}
