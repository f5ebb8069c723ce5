//! What all helpers of the tests need: where the repository is, how to wait, and a patient client.
//! Must not know the other helpers.

use hotcall::client::{Builder, Client};
use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

/// The longest wait for any condition. A passing test never waits so long, on however busy a
/// machine.
pub const WAIT_MAX: Duration = Duration::from_secs(600);
const POLL: Duration = Duration::from_millis(10);

/// The repository's root.
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("tests/ lies in the repository")
        .to_owned()
}

/// Begins a client that waits as long as tests do.
pub fn client(url: &str) -> Builder {
    Client::builder(url).connect_timeout(WAIT_MAX).timeout(WAIT_MAX)
}

/// Waits until `condition` gives something.
///
/// # Panics
/// When it gives nothing within [`WAIT_MAX`]: `what` says what was waited for.
pub fn wait_for<T>(what: impl Display, mut condition: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + WAIT_MAX;
    loop {
        if let Some(found) = condition() {
            return found;
        }
        assert!(Instant::now() < end, "waited {WAIT_MAX:?} in vain for {what}");
        thread::sleep(POLL);
    }
}

/// Waits until `condition` holds.
pub fn wait_until(what: impl Display, mut condition: impl FnMut() -> bool) {
    wait_for(what, || condition().then_some(()));
}
