//! What one `add(2, 3)` costs without a network, in time and in allocations, and what a large
//! result costs: `cargo bench -p hotcall-tests --bench call`. The bench `speed` counts the
//! allocations of a whole `add`, with a network.
#![allow(clippy::unwrap_used, reason = "a bench that cannot run has nothing to report")]

use divan::{AllocProfiler, Bencher, black_box};
use hotcall::access::{Access, Policy, Settings};
use hotcall::arena;
use hotcall::cancellation::Cancellation;
use hotcall::limits::Limits;
use hotcall::queue::Alone;
use hotcall::registry::CallContext;
use hotcall::request::{Head, Peer, Request, Way};
use hotcall::rpc::Dispatcher;
use hotcall::web::{App, Begun, Done};
use hotcall::xmlrpc::{
    DecodeLimits, EncodeOptions, Store, Unlimited, Value, View, decode_call_in, encode_call,
};
use hotcall_tests::artifacts;
use hotcall_tests::loaded::Loaded;
use std::sync::Arc;
use std::time::{Duration, Instant};

#[global_allocator]
static ALLOCATOR: AllocProfiler = AllocProfiler::system();

const PARAMS: [Value; 2] = [Value::Int(2), Value::Int(3)];

fn main() {
    divan::main();
}

fn loaded() -> Loaded {
    Loaded::new(&artifacts::release("arithmetic", &[]))
}

fn context() -> CallContext {
    CallContext::of_the_server("bench", Instant::now() + Duration::from_secs(3_600))
}

/// The registry's lookup, the call through the ABI, the arena, and a look at the result. The
/// parameters are as a client's call is decoded.
#[divan::bench(sample_size = 10_000)]
fn dispatch(bencher: Bencher<'_, '_>) {
    let (loaded, context) = (loaded(), context());
    let document = encode_call("add", &PARAMS, &EncodeOptions::default()).unwrap();
    Store::with(|store| {
        let call = decode_call_in(&document, &DecodeLimits::default(), store, &Unlimited).unwrap();
        bencher.bench_local(|| {
            let snapshot = loaded.registry().glance();
            let method = snapshot.get(black_box("add")).unwrap();
            arena::with(|arena| {
                let params = black_box(call.params.items());
                let answer = method.instance.invoke(method.index, params, arena, &context)?;
                match answer.tree().view() {
                    Ok(View::Int(sum)) => Ok(sum),
                    Ok(other) => unreachable!("{}", other.type_name()),
                    Err(defect) => Err(answer.refuse(defect)),
                }
            })
        });
    });
}

/// From a vetted request to the response, as a reactor answers it.
#[divan::bench(sample_size = 100)]
fn answer(bencher: Bencher<'_, '_>) {
    let loaded = loaded();
    let app = Arc::new(app(&loaded));
    let request = request("add", &PARAMS);
    bencher.with_inputs(|| request.clone()).bench_local_values(|request| {
        match app.begin(request) {
            Begun::Answered(response) => response,
            Begun::Unfinished(_) => unreachable!("the method is flagged quick"),
        }
    });
}

/// A result of 10,000 structs of three members, from a vetted request to the response, as a worker
/// answers it. `max alloc` is the peak of the server's memory; the plugin's own is not in it.
#[divan::bench(sample_count = 200, sample_size = 1)]
fn answer_10_000_structs(bencher: Bencher<'_, '_>) {
    let loaded = Loaded::new(&artifacts::release("benched", &[]));
    let app = Arc::new(app(&loaded));
    let request = request("structs", &[]);
    bencher.with_inputs(|| app.work(request.clone())).bench_local_values(|work| {
        match work.run(&Alone) {
            Done::Answered(response) => response,
            Done::Waiting(..) => unreachable!("nothing is replaced"),
        }
    });
}

fn app(loaded: &Loaded) -> App {
    let dispatcher = Dispatcher::new(Arc::clone(loaded.registry()), Limits::default());
    let access = Access::new(Policy::new(&Settings::default()).unwrap(), 2).unwrap();
    App::new(dispatcher, Arc::new(access))
}

fn request(method: &str, params: &[Value]) -> Request {
    Request {
        head: Head {
            method: "POST".into(),
            target: "/RPC2".into(),
            content_type: Some("text/xml".into()),
            host: Some("localhost:8443".into()),
            ..Head::default()
        },
        body: encode_call(method, params, &EncodeOptions::default()).unwrap(),
        peer: Arc::new(Peer {
            address: "127.0.0.1:54321".into(),
            ip: Some([127, 0, 0, 1].into()),
            way: Way::Loopback,
            is_encrypted: true,
            ..Peer::default()
        }),
        id: "65fdb2c1-1234567".into(),
        arrived: Instant::now() + Duration::from_secs(3_600),
        cancellation: Cancellation::default(),
    }
}
