//! Inspects one plugin file without serving it, for `hotcall check`: the same steps, reported one
//! by one.

use crate::plugin::config::Config;
use crate::plugin::directory::store::Store;
use crate::plugin::directory::{content, listing, permissions};
use crate::plugin::error::Error;
use crate::plugin::instance::candidate::{Copied, Step};
use crate::plugin::probe::trial;
use crate::plugin::refusal::Refusal;
use crate::registry::MethodInfo;
use crate::xmlrpc::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// What was found in one file.
#[derive(Clone, Debug)]
pub struct Report {
    /// The file.
    pub file: PathBuf,
    /// The steps that it passed, in order; all of [`STEPS`] when it can be served.
    pub passed: Vec<&'static str>,
    /// Those of them that did nothing, because the configuration turns them off.
    pub off: Vec<&'static str>,
    /// Why the step after those refused it.
    pub refusal: Option<String>,
    /// Its content, in hexadecimal; known after it was read. What a pin names.
    pub sha256: Option<String>,
    /// The ABI it was built for: major, minor. Known after the table was read.
    pub abi: Option<(u32, u32)>,
    /// The plugin's name and version. Known after the table was read.
    pub plugin: Option<(String, String)>,
    /// What it says that it is for. Known after the table was read, if it says so.
    pub description: Option<String>,
    /// Its methods.
    pub methods: Vec<Arc<MethodInfo>>,
    /// What does not hinder serving it.
    pub warnings: Vec<String>,
}

/// All steps in order, by the names that a [`Report`] uses.
pub const STEPS: [&str; 10] =
    ["permissions", "read", "trust", "elf", "copy", "probe", "load", "table", "create", "destroy"];

/// Takes each file through the steps on this thread, as a server with this configuration would.
/// Plugins' data directories are scratch ones, and the configured plugins directory is not looked
/// at.
///
/// # Errors
/// The state directory cannot be used. A refused file is not an error but a [`Report`].
pub fn inspect(files: &[PathBuf], config: &Config) -> Result<Vec<Report>, Error> {
    let store = Store::open(&config.state_dir, config.keys.checks_permissions())?;
    let one = |(number, file): (u64, &PathBuf)| {
        let mut report = Report::new(file);
        if let Err(refusal) = report.fill(&store, number, config) {
            report.refusal = Some(refusal.to_string());
        }
        report
    };
    Ok((1..).zip(files).map(one).collect())
}

impl Report {
    /// Whether it passed every step.
    pub const fn is_passed(&self) -> bool {
        self.refusal.is_none()
    }

    fn new(file: &Path) -> Self {
        Self {
            file: file.to_owned(),
            passed: Vec::new(),
            off: Vec::new(),
            sha256: None,
            refusal: None,
            abi: None,
            plugin: None,
            description: None,
            methods: Vec::new(),
            warnings: Vec::new(),
        }
    }

    fn fill(&mut self, store: &Store, number: u64, config: &Config) -> Result<(), Refusal> {
        let is_off = [
            (Step::Permissions, !config.keys.checks_permissions()),
            (Step::Trust, config.trust.is_open()),
            (Step::Probe, !config.keys.probe),
        ];
        self.off.extend(
            is_off.into_iter().filter(|(_, is_off)| *is_off).map(|(step, _)| step_name(&step)),
        );
        let limits = &config.limits;
        listing::check_name(self.file.file_name().unwrap_or_default())?;
        let file = permissions::open(&self.file, config.policy())?;
        self.passed.push(step_name(&Step::Permissions));
        let content = content::read_open(&file, limits.plugin_bytes_max)?;
        self.sha256 = Some(content.hash.hex());
        self.passed.push(step_name(&Step::Read));
        let passed = &mut |step| self.passed.push(step_name(&step));
        let copied = Copied::new(store, number, &self.file, &content, config, passed)?;
        let (copied, warnings) = tried(copied, store, config)?;
        passed(Step::Probe);
        let mut candidate = copied.load(warnings, limits, passed)?;
        let options = config.options.get(&candidate.descriptor.name);
        candidate.warn_of_database(options.and_then(|options| options.reload));
        let descriptor = &candidate.descriptor;
        self.abi = Some(candidate.abi);
        self.plugin = Some((descriptor.name.clone(), descriptor.version.clone()));
        self.description = descriptor.description();
        self.methods.clone_from(&descriptor.methods);
        self.warnings.clone_from(&candidate.warnings);

        let settings = config.settings.get(&descriptor.name).cloned();
        let settings = settings.unwrap_or_else(|| Value::Struct(Vec::new()));
        let directory = store.scratch_data_directory(&descriptor.name)?;
        let (_, live, mut ending) = candidate.create(&directory, settings, limits)?;
        self.passed.push(step_name(&Step::Create));

        // This thread is the loader here, and nobody ever called the plugin.
        drop(live);
        ending.quiesce();
        ending.destroy();
        self.passed.push(step_name(&Step::Destroy));
        Ok(())
    }
}

/// Has a child process try the copy, unless that is turned off, and waits for it.
///
/// # Errors
/// The child process refused it. The copy is gone then.
fn tried(copied: Copied, store: &Store, config: &Config) -> Result<(Copied, Vec<String>), Refusal> {
    if !config.keys.probe {
        return Ok((copied, Vec::new()));
    }
    let outcome = store.scratch(copied.id).and_then(|scratch| {
        let (living, is_cancelled) = (BTreeMap::new(), AtomicBool::new(false));
        trial::run(&copied.path, scratch.path(), config, &living, &is_cancelled).outcome
    });
    match outcome {
        Ok(warnings) => Ok((copied, warnings)),
        Err(refusal) => {
            copied.discard();
            Err(refusal)
        }
    }
}

const fn step_name(step: &Step) -> &'static str {
    match step {
        Step::Permissions => "permissions",
        Step::Read => "read",
        Step::Trust => "trust",
        Step::Elf => "elf",
        Step::Copy => "copy",
        Step::Probe => "probe",
        Step::Load(_) => "load",
        Step::Table => "table",
        Step::Create => "create",
        Step::Destroy => "destroy",
    }
}
