//! How often an address may try passwords: a bounded table of recent failures.

use crate::address::ClientNetwork;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Failures in a row, each within [`REST`] of the one before, before an address must rest.
const FAILURES_MAX: u32 = 10;
/// How long it must; [`RETRY_AFTER`] tells the client.
const REST: Duration = Duration::from_secs(60);
pub(super) const RETRY_AFTER: &str = "60";
/// Addresses that are remembered. Past these the one whose last failure is the longest ago is
/// forgotten.
const ADDRESSES_MAX: usize = 10_000;

/// Failed tries by address. What has no address, on a Unix socket, is not counted.
#[derive(Default)]
pub(super) struct Throttle(Mutex<HashMap<ClientNetwork, Tries>>);

struct Tries {
    failed: u32,
    last: Instant,
}

impl Throttle {
    /// Whether this address may try.
    pub(super) fn allows(&self, address: Option<IpAddr>, now: Instant) -> bool {
        let table = self.lock();
        let tries = address.and_then(|address| table.get(&address.into()));
        tries.is_none_or(|tries| tries.failed < FAILURES_MAX || tries.has_rested(now))
    }

    /// Counts a try as failed before its result is known, so that many at once are no more than
    /// many in a row. `false` when it is one too many.
    pub(super) fn begin(&self, address: Option<IpAddr>, now: Instant) -> bool {
        let Some(address) = address.map(ClientNetwork::from) else { return true };
        let mut table = self.lock();
        if table.len() >= ADDRESSES_MAX && !table.contains_key(&address) {
            make_room(&mut table, now);
        }
        let tries = table.entry(address).or_insert(Tries { failed: 0, last: now });
        if tries.has_rested(now) {
            tries.failed = 0;
        }
        if tries.failed >= FAILURES_MAX {
            return false;
        }
        tries.failed += 1;
        tries.last = now;
        true
    }

    /// Takes back one count. Not all: the owner of one password must not try others' without limit.
    pub(super) fn succeeded(&self, address: Option<IpAddr>) {
        let Some(address) = address.map(ClientNetwork::from) else { return };
        let mut table = self.lock();
        if let Some(tries) = table.get_mut(&address) {
            tries.failed = tries.failed.saturating_sub(1);
            if tries.failed == 0 {
                table.remove(&address);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ClientNetwork, Tries>> {
        // Nothing panics under the lock, so a poisoned table is whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tries {
    fn has_rested(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.last) >= REST
    }
}

fn make_room(table: &mut HashMap<ClientNetwork, Tries>, now: Instant) {
    table.retain(|_, tries| !tries.has_rested(now));
    if table.len() >= ADDRESSES_MAX
        && let Some(oldest) =
            table.iter().min_by_key(|(_, tries)| tries.last).map(|(address, _)| *address)
    {
        table.remove(&oldest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    #[test]
    fn an_address_that_fails_must_rest() {
        let (throttle, start) = (Throttle::default(), Instant::now());
        let one = address("10.0.0.1");
        for _ in 0..FAILURES_MAX {
            assert!(throttle.allows(one, start) && throttle.begin(one, start));
        }
        assert!(!throttle.allows(one, start) && !throttle.begin(one, start));
        assert!(!throttle.allows(address("::ffff:10.0.0.1"), start), "the same");
        assert!(throttle.begin(address("10.0.0.2"), start), "another");
        let later = start + REST;
        assert!(throttle.allows(one, later) && throttle.begin(one, later));
        assert!((0..100).all(|_| throttle.begin(None, start)), "no address");
    }

    #[test]
    fn a_success_takes_back_one_failure() {
        let (throttle, now) = (Throttle::default(), Instant::now());
        let one = address("10.0.0.1");
        for _ in 0..FAILURES_MAX {
            assert!(throttle.begin(one, now));
        }
        throttle.succeeded(one);
        assert!(throttle.begin(one, now));
        assert!(!throttle.begin(one, now));
        throttle.succeeded(address("10.9.9.9"));
    }

    #[test]
    fn a_network_of_ipv6_counts_as_one() {
        let (throttle, now) = (Throttle::default(), Instant::now());
        for number in 0..FAILURES_MAX {
            assert!(throttle.begin(address(&format!("2001:db8::{number:x}")), now));
        }
        assert!(!throttle.allows(address("2001:db8::ffff:1"), now));
        assert!(throttle.allows(address("2001:db8:0:1::"), now));
    }

    #[test]
    fn the_table_is_bounded() {
        let (throttle, now) = (Throttle::default(), Instant::now());
        let count = u32::try_from(ADDRESSES_MAX).unwrap();
        let nth = |number: u32| Some(IpAddr::V4(number.into()));
        for number in 0..count + 10 {
            assert!(throttle.begin(nth(number), now + Duration::from_micros(number.into())));
        }
        assert_eq!(throttle.lock().len(), ADDRESSES_MAX);
        assert!(!throttle.lock().contains_key(&nth(0).unwrap().into()));
    }
}
