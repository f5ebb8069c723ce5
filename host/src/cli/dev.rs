//! `hotcall dev`: builds plugin sources, serves them, and rebuilds what changes.

use super::Failure;
use super::serve::{CommonArgs, until_signal};
use crate::dev::{self, Options as Building};
use crate::plugin;
use crate::server::Options;
use clap::Args;
use std::path::PathBuf;

/// Flags of `dev`.
#[derive(Args, Clone, Debug)]
pub(super) struct DevArgs {
    /// Directories with plugin sources: crates with a cdylib, and folders with a Makefile for plugins in C
    #[arg(value_name = "DIR", default_value = "plugins")]
    dirs: Vec<PathBuf>,
    /// Build crates with optimisation
    #[arg(long)]
    release: bool,
    #[command(flatten)]
    common: CommonArgs,
}

/// Runs `hotcall dev`.
///
/// # Errors
/// Why building or serving did not start, or that calls were cut off at the end.
pub(super) fn run(args: DevArgs) -> Result<(), Failure> {
    let mut config = args.common.config()?;
    let is_checked = config.check_permissions.unwrap_or(true);
    // What it serves it has built itself, in a state directory that is its own, from sources that often lie in
    // directories which a group may write to.
    config.check_permissions.get_or_insert(false);
    let options = Options::try_from(config).map_err(Failure::new)?;
    plugin::make_state_dir(&options.state_dir, is_checked).map_err(Failure::new)?;
    let output = options.state_dir.join("dev-plugins");
    let building = Building { dirs: args.dirs, output: output.clone(), release: args.release };
    let builder = dev::start(building).map_err(Failure::new)?;
    let served = until_signal(|| {
        let options = Options::try_from(args.common.config()?).map_err(Failure::new)?;
        Ok(Options { plugins_dir: output.clone(), ..options })
    });
    builder.stop();
    served
}
