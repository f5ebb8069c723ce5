//! What is left of a generation that was replaced: mapped memory, or none, and threads.

use crate::scene::Scene;
use hotcall::plugin::{PluginOptions, Unload, Watch};
use hotcall::xmlrpc::Value;
use std::fs;
use std::io::Write;
use std::os::unix::fs::MetadataExt;

const LEAVES_NOTHING: &str = "FLAGS=HOTCALL_PLUGIN_LEAVES_NOTHING";

/// A scene in which version 1, built with these defines, serves, and whose operator wants this to
/// become of it.
fn serving(defines: &[&str], unload: Unload) -> Scene {
    let mut scene = Scene::new();
    scene.options.insert("leaves".into(), PluginOptions { unload, ..PluginOptions::default() });
    replace(&scene, 1, defines);
    scene.start(Watch::Auto);
    assert_eq!(scene.answer("version"), Some(1));
    scene
}

fn replace(scene: &Scene, version: i32, defines: &[&str]) {
    let version = format!("VERSION={version}");
    fs::rename(
        scene.build("leaves.c", &[&[version.as_str()], defines].concat()),
        scene.file("p.so"),
    )
    .unwrap();
}

/// Retired generations that are still mapped, as operators are told.
fn kept(scene: &Scene) -> usize {
    scene.status_of("p.so").unwrap().kept_generations
}

fn warnings(scene: &Scene) -> Vec<String> {
    scene.status_of("p.so").unwrap().warnings
}

#[test]
fn a_plugin_that_leaves_nothing_is_unmapped_where_the_operator_says_so() {
    let scene = serving(&[LEAVES_NOTHING], Unload::Close);
    for version in 2..=4 {
        replace(&scene, version, &[LEAVES_NOTHING]);
        scene.until_answer("version", Some(version));
        scene.until("the old one is unmapped", || scene.mapped() == 1 && kept(&scene) == 0);
    }
    assert_eq!(scene.status_of("p.so").unwrap().kept_bytes, 0);
    assert_eq!((scene.answer("version"), warnings(&scene)), (Some(4), vec![]));
}

#[test]
fn what_was_not_asked_for_stays_mapped_and_is_counted() {
    let scene = serving(&[LEAVES_NOTHING], Unload::Keep);
    for version in 2..=4 {
        replace(&scene, version, &[]);
        scene.until_answer("version", Some(version));
    }
    scene.until("all are counted", || kept(&scene) == 3);
    let status = scene.status_of("p.so").unwrap();
    assert_eq!((status.kept_generations, scene.mapped()), (3, 4));
    assert!(status.kept_bytes > 0);
}

/// An instance's configuration is kept for threads that it may have left, as long as its library is
/// mapped.
#[test]
fn the_configuration_of_what_stays_mapped_is_counted_and_goes_with_it() {
    const BYTES: usize = 8 << 20;
    for (unload, is_kept) in [(Unload::Keep, true), (Unload::Close, false)] {
        let mut scene = Scene::new();
        let text = Value::from("x".repeat(BYTES));
        scene.settings.insert("leaves".into(), Value::Struct(vec![("text".into(), text)]));
        scene.options.insert("leaves".into(), PluginOptions { unload, ..PluginOptions::default() });
        replace(&scene, 1, &[LEAVES_NOTHING]);
        scene.start(Watch::Auto);
        replace(&scene, 2, &[LEAVES_NOTHING]);
        scene.until_answer("version", Some(2));
        scene.until("the old one is counted, or gone", || {
            (scene.mapped(), kept(&scene)) == (1 + usize::from(is_kept), usize::from(is_kept))
        });
        let bytes = scene.status_of("p.so").unwrap().kept_bytes;
        assert_eq!(bytes > BYTES as u64, is_kept, "{bytes}");
    }
}

#[test]
fn a_plugin_that_declares_nothing_stays_mapped_and_says_why() {
    let scene = serving(&[], Unload::Close);
    assert!(warnings(&scene)[0].contains("does not declare"), "{:?}", warnings(&scene));
    replace(&scene, 2, &[LEAVES_NOTHING]);
    scene.until_answer("version", Some(2));
    // The status follows the registry.
    scene.until("nothing is said of the new one", || warnings(&scene).is_empty());
    replace(&scene, 3, &[LEAVES_NOTHING]);
    scene.until_answer("version", Some(3));
    scene
        .until("the one that declares it is unmapped", || scene.mapped() == 2 && kept(&scene) == 1);
}

#[test]
fn threads_that_are_left_are_told_and_keep_their_code() {
    let scene = serving(&[LEAVES_NOTHING, "THREAD"], Unload::Close);
    replace(&scene, 2, &[LEAVES_NOTHING]);
    scene.until_answer("version", Some(2));
    scene.until("the thread is seen", || !warnings(&scene).is_empty());
    let warning = warnings(&scene).remove(0);
    assert!(warning.contains("generation 1 left 1 threads"), "{warning}");
    assert_eq!((kept(&scene), scene.mapped()), (1, 2));
}

#[test]
fn variables_that_generations_share_are_told() {
    let mut scene = Scene::new();
    fs::rename(scene.build("broken.c", &["UNIQUE"]), scene.file("p.so")).unwrap();
    scene.start(Watch::Off);
    assert!(
        warnings(&scene)[0].contains("shared with its older and newer generations"),
        "{:?}",
        warnings(&scene)
    );
}

/// Bytes in memory of the code of each mapped copy, in the order of their generations.
fn resident_code(scene: &Scene) -> Vec<u64> {
    let state = scene.root.path().join("state").to_str().unwrap().to_owned();
    let smaps = fs::read_to_string("/proc/self/smaps").unwrap();
    let mut code = std::collections::BTreeMap::new();
    let mut lines = smaps.lines();
    while let Some(line) = lines.next() {
        if line.contains(" r-xp ") && line.contains(&state) {
            let file = line.split_whitespace().last().unwrap().to_owned();
            let resident = lines.find_map(|line| line.strip_prefix("Rss:")).unwrap();
            code.insert(file, resident.trim().strip_suffix(" kB").unwrap().parse().unwrap());
        }
    }
    code.into_values().collect()
}

#[test]
fn a_retired_library_s_code_gives_its_memory_back() {
    let mut scene = Scene::new();
    fs::rename(scene.build("broken.c", &[]), scene.file("p.so")).unwrap();
    scene.start(Watch::Auto);
    assert_eq!(scene.answer("broken"), Some(1));
    assert!(resident_code(&scene)[0] > 0);
    fs::rename(scene.build("broken.c", &["TYPE=HOTCALL_ANY"]), scene.file("p.so")).unwrap();
    scene.until("the old one's code is not in memory", || {
        let code = resident_code(&scene);
        code.len() == 2 && code[0] == 0
    });
    assert_eq!(scene.answer("broken"), Some(1));
}

/// What a private copy has besides what is mapped, as debug information.
const SPARE_BYTES: u64 = 1 << 20;

/// As [`replace`], with a file in which nothing maps the last [`SPARE_BYTES`].
fn replace_by_large(scene: &Scene, version: i32, defines: &[&str]) {
    let version = format!("VERSION={version}");
    let file = scene.build("leaves.c", &[&[version.as_str()], defines].concat());
    let spare = vec![1; usize::try_from(SPARE_BYTES).unwrap()];
    fs::OpenOptions::new().append(true).open(&file).unwrap().write_all(&spare).unwrap();
    fs::rename(file, scene.file("p.so")).unwrap();
}

/// The length of each private copy and what it takes on disk, in the order of their generations.
fn copies(scene: &Scene) -> Vec<(u64, u64)> {
    const BLOCK_BYTES: u64 = 512;
    let state =
        fs::read_dir(scene.root.path().join("state")).unwrap().map(|entry| entry.unwrap().path());
    let run = state.into_iter().find(|path| path.to_str().unwrap().contains("/run-")).unwrap();
    let mut copies: Vec<_> =
        fs::read_dir(run).unwrap().map(|entry| entry.unwrap().path()).collect();
    copies.retain(|path| path.extension().is_some_and(|end| end == "so"));
    copies.sort();
    let size =
        |path| fs::metadata(path).map(|meta| (meta.len(), meta.blocks() * BLOCK_BYTES)).unwrap();
    copies.into_iter().map(size).collect()
}

#[test]
fn a_retired_library_s_file_takes_no_more_than_what_is_mapped_of_it() {
    let mut scene = Scene::new();
    replace_by_large(&scene, 1, &[]);
    scene.start(Watch::Auto);
    for version in 2..=3 {
        replace_by_large(&scene, version, &[]);
        scene.until_answer("version", Some(version));
    }
    scene.until("two copies have shrunk", || {
        copies(&scene).iter().filter(|copy| copy.1 < SPARE_BYTES).count() == 2
    });
    let copies = copies(&scene);
    // A process that has mapped one finds it as long as it was.
    assert!(copies.len() == 3 && copies.iter().all(|copy| copy.0 > SPARE_BYTES), "{copies:?}");
    assert!(copies[2].1 >= SPARE_BYTES, "what serves is whole: {copies:?}");
    let counted = || scene.status_of("p.so").unwrap().kept_file_bytes;
    scene.until("it is counted", || counted() > 0 && counted() < SPARE_BYTES);
    assert_eq!(scene.answer("version"), Some(3));
}

#[test]
fn a_library_with_a_thread_left_in_it_keeps_its_whole_file() {
    let mut scene = Scene::new();
    replace_by_large(&scene, 1, &["THREAD"]);
    scene.start(Watch::Auto);
    replace_by_large(&scene, 2, &[]);
    scene.until_answer("version", Some(2));
    scene.until("the thread is seen", || !warnings(&scene).is_empty());
    let copies = copies(&scene);
    assert!(copies.iter().all(|copy| copy.1 >= SPARE_BYTES), "{copies:?}");
    assert_eq!(scene.status_of("p.so").unwrap().kept_file_bytes, copies[0].0);
}

/// What the dynamic loader wrote into the first one's code is in no file: that code must stay.
#[test]
fn code_that_was_relocated_stays_in_memory() {
    let mut scene = Scene::new();
    fs::rename(scene.build("broken.c", &["TEXT_RELOCATION"]), scene.file("p.so")).unwrap();
    scene.start(Watch::Auto);
    for (kept, types) in [(1, "TYPE=HOTCALL_ANY"), (2, "TYPE=HOTCALL_INT")] {
        fs::rename(scene.build("broken.c", &[types]), scene.file("p.so")).unwrap();
        scene.until("the next one", || scene.mapped() == kept + 1);
    }
    // The second has given its memory back, so the first has had its turn.
    scene.until("the second gave its memory back", || resident_code(&scene)[1] == 0);
    assert!(resident_code(&scene)[0] > 0);
}
