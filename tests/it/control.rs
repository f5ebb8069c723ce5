//! What operators do to a running server: look at it, reload, change its configuration.

use crate::trial::trial;
use hotcall::client::{Client, Error};
use hotcall::xmlrpc::{Value, code};
use hotcall_tests::load::Load;
use hotcall_tests::{Server, Setup, artifacts, repository, wait_until};
use libtest_mimic::Trial;
use rustix::process::Signal;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::thread;

pub fn trials() -> Vec<Trial> {
    vec![
        trial("control::operators_are_served_on_unix_sockets_only", unix_sockets_only),
        trial("control::the_plugins_and_their_counters_are_shown", plugins_are_shown),
        trial("control::a_plugin_that_keeps_panicking_is_out_of_service_alone", out_of_service),
        trial("control::a_reload_keeps_the_count_of_the_counter", the_count_survives),
        trial("control::reloads_that_take_long_leave_the_workers_to_calls", reloads_leave_workers),
        trial("control::threads_that_calls_leave_are_shown", threads_of_calls),
        trial("control::a_hangup_reconfigures_the_plugins_that_changed", hangup_reconfigures),
        trial("control::a_hangup_while_the_server_starts_is_kept", hangup_at_the_start),
        trial("control::the_drain_limit_is_told_and_ends_the_server", drain_limit),
        trial("control::a_wrong_config_file_changes_nothing", wrong_config_file),
    ]
}

/// A server that also listens on a Unix socket, and its operator.
struct Operated {
    server: Server,
    url: String,
    client: Client,
    _socket: tempfile::TempDir,
}

impl Operated {
    fn start(setup: Setup) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let socket: PathBuf = dir.path().join("operator.sock");
        let setup =
            setup.argument("--https=127.0.0.1:0").argument(format!("--unix={}", socket.display()));
        let server = setup.start();
        let url = format!("unix:{}", socket.display());
        assert!(server.urls().contains(&url), "as announced");
        let client = hotcall_tests::client(&url).build().unwrap();
        Self { server, url, client, _socket: dir }
    }

    fn plugin(&self, name: &str) -> Value {
        let Value::Array(plugins) = self.client.call("hotcall.plugins", []).unwrap() else {
            panic!("an array wanted")
        };
        let plugin =
            plugins.into_iter().find(|plugin| plugin.get("name") == Some(&Value::from(name)));
        plugin.unwrap_or_else(|| panic!("no plugin {name}"))
    }

    fn int(&self, name: &str, member: &str) -> i32 {
        match self.plugin(name).get(member) {
            Some(Value::Int(number)) => *number,
            other => panic!("{member} of {name} is {other:?}"),
        }
    }

    fn text(&self, name: &str, member: &str) -> String {
        match self.plugin(name).get(member) {
            Some(Value::String(text)) => text.clone(),
            other => panic!("{member} of {name} is {other:?}"),
        }
    }
}

fn both() -> Setup {
    Setup::new()
        .plugin("echo.so", artifacts::plugin("echo"))
        .plugin("counter.so", artifacts::plugin("counter"))
}

fn hotcall(arguments: &[&str]) -> Output {
    Command::new(artifacts::hotcall()).args(arguments).output().unwrap()
}

fn code_of(result: Result<Value, Error>) -> i32 {
    match result {
        Err(Error::Fault(fault)) => fault.code,
        other => panic!("a fault wanted: {other:?}"),
    }
}

fn unix_sockets_only() {
    let operated = Operated::start(both().argument("--http=127.0.0.1:0"));
    let (server, client) = (&operated.server, &operated.client);
    assert_eq!(client.call::<Value>("echo", [Value::Int(1)]).unwrap(), Value::Int(1));
    let names = |client: &Client| match client.call("system.listMethods", []).unwrap() {
        Value::Array(names) => names,
        other => panic!("{other:?}"),
    };
    for (method, params) in
        [("hotcall.plugins", vec![]), ("hotcall.reload", vec![Value::from("echo")])]
    {
        assert!(client.call::<Value>(method, params.clone()).is_ok(), "{method}");
        assert!(names(client).contains(&method.into()), "{method}");
        assert_eq!(
            code_of(server.call(method, params.clone())),
            code::METHOD_NOT_FOUND,
            "{method}"
        );
        assert!(!names(&server.client()).contains(&method.into()), "{method}");
        let call = vec![
            ("methodName".to_owned(), method.into()),
            ("params".to_owned(), Value::Array(params)),
        ];
        let batch = vec![Value::Array(vec![Value::Struct(call)])];
        let Value::Array(answers) = server.call("system.multicall", batch).unwrap() else {
            panic!()
        };
        assert_eq!(
            answers[0].get("faultCode"),
            Some(&Value::Int(code::METHOD_NOT_FOUND)),
            "{method}"
        );
    }
    assert_eq!(operated.int("echo", "generation"), 3, "one reload was done, by the operator");
    claiming_to_be_local_does_not_help(operated.server.urls());
    let elsewhere = hotcall(&["plugins", "--insecure", server.url()]);
    let says = String::from_utf8(elsewhere.stderr).unwrap();
    assert_eq!(elsewhere.status.code(), Some(1));
    assert!(says.contains("--unix") && says.lines().count() == 1, "{says}");
}

/// The gate tells the inside of a local caller in a header field, which nobody else can set.
fn claiming_to_be_local_does_not_help(urls: &[String]) {
    let address =
        urls.iter().find_map(|url| url.strip_prefix("http://")?.strip_suffix("/RPC2")).unwrap();
    let body = "<methodCall><methodName>hotcall.plugins</methodName></methodCall>";
    let mut stream = TcpStream::connect(address).unwrap();
    let head = "POST /RPC2 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nHotcall-Way: unix";
    write!(stream, "{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.contains("-32601"), "{answer}");
}

fn plugins_are_shown() {
    let operated =
        Operated::start(both().plugin("bad.so", &hotcall_tests::repository().join("README.md")));
    for number in 1..=3 {
        operated.server.call("echo", vec![Value::Int(number)]).unwrap();
    }
    assert_eq!(code_of(operated.server.call("echo.fail", vec![Value::Int(7), "no".into()])), 7);
    assert_eq!((operated.int("echo", "calls"), operated.int("echo", "faults")), (4, 1));
    assert_eq!((operated.int("counter", "calls"), operated.int("counter", "faults")), (0, 0));
    let echo = operated.plugin("echo");
    assert_eq!(echo.get("state"), Some(&Value::from("serving")));
    assert!(matches!(echo.get("loaded_at"), Some(Value::DateTime(_))), "{echo:?}");
    assert!(
        matches!(echo.get("sha256"), Some(Value::String(hash)) if hash.len() == 64),
        "{echo:?}"
    );
    let Some(Value::Array(methods)) = echo.get("methods") else { panic!("{echo:?}") };
    assert!(methods.contains(&"echo.fail".into()));

    let table = hotcall(&["plugins", &operated.url]);
    let text = String::from_utf8(table.stdout).unwrap();
    assert_eq!(table.status.code(), Some(0), "{text}");
    let description = "A plugin for the tests: answers with what it is given";
    for parts in [
        ["echo", "serving", "echo.so"],
        ["-", "refused", "bad.so"],
        ["error:", "not a shared", "library"],
        ["  ", "description: ", description],
    ] {
        assert!(
            text.lines().any(|line| parts.iter().all(|part| line.contains(part))),
            "{parts:?}: {text}"
        );
    }
    let methods = |arguments: &[&str]| {
        let listed = hotcall(&[&["methods"], arguments].concat());
        String::from_utf8(listed.stdout).unwrap()
    };
    let listed = methods(&[&operated.url, "hotcall.reload"]);
    assert!(listed.contains("hotcall.reload(string) -> struct") && !listed.contains("plugin echo"));
    let line = format!("\nplugin echo 0.1.0: {description}");
    for listed in [methods(&[&operated.url]), methods(&[&operated.url, "echo.fail"])] {
        assert!(listed.contains(&line), "{listed}");
    }
    let others = methods(&["--insecure", operated.server.url()]);
    assert!(!others.contains(&line), "operators alone see it");
}

fn out_of_service() {
    let config =
        "[limits]\npanics_max = 2\npanic_retry_ms = 3_600_000\npanic_retry_ms_max = 3_600_000\n";
    let operated = Operated::start(both().config(config));
    let server = &operated.server;
    let boom = || vec!["boom".into()];
    // One caller alone does not take it out of service.
    for _ in 0..4 {
        assert_eq!(code_of(server.call("echo.panic", boom())), code::PLUGIN_PANICKED);
    }
    assert_eq!(
        (operated.text("echo", "state"), operated.int("echo", "callers_refused")),
        ("serving".into(), 1)
    );
    assert_eq!(code_of(operated.client.call("echo.panic", boom())), code::PLUGIN_PANICKED);
    assert_eq!(code_of(server.call("echo", vec![Value::Int(1)])), code::PLUGIN_PANICKED);
    assert_eq!(server.call("counter.value", vec![]).unwrap(), Value::Int(0));
    assert_eq!(operated.text("echo", "state"), "poisoned");
    let table = String::from_utf8(hotcall(&["plugins", &operated.url]).stdout).unwrap();
    for part in [
        "error: out of service: its calls panicked, 2 in a row",
        "next try: 20",
        "callers refused: 2",
    ] {
        assert!(table.contains(part), "{part}: {table}");
    }
    // The log comes through a pipe, a moment after the answers.
    let errors = |part: &str| {
        server.log().lines().filter(|line| line.contains("ERROR") && line.contains(part)).count()
    };
    wait_until("the panics in the log", || {
        errors("is out of service") > 0 && errors("panicked: boom") >= 2
    });
    assert_eq!((errors("is out of service"), errors("panicked: boom")), (1, 2), "{}", server.log());

    let reloaded = hotcall(&["reload", &operated.url, "echo"]);
    let text = String::from_utf8(reloaded.stdout).unwrap();
    assert_eq!(reloaded.status.code(), Some(0), "{text}");
    assert!(text.contains("echo") && text.contains("serving"), "{text}");
    assert_eq!(server.call("echo", vec![Value::Int(1)]).unwrap(), Value::Int(1));
    let unknown = hotcall(&["reload", &operated.url, "nobody"]);
    assert_eq!(unknown.status.code(), Some(1));
    assert!(String::from_utf8(unknown.stderr).unwrap().contains("no plugin or file \"nobody\""));
}

fn the_count_survives() {
    let operated = Operated::start(both());
    let server = &operated.server;
    let mut bytes = fs::read(artifacts::plugin("counter")).unwrap();
    let add = |sum| {
        assert_eq!(server.call("counter.increment", vec![Value::Int(10)]).unwrap(), Value::Int(sum))
    };
    let mut generation = operated.int("counter", "generation");
    for replacement in 0..3 {
        add(20 * replacement + 10);
        // Bytes after an ELF file's end mean nothing to it, and make it another content.
        bytes.push(0);
        fs::write(server.beside("incoming.so"), &bytes).unwrap();
        fs::rename(server.beside("incoming.so"), server.plugins().join("counter.so")).unwrap();
        wait_until("the new content", || operated.int("counter", "generation") > generation);
        add(20 * replacement + 20);
        operated.client.call::<Value>("hotcall.reload", ["counter".into()]).unwrap();
        generation = operated.int("counter", "generation");
    }
    assert_eq!(operated.int("counter", "kept_generations"), 6);
    assert_eq!(server.call("counter.reset", vec![]).unwrap(), Value::Int(60));
}

/// `hotcall.reload` as an entry of a batch.
fn reload_entry(plugin: &str) -> Value {
    let params = Value::Array(vec![plugin.into()]);
    Value::Struct(vec![("methodName".into(), "hotcall.reload".into()), ("params".into(), params)])
}

/// With a single worker for calls, and a plugin whose `create` takes as long as the test wants.
fn reloads_leave_workers() {
    const BATCH: usize = 100;
    let folder = tempfile::tempdir().unwrap();
    let (slow, mark) = (folder.path().join("slow.so"), folder.path().join("mark"));
    let mark_define = format!("-DMARK=\"{}\"", mark.display());
    let source = repository().join("host/tests/fixtures/harmful.c");
    artifacts::compile_c(&source, &slow, &["-DCREATE=wait_while", &mark_define]);
    let version = folder.path().join("version.so");
    artifacts::compile_c(
        &repository().join("tests/fixtures/version.c"),
        &version,
        &["-DVERSION=1"],
    );
    let setup = Setup::new().plugin("slow.so", &slow).plugin("version.so", &version);
    // Without a probe, whose limit would end the waiting.
    let operated = Operated::start(
        setup.config("probe = false\nworkers = 1\n[limits]\ncall_ms_max = 3_600_000\n"),
    );
    let (server, client) = (&operated.server, &operated.client);
    fs::write(&mark, "").unwrap();
    let is_right = |version| version == 1;
    Load::during(server, 2, "version", is_right, |load| {
        thread::scope(|scope| {
            let first: thread::ScopedJoinHandle<Result<Value, _>> = scope.spawn(|| {
                hotcall_tests::client(&operated.url)
                    .build()
                    .unwrap()
                    .call("hotcall.reload", ["harmful".into()])
            });
            server.wait_for_log(&["harmful is reloaded as an operator asked"]);
            for _ in 0..8 {
                assert_eq!(
                    code_of(client.call("hotcall.reload", ["harmful".into()])),
                    code::OVERLOADED
                );
            }
            let batch = Value::Array(vec![reload_entry("version"); BATCH]);
            let Value::Array(answers) = client.call("system.multicall", [batch]).unwrap() else {
                panic!()
            };
            let refused =
                |answer: &&Value| answer.get("faultCode") == Some(&Value::Int(code::OVERLOADED));
            assert_eq!(answers.iter().filter(refused).count(), BATCH, "{answers:?}");
            load.goes_on();
            fs::remove_file(&mark).unwrap();
            assert_eq!(first.join().unwrap().unwrap().get("name"), Some(&"harmful".into()));
        });
    });
    assert_eq!(
        server.log().matches("is reloaded as an operator asked").count(),
        1,
        "{}",
        server.log()
    );
    client.call::<Value>("hotcall.reload", ["harmful".into()]).unwrap();
    assert_eq!(operated.int("version", "generation"), 2, "what was refused was not done");
}

/// Here and not among the host's own tests: a process's strays are all its tests'.
fn threads_of_calls() {
    let folder = tempfile::tempdir().unwrap();
    let build = |version: &str, defines: &[&str]| {
        let output = folder.path().join(version);
        let source = repository().join("host/tests/fixtures/leaves.c");
        let version = format!("-DVERSION={version}");
        let ours = [version.as_str(), "-DFLAGS=HOTCALL_PLUGIN_LEAVES_NOTHING"];
        artifacts::compile_c(&source, &output, &[&ours, defines].concat());
        output
    };
    let setup = both().plugin("leaves.so", &build("1", &["-DCALL_THREAD"]));
    let operated = Operated::start(setup.config("[plugin_options.leaves]\nunload = 'close'\n"));
    let server = &operated.server;
    let replace = |file: PathBuf| {
        let before = operated.int("leaves", "generation");
        server.put(&file, "leaves.so");
        wait_until("the next one", || operated.int("leaves", "generation") > before);
    };
    for _ in 0..3 {
        assert_eq!(server.call("version", vec![]).unwrap(), Value::Int(1));
    }
    replace(build("2", &[]));
    let line = server.wait_for_log(&["WARN", "plugin leaves", "3 threads that calls started"]);
    assert!(line.contains("may be another plugin's"), "{line}");
    wait_until("the warning", || {
        matches!(operated.plugin("leaves").get("warnings"), Some(Value::Array(warnings))
            if matches!(warnings.as_slice(), [Value::String(text)] if text.contains("3 threads")))
    });
    assert_eq!(operated.int("leaves", "kept_generations"), 1, "their code is kept");
    assert_eq!(server.call("version", vec![]).unwrap(), Value::Int(2));
    // They are not the next one's, which is unmapped.
    replace(build("3", &[]));
    server.wait_for_log(&["plugin leaves", "generation 4 is unmapped"]);
    wait_until("the count of what is kept", || operated.int("leaves", "kept_generations") == 1);
    assert_eq!(server.log().matches("threads that calls started").count(), 1, "{}", server.log());
}

fn mode_of(operated: &Operated) -> Option<Value> {
    operated.server.call("echo.config", vec![]).unwrap().get("mode").cloned()
}

fn hangup_reconfigures() {
    let operated = Operated::start(both().config("[plugins.echo]\nmode = 'one'\n"));
    let server = &operated.server;
    server.call("counter.increment", vec![]).unwrap();
    let counter = operated.int("counter", "generation");
    assert_eq!(mode_of(&operated), Some("one".into()));
    let config = "workers = 3\n[limits]\nbody_bytes_max = 1000000\n[plugins.echo]\nmode = 'two'\n";
    fs::write(server.beside("hotcall.toml"), config).unwrap();
    server.signal(Signal::HUP);
    wait_until("the new configuration", || mode_of(&operated) == Some("two".into()));
    let line = server.wait_for_log(&["at the next start only"]);
    assert!(
        line.contains("workers") && line.contains("[limits]") && !line.contains("watch"),
        "{line}"
    );
    assert_eq!(operated.int("counter", "generation"), counter, "its configuration did not change");

    fs::write(server.beside("hotcall.toml"), "[plugins.counter]\nanything = 1\n").unwrap();
    server.signal(Signal::HUP);
    wait_until("the empty configuration", || mode_of(&operated).is_none());
    wait_until("the counter's configuration", || operated.int("counter", "generation") > counter);
    assert_eq!(
        server.call("counter.value", vec![]).unwrap(),
        Value::Int(1),
        "the state is handed over"
    );
}

/// A plugin sends it from its `create`: the configuration has been read by then, and nothing is
/// served.
fn hangup_at_the_start() {
    let root = tempfile::tempdir().unwrap();
    let [config, next, built] =
        ["hotcall.toml", "next.toml", "hangs_up.so"].map(|name| root.path().join(name));
    fs::write(&config, "[plugins.echo]\nmode = 'one'\n").unwrap();
    fs::write(&next, "[plugins.echo]\nmode = 'two'\n").unwrap();
    let defines = [("CONFIG", &config), ("NEXT", &next)];
    let defines = defines.map(|(name, path)| format!("-D{name}=\"{}\"", path.display()));
    let source = repository().join("tests/fixtures/hangs_up.c");
    artifacts::compile_c(&source, &built, &defines.each_ref().map(String::as_str));
    let setup = both().plugin("hangs_up.so", &built);
    let operated = Operated::start(setup.argument(format!("--config={}", config.display())));
    // On a slow machine the server starts before the plugin's trial has ended.
    wait_until("the plugin", || operated.server.call("echo.config", vec![]).is_ok());
    wait_until("the next configuration", || mode_of(&operated) == Some("two".into()));
    assert!(!next.exists(), "it is the plugin that has changed it");
}

fn wrong_config_file() {
    let operated = Operated::start(both().config("[plugins.echo]\nmode = 'one'\n"));
    let server = &operated.server;
    let generation = operated.int("echo", "generation");
    let cases = [
        "[plugins.echo]\nmode = 'two\n",
        "worker = 3\n[plugins.echo]\nmode = 'two'\n",
        "cert = 'c.pem'\n",
    ];
    for (count, wrong) in (1..).zip(cases) {
        fs::write(server.beside("hotcall.toml"), wrong).unwrap();
        server.signal(Signal::HUP);
        let refusals = || server.log().matches("everything stays as it is").count();
        wait_until(format!("the refusal of {wrong:?}"), || refusals() == count);
    }
    server.wait_for_log(&["SIGHUP:", "hotcall.toml", "line 1", "worker"]);
    assert_eq!(
        (mode_of(&operated), operated.int("echo", "generation")),
        (Some("one".into()), generation)
    );
}

fn drain_limit() {
    let mut operated = Operated::start(both().config("[limits]\ndrain_ms_max = 200\n"));
    let until = |path: &Path| {
        let (client, path) = (operated.server.client(), path.display().to_string());
        thread::spawn(move || client.call::<Value>("echo.until", vec![path.into()]))
    };
    let file = operated.server.beside("done");
    let first = until(&file);
    operated.server.wait_for_log(&["waiting for a file"]);
    operated.client.call::<Value>("hotcall.reload", ["echo".into()]).unwrap();
    operated.server.wait_for_log(&["of plugin echo", "has not drained in 200 ms"]);
    fs::write(&file, "").unwrap();
    assert_eq!(
        first.join().unwrap().unwrap(),
        Value::Bool(true),
        "the call in the old generation is answered"
    );

    let endless = until(&operated.server.beside("never"));
    wait_until("the endless call", || {
        operated.server.log().matches("waiting for a file").count() == 2
    });
    let status = operated.server.stop();
    assert_eq!(status.code(), Some(1));
    operated
        .server
        .wait_for_log(&["plugin echo is not destroyed", "calls of it, or its quiesce, still run"]);
    operated.server.wait_for_log(&[
        "hotcall: calls were still running at the drain limit, or their answers not taken",
    ]);
    assert!(endless.join().unwrap().is_err());
}
