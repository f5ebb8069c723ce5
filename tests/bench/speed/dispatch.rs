//! Dispatch without XML: the registry's lookup, the call through the ABI, and the arena.

use crate::samples::Samples;
use hotcall::registry::CallContext;
use hotcall::xmlrpc::Value;
use hotcall_tests::artifacts;
use hotcall_tests::loaded::Loaded;
use std::hint::black_box;
use std::time::{Duration, Instant};

const BATCHES: usize = 101;
const CALLS: u32 = 10_000;

/// Nanoseconds for one `add`, of batches of calls on one thread.
pub fn measure() -> Samples {
    let loaded = Loaded::new(&artifacts::release("arithmetic", &[]));
    let context = CallContext::of_the_server("bench", Instant::now() + Duration::from_secs(60));
    let params = [Value::Int(2), Value::Int(3)];
    let call = || {
        let snapshot = loaded.registry().glance();
        let method = snapshot.get(black_box("add")).unwrap();
        method.instance.invoke(method.index, black_box(&params).into(), &context)
    };
    assert_eq!(call(), Ok(Value::Int(5)), "the plugin is loaded");
    let batch = |_| {
        let began = Instant::now();
        for _ in 0..CALLS {
            drop(black_box(call()));
        }
        began.elapsed().as_secs_f64() * 1e9 / f64::from(CALLS)
    };
    (0..BATCHES).map(batch).collect()
}
