//! The plugin life cycle: from a file in the plugins directory to methods in the registry, and out again.
//!
//! ```text
//! hint or periodic look -> permissions -> settled? -> trust -> ELF bounds and note -> private copy
//!   -> probe in a child process -> dlopen -> table -> create -> the old generation's save_state -> load_state
//!   -> ATOMIC SWAP in the registry -> old generation: quiesce, drain, destroy, keep mapped
//! ```
//!
//! Where to begin: `lifecycle` is the loop, `slot` its states, `events` its events; `admit` decides
//! what serves, and `candidate` is the list of steps that a file takes. Below them: `scan` and `watch` see files,
//! `permissions` and `trust` say whose they are, `elf` reads them, `store` copies them, `probe` tries them elsewhere,
//! `library` loads them, `handover` moves their state, `generation` serves them through `boundary`.
//!
//! Invariants
//! - One thread, the loader, runs all of a plugin's code but its methods and its end, which has a thread of its own. It holds
//!   no lock that a call needs.
//! - The registry is all that is written here for others. This module knows no network, no HTTP, no XML.
//! - A failed step changes nothing that serves. No file's code runs before its bytes are checked, and the watched file
//!   itself is never mapped.
//! - Nothing is unmapped, but for a plugin that declares that it leaves nothing behind, when the operator says so.
//! - `unsafe` stands in `library`, `callbacks` and `boundary` only, and in a probe's `inherited`.

pub(crate) mod admin;
pub(crate) mod clock;
pub(crate) mod config;
pub(crate) mod directory;
pub(crate) mod error;
pub(crate) mod handle;
pub(crate) mod instance;
pub(crate) mod library;
pub(crate) mod lifecycle;
pub mod probe;
pub(crate) mod refusal;

pub use admin::control::RELOADS_AWAITED_MAX;
pub use admin::inspect;
pub use config::{Config, PluginOptions, ReloadMode, Unload, Watch};
pub use directory::store::make_state_dir;
pub use directory::trust::Trust;
pub use error::Error;
pub use handle::{Plugins, start};
pub use lifecycle::status::{FileState, PluginStatus};
