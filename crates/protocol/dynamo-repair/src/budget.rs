//! How much a node may do in the background: less while those who wait for answers wait longer than
//! usual (Paper §6.5).
//!
//! Work is counted in units of about the same cost, a record read or stored. The budget is a rate, a share
//! of [`BudgetConfig::units_per_second`]; at 100 in a hundred there is no bound at all.
//!
//! - Work that begins after a rest begins with [`BudgetConfig::start`], and each window adds a hundredth.
//!   Nothing says beforehand how much there is to do, so what moves a whole ring begins as gently as a
//!   comparison of two roots. And whoever grows fast overshoots: of ten seconds a tenth in which requests
//!   queue is all that their 99th percentile is made of.
//! - A window in which requests were slower than usual halves the share. While nobody asks for anything it
//!   doubles: nobody waits.
//! - *Usual* is what requests took while there was no background work, or next to none. Other than a fixed
//!   bound that suits a disk that syncs in 0.3 ms as well as one of 10 ms. A node that begins with work, as
//!   one that joins does, learns it beside that, and the share stays where it begins until it is known.
//! - The share never falls below 1: whatever the load, repair goes on.

use core::time::Duration;

use dynamo_types::Instant;
use dynamo_types::planted::{PlantedBug, planted};

/// How background work is held back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BudgetConfig {
    /// Work at a share of 100, in units a second.
    pub units_per_second: u32,
    /// The share that work begins with after a rest, in a hundred.
    pub start: u8,
    /// After how long the share is thought over.
    pub window: Duration,
    /// After how long without work the next begins anew.
    pub rest: Duration,
    /// After how many waits of a kind it is known how long they usually are.
    pub learned: u32,
}

impl Default for BudgetConfig {
    /// 20,000 units a second are about what two cores can do and nothing else.
    fn default() -> Self {
        Self {
            units_per_second: 20_000,
            start: 2,
            window: Duration::from_millis(200),
            rest: Duration::from_secs(2),
            learned: 256,
        }
    }
}

/// What somebody waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waited {
    /// A store of this node.
    Store,
    /// A replica's answer to a read.
    Read,
}

/// What is done. Each kind has the whole rate: neither can take all that there is from the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// Exchanges of anti-entropy.
    Exchange,
    /// All else: moves that begin, hints, what is left over, the scrub.
    Upkeep,
}

/// So many of the most there may be, at this share; at least one unless the share is 0.
#[must_use]
pub fn part_of(most: usize, share: u8) -> usize {
    (most * usize::from(share.min(100))).div_ceil(100)
}

/// A window is pressed when more than one in so many took long.
const LONG_ONE_IN: u32 = 20;
/// With fewer samples in a window nobody can say.
const SAMPLES_MIN: u32 = 8;
/// The share at which what makes requests slow is not this work.
const SHARE_MIN: u8 = 1;
/// What each window adds that is not pressed, in a hundred.
const STEP: u8 = 1;
/// Unused allowance is kept for so long, so that small pieces need not wait for each other.
const KEPT: Duration = Duration::from_millis(20);
/// At least so many units are kept: else a low share would let nothing begin.
const KEPT_MIN: i64 = 16;
/// Parts of a unit: at a unit a second a nanosecond earns one.
const UNIT: i64 = 1_000_000_000;

/// One kind of waiting.
#[derive(Debug, Clone, Default)]
struct Waits {
    usual: Usual,
    samples: u32,
    long: u32,
}

/// A running estimate of how long nineteen in twenty take.
///
/// Each sample moves it: up by nineteen parts if it took longer, down by one part if not. So it comes to
/// rest where one in twenty takes longer. A part is a fraction of the estimate itself.
#[derive(Debug, Clone, Default)]
struct Usual {
    nanoseconds: u64,
    samples: u32,
}

impl Usual {
    /// Parts of the estimate: it follows a change by half within some hundred samples.
    const PARTS: u64 = 512;

    fn learn(&mut self, took: u64) {
        self.samples = self.samples.saturating_add(1);
        let part = (self.nanoseconds / Self::PARTS).max(1);
        if self.nanoseconds == 0 {
            self.nanoseconds = took.max(1);
        } else if took > self.nanoseconds {
            self.nanoseconds = self.nanoseconds.saturating_add(part * 19).min(took);
        } else {
            self.nanoseconds = self.nanoseconds.saturating_sub(part).max(1);
        }
    }
}

impl Waits {
    fn record(&mut self, took: Duration, learned: u32, learns: bool) {
        let is_known = self.is_known(learned);
        self.samples += 1;
        self.long += u32::from(self.is_long(took) && is_known);
        if learns || !is_known {
            let took = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
            self.usual.learn(took);
        }
    }

    /// Half as long again as usual, and a fifth of a millisecond that a timer may be off.
    fn is_long(&self, took: Duration) -> bool {
        let usual = Duration::from_nanos(self.usual.nanoseconds);
        took > usual + usual / 2 + Duration::from_micros(200)
    }

    fn is_known(&self, learned: u32) -> bool {
        self.usual.samples >= learned
    }

    fn is_pressed(&self) -> bool {
        self.samples >= SAMPLES_MIN && self.long > 1 && self.long * LONG_ONE_IN > self.samples
    }
}

/// The budget of one node.
#[derive(Debug, Clone)]
pub struct Budget {
    config: BudgetConfig,
    share: u8,
    stores: Waits,
    reads: Waits,
    window_began: Instant,
    worked_at: Option<Instant>,
    exchange: Allowance,
    upkeep: Allowance,
}

/// What may be done at once, in parts of a unit; below zero after a large piece.
#[derive(Debug, Clone)]
struct Allowance {
    parts: i64,
    filled_at: Instant,
}

impl Allowance {
    fn new(now: Instant) -> Self {
        Self { parts: KEPT_MIN * UNIT, filled_at: now }
    }

    /// Adds what was earned, at so many parts a nanosecond.
    fn fill(&mut self, now: Instant, rate: u64) {
        let elapsed = now.saturating_since(self.filled_at).min(Duration::from_secs(3600));
        self.filled_at = self.filled_at.max(now);
        let kept = u64::try_from(KEPT.as_nanos()).unwrap_or(0).saturating_mul(rate);
        let kept = i64::try_from(kept).unwrap_or(i64::MAX).max(KEPT_MIN * UNIT);
        let elapsed = u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX);
        let earned = i64::try_from(elapsed.saturating_mul(rate)).unwrap_or(i64::MAX);
        self.parts = self.parts.saturating_add(earned).min(kept);
    }

    /// When there is something again. A little later, so that several pieces go at once.
    fn next(&self, rate: u64) -> Instant {
        let missing = self.parts.min(0).unsigned_abs();
        let wanted = missing.saturating_add(KEPT_MIN.unsigned_abs() / 2 * UNIT.unsigned_abs());
        self.filled_at + Duration::from_nanos(wanted / rate)
    }
}

impl Budget {
    /// A budget of which nothing is spent.
    #[must_use]
    pub fn new(config: BudgetConfig, now: Instant) -> Self {
        Self {
            config,
            share: config.start.clamp(SHARE_MIN, 100),
            stores: Waits::default(),
            reads: Waits::default(),
            window_began: now,
            worked_at: None,
            exchange: Allowance::new(now),
            upkeep: Allowance::new(now),
        }
    }

    /// How much of the most there may be, from 1 to 100.
    #[must_use]
    pub fn share(&self) -> u8 {
        self.share
    }

    /// Somebody has waited for an answer.
    pub fn waited(&mut self, now: Instant, what: Waited, took: Duration) {
        let learned = self.config.learned;
        let learns = self.is_at_rest(now) || self.share <= SHARE_MIN;
        match what {
            Waited::Store => self.stores.record(took, learned, learns),
            Waited::Read => self.reads.record(took, learned, learns),
        }
    }

    /// Thinks the share over at the end of a window. Says whether it changed.
    ///
    /// `store_since` is when the oldest store left that somebody waits for: a disk that stands still ends
    /// none of them.
    pub fn tick(&mut self, now: Instant, store_since: Option<Instant>) -> bool {
        let ran_dry = planted(PlantedBug::BudgetRunsDry) && self.share == 0;
        if now.saturating_since(self.window_began) < self.config.window || ran_dry {
            return false;
        }
        self.fill(now);
        let before = self.share;
        let learned = self.config.learned;
        let stands_still = store_since.is_some_and(|since| {
            let waited = now.saturating_since(since);
            waited >= self.config.window && self.stores.is_long(waited)
        });
        let is_pressed = self.stores.is_pressed() || self.reads.is_pressed() || stands_still;
        let samples = self.stores.samples + self.reads.samples;
        let nobody_waits = samples < SAMPLES_MIN && store_since.is_none();
        let is_known = self.stores.is_known(learned) || self.reads.is_known(learned);
        if self.is_at_rest(now) {
            self.share = self.config.start.clamp(SHARE_MIN, 100);
        } else if is_pressed {
            let least = if planted(PlantedBug::BudgetRunsDry) { 0 } else { SHARE_MIN };
            self.share = (self.share / 2).max(least);
        } else if nobody_waits || is_known {
            let more = if nobody_waits { self.share } else { STEP };
            self.share = (self.share + more).min(100);
        }
        for waits in [&mut self.stores, &mut self.reads] {
            (waits.samples, waits.long) = (0, 0);
        }
        self.window_began = now;
        self.share != before
    }

    /// Whether another piece of work may begin.
    pub fn has_room(&mut self, now: Instant, work: Work) -> bool {
        self.fill(now);
        self.share == 100 || self.allowance(work).parts > 0
    }

    /// A piece of work begins, or turns out to be larger.
    pub fn spend(&mut self, now: Instant, work: Work, units: u32) {
        self.fill(now);
        self.worked_at = Some(now);
        let is_bounded = self.share < 100;
        let parts = &mut self.allowance(work).parts;
        *parts = parts.saturating_sub(i64::from(units).saturating_mul(UNIT));
        if !is_bounded {
            // Nothing is owed for what had no bound.
            *parts = (*parts).max(0);
        }
    }

    /// When there will be room for another piece, if nothing changes.
    #[must_use]
    pub fn next_room(&self, work: Work) -> Instant {
        let allowance = match work {
            Work::Exchange => &self.exchange,
            Work::Upkeep => &self.upkeep,
        };
        allowance.next(self.rate())
    }

    fn allowance(&mut self, work: Work) -> &mut Allowance {
        match work {
            Work::Exchange => &mut self.exchange,
            Work::Upkeep => &mut self.upkeep,
        }
    }

    fn is_at_rest(&self, now: Instant) -> bool {
        let rest = self.config.rest;
        self.worked_at.is_none_or(|at| now.saturating_since(at) >= rest)
    }

    /// Parts of a unit a nanosecond.
    fn rate(&self) -> u64 {
        let share = u64::from(self.share);
        (u64::from(self.config.units_per_second) * share / 100).max(1)
    }

    fn fill(&mut self, now: Instant) {
        let rate = self.rate();
        self.exchange.fill(now, rate);
        self.upkeep.fill(now, rate);
    }
}

#[cfg(test)]
mod tests;
