//! Telling an unfinished log from a damaged one.
//!
//! A log is cut into blocks of 32 KiB, and each block holds fragments: a masked CRC-32C, a length,
//! a type, and content. RocksDB takes a length that points past the end of the file for a write
//! that was cut short. In the last block a flipped bit in a length looks just the same, and what
//! follows it would be lost without a word. After a write that was cut short nothing follows, so
//! this looks for whatever does.

use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::Path;

const BLOCK_BYTES: u64 = 32 << 10;
const HEADER_BYTES: usize = 7;

/// Whether a whole fragment lies behind, or under, the place where some log file of the directory
/// seems to end.
pub(super) fn something_follows_the_end(directory: &Path) -> io::Result<bool> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "log")
            && !ends_cleanly_or_torn(&last_block(&path)?)
        {
            return Ok(true);
        }
    }
    Ok(false)
}

fn last_block(path: &Path) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    let bytes = file.metadata()?.len();
    file.seek(SeekFrom::Start(bytes.saturating_sub(1) / BLOCK_BYTES * BLOCK_BYTES))?;
    let mut block = Vec::new();
    file.take(BLOCK_BYTES).read_to_end(&mut block)?;
    Ok(block)
}

/// Whether the block is a row of whole fragments and then nothing that is one.
fn ends_cleanly_or_torn(block: &[u8]) -> bool {
    let mut rest = block;
    while let Some(bytes) = whole_fragment(rest) {
        rest = &rest[bytes..];
    }
    // Whole, but for its length: its content reaches exactly to the end.
    let only_length_is_wrong =
        rest.len() > HEADER_BYTES && checksum_fits(rest, rest.len() - HEADER_BYTES);
    let follows = (1..rest.len()).any(|at| whole_fragment(&rest[at..]).is_some());
    !only_length_is_wrong && !follows
}

/// The size of the fragment that `bytes` begin with, if there is one. Runs of zeros are none.
fn whole_fragment(bytes: &[u8]) -> Option<usize> {
    let length = usize::from(u16::from_le_bytes([*bytes.get(4)?, *bytes.get(5)?]));
    let whole = HEADER_BYTES + length <= bytes.len() && checksum_fits(bytes, length);
    whole.then_some(HEADER_BYTES + length)
}

/// Whether the checksum at the start covers the type and `length` bytes of content.
fn checksum_fits(fragment: &[u8], length: usize) -> bool {
    let stored = u32::from_le_bytes([fragment[0], fragment[1], fragment[2], fragment[3]]);
    // RocksDB masks checksums that are stored beside what they cover.
    let crc = stored.wrapping_sub(0xa282_ead8).rotate_left(15);
    crc == crc32c(&fragment[HEADER_BYTES - 1..HEADER_BYTES + length])
}

/// CRC-32C. Speed does not matter: it runs over one block, after a crash.
fn crc32c(bytes: &[u8]) -> u32 {
    const TABLE: [u32; 256] = table();
    !bytes.iter().fold(!0, |crc, byte| (crc >> 8) ^ TABLE[usize::from(crc as u8 ^ byte)])
}

const fn table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut at = 0;
    while at < 256 {
        let mut crc = at as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0x82f6_3b78 } else { crc >> 1 };
            bit += 1;
        }
        table[at] = crc;
        at += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fragment(content: &[u8]) -> Vec<u8> {
        let covered = [&[1], content].concat();
        let masked = crc32c(&covered).rotate_right(15).wrapping_add(0xa282_ead8);
        let length = u16::try_from(content.len()).unwrap();
        [&masked.to_le_bytes()[..], &length.to_le_bytes(), &covered].concat()
    }

    #[test]
    fn the_checksum_is_the_one_of_the_standard() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    }

    #[test]
    fn cutting_a_log_anywhere_leaves_a_torn_end() {
        let log = [fragment(b"first"), fragment(b"second"), fragment(&[3; 100])].concat();
        for end in 0..=log.len() {
            assert!(ends_cleanly_or_torn(&log[..end]), "cut at {end}");
        }
    }

    #[test]
    fn no_flipped_bit_passes_for_a_torn_end_but_one_in_the_last_fragments_checked_part() {
        let last = fragment(b"the last");
        let log = [fragment(b"first"), fragment(b"second"), last.clone()].concat();
        for bit in 0..log.len() * 8 {
            let mut damaged = log.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            // There the bytes alone do not tell; but RocksDB does, because the length still fits.
            let within = (bit / 8).checked_sub(log.len() - last.len());
            let checked = within.is_some_and(|byte| byte != 4 && byte != 5);
            assert_eq!(ends_cleanly_or_torn(&damaged), checked, "bit {bit}");
        }
    }

    #[test]
    fn zeros_behind_the_end_are_nothing() {
        assert!(ends_cleanly_or_torn(&[fragment(b"first"), vec![0; 500]].concat()));
    }
}
