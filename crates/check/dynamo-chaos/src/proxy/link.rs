//! One direction between two nodes: what happens to each packet. No sockets here.

use core::iter::Sum;
use core::ops::Add;
use core::time::Duration;

use dynamo_simulator::random::Stream;
use tokio::time::Instant;

/// What happens to the packets of one link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// Nothing passes.
    pub cut: bool,
    /// Of a thousand packets, how many are lost.
    pub loss_per_mille: u32,
    /// The least and the greatest time that a packet is held up.
    pub delay: (Duration, Duration),
    /// Of a thousand packets, how many are held up once more, so that later ones overtake them. The
    /// others keep their order, however long each takes.
    pub reorder_per_mille: u32,
    /// Of a thousand packets, how many arrive twice.
    pub duplicate_per_mille: u32,
}

impl Rule {
    /// Everything passes at once.
    pub const CLEAR: Self = Self {
        cut: false,
        loss_per_mille: 0,
        delay: (Duration::ZERO, Duration::ZERO),
        reorder_per_mille: 0,
        duplicate_per_mille: 0,
    };

    /// Nothing passes.
    pub const CUT: Self = Self { cut: true, ..Self::CLEAR };
}

/// What was done to the packets of a link.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LinkCounters {
    /// Sent on, copies not counted.
    pub passed: u64,
    /// Lost by chance.
    pub lost: u64,
    /// Stopped by a cut.
    pub cut: u64,
    /// Held up, among those that passed.
    pub delayed: u64,
    /// Held up once more so that others overtake, among those that passed.
    pub reordered: u64,
    /// Sent twice, among those that passed.
    pub duplicated: u64,
    /// Dropped because too much was held up already.
    pub overflowed: u64,
    /// Dropped because the receiver has not started yet.
    pub homeless: u64,
}

impl LinkCounters {
    /// Packets that came in.
    #[must_use]
    pub fn arrived(&self) -> u64 {
        self.passed + self.lost + self.cut + self.overflowed + self.homeless
    }
}

impl Add for LinkCounters {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            passed: self.passed + other.passed,
            lost: self.lost + other.lost,
            cut: self.cut + other.cut,
            delayed: self.delayed + other.delayed,
            reordered: self.reordered + other.reordered,
            duplicated: self.duplicated + other.duplicated,
            overflowed: self.overflowed + other.overflowed,
            homeless: self.homeless + other.homeless,
        }
    }
}

impl Sum for LinkCounters {
    fn sum<I: Iterator<Item = Self>>(links: I) -> Self {
        links.fold(Self::default(), Add::add)
    }
}

/// When the copies of a packet are due: none, one or two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Passage {
    pub(super) first: Option<Instant>,
    pub(super) second: Option<Instant>,
}

/// One direction between two nodes.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) rule: Rule,
    pub(super) counters: LinkCounters,
    random: Stream,
    /// When the latest packet that keeps its order is due.
    last_due: Option<Instant>,
}

impl Link {
    pub(super) fn new(random: Stream) -> Self {
        Self { rule: Rule::CLEAR, counters: LinkCounters::default(), random, last_due: None }
    }

    /// A packet comes in: when does it go out?
    pub(super) fn admit(&mut self, now: Instant) -> Passage {
        const STOPPED: Passage = Passage { first: None, second: None };
        let rule = self.rule;
        if rule.cut {
            self.counters.cut += 1;
            return STOPPED;
        }
        if self.random.chance(rule.loss_per_mille) {
            self.counters.lost += 1;
            return STOPPED;
        }
        let (least, most) = rule.delay;
        let mut due = now + self.random.duration(least, most);
        if self.random.chance(rule.reorder_per_mille) {
            // Far enough that packets which come now, and are not held up once more, pass it.
            due += most + self.random.duration(Duration::from_millis(1), most.max(REORDER_MIN));
            self.counters.reordered += 1;
        } else {
            due = self.last_due.map_or(due, |last| last.max(due));
            self.last_due = Some(due);
        }
        if due > now {
            self.counters.delayed += 1;
        }
        let doubled = self.random.chance(rule.duplicate_per_mille);
        let second = doubled.then(|| due + self.random.duration(least, most.max(REORDER_MIN)));
        if doubled {
            self.counters.duplicated += 1;
        }
        self.counters.passed += 1;
        Passage { first: Some(due), second }
    }
}

/// On a link without delay, a packet that shall be overtaken waits at least so long.
const REORDER_MIN: Duration = Duration::from_millis(5);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    const PACKETS: u64 = 10_000;

    fn link(rule: Rule) -> Link {
        let mut link = Link::new(Stream::new(7, "link"));
        link.rule = rule;
        link
    }

    #[test]
    fn a_clear_link_passes_everything_at_once_and_a_cut_one_nothing() {
        let now = clock::now();
        let mut link = link(Rule::CLEAR);
        assert_eq!(link.admit(now), Passage { first: Some(now), second: None });
        link.rule = Rule::CUT;
        assert_eq!(link.admit(now), Passage { first: None, second: None });
        let expected = LinkCounters { passed: 1, cut: 1, ..LinkCounters::default() };
        assert_eq!(link.counters, expected);
    }

    #[test]
    fn loss_and_doubling_come_about_as_often_as_the_rule_says() {
        let rule = Rule { loss_per_mille: 300, duplicate_per_mille: 100, ..Rule::CLEAR };
        let mut link = link(rule);
        let now = clock::now();
        let passages: Vec<Passage> = (0..PACKETS).map(|_| link.admit(now)).collect();
        let LinkCounters { lost, passed, duplicated, .. } = link.counters;
        assert!((2850..3150).contains(&lost), "{lost}");
        assert_eq!(lost + passed, PACKETS);
        assert!((600..800).contains(&duplicated), "{duplicated}");
        let doubled = passages.iter().filter(|passage| passage.second.is_some()).count();
        assert_eq!(u64::try_from(doubled).unwrap(), duplicated);
    }

    #[test]
    fn delays_keep_the_order_except_of_those_that_are_to_be_overtaken() {
        let ms = Duration::from_millis;
        let rule = Rule { delay: (ms(50), ms(500)), reorder_per_mille: 50, ..Rule::CLEAR };
        let mut link = link(rule);
        let now = clock::now();
        let mut last = now;
        let mut late = 0;
        for packet in 0..1000 {
            // A packet every millisecond.
            let now = now + ms(packet);
            let reordered = link.counters.reordered;
            let due = link.admit(now).first.unwrap();
            assert!(due >= now + ms(50));
            if link.counters.reordered == reordered {
                assert!(due >= last && due <= now + ms(500).max(last - now));
                last = due;
            } else {
                assert!(due > now + ms(500));
                late += 1;
            }
        }
        assert!((20..100).contains(&late), "{late}");
    }

    #[test]
    fn a_seed_decides_the_luck_of_a_link() {
        let rule = Rule { loss_per_mille: 500, ..Rule::CLEAR };
        let fate = |seed| {
            let mut link = Link::new(Stream::new(seed, "link"));
            link.rule = rule;
            let now = clock::now();
            (0..64).map(|_| link.admit(now).first.is_some()).collect::<Vec<_>>()
        };
        assert_eq!(fate(3), fate(3));
        assert_ne!(fate(3), fate(4));
    }
}
