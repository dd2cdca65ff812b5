//! Bytes written by hand, for messages of which there are so many that the structure of an archive
//! would weigh more than what it holds.
//!
//! Numbers are LEB128 in their shortest form unless their width is given; wide ones are little
//! endian. What writes also measures ([`Meter`]), so that what a message is said to cost is what it
//! takes.

use alloc::vec::Vec;

use bytes::Bytes;
use dynamo_merkle::{NodePath, ShortSum, Sum};
use dynamo_types::limits::{BUCKET_BYTES_MAX, KEY_BYTES_MAX};
use dynamo_types::{ActorId, Bucket, CheckpointName, Key, ObjectName};
use dynamo_versioning::{Dot, DotSet, Record};

use super::error::{DecodeError, FieldError};
use super::fields::Fields;
use crate::repair::Cost;

/// Takes what is written.
pub(super) trait Sink {
    fn raw(&mut self, bytes: &[u8]);

    fn name(&mut self, name: &ObjectName);

    fn record(&mut self, record: &Record);

    fn dots(&mut self, dots: &DotSet);

    fn byte(&mut self, byte: u8) {
        self.raw(&[byte]);
    }

    fn number(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.byte((number & 0x7f) as u8 | 0x80);
            number >>= 7;
        }
        self.byte(number as u8);
    }

    fn count(&mut self, count: usize) {
        self.number(count as u64);
    }

    /// A node by its number in a list of all nodes by depth: the first 128 take one byte.
    fn node(&mut self, node: NodePath) {
        self.number(u64::from(first_of(node.depth()) + node.index()));
    }

    fn sum(&mut self, sum: Sum) {
        self.raw(&sum.0.to_le_bytes());
    }

    fn short_sums(&mut self, sums: &[ShortSum; 16]) {
        for sum in sums {
            self.raw(&sum.0.to_le_bytes());
        }
    }

    fn dot(&mut self, dot: Dot) {
        self.raw(&dot.actor.0.to_le_bytes());
        self.number(dot.counter);
    }

    fn checkpoint(&mut self, name: CheckpointName) {
        self.raw(&name.process.0.to_le_bytes());
        self.number(name.number);
    }

    /// Eight to a byte, the first lowest.
    fn bits(&mut self, bits: &[bool]) {
        self.count(bits.len());
        for eight in bits.chunks(8) {
            let set = eight.iter().enumerate().filter(|(_, bit)| **bit);
            self.byte(set.fold(0, |byte, (place, _)| byte | 1 << place));
        }
    }
}

/// How many nodes there are above that depth.
fn first_of(depth: u8) -> u32 {
    ((1 << (4 * depth)) - 1) / 15
}

impl Sink for Vec<u8> {
    fn raw(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }

    fn name(&mut self, name: &ObjectName) {
        for part in [name.bucket.as_bytes(), name.key.as_bytes()] {
            self.count(part.len());
            self.raw(part);
        }
    }

    fn record(&mut self, record: &Record) {
        self.count(record.encoded_len());
        self.raw(&record.encode());
    }

    fn dots(&mut self, dots: &DotSet) {
        dots.encode(self);
    }
}

/// Counts what would be written.
#[derive(Debug, Default)]
pub(super) struct Meter(pub(super) Cost);

impl Sink for Meter {
    fn raw(&mut self, bytes: &[u8]) {
        self.0.bytes += bytes.len() as u64;
    }

    fn name(&mut self, name: &ObjectName) {
        let before = self.0.bytes;
        for part in [name.bucket.as_bytes(), name.key.as_bytes()] {
            self.count(part.len());
            self.raw(part);
        }
        self.0.name_bytes += self.0.bytes - before;
        self.0.bytes = before;
    }

    fn record(&mut self, record: &Record) {
        let (length, values) = (record.encoded_len(), record.value_bytes());
        self.count(length);
        self.0.bytes += (length - values) as u64;
        self.0.value_bytes += values as u64;
    }

    fn dots(&mut self, dots: &DotSet) {
        self.0.bytes += dots.encoded_len() as u64;
    }
}

/// Reads what was written, from the front; knows what to call the message when it is refused.
pub(super) struct Reader<'a> {
    fields: Fields<'a>,
    rest: &'a [u8],
}

type Read<T> = Result<T, DecodeError>;

impl<'a> Reader<'a> {
    pub(super) fn new(fields: Fields<'a>, body: &'a [u8]) -> Self {
        Self { fields, rest: body }
    }

    /// Nothing may follow.
    pub(super) fn end(self) -> Read<()> {
        match self.rest.len() {
            0 => Ok(()),
            more => Err(self.refuse(FieldError::Trailing(more))),
        }
    }

    pub(super) fn refuse(&self, why: impl Into<FieldError>) -> DecodeError {
        self.fields.refuse("body", why)
    }

    pub(super) fn take(&mut self, length: usize) -> Read<&'a [u8]> {
        let Some((first, rest)) = self.rest.split_at_checked(length) else {
            return Err(self.refuse(FieldError::Short));
        };
        self.rest = rest;
        Ok(first)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Read<[u8; N]> {
        Ok(self.take(N)?.try_into().expect("exactly N bytes were taken"))
    }

    pub(super) fn byte(&mut self) -> Read<u8> {
        Ok(self.array::<1>()?[0])
    }

    pub(super) fn number(&mut self) -> Read<u64> {
        let mut number = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            let is_last = byte & 0x80 == 0;
            if (shift == 63 && bits > 1) || (is_last && bits == 0 && shift > 0) {
                break;
            }
            number |= bits << shift;
            if is_last {
                return Ok(number);
            }
        }
        Err(self.refuse(FieldError::Overlong))
    }

    pub(super) fn small(&mut self) -> Read<u32> {
        let number = self.number()?;
        u32::try_from(number).map_err(|_| self.refuse(FieldError::Number(number)))
    }

    /// How many items follow, at most `max`.
    pub(super) fn count(&mut self, max: usize) -> Read<usize> {
        let number = self.number()?;
        let found = usize::try_from(number).unwrap_or(usize::MAX);
        if found > max {
            return Err(self.refuse(FieldError::TooMany { found, max }));
        }
        Ok(found)
    }

    /// At most `max` items, each read by `read`. Memory grows with what is really there.
    pub(super) fn list<T>(
        &mut self,
        max: usize,
        mut read: impl FnMut(&mut Self) -> Read<T>,
    ) -> Read<Vec<T>> {
        let count = self.count(max)?;
        let mut items = Vec::with_capacity(count.min(self.rest.len()));
        for _ in 0..count {
            items.push(read(self)?);
        }
        Ok(items)
    }

    pub(super) fn node(&mut self) -> Read<NodePath> {
        let number = self.small()?;
        let depths = (0..=NodePath::DEPTH_MAX).rev();
        let mut fitting = depths.filter(|depth| first_of(*depth) <= number);
        let depth = fitting.next().unwrap_or_default();
        NodePath::new(depth, number - first_of(depth))
            .ok_or_else(|| self.refuse(FieldError::Number(number.into())))
    }

    pub(super) fn sum(&mut self) -> Read<Sum> {
        Ok(Sum(u128::from_le_bytes(self.array()?)))
    }

    pub(super) fn short_sums(&mut self) -> Read<[ShortSum; 16]> {
        let mut sums = [ShortSum::default(); 16];
        for sum in &mut sums {
            *sum = ShortSum(u64::from_le_bytes(self.array()?));
        }
        Ok(sums)
    }

    pub(super) fn dot(&mut self) -> Read<Dot> {
        Ok(Dot::new(ActorId(u64::from_le_bytes(self.array()?)), self.number()?))
    }

    pub(super) fn checkpoint(&mut self) -> Read<CheckpointName> {
        let process = ActorId(u64::from_le_bytes(self.array()?));
        Ok(CheckpointName { process, number: self.number()? })
    }

    pub(super) fn dots(&mut self) -> Read<DotSet> {
        let (dots, taken) = DotSet::decode(self.rest).map_err(|why| self.refuse(why))?;
        self.take(taken)?;
        Ok(dots)
    }

    pub(super) fn bits(&mut self, max: usize) -> Read<Vec<bool>> {
        let count = self.count(max)?;
        let bytes = self.take(count.div_ceil(8))?;
        let beyond = bytes.last().map_or(0, |last| *last >> ((count + 7) % 8) >> 1);
        if beyond != 0 {
            return Err(self.refuse(FieldError::Number(beyond.into())));
        }
        Ok((0..count).map(|place| bytes[place / 8] & (1 << (place % 8)) != 0).collect())
    }

    /// A name, copied: whoever keeps it must not keep the frame in memory.
    pub(super) fn name(&mut self) -> Read<ObjectName> {
        let length = self.count(BUCKET_BYTES_MAX)?;
        let bucket = self.take(length)?;
        let length = self.count(KEY_BYTES_MAX)?;
        let key = self.take(length)?;
        let both = Bytes::from([bucket, key].concat());
        let border = bucket.len();
        Ok(ObjectName {
            bucket: Bucket::new(both.slice(..border)).map_err(|why| self.refuse(why))?,
            key: Key::new(both.slice(border..)).map_err(|why| self.refuse(why))?,
        })
    }

    /// A record, whose values are slices of the frame.
    pub(super) fn record(&mut self) -> Read<Record> {
        let length = self.count(usize::MAX)?;
        let bytes = self.take(length)?;
        Record::decode(&self.fields.bytes(bytes)).map_err(|why| self.refuse(why))
    }

    /// All that is left, as a slice of the frame.
    pub(super) fn rest(&mut self) -> Bytes {
        self.fields.bytes(core::mem::take(&mut self.rest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reader<'a>(frame: &'a Bytes) -> Reader<'a> {
        Reader::new(Fields { message: "test", frame }, frame)
    }

    #[test]
    fn every_node_has_a_number_of_its_own_and_reads_back() {
        let mut expected = 0u64;
        for depth in 0..=NodePath::DEPTH_MAX {
            for index in [0, 1, 15, 200, 4095, 65_535].into_iter().filter(|i| i >> (4 * depth) == 0)
            {
                let node = NodePath::new(depth, index).unwrap();
                let mut bytes = Vec::new();
                bytes.node(node);
                let frame = Bytes::from(bytes);
                let mut read = reader(&frame);
                assert_eq!(read.node(), Ok(node));
                assert_eq!(read.end(), Ok(()));
                let number = reader(&frame).number().unwrap();
                assert!(number >= expected, "{node:?} has number {number}");
                expected = number + 1;
            }
        }
        let mut bytes = Vec::new();
        bytes.number(expected);
        assert!(reader(&Bytes::from(bytes)).node().is_err(), "there is no node beyond the last");
    }

    #[test]
    fn numbers_read_back_and_have_one_form() {
        for number in [0, 1, 127, 128, 16_383, 16_384, u64::from(u32::MAX), u64::MAX] {
            let mut bytes = Vec::new();
            bytes.number(number);
            let mut meter = Meter::default();
            meter.number(number);
            assert_eq!(meter.0.bytes, bytes.len() as u64);
            assert_eq!(reader(&Bytes::from(bytes)).number(), Ok(number));
        }
        for overlong in [&[0x80, 0][..], &[0xff; 10], &[0x80; 11]] {
            let refused = reader(&Bytes::copy_from_slice(overlong)).number();
            assert!(matches!(
                refused,
                Err(DecodeError::Field { source: FieldError::Overlong, .. })
            ));
        }
    }

    #[test]
    fn bits_read_back_and_none_hides_behind_the_last() {
        for count in 0..20 {
            let bits: Vec<bool> = (0..count).map(|place| place % 3 == 0).collect();
            let mut bytes = Vec::new();
            bytes.bits(&bits);
            assert_eq!(reader(&Bytes::from(bytes.clone())).bits(20), Ok(bits));
            if count % 8 != 0 {
                *bytes.last_mut().unwrap() |= 0x80;
                assert!(reader(&Bytes::from(bytes)).bits(20).is_err(), "{count} bits");
            }
        }
    }
}
