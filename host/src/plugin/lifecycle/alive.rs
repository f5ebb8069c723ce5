//! Every instance from its `create` to the return of its `destroy`, whatever ends it. Must not
//! know slots.
//!
//! This list keeps two instances of an exclusive plugin from meeting. It covers every way: removal
//! and return, renamed files, a second file, changes of configuration or mode.

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
        self.0
            .iter()
            .filter(move |(_, living)| living.plugin == plugin)
            .map(|(id, living)| (*id, living))
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
