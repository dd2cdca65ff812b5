//! Questions and answers: a tag, then the fields in order.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::num::NonZeroU64;

use dynamo_merkle::NodePath;
use dynamo_merkle::iblt::{ItemId, SYMBOLS_MAX};
use dynamo_types::{NodeId, RegisterTag};
use dynamo_versioning::DotClock;

use super::read_partition;
use crate::encoding::compact::{Reader, Sink};
use crate::encoding::error::{DecodeError, FieldError};
use crate::peer::KnownBy;
use crate::repair::{Answer, LeafTotals, Opening, Question, Refusal, ShortId, Unable};

/// All nodes that have children.
const NODES_MAX: usize = 1 << 13;
/// No leaf that is compared has more items.
const ITEMS_MAX: usize = 1 << 15;

/// Members of a partition: more than the largest N.
const MEMBERS_MAX: usize = 64;

mod tag {
    pub(super) const OPEN: u8 = 1;
    pub(super) const OPEN_WITHOUT_CLOCK: u8 = 2;
    pub(super) const SUMS: u8 = 3;
    pub(super) const SYMBOLS: u8 = 4;
    pub(super) const LIST: u8 = 5;
    pub(super) const SOLVED: u8 = 6;
    pub(super) const AGREES: u8 = 7;
    pub(super) const LEAVE: u8 = 8;
    pub(super) const SETTLE: u8 = 9;
    pub(super) const SETTLE_LAST: u8 = 10;
    pub(super) const CLOSE: u8 = 11;

    pub(super) const REFUSED: u8 = 1;
    pub(super) const AGREED: u8 = 2;
    pub(super) const AGREED_WITHOUT_CLOCK: u8 = 3;
    pub(super) const OPENED: u8 = 4;
    pub(super) const OPENED_WITHOUT_CLOCK: u8 = 5;
    pub(super) const ANSWERED_SUMS: u8 = 6;
    pub(super) const FIRST_SYMBOLS: u8 = 7;
    pub(super) const MORE_SYMBOLS: u8 = 8;
    pub(super) const ANSWERED_LIST: u8 = 9;
    pub(super) const SETTLED: u8 = 10;
    pub(super) const UNABLE: u8 = 11;
}

pub(super) fn write_question(question: &Question, sink: &mut impl Sink) {
    match question {
        Question::Open(opening) => {
            let tags = (tag::OPEN, tag::OPEN_WITHOUT_CLOCK);
            write_clock(tags, opening.clock.as_deref(), sink);
            sink.raw(&opening.partition.0.to_le_bytes());
            sink.raw(&opening.register.0.get().to_le_bytes());
            sink.byte(opening.depth);
            sink.sum(opening.root);
            write_known(&opening.known, sink);
        }
        Question::Sums { nodes } => {
            sink.byte(tag::SUMS);
            sink.count(nodes.len());
            nodes.iter().for_each(|node| sink.node(*node));
        }
        Question::Symbols { leaf, until } => {
            write_leaf(tag::SYMBOLS, *leaf, sink);
            sink.number((*until).into());
        }
        Question::List { leaf } => write_leaf(tag::LIST, *leaf, sink),
        Question::Solved { leaf, wanted } => {
            write_leaf(tag::SOLVED, *leaf, sink);
            sink.count(wanted.len());
            wanted.iter().for_each(|item| sink.raw(&item.0.to_le_bytes()));
        }
        Question::Agrees { leaf } => write_leaf(tag::AGREES, *leaf, sink),
        Question::Leave { leaf } => write_leaf(tag::LEAVE, *leaf, sink),
        Question::Settle { leaf, from, wanted, offered, last } => {
            write_leaf(if *last { tag::SETTLE_LAST } else { tag::SETTLE }, *leaf, sink);
            sink.number((*from).into());
            sink.bits(wanted);
            sink.count(offered.len());
            for (item, name) in offered {
                sink.raw(&item.0.to_le_bytes());
                sink.name(name);
            }
        }
        Question::Close => sink.byte(tag::CLOSE),
    }
}

pub(super) fn read_question(reader: &mut Reader<'_>) -> Result<Question, DecodeError> {
    match reader.byte()? {
        found @ (tag::OPEN | tag::OPEN_WITHOUT_CLOCK) => {
            let clock = read_clock(found == tag::OPEN, reader)?;
            Ok(Question::Open(Opening {
                partition: read_partition(reader)?,
                register: read_register(reader)?,
                depth: read_depth(reader)?,
                root: reader.sum()?,
                clock,
                known: read_known(reader)?,
            }))
        }
        tag::SUMS => Ok(Question::Sums { nodes: reader.list(NODES_MAX, Reader::node)? }),
        tag::SYMBOLS => {
            let leaf = reader.node()?;
            let until = reader.small()?;
            if until > SYMBOLS_MAX {
                return Err(reader.refuse(FieldError::Number(until.into())));
            }
            Ok(Question::Symbols { leaf, until })
        }
        tag::LIST => Ok(Question::List { leaf: reader.node()? }),
        tag::SOLVED => Ok(Question::Solved {
            leaf: reader.node()?,
            wanted: reader
                .list(ITEMS_MAX, |reader| Ok(ShortId(u32::from_le_bytes(reader.array()?))))?,
        }),
        tag::AGREES => Ok(Question::Agrees { leaf: reader.node()? }),
        tag::LEAVE => Ok(Question::Leave { leaf: reader.node()? }),
        found @ (tag::SETTLE | tag::SETTLE_LAST) => Ok(Question::Settle {
            leaf: reader.node()?,
            from: reader.small()?,
            wanted: reader.bits(ITEMS_MAX)?,
            offered: reader.list(ITEMS_MAX, |reader| Ok((read_item(reader)?, reader.name()?)))?,
            last: found == tag::SETTLE_LAST,
        }),
        tag::CLOSE => Ok(Question::Close),
        other => Err(reader.refuse(FieldError::Number(other.into()))),
    }
}

pub(super) fn write_answer(answer: &Answer, sink: &mut impl Sink) {
    match answer {
        Answer::Refused(why) => {
            sink.byte(tag::REFUSED);
            sink.byte(refusal_number(*why));
        }
        Answer::Agreed { clock, known } => {
            write_clock((tag::AGREED, tag::AGREED_WITHOUT_CLOCK), clock.as_deref(), sink);
            write_known(known, sink);
        }
        Answer::Opened { depth, clock, known, sums } => {
            write_clock((tag::OPENED, tag::OPENED_WITHOUT_CLOCK), clock.as_deref(), sink);
            write_known(known, sink);
            sink.byte(*depth);
            sink.byte(u8::from(sums.is_some()));
            if let Some(sums) = sums {
                sink.short_sums(sums);
            }
        }
        Answer::Sums { sums } => {
            sink.byte(tag::ANSWERED_SUMS);
            sink.count(sums.len());
            for (node, sums) in sums {
                sink.node(*node);
                sink.short_sums(sums);
            }
        }
        Answer::Symbols { leaf, totals, symbols } => {
            let first = totals.is_some();
            write_leaf(if first { tag::FIRST_SYMBOLS } else { tag::MORE_SYMBOLS }, *leaf, sink);
            if let Some(totals) = totals {
                sink.number(totals.items.into());
                sink.raw(&totals.sum.to_le_bytes());
            }
            sink.raw(symbols);
        }
        Answer::List { leaf, items } => {
            write_leaf(tag::ANSWERED_LIST, *leaf, sink);
            sink.count(items.len());
            items.iter().for_each(|item| sink.raw(&item.0.to_le_bytes()));
        }
        Answer::Settled { leaf, from, named, arrived } => {
            write_leaf(tag::SETTLED, *leaf, sink);
            sink.number((*from).into());
            let is_named: Vec<bool> = named.iter().map(Option::is_some).collect();
            sink.bits(&is_named);
            named.iter().flatten().for_each(|name| sink.name(name));
            sink.bits(arrived);
        }
        Answer::Unable { leaf, why } => {
            write_leaf(tag::UNABLE, *leaf, sink);
            sink.byte(unable_number(*why));
        }
    }
}

pub(super) fn read_answer(reader: &mut Reader<'_>) -> Result<Answer, DecodeError> {
    match reader.byte()? {
        tag::REFUSED => {
            let number = reader.byte()?;
            let why =
                refusal(number).ok_or_else(|| reader.refuse(FieldError::Number(number.into())))?;
            Ok(Answer::Refused(why))
        }
        found @ (tag::AGREED | tag::AGREED_WITHOUT_CLOCK) => {
            let clock = read_clock(found == tag::AGREED, reader)?;
            Ok(Answer::Agreed { clock, known: read_known(reader)? })
        }
        found @ (tag::OPENED | tag::OPENED_WITHOUT_CLOCK) => {
            let clock = read_clock(found == tag::OPENED, reader)?;
            let known = read_known(reader)?;
            let depth = read_depth(reader)?;
            let sums = match reader.byte()? {
                0 => None,
                1 => Some(Box::new(reader.short_sums()?)),
                other => return Err(reader.refuse(FieldError::Number(other.into()))),
            };
            Ok(Answer::Opened { depth, clock, known, sums })
        }
        tag::ANSWERED_SUMS => Ok(Answer::Sums {
            sums: reader.list(NODES_MAX, |reader| Ok((reader.node()?, reader.short_sums()?)))?,
        }),
        found @ (tag::FIRST_SYMBOLS | tag::MORE_SYMBOLS) => {
            let leaf = reader.node()?;
            let totals = if found == tag::FIRST_SYMBOLS {
                let items = reader.small()?;
                Some(LeafTotals { items, sum: u32::from_le_bytes(reader.array()?) })
            } else {
                None
            };
            Ok(Answer::Symbols { leaf, totals, symbols: reader.rest() })
        }
        tag::ANSWERED_LIST => {
            Ok(Answer::List { leaf: reader.node()?, items: reader.list(ITEMS_MAX, read_item)? })
        }
        tag::SETTLED => {
            let leaf = reader.node()?;
            let from = reader.small()?;
            let is_named = reader.bits(ITEMS_MAX)?;
            let named = is_named.into_iter().map(|is| is.then(|| reader.name()).transpose());
            let named = named.collect::<Result<_, _>>()?;
            Ok(Answer::Settled { leaf, from, named, arrived: reader.bits(ITEMS_MAX)? })
        }
        tag::UNABLE => {
            let leaf = reader.node()?;
            let number = reader.byte()?;
            let why =
                unable(number).ok_or_else(|| reader.refuse(FieldError::Number(number.into())))?;
            Ok(Answer::Unable { leaf, why })
        }
        other => Err(reader.refuse(FieldError::Number(other.into()))),
    }
}

fn write_leaf(tag: u8, leaf: NodePath, sink: &mut impl Sink) {
    sink.byte(tag);
    sink.node(leaf);
}

fn write_clock((with, without): (u8, u8), clock: Option<&DotClock>, sink: &mut impl Sink) {
    match clock {
        Some(clock) => {
            sink.byte(with);
            sink.dots(&clock.dots);
            sink.dots(&clock.horizon);
        }
        None => sink.byte(without),
    }
}

fn read_clock(
    is_there: bool,
    reader: &mut Reader<'_>,
) -> Result<Option<Arc<DotClock>>, DecodeError> {
    if !is_there {
        return Ok(None);
    }
    Ok(Some(Arc::new(DotClock { dots: reader.dots()?, horizon: reader.dots()? })))
}

fn write_known(known: &[KnownBy], sink: &mut impl Sink) {
    sink.count(known.len());
    for KnownBy { member, checkpoints } in known {
        sink.raw(&member.0.to_le_bytes());
        sink.count(checkpoints.len());
        checkpoints.iter().for_each(|name| sink.checkpoint(*name));
    }
}

fn read_known(reader: &mut Reader<'_>) -> Result<Vec<KnownBy>, DecodeError> {
    reader.list(MEMBERS_MAX, |reader| {
        let member = NodeId(u64::from_le_bytes(reader.array()?));
        let checkpoints = reader.list(KnownBy::CHECKPOINTS_MAX, Reader::checkpoint)?;
        Ok(KnownBy { member, checkpoints })
    })
}

fn read_depth(reader: &mut Reader<'_>) -> Result<u8, DecodeError> {
    let depth = reader.byte()?;
    if depth > NodePath::DEPTH_MAX {
        return Err(reader.refuse(FieldError::Number(depth.into())));
    }
    Ok(depth)
}

/// A register's tag, of which none is 0.
fn read_register(reader: &mut Reader<'_>) -> Result<RegisterTag, DecodeError> {
    let number = NonZeroU64::new(u64::from_le_bytes(reader.array()?));
    number.map(RegisterTag).ok_or_else(|| reader.refuse(FieldError::Number(0)))
}

fn read_item(reader: &mut Reader<'_>) -> Result<ItemId, DecodeError> {
    Ok(ItemId(u64::from_le_bytes(reader.array()?)))
}

fn refusal_number(why: Refusal) -> u8 {
    match why {
        Refusal::Busy => 1,
        Refusal::NoMember => 2,
        Refusal::OtherRegister => 3,
    }
}

fn refusal(number: u8) -> Option<Refusal> {
    match number {
        1 => Some(Refusal::Busy),
        2 => Some(Refusal::NoMember),
        3 => Some(Refusal::OtherRegister),
        _ => None,
    }
}

fn unable_number(why: Unable) -> u8 {
    match why {
        Unable::Busy => 1,
        Unable::NoLeaf => 2,
        Unable::Unreadable => 3,
        Unable::TooLarge => 4,
        Unable::Duplicates => 5,
    }
}

fn unable(number: u8) -> Option<Unable> {
    match number {
        1 => Some(Unable::Busy),
        2 => Some(Unable::NoLeaf),
        3 => Some(Unable::Unreadable),
        4 => Some(Unable::TooLarge),
        5 => Some(Unable::Duplicates),
        _ => None,
    }
}
