//! Looking at one plugin file without serving it: the same steps, told one by one. What `hotcall check` prints.

use super::Error;
use super::candidate::{self, Step};
use super::refusal::Refusal;
use super::scan;
use super::store::Store;
use crate::limits::Limits;
use crate::registry::MethodInfo;
use crate::xmlrpc::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What was found in one file.
#[derive(Clone, Debug)]
pub struct Report {
    /// The file.
    pub file: PathBuf,
    /// The steps that it passed, in order; all of [`STEPS`] when it can be served.
    pub passed: Vec<&'static str>,
    /// Why the step after those refused it.
    pub refusal: Option<String>,
    /// The ABI it was built for: major, minor. Known after the table was read.
    pub abi: Option<(u32, u32)>,
    /// The plugin's name and version. Known after the table was read.
    pub plugin: Option<(String, String)>,
    /// Its methods.
    pub methods: Vec<Arc<MethodInfo>>,
    /// What does not hinder serving it.
    pub warnings: Vec<String>,
}

/// All steps in order, by the names that a [`Report`] uses.
pub const STEPS: [&str; 7] = ["read", "elf", "copy", "load", "table", "create", "destroy"];

/// Takes each file through the steps on this thread. Plugins' data directories are scratch ones.
///
/// # Errors
/// The state directory cannot be used. A refused file is not an error but a [`Report`].
pub fn inspect(
    files: &[PathBuf],
    state_dir: &Path,
    settings: &BTreeMap<String, Value>,
    limits: &Limits,
) -> Result<Vec<Report>, Error> {
    let store = Store::open(state_dir)?;
    let one = |(number, file): (u64, &PathBuf)| {
        let mut report = Report::new(file);
        if let Err(refusal) = report.fill(&store, number, settings, limits) {
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
        let (passed, methods, warnings) = (Vec::new(), Vec::new(), Vec::new());
        Self { file: file.to_owned(), passed, refusal: None, abi: None, plugin: None, methods, warnings }
    }

    fn fill(
        &mut self,
        store: &Store,
        number: u64,
        settings: &BTreeMap<String, Value>,
        limits: &Limits,
    ) -> Result<(), Refusal> {
        let content = scan::read(&self.file, limits.plugin_bytes_max)?;
        self.passed.push(step_name(Step::Read));
        let passed = &mut |step| self.passed.push(step_name(step));
        let candidate = candidate::prepare(store, number, &content, limits, passed)?;
        let descriptor = &candidate.descriptor;
        self.abi = Some(candidate.abi);
        self.plugin = Some((descriptor.name.clone(), descriptor.version.clone()));
        self.methods.clone_from(&descriptor.methods);
        self.warnings.clone_from(&candidate.warnings);

        let config = settings.get(&descriptor.name).cloned().unwrap_or_else(|| Value::Struct(Vec::new()));
        let directory = store.scratch_data_directory(&descriptor.name)?;
        let (_, live) = candidate.create(&directory, config, limits)?;
        self.passed.push(step_name(Step::Create));

        // This thread is the loader here, and nobody ever called the plugin.
        live.quiesce();
        live.ending().destroy();
        self.passed.push(step_name(Step::Destroy));
        Ok(())
    }
}

const fn step_name(step: Step) -> &'static str {
    match step {
        Step::Read => "read",
        Step::Elf => "elf",
        Step::Copy => "copy",
        Step::Load { .. } => "load",
        Step::Table => "table",
        Step::Create => "create",
        Step::Destroy => "destroy",
    }
}
