//! A server's start, its signals and its end.

use crate::trial::trial;
use hotcall::xmlrpc::Value;
use hotcall_tests::{Setup, artifacts, repository, wait_for, wait_until};
use libtest_mimic::Trial;
use rustix::process::Signal;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::{fs, thread};

pub fn trials() -> Vec<Trial> {
    vec![
        trial("serving::a_signal_drains_and_exits_0", a_signal_drains),
        trial("serving::a_second_signal_exits_at_once", a_second_signal_exits),
        trial("serving::a_signal_ends_a_start_that_hangs", a_signal_ends_a_start),
        trial("serving::a_killed_server_leaves_nothing_in_the_way", a_killed_server_leaves_nothing),
        trial("serving::two_servers_share_a_state_directory", two_servers_share_a_state_directory),
        trial("serving::several_listeners_serve_at_once", several_listeners),
        trial("serving::what_cannot_start_says_why", what_cannot_start_says_why),
        trial("serving::a_config_file_is_checked_without_serving_it", config_is_checked),
        trial("serving::a_config_file_with_every_key_is_printed", config_is_printed),
    ]
}

fn echo() -> Setup {
    Setup::new().plugin("echo.so", artifacts::plugin("echo"))
}

fn a_signal_drains() {
    for signal in [Signal::TERM, Signal::INT] {
        let mut server = echo().start();
        let client = server.client();
        let call = thread::spawn(move || client.call::<Value>("echo.sleep", vec![Value::Int(600)]));
        server.wait_for_log(&["sleeping"]);
        server.signal(signal);
        assert_eq!(call.join().unwrap().unwrap(), Value::Int(600), "the running call is answered");
        assert_eq!(server.wait().code(), Some(0), "{}", server.log());
        let leftovers: Vec<_> = fs::read_dir(server.state())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name.starts_with("run-"))
            .collect();
        assert_eq!(leftovers, Vec::<String>::new(), "private copies are removed");
    }
}

fn a_second_signal_exits() {
    let mut server = echo().start();
    let client = server.client();
    let call = thread::spawn(move || client.call::<Value>("echo.sleep", vec![Value::Int(60_000)]));
    server.wait_for_log(&["sleeping"]);
    server.signal(Signal::TERM);
    server.wait_for_log(&["stopping"]);
    server.signal(Signal::TERM);
    assert_eq!(server.wait().code(), Some(1));
    assert!(call.join().unwrap().is_err());
}

/// Without the probe, a plugin whose `create` hangs hangs the start: the server can still be told
/// to stop.
fn a_signal_ends_a_start() {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir(root.path().join("plugins")).unwrap();
    let source = repository().join("host/tests/fixtures/harmful.c");
    artifacts::compile_c(&source, &root.path().join("plugins/hangs.so"), &["-DCREATE=hang"]);
    fs::write(root.path().join("hotcall.toml"), "probe = false\n").unwrap();
    let mut serve = Command::new(artifacts::hotcall());
    serve.current_dir(root.path()).args([
        "serve",
        "--config",
        "hotcall.toml",
        "--state-dir",
        "state",
    ]);
    let mut child = serve.args(["--https", "127.0.0.1:0"]).stderr(Stdio::null()).spawn().unwrap();
    // Its private copy is there just before it is loaded.
    let copies = || fs::read_dir(root.path().join("state")).into_iter().flatten().flatten();
    let has_copy = |run: PathBuf| {
        fs::read_dir(run).into_iter().flatten().flatten().any(|f| f.path().extension().is_some())
    };
    wait_until("the plugin's copy", || copies().any(|entry| has_copy(entry.path())));
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, Signal::TERM).unwrap();
    let status = wait_for("its end", || child.try_wait().unwrap());
    assert_eq!(status.code(), Some(0));
}

fn a_killed_server_leaves_nothing() {
    let mut first = echo().start();
    let state = first.state();
    first.signal(Signal::KILL);
    first.wait();
    let runs = || -> Vec<String> {
        let names = fs::read_dir(&state)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.starts_with("run-")).collect()
    };
    let stale = runs();
    assert_eq!(stale.len(), 1, "the killed server's private copies: {stale:?}");
    let second = echo().state_dir(&state).start();
    assert_eq!(second.call("echo", vec![Value::Int(1)]).unwrap(), Value::Int(1));
    assert!(runs().len() == 1 && runs() != stale, "{stale:?} is gone, {:?} is there", runs());
}

fn two_servers_share_a_state_directory() {
    let one = echo().start();
    let other = echo().state_dir(&one.state()).start();
    assert_eq!(one.call("echo", vec![Value::Int(1)]).unwrap(), Value::Int(1));
    assert_eq!(other.call("echo", vec![Value::Int(2)]).unwrap(), Value::Int(2));
    drop(other);
    assert_eq!(one.call("echo", vec![Value::Int(3)]).unwrap(), Value::Int(3));
}

fn several_listeners() {
    let server = echo()
        .argument("--https=127.0.0.1:0")
        .argument("--https=[::1]:0")
        .argument("--http=127.0.0.1:0")
        .start();
    let [first, second, third] = server.urls() else {
        panic!("three listeners: {:?}", server.urls())
    };
    assert!(
        first.starts_with("https://127.0.0.1:") && second.starts_with("https://[::1]:"),
        "{first} {second}"
    );
    assert!(third.starts_with("http://127.0.0.1:"), "{third}");
    for url in server.urls() {
        let client = hotcall_tests::client(url).ca_file(server.ca()).build().unwrap();
        assert_eq!(
            client.call::<Value>("echo", vec![Value::Int(1)]).unwrap(),
            Value::Int(1),
            "{url}"
        );
    }
}

fn serve(directory: &Path, arguments: &[&str]) -> Output {
    let state = directory.join("state");
    let mut command = Command::new(artifacts::hotcall());
    command.current_dir(directory).arg("serve").arg("--state-dir").arg(state).args(arguments);
    command.env("RUST_LOG", "error").output().unwrap()
}

fn what_cannot_start_says_why() {
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join("bad.toml"), "[limits]\nbody_max = 1\n").unwrap();
    fs::write(root.path().join("file"), "x").unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    fs::write(root.path().join("depth.toml"), "[limits]\nxml_depth_max = 100_000\n").unwrap();
    fs::write(root.path().join("name.toml"), "[limits]\nxml_element_name_bytes_max = 10\n")
        .unwrap();
    let cases: [(&[&str], &str); 9] = [
        (&["--config", "depth.toml"], "limits.xml_depth_max is 100000 and may be 1 to 1000"),
        (
            &["--config", "name.toml"],
            "limits.xml_element_name_bytes_max is 10 and must be at least 32",
        ),
        (&["--workers", "100000"], "workers is 100000 and may be 1 to 1024"),
        (&["--https", "0.0.0.0:0"], "needs a certificate: give --cert and --key"),
        (&["--http", &taken], "cannot listen on"),
        (&["--cert", "none.pem", "--key", "none.pem"], "cannot read none.pem"),
        (&["--config", "bad.toml"], "bad.toml: line 2, column 1: unknown key `body_max`"),
        (&["--config", "none.toml"], "cannot read none.toml"),
        (&["--https", "127.0.0.1:0", "--unix", "file"], "the file there is not a socket"),
    ];
    for (arguments, says) in cases {
        let output = serve(root.path(), arguments);
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {error}");
        assert!(error.starts_with("hotcall: ") && error.contains(says), "{arguments:?}: {error}");
        assert_eq!(error.lines().count(), 1, "{arguments:?}: {error}");
        assert!(output.stdout.is_empty(), "{arguments:?}");
    }
    let mut few_files = Command::new("sh");
    few_files.args(["-c", "ulimit -n 40; exec \"$0\" serve --http 127.0.0.1:0 --state-dir state"]);
    let output = few_files.arg(artifacts::hotcall()).current_dir(root.path()).output().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(
        error.contains("hotcall: the limit of open files leaves none for connections"),
        "{error}"
    );
    assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0), "{error}");
    assert_eq!(serve(root.path(), &["--https", "nowhere"]).status.code(), Some(2));
    assert_eq!(serve(root.path(), &["--cert", "c.pem"]).status.code(), Some(2));
}

/// Runs `serve --check-config` on a file.
fn check_config(directory: &Path, text: &str) -> Output {
    fs::write(directory.join("hotcall.toml"), text).unwrap();
    let mut check = Command::new(artifacts::hotcall());
    check.args(["serve", "--check-config", "--config", "hotcall.toml"]).current_dir(directory);
    check.env("RUST_LOG", "error").output().unwrap()
}

fn config_is_checked() {
    let authority = hotcall_tests::authority::Authority::new();
    let (one, other) = (authority.issue("one", "one", &[]), authority.issue("other", "other", &[]));
    let root = tempfile::tempdir().unwrap();
    // A port that is in use: nothing is bound.
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let config = |key: &Path| {
        let (cert, key, ca) =
            (one.cert.display(), key.display(), authority.ca().display().to_string());
        format!(
            "https = ['{address}']\nunix = ['s']\ncert = '{cert}'\nkey = '{key}'\n\
             client_ca = '{ca}'\nstate_dir = 'new'\n"
        )
    };
    let right = check_config(root.path(), &config(&one.key));
    let shown = String::from_utf8(right.stdout).unwrap();
    assert_eq!(
        (right.status.code(), String::from_utf8(right.stderr).unwrap()),
        (Some(0), String::new())
    );
    for part in [
        &format!("https://{address}/RPC2"),
        "unix:s",
        "one.pem",
        "ca.pem, required of clients",
        "named by their certificates",
        "new",
    ] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    let left: Vec<_> =
        fs::read_dir(root.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["hotcall.toml"], "nothing is made");

    let open = root.path().join("open.key");
    fs::copy(&one.key, &open).unwrap();
    fs::set_permissions(&open, fs::Permissions::from_mode(0o644)).unwrap();
    let cases = [
        (config(&other.key), "does not belong to the certificate"),
        ("https = ['0.0.0.0:443']\n".into(), "https on 0.0.0.0:443 needs a certificate"),
        ("client_auth = 'optional'\n".into(), "client_auth says nothing without client_ca"),
        ("client_ca = 'none.pem'\n".into(), "cannot read none.pem"),
        (
            config(&open),
            "is a secret, and its mode 644 lets others read or change it: chmod g-w,o=",
        ),
        ("users = 'none'\n".into(), "none"),
        ("http = ['0.0.0.0:80']\n".into(), "or accept all callers with allow_anonymous = true"),
        ("[[allow]]\nmethods = []\n".into(), "[[allow]] number 1: an empty list fits nothing"),
        (
            "\n  plugin_dir = 'x'\n".into(),
            "line 2, column 3: unknown key `plugin_dir`; did you mean `plugins_dir`?",
        ),
        ("[limits]\nhttps = []\n".into(), "it belongs above the first [table]"),
        ("conections_max = 1\n".into(), "did you mean `connections_max` under [limits]?"),
        (
            "[limits]\nconnections_max = 0\n".into(),
            "limits.connections_max is 0 and must be at least 1",
        ),
        (
            "http = ['127.0.0.1:80']\nhttps = ['127.0.0.1:80']\n".into(),
            "http://127.0.0.1:80/RPC2 would listen where https://127.0.0.1:80/RPC2 listens already",
        ),
        (
            format!("unix = ['s', '{}/s']\n", root.path().display()),
            "/s would listen where unix:s listens already: leave one of them out",
        ),
        (format!("unix = ['{}']\n", "s".repeat(108)), "bytes and may have 107; name a shorter one"),
        (
            "[[allow]]\nusers = ['zed']\nmethods = ['*']\n".into(),
            "[[allow]] number 1: no caller has a name without a users file",
        ),
    ];
    for (text, says) in cases {
        let wrong = check_config(root.path(), &text);
        let error = String::from_utf8(wrong.stderr).unwrap();
        assert_eq!((wrong.status.code(), wrong.stdout.len()), (Some(1), 0), "{text}: {error}");
        assert!(
            error.starts_with("hotcall: ") && error.contains(says) && error.lines().count() == 1,
            "{error}"
        );
    }
}

fn config_is_printed() {
    let mut print = Command::new(artifacts::hotcall());
    let example = artifacts::run(print.args(["serve", "--print-config"]));
    let root = tempfile::tempdir().unwrap();
    assert_eq!(check_config(root.path(), &example).status.code(), Some(0));
    assert!(example.contains("\n#call_ms_max = 30_000"), "{example}");
}
