//! `kill -9` at any moment of a reload, then a start: the state directory of a server that was
//! killed is no burden to the next one.

use crate::trial::trial;
use hotcall::xmlrpc::Value;
use hotcall_tests::{Server, Setup, artifacts, repository, wait_until};
use libtest_mimic::Trial;
use rustix::process::Signal;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

pub fn trials() -> Vec<Trial> {
    vec![
        trial("killed::at_fifty_moments_the_next_start_serves_what_is_there", fifty_moments),
        trial("killed::what_a_plugin_started_in_its_probe_ends_too", what_a_probe_started),
    ]
}

const MOMENTS: u64 = 50;
/// The latest moment after the start; a reload takes two settle times of SETTLE_MS.
const MOMENT_MS_MAX: u64 = 120;
const CONFIG: &str = "[limits]\nsettle_ms = 10\nrescan_ms = 20\n";
const VERSIONS: [i32; 2] = [1, 2];

fn fifty_moments() {
    let root = tempfile::tempdir().unwrap();
    let (plugins, state) = (root.path().join("plugins"), root.path().join("state"));
    fs::create_dir(&plugins).unwrap();
    let built = VERSIONS.map(|version| {
        let built = root.path().join(format!("version-{version}.so"));
        let source = repository().join("tests/fixtures/version.c");
        artifacts::compile_c(&source, &built, &[&format!("-DVERSION={version}")]);
        built
    });
    let built = built.each_ref().map(|path| fs::read(path).unwrap());
    fs::write(plugins.join("version.so"), &built[0]).unwrap();
    let start = || Setup::new().plugins_dir(&plugins).state_dir(&state).config(CONFIG).start();

    let (mut random, mut placed) = (Random(0x5EED), VERSIONS[0]);
    for moment in 0..MOMENTS {
        let mut server = start();
        check(&server, placed, moment);
        placed = replace_until_killed(
            &mut server,
            &built,
            Duration::from_millis(random.below(MOMENT_MS_MAX)),
        );
    }
    check(&start(), placed, MOMENTS);
}

fn what_a_probe_started() {
    let root = tempfile::tempdir().unwrap();
    let mark = root.path().join("mark").display().to_string();
    let source = repository().join("host/tests/fixtures/harmful.c");
    let plugin = root.path().join("harmful.so");
    artifacts::compile_c(
        &source,
        &plugin,
        &[&format!("-DMARK=\"{mark}\""), "-DCREATE=leave_a_program"],
    );
    let started = || {
        let command = |entry: fs::DirEntry| fs::read(entry.path().join("cmdline")).ok();
        let all = fs::read_dir("/proc").unwrap().flatten().filter_map(command);
        all.filter(|line| String::from_utf8_lossy(line).contains(&mark)).count()
    };
    // Longer than this test waits: only the server's end can end the probe.
    let mut server = Setup::new().config("[limits]\nprobe_ms_max = 600_000\n").start();
    fs::copy(&plugin, server.plugins().join("harmful.so")).unwrap();
    wait_until("the plugin's own program", || started() == 1);
    server.signal(Signal::KILL);
    server.wait();
    wait_until("the end of what the plugin started", || started() == 0);
}

/// What is in the directory serves, and nothing is left of the servers before.
fn check(server: &Server, placed: i32, moment: u64) {
    let answer = server.call("version", vec![]).unwrap();
    assert_eq!(answer, Value::Int(placed), "after kill {moment}");
    let state = fs::read_dir(server.state()).unwrap();
    let names = state.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let runs = names.filter(|name| name.starts_with("run-")).collect::<Vec<_>>();
    assert_eq!(runs, [format!("run-{}-0", server.pid())], "after kill {moment}");
    let copies = fs::read_dir(server.state().join(&runs[0])).unwrap();
    let copies = copies
        .filter(|entry| entry.as_ref().unwrap().path().extension().is_some_and(|e| e == "so"));
    assert_eq!(copies.count(), 1, "after kill {moment}");
}

/// Alternates the versions, by a rename and by writing in place, until the server is killed at that
/// moment. Gives the version that is in the directory then.
fn replace_until_killed(server: &mut Server, built: &[Vec<u8>; 2], moment: Duration) -> i32 {
    let is_killed = AtomicBool::new(false);
    let (file, beside) = (server.plugins().join("version.so"), server.beside("incoming"));
    thread::scope(|scope| {
        let replacer = scope.spawn(|| replace(&file, &beside, built, &is_killed));
        thread::sleep(moment);
        server.signal(Signal::KILL);
        is_killed.store(true, Ordering::Relaxed);
        let placed = replacer.join().unwrap();
        server.wait();
        placed
    })
}

fn replace(file: &Path, beside: &Path, built: &[Vec<u8>; 2], is_killed: &AtomicBool) -> i32 {
    let mut number = 0_usize;
    loop {
        let content = &built[number % 2];
        if number % 4 < 2 {
            fs::write(beside, content).unwrap();
            fs::rename(beside, file).unwrap();
        } else {
            fs::write(file, content).unwrap();
        }
        if is_killed.load(Ordering::Relaxed) {
            return VERSIONS[number % 2];
        }
        // Now and then long enough for the file to settle and be loaded, so that the kill meets
        // every step.
        thread::sleep(Duration::from_millis([1, 25, 40][number % 3]));
        number += 1;
    }
}

/// Marsaglia's xorshift: the same moments in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}
