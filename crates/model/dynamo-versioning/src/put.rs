//! A put at its coordinator: a new dot, what it replaces, and what everybody may be told about it.
//!
//! Three sets of dots come out of a put, and they differ on purpose.
//!
//! - *The record's context* gains the request's context and the new dot. To keep it short, the new
//!   dot brings along the numbers since the process's last own dot of this key, so that it extends
//!   that one's interval; but only where nothing unseen can lie between, which the row's
//!   [own write](crate::OwnWrite) and the mint's floor decide (docs/decisions/0001-own-interval.md).
//! - *The client* gets its own context, the new dot and what that replaced, never what others wrote
//!   meanwhile: its next put would replace that unseen. The interval goes on for it too if its context ends exactly where
//!   the record's did.
//! - *The other replicas* get the version with its claim, which is what **it** replaced. If other
//!   siblings stay beside it, the record's context also says what those replaced, and a replica that
//!   heard of that before it has those siblings would drop versions whose replacements only the
//!   coordinator has.

use dynamo_types::planted::{PlantedBug, planted};
use dynamo_types::{RequestId, WallTime};
use thiserror::Error;

use crate::dot::{Dot, DotMint};
use crate::dot_set::DotSet;
use crate::hybrid_clock::{Hlc, HybridClock};
use crate::record::Record;
use crate::sibling::{BodyDigest, Content, Sibling};
use crate::stored_record::{OwnWrite, StoredRecord};

/// What a client asks to write.
#[derive(Debug, Clone)]
pub struct Put {
    /// The dots that the client has seen: these versions are replaced, no others.
    pub context: DotSet,
    /// The greatest timestamp behind that context.
    pub context_hlc: Hlc,
    /// A value, or a tombstone for a delete.
    pub content: Content,
    /// When the version expires, if ever.
    pub expires_at: Option<WallTime>,
    /// The client's request.
    pub request: RequestId,
    /// The digest of its body.
    pub digest: BodyDigest,
    /// Also replace every sibling that the coordinator holds: for `timestamp` buckets.
    pub covers_all_held: bool,
    /// Whether an own interval may be extended: false for fallbacks, whose rows come and go.
    pub may_extend: bool,
}

/// What a put did.
#[derive(Debug, Clone)]
pub struct Applied {
    /// The new version's dot.
    pub dot: Dot,
    /// What the other replicas are to merge: the new version and what it replaces.
    pub write: Record,
    /// What the client may cover from now on: the request's context, the new version and what that
    /// replaced.
    pub reply_context: DotSet,
    /// The new version's timestamp, greater than all behind `reply_context`.
    pub reply_hlc: Hlc,
}

/// A put is refused: its key holds too many siblings, and it would replace none of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the key holds {held} siblings, {max} are allowed, and the put replaces none of them")]
pub struct TooManySiblings {
    /// How many siblings the record holds.
    pub held: usize,
    /// The limit.
    pub max: usize,
}

/// Applies a put to the row of its key, under the key's slot.
///
/// The caller stores the row and sends [`Applied::write`] at the same time. If the store fails or
/// is abandoned it calls [`DotMint::raise_floor`].
///
/// # Errors
/// Refuses a put that would add a sibling to `siblings_max` or more; then nothing has changed and no
/// dot was taken. A put that replaces at least one sibling is never refused.
pub fn apply_put(
    stored: &mut StoredRecord,
    mint: &mut DotMint,
    clock: &mut HybridClock,
    wall: WallTime,
    put: Put,
    siblings_max: usize,
) -> Result<Applied, TooManySiblings> {
    let held = stored.record.siblings().len();
    let replaced: DotSet = stored
        .record
        .dots()
        .filter(|dot| put.covers_all_held || put.context.contains(*dot))
        .collect();
    if replaced.is_empty() && held >= siblings_max {
        return Err(TooManySiblings { held, max: siblings_max });
    }

    let mut covered_hlc = put.context_hlc.max(stored.record.hlc_max());
    if planted(PlantedBug::HlcByClockAlone) {
        covered_hlc = Hlc::ZERO;
    }
    let hlc = clock.tick(wall, covered_hlc);
    let own_end = stored.extendable_end(mint).filter(|_| put.may_extend);
    let dot = mint.next();
    // What a replaced version had replaced is replaced with it, also where the request's context
    // was cut short or the bucket's newest version replaced more than its client saw.
    let mut claim = put.context;
    if !planted(PlantedBug::ClaimForgetsReplaced) {
        claim.union_with(&stored.record.claims_of(&replaced));
    }
    // The numbers from the last own dot to this one went to other keys, so that anybody may cover
    // them: whoever covers that last dot, record or client, sees one interval go on.
    claim.insert_interval(dot.actor, own_end.unwrap_or(dot.counter - 1), dot.counter);
    let mut reply_context = claim.clone();
    if planted(PlantedBug::ExtendAfterRestart) {
        extend_whatever_is_there(stored, dot, &mut claim);
    }

    let sibling = Sibling {
        dot,
        hlc,
        content: put.content,
        expires_at: put.expires_at,
        request: put.request,
        digest: put.digest,
    };
    let write = stored.record.add_version(sibling, &replaced, claim);
    let own = OwnWrite { actor: dot.actor, counter: dot.counter };
    stored.own = put.may_extend.then_some(own);
    if planted(PlantedBug::PutReplyCoversTooMuch) {
        reply_context = stored.record.context().clone();
    }
    Ok(Applied { dot, write, reply_context, reply_hlc: hlc })
}

/// The planted mistake of history 5, both ways it happens: the own interval is extended whether or
/// not this row was written without a break, and the interval of an earlier process of this node
/// goes on as far as a block of leased counters would.
fn extend_whatever_is_there(stored: &StoredRecord, dot: Dot, gained: &mut DotSet) {
    const LEASED_BLOCK: u64 = 10_000;
    if let Some((_, end)) = stored.record.context().last_interval(dot.actor) {
        gained.insert_interval(dot.actor, end, dot.counter);
    }
    if let Some(own) = stored.own.filter(|own| own.actor != dot.actor) {
        gained.insert_interval(own.actor, own.counter, own.counter.saturating_add(LEASED_BLOCK));
    }
}
