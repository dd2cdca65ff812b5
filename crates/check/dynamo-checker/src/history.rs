//! What clients asked and what they were told, in the order of asking.

use core::fmt;

use dynamo_messages::Receipt;
use dynamo_types::{Durability, Instant, ObjectName, RequestId};

/// A write, by its place in the history.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct WriteId(pub u32);

impl WriteId {
    /// The place as an index.
    #[must_use]
    pub fn index(self) -> usize {
        usize::try_from(self.0).expect("32 bits fit")
    }

    /// The request id that all attempts at this write carry.
    #[must_use]
    pub fn request(self) -> RequestId {
        RequestId((u128::from(REQUEST_PREFIX) << 32) | u128::from(self.0))
    }

    /// The write of a request id that a client of ours sent.
    #[must_use]
    pub fn of_request(request: RequestId) -> Option<Self> {
        let prefix = request.0 >> 32;
        let id = u32::try_from(request.0 & 0xffff_ffff).expect("the lower half");
        (prefix == u128::from(REQUEST_PREFIX)).then_some(Self(id))
    }
}

/// Tells our request ids from others.
const REQUEST_PREFIX: u64 = 0x05e1_f1e5;

impl fmt::Debug for WriteId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "w{}", self.0)
    }
}

impl fmt::Display for WriteId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "w{}", self.0)
    }
}

/// A key of the workload, by its place in [`History::keys`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeyIndex(pub u16);

/// A node, by its place in the cluster, from 0.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct HostIndex(pub u8);

impl HostIndex {
    /// The place as an index.
    #[must_use]
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

impl fmt::Debug for HostIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "n{}", self.0)
    }
}

impl fmt::Display for HostIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "n{}", self.0)
    }
}

/// A key and what its bucket promises.
#[derive(Debug, Clone)]
pub struct KeyFacts {
    /// Its name.
    pub name: ObjectName,
    /// Whether the last write wins.
    pub last_write_wins: bool,
    /// When a copy counts as stored.
    pub durability: Durability,
    /// The nodes that keep it.
    pub replicas: Vec<HostIndex>,
    /// Rows of this key that were damaged on a disk.
    pub damaged_rows: u32,
}

/// What a write writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WriteKind {
    /// A value.
    Value,
    /// A tombstone over what the client had read.
    Delete,
    /// A tombstone over whatever the coordinator reads.
    DeleteUnseen,
}

/// What a client knows of a write in the end, over all attempts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// No answer yet. Counts as unknown when the run ends.
    Pending,
    /// Stored, as the receipt says.
    Acknowledged(Receipt),
    /// Certainly not applied.
    Failed,
    /// Nobody can say.
    Unknown,
}

/// One attempt at a write.
#[derive(Debug, Clone, Copy)]
pub struct Attempt {
    /// The node it was sent to.
    pub host: HostIndex,
    /// When it was sent.
    pub sent: Instant,
}

/// A write and what became of it.
#[derive(Debug, Clone)]
pub struct Write {
    /// Where.
    pub key: KeyIndex,
    /// Which client, by number.
    pub client: u16,
    /// What.
    pub kind: WriteKind,
    /// The writes that the client had read and replaces.
    pub parents: Vec<WriteId>,
    /// How many copies the client wanted; the bucket's w if it did not say.
    pub w: u8,
    /// When the first attempt was sent.
    pub invoked: Instant,
    /// When the client knew the outcome.
    pub ended: Option<Instant>,
    /// All attempts in order.
    pub attempts: Vec<Attempt>,
    /// What the client knows.
    pub outcome: Outcome,
}

/// One value of a reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// A value of that write.
    Write(WriteId),
    /// Something that no client wrote to this key.
    Invention(String),
}

/// A read that was answered.
#[derive(Debug, Clone)]
pub struct Read {
    /// Where.
    pub key: KeyIndex,
    /// Which client, by number.
    pub client: u16,
    /// The node that coordinated.
    pub host: HostIndex,
    /// How many replicas the client wanted.
    pub r: u8,
    /// Whether only replicas might answer, and no fallback that keeps a hint (`quorum=strict`).
    pub strict: bool,
    /// When it was asked.
    pub invoked: Instant,
    /// When it was answered.
    pub ended: Instant,
    /// The values of the answer.
    pub values: Vec<Seen>,
    /// Whether all replicas had come to agree before it was asked.
    pub after_convergence: bool,
}

impl Read {
    /// The writes whose values were seen.
    pub fn writes(&self) -> impl Iterator<Item = WriteId> + '_ {
        self.values.iter().filter_map(|seen| match seen {
            Seen::Write(write) => Some(*write),
            Seen::Invention(_) => None,
        })
    }
}

/// Everything that clients did.
#[derive(Debug, Clone, Default)]
pub struct History {
    /// The keys.
    pub keys: Vec<KeyFacts>,
    /// All writes; [`WriteId`] is the place.
    pub writes: Vec<Write>,
    /// All reads that were answered.
    pub reads: Vec<Read>,
}

impl History {
    /// The facts of a key.
    #[must_use]
    pub fn key(&self, key: KeyIndex) -> &KeyFacts {
        &self.keys[usize::from(key.0)]
    }

    /// All keys in order.
    pub fn key_indices(&self) -> impl Iterator<Item = KeyIndex> + use<> {
        let count = u16::try_from(self.keys.len()).expect("few keys");
        (0..count).map(KeyIndex)
    }

    /// One write.
    #[must_use]
    pub fn write(&self, id: WriteId) -> &Write {
        &self.writes[id.index()]
    }

    /// Notes a new write.
    pub fn begin_write(&mut self, write: Write) -> WriteId {
        let id = WriteId(u32::try_from(self.writes.len()).expect("a run has few writes"));
        self.writes.push(write);
        id
    }

    /// The writes to a key.
    pub fn writes_to(&self, key: KeyIndex) -> impl Iterator<Item = (WriteId, &Write)> {
        (0u32..).map(WriteId).zip(&self.writes).filter(move |(_, write)| write.key == key)
    }

    /// All acknowledged writes with their receipts.
    pub fn acknowledged(&self) -> impl Iterator<Item = (WriteId, &Write, Receipt)> {
        (0u32..).map(WriteId).zip(&self.writes).filter_map(|(id, write)| match write.outcome {
            Outcome::Acknowledged(receipt) => Some((id, write, receipt)),
            Outcome::Pending | Outcome::Failed | Outcome::Unknown => None,
        })
    }

    /// What happened to one key, for people.
    #[must_use]
    pub fn describe_key(&self, key: KeyIndex) -> String {
        let facts = self.key(key);
        let mut lines = vec![(
            Instant::ZERO,
            format!(
                "key {} on {:?}{}{}",
                facts.name,
                facts.replicas,
                if facts.last_write_wins { ", last write wins" } else { "" },
                if facts.durability == Durability::Buffered { ", buffered" } else { "" },
            ),
        )];
        for (id, write) in self.writes_to(key) {
            lines.push((
                write.invoked,
                format!(
                    "client {} writes {id} ({:?}, w={}) over {:?} via {:?}: {:?} at {}",
                    write.client,
                    write.kind,
                    write.w,
                    write.parents,
                    write.attempts.iter().map(|a| a.host).collect::<Vec<_>>(),
                    write.outcome,
                    write.ended.map_or_else(|| "never".to_owned(), seconds),
                ),
            ));
        }
        for read in self.reads.iter().filter(|read| read.key == key) {
            let (client, host, r) = (read.client, read.host, read.r);
            let text = format!(
                "client {client} reads {:?} via {host} (r={r}) until {}",
                read.values,
                seconds(read.ended)
            );
            lines.push((read.invoked, text));
        }
        lines.sort_by_key(|(at, _)| *at);
        lines.iter().map(|(at, text)| format!("  {} {text}\n", seconds(*at))).collect()
    }
}

/// A moment as seconds with six digits behind the point.
#[must_use]
pub fn seconds(at: Instant) -> String {
    format!("{}.{:06}", at.0 / 1_000_000_000, at.0 % 1_000_000_000 / 1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_id_names_its_write() {
        assert_eq!(WriteId::of_request(WriteId(77).request()), Some(WriteId(77)));
        assert_eq!(WriteId::of_request(RequestId(77)), None);
    }
}
