//! The deadlines of all connections, earliest first. Knows connections only by their keys.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Instant;

/// The moments at which connections are to be looked at.
///
/// A deadline that is put off, as most are, costs nothing here: the connection is looked at too
/// early, and says when to look again. So the heap has one entry for each connection, and a few
/// that are out of date.
#[derive(Default)]
pub(crate) struct Timers(BinaryHeap<Reverse<(Instant, usize, u64)>>);

/// When a connection will be looked at. Belongs to that connection.
#[derive(Default)]
pub(crate) struct Alarm(Option<Instant>);

impl Timers {
    /// Has the connection looked at by `deadline`, if it is not anyway. `serial` is unlike that of
    /// every other which has had its key.
    pub(crate) fn set(&mut self, alarm: &mut Alarm, deadline: Instant, key: usize, serial: u64) {
        if alarm.0.is_none_or(|earliest| deadline < earliest) {
            alarm.0 = Some(deadline);
            self.0.push(Reverse((deadline, key, serial)));
        }
    }

    /// The next moment at which somebody is to be looked at.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.0.peek().map(|Reverse((moment, ..))| *moment)
    }

    /// One whose moment has come: the moment, the key and the serial.
    pub(crate) fn take(&mut self, now: Instant) -> Option<(Instant, usize, u64)> {
        self.next().filter(|moment| *moment <= now)?;
        self.0.pop().map(|Reverse(entry)| entry)
    }
}

impl Alarm {
    /// Whether the moment is the one that was set last. It is set no more then.
    pub(crate) fn ring(&mut self, moment: Instant) -> bool {
        let is_it = self.0 == Some(moment);
        if is_it {
            self.0 = None;
        }
        is_it
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_deadline_that_is_put_off_makes_no_entry() {
        let (mut timers, mut alarm) = (Timers::default(), Alarm::default());
        let now = Instant::now();
        let at = |seconds| now + Duration::from_secs(seconds);
        timers.set(&mut alarm, at(5), 1, 1);
        for later in 6..100 {
            timers.set(&mut alarm, at(later), 1, 1);
        }
        assert_eq!(timers.next(), Some(at(5)));
        assert_eq!(timers.take(at(4)), None);
        assert_eq!(timers.take(at(5)), Some((at(5), 1, 1)));
        assert!(alarm.ring(at(5)));
        assert_eq!(timers.next(), None);
    }

    #[test]
    fn an_earlier_deadline_rings_first_and_the_old_one_not_at_all() {
        let (mut timers, mut alarm) = (Timers::default(), Alarm::default());
        let now = Instant::now();
        let later = now + Duration::from_secs(1);
        timers.set(&mut alarm, later, 1, 1);
        timers.set(&mut alarm, now, 1, 1);
        assert!(timers.take(later).is_some_and(|(moment, ..)| alarm.ring(moment)));
        assert!(timers.take(later).is_some_and(|(moment, ..)| !alarm.ring(moment)));
    }
}
