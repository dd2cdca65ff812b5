//! Random histories keep every promise of replication.

#[cfg(not(planted_bugs))]
use crate::model::{Manner, first_failure};

/// Seeds of one ordinary run; `DYNAMO_MODEL_SEEDS=from..to` plays others.
pub(crate) fn seeds() -> core::ops::Range<u64> {
    let Ok(given) = std::env::var("DYNAMO_MODEL_SEEDS") else { return 0..5_000 };
    let (from, to) = given.split_once("..").expect("DYNAMO_MODEL_SEEDS is from..to");
    from.parse().expect("a number")..to.parse().expect("a number")
}

/// With planted bugs in the build, the test of those plays these histories too: a bug is planted
/// for the whole process.
#[cfg(not(planted_bugs))]
#[test]
fn no_history_loses_revives_or_overwrites_what_nobody_saw() {
    let failure = first_failure(seeds(), Manner::KEPT);
    assert!(failure.is_none(), "{}", failure.unwrap().explained(Manner::KEPT));
}
