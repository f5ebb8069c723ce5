//! A plugins directory, a registry and a running life cycle; and the C compiler that makes plugins
//! for it.

use hotcall::arena;
use hotcall::cancellation::Cancellation;
use hotcall::limits::Limits;
use hotcall::plugin::inspect::{self, Report};
use hotcall::plugin::{
    self, Config, FileState, PluginKeys, PluginOptions, PluginStatus, Plugins, Trust, Watch,
};
use hotcall::registry::{CallContext, Method, Registry};
use hotcall::xmlrpc::{Fault, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::CString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// The longest wait for a condition, also on a machine that is busy with other things.
pub(crate) const PATIENCE: Duration = Duration::from_secs(600);
/// A limit of probes that is longer than any test waits, so that a busy machine does not pass it.
const PATIENT_MS: u64 = 1_200_000;

/// Limits from the environment, which a build with a sanitizer needs higher.
fn given_limits() -> Limits {
    let text = std::env::var("HOTCALL_TESTS_LIMITS").unwrap_or_default();
    toml::from_str(&text).unwrap()
}

pub(crate) struct Scene {
    pub(crate) root: tempfile::TempDir,
    pub(crate) plugins: PathBuf,
    pub(crate) registry: Arc<Registry>,
    pub(crate) limits: Limits,
    pub(crate) settings: BTreeMap<String, Value>,
    pub(crate) options: BTreeMap<String, PluginOptions>,
    pub(crate) keys: PluginKeys,
    pub(crate) program: PathBuf,
    pub(crate) trust: Trust,
    running: Option<Plugins>,
    built: AtomicU32,
}

impl Scene {
    /// A scene whose contents are tried by the real program.
    pub(crate) fn probing() -> Self {
        let mut scene = Self::new();
        scene.keys.probe = true;
        scene
    }

    /// What `hotcall check` finds out about a file.
    pub(crate) fn inspected(&self, file: &Path) -> Report {
        inspect::inspect(&[file.to_owned()], &self.config(Watch::Off)).unwrap().remove(0)
    }

    /// An empty plugins directory; nothing runs yet.
    pub(crate) fn new() -> Self {
        name_this_thread();
        let root = tempfile::tempdir().unwrap();
        let plugins = root.path().join("plugins");
        fs::create_dir(&plugins).unwrap();
        let limits = Limits {
            settle_ms: 30,
            removal_ms: 400,
            rescan_ms: 200,
            probe_ms_max: PATIENT_MS,
            ..given_limits()
        };
        let (registry, settings, options) = (Arc::default(), BTreeMap::new(), BTreeMap::new());
        Self {
            root,
            plugins,
            registry,
            limits,
            settings,
            options,
            keys: PluginKeys { probe: false, ..PluginKeys::default() },
            program: env!("CARGO_BIN_EXE_hotcall").into(),
            trust: Trust::default(),
            running: None,
            built: AtomicU32::new(0),
        }
    }

    pub(crate) fn start(&mut self, watch: Watch) {
        self.running = Some(plugin::start(self.config(watch), Arc::clone(&self.registry)).unwrap());
    }

    pub(crate) fn config(&self, watch: Watch) -> Config {
        Config {
            directory: self.plugins.clone(),
            state_dir: self.root.path().join("state"),
            watch,
            settings: self.settings.clone(),
            options: self.options.clone(),
            limits: self.limits.clone(),
            keys: self.keys.clone(),
            program: self.program.clone(),
            trust: self.trust.clone(),
        }
    }

    pub(crate) fn running(&self) -> &Plugins {
        self.running.as_ref().unwrap()
    }

    /// Has the directory looked at now, as a reload of the server's configuration does.
    pub(crate) fn look(&self) {
        let (settings, options) = (self.settings.clone(), self.options.clone());
        self.running().reconfigure(settings, options, self.trust.clone()).unwrap();
    }

    /// Private copies of this scene's plugins that are mapped into this process, which other tests
    /// share.
    pub(crate) fn mapped(&self) -> usize {
        let state = self.root.path().join("state").display().to_string();
        let maps = fs::read_to_string("/proc/self/maps").unwrap();
        let files: BTreeSet<&str> =
            maps.lines().filter_map(|line| Some(&line[line.find(&state)?..])).collect();
        files.len()
    }

    pub(crate) fn stop(&mut self) {
        self.running.take().unwrap().stop(Instant::now() + PATIENCE);
    }

    /// Compiles a fixture outside the plugins directory.
    pub(crate) fn build(&self, fixture: &str, defines: &[&str]) -> PathBuf {
        let number = self.built.fetch_add(1, Ordering::Relaxed);
        let out = self.root.path().join(format!("built-{number}.so"));
        let host = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut cc = Command::new("cc");
        cc.args(["-std=c11", "-O0", "-Wall", "-Wextra", "-fPIC", "-shared", "-I"]);
        cc.arg(host.join("../plugin-api/include"))
            .args(defines.iter().map(|define| format!("-D{define}")));
        cc.arg("-o").arg(&out).arg(host.join("tests/fixtures").join(fixture));
        let output = cc.output().expect("these tests need a C compiler named cc: install one");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{cc:?} failed:\n{errors}");
        out
    }

    /// A build of `life.c`: plugin `name` whose method `method` answers `version`.
    pub(crate) fn life(&self, name: &str, method: &str, version: i32) -> PathBuf {
        let defines = [
            format!("NAME=\"{name}\""),
            format!("METHOD=\"{method}\""),
            format!("VERSION={version}"),
        ];
        self.build("life.c", &defines.each_ref().map(String::as_str))
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.plugins.join(name)
    }

    pub(crate) fn call(&self, method: &str, params: &[Value]) -> Result<Value, Fault> {
        self.call_as(method, params, &context())
    }

    pub(crate) fn call_as(
        &self,
        method: &str,
        params: &[Value],
        context: &CallContext,
    ) -> Result<Value, Fault> {
        let snapshot = self.registry.snapshot();
        let method = snapshot
            .get(method)
            .ok_or_else(|| Fault::new(-32601, format!("no method {method}")))?;
        invoke(method, params, context)
    }

    /// What an int method answers, or None when there is no such method.
    pub(crate) fn answer(&self, method: &str) -> Option<i32> {
        match self.call(method, &[]) {
            Ok(Value::Int(value)) => Some(value),
            Err(fault) if fault.code == -32601 => None,
            other => panic!("{method} answered {other:?}"),
        }
    }

    pub(crate) fn status_of(&self, file: &str) -> Option<PluginStatus> {
        self.running().status().iter().find(|status| status.file == self.file(file)).cloned()
    }

    /// Waits until the file is in that state, and gives its status.
    pub(crate) fn until_state(&self, file: &str, state: FileState) -> PluginStatus {
        self.until(&format!("{file} is {state:?}"), || {
            self.status_of(file).is_some_and(|status| status.state == state)
        });
        self.status_of(file).unwrap()
    }

    pub(crate) fn until_answer(&self, method: &str, answer: Option<i32>) {
        self.until(&format!("{method} answers {answer:?}"), || self.answer(method) == answer);
    }

    /// Waits until the condition holds; shows the whole scene when it never does.
    pub(crate) fn until(&self, what: &str, condition: impl Fn() -> bool) {
        let start = Instant::now();
        while !condition() {
            if start.elapsed() > PATIENCE {
                let files: Vec<_> =
                    fs::read_dir(&self.plugins).into_iter().flatten().flatten().collect();
                panic!(
                    "never: {what}\nfiles: {files:#?}\nstatus: {:#?}",
                    self.running.as_ref().map(|r| r.status())
                );
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// Calls a method and copies its result.
pub(crate) fn invoke(of: &Method, params: &[Value], context: &CallContext) -> Result<Value, Fault> {
    let Method { instance, index, .. } = of;
    arena::with(|arena| instance.invoke(*index, params.into(), arena, context)?.into_value())
}

/// Gives this thread a name that no other has. A thread that has the name of one that calls plugins
/// counts as started by a plugin, and the test harness cuts names of tests to 15 bytes.
fn name_this_thread() {
    static SCENES: AtomicU32 = AtomicU32::new(0);
    let name = format!("scene-{}", SCENES.fetch_add(1, Ordering::Relaxed));
    rustix::thread::set_name(&CString::new(name).unwrap()).unwrap();
}

pub(crate) fn context() -> CallContext {
    CallContext {
        deadline: Instant::now() + PATIENCE,
        caller_name: "alice".into(),
        caller_address: "192.0.2.1:5".into(),
        caller_ip: Some([192, 0, 2, 1].into()),
        request_id: "r-17".into(),
        cancellation: Cancellation::default(),
    }
}
