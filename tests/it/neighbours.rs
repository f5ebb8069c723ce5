//! A busy plugin delays its own calls alone, in its own queue, and takes no worker that others
//! need.

use crate::access::{asked, passwd};
use crate::trial::trial;
use hotcall::xmlrpc::Value;
use hotcall_tests::wire::{Answer, Wire, call_with_text, post};
use hotcall_tests::{Server, Setup, artifacts, repository, wait_until};
use libtest_mimic::Trial;
use rustix::process::Signal;
use std::path::PathBuf;
use std::sync::mpsc::{self, Receiver};
use std::{fs, thread};

pub fn trials() -> Vec<Trial> {
    vec![
        trial("neighbours::calls_that_do_not_end_delay_no_other_plugin", no_other_is_delayed),
        trial("neighbours::a_full_queue_refuses_no_call_of_another_plugin", a_full_queue),
        trial("neighbours::no_plugin_delays_the_servers_own_methods", own_methods),
        trial("neighbours::no_plugin_delays_passwords", passwords),
        trial("neighbours::a_plugin_runs_as_many_calls_as_its_options_say", options_hold),
        trial("neighbours::calls_that_were_answered_hold_no_place", answered_ones),
        trial("neighbours::no_client_fills_a_queue_alone", one_client),
        trial("neighbours::documents_wait_for_their_own_plugin_alone", documents),
        trial("neighbours::batches_wait_for_the_plugins_that_they_call", batches),
    ]
}

/// A plugin alone gets all of them.
const WORKERS: usize = 4;
/// More calls than a plugin gets workers for.
const BACKLOG: usize = 12;
const HERE: [u8; 4] = [127, 0, 0, 1];
const THERE: [u8; 4] = [127, 0, 0, 2];
const ELSEWHERE: [u8; 4] = [127, 0, 0, 3];

/// A server with two plugins: calls of one last until there is a file, and the other answers.
struct Scene {
    server: Server,
    file: PathBuf,
    answers: Vec<Receiver<Answer>>,
}

impl Scene {
    fn new(config: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let version = folder.path().join("version.so");
        let source = repository().join("tests/fixtures/version.c");
        // Not flagged quick, so a worker answers it.
        artifacts::compile_c(&source, &version, &["-DVERSION=1"]);
        let server = Setup::new()
            .argument("--http=127.0.0.1:0")
            .argument(format!("--workers={WORKERS}"))
            .config(config)
            .plugin("echo.so", artifacts::plugin("echo"))
            .plugin("version.so", &version)
            .start();
        let file = server.beside("done");
        Self { server, file, answers: Vec::new() }
    }

    /// A call of the busy plugin, with spaces behind it.
    fn until(&self, spaces: usize) -> String {
        let call = call_with_text("echo.until", self.file.to_str().unwrap());
        post("", &(call + &" ".repeat(spaces)))
    }

    /// Sends as many requests, each on a connection from that address.
    fn send(&mut self, count: usize, source: [u8; 4], request: &str) {
        for _ in 0..count {
            let (mut wire, (sender, answer)) = (Wire::from(source, &self.server), mpsc::channel());
            wire.send(request);
            self.answers.push(answer);
            thread::spawn(move || sender.send(wire.answer()));
        }
    }

    /// How many calls of the busy plugin have begun.
    fn begun(&self) -> usize {
        self.server.log().matches("waiting for a file").count()
    }

    /// Waits until so many requests have been refused, and no others were answered.
    fn wait_for_refusals(&mut self, count: usize) -> Vec<String> {
        let mut texts = Vec::new();
        wait_until("the refusals", || {
            self.answers.retain(|answer| match answer.try_recv() {
                Ok(answer) => {
                    assert_eq!(answer.status, 503, "{answer:?}");
                    assert_eq!(answer.field("Retry-After"), Some("1"));
                    texts.push(answer.text());
                    false
                }
                Err(_) => true,
            });
            texts.len() >= count
        });
        assert_eq!(texts.len(), count);
        texts
    }

    fn is_other_plugin_served(&self) -> bool {
        let mut wire = Wire::to(&self.server);
        wire.send(post("", "<methodCall><methodName>version</methodName></methodCall>"));
        wire.answer().is_int(1)
    }

    /// Lets the busy plugin's calls end. All that were not refused are answered.
    fn end(self) {
        fs::write(&self.file, "").unwrap();
        for answer in &self.answers {
            let answer = answer.recv().unwrap();
            assert!(answer.text().contains("<boolean>1</boolean>"), "{answer:?}");
        }
    }

    fn wait_for_share(&self) {
        wait_until("the plugin's share", || self.begun() == WORKERS);
    }
}

fn no_other_is_delayed() {
    let mut scene = Scene::new("");
    scene.send(BACKLOG, HERE, &scene.until(0));
    scene.wait_for_share();
    assert!((0..50).all(|_| scene.is_other_plugin_served()));
    assert_eq!(scene.begun(), WORKERS, "a free worker is left to others");
    scene.end();
}

fn a_full_queue() {
    let mut scene = Scene::new("[plugin_options.echo]\nqueue_len_max = 8\n");
    scene.send(WORKERS, HERE, &scene.until(0));
    scene.wait_for_share();
    // Each address may fill half of it.
    scene.send(4, HERE, &scene.until(0));
    scene.send(4, THERE, &scene.until(0));
    scene.send(BACKLOG, ELSEWHERE, &scene.until(0));
    let texts = scene.wait_for_refusals(BACKLOG);
    assert!(texts.iter().all(|text| text.contains("too many calls of plugin echo")), "{texts:?}");
    let setting = "queue_len_max under [plugin_options.echo]";
    assert!(texts.iter().any(|text| text.contains(setting)), "{texts:?}");
    assert!((0..50).all(|_| scene.is_other_plugin_served()));
    scene.end();
}

fn own_methods() {
    let mut scene = Scene::new("");
    scene.send(BACKLOG, HERE, &scene.until(0));
    scene.wait_for_share();
    let client = asked(&scene.server, 0, None);
    for _ in 0..50 {
        let methods: Vec<String> = client.call("system.listMethods", ()).unwrap();
        assert!(methods.contains(&"echo.until".to_owned()));
    }
    scene.end();
}

fn passwords() {
    let root = tempfile::tempdir().unwrap();
    let users = root.path().join("users");
    assert!(passwd(&users, "ann", "right").status.success());
    let mut scene = Scene::new(&format!("users = {users:?}\nallow_anonymous = true\n"));
    scene.send(BACKLOG, HERE, &scene.until(0));
    scene.wait_for_share();
    // Not known yet, so that it is verified now.
    let ann = asked(&scene.server, 0, Some(("ann", "right")));
    assert_eq!(ann.call::<i32>("version", ()).unwrap(), 1);
    let wrong = asked(&scene.server, 0, Some(("ann", "wrong")));
    let why = wrong.call::<i32>("version", ()).unwrap_err().to_string();
    assert!(why.contains("401"), "{why}");
    scene.end();
}

fn options_hold() {
    let config = |running: usize| format!("[plugin_options.echo]\nconcurrency_max = {running}\n");
    let mut scene = Scene::new(&config(1));
    scene.send(BACKLOG, HERE, &scene.until(0));
    wait_until("one call", || scene.begun() == 1);
    assert!((0..50).all(|_| scene.is_other_plugin_served()));
    assert_eq!(scene.begun(), 1);
    // A new limit holds for calls that wait too.
    scene.server.configure(&config(2));
    scene.server.signal(Signal::HUP);
    wait_until("two calls", || scene.begun() == 2);
    assert!((0..50).all(|_| scene.is_other_plugin_served()));
    assert_eq!(scene.begun(), 2);
    scene.end();
}

/// A stuck call holds the only turn of its plugin. Those behind it are answered at their deadline
/// and make room for others.
fn answered_ones() {
    let options = "[plugin_options.echo]\nconcurrency_max = 1\nqueue_len_max = 4\n";
    let mut scene = Scene::new(&format!("[limits]\ncall_ms_max = 1_000\n{options}"));
    scene.send(1, HERE, &scene.until(0));
    wait_until("one call", || scene.begun() == 1);
    for _ in 0..2 {
        scene.send(2, HERE, &scene.until(0));
        scene.send(2, THERE, &scene.until(0));
        for answer in scene.answers.drain(..) {
            let text = answer.recv().unwrap().text();
            assert!(text.contains("-32000"), "{text}");
        }
    }
    assert!(scene.is_other_plugin_served());
    scene.end();
}

/// An address has half of a queue, and another address has the rest.
fn one_client() {
    let mut scene = Scene::new("[plugin_options.echo]\nqueue_len_max = 8\n");
    scene.send(WORKERS, HERE, &scene.until(0));
    scene.wait_for_share();
    scene.send(BACKLOG, HERE, &scene.until(0));
    for text in scene.wait_for_refusals(BACKLOG - 4) {
        assert!(text.contains("queue_len_per_client_percent_max under [limits]"), "{text}");
    }
    scene.send(4, THERE, &scene.until(0));
    scene.end();
}

/// Documents that a reactor leaves to a worker, of a plugin without a free worker.
fn documents() {
    const SPACES: usize = 100_000;
    let mut scene = Scene::new("");
    scene.send(BACKLOG, HERE, &scene.until(SPACES));
    scene.wait_for_share();
    let call = "<methodCall><methodName>version</methodName></methodCall>".to_owned();
    let large = post("", &(call + &" ".repeat(SPACES)));
    for _ in 0..50 {
        let mut wire = Wire::to(&scene.server);
        wire.send(&large);
        assert!(wire.answer().is_int(1));
    }
    assert_eq!(scene.begun(), WORKERS);
    scene.end();
}

/// A batch of one plugin's calls counts as its call, and batches of several have a queue.
fn batches() {
    let mut scene = Scene::new("[plugin_options.echo]\nconcurrency_max = 1\n");
    let entry = |method: &str, params: &[Value]| {
        Value::Struct(vec![
            ("methodName".into(), method.into()),
            ("params".into(), Value::Array(params.to_vec())),
        ])
    };
    let batch = |entries: Vec<Value>| {
        let document = hotcall::xmlrpc::encode_call(
            "system.multicall",
            &[Value::Array(entries)],
            &hotcall::xmlrpc::EncodeOptions::default(),
        );
        post("", std::str::from_utf8(&document.unwrap()).unwrap())
    };
    let until = entry("echo.until", &[scene.file.to_str().unwrap().into()]);
    let of_one = batch(vec![until.clone(), until.clone()]);
    scene.send(3, HERE, &of_one);
    wait_until("one batch", || scene.begun() == 1);
    let mut wire = Wire::to(&scene.server);
    wire.send(batch(vec![entry("version", &[]), entry("version", &[])]));
    assert_eq!(wire.answer().text().matches("<int>1</int>").count(), 2);
    wire.send(batch(vec![entry("version", &[]), entry("system.listMethods", &[])]));
    assert!(wire.answer().text().contains("<int>1</int>"));
    assert_eq!(scene.begun(), 1);
    // This one needs no turn of the busy plugin, or no batch could ever call two.
    scene.send(1, HERE, &batch(vec![entry("version", &[]), until]));
    wait_until("a batch of two plugins", || scene.begun() == 2);
    scene.end();
}
