//! Panics of one caller fail no call of another, and a plugin that panicked too often comes back by
//! itself.

use crate::access::{asked, passwd};
use crate::trial::trial;
use hotcall::client::{Client, Error};
use hotcall::xmlrpc::{Value, code};
use hotcall_tests::load::End;
use hotcall_tests::wire::{Wire, call, call_with_text, post};
use hotcall_tests::{Server, Setup, artifacts, wait_until};
use libtest_mimic::Trial;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Instant;

pub fn trials() -> Vec<Trial> {
    vec![
        trial("panics::of_one_address_fail_no_call_of_another", of_one_address),
        trial("panics::of_one_user_fail_no_call_of_another", of_one_user),
        trial(
            "panics::of_two_callers_with_the_same_poison_fail_no_call_of_another",
            of_two_callers,
        ),
        trial("panics::of_new_addresses_fail_no_call_of_a_known_one", of_new_addresses),
        trial("panics::of_new_addresses_do_not_keep_a_plugin_out", after_an_outage),
        trial("panics::of_many_callers_take_a_plugin_out_until_they_stop", of_many_callers),
    ]
}

/// Panicking calls in each test, at least.
const ATTACKS_MIN: u64 = 400;
const ATTACKERS: usize = 4;

fn setup() -> Setup {
    Setup::new().argument("--http=127.0.0.1:0").plugin("echo.so", artifacts::plugin("echo"))
}

fn poison() -> String {
    post("", &call_with_text("echo.panic", "poison"))
}

/// Sends panicking calls until `done`. Each answer must be fault -32003.
fn attack(server: &Server, source: [u8; 4], fields: &str, done: &AtomicBool, count: &AtomicU64) {
    let mut wire = Wire::from(source, server);
    let poison = post(fields, &call_with_text("echo.panic", "poison"));
    while !done.load(Ordering::Relaxed) {
        wire.send(&poison);
        let answer = wire.answer();
        assert!(answer.is_int(code::PLUGIN_PANICKED), "{}", answer.text());
        count.fetch_add(1, Ordering::Relaxed);
    }
}

/// The number of calls that panicked in the plugin.
fn panicked(server: &Server) -> usize {
    server.log().matches("echo.panic panicked: poison").count()
}

/// Runs attackers from one address while a good caller calls; none of the good calls may fail.
fn under_attack(server: &Server, fields: &str, good: impl Fn()) {
    let (done, count, begun) = (AtomicBool::new(false), AtomicU64::new(0), Instant::now());
    thread::scope(|scope| {
        let attackers: Vec<_> = (0..ATTACKERS)
            .map(|_| scope.spawn(|| attack(server, [127, 0, 0, 2], fields, &done, &count)))
            .collect();
        let end = End(&done);
        while count.load(Ordering::Relaxed) < ATTACKS_MIN {
            assert!(
                !attackers.iter().any(thread::ScopedJoinHandle::is_finished),
                "an attacker was not answered"
            );
            good();
        }
        drop(end);
        for attacker in attackers {
            attacker.join().unwrap();
        }
    });
    // Calls that entered before the third panic ended, and one after each wait (1 s, 2 s, 4 s ...).
    let waits = begun.elapsed().as_secs().saturating_add(1).ilog2();
    let most = 3 + ATTACKERS + usize::try_from(waits).unwrap() + 1;
    let (panicked, attacks) = (panicked(server), count.load(Ordering::Relaxed));
    assert!(panicked <= most, "{panicked} of {attacks} calls entered the plugin, and {most} may");
    assert!(!server.log().contains("is out of service"), "{}", server.log());
    assert!(server.log().contains("refuses "), "{}", server.log());
}

fn of_one_address() {
    let server = setup().start();
    under_attack(&server, "", || {
        let mut wire = Wire::to(&server);
        wire.send(post("", &call("echo", 5)));
        let answer = wire.answer();
        assert!(answer.is_int(5), "{}", answer.text());
    });
}

/// Both users call from the same address.
fn of_one_user() {
    let root = tempfile::tempdir().unwrap();
    let users = root.path().join("users");
    for name in ["ann", "eve"] {
        assert!(passwd(&users, name, "right").status.success());
    }
    let server = setup().config(&format!("users = {users:?}\n")).start();
    let [ann, eve] = ["ann", "eve"].map(|name| asked(&server, 0, Some((name, "right"))));
    // The server verifies few new passwords at a time, so both are verified first.
    for user in [&ann, &eve] {
        assert_eq!(user.call::<i32>("echo", [Value::Int(5)]).unwrap(), 5);
    }
    // `eve:right`
    under_attack(&server, "Authorization: Basic ZXZlOnJpZ2h0\r\n", || {
        assert_eq!(ann.call::<i32>("echo", [Value::Int(5)]).unwrap(), 5);
    });
    server.wait_for_log(&["WARN", "refuses user eve for "]);
}

/// Calls the plugin from an address. The answer has to be `wanted`.
fn answers(server: &Server, source: [u8; 4], request: &str, wanted: i32) {
    let mut wire = Wire::from(source, server);
    wire.send(request);
    let answer = wire.answer();
    assert!(answer.is_int(wanted), "{}", answer.text());
}

fn good() -> String {
    post("", &call("echo", 5))
}

fn of_two_callers() {
    let server = setup().start();
    for source in [2, 3, 2, 3, 2, 3] {
        answers(&server, [127, 0, 0, source], &poison(), code::PLUGIN_PANICKED);
    }
    wait_until("all six in the log", || panicked(&server) == 6);
    answers(&server, [127, 0, 0, 4], &good(), 5);
}

/// Sends poison from one new address after the other until `done`.
fn from_new_addresses(server: &Server, done: &AtomicBool, count: &AtomicU64) {
    while !done.load(Ordering::Relaxed) {
        let [.., third, fourth] = count.fetch_add(1, Ordering::Relaxed).to_be_bytes();
        answers(server, [127, 1, third, fourth], &poison(), code::PLUGIN_PANICKED);
    }
}

fn of_new_addresses() {
    let server = setup().start();
    answers(&server, [127, 0, 0, 1], &good(), 5);
    let (done, count) = (AtomicBool::new(false), AtomicU64::new(1));
    thread::scope(|scope| {
        let attacker = scope.spawn(|| from_new_addresses(&server, &done, &count));
        let _end = End(&done);
        while count.load(Ordering::Relaxed) < ATTACKS_MIN && !attacker.is_finished() {
            answers(&server, [127, 0, 0, 1], &good(), 5);
        }
        // Also when it does not call for a while.
        let attacks = count.load(Ordering::Relaxed);
        wait_until("further attacks", || count.load(Ordering::Relaxed) > attacks + 20);
        answers(&server, [127, 0, 0, 1], &good(), 5);
    });
}

/// Known callers took the plugin out, and new addresses send poison all the time.
fn after_an_outage() {
    let server = setup().start();
    for source in 1..=6 {
        answers(&server, [127, 0, 0, source], &good(), 5);
    }
    for source in 2..=6 {
        answers(&server, [127, 0, 0, source], &poison(), code::PLUGIN_PANICKED);
    }
    server.wait_for_log(&["ERROR", "plugin echo, generation 1, is out of service"]);
    let (done, count) = (AtomicBool::new(false), AtomicU64::new(1));
    thread::scope(|scope| {
        scope.spawn(|| from_new_addresses(&server, &done, &count));
        let _end = End(&done);
        // New addresses have had trials, and each made the next wait longer.
        for seconds in [2, 4] {
            let text = format!("panicked too; the next is tried in {seconds} s");
            server.wait_for_log(&["WARN", "stays out of service", &text]);
        }
        answers(&server, [127, 0, 0, 1], &good(), 5);
    });
    server.wait_for_log(&["INFO", "plugin echo, generation 1, is in service again"]);
}

fn of_many_callers() {
    let socket = tempfile::tempdir().unwrap();
    let url = format!("unix:{}/operator", socket.path().display());
    let server = setup().argument(format!("--unix={}/operator", socket.path().display())).start();
    let operator = Client::builder(&url).build().unwrap();
    let state = || match operator.call::<Value>("hotcall.plugins", ()).unwrap() {
        Value::Array(plugins) => {
            let plugin = plugins.into_iter().next().unwrap();
            (plugin.get("state").cloned(), plugin.get("retry_at").is_some())
        }
        other => panic!("{other:?}"),
    };
    let (serving, poisoned) = (Some(Value::from("serving")), Some(Value::from("poisoned")));
    for number in 11..=15 {
        assert_eq!(state(), (serving.clone(), false));
        let mut wire = Wire::from([127, 0, 0, number], &server);
        wire.send(poison());
        assert!(wire.answer().is_int(code::PLUGIN_PANICKED));
    }
    server.wait_for_log(&[
        "ERROR",
        "plugin echo, generation 1, is out of service: its calls panicked, 5 in a row",
    ]);
    // Nobody calls it now, so no trial call is let in.
    assert_eq!(state(), (poisoned, true));
    // The input has stopped.
    let good = Client::builder(server.url()).build().unwrap();
    wait_until("it is in service again", || match good.call::<Value>("echo", [Value::Int(5)]) {
        Ok(answer) => answer == Value::Int(5),
        Err(Error::Fault(fault)) => {
            assert_eq!(fault.code, code::PLUGIN_PANICKED);
            assert!(fault.message.contains("plugin echo is out of service"), "{fault}");
            assert!(fault.message.ends_with("try again in 1 s"), "{fault}");
            false
        }
        Err(error) => panic!("{error}"),
    });
    server.wait_for_log(&["INFO", "plugin echo, generation 1, is in service again"]);
    assert_eq!(state(), (serving, false));
    assert_eq!(panicked(&server), 5);
}
