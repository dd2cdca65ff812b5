//! What another member of a partition has reported.

use alloc::vec::Vec;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use dynamo_messages::KnownBy;
use dynamo_types::{ActorId, CheckpointName};
use dynamo_versioning::DotSet;

const VERSION: u8 = 2;

/// A member's last report.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    /// The dots of its durable clock; none if it has become incomplete since.
    pub dots: DotSet,
    /// The checkpoints that it is known by: that of the report, and those that others knew it by when
    /// this node was incomplete. At most [`KnownBy::CHECKPOINTS_MAX`].
    pub checkpoints: Vec<CheckpointName>,
}

impl Report {
    /// The row.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let mut dots = Vec::with_capacity(self.dots.encoded_len());
        self.dots.encode(&mut dots);
        let mut row = BytesMut::with_capacity(2 + self.checkpoints.len() * 16 + dots.len());
        row.put_u8(VERSION);
        put_checkpoints(&mut row, &self.checkpoints);
        row.put_slice(&dots);
        row.freeze()
    }

    /// What [`Report::encode`] wrote; `None` if the row is not one of this version.
    #[must_use]
    pub fn decode(row: &[u8]) -> Option<Self> {
        let mut rest = row;
        if rest.try_get_u8().ok()? != VERSION {
            return None;
        }
        let checkpoints = get_checkpoints(&mut rest)?;
        let (dots, read) = DotSet::decode(rest).ok()?;
        (read == rest.len()).then_some(Self { dots, checkpoints })
    }
}

/// Writes some names, with their number in front.
pub(super) fn put_checkpoints(row: &mut BytesMut, names: &[CheckpointName]) {
    row.put_u8(u8::try_from(names.len()).expect("at most CHECKPOINTS_MAX"));
    for name in names {
        row.put_u64(name.process.0);
        row.put_u64(name.number);
    }
}

/// Reads what [`put_checkpoints`] wrote.
pub(super) fn get_checkpoints(rest: &mut &[u8]) -> Option<Vec<CheckpointName>> {
    let count = usize::from(rest.try_get_u8().ok()?);
    if count > KnownBy::CHECKPOINTS_MAX {
        return None;
    }
    let name = |_| {
        let process = ActorId(rest.try_get_u64().ok()?);
        Some(CheckpointName { process, number: rest.try_get_u64().ok()? })
    };
    (0..count).map(name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use dynamo_versioning::Dot;

    #[test]
    fn reports_read_back_and_torn_ones_are_refused() {
        let name = |number| CheckpointName { process: ActorId(7), number };
        for checkpoints in [Vec::new(), alloc::vec![name(1), name(2)]] {
            let dots = [Dot::new(ActorId(3), 9)].into_iter().collect();
            let report = Report { dots, checkpoints };
            let row = report.encode();
            assert_eq!(Report::decode(&row), Some(report));
            for length in 0..row.len() {
                assert_eq!(Report::decode(&row[..length]), None, "{length} bytes");
            }
        }
    }
}
