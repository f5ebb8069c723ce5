//! Directories that are hard to watch: a thousand files, one that never rests, bursts, and a
//! directory that is swapped. The serving threads never wait for any of it, and the loader does no
//! more work than its gaps allow.
//!
//! Work is counted in the log, which has a line for each look and each reading. What bounds it is
//! the time that went by, so the bounds hold on a machine of any speed.

use crate::trial::trial;
use hotcall::xmlrpc::Value;
use hotcall_tests::authority::Authority;
use hotcall_tests::load::{End, Load};
use hotcall_tests::{Server, Setup, artifacts, repository, wait_until};
use libtest_mimic::Trial;
use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::process::{Pid, Resource, Signal, getrlimit, prlimit};
use std::fs::{self, OpenOptions};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

pub fn trials() -> Vec<Trial> {
    vec![
        trial("watching::a_thousand_files_and_one_that_never_rests", thousand_files),
        trial("watching::polling_does_no_more_work", polling),
        trial("watching::a_directory_is_swapped_under_load", directory_swapped),
        trial("watching::a_burst_of_events_is_few_looks", burst),
        trial(
            "watching::what_cannot_be_copied_is_tried_seldom_and_told_once",
            state_directory_full,
        ),
        trial("watching::freed_disk_space_is_used_at_once", space_freed),
        trial("watching::what_is_blocked_is_tried_at_once_when_something_changes", tried_at_once),
    ]
}

/// From one look to the next at least, as in the life cycle.
const LOOK_GAP: Duration = Duration::from_millis(20);
/// The default of `settle_ms`.
const SETTLE: Duration = Duration::from_millis(100);
/// From one writing of the busy file to the next.
const REWRITE_GAP: Duration = Duration::from_millis(10);
const REWRITES_MIN: u64 = 200;
const TEXTS: usize = 999;

/// Two plugins, `version` and `busy`, in any version.
struct Builds(tempfile::TempDir);

impl Builds {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn of(&self, plugin: &str, version: i32) -> PathBuf {
        let output = self.0.path().join(format!("{plugin}-{version}.so"));
        if !output.exists() {
            let defines = [
                format!("-DVERSION={version}"),
                format!("-DPLUGIN=\"{plugin}\""),
                format!("-DMETHOD=\"{plugin}\""),
            ];
            let source = repository().join("tests/fixtures/version.c");
            artifacts::compile_c(&source, &output, &defines.each_ref().map(String::as_str));
        }
        output
    }
}

/// How often the loader has looked at the directory and read a file.
struct Work {
    since: Instant,
    log_from: usize,
}

impl Work {
    fn begin(server: &Server) -> Self {
        Self { since: Instant::now(), log_from: server.log().len() }
    }

    fn count(&self, server: &Server, parts: &[&str]) -> u128 {
        let log = server.log();
        let lines = log[self.log_from..].lines();
        lines.filter(|line| parts.iter().all(|part| line.contains(part))).count() as u128
    }

    fn looks(&self, server: &Server) -> u128 {
        self.count(server, &["TRACE", "looking at "])
    }

    /// No more looks than gaps fit in the time since; a few were asked for.
    fn is_bounded(&self, server: &Server, asked: u128) {
        let (looks, elapsed) = (self.looks(server), self.since.elapsed());
        let most = elapsed.as_millis() / LOOK_GAP.as_millis() + 1 + asked;
        assert!(looks <= most, "{looks} looks in {elapsed:?}");
    }
}

fn wait_for_answer(server: &Server, method: &str, answer: i32) {
    let client = server.client();
    wait_until(format!("{method} answers {answer}"), || {
        client.call::<Value>(method, vec![]).is_ok_and(|value| value == Value::Int(answer))
    });
}

/// Writes the file in place every few milliseconds until `done` and often enough; the last writing
/// is `last`.
fn rewrite(file: &Path, contents: [&[u8]; 2], done: &AtomicBool, times: &AtomicU64) {
    while !done.load(Ordering::Relaxed) || times.load(Ordering::Relaxed) < REWRITES_MIN {
        let time = times.fetch_add(1, Ordering::Relaxed);
        fs::write(file, contents[usize::from(time.is_multiple_of(2))]).unwrap();
        thread::sleep(REWRITE_GAP);
    }
    fs::write(file, contents[1]).unwrap();
}

/// While `busy.so` never rests, another plugin is replaced; when it rests, it is served.
fn replace_beside_a_busy_file(server: &Server, builds: &Builds) {
    let contents = [2, 1].map(|version| fs::read(builds.of("busy", version)).unwrap());
    let (file, done, times) =
        (server.plugins().join("busy.so"), AtomicBool::new(false), AtomicU64::new(0));
    let work = Work::begin(server);
    thread::scope(|scope| {
        let writer = scope.spawn(|| rewrite(&file, [&contents[0], &contents[1]], &done, &times));
        let end = End(&done);
        wait_until("the first writings", || times.load(Ordering::Relaxed) > 10);
        server.put(&builds.of("version", 2), "version.so");
        wait_for_answer(server, "version", 2);
        drop(end);
        writer.join().unwrap();
    });
    wait_for_answer(server, "busy", 1);
    // Each reading but the first waits for the file to settle, and its end takes two.
    let reads = work.count(server, &["TRACE", "reading ", "busy.so"]);
    let most = work.since.elapsed().as_millis() / SETTLE.as_millis() + 3;
    assert!(reads <= most, "busy.so was read {reads} times in {:?}", work.since.elapsed());
    work.is_bounded(server, 0);
}

/// Runs `test` under calls of `version`, which may answer any of these.
fn while_called(server: &Server, versions: RangeInclusive<i32>, test: impl FnOnce(&Load)) {
    Load::during(server, 4, "version", |answer| versions.contains(&answer), test);
}

fn thousand_files() {
    let builds = Builds::new();
    let server = Setup::new().plugin("version.so", &builds.of("version", 1)).start();
    while_called(&server, 1..=2, |load| {
        let work = Work::begin(&server);
        for number in 0..TEXTS {
            let text = format!("this is text number {number}\n");
            fs::write(server.plugins().join(format!("text-{number:03}.so")), text).unwrap();
        }
        let refused = || work.count(&server, &["ERROR", "text-", "is not served"]);
        wait_until("every refusal", || refused() == TEXTS as u128);
        work.is_bounded(&server, 0);
        load.goes_on();

        replace_beside_a_busy_file(&server, &builds);

        // What was refused is neither read again nor told again.
        let later = Work::begin(&server);
        for _ in 0..3 {
            let looks = later.looks(&server);
            server.signal(Signal::HUP);
            wait_until("a look", || later.looks(&server) > looks);
            load.goes_on();
        }
        assert_eq!(later.count(&server, &["TRACE", "reading "]), 0);
        assert_eq!(refused(), TEXTS as u128);
    });
}

fn polling() {
    let builds = Builds::new();
    let setup = Setup::new().plugin("version.so", &builds.of("version", 1));
    let server = setup.argument("--watch=poll").config("[limits]\nrescan_ms = 50\n").start();
    while_called(&server, 1..=2, |_| {
        replace_beside_a_busy_file(&server, &builds);
    });
}

/// At once, as `mv --exchange` does, and with a moment in which there is no directory.
fn directory_swapped() {
    let builds = Builds::new();
    // However slow this machine is, a directory that is away for a moment is back in time.
    let setup = Setup::new().config("[limits]\nremoval_ms = 3_600_000\n");
    let server = setup.plugin("version.so", &builds.of("version", 0)).start();
    while_called(&server, 0..=10, |load| {
        let (next, old) = (server.beside("next"), server.beside("old"));
        for version in 1..=10 {
            fs::create_dir(&next).unwrap();
            fs::copy(builds.of("version", version), next.join("version.so")).unwrap();
            if version % 2 == 0 {
                renameat_with(CWD, &next, CWD, server.plugins(), RenameFlags::EXCHANGE).unwrap();
                fs::rename(&next, &old).unwrap();
            } else {
                fs::rename(server.plugins(), &old).unwrap();
                fs::rename(&next, server.plugins()).unwrap();
            }
            wait_for_answer(&server, "version", version);
            load.goes_on();
            fs::remove_dir_all(&old).unwrap();
        }
    });
}

/// More events than the kernel's queue holds by default (16,384) are no more looks than fit in the
/// time they take.
fn burst() {
    let builds = Builds::new();
    let server = Setup::new().plugin("version.so", &builds.of("version", 1)).start();
    while_called(&server, 1..=2, |_| {
        let work = Work::begin(&server);
        let [one, two] = [server.plugins().join("one.tmp"), server.plugins().join("two.tmp")];
        fs::write(&one, "").unwrap();
        for _ in 0..10_000 {
            fs::rename(&one, &two).unwrap();
            fs::rename(&two, &one).unwrap();
        }
        server.put(&builds.of("version", 2), "version.so");
        wait_for_answer(&server, "version", 2);
        work.is_bounded(&server, 0);
    });
}

/// Plugins whose files are too large for the state directory.
const LARGE: [&str; 4] = ["p1", "p2", "p3", "p4"];
const LARGE_BYTES: u64 = 4 << 20;

/// A server that can write only small files, as on a full disk, with [`LARGE`] in its directory.
fn full(builds: &Builds, config: &str) -> Server {
    let setup = Setup::new().after("trap '' XFSZ; ulimit -S -f 512");
    let server = setup.config(config).start();
    for plugin in LARGE {
        let file = builds.of(plugin, 1);
        // Bytes after an ELF file's end mean nothing to it.
        OpenOptions::new().write(true).open(&file).unwrap().set_len(LARGE_BYTES).unwrap();
        server.put(&file, &format!("{plugin}.so"));
    }
    for plugin in LARGE {
        server.wait_for_log(&[
            "ERROR",
            &format!("{plugin}.so is not served: cannot copy it"),
            "trying again",
        ]);
    }
    server
}

/// Lets the server write large files again.
fn make_room(server: &Server) {
    let pid = Pid::from_raw(server.pid().cast_signed());
    // The server started with the limit of this process.
    prlimit(pid, Resource::Fsize, getrlimit(Resource::Fsize)).unwrap();
}

/// Hints about other files cause looks, but no reads of blocked files.
fn state_directory_full() {
    const LOOKS: u128 = 150;
    let builds = Builds::new();
    let server = full(&builds, "");
    let work = Work::begin(&server);
    let [one, two] = [server.plugins().join("one.tmp"), server.plugins().join("two.tmp")];
    fs::write(&one, "").unwrap();
    wait_until("many looks", || {
        fs::rename(&one, &two).unwrap();
        fs::rename(&two, &one).unwrap();
        work.looks(&server) >= LOOKS
    });
    for plugin in LARGE {
        let name = format!("{plugin}.so");
        let (reads, elapsed) =
            (work.count(&server, &["TRACE", "reading ", &name]), work.since.elapsed());
        // Waits of 1 s, 2 s, 4 s and so on; one may have begun before.
        let most = u128::from(elapsed.as_secs().saturating_add(1).ilog2()) + 2;
        assert!(
            reads <= most,
            "{name} was read {reads} times in {elapsed:?} and {} looks",
            work.looks(&server)
        );
        assert_eq!(work.count(&server, &["ERROR", &name]), 0, "{}", server.log());
    }
    make_room(&server);
    for plugin in LARGE {
        server.wait_for_log(&["INFO", &format!("{plugin}.so is loaded now")]);
        wait_for_answer(&server, plugin, 1);
    }
}

/// The state directory is a file system of its own, in a mount namespace of the server's. The waits
/// are longer than any test, so only free space causes retries.
fn space_freed() {
    const BYTES: u64 = 6 << 20;
    const UNSHARE: &str = "unshare --map-root-user --mount";
    let mounts =
        Command::new("sh").arg("-c").arg(format!("{UNSHARE} mount -t tmpfs none /mnt")).status();
    if !mounts.unwrap().success() {
        eprintln!("not tested: this machine grants no mount namespaces");
        return;
    }
    let (builds, state) = (Builds::new(), tempfile::tempdir().unwrap());
    let mount = format!("mount -t tmpfs -o size={BYTES},mode=700 none \"$1\"; shift; exec \"$@\"");
    let prelude =
        format!("exec {UNSHARE} sh -c '{mount}' sh '{}' \"$0\" \"$@\"", state.path().display());
    let config = "[limits]\nplugin_retry_ms = 3_600_000\nplugin_retry_ms_max = 3_600_000\n";
    // Every client wants a certificate, and the server's own is hidden in its mount.
    let authority = Authority::new();
    let setup =
        Setup::new().argument("--http=127.0.0.1:0").ca(&authority.ca()).state_dir(state.path());
    let server = setup.after(&prelude).config(config).start();
    let inside = format!("/proc/{}/root{}", server.pid(), state.path().display());
    let filler = Path::new(&inside).join("filler");
    fs::write(&filler, vec![1; usize::try_from(LARGE_BYTES).unwrap()]).unwrap();

    let [plugin, ..] = LARGE;
    let file = builds.of(plugin, 1);
    OpenOptions::new().write(true).open(&file).unwrap().set_len(LARGE_BYTES).unwrap();
    server.put(&file, &format!("{plugin}.so"));
    server.wait_for_log(&[
        "ERROR",
        &format!("{plugin}.so is not served: cannot copy it"),
        "No space left",
    ]);
    let work = Work::begin(&server);
    wait_until("looks", || work.looks(&server) >= 3);
    assert_eq!(work.count(&server, &["reading "]), 0, "{}", server.log());
    fs::remove_file(filler).unwrap();
    server.wait_for_log(&["INFO", &format!("{plugin}.so is loaded now")]);
    wait_for_answer(&server, plugin, 1);
}

/// The waits are longer than any test, so only changes and operators cause retries.
fn tried_at_once() {
    let builds = Builds::new();
    let server =
        full(&builds, "[limits]\nplugin_retry_ms = 3_600_000\nplugin_retry_ms_max = 3_600_000\n");
    let [p1, p2, p3, p4] = LARGE;
    let file = |plugin: &str| server.plugins().join(format!("{plugin}.so"));
    let told = |plugin: &str| server.log().matches(&format!("{plugin}.so is not served")).count();

    // A retry that fails is logged again.
    OpenOptions::new().append(true).open(file(p1)).unwrap().set_len(LARGE_BYTES + 1).unwrap();
    wait_until("another refusal", || told(p1) == 2);
    assert_eq!([p2, p3, p4].map(told), [1; 3], "{}", server.log());
    make_room(&server);
    OpenOptions::new().append(true).open(file(p1)).unwrap().set_len(LARGE_BYTES).unwrap();
    wait_for_answer(&server, p1, 1);
    fs::set_permissions(file(p2), fs::metadata(file(p2)).unwrap().permissions()).unwrap();
    wait_for_answer(&server, p2, 1);
    assert_eq!([p3, p4].map(told), [1; 2], "{}", server.log());
    server.signal(Signal::HUP);
    for plugin in [p3, p4] {
        server.wait_for_log(&["INFO", &format!("{plugin}.so is loaded now")]);
        wait_for_answer(&server, plugin, 1);
    }
}
