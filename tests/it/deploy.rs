//! Under a service manager: its sockets, what it is told, and the units that the documentation has.
//! The tests play systemd.

use crate::trial::{trial, trial_with};
use hotcall::client::Client;
use hotcall_tests::{Server, Setup, artifacts, foreign, repository, wait_for, wait_until};
use libtest_mimic::Trial;
use rustix::process::Signal;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

pub fn trials() -> Vec<Trial> {
    vec![
        trial_with(
            "python3",
            "deploy::sockets_of_systemd_are_served_by_their_names",
            sockets_are_served,
        ),
        trial_with(
            "python3",
            "deploy::sockets_without_names_are_https_or_unix",
            sockets_without_names,
        ),
        trial_with(
            "python3",
            "deploy::sockets_that_cannot_be_served_are_refused",
            sockets_are_refused,
        ),
        trial("deploy::systemd_is_told_of_start_reload_and_stop", systemd_is_told),
        trial("deploy::a_manager_that_reads_nothing_holds_up_nothing", nobody_reads_notices),
        trial("deploy::the_watchdog_is_fed_only_while_reactors_come_round", watchdog_is_fed),
        trial_with(
            "systemd-analyze",
            "deploy::the_units_are_right_and_as_tight_as_the_page_says",
            units,
        ),
        trial(
            "deploy::debug_information_is_split_and_installed_as_the_page_says",
            debug_information,
        ),
    ]
}

/// How long systemd would wait for a sign of life.
const WATCHDOG: Duration = Duration::from_millis(800);

/// The plugin of tests/fixtures/deployed.c, for a server with this set-up.
pub fn deployed(root: &Path, flags: &[&str]) -> PathBuf {
    let built = root.join("deployed.so");
    artifacts::compile_c(&repository().join("tests/fixtures/deployed.c"), &built, flags);
    built
}

/// A client of one of the server's listeners.
fn client(server: &Server, url: &str) -> Client {
    let builder = hotcall_tests::client(url);
    let builder = if url.starts_with("https:") { builder.ca_file(server.ca()) } else { builder };
    builder.build().unwrap()
}

fn sockets_are_served() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("s");
    let unix = format!("hotcall.socket={}@666", path.display());
    let mut server = Setup::new()
        .inherited(&["https=127.0.0.1:0", "http=[::1]:0", &unix])
        .plugin("deployed.so", &deployed(root.path(), &[]))
        .start();
    let [https, http, local] = server.urls() else { panic!("{:?}", server.urls()) };
    assert!(https.starts_with("https://127.0.0.1:") && !https.contains(":8443"), "{https}");
    assert!(http.starts_with("http://[::1]:"), "{http}");
    assert_eq!(*local, format!("unix:{}", path.display()));
    for url in server.urls() {
        let inherited: String = client(&server, url).call("inherited", ()).unwrap();
        assert!(inherited.contains("PATH="), "{inherited}");
        assert!(!inherited.contains("LISTEN_") && !inherited.contains("socket:["), "{inherited}");
    }
    assert_eq!(server.stop().code(), Some(0));
    assert!(path.exists(), "the socket is systemd's");
}

fn sockets_without_names() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("s");
    let server = Setup::new()
        .inherited(&["-=127.0.0.1:0", &format!("-={}@600", path.display())])
        .argument("--http=127.0.0.1:0")
        .plugin("echo.so", artifacts::plugin("echo"))
        .start();
    let schemes: Vec<_> = server.urls().iter().map(|url| url.split(':').next().unwrap()).collect();
    assert_eq!(
        schemes,
        ["http", "https", "unix"],
        "those that are named, and then those that are handed over"
    );
    for url in server.urls() {
        assert_eq!(client(&server, url).call::<i32>("echo", (1,)).unwrap(), 1);
    }
}

fn sockets_are_refused() {
    let root = tempfile::tempdir().unwrap();
    let rows = [
        ("http=0.0.0.0:0", "anyone who reaches 0.0.0.0:"),
        ("https=0.0.0.0:0", "needs a certificate: give --cert and --key"),
        ("http=[::]:0", "anyone who reaches [::]:"),
        (
            "htpp=127.0.0.1:0",
            "as descriptor 3, \"htpp\": its name, from FileDescriptorName=, may be https or http",
        ),
    ];
    for (socket, says) in rows {
        let script = repository().join("tests/foreign/python/systemd.py");
        let mut serve = foreign::python_alone(&script);
        serve.args([socket, "--"]).arg(artifacts::hotcall()).arg("serve");
        serve.arg("--state-dir").arg(root.path().join("state")).env("RUST_LOG", "error");
        let output = serve.current_dir(root.path()).output().unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{socket}: {error}");
        assert!(error.contains(says) && error.lines().count() == 1, "{socket}: {error}");
    }
}

/// Where services say how they fare.
struct Notices(UnixDatagram, PathBuf);

impl Notices {
    fn new(root: &Path) -> Self {
        let path = root.join("notify");
        Self(UnixDatagram::bind(&path).unwrap(), path)
    }

    /// What a server is started after.
    fn prelude(&self, watchdog: Option<Duration>) -> String {
        let own = format!("export NOTIFY_SOCKET={}", self.1.display());
        let watchdog = watchdog
            .map(|every| format!("; export WATCHDOG_USEC={} WATCHDOG_PID=$$", every.as_micros()));
        own + &watchdog.unwrap_or_default()
    }

    /// The next one, if it comes within that time.
    fn next(&self, within: Duration) -> Option<String> {
        let mut bytes = [0; 4096];
        self.0.set_read_timeout(Some(within)).unwrap();
        match self.0.recv(&mut bytes) {
            Ok(count) => Some(String::from_utf8(bytes[..count].to_vec()).unwrap()),
            Err(error) if error.kind() == ErrorKind::WouldBlock => None,
            Err(error) => panic!("{error}"),
        }
    }

    /// The next one that begins so.
    fn wait_for(&self, beginning: &str) -> String {
        wait_for(beginning, || {
            self.next(Duration::from_millis(100)).filter(|text| text.starts_with(beginning))
        })
    }
}

fn systemd_is_told() {
    let root = tempfile::tempdir().unwrap();
    let notices = Notices::new(root.path());
    let plugin = deployed(root.path(), &[]);
    let mut server =
        Setup::new().after(&notices.prelude(None)).plugin("deployed.so", &plugin).start();
    assert_eq!(notices.wait_for(""), "READY=1\nSTATUS=2 methods of 1 plugin\n");
    assert!(
        server.client().call::<String>("inherited", ()).unwrap().contains("PATH="),
        "the probe has let it in"
    );

    fs::copy(artifacts::plugin("counter"), server.plugins().join("counter.so")).unwrap();
    assert_eq!(notices.wait_for("STATUS="), "STATUS=5 methods of 2 plugins\n");
    server.signal(Signal::HUP);
    let reloading = notices.wait_for("RELOADING=1\n");
    let moment = reloading.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").unwrap().trim_end();
    assert!(moment.parse::<u64>().unwrap() > 0, "{reloading}");
    assert!(notices.wait_for("READY=1\n").contains("STATUS=5 methods"));
    server.signal(Signal::TERM);
    assert!(notices.wait_for("STOPPING=1\n").contains("STATUS="));
    assert_eq!(server.wait().code(), Some(0));
    assert_eq!(
        notices.next(Duration::from_millis(1)),
        None,
        "nobody feeds a watchdog that was not asked for"
    );
}

fn nobody_reads_notices() {
    let root = tempfile::tempdir().unwrap();
    let notices = Notices::new(root.path());
    let other = UnixDatagram::unbound().unwrap();
    other.set_nonblocking(true).unwrap();
    while other.send_to(b"STATUS=\n", &notices.1).is_ok() {}
    let mut server = Setup::new()
        .after(&notices.prelude(Some(WATCHDOG)))
        .plugin("deployed.so", &deployed(root.path(), &[]))
        .start();
    server.wait_for_log(&["the service manager at NOTIFY_SOCKET does not hear"]);
    assert!(server.client().call::<String>("inherited", ()).is_ok());
    assert_eq!(server.stop().code(), Some(0));
}

/// A plugin that breaks its promise to be quick holds up the reactor that trusted it.
fn watchdog_is_fed() {
    let root = tempfile::tempdir().unwrap();
    let notices = Notices::new(root.path());
    let release = root.path().join("release");
    let mut server = Setup::new()
        .after(&notices.prelude(Some(WATCHDOG)))
        .plugin("deployed.so", &deployed(root.path(), &[]))
        .start();
    notices.wait_for("READY=1\n");
    for _ in 0..3 {
        assert_eq!(notices.wait_for("WATCHDOG"), "WATCHDOG=1\n");
    }
    let client = server.client();
    let path = release.to_str().unwrap().to_owned();
    let held = thread::spawn(move || client.call::<i32>("hold", (path,)).unwrap());
    wait_until("the held reactor", || release.with_extension("held").exists());
    server.wait_for_log(&["the watchdog is not fed", "reactor-"]);
    // Those that were on their way come first.
    wait_until("a time in which systemd would restart it", || notices.next(WATCHDOG).is_none());
    assert_eq!(notices.next(WATCHDOG), None, "fed although a reactor is held up");
    fs::write(&release, "").unwrap();
    assert_eq!(held.join().unwrap(), 1);
    assert_eq!(notices.wait_for("WATCHDOG"), "WATCHDOG=1\n");
    assert_eq!(server.stop().code(), Some(0));
}

fn units() {
    const FIGURE: &str = "exposure level for hotcall.service: ";
    let source = repository().join("host/src/docs/deploy");
    let root = tempfile::tempdir().unwrap();
    let placed = |name: &str| {
        let text = fs::read_to_string(source.join(name)).unwrap();
        // `verify` looks whether the program is there.
        let text = text.replace("/usr/local/bin/hotcall", artifacts::hotcall().to_str().unwrap());
        let path = root.path().join(name);
        fs::write(&path, text).unwrap();
        path
    };
    let (service, socket) = (placed("hotcall.service"), placed("hotcall.socket"));
    let analyze = |arguments: &[&str], paths: &[&Path]| {
        let mut command = Command::new("systemd-analyze");
        let output = command.args(arguments).args(paths).stdin(Stdio::null()).output().unwrap();
        let text = [output.stdout, output.stderr]
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        assert!(output.status.success(), "{arguments:?}: {text:?}");
        text.concat()
    };
    assert_eq!(
        analyze(&["verify", "--man=no"], &[&service, &socket]),
        "",
        "nothing to complain of"
    );
    let report = analyze(&["security", "--offline=true", "--no-pager"], &[&service]);
    let line = report.lines().find(|line| line.to_lowercase().contains(FIGURE)).unwrap();
    let measured: f64 =
        line.split(FIGURE).nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
    let page = fs::read_to_string(repository().join("host/src/docs/deploy.md")).unwrap();
    let recorded = page.split("exposure of ").nth(1).expect("the page has the figure");
    let recorded: f64 = recorded.split(' ').next().unwrap().parse().unwrap();
    // Each systemd knows more that could be said.
    assert!((measured - recorded).abs() < 0.5, "the page says {recorded}: {report}");
}

/// The page's commands split a plugin's file and install its debug information.
fn debug_information() {
    let page = fs::read_to_string(repository().join("host/src/docs/deploy.md")).unwrap();
    let commands = |of: &str| {
        let blocks = page.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap());
        blocks.filter(|block| block.contains(of)).collect::<String>()
    };
    let root = tempfile::tempdir().unwrap();
    let run = |script: &str| {
        artifacts::run(Command::new("sh").args(["-ec", script]).current_dir(root.path()))
    };
    fs::copy(artifacts::plugin("counter"), root.path().join("libgreet.so")).unwrap();
    run(&commands("objcopy"));
    let program = run("readelf --wide --section-headers libgreet.so");
    assert!(!program.contains(".debug_") && program.contains(".gnu_debuglink"), "{program}");
    let apart = run("readelf --wide --section-headers libgreet.so.debug");
    assert!(apart.contains(".debug_line"), "{apart}");

    let install = commands(".build-id").replace("target/plugins/libcounter.so", "libgreet.so");
    run(&install.replace("/usr/lib/debug", "debug"));
    let installed = run("cmp libgreet.so.debug debug/.build-id/*/*.debug && ls debug/.build-id/*");
    assert_eq!(installed.lines().count(), 1, "{installed}");
}
