//! A trial run of a plugin in a child process, before its code comes into this one.
//!
//! Reading a file cannot tell that its constructors abort, that its `create` hangs, or that half of
//! it is zeros: each of these would take the server along. So the same program is started once
//! more, with nothing of this process but its program file, three pipes and a few variables, and
//! there the private copy is loaded, created and destroyed. What kills or stops the child is a
//! refusal that names the step. All that the plugin starts there ends with the trial, and with the
//! server, however that ends: see `guard`. Knows processes and pipes, and no ABI: that is the
//! child's.
//!
//! Deliberately absent: a sandbox. Plugins are trusted code; the probe is against mistakes. It runs
//! `create` once more than the server does, with a scratch data directory and `HOTCALL_PROBE=1` in
//! the environment.

pub mod child;
pub mod guard;
mod inherited;
mod line;
mod settings;
pub(crate) mod trial;
pub(crate) mod verdict;

pub use trial::{COMMAND, this_program};
