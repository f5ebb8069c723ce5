//! What is mapped into the process: a library that was mapped stays so unless it could be unmapped, and whoever pays
//! for that should be able to read how much it is.

use std::collections::BTreeMap;

/// Generations, and the address space of their libraries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Count {
    pub(super) generations: usize,
    pub(super) bytes: u64,
}

/// What was mapped and what of it has retired.
#[derive(Default)]
pub(super) struct Ledger {
    mapped: Count,
    /// By the plugin's name.
    retired: BTreeMap<String, Count>,
}

impl Count {
    /// One generation with a library of this size.
    pub(super) const fn one(bytes: u64) -> Self {
        Self { generations: 1, bytes }
    }

    pub(super) fn add(&mut self, other: Self) {
        self.generations = self.generations.saturating_add(other.generations);
        self.bytes = self.bytes.saturating_add(other.bytes);
    }

    pub(super) fn take(&mut self, other: Self) {
        self.generations = self.generations.saturating_sub(other.generations);
        self.bytes = self.bytes.saturating_sub(other.bytes);
    }
}

impl Ledger {
    /// A library was mapped, whatever became of it then.
    pub(super) fn map(&mut self, bytes: u64) {
        self.mapped.add(Count::one(bytes));
    }

    /// A generation of this plugin no longer serves.
    pub(super) fn retire(&mut self, plugin: &str, bytes: u64) {
        self.retired.entry(plugin.to_owned()).or_default().add(Count::one(bytes));
    }

    /// A retired generation was unmapped.
    pub(super) fn unmap(&mut self, plugin: &str, bytes: u64) {
        self.mapped.take(Count::one(bytes));
        if let Some(retired) = self.retired.get_mut(plugin) {
            retired.take(Count::one(bytes));
            if retired.generations == 0 {
                self.retired.remove(plugin);
            }
        }
    }

    /// What is mapped beside what serves: retired generations, and contents that were refused once mapped.
    pub(super) fn kept(&self, serving: Count) -> Count {
        let mut kept = self.mapped;
        kept.take(serving);
        kept
    }

    /// Retired generations of one plugin.
    pub(super) fn kept_of(&self, plugin: &str) -> Count {
        self.retired.get(plugin).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_unmapped_is_kept() {
        let mut ledger = Ledger::default();
        for bytes in [10, 20, 30] {
            ledger.map(bytes);
        }
        assert_eq!(ledger.kept(Count::one(30)), Count { generations: 2, bytes: 30 });
        ledger.retire("p", 10);
        assert_eq!(ledger.kept_of("p"), Count::one(10));
        ledger.unmap("p", 10);
        assert_eq!(ledger.kept_of("p"), Count::default());
        assert_eq!(ledger.kept(Count::one(30)), Count::one(20));
    }
}
