//! The plugin life cycle: from a file in the plugins directory to methods in the registry, and out
//! again.
//!
//! ```text
//! hint or periodic look -> permissions -> settled? -> trust -> ELF bounds and note
//!   -> private copy -> probe in a child process -> dlopen -> table -> create
//!   -> the old generation's save_state -> load_state -> ATOMIC SWAP in the registry
//!   -> old generation: quiesce, drain, destroy, keep mapped
//! ```
//!
//! A **slot** is a file name in the directory. Its **content** is the file's bytes, known by their
//! hash. A **generation** is a loaded content with its configuration and one instance.
//!
//! Where to begin: `lifecycle/loader` is the loop, `lifecycle/slot` the states of a file, and
//! `instance/candidate` the list of steps that a file takes.
//!
//! | room | is for |
//! |---|---|
//! | `directory` | what lies on disk: the listing, contents, permissions, trust, private copies |
//! | `library` | what is mapped: ELF facts, the exported table, the memory that libraries keep |
//! | `instance` | one created plugin: its calls, what it may ask of the host, its health |
//! | `probe` | a trial of a content in a child process |
//! | `lifecycle` | from a settled file to a serving generation and out again |
//! | `admin` | what operators ask: status, reload, the inspection of a file |
//!
//! Invariants
//! - One thread, the loader, runs all of a plugin's code except its methods and its end, which has
//!   a thread of its own. It holds no lock that a call needs.
//! - The registry is all that is written here for others. This module knows no network, no HTTP,
//!   no XML.
//! - A failed step changes nothing that serves. No file's code runs before its bytes are checked,
//!   and the watched file itself is never mapped.
//! - No library is unmapped, unless the plugin declares that it leaves nothing behind and the
//!   operator allows it.
//! - `unsafe` stands in `library` and `instance`, in a probe's `inherited`, and in `arrival` for
//!   file leases. `host/tests/imports` lists these files.
//! - A room names only rooms above it in the table.

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

pub use admin::inspect;
pub(crate) use config::plugin_keys;
pub use config::{Config, PluginKeys, PluginOptions, ReloadMode, Unload, Watch, queue_rules};
pub use directory::store::make_state_dir;
pub use directory::trust::Trust;
pub use error::Error;
pub use handle::{Plugins, start};
pub use lifecycle::status::{FileState, PluginStatus};
