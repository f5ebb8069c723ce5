//! How many calls of one method may run at a time, if an operator limited them. A call runs until
//! its result has been read. Knows no plugins: a method is its name.

use crate::limits::MethodLimits;
use crate::registry::Running;
use crate::xmlrpc::{Fault, code};
use arc_swap::ArcSwap;
use std::collections::{BTreeMap, HashMap};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

/// The limits of methods. They can be replaced while calls run.
#[derive(Default)]
pub struct Concurrency(ArcSwap<HashMap<String, Gauge>>);

#[derive(Clone)]
struct Gauge {
    max: NonZeroUsize,
    running: Arc<AtomicUsize>,
}

impl Concurrency {
    /// Those of these methods.
    pub fn new(limits: &BTreeMap<String, MethodLimits>) -> Self {
        let concurrency = Self::default();
        concurrency.replace(limits);
        concurrency
    }

    /// From now on holds calls to these. Those that run count on.
    pub fn replace(&self, limits: &BTreeMap<String, MethodLimits>) {
        let before = self.0.load();
        let gauge = |(name, limits): (&String, &MethodLimits)| {
            let running =
                before.get(name).map(|gauge| Arc::clone(&gauge.running)).unwrap_or_default();
            Some((name.clone(), Gauge { max: limits.concurrency_max?, running }))
        };
        self.0.store(Arc::new(limits.iter().filter_map(gauge).collect()));
    }

    /// Lets one more call of the method in.
    ///
    /// # Errors
    /// -32001 when as many run as may.
    pub(super) fn enter(&self, method: &str) -> Result<Option<Running>, Fault> {
        let gauges = self.0.load();
        if gauges.is_empty() {
            return Ok(None);
        }
        let Some(Gauge { max, running }) = gauges.get(method) else { return Ok(None) };
        Running::begin(running, *max).map(Some).ok_or_else(|| {
            let why = format!(
                "{max} calls of {method} run, and no more may at a time; try again in a moment"
            );
            Fault::new(code::OVERLOADED, why)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(name: &str, max: usize) -> BTreeMap<String, MethodLimits> {
        BTreeMap::from([(
            name.to_owned(),
            MethodLimits { concurrency_max: NonZeroUsize::new(max) },
        )])
    }

    #[test]
    fn as_many_calls_run_as_may() {
        let concurrency = Concurrency::new(&limits("a", 2));
        let first = concurrency.enter("a").unwrap();
        let _second = concurrency.enter("a").unwrap();
        assert_eq!(concurrency.enter("a").unwrap_err().code, code::OVERLOADED);
        assert!(concurrency.enter("b").unwrap().is_none(), "another one has no limit");
        drop(first);
        assert!(concurrency.enter("a").unwrap().is_some());
    }

    #[test]
    fn calls_that_run_count_on_after_a_change() {
        let concurrency = Concurrency::new(&limits("a", 3));
        let running: Vec<_> = (0..3).map(|_| concurrency.enter("a").unwrap()).collect();
        concurrency.replace(&limits("a", 1));
        assert!(concurrency.enter("a").is_err());
        drop(running);
        let _one = concurrency.enter("a").unwrap();
        assert!(concurrency.enter("a").is_err());
        concurrency.replace(&BTreeMap::new());
        assert!(concurrency.enter("a").unwrap().is_none());
    }
}
