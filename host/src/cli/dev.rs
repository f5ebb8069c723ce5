//! `hotcall dev`: builds plugin sources, serves them, and rebuilds what changes.

use super::logger;
use super::output::Failure;
use super::serve::{CommonArgs, tell_what_is_off, until_signal};
use super::signals::Kept;
use crate::config::Config;
use crate::dev::{self, Interrupt};
use crate::plugin;
use crate::server::{Options, Prepared};
use clap::Args;
use sha2::{Digest, Sha256};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

/// Flags of `dev`.
#[derive(Args, Clone, Debug)]
pub(super) struct DevArgs {
    /// Directories with plugin sources: crates with a cdylib, and folders with a Makefile for
    /// plugins in C
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
    let interrupt = Interrupt::default();
    let on_early_end = interrupt.clone();
    let signals = Kept::new()?.hear(move || on_early_end.end())?;
    logger::start()?;
    let config = args.common.config()?;
    logger::limit(&config.limits);
    tell_what_is_off(&config);
    let is_checked = config.check_permissions.unwrap_or(true);
    let first = options(config)?;
    plugin::make_state_dir(&first.state_dir(), is_checked).map_err(Failure::new)?;
    let output = first.state_dir().join("dev-plugins").join(name_of(&args.dirs)?);
    let building =
        dev::Options { dirs: args.dirs.clone(), output: output.clone(), release: args.release };
    let builder = dev::start(building, &interrupt).map_err(Failure::new)?;
    let of_output = |mut options: Options| {
        options.config.plugins_dir = Some(output.clone());
        options
    };
    let prepared = Prepared::new(of_output(first), Vec::new()).map_err(Failure::new)?;
    let served =
        until_signal(&signals, prepared, || Ok(of_output(options(args.common.config()?)?)));
    builder.stop();
    served
}

fn options(mut config: Config) -> Result<Options, Failure> {
    // What it serves it has built itself, in a state directory that is its own, from sources that
    // often lie in directories which a group may write to.
    config.check_permissions.get_or_insert(false);
    // make writes through a descriptor of this process, which the kernel lets other programs reach
    // only if the process is dumpable; and developers may want to debug it.
    config.core_dumps = true;
    if config.user.is_some() || config.group.is_some() {
        return Err(Failure::new(
            "user and group are for hotcall serve: hotcall dev runs as the user who builds",
        ));
    }
    Options::try_from(config).map_err(Failure::new)
}

/// A folder's name for what is built from these directories, so that two projects do not meet in
/// one.
fn name_of(dirs: &[PathBuf]) -> Result<String, Failure> {
    const NAME_BYTES: usize = 8;
    let mut hash = Sha256::new();
    for dir in dirs {
        let found = fs::canonicalize(dir);
        let path = found
            .map_err(|error| Failure::new(format!("cannot read {}: {error}", dir.display())))?;
        hash.update(path.as_os_str().as_bytes());
        hash.update([0]);
    }
    Ok(hash.finalize().iter().take(NAME_BYTES).map(|byte| format!("{byte:02x}")).collect())
}
