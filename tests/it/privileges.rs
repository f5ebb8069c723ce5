//! As whom the server runs, who may connect to its Unix sockets, and where its secrets do not go.

use crate::access::{asked, passwd};
use crate::deploy::deployed;
use crate::trial::trial;
use hotcall_tests::authority::Authority;
use hotcall_tests::{Server, Setup, artifacts, foreign, wait_until};
use libtest_mimic::Trial;
use openssl::pkey::PKey;
use openssl::symm::Cipher;
use rustix::process::{Signal, geteuid};
use std::fs::{self, Permissions};
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

pub fn trials() -> Vec<Trial> {
    vec![
        trial_as_root("privileges::root_becomes_the_user_once_it_listens", root_becomes_the_user),
        trial_as_root(
            "privileges::what_keeps_root_from_becoming_the_user_is_said",
            what_is_in_the_way,
        ),
        trial_as_root("privileges::memory_with_keys_is_shown_to_nobody", memory_is_not_shown),
        trial_as_root(
            "privileges::users_that_come_later_are_shown_to_nobody",
            later_users_are_not_shown,
        ),
        trial_as_root("privileges::a_wider_unix_socket_makes_no_operators", wider_sockets),
        trial_as_root("privileges::an_ordinary_user_develops", ordinary_user_develops),
        trial("privileges::secrets_never_reach_the_log", secrets_stay_out_of_the_log),
    ]
}

/// A user that every Debian system has, and its group.
const USER: &str = "nobody";
const GROUP: &str = "nogroup";
const ID: u32 = 65_534;

/// A test that only root can make, as CI does.
fn trial_as_root(name: &str, test: fn()) -> Trial {
    trial(name, test).with_ignored_flag(!geteuid().is_root() && !foreign::in_ci())
}

/// A directory that every user may pass through, with plugins that nobody but root can change.
fn open_directory() -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    fs::set_permissions(root.path(), Permissions::from_mode(0o755)).unwrap();
    fs::create_dir(root.path().join("plugins")).unwrap();
    root
}

fn setup(root: &Path) -> Setup {
    Setup::new().plugins_dir(&root.join("plugins")).state_dir(&root.join("state"))
}

/// A line of `/proc/PID/status`, without its name.
fn status(server: &Server, name: &str) -> String {
    let text = fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(&format!("{name}:")));
    line.unwrap_or_else(|| panic!("{name}: {text}"))
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
}

/// One below 1024 that is free.
fn low_port() -> u16 {
    (600..1024)
        .rev()
        .find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .expect("a free low port")
}

fn root_becomes_the_user() {
    let root = open_directory();
    let authority = Authority::new();
    fs::set_permissions(authority.path("."), Permissions::from_mode(0o755)).unwrap();
    let issued = authority.issue("one", "one", &["127.0.0.1"]);
    for (path, mode) in [(&issued.cert, 0o644), (&issued.key, 0o600)] {
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }
    let (users, socket, port) = (root.path().join("users"), root.path().join("s"), low_port());
    assert!(passwd(&users, "ann", "secret").status.success());
    let (cert, key) = (issued.cert.display(), issued.key.display());
    let config = format!("user = '{USER}'\ncert = '{cert}'\nkey = '{key}'\nusers = {users:?}\n");
    let mut server = setup(root.path())
        .config(&config)
        .argument("--https=127.0.0.1:0")
        .argument(format!("--http=127.0.0.1:{port}"))
        .argument(format!("--unix={}", socket.display()))
        .plugin("deployed.so", &deployed(root.path(), &["-DNOT_ROOT"]))
        .ca(&authority.ca())
        .start();
    let ids = [ID; 4].map(|id| id.to_string()).join(" ");
    assert_eq!([status(&server, "Uid"), status(&server, "Gid")], [ids.clone(), ids]);
    assert_eq!(status(&server, "Groups"), ID.to_string());
    assert_eq!([status(&server, "CapEff"), status(&server, "CapPrm")], ["0000000000000000"; 2]);
    assert_eq!(status(&server, "NoNewPrivs"), "1");
    for task in fs::read_dir(format!("/proc/{}/task", server.pid())).unwrap() {
        let text = fs::read_to_string(task.unwrap().path().join("status")).unwrap();
        assert!(
            text.contains("NoNewPrivs:\t1") && text.contains(&format!("Uid:\t{ID}\t")),
            "{text}"
        );
    }
    for path in [server.state(), socket.clone()] {
        let meta = fs::symlink_metadata(&path).unwrap();
        assert_eq!((meta.uid(), meta.gid()), (ID, ID), "{}", path.display());
    }
    for listener in 0..2 {
        let inherited: String =
            asked(&server, listener, Some(("ann", "secret"))).call("inherited", ()).unwrap();
        assert!(
            inherited.contains("USER=nobody") && inherited.contains("HOME=/nonexistent"),
            "{inherited}"
        );
    }
    for path in [&issued.key, &users] {
        let path = path.display().to_string();
        server.wait_for_log(&[
            "WARN",
            &path,
            "cannot be reloaded after a change",
            &format!("chown {USER}:{GROUP} {path}"),
        ]);
    }

    server.signal(Signal::HUP);
    server.wait_for_log(&["SIGHUP", "cannot read", "everything stays as it is"]);
    rustix::fs::chown(&users, Some(rustix::fs::Uid::from_raw(ID)), None).unwrap();
    rustix::fs::chown(&issued.key, Some(rustix::fs::Uid::from_raw(ID)), None).unwrap();
    // A plugin's probe and generation are made by the user too, out of a process that is not
    // dumpable.
    let anew = Command::new(artifacts::hotcall())
        .args(["reload", &format!("unix:{}", socket.display()), "deployed"])
        .output()
        .unwrap();
    assert!(anew.status.success(), "{anew:?}");
    assert!(passwd(&users, "bert", "other").status.success());
    fs::write(server.beside("hotcall.toml"), format!("{config}allow_anonymous = true\n")).unwrap();
    server.signal(Signal::HUP);
    let anonymous = asked(&server, 0, None);
    wait_until("the new config", || anonymous.call::<String>("inherited", ()).is_ok());
    assert!(asked(&server, 0, Some(("bert", "other"))).call::<String>("inherited", ()).is_ok());
    assert_eq!(server.stop().code(), Some(0));
    assert!(!server.log().contains("the loader cannot be named"), "it writes to a file of root's");
}

fn serve(root: &Path, arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(artifacts::hotcall());
    command.current_dir(root).args(["serve", "--http=127.0.0.1:0"]).args(arguments);
    let output = command.env("RUST_LOG", "error").output().unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

fn what_is_in_the_way() {
    let root = open_directory();
    let path = |name: &str| root.path().join(name);
    fs::create_dir(path("roots")).unwrap();
    fs::write(path("group.toml"), "group = 'nogroup'\n").unwrap();
    fs::write(path("mode.toml"), "unix_mode = '0999'\n").unwrap();
    fs::write(path("unix.toml"), "unix_group = 'no such group'\n").unwrap();
    let rows: [(&[&str], &str); 6] = [
        (
            &["--user", "no such user"],
            "there is no user no such user: make it with: useradd --system",
        ),
        (&["--user", USER, "--group", "no such group"], "there is no group no such group"),
        (&["--config", "group.toml"], "group says nothing without user"),
        (&["--config", "mode.toml"], "unix_mode is \"0999\""),
        (&["--config", "unix.toml"], "there is no group no such group"),
        (&["--user", USER, "--state-dir", "roots"], "chown -R nobody:nogroup roots"),
    ];
    for (arguments, says) in rows {
        let (code, error) = serve(root.path(), arguments);
        assert_eq!(code, Some(1), "{arguments:?}: {error}");
        assert!(error.contains(says) && error.lines().count() == 1, "{arguments:?}: {error}");
    }
    let by_another =
        as_user(artifacts::hotcall(), &["serve", "--http=127.0.0.1:0", "--user", "daemon"]);
    let error = String::from_utf8_lossy(&by_another.stderr).into_owned();
    assert!(
        !by_another.status.success() && error.contains("only root can become the user daemon"),
        "{error}"
    );

    let server = Setup::new().start();
    server.wait_for_log(&["WARN", "started as root without user", "--user NAME"]);
}

fn memory_is_not_shown() {
    for (core_dumps, owner) in [(false, 0), (true, ID)] {
        let root = open_directory();
        let config = format!("user = '{USER}'\ncore_dumps = {core_dumps}\n");
        let server = setup(root.path())
            .config(&config)
            .plugin("deployed.so", &deployed(root.path(), &[]))
            .start();
        assert_eq!(owner_of_memory(&server), owner, "{core_dumps}");
        assert!(core_limit_is_0(&server) || core_dumps);
        let inherited: String = server.client().call("inherited", ()).unwrap();
        assert!(
            core_dumps || inherited.ends_with("\n0\n"),
            "nor by programs that it starts: {inherited}"
        );
    }
}

/// What the kernel lets nobody look into belongs to root.
fn owner_of_memory(server: &Server) -> u32 {
    fs::metadata(format!("/proc/{}/environ", server.pid())).unwrap().uid()
}

fn core_limit_is_0(server: &Server) -> bool {
    let limits = fs::read_to_string(format!("/proc/{}/limits", server.pid())).unwrap();
    let line = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    line.split_whitespace().skip(4).take(2).all(|limit| limit == "0")
}

fn later_users_are_not_shown() {
    for core_dumps in [false, true] {
        let root = open_directory();
        let path = |name: &str| root.path().join(name);
        fs::create_dir(path("state")).unwrap();
        assert!(passwd(&path("users"), "ann", "secret").status.success());
        for path in [path("state"), path("users")] {
            rustix::fs::chown(path, Some(rustix::fs::Uid::from_raw(ID)), None).unwrap();
        }
        fs::write(path("config"), format!("core_dumps = {core_dumps}\n")).unwrap();
        // Not by `user`: who becomes another user is not dumpable anyway.
        let server = setup(root.path())
            .after(&format!(
                "exec setpriv --reuid {USER} --regid {GROUP} --clear-groups \"$0\" \"$@\""
            ))
            .argument(format!("--config={}", path("config").display()))
            .argument("--http=127.0.0.1:0")
            .start();
        assert_eq!(owner_of_memory(&server), ID, "there is nothing to hide");

        // What the file says of core dumps now is for the next start, and users that go have been
        // in the memory.
        for users in [format!("users = {:?}\n", path("users")), String::new()] {
            fs::write(path("config"), format!("{users}core_dumps = true\n")).unwrap();
            server.signal(Signal::HUP);
            let asks =
                || asked(&server, 0, None).call::<Vec<String>>("system.listMethods", ()).is_err();
            wait_until("the new config", || asks() != users.is_empty());
            assert_eq!(owner_of_memory(&server), if core_dumps { ID } else { 0 }, "{users}");
            assert!(core_limit_is_0(&server) || core_dumps, "{users}");
        }
    }
}

/// Runs a program as another user, with no other groups than its own.
fn as_user(program: &Path, arguments: &[&str]) -> Output {
    by_user(program, arguments).output().unwrap()
}

fn by_user(program: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new("setpriv");
    command
        .args(["--reuid", USER, "--regid", GROUP, "--clear-groups"])
        .arg(program)
        .args(arguments);
    command.env("HOME", "/nonexistent");
    command
}

/// What `make` builds it writes through a descriptor of the server's, which only root could reach
/// if the server kept others out.
fn ordinary_user_develops() {
    let root = open_directory();
    let path = |name: &str| root.path().join(name);
    let built = deployed(root.path(), &[]);
    fs::create_dir_all(path("sources/deployed")).unwrap();
    fs::write(
        path("sources/deployed/Makefile"),
        format!("all:\n\tcat {} deployed.c > $(OUT)\n", built.display()),
    )
    .unwrap();
    fs::write(path("sources/deployed/deployed.c"), "").unwrap();
    fs::create_dir(path("state")).unwrap();
    rustix::fs::chown(path("state"), Some(rustix::fs::Uid::from_raw(ID)), None).unwrap();
    let log = fs::File::create(path("log")).unwrap();
    let arguments = ["dev", "sources", "--state-dir", "state", "--https", "127.0.0.1:0"];
    let mut command = by_user(artifacts::hotcall(), &arguments);
    let mut dev =
        Ended(command.current_dir(root.path()).stdout(Stdio::null()).stderr(log).spawn().unwrap());
    let said = || fs::read_to_string(path("log")).unwrap();
    wait_until("the plugin, built or not", || {
        said().contains("deployed.so serves 2 methods") || said().contains("ERROR")
    });
    // The first one was built before there was a key in memory.
    fs::write(path("sources/deployed/deployed.c"), "/* changed */\n").unwrap();
    wait_until("the second build, done or not", || {
        said().matches("installed deployed.so").count() > 1 || said().contains("ERROR")
    });
    assert!(!said().contains("ERROR"), "{}", said());
    rustix::process::kill_process(rustix::process::Pid::from_child(&dev.0), Signal::TERM).unwrap();
    assert!(dev.0.wait().unwrap().success(), "{}", said());
}

/// A process that does not outlive its test.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn wider_sockets() {
    let rows = [
        ("0600", None, false),
        ("0660", None, false),
        ("0660", Some(GROUP), true),
        ("0666", None, true),
    ];
    for (mode, group, lets_in) in rows {
        let root = open_directory();
        let socket = root.path().join("s");
        let group = group.map_or_else(String::new, |group| format!("unix_group = '{group}'\n"));
        let server = setup(root.path())
            .config(&format!("unix_mode = '{mode}'\n{group}"))
            .argument(format!("--unix={}", socket.display()))
            .plugin("arithmetic.so", artifacts::plugin("arithmetic"))
            .start();
        let meta = fs::symlink_metadata(&socket).unwrap();
        assert_eq!(format!("{:04o}", meta.mode() & 0o7777), mode);
        let address = server.urls().iter().find(|url| url.starts_with("unix:")).unwrap();
        let hotcall = artifacts::hotcall();
        let added = as_user(hotcall, &["call", address, "add", "2", "3"]);
        assert_eq!(added.status.success(), lets_in, "{mode} {group}: {added:?}");
        for command in [&["plugins", address][..], &["reload", address, "arithmetic"]] {
            let refused = as_user(hotcall, command);
            assert!(!refused.status.success(), "{mode} {group} {command:?}: {refused:?}");
            let taken = Command::new(hotcall).args(command).output().unwrap();
            assert!(taken.status.success(), "{mode} {group} {command:?}: {taken:?}");
        }
    }
}

fn secrets_stay_out_of_the_log() {
    const PASSPHRASE: &str = "the passphrase of the key";
    const PASSWORD: &str = "the password of ann";
    const WRONG: &str = "the password of nobody";
    let root = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    let issued = authority.issue("one", "one", &["127.0.0.1"]);
    let key = PKey::private_key_from_pem(&fs::read(&issued.key).unwrap()).unwrap();
    let encrypted =
        key.private_key_to_pem_pkcs8_passphrase(Cipher::aes_256_cbc(), PASSPHRASE.as_bytes());
    let (passphrase, users) = (root.path().join("passphrase"), root.path().join("users"));
    for (path, bytes) in [(&issued.key, encrypted.unwrap()), (&passphrase, PASSPHRASE.into())] {
        fs::write(path, bytes).unwrap();
        fs::set_permissions(path, Permissions::from_mode(0o600)).unwrap();
    }
    assert!(passwd(&users, "ann", PASSWORD).status.success());
    let (cert, key) = (issued.cert.display(), issued.key.display());
    let config = format!(
        "cert = '{cert}'\nkey = '{key}'\nkey_passphrase_file = {passphrase:?}\nusers = {users:?}\n"
    );
    let mut server = Setup::new()
        .config(&config)
        .argument("--https=127.0.0.1:0")
        .argument("--http=127.0.0.1:0")
        .plugin("arithmetic.so", artifacts::plugin("arithmetic"))
        .ca(&authority.ca())
        .log("trace")
        .start();
    let right = base64(&format!("ann:{PASSWORD}"));
    for listener in 0..2 {
        let call =
            |password| asked(&server, listener, Some(("ann", password))).call::<i32>("add", (2, 3));
        assert_eq!(call(PASSWORD).unwrap(), 5);
        assert!(call(WRONG).is_err());
    }
    // Through tiny_http, in a request that is refused, and in one that is none.
    let authorization = format!("Host: localhost\r\nAuthorization: Basic {right}\r\n");
    for head in ["GET /RPC2 HTTP/1.1", "HEAD /none HTTP/1.1", "GET /RPC2 HTTP/1.1 x"] {
        let url =
            server.urls()[1].strip_prefix("http://").unwrap().trim_end_matches("/RPC2").to_owned();
        let mut stream = std::net::TcpStream::connect(url).unwrap();
        let request = format!("{head}\r\nConnection: close\r\n{authorization}\r\n");
        std::io::Write::write_all(&mut stream, request.as_bytes()).unwrap();
        let mut answer = Vec::new();
        std::io::Read::read_to_end(&mut stream, &mut answer).unwrap();
        assert!(answer.starts_with(b"HTTP/1.1 4"), "{}", String::from_utf8_lossy(&answer));
    }
    // A config that cannot be used, with a secret in the wrong place, is complained of without it.
    fs::write(&passphrase, "another passphrase\n").unwrap();
    server.signal(Signal::HUP);
    server.wait_for_log(&["SIGHUP", "does not open the private key"]);
    assert_eq!(server.stop().code(), Some(0));
    let log = server.log();
    let hash = fs::read_to_string(&users).unwrap();
    let hash = hash.trim().rsplit('$').next().unwrap().to_owned();
    let secrets = [
        PASSPHRASE,
        "another passphrase",
        PASSWORD,
        WRONG,
        &right,
        &base64(&format!("ann:{WRONG}")),
        &hash,
    ];
    for secret in secrets {
        assert!(!log.contains(secret), "{secret}: {log}");
    }
    assert!(!log.contains("Authorization: ") && !log.contains("PRIVATE KEY"), "{log}");
    assert!(log.contains("a wrong name or password from 127.0.0.1"), "it is a log: {log}");
}

fn base64(text: &str) -> String {
    openssl::base64::encode_block(text.as_bytes())
}
