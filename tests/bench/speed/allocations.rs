//! What a whole `add` over a kept connection without TLS allocates in the server, from its first
//! byte to the answer's last. The server runs in this process for that, where what it allocates can
//! be counted.
#![allow(
    unsafe_code,
    reason = "an allocator is one by an unsafe trait; each call is passed on as it came"
)]

use crate::documents;
use crate::load::{Caller, Way};
use crate::target::Target;
use hotcall::config::Config;
use hotcall::server::{Options, Server};
use hotcall_tests::artifacts;
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// What a server does from time to time, and not for a call, has no weight among so many.
const CALLS: u32 = 20_000;
/// After which buffers have the size that they keep.
const FIRST: u32 = 1_000;

/// What one call takes of the allocator.
pub struct PerCall {
    /// How often it is asked, for memory or for more of it.
    pub count: f64,
    /// For how many bytes.
    pub bytes: f64,
}

impl PerCall {
    /// Counts.
    ///
    /// # Errors
    /// The server does not start, or a call fails.
    pub fn count() -> Result<Self, String> {
        let root = tempfile::tempdir().map_err(|error| error.to_string())?;
        let plugins = root.path().join("plugins");
        fs::create_dir(&plugins).map_err(|error| error.to_string())?;
        fs::copy(artifacts::release("arithmetic", &[]), plugins.join("arithmetic.so"))
            .map_err(|error| error.to_string())?;
        let config = Config {
            plugins_dir: Some(plugins),
            state_dir: Some(root.path().join("state")),
            http: vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 0))],
            // A trial runs this program once more.
            probe: false,
            ..Config::default()
        };
        let options = Options::try_from(config).map_err(|error| error.to_string())?;
        let server = Server::start(options).map_err(|error| error.to_string())?;
        let url = server.urls().first().ok_or("it listens nowhere")?.clone();
        let counted = count_at(&Target::of(&url));
        server.stop();
        counted
    }
}

fn count_at(target: &Target) -> Result<PerCall, String> {
    let mut caller = Caller::new(target, Way::Kept)?;
    let request = target.post(&documents::add().document, false);
    (0..FIRST).try_for_each(|_| caller.call(&request).map(drop))?;
    IS_CLIENTS.set(true);
    let before = [&COUNT, &BYTES].map(|number| number.load(Ordering::SeqCst));
    IS_ON.store(true, Ordering::SeqCst);
    let called = (0..CALLS).try_for_each(|_| caller.call(&request).map(drop));
    IS_ON.store(false, Ordering::SeqCst);
    let after = [&COUNT, &BYTES].map(|number| number.load(Ordering::SeqCst));
    called?;
    let [count, bytes] = [0, 1].map(|at| (after[at] - before[at]) as f64 / f64::from(CALLS));
    Ok(PerCall { count, bytes })
}

/// The system's allocator, which counts now and then. Otherwise it looks at one flag, of which no
/// other measurement here notices anything.
struct Counting;

#[global_allocator]
static COUNTING: Counting = Counting;

static IS_ON: AtomicBool = AtomicBool::new(false);
static COUNT: AtomicU64 = AtomicU64::new(0);
static BYTES: AtomicU64 = AtomicU64::new(0);

thread_local! {
    // It has no destructor and is not made when it is first used, so it allocates nothing.
    static IS_CLIENTS: Cell<bool> = const { Cell::new(false) };
}

fn count(bytes: usize) {
    if IS_ON.load(Ordering::Relaxed) && !IS_CLIENTS.get() {
        COUNT.fetch_add(1, Ordering::Relaxed);
        BYTES.fetch_add(bytes as u64, Ordering::Relaxed);
    }
}

// SAFETY: every call goes to the system's allocator, which keeps the contract; counting allocates
// nothing and cannot unwind.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: passed on from this function's own contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: passed on from this function's own contract.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: passed on from this function's own contract.
        unsafe { System.dealloc(memory, layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        count(bytes.saturating_sub(layout.size()));
        // SAFETY: passed on from this function's own contract.
        unsafe { System.realloc(memory, layout, bytes) }
    }
}
