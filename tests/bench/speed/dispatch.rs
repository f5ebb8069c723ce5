//! Dispatch without XML: the registry's lookup, the call through the ABI, and the arena. The
//! parameters are as a client's call is decoded.

use crate::documents;
use crate::samples::Samples;
use hotcall::arena;
use hotcall::registry::CallContext;
use hotcall::xmlrpc::{DecodeLimits, Items, Store, Unlimited, View, decode_call_in};
use hotcall_tests::artifacts;
use hotcall_tests::loaded::Loaded;
use std::hint::black_box;
use std::time::{Duration, Instant};

const BATCHES: usize = 101;
const CALLS: u32 = 10_000;

/// Nanoseconds for one `add`, of batches of calls on one thread.
pub fn measure() -> Samples {
    let add = documents::add();
    Store::with(|store| {
        let call =
            decode_call_in(add.document.as_bytes(), &DecodeLimits::default(), store, &Unlimited)
                .unwrap();
        batches(call.params.items())
    })
}

fn batches(params: Items<'_>) -> Samples {
    let loaded = Loaded::new(&artifacts::release("arithmetic", &[]));
    let context = CallContext::of_the_server("bench", Instant::now() + Duration::from_secs(60));
    let call = || {
        let snapshot = loaded.registry().glance();
        let method = snapshot.get(black_box("add")).unwrap();
        arena::with(|arena| {
            let params = black_box(params);
            let answer = method.instance.invoke(method.index, params, arena, &context)?;
            match answer.tree().view() {
                Ok(View::Int(sum)) => Ok(sum),
                Ok(other) => panic!("add answered {}", other.type_name()),
                Err(defect) => Err(answer.refuse(defect)),
            }
        })
    };
    assert_eq!(call(), Ok(5), "the plugin is loaded");
    let batch = |_| {
        let began = Instant::now();
        for _ in 0..CALLS {
            drop(black_box(call()));
        }
        began.elapsed().as_secs_f64() * 1e9 / f64::from(CALLS)
    };
    (0..BATCHES).map(batch).collect()
}
