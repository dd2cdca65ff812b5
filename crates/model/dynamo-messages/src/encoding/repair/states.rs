//! The exchange of records: a tag, then the fields in order.

use crate::encoding::compact::{Reader, Sink};
use crate::encoding::error::{DecodeError, FieldError};
use crate::encoding::reply::SIBLINGS_MAX;
use crate::repair::{StateMessage, StateRecord};

/// A message holds many small records or part of a large one; a frame of tiny ones has no more.
const RECORDS_MAX: usize = 1 << 14;

mod tag {
    pub(super) const STATE: u8 = 1;
    pub(super) const STORED: u8 = 2;
    pub(super) const REFUSED: u8 = 3;
    pub(super) const SENT: u8 = 4;
    pub(super) const ABORTED: u8 = 5;
}

/// Bits of what was sent.
const COMPLETE: u8 = 1;
const HORIZON: u8 = 2;

pub(super) fn write(message: &StateMessage, sink: &mut impl Sink) {
    match message {
        StateMessage::State { number, records } => {
            sink.byte(tag::STATE);
            sink.number((*number).into());
            sink.count(records.len());
            for record in records {
                sink.name(&record.name);
                // Nearly always 3: one piece, the last.
                sink.number((record.pieces.len() as u64) << 1 | u64::from(record.last));
                record.pieces.iter().for_each(|piece| sink.record(piece));
            }
        }
        StateMessage::Stored { number, refused, collected } => {
            sink.byte(if *refused { tag::REFUSED } else { tag::STORED });
            sink.number((*number).into());
            sink.count(collected.len());
            for (place, dot) in collected {
                sink.number((*place).into());
                sink.dot(*dot);
            }
        }
        StateMessage::Sent { complete, horizon } => {
            sink.byte(tag::SENT);
            let horizon_bit = if horizon.is_some() { HORIZON } else { 0 };
            sink.byte(if *complete { COMPLETE } else { 0 } | horizon_bit);
            if let Some(horizon) = horizon {
                sink.dots(horizon);
            }
        }
        StateMessage::Aborted => sink.byte(tag::ABORTED),
    }
}

pub(super) fn read(reader: &mut Reader<'_>) -> Result<StateMessage, DecodeError> {
    match reader.byte()? {
        tag::STATE => Ok(StateMessage::State {
            number: reader.small()?,
            records: reader.list(RECORDS_MAX, read_record)?,
        }),
        found @ (tag::STORED | tag::REFUSED) => Ok(StateMessage::Stored {
            number: reader.small()?,
            refused: found == tag::REFUSED,
            collected: reader.list(SIBLINGS_MAX, |reader| Ok((reader.small()?, reader.dot()?)))?,
        }),
        tag::SENT => {
            let bits = reader.byte()?;
            if bits & !(COMPLETE | HORIZON) != 0 {
                return Err(reader.refuse(FieldError::Number(bits.into())));
            }
            let has_horizon = bits & HORIZON != 0;
            let horizon = has_horizon.then(|| reader.dots()).transpose()?;
            Ok(StateMessage::Sent { complete: bits & COMPLETE != 0, horizon })
        }
        tag::ABORTED => Ok(StateMessage::Aborted),
        other => Err(reader.refuse(FieldError::Number(other.into()))),
    }
}

fn read_record(reader: &mut Reader<'_>) -> Result<StateRecord, DecodeError> {
    let name = reader.name()?;
    let pieces_and_last = reader.number()?;
    let pieces = usize::try_from(pieces_and_last >> 1).unwrap_or(usize::MAX);
    if pieces > SIBLINGS_MAX {
        return Err(reader.refuse(FieldError::TooMany { found: pieces, max: SIBLINGS_MAX }));
    }
    // Not allocated ahead: the count is only a claim.
    let pieces = (0..pieces).map(|_| reader.record()).collect::<Result<_, _>>()?;
    Ok(StateRecord { name, pieces, last: pieces_and_last & 1 == 1 })
}
