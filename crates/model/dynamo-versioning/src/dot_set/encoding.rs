//! The canonical bytes of a set of dots.
//!
//! ```text
//! actors: varint
//! per actor, ascending:   id: 8 bytes, big-endian     intervals: varint, at least 1
//! per interval, ascending: gap since the last end: varint     length: varint, at least 1
//! ```
//! The gap of a first interval counts from 0; every later gap is at least 1, else the two intervals
//! would be one. Actor ids are written in full, so that the bytes mean the same on every replica.

use alloc::vec::Vec;

use dynamo_types::ActorId;
use thiserror::Error;

use super::{DotSet, Interval};
use crate::cursor::{Cursor, ReadFieldError};
use crate::varint;

/// The fewest bytes that an interval can take, for bounding allocations by the input.
const INTERVAL_BYTES_MIN: usize = 2;

/// Why bytes are no set of dots.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum DecodeDotSetError {
    /// A field is cut short or not in its shortest form.
    #[error("set of dots is cut short or has a malformed number")]
    Field(#[from] ReadFieldError),
    /// Actors do not ascend.
    #[error("actor {0} is out of order")]
    ActorOrder(ActorId),
    /// An actor without intervals, or an interval that is empty or touches the one before.
    #[error("intervals of actor {0} are empty or touch")]
    Intervals(ActorId),
    /// A counter beyond 64 bits.
    #[error("a counter of actor {0} overflows")]
    Overflow(ActorId),
}

impl DotSet {
    /// Appends the canonical bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        varint::write(out, self.actors().count() as u64);
        for group in self.actors() {
            out.extend_from_slice(&group[0].actor.0.to_be_bytes());
            varint::write(out, group.len() as u64);
            let mut end = 0;
            for interval in group {
                varint::write(out, interval.lo - end);
                varint::write(out, interval.hi - interval.lo);
                end = interval.hi;
            }
        }
    }

    /// How many bytes [`DotSet::encode`] appends.
    #[must_use]
    pub fn encoded_len(&self) -> usize {
        let mut total = varint::len(self.actors().count() as u64);
        for group in self.actors() {
            total += size_of::<ActorId>() + varint::len(group.len() as u64);
            let mut end = 0;
            for interval in group {
                total += varint::len(interval.lo - end) + varint::len(interval.hi - interval.lo);
                end = interval.hi;
            }
        }
        total
    }

    /// Reads a set from the front of `bytes`; also returns how many bytes it took. Memory use is
    /// bounded by the length of the input.
    ///
    /// # Errors
    /// Refuses everything that [`DotSet::encode`] would not have written.
    pub fn decode(bytes: &[u8]) -> Result<(Self, usize), DecodeDotSetError> {
        let mut cursor = Cursor::new(bytes);
        let actors = cursor.varint()?;
        let mut intervals: Vec<Interval> = Vec::new();
        for _ in 0..actors {
            let actor = ActorId(cursor.u64()?);
            if intervals.last().is_some_and(|last| last.actor >= actor) {
                return Err(DecodeDotSetError::ActorOrder(actor));
            }
            let count = cursor.varint()?;
            if count == 0 {
                return Err(DecodeDotSetError::Intervals(actor));
            }
            let most = cursor.remaining() / INTERVAL_BYTES_MIN;
            intervals.reserve(usize::try_from(count).unwrap_or(most).min(most));
            let mut end = 0u64;
            for place in 0..count {
                let (gap, length) = (cursor.varint()?, cursor.varint()?);
                if length == 0 || (place > 0 && gap == 0) {
                    return Err(DecodeDotSetError::Intervals(actor));
                }
                let lo = end.checked_add(gap).ok_or(DecodeDotSetError::Overflow(actor))?;
                end = lo.checked_add(length).ok_or(DecodeDotSetError::Overflow(actor))?;
                intervals.push(Interval { actor, lo, hi: end });
            }
        }
        Ok((Self { intervals }, cursor.at()))
    }

    fn actors(&self) -> impl Iterator<Item = &[Interval]> {
        self.intervals.chunk_by(|a, b| a.actor == b.actor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_interval_takes_twelve_bytes() {
        let mut set = DotSet::new();
        set.insert_interval(ActorId(0x0102_0304_0506_0708), 4, 9);
        let mut bytes = Vec::new();
        set.encode(&mut bytes);
        assert_eq!(bytes, [1, 1, 2, 3, 4, 5, 6, 7, 8, 1, 4, 5]);
        assert_eq!(DotSet::decode(&bytes), Ok((set, 12)));
    }

    #[test]
    fn a_second_way_to_write_a_set_is_refused() {
        let one = |id: u8, rest: &[u8]| {
            let mut bytes = alloc::vec![0, 0, 0, 0, 0, 0, 0, id];
            bytes.extend_from_slice(rest);
            bytes
        };
        let framed = |actors: u8, parts: &[Vec<u8>]| {
            let mut bytes = alloc::vec![actors];
            parts.iter().for_each(|part| bytes.extend_from_slice(part));
            DotSet::decode(&bytes).unwrap_err()
        };
        let fine = [1, 0, 1];
        let (a, b) = (ActorId(1), ActorId(2));
        assert_eq!(framed(2, &[one(2, &fine), one(1, &fine)]), DecodeDotSetError::ActorOrder(a));
        assert_eq!(framed(2, &[one(2, &fine), one(2, &fine)]), DecodeDotSetError::ActorOrder(b));
        assert_eq!(framed(1, &[one(1, &[0])]), DecodeDotSetError::Intervals(a));
        assert_eq!(framed(1, &[one(1, &[1, 0, 0])]), DecodeDotSetError::Intervals(a));
        assert_eq!(framed(1, &[one(1, &[2, 0, 1, 0, 1])]), DecodeDotSetError::Intervals(a));
        let top = [1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 1];
        assert_eq!(framed(1, &[one(1, &top)]), DecodeDotSetError::Overflow(a));
    }

    #[test]
    fn a_claimed_count_does_not_allocate_more_than_the_input() {
        let mut bytes = alloc::vec![1, 0, 0, 0, 0, 0, 0, 0, 1];
        varint::write(&mut bytes, u64::MAX);
        bytes.extend_from_slice(&[0, 1, 1]);
        assert_eq!(
            DotSet::decode(&bytes),
            Err(DecodeDotSetError::Field(ReadFieldError::Truncated))
        );
    }
}
