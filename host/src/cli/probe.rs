//! The hidden commands by which a server tries a plugin in a child process. Not meant for users:
//! see `plugin::probe`.

use super::output::Failure;
use crate::plugin::probe::{child, guard};
use clap::Args;
use std::path::PathBuf;

/// Loads a plugin's private copy, makes an instance and destroys it
#[derive(Args, Clone, Debug)]
pub(super) struct ProbeArgs {
    /// The private copy
    copy: PathBuf,
    /// The plugin's data directory for this trial
    data_directory: PathBuf,
    /// All limits, as JSON
    limits: String,
}

/// Tries the plugin. What is found goes to standard output.
///
/// # Errors
/// Nothing could be tried or told.
pub(super) fn run(args: &ProbeArgs) -> Result<(), Failure> {
    let limits = serde_json::from_str(&args.limits).map_err(Failure::new)?;
    child::run(&args.copy, &args.data_directory, &limits).map_err(Failure::new)
}

/// Ends what a probe has started, when the server has ended.
///
/// # Errors
/// It was started by somebody else than a server.
pub(super) fn guard() -> Result<(), Failure> {
    guard::run().map_err(Failure::new)
}
