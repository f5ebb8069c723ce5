//! The id of a job in the pool. An id whose job has ended names no other job.

/// One job of the pool, from its arrival to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct JobId {
    key: u32,
    number: u32,
}

impl JobId {
    /// Slab keys stay far below 2^32: each is of a job in memory.
    #[allow(clippy::cast_possible_truncation, reason = "see above")]
    pub(super) const fn new(key: usize, number: u32) -> Self {
        Self { key: key as u32, number }
    }

    pub(super) const fn key(self) -> usize {
        self.key as usize
    }

    pub(super) const fn number(self) -> u32 {
        self.number
    }

    /// As one number.
    pub(super) fn to_bits(self) -> u64 {
        u64::from(self.key) << 32 | u64::from(self.number)
    }

    /// From the number of [`JobId::to_bits`].
    #[allow(clippy::cast_possible_truncation, reason = "each half is taken by itself")]
    pub(super) const fn from_bits(bits: u64) -> Self {
        Self { key: (bits >> 32) as u32, number: bits as u32 }
    }
}
