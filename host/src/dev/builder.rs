//! The loop of `hotcall dev`: look at all folders, build what changed, wait.

use super::build;
use super::child::Children;
use super::error::{BuildError, Error};
use super::project::{self, Kind};
use super::sources::Sources;
use super::watch::Watcher;
use crossbeam_channel::{Receiver, select};
use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::fs::{self, DirBuilder, File, TryLockError};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long sources must be left alone before they are built.
const QUIET: Duration = Duration::from_millis(100);
/// After this they are built even if they change on.
const QUIET_WAIT_MAX: Duration = Duration::from_secs(2);
/// How often to look without a hint: some file systems send none.
const RESCAN: Duration = Duration::from_secs(2);

/// What to build, and to where.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where plugins are looked for.
    pub dirs: Vec<PathBuf>,
    /// Where built plugins are installed. It belongs to the builder: other plugin files in it are
    /// removed.
    pub output: PathBuf,
    /// Build crates with optimisation.
    pub release: bool,
}

/// All plugins and what is known of them.
pub(super) struct Builder {
    options: Options,
    /// Held, so that no other process takes this one's plugins for strangers.
    _lock: File,
    children: Arc<Children>,
    watcher: Watcher,
    plugins: BTreeMap<PathBuf, Plugin>,
    /// What could not be looked at this time and the last time, so that the log has it once.
    complaints: BTreeSet<String>,
    complaints_before: BTreeSet<String>,
}

/// A folder that may hold a plugin.
#[derive(Default)]
struct Plugin {
    /// As they were when the last build began.
    sources: Option<Sources>,
    /// The file in the output directory that is this plugin's.
    file: Option<String>,
}

impl Builder {
    pub(super) fn new(mut options: Options, children: Arc<Children>) -> Result<Self, Error> {
        for dir in &mut options.dirs {
            fs::read_dir(&dir).map_err(|error| Error::Directory(dir.clone(), error))?;
            *dir = fs::canonicalize(&dir).map_err(|error| Error::Directory(dir.clone(), error))?;
        }
        let output = &mut options.output;
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&output)
            .map_err(|error| Error::Output(output.clone(), error))?;
        // make runs in another directory.
        *output =
            fs::canonicalize(&output).map_err(|error| Error::Output(output.clone(), error))?;
        let lock = lock(output)?;
        let watcher = Watcher::new();
        let (complaints, complaints_before) = Default::default();
        Ok(Self {
            options,
            _lock: lock,
            children,
            watcher,
            plugins: BTreeMap::new(),
            complaints,
            complaints_before,
        })
    }

    /// Builds everything, and removes what an earlier session left of plugins that are no more.
    pub(super) fn build_first(&mut self) {
        self.look();
        if self.plugins.values().all(|plugin| plugin.file.is_none()) {
            log::warn!(
                "no plugin found in {:?}; one that appears there is built",
                self.options.dirs
            );
        }
        if let Err(error) = self.remove_strangers() {
            log::warn!("cannot clean {}: {error}", self.options.output.display());
        }
    }

    /// Builds what changes until `stopped` is disconnected.
    pub(super) fn run(&mut self, stopped: &Receiver<Infallible>) {
        while wait(stopped, self.watcher.hints()) {
            self.look();
        }
    }

    /// Looks at every folder and builds those whose sources are not as the last build found them.
    fn look(&mut self) {
        self.complaints_before = std::mem::take(&mut self.complaints);
        self.watcher.refresh();
        self.watcher.watch(&self.options.dirs);
        let found = match project::candidates(&self.options.dirs) {
            Ok(found) => found,
            Err(error) => return self.complain(format!("cannot look for plugins: {error}")),
        };
        let gone: Vec<_> =
            self.plugins.keys().filter(|folder| !found.contains(*folder)).cloned().collect();
        for folder in &gone {
            self.forget(folder);
        }
        for folder in found {
            match self.scan(&folder) {
                Ok(sources) => {
                    let plugin = self.plugins.entry(folder.clone()).or_default();
                    if plugin.sources.as_ref() != Some(&sources) {
                        plugin.sources = Some(sources);
                        self.build_and_report(&folder);
                    }
                }
                // Removed since it was found: the next look forgets it.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => {
                    let folder = folder.display();
                    self.complain(format!(
                        "cannot read the sources in {folder}: {error}; it is not built"
                    ));
                }
            }
        }
    }

    fn scan(&mut self, folder: &Path) -> io::Result<Sources> {
        let sources = Sources::scan(folder)?;
        // A change before the watch began would have sent no hint.
        if self.watcher.watch(sources.folders()) { Sources::scan(folder) } else { Ok(sources) }
    }

    fn build_and_report(&mut self, folder: &Path) {
        let started = Instant::now();
        match self.build(folder) {
            Ok(Some(file)) => {
                log::info!(
                    "{}: installed {file} after {:.1?}",
                    folder.display(),
                    started.elapsed()
                );
            }
            Ok(None) => log::debug!("{}: nothing to install", folder.display()),
            Err(BuildError::Ended) => {}
            Err(error) => {
                log::error!("{}: {error}. What was installed before stays", folder.display())
            }
        }
    }

    /// Builds and installs; gives the file's name when it is another file than before.
    fn build(&mut self, folder: &Path) -> Result<Option<String>, BuildError> {
        let kind = project::identify(folder, &self.children)?;
        let file = match &kind {
            Kind::Crate(file) | Kind::Make(file) => Some(file.clone()),
            Kind::NoPlugin => None,
        };
        if let Some(file) = &file {
            self.claim(folder, file)?;
        }
        let Options { output, release, .. } = &self.options;
        let built = build::build(folder, &kind, output, *release, &self.children)?;

        let before = self
            .plugins
            .get_mut(folder)
            .and_then(|plugin| std::mem::replace(&mut plugin.file, file.clone()));
        if let Some(before) = before.filter(|before| Some(before) != file.as_ref()) {
            // First, because a server refuses a second plugin with the same methods.
            self.remove(&before);
        }
        let (Some(built), Some(file)) = (built, file) else { return Ok(None) };
        let new = build::install(&built, &self.options.output.join(&file))?;
        Ok(new.then_some(file))
    }

    /// Makes sure that no other plugin has this file; one that has none yet gets it.
    fn claim(&mut self, folder: &Path, file: &str) -> Result<(), BuildError> {
        let taken = |(other, plugin): &(&PathBuf, &Plugin)| {
            *other != folder && plugin.file.as_deref() == Some(file)
        };
        if let Some((other, _)) = self.plugins.iter().find(taken) {
            return Err(BuildError::Taken(file.to_owned(), other.clone()));
        }
        if let Some(plugin) = self.plugins.get_mut(folder) {
            plugin.file.get_or_insert_with(|| file.to_owned());
        }
        Ok(())
    }

    /// Drops a plugin whose folder is gone, and its file with it.
    fn forget(&mut self, folder: &Path) {
        let Some(file) = self.plugins.remove(folder).and_then(|plugin| plugin.file) else { return };
        self.remove(&file);
        log::info!("{}: gone; removed {file}", folder.display());
        // One that was refused because this one had its name gets another chance.
        for plugin in self.plugins.values_mut().filter(|plugin| plugin.file.is_none()) {
            plugin.sources = None;
        }
    }

    fn remove_strangers(&self) -> io::Result<()> {
        for entry in fs::read_dir(&self.options.output)? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let known = self.plugins.values().any(|plugin| plugin.file.as_deref() == Some(&*name));
            if name.ends_with(".so") && !known {
                fs::remove_file(&path)?;
                log::info!("removed {}: no plugin is built to it any more", path.display());
            }
        }
        Ok(())
    }

    fn remove(&self, file: &str) {
        let path = self.options.output.join(file);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                log::error!("cannot remove {}: {error}; remove it by hand", path.display());
            }
            _ => {}
        }
    }

    fn complain(&mut self, complaint: String) {
        if !self.complaints_before.contains(&complaint) {
            log::error!("{complaint}");
        }
        self.complaints.insert(complaint);
    }
}

/// Waits for a change that has come to rest, or the next periodic look. False when it is time to
/// stop.
fn wait(stopped: &Receiver<Infallible>, hints: &Receiver<()>) -> bool {
    select! {
        recv(stopped) -> _ => return false,
        recv(hints) -> _ => {}
        default(RESCAN) => return true,
    }
    let latest = Instant::now() + QUIET_WAIT_MAX;
    while Instant::now() < latest {
        select! {
            recv(stopped) -> _ => return false,
            recv(hints) -> _ => {}
            default(QUIET) => return true,
        }
    }
    true
}

fn lock(output: &Path) -> Result<File, Error> {
    let failed = |error| Error::Output(output.to_owned(), error);
    let file = File::create(output.join(".lock")).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Error::Busy(output.to_owned())),
        Err(TryLockError::Error(error)) => Err(failed(error)),
    }
}
