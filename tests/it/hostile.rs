//! Hostile text from clients, plugins, servers, files and operators. On no path does a character
//! reach a log or a terminal that forges a line, steers the terminal, reorders text or hides.

use crate::access::passwd;
use crate::liar::{Liar, answer, array, fault, result, structure, xml};
use crate::trial::trial;
use hotcall::client::Client;
use hotcall::xmlrpc::Value;
use hotcall_tests::authority::Authority;
use hotcall_tests::wire::{Wire, call, post};
use hotcall_tests::{Server, Setup, artifacts, repository};
use libtest_mimic::Trial;
use openssl::base64::encode_block;
use rustix::process::Signal;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::Read;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

pub fn trials() -> Vec<Trial> {
    vec![
        trial("hostile::nothing_of_it_reaches_the_log", nothing_reaches_the_log),
        trial("hostile::nothing_of_plugins_reaches_the_log", nothing_of_plugins_reaches_the_log),
        trial("hostile::nothing_of_a_server_s_answers_reaches_a_terminal", answers),
        trial("hostile::nothing_of_files_and_arguments_reaches_a_terminal", files_and_arguments),
        trial("hostile::panics_are_logged_with_their_plugin_and_request", panics),
    ]
}

/// Marks the hostile text in an output.
const MARK: &str = "h4x";
/// Escape sequences (7 and 8 bits), a bell, line ends of all kinds, a bidirectional override,
/// invisible characters, and a forged log line.
const HOSTILE: &str = "h4x\u{1b}[2J\u{7}\u{7f}\u{9b}31m\u{85}\u{2028}\u{2029}\
    \u{202e}\u{200b}\u{feff}\u{e0041}\n[forged] line";
/// The part that XML can carry.
const IN_XML: &str =
    "h4x\u{9b}31m\u{85}\u{2028}\u{2029}\u{202e}\u{200b}\u{feff}\u{e0041}\n[forged] line";
/// The part that the name of a plugin file can have. The server refuses names with ASCII control
/// characters.
const IN_NAME: &str = "h4x\u{9b}31m\u{85}\u{2028}\u{2029}\u{202e}\u{200b}\u{feff}\u{e0041}";

/// Checks that an output has no hostile character and no forged line.
fn assert_clean(place: &str, output: &[u8]) {
    let text =
        String::from_utf8(output.to_vec()).unwrap_or_else(|error| panic!("{place}: {error}"));
    let steers =
        |c: &char| !c.is_ascii_graphic() && !matches!(c, ' ' | '\n') && HOSTILE.contains(*c);
    let found = text.chars().find(steers);
    assert_eq!(found, None, "{place}: {text:?}");
    assert!(!text.lines().any(|line| line.starts_with("[forged]")), "{place}: {text:?}");
}

/// Also checks that the output shows the text at all.
fn assert_shown(place: &str, output: &[u8]) {
    assert!(String::from_utf8_lossy(output).contains(MARK), "{place} shows nothing: {output:?}");
    assert_clean(place, output);
}

fn hostile_c(folder: &Path, name: &str, defines: &[&str]) -> PathBuf {
    let output = folder.join(name);
    let defines: Vec<_> = defines.iter().map(|define| format!("-D{define}")).collect();
    let source = repository().join("tests/fixtures/hostile.c");
    artifacts::compile_c(&source, &output, &defines.iter().map(String::as_str).collect::<Vec<_>>());
    output
}

/// Waits for a log line with all these parts and checks the whole log.
fn until_logged(server: &Server, parts: &[&str]) {
    server.wait_for_log(parts);
    assert_clean(&format!("{parts:?}"), &server.log_bytes());
}

/// Text in documents, request heads, certificates, and a config file that SIGHUP reads.
fn nothing_reaches_the_log() {
    let root = tempfile::tempdir().unwrap();
    let users = root.path().join("users");
    assert!(passwd(&users, "ann", "right").status.success());
    let server = Setup::new()
        .plugin("echo.so", artifacts::plugin("echo"))
        .argument("--http=127.0.0.1:0")
        .config(&format!("users = {users:?}\nallow_anonymous = true\n"))
        .log("trace")
        .start();
    let client = Client::builder(server.url()).build().unwrap();
    for (method, params) in [
        (IN_XML, vec![]),
        ("echo.log", vec![IN_XML.into()]),
        ("echo.error", vec![IN_XML.into()]),
        ("echo.panic", vec![IN_XML.into()]),
        ("system.methodHelp", vec![IN_XML.into()]),
        ("hotcall.reload", vec![IN_XML.into()]),
    ] {
        let answer = client.call::<Value>(method, params);
        assert!(answer.is_err() || method == "echo.log", "{method}: {answer:?}");
    }
    until_logged(&server, &["INFO", "plugin::echo", MARK]);
    until_logged(&server, &["plugin::echo", "echo.panic panicked: ", MARK]);
    until_logged(&server, &["DEBUG", "not found", MARK]);

    // Request heads, most of which are refused.
    let basic = format!(
        "Authorization: Basic {}\r\n",
        encode_block(format!("{HOSTILE}:{HOSTILE}").as_bytes())
    );
    let flat = HOSTILE.replace('\n', "");
    for head in [
        post(&format!("User-Agent: {flat}\r\n"), &call("echo", 1)),
        post(&format!("Content-Type: {flat}\r\n"), &call("echo", 1)),
        post(&format!("Content-Encoding: {flat}\r\n"), &call("echo", 1)),
        post(&format!("Origin: {flat}\r\n"), &call("echo", 1)),
        post(&format!("{flat}: 1\r\n"), &call("echo", 1)),
        post(&basic, &call("echo", 1)),
        format!("POST /{flat} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n"),
        format!("{flat} / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n"),
        format!("POST / HTTP/1.1\r\nHost: {flat}\r\nContent-Length: 0\r\n\r\n"),
        format!("{HOSTILE}\r\n\r\n"),
    ] {
        let mut wire = Wire::to(&server);
        wire.send(head);
        wire.answer();
    }
    for (config, says) in [
        (format!("hosts = [{:?}]\n", toml_text(MARK)), "hosts has"),
        (format!("{:?} = 1\n", toml_text(MARK)), "unknown key"),
        (format!("users = {:?}\n", toml_text("/h4x")), "cannot read"),
    ] {
        fs::write(
            server.beside("hotcall.toml"),
            config.replace(r"\\u", r"\u").replace(r"\\U", r"\U"),
        )
        .unwrap();
        server.signal(Signal::HUP);
        until_logged(&server, &["ERROR", "SIGHUP", says, MARK]);
    }
    hostile_certificates();
}

/// Common names in client certificates.
fn hostile_certificates() {
    let authority = Authority::new();
    let server = Setup::new()
        .plugin("echo.so", artifacts::plugin("echo"))
        .config(&format!("client_ca = {:?}\nclient_auth = 'optional'\n", authority.ca()))
        .log("trace")
        .start();
    for name in ["h4x\u{202e}\u{200b}\u{e0041}", "h4x\u{9b}31m\u{85}", "h4x\u{1b}[2J\n[forged]"] {
        let issued = authority.issue("client", name, &[]);
        let client = Client::builder(server.url()).ca_file(server.ca());
        let client = client.client_certificate(&issued.cert, &issued.key).build().unwrap();
        // The server may refuse the name; only the log matters here.
        drop(client.call::<Value>("echo.panic", [Value::from("by certificate")]));
        drop(client.call::<Value>("none", ()));
    }
    assert_clean("certificates", &server.log_bytes());
}

/// [`HOSTILE`] behind this beginning, escaped for a TOML string.
fn toml_text(begins: &str) -> String {
    let rest = HOSTILE.trim_start_matches(MARK);
    rest.chars().fold(begins.to_owned(), |text, c| match c {
        c if c.is_ascii_graphic() || c == ' ' => format!("{text}{c}"),
        c => format!("{text}\\U{:08X}", u32::from(c)),
    })
}

/// Names of plugin files, and text that plugins print, log and answer.
fn nothing_of_plugins_reaches_the_log() {
    let builds = tempfile::tempdir().unwrap();
    let build = |name: &str, defines: &[&str]| hostile_c(builds.path(), name, defines);
    let socket = builds.path().join("operator");
    let unix = format!("--unix={}", socket.display());
    let server = Setup::new().argument("--http=127.0.0.1:0").argument(unix).log("trace").start();
    let name = format!("{IN_NAME}.so");

    server.put(&build("first.so", &["SAVE=HOTCALL_ERROR"]), &name);
    until_logged(&server, &["INFO", "serves 1 methods", MARK]);
    let client = Client::builder(server.url()).build().unwrap();
    for status in 1..=4 {
        // A fault, an error, a panic, and an unknown status.
        client.call::<Value>("hostile", [Value::Int(status)]).unwrap_err();
    }
    until_logged(&server, &["plugin::hostile", "hostile panicked: ", MARK]);
    until_logged(&server, &["plugin::hostile", "broke the plugin ABI", "status 4"]);

    server.put(&build("second.so", &["NUMBER=2"]), &name);
    until_logged(&server, &["cannot save its state", MARK]);
    fs::remove_file(server.plugins().join(&name)).unwrap();
    until_logged(&server, &["is removed with its file", MARK]);
    server.put(&build("third.so", &["NUMBER=3"]), &name);
    server.wait_for_log(&["generation 3", MARK]);
    server.put(&build("fourth.so", &["LOAD=HOTCALL_PANIC"]), &name);
    until_logged(&server, &["refuses the state of generation", "panicked", MARK]);
    server.put(&build("fifth.so", &["CREATE=HOTCALL_ERROR"]), &name);
    until_logged(&server, &["create function failed", MARK]);
    server.put(&build("sixth.so", &["CREATE=HOTCALL_PANIC"]), &name);
    until_logged(&server, &["create function panicked", MARK]);
    server.put(&build("seventh.so", &["ABORT"]), &name);
    until_logged(&server, &["it crashed (SIGABRT)", "saying", MARK]);

    symlink(HOSTILE, server.plugins().join(format!("link-{name}"))).unwrap();
    until_logged(&server, &["it is a symbolic link", MARK]);
    // XML cannot carry this character.
    fs::write(server.plugins().join("h4x\u{ffff}.so"), "no plugin").unwrap();
    until_logged(&server, &[r"h4x\u{ffff}.so is not served", "not a shared library"]);
    let shown = hotcall(&["plugins", &format!("unix:{}", socket.display())]);
    assert_shown("the plugins", &shown);
    assert!(
        String::from_utf8_lossy(&shown).contains(r"h4x\u{ffff}.so"),
        "{}",
        String::from_utf8_lossy(&shown)
    );
}

/// Comments in signature files.
fn hostile_signatures(folder: &Path) {
    let key = "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3";
    let plugin = hostile_c(folder, "signed.so", &[]);
    let server =
        Setup::new().config(&format!("[trust]\nminisign_keys = ['{key}']\n")).log("trace").start();
    let name = format!("{IN_NAME}.so");
    let flat = HOSTILE.replace('\n', " ");
    let signature = format!(
        "untrusted comment: {flat}\n\
         RUQf6LRCGA9i559r3g7V1qNyJDApGip8MfqcadIgT9CuhV3EM\
         hHoN1mGTkUidF/z7SrlQgXdy8ofjb7bNJJylDOocrCo8KLzZwo=\n\
         trusted comment: {flat}\n\
         y/rUw2y8/hOUYjZU71eHp/Wo1KZ40fGy2VJEDl34XMJM+TX48Ss/17u3IvIfbVR1FkZZSNCisQbuQY+bHwhEBg==\n"
    );
    fs::write(server.plugins().join(format!("{name}.minisig")), signature).unwrap();
    server.put(&plugin, &name);
    until_logged(&server, &["it is not trusted", MARK]);
}

/// Runs a command and gives its standard output and standard error.
fn hotcall(arguments: &[impl AsRef<OsStr>]) -> Vec<u8> {
    let mut command = Command::new(artifacts::hotcall());
    command.args(arguments).env_remove("RUST_LOG").stdin(Stdio::null());
    let output = command.output().unwrap();
    [output.stdout, output.stderr].concat()
}

/// Runs a command on a terminal and gives what that shows.
fn at_terminal(arguments: &[&str]) -> Vec<u8> {
    let controller = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&controller).unwrap();
    unlockpt(&controller).unwrap();
    let name = ptsname(&controller, Vec::new()).unwrap().into_string().unwrap();
    let end = || OpenOptions::new().read(true).write(true).open(&name).unwrap();
    let mut command = Command::new(artifacts::hotcall());
    let mut child =
        command.args(arguments).stdin(Stdio::null()).stdout(end()).stderr(end()).spawn().unwrap();
    drop(command);
    let (mut terminal, mut shown) = (File::from(controller), Vec::new());
    let mut buffer = [0; 4096];
    // Reading fails once the command has closed the other end.
    while let Ok(count @ 1..) = terminal.read(&mut buffer) {
        shown.extend_from_slice(&buffer[..count]);
    }
    child.wait().unwrap();
    // A terminal writes line ends in two characters.
    String::from_utf8(shown).unwrap().replace("\r\n", "\n").into_bytes()
}

/// Answers of servers, as the client commands print them.
fn answers() {
    let html = format!("<html><body>{HOSTILE}</body></html>");
    let text = format!("<string>{IN_XML}</string>");
    let one = |status: &str, fields: &str, document: &str| {
        let liar = Liar::of(status, fields, document);
        hotcall(&["call", &liar.url, "method"])
    };
    let flat = HOSTILE.replace('\n', "");
    for (place, output) in [
        ("a fault", one("200 OK", "", &fault(IN_XML))),
        ("a text", one("200 OK", "", &result(&text))),
        ("a name", one("200 OK", "", &result(&structure(&[(IN_XML, text.clone())])))),
        ("an error page", one("500 Oh", "", &html)),
        ("a page", one("200 OK", "Content-Type: text/html\r\n", &html)),
        ("a text that is no answer", one("403 No", "Content-Type: text/plain\r\n", HOSTILE)),
    ] {
        assert_shown(place, &output);
    }
    for (place, output) in [
        ("a reason", one(&format!("500 {flat}"), "", "")),
        ("a content type", one("200 OK", &format!("Content-Type: {flat}\r\n"), HOSTILE)),
        ("a coding", one("200 OK", &format!("Content-Encoding: {flat}\r\n"), &fault(IN_XML))),
        ("a redirection", one("301 Moved", &format!("Location: http://{flat}/\r\n"), "")),
        ("a field", one("200 OK", &format!("{flat}: {flat}\r\n"), &fault("h4x"))),
        ("no HTTP", one(HOSTILE, "", "")),
        ("no XML", one("200 OK", "", HOSTILE)),
        ("no XML-RPC", one("200 OK", "", &xml(&format!("<a{}>", "\u{202e}")))),
        ("a type", one("200 OK", "", &result(&format!("<{IN_NAME}>1</{IN_NAME}>")))),
        (
            "a date",
            one("200 OK", "", &result(&format!("<dateTime.iso8601>{IN_XML}</dateTime.iso8601>"))),
        ),
        ("a number", one("200 OK", "", &result(&format!("<int>{IN_XML}</int>")))),
    ] {
        assert_clean(place, &output);
    }

    let document = result(&text);
    let liar = Liar::of("200 OK", "", &document);
    let piped = hotcall(&["call", "--xml", &liar.url, "method"]);
    assert_eq!(piped, document.as_bytes(), "other programs get it as it came");
    for document in [document.as_str(), HOSTILE] {
        let liar = Liar::of("200 OK", "", document);
        // The document's own line breaks stay.
        let shown = at_terminal(&["call", "--xml", &liar.url, "method"]);
        assert_shown(
            "a document on a terminal",
            String::from_utf8(shown).unwrap().replace("\n[forged]", "").as_bytes(),
        );
    }

    let calls = tempfile::NamedTempFile::new().unwrap();
    fs::write(calls.path(), "[\"a\"]\n[\"b\"]\n").unwrap();
    let members = [("faultCode", "<int>5</int>".to_owned()), ("faultString", text.clone())];
    let liar = Liar::of("200 OK", "", &result(&array(&[&array(&[&text]), &structure(&members)])));
    assert_shown(
        "a batch",
        &hotcall(&["call", "--multicall", calls.path().to_str().unwrap(), &liar.url]),
    );
    introspection(&text);
}

/// Names, help and signatures of methods, and the answers of `hotcall.plugins` and
/// `hotcall.reload`.
fn introspection(text: &str) {
    for has_multicall in [true, false] {
        let text = text.to_owned();
        let liar = Liar::start(move |document| {
            let signatures = array(&[&array(&[text.as_str(); 3])]);
            let about = if document.contains("system.multicall") {
                if has_multicall {
                    result(&array(&[&array(&[&signatures]), &array(&[&text])]))
                } else {
                    fault(&text)
                }
            } else if document.contains("system.listMethods") {
                result(&array(&[&text]))
            } else if document.contains("system.methodHelp") {
                result(&text)
            } else {
                result(&signatures)
            };
            answer("200 OK", "", &about)
        });
        assert_shown("methods", &hotcall(&["methods", &liar.url]));
        assert_shown("a method", &hotcall(&["methods", &liar.url, "method"]));
    }
    let members = ["name", "version", "description", "state", "file", "last_error"]
        .map(|member| (member, text.to_owned()));
    let warnings = [("warnings", array(&[text]))];
    let plugin = structure(&[&members[..], &warnings].concat());
    let liar = Liar::of("200 OK", "", &result(&array(&[&plugin])));
    assert_shown("plugins", &hotcall(&["plugins", &liar.url]));
    let liar = Liar::of("200 OK", "", &result(&plugin));
    assert_shown("a reload", &hotcall(&["reload", &liar.url, "plugin"]));
}

/// Files and arguments of the other commands.
fn files_and_arguments() {
    let root = tempfile::tempdir().unwrap();
    hostile_signatures(root.path());
    let state = root.path().join("state");
    let check = |file: &Path| {
        hotcall(&[
            OsStr::new("check"),
            OsStr::new("--state-dir"),
            state.as_os_str(),
            file.as_os_str(),
        ])
    };
    for defines in [&[][..], &["CREATE=HOTCALL_ERROR"], &["CREATE=HOTCALL_PANIC"], &["ABORT"]] {
        let built = hostile_c(root.path(), "built.so", defines);
        let named = root.path().join(HOSTILE);
        fs::rename(built, &named).unwrap();
        assert_shown(&format!("check of {defines:?}"), &check(&named));
    }
    assert_shown("check of none", &check(&root.path().join(format!("{HOSTILE}-none"))));

    fs::create_dir(root.path().join(format!("{HOSTILE}-dir"))).unwrap();
    let inside =
        |name: &str| root.path().join(format!("{HOSTILE}-dir/{name}")).to_str().unwrap().to_owned();
    let config = inside("config");
    fs::write(&config, format!("plugins_dir = \"{}\"\n", toml_text(MARK))).unwrap();
    let users = inside("users");
    for arguments in [
        &["call", HOSTILE, "method"][..],
        &["call", "http://127.0.0.1:1", HOSTILE, HOSTILE],
        &["call", "http://127.0.0.1:1", "method", &format!("base64:@{HOSTILE}")],
        &["call", "--cacert", HOSTILE, "https://127.0.0.1:1", "method"],
        &["call", "--multicall", HOSTILE, "http://127.0.0.1:1"],
        &["new", HOSTILE],
        &["new", "plugin", "--path", HOSTILE],
        &["new", "plugin", "--path", &inside("")],
        &["passwd", &users, HOSTILE],
        &["serve", "--config", HOSTILE],
        &["serve", "--check-config", "--config", &config],
        &["serve", "--state-dir", &inside("config/state"), "--http=127.0.0.1:0"],
        &["serve", "--https", HOSTILE],
        &[HOSTILE],
        &["check", &format!("--{HOSTILE}")],
    ] {
        assert_shown(&format!("{arguments:?}"), &hotcall(arguments));
    }
}

/// Panics in calls and on a plugin's own threads are logged and not printed.
fn panics() {
    let server = Setup::new()
        .plugin("echo.so", artifacts::plugin("echo"))
        .plugin("arithmetic.so", artifacts::plugin("arithmetic"))
        .argument("--http=127.0.0.1:0")
        .start();
    let client = Client::builder(server.url()).build().unwrap();
    let id: Vec<String> = client.call("echo.caller", ()).unwrap();
    client.call::<Value>("echo.panic", [IN_XML.into()]).unwrap_err();
    let line =
        server.wait_for_log(&["ERROR", "plugin::echo", "panicked at tests/echo/src/lib.rs:", MARK]);
    assert!(line.contains("] [") && line.contains(&id[2][..4]), "with the request's id: {line}");
    assert!(client.call::<bool>("echo.panic_elsewhere", [Value::from(IN_XML)]).unwrap());
    server.wait_for_log(&[
        "ERROR",
        "plugin::echo",
        "thread elsewhere panicked at tests/echo/src/lib.rs:",
        MARK,
    ]);
    assert_clean("the log", &server.log_bytes());
    // The standard library's own message.
    assert!(
        !server.log().contains("\nthread '") && !server.log().contains("note: run with"),
        "{}",
        server.log()
    );
}
