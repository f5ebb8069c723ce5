//! Who may call: a request's sender gets a permission or a refusal.
//!
//! [`Access`] decides by a [`Policy`], which an operator chooses in [`Settings`]. `site` is about
//! hosts and browsers. `basic` reads names and passwords, which `verify` checks against `users`.
//! `throttle` limits the tries, and `failures` logs wrong ones. `rules` say who may call what.
//!
//! Knows no sockets, no XML and no dispatch: it judges a request's [`Head`](crate::request::Head)
//! and its [`Peer`](crate::request::Peer). So a table of cases can test every decision.

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
pub(crate) use settings::access_keys;
pub use settings::{AccessKeys, Settings};
