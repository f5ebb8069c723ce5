//! Panics of one caller fail no call of another, and a plugin that panicked too often comes back by
//! itself.

use crate::access::{asked, passwd};
use crate::trial;
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
