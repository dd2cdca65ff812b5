//! Hints: what fallbacks keep for members (protocol rule 7).

use dynamo_versioning::{DotClock, Record, receive_delayed};

use super::node::RowName;
use super::{Cluster, LeftOut};

/// A hint that a fallback sent to its member, who has not answered yet.
pub(super) struct Offered {
    fallback: usize,
    pub(super) name: RowName,
    record: Record,
    /// Whether the member has synced what came of it.
    pub(super) synced: bool,
}

impl Cluster {
    /// A replica write goes to a fallback: it counts as a copy if its put still waits for copies.
    pub(super) fn divert(
        &mut self,
        message: usize,
        fallback: usize,
        acknowledging: bool,
    ) -> Result<(), String> {
        let Some(at) = message.checked_rem(self.messages.len()) else { return Ok(()) };
        if self.messages[at].state_of.is_some() {
            return Ok(());
        }
        let message = self.messages.swap_remove(at);
        let name = (message.to, message.key);
        let mut row = self.row(fallback, name).stored;
        receive_delayed(&mut row, &message.record, &DotClock::new());
        self.store(fallback, name, row, acknowledging)
    }

    pub(super) fn offer_hints(&mut self, fallback: usize) -> Result<(), String> {
        let hints = self.nodes[fallback].disk.rows.clone();
        for (name @ (to, key), hint) in hints {
            let record = hint.stored.record;
            for piece in record.pieces() {
                self.receive(to, key, &piece, None)?;
            }
            let synced = !self.nodes[to].dirty;
            self.offered.push(Offered { fallback, name, record, synced });
        }
        Ok(())
    }

    /// Removes the hints that their members have safely, unless they changed meanwhile.
    pub(super) fn hear_of_hints(&mut self, fallback: usize) -> Result<(), String> {
        for offered in core::mem::take(&mut self.offered) {
            let answered = offered.synced || self.without(LeftOut::AckBeforeSync);
            if offered.fallback != fallback || !answered {
                self.offered.push(offered);
                continue;
            }
            let hint = self.row(fallback, offered.name).stored.record;
            if hint == offered.record || self.without(LeftOut::HintRemovedUncompared) {
                let owner = &mut self.nodes[fallback];
                owner.dirty |= owner.disk.rows.remove(&offered.name).is_some();
            }
        }
        Ok(())
    }

    /// Makes room in a full hint space.
    pub(super) fn drop_hints(&mut self, fallback: usize) -> Result<(), String> {
        let all = self.without(LeftOut::AcknowledgingHintDropped);
        let owner = &mut self.nodes[fallback];
        owner.disk.rows.retain(|_, row| row.acknowledging && !all);
        owner.dirty = true;
        Ok(())
    }
}
