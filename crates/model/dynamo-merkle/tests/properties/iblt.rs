//! The laws of reconciliation, against plain sets, and what it costs.

use std::collections::BTreeSet;

use dynamo_merkle::ItemDigest;
use dynamo_merkle::iblt::{
    DecodeError, Decoder, Difference, Encoder, ItemId, ItemSet, Progress, Salt, Symbol,
};
use proptest::collection::{btree_set, vec};
use proptest::prelude::*;

fn items(digests: impl IntoIterator<Item = u64>, salt: Salt) -> ItemSet {
    let ids = digests.into_iter().map(|digest| ItemId::of(salt, ItemDigest(digest.into())));
    ItemSet::new(ids).expect("different digests of 64 bits do not collide in a test")
}

fn sorted(mut items: Vec<ItemId>) -> Vec<ItemId> {
    items.sort_unstable();
    items
}

/// The difference, by symbols in batches of these sizes in turn, and how many it took.
fn reconcile(ours: ItemSet, theirs: ItemSet, batches: &[u32]) -> (Difference, u32) {
    let mut encoder = Encoder::new(theirs);
    let mut decoder = Decoder::new(ours);
    for batch in batches.iter().cycle() {
        let symbols = encoder.batch(*batch);
        assert_eq!(symbols.len(), *batch as usize, "symbols ran out");
        if decoder.receive(&symbols).expect("they are the symbols of a set") == Progress::Done {
            break;
        }
    }
    let Difference { theirs, ours } = decoder.difference();
    (Difference { theirs: sorted(theirs), ours: sorted(ours) }, decoder.received())
}

/// Two sets with so many items in common, and so many only in each.
fn two_sets(common: u64, only_ours: u64, only_theirs: u64, salt: Salt) -> (ItemSet, ItemSet) {
    let ours = 0..common + only_ours;
    let theirs = (0..common).chain(common + only_ours..common + only_ours + only_theirs);
    (items(ours, salt), items(theirs, salt))
}

fn symbol() -> impl Strategy<Value = Symbol> {
    let any_symbol = (any::<u64>(), any::<u32>(), any::<i32>());
    let small = (0..4u64, 0..2u32, -2..3i32);
    prop_oneof![any_symbol, small].prop_map(|(sum, checksum, count)| Symbol {
        sum,
        checksum,
        count,
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn exactly_the_difference_is_found(
        ours in btree_set(0..600u64, 0..300), theirs in btree_set(0..600u64, 0..300),
        batches in vec(1..40u32, 1..5), salt in any::<u64>().prop_map(Salt),
    ) {
        let only = |a: &BTreeSet<u64>, b: &BTreeSet<u64>| {
            items(a.difference(b).copied(), salt).items().to_vec()
        };
        let expected = Difference { theirs: only(&theirs, &ours), ours: only(&ours, &theirs) };
        let (ours, theirs) = (items(ours, salt), items(theirs, salt));
        prop_assert_eq!(expected.applied_to(ours.sum()), theirs.sum());
        prop_assert_eq!(&Difference::between(&ours, &theirs), &expected);
        let (found, _) = reconcile(ours, theirs, &batches);
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn symbols_are_the_same_whatever_the_batches(
        digests in btree_set(any::<u64>(), 0..200), batches in vec(0..30u32, 1..10),
    ) {
        let set = items(digests, Salt(1));
        let mut encoder = Encoder::new(set.clone());
        let parts: Vec<Symbol> = batches.iter().flat_map(|count| encoder.batch(*count)).collect();
        prop_assert_eq!(parts.len(), encoder.made() as usize);
        prop_assert_eq!(parts, Encoder::new(set).batch(encoder.made()));
    }

    #[test]
    fn symbols_read_back_as_written(
        symbols in vec(symbol(), 0..20), set_size in any::<u32>(), first in any::<u32>(),
    ) {
        let numbered = || (first..=u32::MAX).zip(&symbols);
        let mut bytes = Vec::new();
        for (number, symbol) in numbered() {
            let before = bytes.len();
            symbol.write(number, set_size, &mut bytes);
            prop_assert_eq!(bytes.len() - before, symbol.written_len(number, set_size));
        }
        let mut rest = &bytes[..];
        for (number, symbol) in numbered() {
            prop_assert_eq!(Symbol::read(&mut rest, number, set_size), Ok(*symbol));
        }
        prop_assert!(rest.is_empty());
    }

    #[test]
    fn junk_bytes_are_read_without_panic(
        bytes in vec(any::<u8>(), 0..40), number in any::<u32>(), set_size in any::<u32>(),
    ) {
        let mut rest = &bytes[..];
        while Symbol::read(&mut rest, number, set_size).is_ok() {}
        prop_assert!(rest.len() <= bytes.len());
    }

    #[test]
    fn whatever_the_symbols_decoding_ends_with_no_more_items_than_symbols(
        ours in btree_set(0..50u64, 0..30), theirs in btree_set(0..50u64, 0..30),
        // Honest symbols, some of them exchanged for others.
        changes in vec((0..60usize, symbol()), 0..20), shuffles in vec((0..60usize, 0..60usize), 0..20),
    ) {
        let mut symbols = Encoder::new(items(theirs, Salt(2))).batch(60);
        for (at, symbol) in changes {
            symbols[at] = symbol;
        }
        for (a, b) in shuffles {
            symbols.swap(a, b);
        }
        let mut decoder = Decoder::new(items(ours, Salt(2)));
        for batch in symbols.chunks(7) {
            if let Err(DecodeError::Nonsense { symbols }) = decoder.receive(batch) {
                prop_assert!(symbols <= 60);
                break;
            }
            let found = decoder.difference();
            prop_assert!(found.len() <= decoder.received() as usize);
            prop_assert!(decoder.estimate() as usize >= found.theirs.len().abs_diff(found.ours.len()) / 60);
            // Ours were really ours, theirs were not.
            prop_assert!(found.ours.iter().all(|item| decoder.ours().contains(*item)));
            prop_assert!(!found.theirs.iter().any(|item| decoder.ours().contains(*item)));
        }
    }
}

#[test]
fn more_symbols_than_any_exchange_has_are_refused() {
    let mut decoder = Decoder::new(ItemSet::default());
    let many = vec![Symbol { sum: 1, checksum: 1, count: 2 }; 1 << 20];
    assert_eq!(decoder.receive(&many), Ok(Progress::More));
    assert_eq!(decoder.receive(&many[..1]), Err(DecodeError::TooMany));
    assert_eq!(decoder.difference(), Difference::default());
    let mut encoder = Encoder::new(ItemSet::default());
    assert_eq!(encoder.batch(u32::MAX).len(), 1 << 20);
    assert_eq!(encoder.batch(1).len(), 0);
}

#[test]
fn equal_sets_are_known_as_equal_after_one_symbol() {
    let (ours, theirs) = two_sets(5000, 0, 0, Salt(3));
    assert_eq!(reconcile(ours, theirs, &[1]), (Difference::default(), 1));
}

/// Symbols needed for one difference, times 100, on average over so many exchanges.
fn hundredths_per_difference(difference: u64, exchanges: u64) -> u64 {
    let symbols = (0..exchanges).map(|exchange| {
        let salt = Salt(exchange);
        let (ours, theirs) = two_sets(10, difference / 3, difference - difference / 3, salt);
        // Fine enough to see the exact number for small ones.
        let batch = u32::try_from(difference / 200).unwrap_or(u32::MAX).max(1);
        u64::from(reconcile(ours, theirs, &[batch]).1)
    });
    symbols.sum::<u64>() * 100 / (difference * exchanges)
}

#[test]
fn symbols_stay_in_proportion_to_the_difference() {
    // Measured: 100, 165, 178, 159, 144, 137, 135 for d = 1, 3, 10, 30, 100, 1,000, 10,000.
    let bounds = [(1, 100, 110), (3, 200, 180), (10, 200, 190), (30, 100, 175)];
    let larger = [(100, 50, 160), (1_000, 10, 150), (10_000, 2, 145)];
    for (difference, exchanges, at_most) in bounds.into_iter().chain(larger) {
        let hundredths = hundredths_per_difference(difference, exchanges);
        println!("d={difference}: {hundredths} symbols for 100 differences");
        assert!(hundredths <= at_most, "d={difference}: {hundredths}");
        assert!(hundredths >= 100, "fewer symbols than differences cannot be");
    }
}

#[test]
fn the_estimate_is_of_the_size_of_the_difference() {
    for (only_ours, only_theirs) in [(500, 500), (0, 1000), (100, 900)] {
        let total = u32::try_from(only_ours + only_theirs).expect("small");
        let estimates = (0..40).map(|salt| {
            let (ours, theirs) = two_sets(3000, only_ours, only_theirs, Salt(salt));
            let mut decoder = Decoder::new(ours);
            decoder.receive(&Encoder::new(theirs).batch(33)).expect("the symbols of a set");
            decoder.estimate()
        });
        let mean = estimates.sum::<u32>() / 40;
        assert!(mean.abs_diff(total) <= total / 5, "{mean} for {total}");
    }
}
