//! One symbol and its bytes.

use alloc::vec::Vec;

use thiserror::Error;

use super::item::ItemId;

/// What the items that fall into one symbol add up to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Symbol {
    /// The items, exclusive-or.
    pub sum: u64,
    /// Their checksums, exclusive-or.
    pub checksum: u32,
    /// How many there are; in a difference, those of theirs less those of ours.
    pub count: i32,
}

/// Why bytes are no symbol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum SymbolBytesError {
    /// They end too early.
    #[error("a symbol ends in its middle")]
    Short,
    /// The count is beyond what a set can hold.
    #[error("the count of a symbol is beyond any set")]
    Count,
}

impl Symbol {
    /// Takes an item in (`count` 1) or out (-1). Counts wrap, so that no peer can make us panic.
    pub(super) fn change(&mut self, item: ItemId, count: i32) {
        self.sum ^= item.0;
        self.checksum ^= item.checksum();
        self.count = self.count.wrapping_add(count);
    }

    /// What is left when what is in `ours` is taken out.
    pub(super) fn minus(self, ours: Self) -> Self {
        Self {
            sum: self.sum ^ ours.sum,
            checksum: self.checksum ^ ours.checksum,
            count: self.count.wrapping_sub(ours.count),
        }
    }

    /// The one item that seems to be left, and whose it is: 1 theirs, -1 ours.
    pub(super) fn single(self) -> Option<(ItemId, i32)> {
        let item = ItemId(self.sum);
        let single = matches!(self.count, 1 | -1) && self.checksum == item.checksum();
        single.then_some((item, self.count))
    }

    /// Appends the bytes of the symbol of that number in a row for a set of so many items: sum and
    /// checksum big-endian, then by how much the count differs from what is to be expected, as a
    /// zigzag varint. Together 13 bytes, rarely 14.
    pub fn write(self, number: u32, set_size: u32, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.sum.to_be_bytes());
        out.extend_from_slice(&self.checksum.to_be_bytes());
        let mut rest = self.surplus(number, set_size);
        while rest >= 0x80 {
            out.push(rest.to_le_bytes()[0] | 0x80);
            rest >>= 7;
        }
        out.push(rest.to_le_bytes()[0]);
    }

    /// How many bytes [`write`](Self::write) appends.
    #[must_use]
    pub fn written_len(self, number: u32, set_size: u32) -> usize {
        let bits = u64::BITS - self.surplus(number, set_size).leading_zeros();
        12 + bits.div_ceil(7).max(1) as usize
    }

    /// Reads what [`write`](Self::write) wrote, and leaves what follows.
    ///
    /// # Errors
    /// If the bytes end too early or the count fits no set.
    pub fn read(bytes: &mut &[u8], number: u32, set_size: u32) -> Result<Self, SymbolBytesError> {
        let sum = u64::from_be_bytes(take(bytes)?);
        let checksum = u32::from_be_bytes(take(bytes)?);
        let mut zigzag = 0u64;
        for shift in (0..).step_by(7) {
            let [byte] = take(bytes)?;
            zigzag |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                break;
            }
            if shift == 28 {
                return Err(SymbolBytesError::Count);
            }
        }
        let magnitude = i64::try_from(zigzag >> 1).expect("at most 34 bits");
        let surplus = if zigzag & 1 == 0 { magnitude } else { -magnitude - 1 };
        let count = i32::try_from(expected(number, set_size) + surplus);
        let count = count.map_err(|_| SymbolBytesError::Count)?;
        Ok(Self { sum, checksum, count })
    }

    fn surplus(self, number: u32, set_size: u32) -> u64 {
        let surplus = i64::from(self.count) - expected(number, set_size);
        // Zigzag: 0, -1, 1, -2, ... become 0, 1, 2, 3, ...
        ((surplus << 1) ^ (surplus >> 63)).cast_unsigned()
    }
}

/// How many of a set's items fall into a symbol on average.
fn expected(number: u32, set_size: u32) -> i64 {
    i64::from(set_size) * 2 / (i64::from(number) + 2)
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Result<[u8; N], SymbolBytesError> {
    let (first, rest) = bytes.split_first_chunk::<N>().ok_or(SymbolBytesError::Short)?;
    *bytes = rest;
    Ok(*first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_near_the_expected_one_takes_one_byte() {
        let symbol = Symbol { sum: 1, checksum: 2, count: 2000 };
        for (number, set_size, length) in [(2, 4000, 13), (2, 4100, 13), (2, 9000, 14), (0, 0, 14)]
        {
            let mut bytes = Vec::new();
            symbol.write(number, set_size, &mut bytes);
            assert_eq!(bytes.len(), length);
            assert_eq!(symbol.written_len(number, set_size), length);
        }
    }

    #[test]
    fn what_cannot_be_a_symbol_is_refused() {
        let read = |tail: &[u8]| {
            let mut bytes = alloc::vec![0; 12];
            bytes.extend_from_slice(tail);
            Symbol::read(&mut &bytes[..], 0, 0)
        };
        assert_eq!(read(&[]), Err(SymbolBytesError::Short));
        assert_eq!(read(&[0x80]), Err(SymbolBytesError::Short));
        assert_eq!(read(&[0x80; 9]), Err(SymbolBytesError::Count));
        assert_eq!(read(&[0xff, 0xff, 0xff, 0xff, 0x7f]), Err(SymbolBytesError::Count));
        assert_eq!(read(&[1]).map(|symbol| symbol.count), Ok(-1));
    }
}
