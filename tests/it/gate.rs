//! The gate under bad requests and bad clients: what they get, and that nobody else notices.

use crate::trial::trial;
use hotcall_tests::requests::{BODY_BYTES_MAX, End, Row, Status, rows};
use hotcall_tests::wire::{Answer, Wire, address, call, post};
use hotcall_tests::{Server, Setup, artifacts, wait_for, wait_until};
use libtest_mimic::Trial;
use openssl::ssl::{SslConnector, SslMethod, SslStream, SslVerifyMode};
use rustix::process::Signal;
use std::collections::HashSet;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::thread;
use std::time::Duration;

pub fn trials() -> Vec<Trial> {
    vec![
        trial("gate::each_request_is_answered_and_poisons_nothing", || {
            each_request_is_answered(true)
        }),
        trial("gate::each_request_is_answered_without_the_direct_lane", || {
            each_request_is_answered(false)
        }),
        trial(
            "gate::silent_and_slow_clients_cost_no_thread_and_hold_up_nobody",
            silent_and_slow_clients,
        ),
        trial("gate::more_clients_than_descriptors_end_nothing", more_clients_than_descriptors),
        trial("gate::without_a_descriptor_clients_are_turned_away", without_a_descriptor),
        trial("gate::each_address_has_its_share_of_connections", each_address_has_its_share),
        trial("gate::half_a_request_holds_up_no_end", half_a_request_holds_up_no_end),
        trial("gate::bodies_of_all_connections_together_have_a_limit", bodies_have_a_limit),
    ]
}

/// So many rows there must be, lest a loader that finds none passes.
const ROWS_MIN: usize = 200;

/// A call whose answer can be taken for no other's.
fn echo(number: i32) -> String {
    post("", &call("echo", number))
}

fn setup() -> Setup {
    Setup::new()
        .argument("--http=127.0.0.1:0")
        .plugin("arithmetic.so", artifacts::plugin("arithmetic"))
        .plugin("echo.so", artifacts::plugin("echo"))
}

/// A good call on this connection, which must get its own answer.
fn is_in_step<S: Read + Write>(wire: &mut Wire<S>) -> bool {
    static NUMBERS: AtomicI32 = AtomicI32::new(1_000_000);
    let number = NUMBERS.fetch_add(1, Ordering::Relaxed);
    wire.send(echo(number));
    wire.next(false).is_some_and(|answer| answer.status == 200 && answer.is_int(number))
}

fn each_request_is_answered(direct_lane: bool) {
    let config =
        format!("direct_lane = {direct_lane}\n[limits]\nbody_bytes_max = {BODY_BYTES_MAX}\n");
    let server = setup().config(&config).log("warn").start();
    let rows = rows();
    assert!(rows.len() >= ROWS_MIN, "only {} requests", rows.len());
    let names: HashSet<_> = rows.iter().map(|row| &row.name).collect();
    assert_eq!(names.len(), rows.len(), "two requests have one name");
    let mut wrong = Vec::new();
    for row in &rows {
        for split in std::iter::once(None).chain(row.splits().into_iter().map(Some)) {
            if let Err(why) = check(&server, row, split) {
                wrong.push(format!(
                    "{}, split at {split:?}: {why}, not {:?} {:?}",
                    row.name, row.statuses, row.end
                ));
                break;
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), rows.len(), wrong.join("\n"));
}

/// # Errors
/// What became of it instead.
fn check(server: &Server, row: &Row, split: Option<usize>) -> Result<(), String> {
    let mut wire = Wire::to(server);
    let answers = row.send(&mut wire, split);
    let is = |(answer, status): (&Option<Answer>, &Status)| {
        answer.as_ref().is_some_and(|a| status.is_of(a))
    };
    if !answers.iter().zip(&row.statuses).all(is) {
        return Err(format!("{answers:?}"));
    }
    let connection =
        answers.last().and_then(|last| last.as_ref()?.field("Connection")).unwrap_or_default();
    match row.end {
        End::Kept if connection == "keep-alive" && is_in_step(&mut wire) => {}
        End::Closed if connection == "close" && wire.is_closed() => {}
        End::Cut => {
            wire.stream().shutdown(Shutdown::Write).map_err(|error| error.to_string())?;
            if !wire.is_closed() {
                return Err("answered".to_owned());
            }
        }
        _ => return Err(format!("the connection ends otherwise (Connection: {connection})")),
    }
    if is_in_step(&mut Wire::to(server)) {
        Ok(())
    } else {
        Err("the next connection is poisoned".to_owned())
    }
}

/// The threads of the server's process.
fn threads(server: &Server) -> usize {
    std::fs::read_dir(format!("/proc/{}/task", server.pid())).unwrap().count()
}

/// A connection whose handshake is done.
fn shake_hands(address: &str) -> SslStream<TcpStream> {
    let mut connector = SslConnector::builder(SslMethod::tls()).unwrap();
    connector.set_verify(SslVerifyMode::NONE);
    let stream = TcpStream::connect(address).unwrap();
    connector.build().connect("localhost", stream).unwrap()
}

/// Waits for the connection's end, with an answer or without one.
fn wait_for_end(mut stream: impl Read) {
    drop(stream.read_to_end(&mut Vec::new()));
}

fn silent_and_slow_clients() {
    const EACH: usize = 100;
    /// From one byte of a slow client to its next.
    const DRIP: Duration = Duration::from_millis(100);
    let limits = "[limits]\nhandshake_ms_max = 3000\nidle_ms_max = 3000\nrequest_ms_max = 3000\n";
    // With one worker, which is there from the start, each thread more is of a connection.
    let server = setup()
        .argument("--https=127.0.0.1:0")
        .argument("--workers=1")
        .config(limits)
        .log("warn")
        .start();
    let [secure, plain] = server.urls() else { panic!("two listeners: {:?}", server.urls()) };
    let normal = hotcall_tests::client(secure).ca_file(server.ca()).build().unwrap();
    let call = || assert_eq!(normal.call::<i32>("add", (2, 3)).unwrap(), 5);
    call();
    let before = threads(&server);
    let unshaken: Vec<_> =
        (0..EACH).map(|_| TcpStream::connect(address(secure)).unwrap()).collect();
    call();
    let idle: Vec<_> = (0..EACH).map(|_| shake_hands(address(secure))).collect();
    call();
    let mut slow: Vec<_> = (0..EACH).map(|_| TcpStream::connect(address(plain)).unwrap()).collect();
    let are_gone = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            // They never stop by themselves.
            let mut bytes = b"POST /RPC2 HTTP/1.1\r\nHost: localhost\r\nX: "
                .iter()
                .chain([b'x'; 1].iter().cycle());
            while !slow.is_empty() {
                let byte = *bytes.next().unwrap();
                slow.retain_mut(|stream| stream.write_all(&[byte]).is_ok());
                thread::sleep(DRIP);
            }
        });
        scope.spawn(|| {
            unshaken.into_iter().for_each(wait_for_end);
            idle.into_iter().for_each(wait_for_end);
            are_gone.store(true, Ordering::Release);
        });
        while !are_gone.load(Ordering::Acquire) {
            call();
            assert_eq!(threads(&server), before, "no connection has a thread");
        }
    });
    call();
    assert_eq!(threads(&server), before);
}

fn more_clients_than_descriptors() {
    const CLIENTS: usize = 400;
    let mut server = setup().after("ulimit -n 256").start();
    server.wait_for_log(&["limit of open files leaves"]);
    let mut early = Wire::to(&server);
    assert!(is_in_step(&mut early));
    let mut clients: Vec<_> = (0..CLIENTS).map(|_| Wire::to(&server)).collect();
    let served = clients.iter_mut().filter_map(|client| is_in_step(client).then_some(())).count();
    assert!((64..256).contains(&served), "{served} of {CLIENTS} clients are served");
    assert!(is_in_step(&mut early), "who was there is served on");
    drop(clients);
    wait_until("a place for a new client", || is_in_step(&mut Wire::to(&server)));
    assert!(server.stop().success(), "it is the same process, and it ends in order");
}

/// What plugins take of the descriptors is not reckoned with: `accept` itself fails then.
fn without_a_descriptor() {
    let server = setup().after("ulimit -n 256").start();
    let mut early = Wire::to(&server);
    early.send(post("", &call("echo.hoard", 1_000)));
    assert!(early.answer().text().contains("<int>"));
    // Not left to wait: its connection is closed.
    let turned_away = TcpStream::connect(address(server.url())).unwrap();
    server.wait_for_log(&["cannot accept", "trying again"]);
    wait_for_end(turned_away);
    assert!(is_in_step(&mut early), "who was there is served on");
    early.send(post("", &call("echo.hoard", 0)));
    assert!(early.answer().is_int(0));
    wait_until("a descriptor for a new client", || is_in_step(&mut Wire::to(&server)));
}

fn each_address_has_its_share() {
    let config = "[limits]\nconnections_per_address_max = 5\n";
    let server = setup().argument("--http=[::1]:0").config(config).start();
    let mut kept: Vec<_> = (0..5).map(|_| Wire::to(&server)).collect();
    assert!(kept.iter_mut().all(is_in_step));
    assert!(!is_in_step(&mut Wire::to(&server)), "one too many is closed unanswered");
    let other = TcpStream::connect(address(&server.urls()[1])).unwrap();
    assert!(is_in_step(&mut Wire::on(other)), "another address has slots of its own");
    drop(kept.pop());
    wait_until("a free place", || is_in_step(&mut Wire::to(&server)));
}

fn half_a_request_holds_up_no_end() {
    let mut server = setup().config("[limits]\ndrain_ms_max = 8_000\n").start();
    let mut wire = Wire::to(&server);
    wire.send(echo(1));
    assert!(wire.answer().is_int(1));
    wire.send("POST /RPC2 HT");
    server.signal(Signal::TERM);
    // After half of the drain limit. The server waits for the client to go.
    assert_eq!(wire.answer().status, 408);
    drop(wire);
    assert_eq!(server.wait().code(), Some(0), "nothing that had come whole was left");
}

fn bodies_have_a_limit() {
    const BODY: usize = 7 << 20;
    let config = "[limits]\nbody_bytes_max = 8_388_608\nresponse_bytes_max = 8_388_608\n\
                  bodies_bytes_max = 12_582_912\nbodies_per_address_percent_max = 100\n";
    let server = setup().config(config).start();
    let text = i32::try_from(BODY).unwrap();
    let large_request = || post("", &(call("echo", 1) + &" ".repeat(BODY)));
    let large_answer = || post("", &call("echo.text", text));
    let answer = |request: String| {
        let mut wire = Wire::to(&server);
        wire.send(request);
        wire.answer()
    };
    // A request that cannot be held is not executed; a call whose response cannot be held was.
    let is_refused = |answer: &Answer| answer.status == 503 || answer.text().contains("-32002");
    let is_served = |request: String| {
        let answer = answer(request);
        answer.status == 200 && !is_refused(&answer)
    };
    let mut all_but_one_byte = large_request();
    all_but_one_byte.pop();
    let held: [(&str, String, &dyn Fn() -> String); 2] = [
        ("a request that does not end", all_but_one_byte, &large_request),
        ("an answer that nobody takes", large_answer(), &large_answer),
    ];
    for (what, request, another) in held {
        assert!(is_served(another()), "{what}");
        // Both come at once, so either may be refused.
        let holder = wait_for(what, || {
            let mut holder = Wire::to(&server);
            holder.send(&request);
            is_refused(&answer(another())).then_some(holder)
        });
        assert!(is_in_step(&mut Wire::to(&server)), "small ones are served all the same");
        drop(holder);
        wait_until("room again", || is_served(another()));
    }
}
