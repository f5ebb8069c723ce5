//! Who may call what: identities, listeners, methods, and the three ways in which a method shows.

use crate::access::{asked, passwd};
use crate::trial;
use hotcall::client::{Client, Error};
use hotcall::xmlrpc::{Value, code};
use hotcall_tests::{Setup, artifacts, wait_until};
use libtest_mimic::Trial;
use rustix::process::Signal;
use std::fs;
use std::process::Command;

pub fn trials() -> Vec<Trial> {
    vec![
        trial("permits::who_may_call_what", who_may_call_what),
        trial("permits::nobody_serves_the_network_by_mistake", nobody_serves_by_mistake),
    ]
}

const RULES: &str = "
allow_anonymous = true
[[allow]]
users = ['ann']
methods = ['add', 'counter.*']
[[allow]]
users = ['op']
methods = ['hotcall.*']
[[allow]]
users = ['bert']
addresses = ['10.0.0.0/8']
methods = ['*']
[[allow]]
users = ['ann', 'bert']
addresses = ['127.0.0.0/8']
methods = ['subtract']
[[allow]]
addresses = ['unix']
methods = ['mult*']
";

const LISTENERS: [&str; 3] = ["https", "http", "unix"];

/// Who, and what it may call over TCP and through a Unix socket. `system`: introspection and multicall.
const CALLERS: [(&str, &str, &str); 4] = [
    ("", "", "multiply hotcall.plugins system"),
    ("ann", "add subtract counter.value system", "add multiply counter.value hotcall.plugins system"),
    ("bert", "subtract system", "multiply hotcall.plugins system"),
    ("op", "hotcall.plugins system", "multiply hotcall.plugins system"),
];

const METHODS: [&str; 7] =
    ["add", "subtract", "multiply", "counter.value", "counter.none", "hotcall.plugins", "no.such"];

/// What became of a call: an answer or a fault, or the HTTP status.
fn outcome(client: &Client, method: &str, params: Vec<Value>) -> Result<Value, i32> {
    match client.call(method, params) {
        Ok(value) => Ok(value),
        Err(Error::Fault(fault)) => Err(fault.code),
        Err(Error::Http { status, .. }) => Err(status.into()),
        Err(error) => panic!("{method}: {error}"),
    }
}

fn who_may_call_what() {
    let root = tempfile::tempdir().unwrap();
    let (users, socket) = (root.path().join("users"), root.path().join("s"));
    for (name, ..) in CALLERS.iter().filter(|(name, ..)| !name.is_empty()) {
        assert!(passwd(&users, name, "secret").status.success());
    }
    let server = Setup::new()
        .argument("--https=127.0.0.1:0")
        .argument("--http=127.0.0.1:0")
        .argument(format!("--unix={}", socket.display()))
        .plugin("arithmetic.so", artifacts::plugin("arithmetic"))
        .plugin("counter.so", artifacts::plugin("counter"))
        .config(&format!("users = {users:?}\n{RULES}"))
        .start();
    for (index, listener) in LISTENERS.iter().enumerate() {
        for (name, by_tcp, by_unix) in CALLERS {
            let client = asked(&server, index, Some((name, "secret")).filter(|_| !name.is_empty()));
            let may: Vec<&str> = (if *listener == "unix" { by_unix } else { by_tcp }).split(' ').collect();
            for method in METHODS {
                let scene = format!("{name:?} calls {method} by {listener}");
                // A pattern allows a name whether there is such a method or not.
                let is_allowed =
                    may.contains(&method) || (method == "counter.none" && may.contains(&"counter.value"));
                is_called(&client, method, is_allowed, may.contains(&"system"), &scene);
                is_shown(&client, method, may.contains(&method), may.contains(&"system"), &scene);
            }
        }
    }

    let config = server.beside("hotcall.toml");
    fs::write(&config, format!("users = {users:?}\nallow_anonymous = true\n")).unwrap();
    server.signal(Signal::HUP);
    let anybody = asked(&server, 0, None);
    wait_until("a reload without rules", || {
        outcome(&anybody, "add", vec![2.into(), 3.into()]) == Ok(5.into())
    });
}

fn is_called(client: &Client, method: &str, is_allowed: bool, may_batch: bool, scene: &str) {
    let params = || match method {
        "add" | "subtract" | "multiply" => vec![2.into(), 3.into()],
        _ => vec![],
    };
    let alone = outcome(client, method, params());
    assert_eq!(alone != Err(403), is_allowed, "{scene}: {alone:?}");
    assert!(!is_allowed || alone.is_ok() || alone == Err(code::METHOD_NOT_FOUND), "{scene}: {alone:?}");

    let call = vec![("methodName".into(), method.into()), ("params".into(), Value::Array(params()))];
    let batch = outcome(client, "system.multicall", vec![Value::Array(vec![Value::Struct(call)])]);
    match batch {
        Ok(Value::Array(entries)) if may_batch => {
            let fault = entries[0].get("faultCode").cloned();
            assert_eq!(fault != Some(code::FORBIDDEN.into()), is_allowed, "{scene}: {entries:?}");
        }
        other => assert!(!may_batch && other == Err(403), "{scene}: {other:?}"),
    }
}

fn is_shown(client: &Client, method: &str, is_shown: bool, may_ask: bool, scene: &str) {
    let asked = |question: &str, params| outcome(client, question, params);
    if !may_ask {
        for question in ["system.methodHelp", "system.methodSignature", "system.methodExist"] {
            assert_eq!(asked(question, vec![method.into()]), Err(403), "{scene}: {question}");
        }
        return assert_eq!(asked("system.listMethods", vec![]), Err(403), "{scene}");
    }
    let Ok(Value::Array(names)) = asked("system.listMethods", vec![]) else { panic!("{scene}") };
    assert_eq!(names.contains(&method.into()), is_shown, "{scene}: {names:?}");
    assert_eq!(asked("system.methodExist", vec![method.into()]), Ok(is_shown.into()), "{scene}");
    for question in ["system.methodHelp", "system.methodSignature"] {
        let told = asked(question, vec![method.into()]);
        assert_eq!(told.is_ok(), is_shown, "{scene}: {question} {told:?}");
        assert!(is_shown || told == Err(code::METHOD_NOT_FOUND), "{scene}: {question} {told:?}");
    }
}

fn nobody_serves_by_mistake() {
    for (address, is_open) in
        [("0.0.0.0:0", true), ("[::]:0", true), ("192.0.2.1:80", true), ("127.0.0.2:0", false)]
    {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("c"), format!("http = ['{address}']\n[[allow]]\nmethods = []\n")).unwrap();
        let mut command = Command::new(artifacts::hotcall());
        let output =
            command.args(["serve", "--config", "c", "--state-dir", "s"]).current_dir(root.path()).output();
        let said = String::from_utf8(output.unwrap().stderr).unwrap();
        // The rule that cannot be meant ends the others.
        let why = if is_open { "allow_anonymous = true" } else { "an empty list fits nothing" };
        assert!(said.contains(why), "{address}: {said}");
        assert_eq!(said.contains(address), is_open, "{address}: {said}");
    }
}
