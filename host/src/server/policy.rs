//! Who may call, by the options.

use super::error::Error;
use super::options::Options;
use crate::access::Policy;
use crate::net::Bind;

/// Decides who may call. Nobody serves the whole network by mistake.
pub(super) fn policy(options: &Options) -> Result<Policy, Error> {
    let open = options.listeners().find_map(|bind| match bind {
        Bind::Https(address) | Bind::Http(address) => {
            (!address.ip().to_canonical().is_loopback()).then_some(address)
        }
        Bind::Unix(_) => None,
    });
    match open {
        Some(address) if !options.access.settles_who_may_call() => Err(Error::Options(format!(
            "whoever reaches {address} could call every method: name a users file in the config file with users = \"FILE\" \
             (hotcall passwd FILE NAME makes one), ask for certificates with client_ca = \"FILE\", or let all in with \
             allow_anonymous = true"
        ))),
        _ => Policy::new(&options.access).map_err(Error::Options),
    }
}
