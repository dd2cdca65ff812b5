//! The canonical bytes of members and of the messages in which they travel.
//!
//! ```text
//! message: version 1 byte, kind 1 byte, body, tag 16 bytes
//!   0 digest:  fingerprint 16 bytes
//!   1 summary: count 4 bytes, per node: id 8 bytes, fingerprint of its entry 8 bytes
//!   2 entries: count 4 bytes, entries; count 4 bytes, ids that are wanted, 8 bytes each
//! entry: id 8 bytes, status 1 byte, lamport 8 bytes, author 8 bytes, weight 4 bytes,
//!        name, address, HTTP address, zone: length 2 bytes and bytes each
//! ```
//! Numbers are big-endian, nodes ascend. The tag is BLAKE3 over all before it, so that a bit that
//! flips in anyone's memory stays there instead of reaching every node. What decodes is also
//! plausible: checked here as far as one message shows it, and against the known members by
//! [`check_plausible`].

use alloc::string::String;
use alloc::vec::Vec;

use bytes::Bytes;
use dynamo_ring::Zone;
use dynamo_types::NodeId;
use thiserror::Error;

use super::reader::Reader;
use crate::genesis::TEXT_BYTES_MAX;
use crate::members::{Member, MemberDetails, MemberStatus, Members, Stamp};

const VERSION: u8 = 1;
const TAG_BYTES: usize = 16;

/// Nodes that a cluster remembers, removed ones included: twice the largest layout. At 900 bytes
/// each a message stays below 4 MiB.
pub const MEMBERS_KNOWN_MAX: usize = 4096;

/// A stamp may be ahead of all that is known here by so many changes. Operators do not make four
/// thousand million changes while a node is away, however long that is; a flipped high bit does,
/// and would use up the stamps for good.
const LAMPORT_JUMP_MAX: u64 = 1 << 32;

/// The digest of all members.
pub type Fingerprint = [u8; 16];

/// The digest of one node's entry.
pub(super) type EntryDigest = [u8; 8];

/// Why bytes are no message about members.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum DecodeGossipError {
    /// A format of another program version.
    #[error("message has format version {0}")]
    Version(u8),
    /// The tag does not fit: something was changed on the way.
    #[error("message does not fit its tag")]
    Tag,
    /// No message has this kind.
    #[error("message has the unknown kind {0}")]
    Kind(u8),
    /// The bytes end inside a field.
    #[error("message ends inside a field")]
    Truncated,
    /// More nodes than a cluster can have, or than the bytes can hold.
    #[error("message counts {0} nodes, which cannot be")]
    Count(u32),
    /// Nodes do not ascend.
    #[error("message does not name nodes in ascending order")]
    Order,
    /// No member has this status.
    #[error("member has the unknown status {0}")]
    Status(u8),
    /// A text that is none, is empty, too long, or has control characters.
    #[error("member has a malformed name, address or zone")]
    Text,
    /// A member that should hold nothing.
    #[error("member has weight 0")]
    Weight,
    /// A stamp too far ahead of all known ones.
    #[error("member has the stamp {stamp}, far beyond the latest known {known}")]
    Lamport {
        /// What it has.
        stamp: u64,
        /// The latest known here.
        known: u64,
    },
    /// With these there would be more members than a cluster can have.
    #[error("message would raise the number of members to {0}")]
    TooMany(usize),
    /// Bytes follow the message.
    #[error("{0} bytes follow the message")]
    Trailing(usize),
}

/// What nodes say to each other about members.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum GossipMessage {
    /// What the sender knows, in one number.
    Digest(Fingerprint),
    /// What the sender knows, in one number a node.
    Summary(Vec<(NodeId, EntryDigest)>),
    /// What the sender knows of some nodes, and of whom it would like to know.
    Entries { entries: Vec<(NodeId, Member)>, wanted: Vec<NodeId> },
}

impl GossipMessage {
    pub(super) fn encode(&self) -> Bytes {
        let mut out = Vec::from([VERSION]);
        match self {
            Self::Digest(fingerprint) => {
                out.push(0);
                out.extend_from_slice(fingerprint);
            }
            Self::Summary(nodes) => {
                out.push(1);
                put_count(&mut out, nodes.len());
                for (node, digest) in nodes {
                    out.extend_from_slice(&node.0.to_be_bytes());
                    out.extend_from_slice(digest);
                }
            }
            Self::Entries { entries, wanted } => {
                out.push(2);
                put_count(&mut out, entries.len());
                for (node, member) in entries {
                    put_entry(&mut out, *node, member);
                }
                put_count(&mut out, wanted.len());
                for node in wanted {
                    out.extend_from_slice(&node.0.to_be_bytes());
                }
            }
        }
        let tag = tag(&out);
        out.extend_from_slice(&tag);
        out.into()
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, DecodeGossipError> {
        // The version stands outside of what the tag of another version may cover.
        match bytes.first() {
            Some(&VERSION) => {}
            Some(other) => return Err(DecodeGossipError::Version(*other)),
            None => return Err(DecodeGossipError::Truncated),
        }
        let (body, found) =
            bytes.split_last_chunk::<TAG_BYTES>().ok_or(DecodeGossipError::Truncated)?;
        if *found != tag(body) {
            return Err(DecodeGossipError::Tag);
        }
        let mut reader = Reader::new(body);
        reader.byte()?;
        let message = match reader.byte()? {
            0 => Self::Digest(reader.array()?),
            1 => Self::Summary(read_nodes(&mut reader, 16, |reader| {
                Ok((NodeId(reader.u64()?), reader.array()?))
            })?),
            2 => Self::Entries {
                entries: read_nodes(&mut reader, ENTRY_BYTES_MIN, read_entry)?,
                wanted: read_nodes(&mut reader, 8, |reader| Ok((NodeId(reader.u64()?), ())))?
                    .into_iter()
                    .map(|(node, ())| node)
                    .collect(),
            },
            other => return Err(DecodeGossipError::Kind(other)),
        };
        match reader.remaining() {
            0 => Ok(message),
            more => Err(DecodeGossipError::Trailing(more)),
        }
    }
}

impl Members {
    /// The canonical bytes of all members, as they are kept on disk: a message that tells all and
    /// asks for nothing.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let entries = self.iter().map(|(node, member)| (node, member.clone())).collect();
        GossipMessage::Entries { entries, wanted: Vec::new() }.encode()
    }

    /// Reads canonical bytes.
    ///
    /// # Errors
    /// Refuses every sequence of bytes that [`encode`](Self::encode) does not write.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeGossipError> {
        match GossipMessage::decode(bytes)? {
            GossipMessage::Entries { entries, wanted } if wanted.is_empty() => {
                let mut members = Self::new();
                for (node, member) in &entries {
                    members.merge_member(*node, member);
                }
                Ok(members)
            }
            GossipMessage::Digest(_) => Err(DecodeGossipError::Kind(0)),
            GossipMessage::Summary(_) => Err(DecodeGossipError::Kind(1)),
            GossipMessage::Entries { .. } => Err(DecodeGossipError::Kind(2)),
        }
    }
}

/// The digest of all members: equal for equal ones.
#[must_use]
pub fn fingerprint(members: &Members) -> Fingerprint {
    let mut hasher = blake3::Hasher::new();
    hasher.update(b"dynamo members 1");
    for (node, member) in members.iter() {
        // An entry shows its own length.
        hasher.update(&entry_bytes(node, member));
    }
    *hasher.finalize().as_bytes().first_chunk().expect("a hash has 32 bytes")
}

/// The digest of one entry.
pub(super) fn entry_digest(node: NodeId, member: &Member) -> EntryDigest {
    let hash = blake3::hash(&entry_bytes(node, member));
    *hash.as_bytes().first_chunk().expect("a hash has 32 bytes")
}

/// Checks entries against what is known: a message may be whole and yet come from a node whose
/// memory has gone bad.
pub(super) fn check_plausible(
    entries: &[(NodeId, Member)],
    known: &Members,
) -> Result<(), DecodeGossipError> {
    let latest = known.iter().map(|(_, member)| member.stamp.lamport).max().unwrap_or(0);
    for (_, member) in entries {
        let stamp = member.stamp.lamport;
        if stamp > latest.saturating_add(LAMPORT_JUMP_MAX) {
            return Err(DecodeGossipError::Lamport { stamp, known: latest });
        }
    }
    let new = entries.iter().filter(|(node, _)| known.get(*node).is_none()).count();
    let count = known.iter().count() + new;
    if count > MEMBERS_KNOWN_MAX { Err(DecodeGossipError::TooMany(count)) } else { Ok(()) }
}

/// An entry without a byte of text.
const ENTRY_BYTES_MIN: usize = 8 + 1 + 8 + 8 + 4 + 4 * 2;

fn entry_bytes(node: NodeId, member: &Member) -> Vec<u8> {
    let mut out = Vec::new();
    put_entry(&mut out, node, member);
    out
}

fn put_entry(out: &mut Vec<u8>, node: NodeId, member: &Member) {
    out.extend_from_slice(&node.0.to_be_bytes());
    out.push(match member.status {
        MemberStatus::Joining => 0,
        MemberStatus::Active => 1,
        MemberStatus::Leaving => 2,
        MemberStatus::Removed => 3,
    });
    out.extend_from_slice(&member.stamp.lamport.to_be_bytes());
    out.extend_from_slice(&member.stamp.author.0.to_be_bytes());
    let details = &member.details;
    out.extend_from_slice(&details.weight.to_be_bytes());
    let zone = details.zone.as_str();
    for text in [&details.name[..], &details.address, &details.http_address, zone] {
        let length = u16::try_from(text.len()).expect("names and addresses were checked");
        out.extend_from_slice(&length.to_be_bytes());
        out.extend_from_slice(text.as_bytes());
    }
}

fn read_entry(reader: &mut Reader<'_>) -> Result<(NodeId, Member), DecodeGossipError> {
    let node = NodeId(reader.u64()?);
    let status = match reader.byte()? {
        0 => MemberStatus::Joining,
        1 => MemberStatus::Active,
        2 => MemberStatus::Leaving,
        3 => MemberStatus::Removed,
        other => return Err(DecodeGossipError::Status(other)),
    };
    let stamp = Stamp { lamport: reader.u64()?, author: NodeId(reader.u64()?) };
    let weight = reader.u32()?;
    let (name, address, http_address) = (reader.text()?, reader.text()?, reader.text()?);
    let zone = Zone::new(reader.text()?);
    let details = MemberDetails { name, address, http_address, weight, zone };
    check_sound(&details)?;
    Ok((node, Member { status, stamp, details }))
}

/// Checks what one entry shows by itself.
pub(super) fn check_sound(details: &MemberDetails) -> Result<(), DecodeGossipError> {
    if details.weight == 0 {
        return Err(DecodeGossipError::Weight);
    }
    let is_sound = |text: &&String| {
        (1..=TEXT_BYTES_MAX).contains(&text.len()) && !text.chars().any(char::is_control)
    };
    let mut texts = [&details.name, &details.address, &details.http_address].into_iter();
    if texts.all(|text| is_sound(&text)) && details.zone.is_sound() {
        Ok(())
    } else {
        Err(DecodeGossipError::Text)
    }
}

fn put_count(out: &mut Vec<u8>, count: usize) {
    let count = u32::try_from(count).expect("at most the members that can be known");
    out.extend_from_slice(&count.to_be_bytes());
}

/// A count and so many items of at least `bytes_min`, by ascending node.
fn read_nodes<T>(
    reader: &mut Reader<'_>,
    bytes_min: usize,
    read: impl Fn(&mut Reader<'_>) -> Result<(NodeId, T), DecodeGossipError>,
) -> Result<Vec<(NodeId, T)>, DecodeGossipError> {
    let counted = reader.u32()?;
    let count = usize::try_from(counted).unwrap_or(usize::MAX);
    if count > MEMBERS_KNOWN_MAX || count > reader.remaining() / bytes_min {
        return Err(DecodeGossipError::Count(counted));
    }
    let mut items: Vec<(NodeId, T)> = Vec::with_capacity(count);
    for _ in 0..count {
        let item = read(reader)?;
        if items.last().is_some_and(|(before, _)| *before >= item.0) {
            return Err(DecodeGossipError::Order);
        }
        items.push(item);
    }
    Ok(items)
}

fn tag(body: &[u8]) -> [u8; TAG_BYTES] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(b"dynamo gossip 1");
    hasher.update(body);
    *hasher.finalize().as_bytes().first_chunk().expect("a hash has 32 bytes")
}

#[cfg(test)]
mod tests;
