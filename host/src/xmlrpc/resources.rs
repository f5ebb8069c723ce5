//! Time and memory limits for one document. Must not know who sets them, and keeps no clock.
//!
//! Memory is reserved before it is allocated. The deadline and the client's presence are checked
//! at intervals: the fast decoder every 1,024 values, xml-rs every 8 KiB, and the conversion to
//! UTF-8 every 64 Ki characters.

use super::fault::{Fault, code};
use std::cell::Cell;

/// Grants time and memory to the work on one call's documents.
pub trait Resources {
    /// Checks that a client still waits for the result.
    ///
    /// # Errors
    /// [`Stop::Late`] once the deadline has passed or the client has disconnected.
    fn check(&self) -> Result<(), Stop>;

    /// Reserves memory. Called before the memory is allocated.
    ///
    /// # Errors
    /// [`Stop::Crowded`] when there is too little left; nothing is reserved then.
    fn take(&self, bytes: usize) -> Result<(), Stop>;

    /// Returns reserved memory that was freed before the call's end.
    fn give_back(&self, bytes: usize);
}

/// Unlimited resources: only the limits of the document itself apply.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unlimited;

impl Resources for Unlimited {
    fn check(&self) -> Result<(), Stop> {
        Ok(())
    }

    fn take(&self, _: usize) -> Result<(), Stop> {
        Ok(())
    }

    fn give_back(&self, _: usize) {}
}

/// Why work on a document stops before its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// No client waits for the result any more.
    Late,
    /// Other calls use the memory.
    Crowded,
}

impl Stop {
    /// The fault of a call that was executed and whose response cannot be written.
    pub fn while_writing(self) -> Fault {
        match self {
            Self::Late => Fault::new(
                code::DEADLINE,
                "the call's deadline passed while its response was written",
            ),
            Self::Crowded => {
                let why = "the call was executed, but too little memory is left for its response";
                Fault::new(code::RESPONSE_TOO_LARGE, why)
            }
        }
    }
}

/// The fault of a call that cannot be read.
impl From<Stop> for Fault {
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::Late => {
                Self::new(code::DEADLINE, "the call's deadline passed while its document was read")
            }
            Stop::Crowded => Self::new(
                code::OVERLOADED,
                "other calls use the memory that this one needs; try again",
            ),
        }
    }
}

/// Temporary buffers up to this size are not counted.
const UNCOUNTED_BYTES_MAX: usize = 16 << 10;

/// One document's use of its resources. Remembers why they stopped it.
pub(crate) struct Meter<'r> {
    resources: &'r dyn Resources,
    taken: Cell<usize>,
    stopped: Cell<Option<Stop>>,
}

impl<'r> Meter<'r> {
    pub(crate) const fn new(resources: &'r dyn Resources) -> Self {
        Self { resources, taken: Cell::new(0), stopped: Cell::new(None) }
    }

    /// See [`Resources::check`].
    pub(crate) fn check(&self) -> Result<(), Stop> {
        self.noted(self.resources.check())
    }

    /// See [`Resources::take`].
    pub(crate) fn take(&self, bytes: usize) -> Result<(), Stop> {
        self.noted(self.resources.take(bytes))?;
        self.taken.set(self.taken.get().saturating_add(bytes));
        Ok(())
    }

    /// Reserves memory for a temporary buffer, until the result is dropped.
    pub(crate) fn take_for_now(&self, bytes: usize) -> Result<Loan<'_>, Stop> {
        let bytes = if bytes > UNCOUNTED_BYTES_MAX { bytes } else { 0 };
        if bytes > 0 {
            self.take(bytes)?;
        }
        Ok(Loan { meter: self, bytes })
    }

    /// See [`Resources::give_back`].
    pub(crate) fn give_back(&self, bytes: usize) {
        self.taken.set(self.taken.get().saturating_sub(bytes));
        self.resources.give_back(bytes);
    }

    /// The bytes reserved and not given back.
    pub(crate) const fn taken(&self) -> usize {
        self.taken.get()
    }

    /// Why the work stopped, if it did. Decoders that return `None` do not say so themselves.
    pub(crate) const fn stopped(&self) -> Option<Stop> {
        self.stopped.get()
    }

    /// Makes room for one more item. Reserves `bytes_each` for every item that is allocated.
    #[inline]
    pub(crate) fn make_room<T>(&self, list: &mut Vec<T>, bytes_each: usize) -> Result<(), Stop> {
        if list.len() < list.capacity() { Ok(()) } else { self.grow(list, bytes_each) }
    }

    #[cold]
    fn grow<T>(&self, list: &mut Vec<T>, bytes_each: usize) -> Result<(), Stop> {
        /// A `Vec` starts with as many.
        const ITEMS_MIN: usize = 4;
        let more = list.capacity().max(ITEMS_MIN);
        self.take(more.saturating_mul(bytes_each))?;
        list.reserve_exact(more);
        Ok(())
    }

    fn noted(&self, result: Result<(), Stop>) -> Result<(), Stop> {
        if let Err(stop) = result {
            self.stopped.set(Some(stop));
        }
        result
    }
}

/// Memory of a temporary buffer, returned on drop.
pub(crate) struct Loan<'m> {
    meter: &'m Meter<'m>,
    bytes: usize,
}

impl Drop for Loan<'_> {
    fn drop(&mut self) {
        if self.bytes > 0 {
            self.meter.give_back(self.bytes);
        }
    }
}

/// Resources for tests: limited, and counted.
#[cfg(test)]
pub(crate) struct Counted {
    bytes_max: usize,
    taken: Cell<usize>,
    peak: Cell<usize>,
    checks: Cell<usize>,
    checks_max: usize,
}

#[cfg(test)]
impl Counted {
    /// Memory up to `bytes_max`, and no deadline.
    pub(crate) const fn new(bytes_max: usize) -> Self {
        Self {
            bytes_max,
            taken: Cell::new(0),
            peak: Cell::new(0),
            checks: Cell::new(0),
            checks_max: usize::MAX,
        }
    }

    /// The same, late after `checks_max` checks.
    pub(crate) const fn late_after(self, checks_max: usize) -> Self {
        Self { checks_max, ..self }
    }

    pub(crate) const fn taken(&self) -> usize {
        self.taken.get()
    }

    pub(crate) const fn peak(&self) -> usize {
        self.peak.get()
    }

    pub(crate) const fn checks(&self) -> usize {
        self.checks.get()
    }
}

#[cfg(test)]
impl Resources for Counted {
    fn check(&self) -> Result<(), Stop> {
        self.checks.set(self.checks.get() + 1);
        if self.checks.get() > self.checks_max { Err(Stop::Late) } else { Ok(()) }
    }

    fn take(&self, bytes: usize) -> Result<(), Stop> {
        let taken = self.taken.get() + bytes;
        if taken > self.bytes_max {
            return Err(Stop::Crowded);
        }
        self.taken.set(taken);
        self.peak.set(self.peak.get().max(taken));
        Ok(())
    }

    fn give_back(&self, bytes: usize) {
        self.taken.set(self.taken.get().checked_sub(bytes).expect("no more than was taken"));
    }
}
