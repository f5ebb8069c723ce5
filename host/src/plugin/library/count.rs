//! Numbers of generations, and what their libraries take.

/// Generations, and what their libraries take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Count {
    pub(crate) generations: usize,
    /// Of address space.
    pub(crate) bytes: u64,
    /// Of their private copies, on disk.
    pub(crate) file_bytes: u64,
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
