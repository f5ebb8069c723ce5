//! Clients that ask for large answers and read them slowly, or not at all.

use crate::trial::trial;
use hotcall_tests::idle::connector;
use hotcall_tests::load::End;
use hotcall_tests::wire::{Answer, Wire, address, call, post};
use hotcall_tests::{Server, Setup, WAIT_MAX, artifacts, wait_until};
use libtest_mimic::Trial;
use rustix::net::sockopt::set_socket_recv_buffer_size;
use rustix::net::{AddressFamily, SocketType, socket};
use std::io::{Read, Write};
use std::net::{SocketAddrV4, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// A client's side.
trait Stream: Read + Write + Send {}

impl<S: Read + Write + Send> Stream for S {}

pub fn trials() -> Vec<Trial> {
    vec![
        trial("readers::one_address_cannot_take_the_memory_of_the_others", one_address_has_a_share),
        trial("readers::silent_readers_are_cut_off", silent_reader),
        trial(
            "readers::a_silent_reader_on_a_unix_socket_is_named_so",
            silent_reader_on_a_unix_socket,
        ),
        trial("readers::a_slow_reader_gets_its_whole_answer", slow_reader),
        trial("readers::a_trickle_does_not_keep_an_answer", || trickle(false)),
        trial("readers::a_trickle_does_not_keep_an_answer_over_tls", || trickle(true)),
    ]
}

/// An answer that the kernel does not take in one piece.
const LARGE: i32 = 7 << 20;
const FIRST: &str = "127.0.0.1";
const OTHER: &str = "[::1]";
const SMALL: &str = "[limits]\nbody_bytes_max = 8_388_608\nresponse_bytes_max = 8_388_608\n\
    bodies_bytes_max = 33_554_432\n";

fn start(limits: &str) -> Server {
    Setup::new()
        .argument("--http=127.0.0.1:0")
        .argument("--http=[::1]:0")
        .argument("--https=127.0.0.1:0")
        .config(limits)
        .plugin("echo.so", artifacts::plugin("echo"))
        .start()
}

/// The URL of the listener whose URL begins so.
fn url<'a>(server: &'a Server, beginning: &str) -> &'a str {
    server.urls().iter().find(|url| url.starts_with(beginning)).unwrap()
}

/// To a listener of one address: the client then has the same.
fn from(server: &Server, address_of_both: &str) -> Wire<TcpStream> {
    let url = url(server, &format!("http://{address_of_both}:"));
    let stream = TcpStream::connect(address(url)).unwrap();
    stream.set_read_timeout(Some(WAIT_MAX)).unwrap();
    Wire::on(stream)
}

fn answer(server: &Server, from_address: &str, request: &str) -> Answer {
    let mut wire = from(server, from_address);
    wire.send(request);
    wire.answer()
}

fn one_address_has_a_share() {
    const SILENT: usize = 17;
    let server = start(&format!("{SMALL}request_ms_max = 600_000\n"));
    let large_answer = post("", &call("echo.text", LARGE));
    let large_request = post("", &(call("echo", 1) + &" ".repeat(7 << 20)));
    let silent: Vec<_> = (0..SILENT)
        .map(|_| {
            let mut wire = from(&server, FIRST);
            wire.send(&large_answer);
            wire
        })
        .collect();
    let refused = || {
        let answer = answer(&server, FIRST, &large_answer);
        // For a moment, all that is being written may be too much for everybody.
        answer.text().contains("bodies_per_address_percent_max").then_some(answer)
    };
    let refused = hotcall_tests::wait_for("the address' share to be taken", refused);
    assert!(
        refused.status == 200 && refused.text().contains("-32002"),
        "it was executed: {refused:?}"
    );
    let unread = answer(&server, FIRST, &large_request);
    assert_eq!(
        (unread.status, unread.field("Retry-After")),
        (503, Some("1")),
        "it was not: {unread:?}"
    );
    let is_served = |request: &str| {
        let answer = answer(&server, OTHER, request);
        answer.status == 200 && !answer.text().contains("-32002")
    };
    wait_until("another address to be served", || is_served(&large_answer));
    wait_until("its requests, too", || is_served(&large_request));
    assert!(answer(&server, FIRST, &post("", &call("echo", 1))).is_int(1), "small ones are served");
    let is_told =
        |line: &&str| line.contains("WARN") && line.contains("bodies_per_address_percent_max");
    let told = server.log().lines().filter(is_told).count();
    assert!(told <= 1, "one line, however many were refused: {}", server.log());
    drop(silent);
    let is_served = || !answer(&server, FIRST, &large_answer).text().contains("-32002");
    wait_until("the share to be free again", is_served);
    wait_until("room for requests", || answer(&server, FIRST, &large_request).status == 200);
}

fn silent_reader() {
    let server = start(&format!("{SMALL}request_ms_max = 2_000\n"));
    let mut silent = from(&server, FIRST);
    silent.send(post("", &call("echo.text", LARGE)));
    server.wait_for_log(&["did not take its answer in time"]);
}

fn silent_reader_on_a_unix_socket() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("socket");
    let server = Setup::new()
        .argument(format!("--unix={}", socket.display()))
        .config(&format!("{SMALL}request_ms_max = 2_000\n"))
        .plugin("echo.so", artifacts::plugin("echo"))
        .start();
    let mut silent = UnixStream::connect(&socket).unwrap();
    silent.write_all(post("", &call("echo.text", LARGE)).as_bytes()).unwrap();
    server.wait_for_log(&["] a Unix socket: did not take its answer in time"]);
}

/// A connection whose kernel takes little at a time.
fn narrow(url: &str) -> TcpStream {
    let to: SocketAddrV4 = address(url).parse().unwrap();
    let socket = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    set_socket_recv_buffer_size(&socket, 16 << 10).unwrap();
    rustix::net::connect(&socket, &to).unwrap();
    socket.into()
}

/// It takes longer than `request_ms_max` for all, and never that long for a part.
fn slow_reader() {
    const BYTES: usize = 30 << 20;
    const PIECE: usize = 256 << 10;
    const PAUSE: Duration = Duration::from_millis(100);
    const REQUEST_MAX: Duration = Duration::from_secs(5);
    let limits = format!(
        "[limits]\nresponse_bytes_max = {}\nrequest_ms_max = {}\n",
        2 * BYTES,
        REQUEST_MAX.as_millis()
    );
    let server = start(&limits);
    let mut wire = from(&server, FIRST);
    wire.send(post("", &call("echo.text", i32::try_from(BYTES).unwrap())));
    let began = Instant::now();
    let mut piece = vec![0; PIECE];
    for _ in 0..BYTES / PIECE {
        wire.stream().read_exact(&mut piece).unwrap();
        thread::sleep(PAUSE);
    }
    // The kernel's buffers take a part of it at once.
    assert!(began.elapsed() > 2 * REQUEST_MAX, "it was not slow");
    let mut rest = vec![0; 1 << 10];
    assert!(wire.stream().read(&mut rest).unwrap() > 0, "the end of the document follows");
    assert!(!server.log().contains("did not take its answer"), "{}", server.log());
}

/// Each time it takes a little, long before `request_ms_max` has passed, and in all less than the
/// least that it has to take.
fn trickle(has_tls: bool) {
    const PIECE: usize = 1 << 10;
    const PAUSE: Duration = Duration::from_millis(100);
    let server = start(&format!("{SMALL}request_ms_max = 2_000\n"));
    let request = post("", &call("echo.text", LARGE));
    let mut stream: Box<dyn Stream> = if has_tls {
        Box::new(connector().connect("localhost", narrow(url(&server, "https:"))).unwrap())
    } else {
        Box::new(narrow(url(&server, "http:")))
    };
    stream.write_all(request.as_bytes()).unwrap();
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::Acquire) {
                drop(stream.read(&mut [0; PIECE]));
                thread::sleep(PAUSE);
            }
        });
        // Also when the wait is in vain, the other thread ends.
        let _end = End(&is_over);
        server.wait_for_log(&["did not take its answer in time"]);
    });
}
