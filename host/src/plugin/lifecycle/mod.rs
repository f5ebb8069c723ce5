//! From a settled file to a serving generation and out again. `loader` is the loop; only it
//! imports the parts.

mod action;
pub(crate) mod admission;
mod alive;
mod context;
mod create;
pub(crate) mod events;
pub(crate) mod exclusive;
pub(crate) mod generation;
pub(crate) mod handover;
pub(crate) mod loader;
mod looks;
pub(crate) mod pauses;
pub(crate) mod published;
pub(crate) mod quarantine;
pub(crate) mod reloads;
pub(crate) mod retirement;
mod slot;
mod slots;
pub(crate) mod stall_watch;
pub(crate) mod status;
pub(crate) mod trials;
