//! Client addresses as limits count them.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

/// One client, as far as its address tells: an IPv4 address, or the /64 of an IPv6 address.
///
/// A provider gives each IPv6 customer a /64 or more, so a limit on single IPv6 addresses stops
/// nobody. An IPv4 address written in IPv6 (`::ffff:192.0.2.1`) is that IPv4 address. Every limit
/// and every count per address uses this type as its key. Rules of access do not: they match
/// whole addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ClientNetwork(IpAddr);

/// Bits of an IPv6 address that the customer assigns.
const HOST_BITS: u32 = 64;

impl From<IpAddr> for ClientNetwork {
    fn from(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V6(v6) => {
                IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() >> HOST_BITS << HOST_BITS))
            }
            v4 @ IpAddr::V4(_) => v4,
        })
    }
}

/// `192.0.2.1`, or `2001:db8::/64`.
impl fmt::Display for ClientNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            IpAddr::V4(v4) => write!(f, "{v4}"),
            IpAddr::V6(v6) => write!(f, "{v6}/{HOST_BITS}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv4_address_and_a_64_of_ipv6_count_as_one() {
        for (address, counted) in [
            ("192.0.2.1", "192.0.2.1"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
            ("2001:db8::1", "2001:db8::/64"),
            ("2001:db8::ffff:ffff:ffff:ffff", "2001:db8::/64"),
            ("2001:db8:0:1::1", "2001:db8:0:1::/64"),
            ("::1", "::/64"),
        ] {
            let network = ClientNetwork::from(address.parse::<IpAddr>().unwrap());
            assert_eq!(network.to_string(), counted, "{address}");
        }
    }
}
