//! The record of one object: its versions and the context that says what they replaced.

mod encoding;

use alloc::vec::Vec;

use bytes::Bytes;
use dynamo_types::planted::{PlantedBug, planted};
use thiserror::Error;

pub use encoding::DecodeRecordError;

use crate::dot::Dot;
use crate::dot_set::DotSet;
use crate::hybrid_clock::Hlc;
use crate::sibling::{Content, Sibling};

/// What a replica knows of one object: the unit that is stored, sent and hashed.
///
/// A dot in the context that is no sibling's says: that version was replaced. The siblings are
/// concurrent, sorted by dot, and all in the context. Nothing is ever removed but by a version that
/// replaced it, by [collection](crate::collect) or by the replica's own disk.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Record {
    context: DotSet,
    hlc_max: Hlc,
    siblings: Vec<Sibling>,
}

/// Why parts make no record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum RecordPartsError {
    /// Siblings are not sorted by dot, or two have the same.
    #[error("sibling {0} is out of order or comes twice")]
    SiblingOrder(Dot),
    /// A sibling's dot is missing in the context.
    #[error("sibling {0} is not in the context")]
    OutsideContext(Dot),
    /// A sibling is later than the record's greatest timestamp.
    #[error("sibling {0} is later than the record's greatest timestamp")]
    LaterThanMax(Dot),
}

impl Record {
    /// A record that knows nothing; neutral in [`Record::merge`].
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A record of given parts, in any order of siblings: for tests and tools.
    ///
    /// # Errors
    /// Names the first sibling that breaks a rule of records.
    pub fn from_parts(
        context: DotSet,
        hlc_max: Hlc,
        mut siblings: Vec<Sibling>,
    ) -> Result<Self, RecordPartsError> {
        siblings.sort_by_key(|s| s.dot);
        Self::from_canonical_parts(context, hlc_max, siblings)
    }

    fn from_canonical_parts(
        context: DotSet,
        hlc_max: Hlc,
        siblings: Vec<Sibling>,
    ) -> Result<Self, RecordPartsError> {
        for (place, sibling) in siblings.iter().enumerate() {
            let dot = sibling.dot;
            if place > 0 && siblings[place - 1].dot >= dot {
                return Err(RecordPartsError::SiblingOrder(dot));
            }
            if !context.contains(dot) {
                return Err(RecordPartsError::OutsideContext(dot));
            }
            if sibling.hlc > hlc_max {
                return Err(RecordPartsError::LaterThanMax(dot));
            }
        }
        Ok(Self { context, hlc_max, siblings })
    }

    /// The dots of all versions that this record holds or knows to be replaced.
    ///
    /// Its intervals may also span counters that the same actor gave to other keys.
    #[must_use]
    pub fn context(&self) -> &DotSet {
        &self.context
    }

    /// At least the greatest timestamp of every version in the context.
    #[must_use]
    pub fn hlc_max(&self) -> Hlc {
        self.hlc_max
    }

    /// The concurrent versions, sorted by dot, tombstones and expired ones included.
    #[must_use]
    pub fn siblings(&self) -> &[Sibling] {
        &self.siblings
    }

    /// The sibling of that dot.
    #[must_use]
    pub fn sibling(&self, dot: Dot) -> Option<&Sibling> {
        let at = self.siblings.binary_search_by_key(&dot, |s| s.dot).ok()?;
        Some(&self.siblings[at])
    }

    /// Whether it knows nothing: no sibling and no context.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.siblings.is_empty() && self.context.is_empty()
    }

    /// The siblings' dots, ascending: what the hash tree digests.
    pub fn dots(&self) -> impl Iterator<Item = Dot> {
        self.siblings.iter().map(|s| s.dot)
    }

    /// Whether both hold the same versions. Contexts then differ at most in form.
    #[must_use]
    pub fn same_versions(&self, other: &Self) -> bool {
        self.dots().eq(other.dots())
    }

    /// Whether the version of that dot is held or known to be replaced.
    #[must_use]
    pub fn covers(&self, dot: Dot) -> bool {
        self.context.contains(dot)
    }

    /// The bytes of all values.
    #[must_use]
    pub fn value_bytes(&self) -> usize {
        self.siblings.iter().map(Sibling::value_bytes).sum()
    }

    /// Joins what the other record knows into this one; tells whether that changed anything.
    ///
    /// This is the pure dotted join (protocol rule 2): a version stays if both hold it, or if one
    /// holds it and the other's context does not cover it. It is commutative, associative and
    /// idempotent, and looks at nothing but dots and contexts: what depends on clocks, profiles,
    /// tombstones or request ids belongs to a [view](crate::view).
    pub fn merge(&mut self, other: &Self) -> bool {
        let mut changed = false;
        let ours = core::mem::take(&mut self.siblings);
        let mut kept = Vec::with_capacity(ours.len() + other.siblings.len());
        let mut ours = ours.into_iter().peekable();
        let mut theirs = other.siblings.iter().peekable();
        loop {
            let take_ours = match (ours.peek(), theirs.peek()) {
                (None, None) => break,
                (Some(our), Some(their)) if our.dot == their.dot => {
                    theirs.next();
                    kept.extend(ours.next());
                    continue;
                }
                (Some(our), Some(their)) => our.dot < their.dot,
                (our, _) => our.is_some(),
            };
            if take_ours {
                kept.extend(ours.next().filter(|our| {
                    let covered = other.context.contains(our.dot);
                    changed |= covered;
                    !covered
                }));
            } else {
                let new = theirs.next().filter(|their| !self.context.contains(their.dot));
                changed |= new.is_some();
                kept.extend(new.cloned());
            }
        }
        self.siblings = kept;
        if !other.context.is_subset_of(&self.context) {
            self.context.union_with(&other.context);
            changed = true;
        }
        if other.hlc_max > self.hlc_max {
            self.hlc_max = other.hlc_max;
            changed = true;
        }
        if planted(PlantedBug::LwwInMerge) {
            let last = self.siblings.iter().map(|s| (s.hlc, s.dot)).max();
            self.siblings.retain(|s| Some((s.hlc, s.dot)) == last);
        }
        changed
    }

    /// The record in pieces of one sibling each, for transport: a record without siblings is one
    /// piece. Merging all pieces in any order gives the record back.
    ///
    /// Each piece is a valid message by itself. All but the last claim nothing except their own
    /// dot; the last carries the rest of the context, which says what *any* of the siblings
    /// replaced. Send them in this order on one ordered stream: a receiver that got the last then
    /// also holds the replacement of everything that the last declares replaced, so that a sender
    /// whose disk dies between two pieces takes nothing with it.
    pub fn pieces(&self) -> impl Iterator<Item = Self> {
        let last = self.siblings.len().saturating_sub(1);
        (0..=last).map(move |place| {
            let Some(sibling) = self.siblings.get(place) else { return self.clone() };
            let context = if place == last {
                let mut rest = self.context.clone();
                self.siblings[..place].iter().for_each(|other| rest.remove(other.dot));
                rest
            } else {
                DotSet::from_iter([sibling.dot])
            };
            Self { context, hlc_max: self.hlc_max, siblings: alloc::vec![sibling.clone()] }
        })
    }

    /// What the record claims besides its siblings: their dots taken out of the context, and no
    /// version. Merged into a copy that still holds replaced versions, it removes them.
    #[must_use]
    pub fn context_only(&self) -> Self {
        let mut claims = self.clone();
        for dot in self.dots() {
            claims.forget(dot);
        }
        claims
    }

    /// The same record with all values emptied, for listings. It must never be merged into a
    /// stored record: its siblings have the dots of the full ones.
    #[must_use]
    pub fn without_values(&self) -> Self {
        let mut emptied = self.clone();
        for sibling in &mut emptied.siblings {
            if let Content::Value { bytes, .. } = &mut sibling.content {
                *bytes = Bytes::new();
            }
        }
        emptied
    }

    /// A record of one version alone.
    pub(crate) fn of_version(context: DotSet, sibling: Sibling) -> Self {
        debug_assert!(context.contains(sibling.dot));
        Self { context, hlc_max: sibling.hlc, siblings: alloc::vec![sibling] }
    }

    /// Adds a version just minted: `replaced` are the siblings that it replaces, `context` what the
    /// record covers from now on besides what it did.
    pub(crate) fn add_version(&mut self, sibling: Sibling, replaced: &DotSet, context: &DotSet) {
        self.context.union_with(context);
        self.hlc_max = self.hlc_max.max(sibling.hlc);
        self.siblings.retain(|s| !replaced.contains(s.dot));
        let at = self.siblings.partition_point(|s| s.dot < sibling.dot);
        self.siblings.insert(at, sibling);
    }

    /// Drops a version as if this record had never heard of it.
    pub(crate) fn forget(&mut self, dot: Dot) {
        self.siblings.retain(|s| s.dot != dot);
        self.context.remove(dot);
    }

    /// Drops a version and goes on to claim that it was replaced: the planted mistake's way.
    pub(crate) fn drop_sibling(&mut self, dot: Dot) {
        self.siblings.retain(|s| s.dot != dot);
    }

    /// Cuts the context down to the siblings' dots.
    pub(crate) fn cut_context(&mut self) {
        self.context = self.dots().collect();
    }
}
