//! What replies do not show: tombstones. The deletes behind a context, and deletes that left no trace.
//!
//! A delete is behind a context that covers its dot, if the dot is known. It is not always: the
//! acknowledgement may be lost, an earlier attempt may have made another version, and a tombstone that
//! all replicas have is collected, with what it covered. So a delete that no replica holds in the end
//! counts as collected, unless it certainly failed: it stands for what its client had read, and for
//! nothing else. That lets one thing pass: a value lost by a fault of the system that somebody had
//! tried to delete anyway.

use std::collections::{BTreeMap, BTreeSet};

use dynamo_checker::history::{Outcome, WriteId, WriteKind};
use dynamo_versioning::Hlc;

use super::dots::Dots;
use crate::observations::Observations;

/// The deletes behind the contexts of all writes.
pub(super) fn parents(observations: &Observations, dots: &Dots) -> BTreeMap<WriteId, Vec<WriteId>> {
    let history = &observations.history;
    let mut hidden: BTreeMap<WriteId, Vec<WriteId>> = BTreeMap::new();
    for key in history.key_indices() {
        let is_delete = |id: &WriteId| history.write(*id).kind != WriteKind::Value;
        let deletes: Vec<_> = dots.of_key(key).filter(|(_, id)| is_delete(id)).collect();
        for (id, _) in history.writes_to(key) {
            let Some(context) = observations.contexts.get(&id) else { continue };
            let seen = deletes.iter().filter(|(dot, of)| *of != id && context.contains(*dot));
            hidden.entry(id).or_default().extend(seen.map(|(_, delete)| *delete));
        }
    }
    hidden
}

/// The deletes that may have been applied and are nowhere in the end; `visible` are the writes whose
/// versions replicas hold.
pub(super) fn collected(
    observations: &Observations,
    visible: &BTreeSet<WriteId>,
) -> BTreeSet<WriteId> {
    let writes = (0u32..).map(WriteId).zip(&observations.history.writes);
    writes
        .filter(|(id, write)| {
            write.kind != WriteKind::Value
                && write.outcome != Outcome::Failed
                && !visible.contains(id)
        })
        .map(|(id, _)| id)
        .collect()
}

/// The timestamp that a delete won by, where the last write wins: the greatest there is if nobody
/// told, since a version of it may have been made at any time.
pub(super) fn winning_hlc(observations: &Observations, delete: WriteId) -> Option<Hlc> {
    let write = observations.history.write(delete);
    if !observations.history.key(write.key).last_write_wins {
        return None;
    }
    let is_certain = matches!(write.outcome, Outcome::Acknowledged(_)) && write.attempts.len() == 1;
    (!is_certain).then_some(Hlc(u64::MAX))
}
