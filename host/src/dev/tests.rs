//! The builder against folders as users have them. Most plugins here are "built" by copying their
//! source, so that a test can read from the installed file which source it was made of.

use super::sources::{Sources, ignored};
use super::{DevBuilder, Error, Interrupt, Options, start};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Copies plugin.c; if that holds "error", says that it has begun and fails.
const COPY: &str = "$(OUT): plugin.c
\tif grep -q error plugin.c; then echo >> ../../begun; false; fi
\tcp plugin.c $(OUT)
";
/// Says that it has begun, waits to be let go on, and gives what the source was at its beginning.
const SLOW: &str = "$(OUT): plugin.c
\tcp plugin.c $(OUT).begin
\techo >> ../../begun
\tuntil [ -e ../../go ]; do sleep 0.01; done
\tmv $(OUT).begin $(OUT)
";
const LIBRARY: &str = r#"
#[unsafe(no_mangle)]
pub extern "C" fn first_answer() -> i32 { 42 }
"#;

/// A directory of plugins and an output directory, both gone with it.
struct Scene {
    root: TempDir,
}

impl Scene {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("plugins")).unwrap();
        Self { root }
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.root.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// A plugin that make builds.
    fn make(&self, name: &str, makefile: &str, source: &str) {
        self.write(&format!("plugins/{name}/plugin.c"), source);
        self.write(&format!("plugins/{name}/Makefile"), makefile);
    }

    fn start(&self) -> DevBuilder {
        self.start_in(vec![self.root.path().join("plugins")])
    }

    fn start_in(&self, dirs: Vec<PathBuf>) -> DevBuilder {
        start(Options { dirs, output: self.output(), release: false }, &Interrupt::default())
            .unwrap()
    }

    /// Where plugins are installed: a path that make could not name.
    fn output(&self) -> PathBuf {
        self.root.path().join("state $x/plugins")
    }

    /// What is installed under that name.
    fn installed(&self, file: &str) -> Option<String> {
        fs::read(self.output().join(file))
            .ok()
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Every visible file in the output directory.
    fn listing(&self) -> Vec<String> {
        let names = fs::read_dir(self.output())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<_> = names.filter(|name| !name.starts_with('.')).collect();
        names.sort();
        names
    }

    fn until(&self, what: &str, condition: impl Fn(&Self) -> bool) {
        let latest = Instant::now() + Duration::from_secs(120);
        while !condition(self) {
            assert!(Instant::now() < latest, "never: {what}; installed: {:?}", self.listing());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn until_installed(&self, file: &str, text: &str) {
        self.until(&format!("{file} holds {text:?}"), |scene| {
            scene.installed(file).as_deref() == Some(text)
        });
    }

    fn builds_begun(&self) -> usize {
        fs::read_to_string(self.root.path().join("begun")).map_or(0, |text| text.lines().count())
    }
}

#[test]
fn the_first_build_is_done_when_start_returns() {
    let scene = Scene::new();
    scene.make("one", COPY, "1");
    scene.make("broken", COPY, "error");
    scene.make("two", COPY, "2");
    scene.write("plugins/notes/Makefile", "all:\n\tfalse\n");
    let _builder = scene.start();
    assert_eq!(scene.listing(), ["one.so", "two.so"]);
    assert_eq!(scene.installed("one.so").as_deref(), Some("1"));
}

#[test]
fn a_directory_may_itself_be_a_plugin() {
    let scene = Scene::new();
    scene.make("one", COPY, "1");
    let _builder = scene.start_in(vec![scene.root.path().join("plugins/one")]);
    assert_eq!(scene.listing(), ["one.so"]);
}

#[test]
fn a_change_is_built_and_a_failed_build_changes_nothing() {
    let scene = Scene::new();
    scene.make("one", COPY, "1");
    scene.make("two", COPY, "1");
    let _builder = scene.start();
    scene.write("plugins/one/plugin.c", "2");
    scene.until_installed("one.so", "2");

    scene.write("plugins/one/plugin.c", "error");
    scene.until("the failing build begins", |scene| scene.builds_begun() == 1);
    // One build at a time: when this one is done, the failing one is over.
    scene.write("plugins/two/plugin.c", "2");
    scene.until_installed("two.so", "2");
    assert_eq!(scene.installed("one.so").as_deref(), Some("2"));

    scene.write("plugins/one/plugin.c", "3");
    scene.until_installed("one.so", "3");
}

#[test]
fn a_source_in_a_folder_that_was_made_anew_is_seen() {
    let scene = Scene::new();
    let makefile = "$(OUT): plugin.c src/text\n\tcp src/text $(OUT)\n";
    scene.write("plugins/one/src/text", "1");
    scene.make("one", makefile, "");
    let _builder = scene.start();
    fs::remove_dir_all(scene.root.path().join("plugins/one/src")).unwrap();
    scene.write("plugins/one/src/text", "2");
    scene.until_installed("one.so", "2");
    scene.write("plugins/one/src/text", "3");
    scene.until_installed("one.so", "3");
}

#[test]
fn a_change_during_a_build_leads_to_another() {
    let scene = Scene::new();
    scene.write("go", "");
    scene.make("one", SLOW, "1");
    let _builder = scene.start();
    fs::remove_file(scene.root.path().join("go")).unwrap();
    scene.write("plugins/one/plugin.c", "2");
    scene.until("a second build begins", |scene| scene.builds_begun() == 2);
    scene.write("plugins/one/plugin.c", "3");
    scene.write("go", "");
    scene.until_installed("one.so", "3");
}

#[test]
fn plugins_come_and_go() {
    let scene = Scene::new();
    let _builder = scene.start();
    assert!(scene.listing().is_empty());
    scene.make("one", COPY, "1");
    scene.until_installed("one.so", "1");
    fs::remove_dir_all(scene.root.path().join("plugins/one")).unwrap();
    scene.until("one.so is removed", |scene| scene.installed("one.so").is_none());
    scene.make("one", COPY, "2");
    scene.until_installed("one.so", "2");
}

#[test]
fn what_an_earlier_session_left_is_removed_unless_its_plugin_is_only_broken() {
    let scene = Scene::new();
    scene.make("broken", COPY, "error");
    scene.write("state $x/plugins/broken.so", "old");
    scene.write("state $x/plugins/gone.so", "old");
    let _builder = scene.start();
    assert_eq!(scene.listing(), ["broken.so"]);
}

#[test]
fn of_two_plugins_with_one_name_the_second_waits_for_the_first_to_go() {
    let scene = Scene::new();
    scene.make("one", COPY, "first");
    scene.write("more/one/plugin.c", "second");
    scene.write("more/one/Makefile", COPY);
    let dirs = ["plugins", "more"].map(|dir| scene.root.path().join(dir));
    let _builder = scene.start_in(dirs.to_vec());
    // Folders are taken in order, and "more" comes before "plugins".
    assert_eq!(scene.installed("one.so").as_deref(), Some("second"));
    fs::remove_dir_all(scene.root.path().join("more/one")).unwrap();
    scene.until_installed("one.so", "first");
}

#[test]
fn stop_ends_a_build_that_runs() {
    let scene = Scene::new();
    scene.write("go", "");
    scene.make("one", SLOW, "1");
    let builder = scene.start();
    fs::remove_file(scene.root.path().join("go")).unwrap();
    scene.write("plugins/one/plugin.c", "2");
    scene.until("a second build begins", |scene| scene.builds_begun() == 2);
    // Without an end to the build, which waits for "go", this would never return.
    builder.stop();
    assert_eq!(scene.installed("one.so").as_deref(), Some("1"));
}

#[test]
fn a_crate_is_built_and_built_again() {
    let scene = Scene::new();
    let manifest = "[package]\nname = \"dev-test\"\nedition = \"2024\"\n[workspace]\n[lib]\n\
                    crate-type = [\"cdylib\"]\n";
    scene.write("plugins/answer/Cargo.toml", manifest);
    scene.write("plugins/answer/src/lib.rs", LIBRARY);
    scene.write("plugins/plain/Cargo.toml", "[package]\nname = \"plain\"\n[workspace]\n");
    scene.write("plugins/plain/src/lib.rs", "");
    let _builder = scene.start();
    assert_eq!(scene.listing(), ["libdev_test.so"]);
    assert!(scene.installed("libdev_test.so").unwrap().contains("first_answer"));

    scene.write("plugins/answer/src/lib.rs", &LIBRARY.replace("first", "second"));
    scene.until("the change is installed", |scene| {
        scene.installed("libdev_test.so").is_some_and(|file| file.contains("second_answer"))
    });

    // A manifest in the middle of an edit is a failed build, not a plugin that is gone.
    scene.write("plugins/answer/Cargo.toml", "[package");
    scene.make("later", COPY, "1");
    scene.until_installed("later.so", "1");
    assert!(scene.installed("libdev_test.so").is_some());

    scene.write("plugins/answer/Cargo.toml", &manifest.replace("cdylib", "rlib"));
    scene.until("a crate without a cdylib has no file", |scene| scene.listing() == ["later.so"]);
}

#[test]
fn a_directory_that_is_not_there_is_said() {
    let missing = Path::new("/nonexistent/plugins");
    let options =
        Options { dirs: vec![missing.to_owned()], output: Scene::new().output(), release: false };
    let error = start(options, &Interrupt::default()).unwrap_err();
    assert!(matches!(&error, Error::Directory(path, _) if path == missing), "{error}");
}

#[test]
fn a_source_that_cannot_be_read_is_named() {
    let scene = Scene::new();
    scene.write("plugins/one/src/plugin.c", "1");
    let (folder, link) = (scene.root.path().join("plugins/one"), "src/link.c");
    std::os::unix::fs::symlink("link.c", folder.join(link)).unwrap();
    let error = Sources::scan(&folder).unwrap_err().to_string();
    assert!(error.starts_with(&format!("{}: ", folder.join(link).display())), "{error}");
}

#[test]
fn a_source_of_the_same_size_and_time_counts_as_changed() {
    let scene = Scene::new();
    scene.write("plugins/one/src/plugin.c", "1");
    let folder = scene.root.path().join("plugins/one");
    let (before, file) = (Sources::scan(&folder).unwrap(), folder.join("src/plugin.c"));
    assert_eq!(Sources::scan(&folder).unwrap(), before);
    let modified = fs::metadata(&file).unwrap().modified().unwrap();
    scene.write("plugins/one/src/plugin.c", "2");
    fs::File::options().write(true).open(&file).unwrap().set_modified(modified).unwrap();
    assert_ne!(Sources::scan(&folder).unwrap(), before);
}

#[test]
fn a_folder_whose_name_no_server_takes_is_not_built() {
    let scene = Scene::new();
    scene.make("one", COPY, "1");
    scene.make("two\u{1b}[31m", COPY, "2");
    scene.make("three\u{9b}", COPY, "3");
    let _builder = scene.start();
    assert_eq!(scene.listing(), ["one.so", "three\u{9b}.so"]);
}

#[test]
fn only_sources_count() {
    for name in [
        ".git", ".x.c.swp", "target", "x.c~", "#x.c#", "4913", "x.o", "x.so", "x.so.1", "x.so.new",
        "x.d",
    ] {
        assert!(ignored(name), "{name}");
    }
    for name in ["lib.rs", "Cargo.toml", "Cargo.lock", "Makefile", "x.c", "so", "targets", "a"] {
        assert!(!ignored(name), "{name}");
    }
}
