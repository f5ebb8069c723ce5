//! Dispatch without XML: the registry's lookup, the call through the ABI, and the arena.

use crate::samples::Samples;
use hotcall::limits::Limits;
use hotcall::plugin::{self, Config, Trust, Watch};
use hotcall::registry::{CallContext, Registry};
use hotcall::xmlrpc::Value;
use hotcall_tests::artifacts;
use std::collections::BTreeMap;
use std::fs;
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

const BATCHES: usize = 101;
const CALLS: u32 = 10_000;

/// Nanoseconds for one `add`, of batches of calls on one thread.
pub fn measure() -> Samples {
    let directory = tempfile::tempdir().unwrap();
    let [plugins, state_dir] = ["plugins", "state"].map(|name| directory.path().join(name));
    fs::create_dir(&plugins).unwrap();
    fs::copy(artifacts::release("arithmetic", &[]), plugins.join("arithmetic.so")).unwrap();
    plugin::make_state_dir(&state_dir, true).unwrap();
    let config = Config {
        directory: plugins,
        state_dir,
        watch: Watch::Off,
        settings: BTreeMap::new(),
        options: BTreeMap::new(),
        limits: Limits::default(),
        probe: None,
        check_permissions: true,
        follow_symlinks: false,
        trust: Trust::new(None, None).unwrap(),
    };
    let registry = Arc::<Registry>::default();
    let plugins = plugin::start(config, registry.clone()).unwrap();
    let until = Instant::now() + Duration::from_secs(60);
    let context = CallContext::of_the_server("bench", until);
    let params = [Value::Int(2), Value::Int(3)];
    let call = || {
        let snapshot = registry.snapshot();
        let method = snapshot.get(black_box("add")).unwrap();
        method.instance.invoke(method.index, black_box(&params), &context)
    };
    assert_eq!(call(), Ok(Value::Int(5)), "the plugin is loaded");
    let batch = |_| {
        let began = Instant::now();
        for _ in 0..CALLS {
            drop(black_box(call()));
        }
        began.elapsed().as_secs_f64() * 1e9 / f64::from(CALLS)
    };
    let samples = (0..BATCHES).map(batch).collect();
    plugins.stop(until);
    samples
}
