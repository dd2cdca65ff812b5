//! Histograms of latencies and counts of errors.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;

use crate::workload::Class;

/// Latencies are kept to three digits, up to ten minutes.
const LATENCY_US_MAX: u64 = 600_000_000;
const DIGITS: u8 = 3;

/// What was measured.
#[derive(Debug, Default)]
pub(crate) struct Recorder {
    pub(crate) latencies: BTreeMap<Class, Histogram<u64>>,
    pub(crate) errors: BTreeMap<String, u64>,
}

impl Recorder {
    /// An operation has ended, so long after it was begun or due.
    pub(crate) fn record(&mut self, class: Class, latency: Duration, result: Result<(), String>) {
        match result {
            Ok(()) => {
                let new = || {
                    Histogram::new_with_max(LATENCY_US_MAX, DIGITS).expect("bounds of this file")
                };
                let us = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
                self.latencies.entry(class).or_insert_with(new).saturating_record(us);
            }
            Err(kind) => *self.errors.entry(kind).or_default() += 1,
        }
    }

    /// Operations that succeeded.
    pub(crate) fn succeeded(&self) -> u64 {
        self.latencies.values().map(Histogram::len).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_counted_by_kind_and_not_as_latencies() {
        let mut recorder = Recorder::default();
        recorder.record(Class::Read, Duration::from_millis(2), Ok(()));
        recorder.record(Class::Read, Duration::from_secs(9000), Ok(()));
        recorder.record(Class::Update, Duration::ZERO, Err("overloaded".to_owned()));
        recorder.record(Class::Read, Duration::ZERO, Err("overloaded".to_owned()));
        assert_eq!(recorder.succeeded(), 2);
        assert_eq!(recorder.errors, BTreeMap::from([("overloaded".to_owned(), 2)]));
        assert!(recorder.latencies[&Class::Read].max() >= LATENCY_US_MAX);
    }
}
