//! A plugin within this process, as a server has it: for what is measured without a network.

use hotcall::limits::Limits;
use hotcall::plugin::{self, Config, PluginKeys, Plugins, Trust, Watch};
use hotcall::registry::Registry;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A loaded plugin. Dropping it ends the plugin.
pub struct Loaded {
    registry: Arc<Registry>,
    plugins: Option<Plugins>,
    _root: tempfile::TempDir,
}

impl Loaded {
    /// Loads the plugin in a file.
    ///
    /// # Panics
    /// It is not loaded.
    pub fn new(file: &Path) -> Self {
        let root = tempfile::tempdir().expect("a temporary directory");
        let [directory, state_dir] = ["plugins", "state"].map(|name| root.path().join(name));
        fs::create_dir(&directory).expect("a directory");
        fs::copy(file, directory.join("plugin.so")).expect("a copy");
        plugin::make_state_dir(&state_dir, true).expect("a state directory");
        let config = Config {
            directory,
            state_dir,
            watch: Watch::Off,
            settings: BTreeMap::new(),
            options: BTreeMap::new(),
            limits: Limits::default(),
            keys: PluginKeys { probe: false, ..PluginKeys::default() },
            program: PathBuf::new(),
            trust: Trust::new(None, None).expect("no trust is needed"),
        };
        let registry = Arc::<Registry>::default();
        let plugins = plugin::start(config, Arc::clone(&registry)).expect("a loader");
        assert!(registry.snapshot().methods().next().is_some(), "{} is not loaded", file.display());
        Self { registry, plugins: Some(plugins), _root: root }
    }

    /// Its methods.
    pub const fn registry(&self) -> &Arc<Registry> {
        &self.registry
    }
}

impl Drop for Loaded {
    fn drop(&mut self) {
        const END_MAX: Duration = Duration::from_secs(10);
        if let Some(plugins) = self.plugins.take() {
            plugins.stop(Instant::now() + END_MAX);
        }
    }
}
