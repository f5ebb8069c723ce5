//! What is mapped into the process, and the private copies that it is mapped from: a library that
//! was mapped stays so unless it could be unmapped, and whoever pays for that should be able to
//! read how much it is.

use std::collections::BTreeMap;

/// Generations, and what their libraries take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Count {
    pub(crate) generations: usize,
    /// Of address space.
    pub(crate) bytes: u64,
    /// Of their private copies, on disk.
    pub(crate) file_bytes: u64,
}

/// What was mapped and what of it has retired.
#[derive(Default)]
pub(crate) struct Footprint {
    mapped: Count,
    /// By the plugin's name.
    retired: BTreeMap<String, Count>,
}

impl Count {
    /// One generation with a library of this size, from a private copy of that.
    pub(crate) const fn one(bytes: u64, file_bytes: u64) -> Self {
        Self { generations: 1, bytes, file_bytes }
    }

    pub(crate) fn add(&mut self, other: Self) {
        self.generations = self.generations.saturating_add(other.generations);
        self.bytes = self.bytes.saturating_add(other.bytes);
        self.file_bytes = self.file_bytes.saturating_add(other.file_bytes);
    }

    pub(crate) fn take(&mut self, other: Self) {
        self.generations = self.generations.saturating_sub(other.generations);
        self.bytes = self.bytes.saturating_sub(other.bytes);
        self.file_bytes = self.file_bytes.saturating_sub(other.file_bytes);
    }
}

impl Footprint {
    /// A library was mapped, whatever became of it then.
    pub(crate) fn map(&mut self, one: Count) {
        self.mapped.add(one);
    }

    /// A generation of this plugin no longer serves.
    pub(crate) fn retire(&mut self, plugin: &str, one: Count) {
        self.retired.entry(plugin.to_owned()).or_default().add(one);
    }

    /// A retired generation's private copy takes that much less.
    pub(crate) fn shrink(&mut self, plugin: &str, file_bytes: u64) {
        self.take(plugin, Count { file_bytes, ..Count::default() });
    }

    /// A retired generation was unmapped, and its private copy removed.
    pub(crate) fn unmap(&mut self, plugin: &str, one: Count) {
        self.take(plugin, one);
    }

    fn take(&mut self, plugin: &str, count: Count) {
        self.mapped.take(count);
        if let Some(retired) = self.retired.get_mut(plugin) {
            retired.take(count);
            if retired.generations == 0 {
                self.retired.remove(plugin);
            }
        }
    }

    /// What is mapped beside what serves: retired generations, and contents that were refused once
    /// mapped.
    pub(crate) fn kept(&self, serving: Count) -> Count {
        let mut kept = self.mapped;
        kept.take(serving);
        kept
    }

    /// Retired generations of one plugin.
    pub(crate) fn kept_of(&self, plugin: &str) -> Count {
        self.retired.get(plugin).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_unmapped_is_kept() {
        let mut footprint = Footprint::default();
        let one = |bytes| Count::one(bytes, bytes * 100);
        for bytes in [10, 20, 30] {
            footprint.map(one(bytes));
        }
        assert_eq!(footprint.kept(one(30)), Count { generations: 2, bytes: 30, file_bytes: 3_000 });
        footprint.retire("p", one(10));
        assert_eq!(footprint.kept_of("p"), one(10));
        footprint.shrink("p", 700);
        assert_eq!(footprint.kept_of("p"), Count::one(10, 300));
        assert_eq!(footprint.kept(one(30)), Count { generations: 2, bytes: 30, file_bytes: 2_300 });
        footprint.unmap("p", Count::one(10, 300));
        assert_eq!(footprint.kept_of("p"), Count::default());
        assert_eq!(footprint.kept(one(30)), one(20));
    }
}
