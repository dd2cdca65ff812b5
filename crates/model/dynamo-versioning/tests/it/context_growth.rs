//! Contexts and siblings stay small under long chains and many interleaving writers.

use dynamo_types::{ActorId, WallTime};
use dynamo_versioning::testing::{put, value};
use dynamo_versioning::{
    Applied, DotClock, DotMint, DotSet, Hlc, HybridClock, Record, StoredRecord, apply_put,
    receive_delayed,
};
use rand_core::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

const WRITERS: usize = 8;

struct Replica {
    row: StoredRecord,
    mint: DotMint,
    hybrid: HybridClock,
}

impl Replica {
    fn new(actor: u64) -> Self {
        let actor = ActorId(actor.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        Self { row: StoredRecord::default(), mint: DotMint::new(actor), hybrid: HybridClock::new() }
    }

    fn write(&mut self, context: &DotSet) -> Applied {
        let Self { row, mint, hybrid } = self;
        let put = put(value("v"), context, Hlc::ZERO, 0);
        apply_put(row, mint, hybrid, WallTime(0), put, usize::MAX).expect("there is no limit")
    }

    /// Other keys of the partition take a number.
    fn other_key(&mut self) {
        self.mint.next();
    }

    fn receive(&mut self, message: &Record) {
        receive_delayed(&mut self.row, message, &DotClock::new());
    }
}

#[test]
fn history_27_ten_thousand_chained_puts_at_one_coordinator_keep_one_interval() {
    let mut a = Replica::new(1);
    let mut context = DotSet::new();
    for _ in 0..10_000 {
        context = a.write(&context).reply_context;
        a.other_key();
    }
    assert_eq!(context.interval_count(), 1);
    assert_eq!(a.row.record.context().interval_count(), 1);
    assert_eq!(a.row.record.siblings().len(), 1);
}

#[test]
fn history_27_ten_thousand_chained_puts_at_alternating_coordinators_keep_one_interval_each() {
    for delivered in [true, false] {
        let mut replicas = [Replica::new(1), Replica::new(2), Replica::new(3)];
        let mut context = DotSet::new();
        for round in 0..10_000 {
            let coordinator = round % 3;
            let applied = replicas[coordinator].write(&context);
            replicas[coordinator].other_key();
            if delivered {
                replicas.iter_mut().for_each(|replica| replica.receive(&applied.write));
            }
            context = applied.reply_context;
        }
        assert_eq!(context.interval_count(), 3);
        for replica in &replicas {
            assert!(replica.row.record.context().interval_count() <= 3);
        }
    }
}

/// A client chains puts, each on the context of the one before, at whoever takes it; now and then
/// another one writes without having seen anything.
#[test]
fn history_27_a_chain_of_ten_thousand_puts_hides_no_concurrent_version() {
    let mut replicas = [Replica::new(1), Replica::new(2), Replica::new(3)];
    let mut context = DotSet::new();
    let mut concurrent = Vec::new();
    for round in 0..10_000 {
        let coordinator = round % 3;
        if round % 1_000 == 500 {
            let other = replicas[coordinator].write(&DotSet::new());
            replicas.iter_mut().for_each(|replica| replica.receive(&other.write));
            concurrent.push(other.dot);
        }
        let applied = replicas[coordinator].write(&context);
        replicas[coordinator].other_key();
        replicas.iter_mut().for_each(|replica| replica.receive(&applied.write));
        context = applied.reply_context;
    }
    assert!(concurrent.iter().all(|dot| !context.contains(*dot)), "the client saw none of them");
    // One interval for each coordinator, and one more behind each number that is not covered.
    assert!(context.interval_count() <= 3 + concurrent.len(), "{}", context.interval_count());
    assert!(context.encoded_len() < 400, "{} bytes", context.encoded_len());
    for replica in &replicas {
        let record = &replica.row.record;
        assert_eq!(record.siblings().len(), concurrent.len() + 1);
        assert!(concurrent.iter().all(|dot| record.sibling(*dot).is_some()));
        assert!(record.context().interval_count() <= 3);
    }
}

/// Each of eight writers reads two of the `readable` replicas, merges and writes at one of the
/// `coordinators`; the others do so at the same time, every fifth message is lost, and other keys
/// take numbers too. No member ever collects or exchanges, so nothing but the rules of a put bounds
/// anything. Gives the most siblings and the most context bytes that a replica ever had.
fn interleave(coordinators: &[usize], readable: &[usize]) -> (usize, usize) {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(1);
    let mut below = move |bound: usize| (rng.next_u64() % bound as u64) as usize;
    let mut replicas = [Replica::new(1), Replica::new(2), Replica::new(3)];
    let mut seen: Vec<DotSet> = vec![DotSet::new(); WRITERS];
    let (mut siblings_most, mut context_most) = (0, 0);
    for _ in 0..5_000 {
        let writer = below(WRITERS);
        if below(2) == 0 {
            for _ in 0..2 {
                let reply = readable[below(readable.len())];
                seen[writer].union_with(replicas[reply].row.record.context());
            }
            continue;
        }
        let coordinator = coordinators[below(coordinators.len())];
        let applied = replicas[coordinator].write(&seen[writer]);
        replicas[coordinator].other_key();
        seen[writer] = applied.reply_context;
        for replica in &mut replicas {
            if below(5) > 0 {
                replica.receive(&applied.write);
            }
        }
        for replica in &replicas {
            let record = &replica.row.record;
            siblings_most = siblings_most.max(record.siblings().len());
            context_most = context_most.max(record.context().encoded_len());
        }
    }
    (siblings_most, context_most)
}

#[test]
fn sibling_no_explosion_under_interleaving_writers_and_short_contexts() {
    for readable in [&[0, 1, 2][..], &[1, 2]] {
        for coordinators in [&[0, 1, 2][..], &[0]] {
            let (siblings, context) = interleave(coordinators, readable);
            assert!(siblings <= WRITERS, "{siblings} siblings of {WRITERS} writers");
            assert!(context <= 120, "{context} bytes at {coordinators:?}, read at {readable:?}");
        }
    }
}
