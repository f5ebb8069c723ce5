//! Who may call: from what is known of a request's sender to a permission or a refusal.
//!
//! [`Access`] decides by a [`Policy`], which is what an operator chose in [`Settings`]. `site` is
//! about hosts and browsers; `basic` takes names and passwords, which `verify` verifies against
//! `users`, as often as `throttle` lets; `failures` logs those that are wrong; `rules` say who may
//! call what. Knows no sockets, no XML and no dispatch: it judges a request's
//! [`Head`](crate::request::Head) and its [`Peer`](crate::request::Peer).

mod basic;
mod failures;
mod policy;
mod refusal;
mod rules;
mod settings;
mod site;
#[cfg(test)]
mod tests;
mod throttle;
pub mod users;
mod verify;

pub use policy::{Access, Caller, Policy};
pub use refusal::Refusal;
pub use rules::{Permit, RuleKeys};
pub use settings::Settings;
