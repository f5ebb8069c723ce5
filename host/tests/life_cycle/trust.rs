//! Whose files are loaded: owners and modes, links, pins and signatures.

use crate::scene::Scene;
use hotcall::plugin::{FileState, Trust, Watch};
use minisign::{KeyPair, SecretKey};
use std::fs::{self, Permissions};
use std::io::Cursor;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

fn error(scene: &Scene, file: &str) -> String {
    scene.status_of(file).and_then(|status| status.last_error).unwrap_or_default()
}

fn digest(scene: &Scene, file: &Path) -> String {
    scene.inspected(file).sha256.unwrap()
}

/// A key pair without a password.
fn key_pair() -> (SecretKey, String) {
    let KeyPair { pk, sk } = KeyPair::generate_unencrypted_keypair().unwrap();
    (sk, pk.to_base64())
}

fn sign(key: &SecretKey, file: &Path) -> String {
    minisign::sign(None, key, Cursor::new(fs::read(file).unwrap()), None, None)
        .unwrap()
        .into_string()
}

fn signature_of(file: &Path) -> PathBuf {
    PathBuf::from(format!("{}.minisig", file.display()))
}

fn trust(pins: Option<&[String]>, keys: Option<&[String]>) -> Trust {
    Trust::new(pins, keys).unwrap()
}

#[test]
fn a_file_that_others_may_write_is_refused_until_they_may_not() {
    let mut scene = Scene::new();
    let file = scene.file("p.so");
    fs::copy(scene.life("p", "m", 1), &file).unwrap();
    chmod(&file, 0o664);
    scene.start(Watch::Auto);
    let text = error(&scene, "p.so");
    assert!(
        text.starts_with(&format!("{} is writable by its group (mode 0664)", file.display())),
        "{text}"
    );
    assert!(text.contains(&format!("chmod g-w {}", file.display())), "{text}");
    chmod(&file, 0o644);
    scene.until_answer("m", Some(1));
    // What serves goes on when the file becomes unsafe.
    chmod(&file, 0o666);
    scene.until_state("p.so", FileState::Refused);
    assert_eq!(scene.answer("m"), Some(1));
}

#[test]
fn a_directory_that_others_may_write_is_refused_until_they_may_not() {
    let mut scene = Scene::new();
    fs::copy(scene.life("p", "m", 1), scene.file("p.so")).unwrap();
    chmod(&scene.plugins, 0o1777);
    scene.start(Watch::Auto);
    assert!(error(&scene, "p.so").contains("mode 1777"), "{}", error(&scene, "p.so"));
    // Nothing of the file changes, and it is served none the less.
    chmod(&scene.plugins, 0o755);
    scene.until_answer("m", Some(1));
}

#[test]
fn the_override_serves_what_others_may_write() {
    let mut scene = Scene::new();
    scene.keys.check_permissions = Some(false);
    fs::copy(scene.life("p", "m", 1), scene.file("p.so")).unwrap();
    chmod(&scene.file("p.so"), 0o666);
    chmod(&scene.plugins, 0o777);
    assert_eq!(scene.inspected(&scene.file("p.so")).off, ["permissions", "trust", "probe"]);
    scene.start(Watch::Off);
    assert_eq!(scene.answer("m"), Some(1));
}

#[test]
fn what_is_no_file_holds_nobody_up() {
    let mut scene = Scene::new();
    scene.keys.follow_symlinks = true;
    let fifo = scene.file("fifo.so");
    assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    fs::create_dir(scene.file("directory.so")).unwrap();
    symlink("/dev/zero", scene.file("device.so")).unwrap();
    symlink(&fifo, scene.file("link.so")).unwrap();
    symlink("circle.so", scene.file("circle.so")).unwrap();
    symlink("nowhere.so", scene.file("dangling.so")).unwrap();
    fs::copy(scene.life("p", "m", 1), scene.file("p.so")).unwrap();
    scene.start(Watch::Auto);
    assert_eq!(scene.answer("m"), Some(1));
    let files: Vec<_> = scene.running().status().iter().map(|status| status.file.clone()).collect();
    assert_eq!(files, [scene.file("circle.so"), scene.file("p.so")]);
    assert!(error(&scene, "circle.so").contains("symbolic links"));
}

/// As the kubelet writes a volume: a new directory, and a link to it that is renamed over the old
/// one.
fn publish(scene: &Scene, version: i32) {
    let data = scene.plugins.join(format!("..{version}"));
    fs::create_dir(&data).unwrap();
    fs::copy(scene.life("p", "m", version), data.join("p.so")).unwrap();
    symlink(format!("..{version}"), scene.plugins.join("..data_tmp")).unwrap();
    fs::rename(scene.plugins.join("..data_tmp"), scene.plugins.join("..data")).unwrap();
}

#[test]
fn a_mounted_config_map_is_swapped_as_kubernetes_does() {
    let mut scene = Scene::new();
    scene.keys.follow_symlinks = true;
    // So long that only a hint can bring the second version.
    scene.limits.rescan_ms = 3_600_000;
    publish(&scene, 1);
    symlink("..data/p.so", scene.file("p.so")).unwrap();
    scene.start(Watch::Auto);
    assert_eq!(scene.answer("m"), Some(1));
    publish(&scene, 2);
    fs::remove_dir_all(scene.plugins.join("..1")).unwrap();
    scene.until_answer("m", Some(2));
    // A directory behind the link that others may write to is refused.
    chmod(&scene.plugins.join("..2"), 0o777);
    fs::copy(scene.life("p", "m", 3), scene.plugins.join("..2/p.so")).unwrap();
    scene.look();
    scene.until("the refusal", || error(&scene, "p.so").contains("..2 is writable"));
    assert_eq!(scene.answer("m"), Some(2));
}

#[test]
fn a_target_that_changes_is_loaded_again() {
    let mut scene = Scene::new();
    scene.keys.follow_symlinks = true;
    let target = scene.root.path().join("target.so");
    fs::copy(scene.life("p", "m", 1), &target).unwrap();
    symlink(&target, scene.file("p.so")).unwrap();
    scene.start(Watch::Poll);
    assert_eq!(scene.answer("m"), Some(1));
    fs::copy(scene.life("p", "m", 2), &target).unwrap();
    scene.until_answer("m", Some(2));
    fs::remove_file(&target).unwrap();
    scene.until_answer("m", None);
}

#[test]
fn only_pinned_contents_are_loaded_whatever_their_names() {
    let mut scene = Scene::new();
    let (pinned, other) =
        (scene.life("p", "m", 1), scene.build("harmful.c", &["CONSTRUCTOR=crash"]));
    scene.trust = trust(Some(&[digest(&scene, &pinned).to_uppercase()]), None);
    fs::copy(&pinned, scene.file("any.so")).unwrap();
    // Its constructor would end this process.
    fs::copy(&other, scene.file("p.so")).unwrap();
    scene.start(Watch::Off);
    assert_eq!(scene.answer("m"), Some(1));
    let text = error(&scene, "p.so");
    assert!(
        text.starts_with("it is not trusted: its SHA-256 ") && text.contains("trust.sha256"),
        "{text}"
    );
    let report = scene.inspected(&scene.file("p.so"));
    assert_eq!(report.passed, ["permissions", "read"]);
    scene.trust = trust(Some(&[]), None);
    assert!(!scene.inspected(&pinned).is_passed(), "an empty list trusts nothing");
}

#[test]
fn a_signature_may_come_later_and_goes_with_its_content() {
    let mut scene = Scene::new();
    let (key, public) = key_pair();
    scene.trust = trust(None, Some(&[public]));
    let (one, two) = (scene.life("p", "m", 1), scene.life("p", "m", 2));
    fs::copy(&one, scene.file("p.so")).unwrap();
    scene.start(Watch::Auto);
    let text = error(&scene, "p.so");
    assert!(text.contains("there is no signature") && text.contains("p.so.minisig"), "{text}");
    fs::write(signature_of(&scene.file("p.so")), sign(&key, &one)).unwrap();
    scene.until_answer("m", Some(1));

    // A new content with the old one's signature is refused until its own comes.
    fs::copy(&two, scene.file("p.so")).unwrap();
    let refused = scene.until_state("p.so", FileState::Refused);
    assert!(refused.last_error.unwrap().contains("does not fit its content"));
    assert_eq!(scene.answer("m"), Some(1));
    fs::write(signature_of(&scene.file("p.so")), sign(&key, &two)).unwrap();
    scene.until_answer("m", Some(2));
}

#[test]
fn each_defect_of_a_signature_is_named() {
    let mut scene = Scene::new();
    let ((key, public), (stranger, other)) = (key_pair(), key_pair());
    scene.trust = trust(None, Some(&[other, public]));
    let file = scene.life("p", "m", 1);
    let signature = signature_of(&file);
    fs::write(&signature, sign(&key, &file)).unwrap();
    assert_eq!(scene.inspected(&file).refusal, None, "the second key is as good as the first");

    let good = sign(&key, &file);
    let changed_comment = good.replace("timestamp:", "timestamp:1");
    let not_prehashed = legacy(&good);
    let (unknown, _) = key_pair();
    let cases = [
        (sign(&unknown, &file), "of a key that is not in trust.minisign_keys"),
        (sign(&stranger, &scene.life("p", "m", 2)), "does not fit its content"),
        (changed_comment, "does not fit its content"),
        (not_prehashed, "old kind"),
        (String::new(), "not one of minisign"),
        ("one line".into(), "not one of minisign"),
        ("x".repeat(16 << 10) + "x", "larger than 16384 bytes"),
    ];
    for (text, says) in cases {
        fs::write(&signature, &text).unwrap();
        let report = scene.inspected(&file);
        assert_eq!(report.passed, ["permissions", "read"], "{says}: {report:?}");
        let refusal = report.refusal.unwrap();
        assert!(
            refusal.starts_with("it is not trusted: ") && refusal.contains(says),
            "{says}: {refusal}"
        );
    }
    fs::write(&signature, b"\xff\n\n\n\n").unwrap();
    assert!(scene.inspected(&file).refusal.unwrap().contains("not text"));
    fs::remove_file(&signature).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(&signature).status().unwrap().success());
    assert!(scene.inspected(&file).refusal.unwrap().contains("not a regular file"));
    fs::remove_file(&signature).unwrap();
    symlink("elsewhere", &signature).unwrap();
    assert!(scene.inspected(&file).refusal.unwrap().contains("symbolic link"));
}

/// The same signature, said to be of the content itself and not of its hash. Its kind is refused
/// before it is verified.
fn legacy(signature: &str) -> String {
    // How base64 of the algorithms "ED" and "Ed" begins.
    let old = signature.replacen("\nRU", "\nRW", 1);
    assert_ne!(old, signature);
    old
}

#[test]
fn a_pin_or_a_signature_suffices() {
    let mut scene = Scene::new();
    let (key, public) = key_pair();
    let (pinned, signed, neither) =
        (scene.life("p", "m", 1), scene.life("p", "m", 2), scene.life("p", "m", 3));
    let pin = digest(&scene, &pinned);
    fs::write(signature_of(&signed), sign(&key, &signed)).unwrap();
    scene.trust = trust(Some(&[pin]), Some(&[public]));
    assert!(scene.inspected(&pinned).is_passed());
    assert!(scene.inspected(&signed).is_passed());
    let refusal = scene.inspected(&neither).refusal.unwrap();
    assert!(refusal.contains("not in trust.sha256, and there is no signature"), "{refusal}");
}
