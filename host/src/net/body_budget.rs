//! The memory that bodies may use, for all connections together and for each address.
//!
//! A limit for each body is not enough: thousands of bodies within it would exhaust the machine.
//! Knows no connections.
//!
//! - `bodies_bytes_max` bounds all connections, and a percentage of it bounds each address.
//! - The first 64 KiB of each connection are free. Small requests are served even when large ones
//!   use the whole budget.
//! - Past a limit, a large request gets 503. A response that is too large becomes fault -32002,
//!   because the call was executed.
//! - A call that is stuck past its deadline keeps its request's share until its method returns.
//! - A Unix socket has no address. The mode of its file says who may connect, and only
//!   `bodies_bytes_max` applies.
//! - A connection's encrypted bytes, at most 65 KiB, do not count; see `conn/stream`.
//! - Memory for decoding is counted here too, but against no address.
//! - A plugin's own memory and the results in its arenas do not count. `response_bytes_max` bounds
//!   an arena, and the number of workers bounds the arenas.
//! - The log has one line for an address until it holds nothing.

use crate::address::ClientNetwork;
use crate::limits::Limits;
use crate::memory::Memory;
use crate::net::seldom::Seldom;
use crate::web::Response;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// This much of each connection is free: small requests are served whatever the large ones take.
const FREE_BYTES: usize = 64 << 10;

/// What all connections and the calls that they make may take together, and those of one address.
#[derive(Debug)]
pub struct Budget {
    bytes_max: usize,
    per_address_bytes_max: usize,
    taken: Mutex<Taken>,
    complaints: Seldom,
}

#[derive(Debug, Default)]
struct Taken {
    all: Amount,
    /// Only addresses that take something.
    by_address: HashMap<ClientNetwork, Amount>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Amount {
    bytes: usize,
    /// The log has a line about a refusal. Reset when the amount has fallen.
    is_logged: bool,
}

/// What one connection takes of the budget, until it is dropped.
#[derive(Debug)]
pub(crate) struct Share {
    budget: Arc<Budget>,
    address: Option<ClientNetwork>,
    bytes: usize,
}

/// The limit that a larger share would exceed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exceeded {
    All,
    Address,
}

impl Exceeded {
    /// The setting that holds the limit.
    pub(crate) const fn setting(self) -> &'static str {
        match self {
            Self::All => "bodies_bytes_max",
            Self::Address => "bodies_per_address_percent_max",
        }
    }

    /// The response to a request whose body exceeds the limit. Nothing was executed.
    pub(crate) fn response(self) -> Response {
        match self {
            Self::All => Response::crowded(),
            Self::Address => {
                let why = "Overloaded: other large requests and responses of your address take its \
                           share of the memory for them (bodies_per_address_percent_max). Try \
                           again once they are done.";
                Response::text(503, why).with_header("Retry-After", "1")
            }
        }
    }
}

impl Budget {
    /// The budget of these limits, of which nothing is taken.
    pub fn new(limits: &Limits) -> Arc<Self> {
        Arc::new(Self {
            bytes_max: limits.bodies_bytes_max,
            per_address_bytes_max: limits.bodies_per_address_bytes_max(),
            taken: Mutex::default(),
            complaints: Seldom::default(),
        })
    }

    /// An empty share for a connection from this address. Without an address, only the limit of all
    /// holds.
    pub(crate) fn share(self: &Arc<Self>, address: Option<IpAddr>) -> Share {
        Share { budget: Arc::clone(self), address: address.map(Into::into), bytes: 0 }
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        // Nothing panics under the lock, so poisoned counts are right.
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes bytes, if they are within both limits, and logs the first refusal since there was
    /// room.
    fn add(&self, bytes: usize, address: Option<ClientNetwork>) -> Result<(), Exceeded> {
        let mut taken = self.lock();
        let added = taken.add(bytes, address, self);
        if let Err(exceeded) = added {
            let is_due = taken.refuse(exceeded, address, &self.complaints);
            drop(taken);
            if is_due {
                self.complain(exceeded, address);
            }
        }
        added
    }

    fn complain(&self, exceeded: Exceeded, address: Option<ClientNetwork>) {
        match (exceeded, address) {
            (Exceeded::Address, Some(address)) => log::warn!(
                "large requests and responses of {address} take its share of the memory for them, \
                 {} bytes (bodies_per_address_percent_max): further ones are refused",
                self.per_address_bytes_max
            ),
            _ => log::warn!(
                "large requests and responses take all of the memory for them, {} bytes \
                 (bodies_bytes_max): further ones are refused",
                self.bytes_max
            ),
        }
    }
}

impl Taken {
    /// Adds bytes, if they are within both limits.
    fn add(
        &mut self,
        bytes: usize,
        address: Option<ClientNetwork>,
        budget: &Budget,
    ) -> Result<(), Exceeded> {
        let all = self.all.with(bytes, budget.bytes_max).ok_or(Exceeded::All)?;
        if let Some(address) = address {
            let before = self.by_address.get(&address).copied().unwrap_or_default();
            let after =
                before.with(bytes, budget.per_address_bytes_max).ok_or(Exceeded::Address)?;
            self.by_address.insert(address, after);
        }
        self.all = all;
        Ok(())
    }

    /// Notes a refusal. Whether it is the first one since there was room.
    fn refuse(
        &mut self,
        exceeded: Exceeded,
        address: Option<ClientNetwork>,
        complaints: &Seldom,
    ) -> bool {
        let amount = match (exceeded, address) {
            (Exceeded::Address, Some(address)) => self.by_address.get_mut(&address),
            _ => Some(&mut self.all),
        };
        let was_logged = amount.as_ref().is_some_and(|amount| amount.is_logged);
        let is_due = !was_logged && complaints.allows(Instant::now());
        if let Some(amount) = amount {
            amount.is_logged |= is_due;
        }
        is_due
    }

    fn subtract(&mut self, bytes: usize, address: Option<ClientNetwork>, budget: &Budget) {
        self.all.bytes -= bytes;
        self.all.is_logged &= self.all.bytes > budget.bytes_max / 2;
        if let Some(address) = address
            && let Some(amount) = self.by_address.get_mut(&address)
        {
            amount.bytes -= bytes;
            if amount.bytes == 0 {
                self.by_address.remove(&address);
            }
        }
    }
}

impl Amount {
    fn with(self, bytes: usize, bytes_max: usize) -> Option<Self> {
        let bytes = self.bytes.checked_add(bytes).filter(|bytes| *bytes <= bytes_max)?;
        Some(Self { bytes, ..self })
    }
}

/// What decoding takes counts to no address: a request within its limits can take several times its
/// length for a moment, which an address' share has no room for.
impl Memory for Budget {
    fn take(&self, bytes: usize) -> bool {
        self.add(bytes, None).is_ok()
    }

    fn give_back(&self, bytes: usize) {
        self.lock().subtract(bytes, None, self);
    }

    fn bytes_max(&self) -> usize {
        self.bytes_max
    }
}

impl Share {
    /// Gives all of it back.
    pub(crate) fn give_back(&mut self) {
        let bytes = std::mem::take(&mut self.bytes);
        if bytes > 0 {
            self.budget.lock().subtract(bytes, self.address, &self.budget);
        }
    }

    /// Makes it this large, less what is free. The budget is locked only when it changes.
    ///
    /// # Errors
    /// The limit that it would exceed; nothing has changed then.
    pub(crate) fn resize(&mut self, bytes: usize) -> Result<(), Exceeded> {
        let wanted = bytes.saturating_sub(FREE_BYTES);
        if wanted > self.bytes {
            self.budget.add(wanted - self.bytes, self.address)?;
        } else if wanted < self.bytes {
            self.budget.lock().subtract(self.bytes - wanted, self.address, &self.budget);
        }
        self.bytes = wanted;
        Ok(())
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.give_back();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: usize = 100;
    const EACH: usize = 40;

    fn budget() -> Arc<Budget> {
        let (taken, complaints) = (Mutex::default(), Seldom::default());
        Arc::new(Budget { bytes_max: ALL, per_address_bytes_max: EACH, taken, complaints })
    }

    fn address(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    fn is_empty(budget: &Budget) -> bool {
        let taken = budget.lock();
        taken.all.bytes == 0 && !taken.all.is_logged && taken.by_address.is_empty()
    }

    #[test]
    fn shares_are_held_to_what_there_is() {
        let budget = budget();
        let (mut one, mut two) = (budget.share(None), budget.share(None));
        one.resize(FREE_BYTES).unwrap();
        two.resize(FREE_BYTES).unwrap();
        assert!(is_empty(&budget), "that is free");
        one.resize(FREE_BYTES + 60).unwrap();
        assert_eq!(two.resize(FREE_BYTES + 41), Err(Exceeded::All));
        two.resize(FREE_BYTES + 40).unwrap();
        assert!(one.resize(FREE_BYTES + 61).is_err() && one.resize(usize::MAX).is_err());
        one.resize(10).unwrap();
        two.resize(FREE_BYTES + 100).unwrap();
        drop(two);
        one.resize(FREE_BYTES + 100).unwrap();
        drop(one);
        assert!(is_empty(&budget));
    }

    #[test]
    fn each_address_has_a_share_and_a_64_of_ipv6_is_one() {
        let budget = budget();
        let share = |text: &str| budget.share(address(text));
        let (mut one, mut again) = (share("2001:db8::1"), share("2001:db8::2"));
        one.resize(FREE_BYTES + 30).unwrap();
        assert_eq!(again.resize(FREE_BYTES + 11), Err(Exceeded::Address));
        again.resize(FREE_BYTES + 10).unwrap();
        let (mut other, mut local) = (share("192.0.2.1"), budget.share(None));
        other.resize(FREE_BYTES + EACH).unwrap();
        assert_eq!(local.resize(FREE_BYTES + 21), Err(Exceeded::All));
        local.resize(FREE_BYTES + 20).unwrap();
        one.give_back();
        assert_eq!(again.resize(FREE_BYTES + EACH), Ok(()));
        assert_eq!(budget.lock().by_address.len(), 2);
        drop((one, again, other, local));
        assert!(is_empty(&budget));
    }

    #[test]
    fn a_refusal_is_logged_once_until_there_is_room() {
        let budget = budget();
        let mut one = budget.share(address("192.0.2.1"));
        let is_logged = || budget.lock().by_address.values().any(|amount| amount.is_logged);
        one.resize(FREE_BYTES + EACH).unwrap();
        assert!(!is_logged());
        assert!(one.resize(FREE_BYTES + EACH + 1).is_err() && is_logged());
        one.resize(FREE_BYTES + 1).unwrap();
        assert!(is_logged(), "it still takes something");
        one.give_back();
        assert!(is_empty(&budget));
    }
}
