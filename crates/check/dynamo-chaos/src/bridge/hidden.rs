//! Parents that no client can name, because a reply shows no tombstones: the deletes behind a
//! context.
//!
//! A delete whose dot is known is behind a context that covers the dot. The dot of a delete that was
//! applied and then replaced before anyone showed it stays unknown, if its acknowledgement was lost or
//! an earlier attempt may have made another version. Whoever saw such a delete saw all that it
//! replaced: a context that covers everything which the delete's own contexts covered may therefore be
//! of a client that saw it, and the checks must allow for that. It says nothing that is not so, for
//! what the delete replaced is covered by that context in any case. It is not done for a delete that
//! replicas still hold in the end: its dot is known then, and standing beside it is no offence.

use std::collections::{BTreeMap, BTreeSet};

use dynamo_checker::history::{Outcome, WriteId, WriteKind};

use super::dots::Dots;
use crate::observations::Observations;

/// The hidden parents of all writes; `visible` are the writes whose versions replicas hold.
pub(super) fn parents(
    observations: &Observations,
    dots: &Dots,
    visible: &BTreeSet<WriteId>,
) -> BTreeMap<WriteId, Vec<WriteId>> {
    let history = &observations.history;
    let mut hidden: BTreeMap<WriteId, Vec<WriteId>> = BTreeMap::new();
    for key in history.key_indices() {
        let deletes: Vec<WriteId> = history
            .writes_to(key)
            .filter(|(_, write)| write.kind == WriteKind::Delete)
            .filter(|(_, write)| write.outcome != Outcome::Failed)
            .map(|(id, _)| id)
            .collect();
        for (id, write) in history.writes_to(key) {
            let Some(context) = observations.contexts.get(&id) else { continue };
            let seen = deletes.iter().copied().filter(|delete| {
                let known = dots.of(*delete).any(|dot| context.contains(dot));
                let perhaps = || {
                    let covered = observations.contexts.get(delete);
                    history.write(*delete).invoked < write.invoked
                        && !visible.contains(delete)
                        && has_unknown_dots(observations, *delete)
                        && covered.is_some_and(|c| !c.is_empty() && c.is_subset_of(context))
                };
                *delete != id && (known || perhaps())
            });
            hidden.entry(id).or_default().extend(seen);
        }
    }
    hidden
}

/// Whether a version of this write may exist of which nobody ever told the dot.
fn has_unknown_dots(observations: &Observations, write: WriteId) -> bool {
    let of = observations.history.write(write);
    !matches!(of.outcome, Outcome::Acknowledged(_)) || of.attempts.len() > 1
}
