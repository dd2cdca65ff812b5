//! Numbers in LEB128: seven bits a byte, lowest first, the top bit set on all bytes but the last.

use alloc::vec::Vec;

/// Appends a number in its shortest form.
pub(crate) fn write(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// How many bytes [`write`] appends.
pub(crate) fn len(value: u64) -> usize {
    let bits = 64 - (value | 1).leading_zeros() as usize;
    bits.div_ceil(7)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cursor::{Cursor, ReadFieldError};

    #[test]
    fn a_number_reads_back_from_as_many_bytes_as_its_length_says() {
        for value in [0, 1, 127, 128, 16_383, 16_384, u64::from(u32::MAX), u64::MAX - 1, u64::MAX] {
            let mut bytes = Vec::new();
            write(&mut bytes, value);
            assert_eq!(bytes.len(), len(value), "{value}");
            let mut cursor = Cursor::new(&bytes);
            assert_eq!(cursor.varint(), Ok(value));
            assert_eq!(cursor.remaining(), 0);
        }
    }

    #[test]
    fn a_number_in_a_longer_form_or_beyond_64_bits_is_refused() {
        let overlong: [&[u8]; 4] = [
            &[0x80, 0],
            &[0xff, 0x80, 0],
            &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2],
            &[0x80; 11],
        ];
        for bytes in overlong {
            assert_eq!(Cursor::new(bytes).varint(), Err(ReadFieldError::Overlong), "{bytes:?}");
        }
        assert_eq!(Cursor::new(&[0x80]).varint(), Err(ReadFieldError::Truncated));
    }
}
