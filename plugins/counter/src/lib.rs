//! The bundled counter plugin: one count, which the next version of the plugin takes over.
//!
//! It shows the two halves of a hand-over: what is saved has a version of its own, and what is
//! loaded is checked as anything from outside is.
#![forbid(unsafe_code)]

use hotcall_plugin::{Fault, Handover, Host, State, Value, method, plugin};
use std::sync::atomic::{AtomicI64, Ordering};

/// The code of a fault that says that the count would leave its range.
const OUT_OF_RANGE: i32 = 1;

/// The count. Calls of many threads share it.
struct Counter(AtomicI64);

impl State for Counter {
    fn create(_host: Host) -> Result<Self, Fault> {
        Ok(Self(AtomicI64::new(0)))
    }
}

impl Handover for Counter {
    const VERSION: u32 = 1;

    fn save(&self) -> Result<Value, Fault> {
        Ok(Value::Struct(vec![("count".into(), number(self.0.load(Ordering::Relaxed)))]))
    }

    fn load(&self, version: u32, state: Value) -> Result<(), Fault> {
        if version != Self::VERSION {
            let (ours, theirs) = (Self::VERSION, version);
            return Err(Fault::error(format!(
                "the state has version {theirs}; this plugin knows {ours}"
            )));
        }
        let count = match state.get("count") {
            Some(Value::Int(count)) => i64::from(*count),
            Some(Value::Long(count)) => *count,
            _ => return Err(Fault::error("the state has no number named count")),
        };
        self.0.store(count, Ordering::Relaxed);
        Ok(())
    }
}

impl Counter {
    /// Adds to the count and answers the sum.
    ///
    /// Adds one when no number is given. The sum is an int, or an i8 when it is too large for one.
    #[method(name = "counter.increment", signatures("int()", "int(int)", "i8(i8)"))]
    fn increment(&self, by: Option<i64>) -> Result<Value, Fault> {
        let by = by.unwrap_or(1);
        let added = self
            .0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |count| count.checked_add(by));
        // It is what it was before; the sum is known not to overflow.
        added.map(|before| number(before.wrapping_add(by))).map_err(|count| {
            Fault::new(OUT_OF_RANGE, format!("{count} and {by} are more than a count can be"))
        })
    }

    /// The count: an int, or an i8 when it is too large for one.
    #[method(name = "counter.value", idempotent, quick, signatures("int()", "i8()"))]
    fn value(&self) -> Value {
        number(self.0.load(Ordering::Relaxed))
    }

    /// Sets the count to zero and answers what it was.
    #[method(name = "counter.reset", signatures("int()", "i8()"))]
    fn reset(&self) -> Value {
        number(self.0.swap(0, Ordering::Relaxed))
    }
}

/// The smallest type that holds it: not every client knows i8.
fn number(count: i64) -> Value {
    i32::try_from(count).map_or(Value::Long(count), Value::Int)
}

plugin! {
    name: "counter",
    state: Counter,
    handover: true,
    methods: [Counter::increment, Counter::value, Counter::reset],
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counter(count: i64) -> Counter {
        Counter(AtomicI64::new(count))
    }

    #[test]
    fn counts_and_starts_again() {
        let counter = counter(0);
        assert_eq!(counter.increment(None), Ok(Value::Int(1)));
        assert_eq!(counter.increment(Some(-3)), Ok(Value::Int(-2)));
        assert_eq!(counter.value(), Value::Int(-2));
        assert_eq!(counter.reset(), Value::Int(-2));
        assert_eq!(counter.value(), Value::Int(0));
    }

    #[test]
    fn a_large_count_is_an_i8_and_one_past_that_a_fault() {
        let counter = counter(i64::from(i32::MAX));
        assert_eq!(counter.increment(None), Ok(Value::Long(1 << 31)));
        let fault = counter.increment(Some(i64::MAX)).unwrap_err();
        assert_eq!(fault.code(), Some(OUT_OF_RANGE));
        assert_eq!(
            counter.value(),
            Value::Long(1 << 31),
            "a count that cannot be added to stays as it is"
        );
    }

    #[test]
    fn what_one_saves_another_loads() {
        for count in [0, -7, i64::MAX] {
            let (old, new) = (counter(count), counter(3));
            new.load(Counter::VERSION, old.save().unwrap()).unwrap();
            assert_eq!(new.0.load(Ordering::Relaxed), count);
        }
    }

    #[test]
    fn a_state_that_is_not_understood_is_refused_and_changes_nothing() {
        let counter = counter(3);
        let good = counter.save().unwrap();
        assert!(counter.load(Counter::VERSION + 1, good).is_err());
        assert!(counter.load(Counter::VERSION, Value::Int(5)).is_err());
        let text = Value::Struct(vec![("count".into(), Value::from("5"))]);
        assert!(counter.load(Counter::VERSION, text).is_err());
        assert_eq!(counter.value(), Value::Int(3));
    }
}
