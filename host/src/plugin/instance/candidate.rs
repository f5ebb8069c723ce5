//! The steps from a file's bytes to an instance, in order. Serving a file and `hotcall check` both
//! take them.

use super::host_table::HostMemory;
use super::live::{Ending, Live, log_target};
use crate::limits::Limits;
use crate::plugin::clock::later;
use crate::plugin::config::{Config, ReloadMode};
use crate::plugin::directory::content::{Content, ContentHash};
use crate::plugin::directory::store::Store;
use crate::plugin::library::database;
use crate::plugin::library::descriptor::Descriptor;
use crate::plugin::library::elf::{self, Facts};
use crate::plugin::library::image::{self, Image, Mapped};
use crate::plugin::library::table::Table;
use crate::plugin::refusal::Refusal;
use crate::registry::CallContext;
use crate::xmlrpc::Value;
use hotcall_plugin::abi;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

/// A step that a file has passed.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// Nobody else could have changed the file.
    Permissions,
    /// The file was read whole.
    Read,
    /// The content may be loaded.
    Trust,
    /// Bounds, machine and note are right; no code has run.
    Elf,
    /// A private copy was made.
    Copy,
    /// A child process has loaded, created and destroyed it.
    Probe,
    /// The copy is mapped and its constructors have run.
    Load(Arc<Image>),
    /// The table keeps the ABI's rules.
    Table,
    /// An instance was made.
    Create,
    /// The instance was destroyed.
    Destroy,
}

/// A plugin that is mapped and checked, and has no instance yet.
#[derive(Clone)]
pub(crate) struct Candidate {
    pub(crate) id: u64,
    pub(crate) hash: ContentHash,
    pub(crate) descriptor: Descriptor,
    pub(crate) abi: (u32, u32),
    pub(crate) warnings: Vec<String>,
    database: Option<&'static str>,
    table: Table,
}

/// A content that has its private copy, of which no code has run.
pub(crate) struct Copied {
    pub(crate) id: u64,
    pub(crate) hash: ContentHash,
    pub(crate) path: PathBuf,
    facts: Facts,
}

impl Copied {
    /// Takes the bytes of the settled `file` as far as a private copy. None of its code runs.
    ///
    /// # Errors
    /// The step after the last one told to `passed` refused it.
    pub(crate) fn new(
        store: &Store,
        id: u64,
        file: &Path,
        content: &Content,
        config: &Config,
        passed: &mut dyn FnMut(Step),
    ) -> Result<Self, Refusal> {
        config.trust.check(file, content, config.keys.follow_symlinks)?;
        passed(Step::Trust);
        let facts = elf::read(&content.bytes)?;
        passed(Step::Elf);
        let path = store.copy(id, &content.hash, &content.bytes)?;
        passed(Step::Copy);
        Ok(Self { id, hash: content.hash, path, facts })
    }

    /// Maps the copy and checks its table. Loader thread only: the library's constructors run.
    ///
    /// # Errors
    /// The step after the last one told to `passed` refused it.
    pub(crate) fn load(
        self,
        warnings: Vec<String>,
        limits: &Limits,
        passed: &mut dyn FnMut(Step),
    ) -> Result<Candidate, Refusal> {
        let mapped = match image::map(&self.path, &self.facts) {
            Ok(mapped) => mapped,
            Err(refusal) => {
                self.discard();
                return Err(refusal);
            }
        };
        passed(Step::Load(mapped.image()));
        let mut candidate = Candidate::new(&mapped, self.id, self.hash, self.facts, limits)?;
        candidate.warnings.extend(warnings);
        passed(Step::Table);
        Ok(candidate)
    }

    /// Removes the copy, which nothing maps. Where that fails, it goes with the server.
    pub(crate) fn discard(self) {
        if let Err(error) = fs::remove_file(&self.path) {
            log::debug!("cannot remove {}: {error}", self.path.display());
        }
    }
}

impl Candidate {
    /// Checks the table of a library that is mapped.
    ///
    /// # Errors
    /// The first rule that it breaks.
    pub(crate) fn new(
        mapped: &Mapped,
        id: u64,
        hash: ContentHash,
        facts: Facts,
        limits: &Limits,
    ) -> Result<Self, Refusal> {
        let (descriptor, table) = mapped.check(limits.plugin_methods_max)?;
        let Facts { abi, warnings, database, .. } = facts;
        Ok(Self { id, hash, descriptor, abi, warnings, database, table })
    }

    /// Whether it declares that it leaves nothing behind.
    pub(crate) const fn leaves_nothing(&self) -> bool {
        self.table.leaves_nothing
    }

    /// Whether it declares that no two of its instances may live at the same time.
    pub(crate) const fn is_exclusive(&self) -> bool {
        self.table.is_exclusive
    }

    /// Warns of an embedded database, where two versions could use it at once.
    pub(crate) fn warn_of_database(&mut self, reload: Option<ReloadMode>) {
        let is_exclusive = reload.map_or(self.is_exclusive(), |mode| mode == ReloadMode::Exclusive);
        if let Some(database) = self.database.take().filter(|_| !is_exclusive) {
            self.warnings.push(database::warning(database, &self.descriptor.name));
        }
    }

    /// The code of an instance that was destroyed, for another one.
    pub(crate) fn again(
        id: u64,
        hash: ContentHash,
        descriptor: Descriptor,
        warnings: Vec<String>,
        table: Table,
    ) -> Self {
        let abi = (abi::ABI_MAJOR, abi::ABI_MINOR);
        Self { id, hash, descriptor, abi, warnings, database: None, table }
    }

    /// Where its private copy is.
    pub(crate) fn copy(&self) -> &Path {
        self.table.image.copy()
    }

    /// Makes the instance. Loader thread only.
    ///
    /// # Errors
    /// `create` failed or panicked.
    pub(crate) fn create(
        self,
        data_directory: &Path,
        config: Value,
        limits: &Limits,
    ) -> Result<(Descriptor, Live, Ending), Refusal> {
        let Some(data_directory) = data_directory.to_str() else {
            return Err(Refusal::Create("the state directory's path is not UTF-8".into()));
        };
        let name = &self.descriptor.name;
        let (memory, host) = HostMemory::new(&log_target(name), data_directory, config)
            .map_err(|_| Refusal::Create("there is no memory for its configuration".into()))?;
        // Also when `create` fails: its threads may be there nevertheless.
        let bytes = memory.bytes();
        self.table.image.keep(Box::new(memory), bytes);
        let context =
            CallContext::of_the_server("create", later(Instant::now(), limits.call_max()));
        let (live, ending) = Live::create(self.table, name, host, &context, limits)?;
        Ok((self.descriptor, live, ending))
    }
}
