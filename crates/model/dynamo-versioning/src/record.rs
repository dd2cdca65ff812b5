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
use crate::versions_digest::VersionsDigest;

/// What a replica knows of one object: the unit that is stored, sent and hashed.
///
/// A dot in the context that is no sibling's says: that version was replaced. The siblings are
/// concurrent, sorted by dot, and all in the context. Nothing is ever removed but by a version that
/// replaced it, by [collection](crate::collect) or by the replica's own disk.
///
/// Where siblings stand side by side, the record also keeps each one's *claim*: the part of the
/// context that this version replaced, and its own dot. So a version can travel without its
/// siblings and still say all that it replaced, and nothing that only they did.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Record {
    context: DotSet,
    hlc_max: Hlc,
    siblings: Vec<Sibling>,
    /// One claim per sibling, in their order: inside the context, with the sibling's own dot and no
    /// other sibling's. Left out, that is empty, where a lone sibling claims the whole context.
    claims: Vec<DotSet>,
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
    /// A sibling's claim lies outside the context, misses the sibling's own dot, has another's, or
    /// should have been left out.
    #[error("sibling {0} has a claim that it cannot have")]
    Claim(Dot),
}

impl Record {
    /// A record that knows nothing; neutral in [`Record::merge`].
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A record of given parts, in any order of siblings: for tests and tools. A lone sibling claims
    /// the whole context, several claim no more than their own dots.
    ///
    /// # Errors
    /// Names the first sibling that breaks a rule of records.
    pub fn from_parts(
        context: DotSet,
        hlc_max: Hlc,
        mut siblings: Vec<Sibling>,
    ) -> Result<Self, RecordPartsError> {
        siblings.sort_by_key(|s| s.dot);
        let claims = match siblings.len() {
            0 | 1 => Vec::new(),
            _ => siblings.iter().map(|s| DotSet::from_iter([s.dot])).collect(),
        };
        Self::from_canonical_parts(context, hlc_max, siblings, claims)
    }

    fn from_canonical_parts(
        context: DotSet,
        hlc_max: Hlc,
        siblings: Vec<Sibling>,
        claims: Vec<DotSet>,
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
        let dots: DotSet = siblings.iter().map(|s| s.dot).collect();
        for (sibling, claim) in siblings.iter().zip(&claims) {
            let own = DotSet::from_iter([sibling.dot]);
            let left_out = siblings.len() == 1 && *claim == context;
            if left_out || !claim.is_subset_of(&context) || claim.intersection(&dots) != own {
                return Err(RecordPartsError::Claim(sibling.dot));
            }
        }
        if let (Some(first), true) = (siblings.first(), claims.is_empty() && siblings.len() > 1) {
            return Err(RecordPartsError::Claim(first.dot));
        }
        Ok(Self { context, hlc_max, siblings, claims })
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

    /// The digest of all versions held: equal for two records if and only if they hold the
    /// [same versions](Self::same_versions).
    #[must_use]
    pub fn versions_digest(&self) -> VersionsDigest {
        VersionsDigest::of(self.dots())
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
        let lone_claim =
            (self.siblings.len() == 1 && self.claims.is_empty()).then(|| self.context.clone());
        let our_claims = core::mem::take(&mut self.claims).into_iter().chain(lone_claim);
        let mut ours = core::mem::take(&mut self.siblings).into_iter().zip(our_claims).peekable();
        let mut theirs = other.siblings.iter().enumerate().peekable();
        loop {
            let take_ours = match (ours.peek(), theirs.peek()) {
                (None, None) => break,
                (Some((our, _)), Some((_, their))) => our.dot <= their.dot,
                (our, _) => our.is_some(),
            };
            if take_ours {
                let Some((our, mut claim)) = ours.next() else { continue };
                if let Some((place, _)) = theirs.next_if(|(_, their)| their.dot == our.dot) {
                    let theirs = other.claim(place);
                    if !theirs.is_subset_of(&claim) {
                        claim.union_with(theirs);
                        changed = true;
                    }
                } else if other.context.contains(our.dot) {
                    changed = true;
                    continue;
                }
                self.siblings.push(our);
                self.claims.push(claim);
            } else if let Some((place, their)) = theirs.next()
                && !self.context.contains(their.dot)
            {
                changed = true;
                self.siblings.push(their.clone());
                self.claims.push(other.claim(place).clone());
            }
        }
        if !other.context.is_subset_of(&self.context) {
            self.context.union_with(&other.context);
            changed = true;
        }
        if other.hlc_max > self.hlc_max {
            self.hlc_max = other.hlc_max;
            changed = true;
        }
        if planted(PlantedBug::LwwInMerge) {
            let last = self.siblings.iter().max_by_key(|s| (s.hlc, s.dot)).map(|s| s.dot);
            self.retain(|dot| Some(dot) == last);
        }
        if planted(PlantedBug::TombstonesDroppedInMerge) {
            self.drop_tombstones_beside_the_living();
        }
        self.leave_out_lone_claim();
        if planted(PlantedBug::MergeForgetsReplaced) {
            self.cut_context();
        }
        changed
    }

    /// The planted merge that normalises deletes, which is no lattice operation (history 3).
    fn drop_tombstones_beside_the_living(&mut self) {
        let living = self.siblings.iter().filter(|s| !s.is_tombstone());
        let living: DotSet = living.map(|s| s.dot).collect();
        if !living.is_empty() {
            self.retain(|dot| living.contains(dot));
        }
    }

    /// The record in pieces of one sibling each, for transport: a record without siblings is one
    /// piece. Merging all pieces in any order gives the record back.
    ///
    /// Each piece is a valid message by itself: it covers what its own version replaced. The last
    /// one also carries what the context has beyond all claims.
    pub fn pieces(&self) -> impl Iterator<Item = Self> {
        let count = self.siblings.len().max(1);
        (0..count).map(move |place| {
            let mut piece = self.piece(place);
            if place + 1 == count && count > 1 {
                let mut unclaimed = self.context.clone();
                self.claims.iter().for_each(|claim| unclaimed.subtract(claim));
                if !unclaimed.is_empty() {
                    piece.claims.push(piece.context.clone());
                    piece.context.union_with(&unclaimed);
                }
            }
            piece
        })
    }

    /// One version alone with what it replaced, as [`Record::pieces`] has it: for sending it again.
    #[must_use]
    pub fn version(&self, dot: Dot) -> Option<Self> {
        self.siblings.binary_search_by_key(&dot, |s| s.dot).ok().map(|place| self.piece(place))
    }

    fn piece(&self, place: usize) -> Self {
        match self.siblings.get(place) {
            Some(sibling) if self.siblings.len() > 1 => Self {
                context: self.claims[place].clone(),
                hlc_max: self.hlc_max,
                siblings: alloc::vec![sibling.clone()],
                claims: Vec::new(),
            },
            _ => self.clone(),
        }
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

    /// What the sibling at `place` replaced, and its own dot.
    fn claim(&self, place: usize) -> &DotSet {
        self.claims.get(place).unwrap_or(&self.context)
    }

    /// What the siblings of these dots replaced, and their own dots.
    pub(crate) fn claims_of(&self, dots: &DotSet) -> DotSet {
        let mut claims = DotSet::new();
        for (place, sibling) in self.siblings.iter().enumerate() {
            if dots.contains(sibling.dot) {
                claims.union_with(self.claim(place));
            }
        }
        claims
    }

    /// Adds a version just minted: `replaced` are the siblings that it replaces, `claim` is what it
    /// covers, with its own dot. Returns the message for other replicas.
    pub(crate) fn add_version(
        &mut self,
        sibling: Sibling,
        replaced: &DotSet,
        claim: DotSet,
    ) -> Self {
        if self.siblings.len() == 1 && self.claims.is_empty() {
            self.claims.push(self.context.clone());
        }
        self.retain(|dot| !replaced.contains(dot));
        self.context.union_with(&claim);
        self.hlc_max = self.hlc_max.max(sibling.hlc);
        let at = self.siblings.partition_point(|s| s.dot < sibling.dot);
        self.siblings.insert(at, sibling);
        // All that a record covers was replaced by one of its siblings, directly or in turn. So a
        // version that stands alone replaced all of it.
        let alone = self.siblings.len() == 1;
        self.claims.insert(at, if alone { self.context.clone() } else { claim });
        self.leave_out_lone_claim();
        let mut message = self.piece(at);
        if planted(PlantedBug::WriteClaimsWholeContext) {
            message.context = self.context.clone();
            self.dots()
                .filter(|dot| *dot != self.siblings[at].dot)
                .for_each(|dot| message.context.remove(dot));
        }
        message
    }

    /// Drops a version as if this record had never heard of it: its dot leaves the context too, so
    /// that no claim about it remains (protocol rule 4).
    pub fn forget(&mut self, dot: Dot) {
        self.drop_sibling(dot);
        self.context.remove(dot);
        self.claims.iter_mut().for_each(|claim| claim.remove(dot));
        self.leave_out_lone_claim();
    }

    /// Drops a version and goes on to claim that it was replaced: the planted mistake's way.
    pub(crate) fn drop_sibling(&mut self, dropped: Dot) {
        self.retain(|dot| dot != dropped);
        self.leave_out_lone_claim();
    }

    /// Takes dots out of the context and all claims: the planted way to cut a context down.
    pub(crate) fn prune(&mut self, dots: &DotSet) {
        self.context.subtract(dots);
        self.claims.iter_mut().for_each(|claim| claim.subtract(dots));
        self.leave_out_lone_claim();
    }

    /// Cuts the context and all claims down to the siblings' dots.
    pub(crate) fn cut_context(&mut self) {
        self.context = self.dots().collect();
        self.claims = self.dots().map(|dot| DotSet::from_iter([dot])).collect();
        self.leave_out_lone_claim();
    }

    /// Keeps the siblings of some dots, with their claims where these are written out.
    fn retain(&mut self, keep: impl Fn(Dot) -> bool) {
        if !self.claims.is_empty() {
            let mut dots = self.siblings.iter().map(|s| s.dot);
            self.claims.retain(|_| dots.next().is_some_and(&keep));
        }
        self.siblings.retain(|s| keep(s.dot));
    }

    fn leave_out_lone_claim(&mut self) {
        match self.claims.as_slice() {
            [claim] if *claim == self.context => self.claims.clear(),
            _ => {}
        }
    }
}
