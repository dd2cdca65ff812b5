//! Keeps hedged reads a small part of all reads.

/// A token bucket that reads fill and hedges empty.
///
/// A hedge is worth its cost only while it is rare: a saturated cluster that hedges every read
/// doubles its own load. So one read in twenty may be hedged, with a burst for short stalls.
#[derive(Debug, Clone)]
pub struct HedgeBudget {
    /// In twentieths of a hedge.
    tokens: u32,
}

impl HedgeBudget {
    /// Reads per hedge: 5 %.
    const READS_PER_HEDGE: u32 = 20;
    /// Hedges that may come at once: a stall of 50 ms at a thousand reads a second.
    const BURST: u32 = 50;

    /// A full bucket.
    #[must_use]
    pub fn new() -> Self {
        Self { tokens: Self::BURST * Self::READS_PER_HEDGE }
    }

    /// Counts a read.
    pub fn read_started(&mut self) {
        self.tokens = (self.tokens + 1).min(Self::BURST * Self::READS_PER_HEDGE);
    }

    /// Takes a hedge, if one is left.
    pub fn take(&mut self) -> bool {
        let enough = self.tokens >= Self::READS_PER_HEDGE;
        if enough {
            self.tokens -= Self::READS_PER_HEDGE;
        }
        enough
    }
}

impl Default for HedgeBudget {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hedges_stay_within_five_percent_of_reads_beyond_the_burst() {
        let mut budget = HedgeBudget::new();
        for _ in 0..HedgeBudget::BURST {
            assert!(budget.take());
        }
        assert!(!budget.take(), "the burst is spent");
        let hedges = (0..10_000)
            .filter(|_| {
                budget.read_started();
                budget.take()
            })
            .count();
        assert_eq!(hedges, 500);
    }
}
