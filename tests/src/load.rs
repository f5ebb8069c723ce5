//! Clients that call one method all the time, while a test does something to the server.

use crate::server::Server;
use crate::shared::{client, wait_until};
use hotcall::xmlrpc::Value;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

/// From one call of a client to its next: what is tested needs the processor too.
const PAUSE: Duration = Duration::from_millis(2);

/// What the clients have done so far.
#[derive(Default)]
pub struct Load {
    calls: AtomicU64,
    clients: u64,
    done: AtomicBool,
}

impl Load {
    /// Runs `test` while as many clients call `method`, without parameters, each on one connection.
    ///
    /// # Panics
    /// When a call fails, takes longer than [`WAIT_MAX`](crate::WAIT_MAX), or answers anything but
    /// an int that `is_right`. That is no bound on latency, which the bench `harm` prints, but far
    /// below the hour for which tests have a plugin hang: a call that waits for that fails.
    pub fn during<R>(
        server: &Server,
        clients: u64,
        method: &str,
        is_right: impl Fn(i32) -> bool + Sync,
        test: impl FnOnce(&Self) -> R,
    ) -> R {
        let load = Self { clients, ..Self::default() };
        let caller = || {
            let client = client(server.url()).ca_file(server.ca()).build().expect("a client");
            while !load.done.load(Ordering::Relaxed) {
                match client.call(method, vec![]).expect("no call fails") {
                    Value::Int(answer) if is_right(answer) => {
                        load.calls.fetch_add(1, Ordering::Relaxed)
                    }
                    other => panic!("{method} answered {other:?}"),
                };
                thread::sleep(PAUSE);
            }
        };
        thread::scope(|scope| {
            let callers: Vec<_> = (0..clients).map(|_| scope.spawn(caller)).collect();
            let _end = End(&load.done);
            load.goes_on();
            let result = test(&load);
            load.goes_on();
            load.done.store(true, Ordering::Relaxed);
            for caller in callers {
                caller.join().expect("no call fails");
            }
            result
        })
    }

    /// Waits for an answer to a call that was made after this.
    pub fn goes_on(&self) {
        // One call more than there are clients: one of them began later.
        let reached = self.calls.load(Ordering::Relaxed) + self.clients + 1;
        wait_until("the clients' calls", || self.calls.load(Ordering::Relaxed) >= reached);
    }
}

/// Sets a flag when it goes: whoever works until then is ended also when the test fails.
pub struct End<'a>(pub &'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
