//! How many connections there may be, in all and from one address. Knows no sockets.
//!
//! The limit of open files counts too: connections get what it leaves, minus a few descriptors for
//! the server itself.

use crate::address::ClientNetwork;
use crate::limits::Limits;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Who is there.
pub(crate) struct ConnectionLimits {
    connections_max: usize,
    per_address_max: usize,
    taken: Mutex<Taken>,
}

#[derive(Default)]
struct Taken {
    count: usize,
    by_address: HashMap<ClientNetwork, usize>,
}

/// A connection's place, until it is dropped.
pub(crate) struct ConnectionSlot {
    slots: Arc<ConnectionLimits>,
    address: Option<ClientNetwork>,
}

impl ConnectionLimits {
    /// As many as the limits say, or as the process may have descriptors.
    pub(crate) fn new(limits: &Limits, descriptors_max: usize) -> Self {
        Self {
            connections_max: limits.connections_max.min(descriptors_max),
            per_address_max: limits.connections_per_address_max,
            taken: Mutex::default(),
        }
    }

    /// Takes a place for one more connection.
    ///
    /// # Errors
    /// The limit that is reached.
    pub(crate) fn take(
        self: &Arc<Self>,
        address: Option<IpAddr>,
    ) -> Result<ConnectionSlot, &'static str> {
        let address = address.map(ClientNetwork::from);
        let mut taken = self.lock();
        if taken.count >= self.connections_max {
            return Err(
                "connections_max, or what the limit of open files leaves of it, is reached",
            );
        }
        if let Some(address) = address {
            let count = taken.by_address.entry(address).or_insert(0);
            if *count >= self.per_address_max {
                return Err(
                    "connections_per_address_max is reached (an IPv6 /64 counts as one address)",
                );
            }
            *count += 1;
        }
        taken.count += 1;
        drop(taken);
        Ok(ConnectionSlot { slots: Arc::clone(self), address })
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        // Nothing panics under the lock, so a poisoned count is right.
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        let mut taken = self.slots.lock();
        taken.count -= 1;
        if let Some(address) = self.address
            && let Some(count) = taken.by_address.get_mut(&address)
        {
            *count -= 1;
            if *count == 0 {
                taken.by_address.remove(&address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_limited_in_all_and_for_each_address() {
        let limits =
            Limits { connections_max: 3, connections_per_address_max: 2, ..Limits::default() };
        let slots = Arc::new(ConnectionLimits::new(&limits, 100));
        let address = |last: u8| Some(IpAddr::from([127, 0, 0, last]));
        let first = slots.take(address(1)).unwrap();
        let _second = slots.take(address(1)).unwrap();
        assert!(slots.take(address(1)).is_err_and(|why| why.contains("per_address")));
        let third = slots.take(address(2)).unwrap();
        assert!(slots.take(None).is_err_and(|why| why.contains("connections_max")));
        drop(third);
        let _unnamed = slots.take(None).unwrap();
        drop(first);
        assert!(slots.take(address(1)).is_ok());
        assert_eq!(ConnectionLimits::new(&limits, 1).connections_max, 1);
    }

    #[test]
    fn a_64_of_ipv6_has_the_places_of_one_address() {
        let limits = Limits { connections_per_address_max: 2, ..Limits::default() };
        let slots = Arc::new(ConnectionLimits::new(&limits, 100));
        let take = |address: &str| slots.take(Some(address.parse().unwrap()));
        let first = take("2001:db8::1").unwrap();
        let _second = take("2001:db8::2").unwrap();
        assert!(
            take("2001:db8::ffff:ffff:ffff:ffff").is_err_and(|why| why.contains("per_address"))
        );
        let _neighbour = take("2001:db8:0:1::1").unwrap();
        let _v4 = take("192.0.2.1").unwrap();
        let _mapped = take("::ffff:192.0.2.1").unwrap();
        assert!(take("192.0.2.1").is_err());
        assert!(take("::ffff:192.0.2.2").is_ok(), "not one /64 for all of IPv4");
        drop(first);
        assert!(take("2001:db8::3").is_ok());
        assert_eq!(slots.lock().by_address.len(), 3, "no count stays behind at 0");
    }
}
