//! Every instance that was created and not destroyed, however it ends: this list keeps two
//! instances from meeting that must not. Must not know slots.

use std::collections::BTreeMap;

/// An instance that was created and not destroyed.
pub(super) struct Living {
    pub(super) plugin: String,
    /// It declares that no other may live at the same time.
    pub(super) is_exclusive: bool,
}

/// All of them, by their generations.
#[derive(Default)]
pub(super) struct Alive(BTreeMap<u64, Living>);

impl Alive {
    /// An instance was created.
    pub(super) fn add(&mut self, generation: u64, living: Living) {
        self.0.insert(generation, living);
    }

    /// An instance was destroyed.
    pub(super) fn remove(&mut self, generation: u64) {
        self.0.remove(&generation);
    }

    /// The instances of one plugin, by their generations.
    pub(super) fn of(&self, plugin: &str) -> impl Iterator<Item = (u64, &Living)> {
        self.0.iter().filter(move |(_, living)| living.plugin == plugin).map(|(id, living)| (*id, living))
    }

    /// The plugins that live, by their names, with whether one of their instances declares that no
    /// other may live: the `create` of a trial must not meet it.
    pub(super) fn plugins(&self) -> BTreeMap<String, bool> {
        let mut all = BTreeMap::new();
        for living in self.0.values() {
            *all.entry(living.plugin.clone()).or_default() |= living.is_exclusive;
        }
        all
    }
}
