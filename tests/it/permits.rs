//! Who may call, and what: ways to be somebody, listeners, methods, and the three ways in which a
//! method shows.

use crate::access::{asked, passwd};
use crate::trial::trial;
use hotcall::client::{Client, Error};
use hotcall::xmlrpc::{Value, code};
use hotcall_tests::authority::{Authority, Issued};
use hotcall_tests::{Server, Setup, artifacts, wait_until};
use libtest_mimic::Trial;
use openssl::asn1::Asn1Type;
use rustix::process::Signal;
use std::fs;
use std::path::Path;
use std::process::Command;

pub fn trials() -> Vec<Trial> {
    vec![
        trial("permits::who_callers_are_and_who_is_let_in", who_is_let_in),
        trial("permits::names_of_users_and_of_certificates_are_one_kind", names_are_of_one_kind),
        trial(
            "permits::a_certificate_with_the_bytes_of_a_name_is_not_that_user",
            bytes_are_no_name,
        ),
        trial("permits::who_may_call_what", who_may_call_what),
        trial("permits::nobody_serves_the_network_by_mistake", nobody_serves_by_mistake),
    ]
}

/// The README has it in short; `open` is `allow_anonymous`. `ann` has a password, `bert` a
/// certificate. Each cell is the name under which somebody calls, `-` for none, the status of a
/// refusal, or `x` when there is no connection.
const WHO: &str = "
users client_ca open | https: none ann wrong bert both | http: none ann wrong | unix: none ann wrong
no    no        no   |        -    -   -     -    -    |       -    -   -     |       -    -   -
no    no        yes  |        -    -   -     -    -    |       -    -   -     |       -    -   -
no    optional  no   |        403  403 403   bert bert |       403  403 403   |       -    -   -
no    optional  yes  |        -    -   -     bert bert |       -    -   -     |       -    -   -
no    required  no   |        x    x   x     bert bert |       403  403 403   |       -    -   -
no    required  yes  |        x    x   x     bert bert |       -    -   -     |       -    -   -
yes   no        no   |        401  ann 401   401  ann  |       401  ann 401   |       -    ann 401
yes   no        yes  |        -    ann 401   -    ann  |       -    ann 401   |       -    ann 401
yes   optional  no   |        401  ann 401   bert ann  |       401  ann 401   |       -    ann 401
yes   optional  yes  |        -    ann 401   bert ann  |       -    ann 401   |       -    ann 401
yes   required  no   |        x    x   x     bert ann  |       401  ann 401   |       -    ann 401
yes   required  yes  |        x    x   x     bert ann  |       -    ann 401   |       -    ann 401
";

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

/// Who, and what it may call over TCP and through a Unix socket. `system`: introspection and
/// multicall.
const CALLERS: [(&str, &str, &str); 4] = [
    ("", "", "multiply hotcall.plugins system"),
    (
        "ann",
        "add subtract counter.value system",
        "add multiply counter.value hotcall.plugins system",
    ),
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

fn who_is_let_in() {
    let root = tempfile::tempdir().unwrap();
    let users = root.path().join("users");
    assert!(passwd(&users, "ann", "right").status.success());
    let authority = Authority::new();
    let bert = authority.issue("bert", "bert", &[]);
    let mut rows = WHO.trim().lines().map(|row| row.replace('|', " "));
    let head = rows.next().unwrap();
    for row in rows {
        let [has_users, ca, anonymous, cells @ ..] =
            &row.split_whitespace().collect::<Vec<_>>()[..]
        else {
            panic!("{row}")
        };
        let mut config = String::new();
        if *has_users == "yes" {
            config += &format!("users = {users:?}\n");
        }
        if *ca != "no" {
            config += &format!("client_ca = {:?}\nclient_auth = '{ca}'\n", authority.ca());
        }
        config += if *anonymous == "yes" { "allow_anonymous = true\n" } else { "" };
        let server = on_three_listeners(root.path()).config(&config).start();
        let mut listener = "";
        let mut cells = cells.iter();
        for caller in head.split_whitespace().skip(3) {
            if let Some(name) = caller.strip_suffix(':') {
                listener = name;
                continue;
            }
            let index = LISTENERS.iter().position(|name| *name == listener).unwrap();
            assert_eq!(
                &seen(&server, index, caller, &bert),
                cells.next().unwrap(),
                "{row}: {caller}"
            );
        }
        assert_eq!(cells.next(), None);
    }
}

fn on_three_listeners(directory: &Path) -> Setup {
    Setup::new()
        .argument("--https=127.0.0.1:0")
        .argument("--http=127.0.0.1:0")
        .argument(format!("--unix={}", directory.join("s").display()))
        .plugin("echo.so", artifacts::plugin("echo"))
}

/// What a cell says of this caller.
fn seen(server: &Server, listener: usize, caller: &str, bert: &Issued) -> String {
    let url = &server.urls()[listener];
    let mut builder = hotcall_tests::client(url);
    if url.starts_with("https:") {
        builder = builder.ca_file(server.ca());
    }
    if matches!(caller, "bert" | "both") {
        builder = builder.client_certificate(&bert.cert, &bert.key);
    }
    if matches!(caller, "ann" | "wrong" | "both") {
        builder = builder.basic("ann", if caller == "wrong" { "wrong" } else { "right" });
    }
    match builder.build().unwrap().call::<Vec<String>>("echo.caller", ()) {
        Ok(caller) if caller[0].is_empty() => "-".into(),
        Ok(caller) => caller[0].clone(),
        Err(Error::Http { status, .. }) => status.to_string(),
        Err(Error::Transport { .. }) => "x".into(),
        Err(error) => panic!("{caller} by {url}: {error}"),
    }
}

fn names_are_of_one_kind() {
    let root = tempfile::tempdir().unwrap();
    let users = root.path().join("users");
    for name in ["ann", "bert"] {
        assert!(passwd(&users, name, "right").status.success());
    }
    let authority = Authority::new();
    let config = format!(
        "users = {users:?}\nclient_ca = {:?}\nclient_auth = 'optional'\n\
         [[allow]]\nusers = ['ann']\nmethods = ['echo.caller', 'hotcall.*']\n",
        authority.ca()
    );
    let server = on_three_listeners(root.path()).config(&config).start();
    for (name, is_allowed) in [("ann", true), ("bert", false)] {
        let issued = authority.issue(name, name, &[]);
        let by_certificate = hotcall_tests::client(server.url())
            .ca_file(server.ca())
            .client_certificate(&issued.cert, &issued.key)
            .build()
            .unwrap();
        for client in [by_certificate, asked(&server, 0, Some((name, "right")))] {
            for method in ["echo.caller", "hotcall.plugins"] {
                let outcome = outcome(&client, method, vec![]);
                assert_eq!(outcome.is_ok(), is_allowed, "{name}: {method}: {outcome:?}");
                assert!(is_allowed || outcome == Err(403), "{name}: {method}: {outcome:?}");
            }
        }
    }
}

/// The bytes of `root` are a BMPString of two other characters, and a TeletexString of unknown
/// ones.
fn bytes_are_no_name() {
    let authority = Authority::new();
    let config = format!(
        "client_ca = {:?}\nclient_auth = 'optional'\nallow_anonymous = true\n\
         [[allow]]\nusers = ['root']\nmethods = ['echo.caller', 'hotcall.*']\n",
        authority.ca()
    );
    let root = tempfile::tempdir().unwrap();
    let server = on_three_listeners(root.path()).config(&config).start();
    for (kind, is_root) in [
        (Asn1Type::UTF8STRING, true),
        (Asn1Type::PRINTABLESTRING, true),
        (Asn1Type::IA5STRING, true),
        (Asn1Type::BMPSTRING, false),
        (Asn1Type::T61STRING, false),
    ] {
        let issued = authority.issue_typed("root", "root", kind, &[]);
        let client = Client::builder(server.url())
            .ca_file(server.ca())
            .client_certificate(&issued.cert, &issued.key)
            .build()
            .unwrap();
        for method in ["echo.caller", "hotcall.plugins"] {
            let called = client.call::<Value>(method, ());
            match (&called, is_root) {
                (Ok(_), true) | (Err(Error::Transport { .. }), false) => {}
                _ => panic!("type {}: {method}: {called:?}", kind.as_raw()),
            }
        }
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
            let may: Vec<&str> =
                (if *listener == "unix" { by_unix } else { by_tcp }).split(' ').collect();
            for method in METHODS {
                let scene = format!("{name:?} calls {method} by {listener}");
                // A pattern allows a name whether there is such a method or not.
                let is_allowed = may.contains(&method)
                    || (method == "counter.none" && may.contains(&"counter.value"));
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
    assert!(
        !is_allowed || alone.is_ok() || alone == Err(code::METHOD_NOT_FOUND),
        "{scene}: {alone:?}"
    );

    let call =
        vec![("methodName".into(), method.into()), ("params".into(), Value::Array(params()))];
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
    let rows = [
        ("0.0.0.0:0", "", true),
        ("[::]:0", "", true),
        ("192.0.2.1:80", "", true),
        ("127.0.0.2:0", "", false),
        ("0.0.0.0:0", "users = 'u'", false),
        ("0.0.0.0:0", "client_ca = 'ca'", false),
        ("0.0.0.0:0", "client_ca = 'ca'\nclient_auth = 'optional'", false),
    ];
    for (address, keys, is_open) in rows {
        let root = tempfile::tempdir().unwrap();
        assert!(passwd(&root.path().join("u"), "ann", "secret").status.success());
        let config = format!("http = ['{address}']\n{keys}\n[[allow]]\nmethods = []\n");
        fs::write(root.path().join("c"), config).unwrap();
        let mut command = Command::new(artifacts::hotcall());
        let output = command
            .args(["serve", "--config", "c", "--state-dir", "s"])
            .current_dir(root.path())
            .output();
        let said = String::from_utf8(output.unwrap().stderr).unwrap();
        // The rule that cannot be meant ends the others.
        let why = if is_open { "allow_anonymous = true" } else { "an empty list fits nothing" };
        assert!(said.contains(why), "{address}: {said}");
        assert_eq!(said.contains(address), is_open, "{address}: {said}");
    }
}
