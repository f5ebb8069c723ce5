//! Time and memory for work on one document. Must not know who gives them, nor keep a clock.

use super::{DecodeError, Fault, code};
use std::cell::Cell;

/// Gives time and memory to the work on a call's documents.
pub trait Resources {
    /// Checks that somebody still waits for the result.
    ///
    /// # Errors
    /// [`Stop::Late`] once the deadline has passed or the client has gone.
    fn check(&self) -> Result<(), Stop>;

    /// Takes memory, before it is allocated.
    ///
    /// # Errors
    /// [`Stop::Crowded`] when there is not so much; nothing is taken then.
    fn take(&self, bytes: usize) -> Result<(), Stop>;

    /// Gives back memory that was taken and has been freed before the call's end.
    fn give_back(&self, bytes: usize);
}

/// Resources without end: only the limits of the document itself count.
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
    /// Nobody waits for the result any more.
    Late,
    /// The memory is needed elsewhere.
    Crowded,
}

impl From<Stop> for Fault {
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::Late => {
                Self::new(code::DEADLINE, "the call's deadline passed while it was read or answered")
            }
            Stop::Crowded => {
                Self::new(code::OVERLOADED, "other calls take the memory that this one needs; try again")
            }
        }
    }
}

impl From<Stop> for DecodeError {
    fn from(stop: Stop) -> Self {
        let Fault { code, message } = stop.into();
        Self { code, message }
    }
}

/// Memory of the moment that is smaller does not count.
const UNCOUNTED_BYTES_MAX: usize = 16 << 10;

/// The resources of one document, and whether they have come to an end.
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

    /// Takes memory until the result is dropped. Little needs not be asked for.
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

    /// How much has been taken and not given back.
    pub(crate) const fn taken(&self) -> usize {
        self.taken.get()
    }

    /// Why the work stopped, if it did: decoders that return `None` do not say so.
    pub(crate) const fn stopped(&self) -> Option<Stop> {
        self.stopped.get()
    }

    /// Makes room for one more item, and takes `bytes_each` for each item that there is room for then.
    #[inline]
    pub(crate) fn make_room<T>(&self, list: &mut Vec<T>, bytes_each: usize) -> Result<(), Stop> {
        if list.len() < list.capacity() { Ok(()) } else { self.grow(list, bytes_each) }
    }

    #[cold]
    fn grow<T>(&self, list: &mut Vec<T>, bytes_each: usize) -> Result<(), Stop> {
        /// As a `Vec` does it by itself.
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

/// Memory that is given back when this is dropped.
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

/// Resources for tests, which say what has been asked of them.
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
    /// So much memory, and time without end.
    pub(crate) const fn new(bytes_max: usize) -> Self {
        Self {
            bytes_max,
            taken: Cell::new(0),
            peak: Cell::new(0),
            checks: Cell::new(0),
            checks_max: usize::MAX,
        }
    }

    /// The same with time for so many checks.
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
