//! Plugins that are replaced exclusively: no committed row is lost, no call fails, and nobody else
//! waits.

use crate::trial::trial;
use hotcall::client::{Client, Error};
use hotcall::xmlrpc::{Value, code};
use hotcall_tests::load::Load;
use hotcall_tests::wire::{Wire, address, call, post};
use hotcall_tests::{Server, Setup, WAIT_MAX, artifacts, repository, wait_until};
use libtest_mimic::Trial;
use rustix::process::Signal;
use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

pub fn trials() -> Vec<Trial> {
    vec![
        trial(
            "exclusive::an_overlap_loses_rows_of_a_bundled_database_and_this_none",
            rows_after_one_reload,
        ),
        trial("exclusive::acknowledged_rows_outlive_reloads_and_kills", rows_after_many_reloads),
        trial("exclusive::a_bound_port_is_reloaded_under_load", a_bound_port),
        trial("exclusive::no_call_or_batch_fails_in_either_lane", no_call_or_batch_fails),
        trial("exclusive::calls_that_wait_hold_no_worker", calls_that_wait_hold_no_worker),
        trial("exclusive::calls_that_wait_are_answered_before_a_removal", removed_in_the_pause),
        trial("exclusive::more_calls_than_may_wait_are_not_executed", more_calls_than_may_wait),
        trial(
            "exclusive::a_call_that_waits_past_its_deadline_is_not_executed",
            a_deadline_in_the_pause,
        ),
        trial("exclusive::nothing_is_said_to_serve_while_the_old_version_ends", nothing_serves),
        trial("exclusive::a_bundled_database_is_warned_of", a_bundled_database_is_warned_of),
    ]
}

/// A plugins directory and a state directory that outlive servers.
struct Place {
    root: tempfile::TempDir,
    config: String,
}

impl Place {
    fn new(plugin: &Path, config: &str) -> Self {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("plugins")).unwrap();
        fs::copy(plugin, root.path().join("plugins/plugin.so")).unwrap();
        Self { root, config: config.to_owned() }
    }

    fn start(&self) -> Server {
        let path = |name| self.root.path().join(name);
        let setup = Setup::new().plugins_dir(&path("plugins")).state_dir(&path("state"));
        setup
            .argument("--http=127.0.0.1:0")
            .argument("--https=127.0.0.1:0")
            .config(&self.config)
            .log("info")
            .start()
    }

    /// Another content with the same code, in one step.
    fn replace(&self, plugin: &Path, number: u64) {
        let beside = self.root.path().join("incoming");
        fs::copy(plugin, &beside).unwrap();
        changed(&beside, number);
        fs::rename(beside, self.root.path().join("plugins/plugin.so")).unwrap();
    }
}

/// Appends what no loader reads.
fn changed(file: &Path, number: u64) {
    let mut file = OpenOptions::new().append(true).open(file).unwrap();
    file.write_all(&number.to_le_bytes()).unwrap();
}

fn generations(server: &Server) -> usize {
    server.log().matches(" methods as generation ").count()
}

fn insert(client: &Client, row: i32) -> Result<Value, Error> {
    client.call("database.insert", vec![Value::Int(row)])
}

fn rows(server: &Server) -> BTreeSet<i32> {
    let Ok(Value::Array(rows)) = server.call("database.rows", vec![]) else { panic!("no rows") };
    rows.into_iter()
        .map(|row| if let Value::Int(row) = row { row } else { panic!("{row:?}") })
        .collect()
}

fn rows_after_one_reload() {
    for (is_bundled, mode, is_lossy) in [
        (true, "overlap", true),
        (true, "exclusive", false),
        (false, "overlap", false),
        (false, "exclusive", false),
    ] {
        let plugin = artifacts::database(is_bundled);
        let config = format!("[plugin_options.database]\nreload = '{mode}'\n");
        let place = Place::new(&plugin, &config);
        let mut server = place.start();
        let client = server.client();
        (0..3).for_each(|row| drop(insert(&client, row).unwrap()));
        place.replace(&plugin, 1);
        wait_until("the reload", || generations(&server) == 2);
        if mode == "overlap" {
            // Until the old one is destroyed, which is when it deletes the new one's log.
            let wal = place.root.path().join("state/data/database/rows.db-wal");
            wait_until("the end of the old one", || !is_lossy || !wal.exists());
        }
        (3..8).for_each(|row| drop(insert(&client, row).unwrap()));
        server.signal(Signal::KILL);
        server.wait();
        let kept = rows(&place.start());
        assert_eq!(kept.len() < 8, is_lossy, "{mode}, bundled: {is_bundled}: {kept:?}");
    }
}

fn rows_after_many_reloads() {
    const WRITERS: i32 = 8;
    /// So many reloads of one server before it is killed in the next one.
    const RELOADS_PER_KILL: u64 = 10;
    let asked = std::env::var("HOTCALL_RELOADS").ok();
    let reloads = asked.as_ref().map_or(20, |number| number.parse().unwrap());
    let (mut completed, mut cut_off) = (0, 0);
    let plugin = artifacts::database(true);
    let place = Place::new(&plugin, "[limits]\nsettle_ms = 10\nrescan_ms = 20\n");
    let (next, acknowledged) = (AtomicI32::new(0), Mutex::new(BTreeSet::new()));
    let mut seed = 0x5EED_u64;
    let mut content = 0;
    for _ in 0..reloads / RELOADS_PER_KILL {
        let mut server = place.start();
        let is_killed = AtomicBool::new(false);
        thread::scope(|scope| {
            for _ in 0..WRITERS {
                scope.spawn(|| {
                    let client = server.client();
                    loop {
                        let row = next.fetch_add(1, Ordering::Relaxed);
                        match insert(&client, row) {
                            Ok(_) => drop(acknowledged.lock().unwrap().insert(row)),
                            // Nothing but the end of the server ends a call.
                            Err(_) if is_killed.load(Ordering::Acquire) => return,
                            Err(error) => panic!("row {row}: {error}"),
                        }
                    }
                });
            }
            let mut took = Duration::ZERO;
            for _ in 0..RELOADS_PER_KILL {
                let (before, begun) = (generations(&server), Instant::now());
                content += 1;
                place.replace(&plugin, content);
                wait_until("the reload", || generations(&server) > before);
                took = begun.elapsed();
            }
            content += 1;
            place.replace(&plugin, content);
            // A moment somewhere in this reload, or soon after it.
            seed = seed
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            thread::sleep(took.mul_f64(1.25 * (seed >> 33) as f64 / f64::from(1_u32 << 31)));
            is_killed.store(true, Ordering::Release);
            server.signal(Signal::KILL);
        });
        server.wait();
        let reloaded = generations(&server) - 1;
        completed += reloaded;
        cut_off += usize::try_from(RELOADS_PER_KILL).unwrap() + 1 - reloaded;
    }
    let kept = rows(&place.start());
    let acknowledged = acknowledged.into_inner().unwrap();
    let lost: Vec<_> = acknowledged.difference(&kept).collect();
    assert!(lost.is_empty(), "{} of {} rows are lost: {lost:?}", lost.len(), acknowledged.len());
    assert!(acknowledged.len() > 100, "only {} rows", acknowledged.len());
    if asked.is_some() {
        println!(
            "{completed} reloads completed and kill -9 ended {cut_off} more, under {WRITERS} \
             writers; {} acknowledged rows, none lost",
            acknowledged.len()
        );
    }
}

/// Two builds of a fixture, of versions 1 and 2.
struct Builds {
    root: tempfile::TempDir,
    files: [PathBuf; 2],
}

impl Builds {
    fn of(source: &str, defines: &[&str]) -> Self {
        let root = tempfile::tempdir().unwrap();
        let files = [1, 2].map(|version| {
            let (built, define) =
                (root.path().join(format!("{version}.so")), format!("-DVERSION={version}"));
            let arguments: Vec<_> =
                [define.as_str()].into_iter().chain(defines.iter().copied()).collect();
            artifacts::compile_c(&repository().join(source), &built, &arguments);
            built
        });
        Self { root, files }
    }

    fn alone() -> Self {
        Self::of("host/tests/fixtures/alone.c", &["-DDECLARED"])
    }
}

fn put(server: &Server, file: &Path, number: u64) {
    let beside = server.beside("incoming");
    fs::copy(file, &beside).unwrap();
    changed(&beside, number);
    fs::rename(beside, server.plugins().join("plugin.so")).unwrap();
}

fn answers(server: &Server, method: &str, wanted: i32) -> bool {
    server.call(method, vec![]).unwrap() == Value::Int(wanted)
}

/// Puts both versions in place in turn, while clients call the method that says which one serves.
fn reload_under_load(server: &Server, builds: &Builds, method: &str, clients: u64, reloads: u64) {
    let is_a_version = |version| [1, 2].contains(&version);
    Load::during(server, clients, method, is_a_version, |load| {
        for reload in 1..=reloads {
            let index = usize::try_from(reload % 2).unwrap();
            put(server, &builds.files[index], reload);
            let version = i32::try_from(index).unwrap() + 1;
            wait_until(format!("reload {reload}"), || answers(server, method, version));
            load.goes_on();
        }
    });
}

fn a_bound_port() {
    const RELOADS: u64 = 20;
    let builds = Builds::of("tests/fixtures/port.c", &[]);
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    // Over TLS.
    let config =
        format!("[plugins.port]\nport = {port}\n[limits]\nsettle_ms = 10\nrescan_ms = 20\n");
    let server = Setup::new().plugin("plugin.so", &builds.files[0]).config(&config).start();
    reload_under_load(&server, &builds, "port.version", 4, RELOADS);
    assert!(!server.log().contains("the port is taken"));
}

/// A server with `alone.c`, which misbehaves while files of these names exist in [`Builds::root`],
/// and with echo.
fn alone(builds: &Builds, direct_lane: bool, limits: &str) -> Server {
    let key = |key: &str| format!("{key} = '{}'\n", builds.root.path().join(key).display());
    let keys: String = ["lock", "stuck", "refuses"].map(key).concat();
    Setup::new()
        .argument("--http=127.0.0.1:0")
        .argument("--https=127.0.0.1:0")
        .argument("--workers=2")
        .config(&format!(
            "direct_lane = {direct_lane}\n[limits]\nsettle_ms = 10\nrescan_ms = 20\n{limits}\n\
             [plugins.alone]\n{keys}"
        ))
        .plugin("plugin.so", &builds.files[0])
        .plugin("echo.so", artifacts::plugin("echo"))
        .start()
}

fn no_call_or_batch_fails() {
    const RELOADS: u64 = 25;
    let builds = Builds::alone();
    let entry = |method: &str, params: Vec<Value>| {
        Value::Struct(vec![
            ("methodName".into(), method.into()),
            ("params".into(), Value::Array(params)),
        ])
    };
    let batch = Value::Array(vec![
        entry("alone.version", vec![]),
        entry("alone.add", vec![Value::Int(1)]),
        entry("system.listMethods", vec![]),
        entry("alone.version", vec![]),
    ]);
    for direct_lane in [true, false] {
        let server = alone(&builds, direct_lane, "");
        let (stop, added) = (AtomicBool::new(false), AtomicI32::new(0));
        let caller = || {
            let client = server.client();
            while !stop.load(Ordering::Relaxed) {
                let Value::Array(results) =
                    client.call("system.multicall", vec![batch.clone()]).unwrap()
                else {
                    panic!("no array")
                };
                let [Value::Array(first), Value::Array(_), Value::Array(_), Value::Array(last)] =
                    &results[..]
                else {
                    panic!("{results:?}")
                };
                assert_eq!(first, last, "a batch sees one version");
                added.fetch_add(1, Ordering::Relaxed);
            }
        };
        thread::scope(|scope| {
            let callers: Vec<_> = (0..3).map(|_| scope.spawn(caller)).collect();
            let _end = hotcall_tests::load::End(&stop);
            reload_under_load(&server, &builds, "alone.version", 3, RELOADS);
            stop.store(true, Ordering::Relaxed);
            callers.into_iter().for_each(|caller| caller.join().unwrap());
        });
        let sum = server.call("alone.add", vec![Value::Int(0)]).unwrap();
        assert_eq!(
            sum,
            Value::Int(added.into_inner()),
            "each call counts once, in whatever version"
        );
    }
}

/// Begins a reload whose old version does not end before the given file is removed.
fn pause(server: &Server, builds: &Builds) -> PathBuf {
    let stuck = builds.root.path().join("stuck");
    fs::write(&stuck, "").unwrap();
    put(server, &builds.files[1], 1);
    server.wait_for_log(&["calls of plugin alone wait"]);
    stuck
}

/// A connection to the listener without TLS.
fn plain(server: &Server) -> Wire<TcpStream> {
    let url =
        server.urls().iter().find(|url| url.starts_with("http://")).expect("a plain listener");
    let stream = TcpStream::connect(address(url)).unwrap();
    stream.set_read_timeout(Some(WAIT_MAX)).unwrap();
    Wire::on(stream)
}

fn calls_that_wait_hold_no_worker() {
    const CALLERS: usize = 100;
    let builds = Builds::alone();
    for direct_lane in [true, false] {
        let server = alone(&builds, direct_lane, "exclusive_ms_max = 600_000");
        let stuck = pause(&server, &builds);
        let mut wires: Vec<_> = (0..CALLERS).map(|_| plain(&server)).collect();
        for (number, wire) in wires.iter_mut().enumerate() {
            let method = if number % 2 == 0 { "alone.add" } else { "alone.version" };
            wire.send(post("", &call(method, 1)).as_bytes());
        }
        // Two workers, and a hundred calls that wait.
        for _ in 0..20 {
            server.call("echo.config", vec![]).unwrap();
        }
        fs::remove_file(stuck).unwrap();
        for wire in &mut wires {
            assert_eq!(wire.answer().status, 200);
        }
        assert!(answers(&server, "alone.version", 2));
        let sum = server.call("alone.add", vec![Value::Int(0)]).unwrap();
        assert_eq!(sum, Value::Int(i32::try_from(CALLERS / 2).unwrap()));
    }
}

/// Both when the new version serves and when the old one is made again.
fn removed_in_the_pause() {
    const CALLERS: usize = 100;
    for (direct_lane, is_refused) in [(true, false), (true, true), (false, false)] {
        let builds = Builds::alone();
        let server = alone(&builds, direct_lane, "exclusive_ms_max = 600_000\nremoval_ms = 0");
        if is_refused {
            fs::write(builds.root.path().join("refuses"), "").unwrap();
        }
        let stuck = pause(&server, &builds);
        let mut wires: Vec<_> = (0..CALLERS).map(|_| plain(&server)).collect();
        for wire in &mut wires {
            wire.send(post("", &call("alone.version", 0)).as_bytes());
        }
        fs::remove_file(server.plugins().join("plugin.so")).unwrap();
        // The look that finds this file finds that the other one is gone.
        fs::write(server.plugins().join("marker.so"), "").unwrap();
        server.wait_for_log(&["marker.so is not served"]);
        fs::remove_file(stuck).unwrap();
        let version = if is_refused { 1 } else { 2 };
        for wire in &mut wires {
            let answer = wire.answer();
            assert!(answer.is_int(version), "{}", answer.text());
        }
        server.wait_for_log(&["plugin alone is removed with its file"]);
        let Err(Error::Fault(gone)) = server.call("alone.version", vec![]) else {
            panic!("it serves")
        };
        assert_eq!(gone.code, code::METHOD_NOT_FOUND);
    }
}

fn more_calls_than_may_wait() {
    let builds = Builds::alone();
    for direct_lane in [true, false] {
        let limits = "exclusive_ms_max = 600_000\nqueue_len_max = 3\n\
                      queue_len_per_client_percent_max = 100";
        let server = alone(&builds, direct_lane, limits);
        let stuck = pause(&server, &builds);
        let mut wires: Vec<_> = (0..5).map(|_| plain(&server)).collect();
        let mut refused = 0;
        for wire in &mut wires {
            wire.send(post("", &call("alone.add", 1)).as_bytes());
        }
        server.call("echo.config", vec![]).unwrap();
        fs::remove_file(stuck).unwrap();
        for wire in &mut wires {
            let status = wire.answer().status;
            assert!([200, 503].contains(&status), "{status}");
            refused += i32::from(status == 503);
        }
        assert!((1..=2).contains(&refused), "{refused}");
        let sum = server.call("alone.add", vec![Value::Int(0)]).unwrap();
        assert_eq!(sum, Value::Int(5 - refused), "what was refused was not executed");
    }
}

fn a_deadline_in_the_pause() {
    let builds = Builds::alone();
    for direct_lane in [true, false] {
        let server = alone(&builds, direct_lane, "exclusive_ms_max = 600_000\ncall_ms_max = 500");
        let stuck = pause(&server, &builds);
        let mut wire = plain(&server);
        wire.send(post("", &call("alone.add", 1)).as_bytes());
        let answer = String::from_utf8(wire.answer().body).unwrap();
        assert!(answer.contains("-32000"), "{answer}");
        fs::remove_file(stuck).unwrap();
        wait_until("the new version", || {
            server.call("alone.version", vec![]).is_ok_and(|version| version == Value::Int(2))
        });
        assert_eq!(server.call("alone.add", vec![Value::Int(0)]).unwrap(), Value::Int(0));
    }
}

fn nothing_serves() {
    let builds = Builds::alone();
    let server = alone(&builds, true, "exclusive_ms_max = 600_000");
    let stuck = pause(&server, &builds);
    put(&server, &builds.files[0], 2);
    let line = server
        .wait_for_log(&["ERROR", "plugin.so is not served: it waits for the end of generation"]);
    assert!(line.ends_with("; no version of the plugin serves now"), "{line}");
    fs::remove_file(stuck).unwrap();
    wait_until("the next version", || generations(&server) == 4);
    assert!(answers(&server, "alone.version", 1));
    // The old version is made again and goes on, so the line about a refused one says that it
    // serves.
    fs::write(builds.root.path().join("refuses"), "").unwrap();
    put(&server, &builds.files[1], 3);
    server.wait_for_log(&[
        "plugin.so is not served: its create function failed: not today",
        "keeps serving",
    ]);
}

fn a_bundled_database_is_warned_of() {
    let plugin = artifacts::database(true);
    let stripped = tempfile::tempdir().unwrap();
    let stripped_file = stripped.path().join("stripped.so");
    artifacts::run(std::process::Command::new("strip").arg("-o").arg(&stripped_file).arg(&plugin));
    let check = |file: &Path, mode: &str| {
        let config = stripped.path().join("hotcall.toml");
        fs::write(&config, format!("[plugin_options.database]\n{mode}\n")).unwrap();
        let mut check = std::process::Command::new(artifacts::hotcall());
        check
            .arg("check")
            .arg("--config")
            .arg(config)
            .arg("--state-dir")
            .arg(stripped.path().join("state"));
        artifacts::run(check.arg(file))
    };
    let is_warned = |file: &Path, mode: &str| check(file, mode).contains("its own copy of SQLite");
    assert!(
        is_warned(&plugin, "reload = 'overlap'") && is_warned(&stripped_file, "reload = 'overlap'")
    );
    assert!(
        !is_warned(&plugin, "") && !is_warned(&plugin, "reload = 'exclusive'"),
        "it declares it"
    );
    assert!(
        !is_warned(&artifacts::database(false), "reload = 'overlap'"),
        "the system's is shared"
    );
    let place = Place::new(&plugin, "[plugin_options.database]\nreload = 'overlap'\n");
    place.start().wait_for_log(&["WARN", "its own copy of SQLite", "reload = \"exclusive\""]);
}
