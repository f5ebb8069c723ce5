//! Calls that take long, clients that do not wait for them, and the end of a server that is busy.

use crate::trial::trial;
use hotcall_tests::wire::{Wire, call, post};
use hotcall_tests::{Server, Setup, artifacts, wait_for, wait_until};
use libtest_mimic::Trial;
use rustix::process::Signal;
use std::net::Shutdown;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::{fs, thread};

pub fn trials() -> Vec<Trial> {
    vec![
        trial("deadlines::a_client_that_goes_cancels_its_call", a_client_that_goes),
        trial("deadlines::a_stuck_worker_is_replaced_until_it_returns", a_stuck_worker_is_replaced),
        trial(
            "deadlines::the_request_of_a_stuck_call_counts_until_it_returns",
            a_stuck_request_counts,
        ),
        trial("deadlines::no_more_workers_are_replaced_than_may", no_more_are_replaced),
        trial("deadlines::a_method_that_is_quick_no_more_is_answered_by_workers", a_broken_promise),
        trial("deadlines::answers_wait_for_the_slow_one_before_them", answers_come_in_order),
        trial("deadlines::an_overloaded_server_answers_head_without_a_body", head_under_overload),
        trial("deadlines::a_signal_under_load_leaves_no_call_unanswered", a_signal_under_load),
    ]
}

fn setup(workers: usize, direct_lane: bool, limits: &str) -> Setup {
    Setup::new()
        .argument("--http=127.0.0.1:0")
        .argument(format!("--workers={workers}"))
        .config(&format!("direct_lane = {direct_lane}\n[limits]\n{limits}\n"))
        .plugin("echo.so", artifacts::plugin("echo"))
}

fn threads(server: &Server) -> usize {
    fs::read_dir(format!("/proc/{}/task", server.pid())).unwrap().count()
}

/// A call that is answered once this file is there, whatever its deadline.
fn until(path: &Path) -> String {
    let path = path.display();
    let parameter = format!("<params><param><value>{path}</value></param></params>");
    post("", &format!("<methodCall><methodName>echo.until</methodName>{parameter}</methodCall>"))
}

fn echo(number: i32) -> String {
    post("", &call("echo", number))
}

fn is_answered(server: &Server, number: i32) -> bool {
    let mut wire = Wire::to(server);
    wire.send(echo(number));
    wire.answer().is_int(number)
}

fn a_client_that_goes() {
    let no_parameter = "<methodCall><methodName>echo.wait</methodName></methodCall>";
    for direct_lane in [true, false] {
        let server = setup(1, direct_lane, "call_ms_max = 3_600_000").start();
        for (number, says_goodbye) in [(1, false), (2, true)] {
            let count = |what: &str| server.log().matches(what).count();
            let mut wire = Wire::to(&server);
            wire.send(post("", no_parameter));
            wait_until("the call", || count("waiting to be cancelled") == number);
            if says_goodbye {
                wire.stream().shutdown(Shutdown::Write).unwrap();
                assert_eq!(wire.answer().status, 200, "it may still wait for the answer");
            }
            drop(wire);
            wait_until("its end", || count("heard that it is cancelled") == number);
        }
        assert!(is_answered(&server, 3), "the only worker is free");
    }
}

/// The worker has the body in memory, although its client was answered and may be gone.
fn a_stuck_request_counts() {
    const BODY: usize = 900 << 10;
    for direct_lane in [true, false] {
        let limits = "call_ms_max = 2_000\nbody_bytes_max = 1_048_576\n\
                      response_bytes_max = 1_048_576\nbodies_bytes_max = 1_500_000\n\
                      bodies_per_address_percent_max = 100";
        let server = setup(2, direct_lane, limits).start();
        let (done, spaces) = (server.beside("done"), " ".repeat(BODY));
        let path = done.display();
        let parameter = format!("<params><param><value>{path}</value></param></params>");
        let stuck = format!(
            "<methodCall><methodName>echo.until</methodName>{parameter}</methodCall>{spaces}"
        );
        let large = || {
            let mut wire = Wire::to(&server);
            wire.send(post("", &(call("echo", 1) + &spaces)));
            wire.answer().status
        };
        wait_until("room for one", || large() == 200);
        // Where the machine is slow, a call may pass its deadline before it begins.
        wait_until("a call that is stuck and counts", || {
            let mut wire = Wire::to(&server);
            wire.send(post("", &stuck));
            wire.answer().is_int(-32000) && large() == 503
        });
        assert!((0..5).all(|_| large() == 503));
        assert!(is_answered(&server, 3), "small ones are served");
        fs::write(&done, "").unwrap();
        wait_until("room for another", || large() == 200);
    }
}

fn a_stuck_worker_is_replaced() {
    for direct_lane in [true, false] {
        let server = setup(1, direct_lane, "call_ms_max = 1000").start();
        assert!(is_answered(&server, 1));
        let before = threads(&server);
        let file = server.beside("done");
        let mut wire = Wire::to(&server);
        wire.send(until(&file));
        assert!(wire.answer().is_int(-32000), "answered at the deadline, though the call runs on");
        server.wait_for_log(&["a worker is stuck", "another takes its place"]);
        wire.send(echo(2));
        assert!(wire.answer().is_int(2), "its connection goes on");
        assert!(is_answered(&server, 3), "and so do others");
        assert_eq!(threads(&server), before + 1);
        fs::write(&file, "").unwrap();
        server.wait_for_log(&["\"echo.until\""]);
        assert!(is_answered(&server, 4));
        assert_eq!(threads(&server), before + 1, "it is there for others now");
        assert!(!server.log().contains("no answer from within"), "{}", server.log());
    }
}

fn no_more_are_replaced() {
    let server = setup(1, true, "call_ms_max = 1000\nstuck_workers_max = 1").start();
    assert!(is_answered(&server, 1));
    let before = threads(&server);
    let file = server.beside("done");
    for log in ["another takes its place", "and this one is not"] {
        let mut wire = Wire::to(&server);
        wire.send(until(&file));
        assert!(wire.answer().is_int(-32000));
        server.wait_for_log(&[log]);
    }
    assert_eq!(threads(&server), before + 1);
    // Nobody is left who could begin it, and it is answered all the same.
    let mut wire = Wire::to(&server);
    wire.send(echo(2));
    assert!(wire.answer().is_int(-32000));
    fs::write(&file, "").unwrap();
    wait_until("a worker that is back", || is_answered(&server, 3));
}

fn a_broken_promise() {
    let server = setup(1, true, "").start();
    let mut wire = Wire::to(&server);
    let mut nap = |ms: i32| {
        wire.send(post("", &call("echo.nap", ms)));
        wire.answer().text()
    };
    let text = nap(0);
    assert!(
        text.contains("reactor-"),
        "a method that is flagged quick is answered at once: {text}"
    );
    // Two slow calls suffice. On a busy machine the quick call may count as one of them.
    for _ in 0..2 {
        nap(20);
    }
    server.wait_for_log(&[
        "method echo.nap is flagged quick and took",
        "the workers answer it from now on",
    ]);
    for _ in 0..5 {
        let text = nap(0);
        assert!(text.contains("worker-"), "{text}");
    }
}

fn answers_come_in_order() {
    for direct_lane in [true, false] {
        let server = setup(4, direct_lane, "").start();
        let mut wire = Wire::to(&server);
        let quick: String = (1..10).map(echo).collect();
        wire.send(post("", &call("echo.sleep", 300)) + &quick);
        assert!(wire.answer().is_int(300));
        for number in 1..10 {
            assert!(wire.answer().is_int(number), "{number}");
        }
    }
}

/// Fills the only worker of a plugin and its queue: more is turned away until the file is there.
/// Gives the answers that are to come.
fn overload(server: &Server, file: &Path) -> mpsc::Receiver<u16> {
    const CALLS: usize = 6;
    let (sender, statuses) = mpsc::channel();
    for number in 0..CALLS {
        if number == 1 {
            server.wait_for_log(&["waiting for a file"]);
        }
        let (mut wire, sender, request) = (Wire::to(server), sender.clone(), until(file));
        thread::spawn(move || {
            wire.send(request);
            sender.send(wire.answer().status)
        });
    }
    statuses
}

fn head_under_overload() {
    for direct_lane in [true, false] {
        let server = setup(1, direct_lane, "queue_len_max = 1").start();
        let file: PathBuf = server.beside("done");
        let mut statuses = overload(&server, &file).into_iter();
        // The worker has one, the queue another, and tiny_http's side perhaps one more.
        for _ in 0..3 {
            assert_eq!(statuses.next(), Some(503));
        }
        let mut wire = Wire::to(&server);
        let mut head = || {
            wire.send("HEAD /RPC2 HTTP/1.1\r\nHost: localhost\r\n\r\n");
            let answer = wire.next(true).expect("an answer");
            assert!(answer.body.is_empty());
            answer
        };
        if direct_lane {
            assert_eq!(head().status, 405, "no plugin's queue delays it");
        } else {
            let answer =
                wait_for("a full queue", || Some(head()).filter(|answer| answer.status == 503));
            assert_eq!(answer.field("Retry-After"), Some("1"));
            assert_eq!(answer.field("Connection"), Some("keep-alive"));
        }
        fs::write(&file, "").unwrap();
        wait_until("the end of the overload", || {
            wire.send(echo(5));
            let answer = wire.answer();
            assert!(answer.status == 503 || answer.is_int(5), "in step: {answer:?}");
            answer.status == 200
        });
        assert!(statuses.all(|status| matches!(status, 200 | 503)));
    }
}

/// Every call that a worker or the queue has had is answered, and no client gets half an answer.
fn a_signal_under_load() {
    const CLIENTS: usize = 32;
    const CALLS_BEFORE: usize = 200;
    for direct_lane in [true, false] {
        let mut server = setup(2, direct_lane, "").start();
        let answered = AtomicUsize::new(0);
        let status = thread::scope(|scope| {
            for _ in 0..CLIENTS {
                let mut wire = Wire::to(&server);
                let answered = &answered;
                scope.spawn(move || {
                    loop {
                        wire.send(post("", &call("echo.sleep", 2)));
                        let Some(answer) = wire.next(false) else { return };
                        assert!(answer.is_int(2), "{answer:?}");
                        answered.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
            wait_until("calls", || answered.load(Ordering::Relaxed) >= CALLS_BEFORE);
            server.signal(Signal::TERM);
            wait_for("the server's end", || server.has_ended())
        });
        assert_eq!(status.code(), Some(0), "{}", server.log());
        let begun = || server.log().matches("sleeping").count();
        wait_until("the whole log", || begun() >= answered.load(Ordering::Relaxed));
        assert_eq!(begun(), answered.into_inner());
    }
}
