//! Random histories keep every promise of the merge.

use crate::model::first_failure;

/// Seeds of one ordinary run; `DYNAMO_MODEL_SEEDS=from..to` plays others.
fn seeds() -> core::ops::Range<u64> {
    let Ok(given) = std::env::var("DYNAMO_MODEL_SEEDS") else { return 0..2_000 };
    let (from, to) = given.split_once("..").expect("DYNAMO_MODEL_SEEDS is from..to");
    from.parse().expect("a number")..to.parse().expect("a number")
}

#[test]
fn no_history_loses_revives_or_overwrites_what_nobody_saw() {
    let failure = first_failure(seeds(), None, true, 2);
    assert!(failure.is_none(), "{}", failure.unwrap().explained(None, true));
}
