//! From a settled file to a serving generation and out again.
//!
//! `loader` is the loop and owns the parts. `looks` sees files, `trials` has contents tried, and
//! `admission` decides which of them serve. `exclusive` replaces plugins that may not live twice,
//! `retirement` ends replaced generations, and `reloads` answers operators.
//!
//! A part owns its fields, takes the `slots` and the `context`, and returns each `action` that is
//! not its own to do. Only `loader` imports parts.

mod action;
mod admission;
mod alive;
mod context;
mod create;
pub(crate) mod events;
mod exclusive;
mod generation;
mod handover;
pub(crate) mod loader;
mod looks;
mod pauses;
pub(crate) mod published;
mod quarantine;
mod reloads;
mod retirement;
mod slot;
mod slots;
pub(crate) mod stall_watch;
pub(crate) mod status;
mod trials;
