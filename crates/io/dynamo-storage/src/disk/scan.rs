//! Scans that walk past damage.
//!
//! RocksDB's iterator stops for good at a block whose checksum does not fit. What lies behind the
//! block is fine, but its first key is not known. It is found by bisection: a seek fails as long as
//! it lands in the damage and succeeds behind it.

use std::ops::ControlFlow;

use rocksdb::{DB, DBRawIteratorWithThreadMode, ReadOptions, SnapshotWithThreadMode};

use super::{RocksDbEngine, status};
use crate::batch::Column;
use crate::engine::{ScanItem, Visit};
use crate::error::ScanError;
use crate::range::{KeyRange, Span, successor};

type Rows<'a> = DBRawIteratorWithThreadMode<'a, DB>;

/// One scan: where, and as of when.
struct Scan<'a> {
    engine: &'a RocksDbEngine,
    snapshot: &'a SnapshotWithThreadMode<'a, DB>,
    column: Column,
    span: Span,
}

pub(super) fn scan(
    engine: &RocksDbEngine,
    snapshot: &SnapshotWithThreadMode<'_, DB>,
    column: Column,
    range: &KeyRange,
    visit: &mut Visit<'_>,
) -> Result<(), ScanError> {
    let scan = Scan { engine, snapshot, column, span: Span::of(range) };
    if scan.span.is_empty() {
        return Ok(());
    }
    let mut from = scan.span.from.clone();
    loop {
        let mut rows = scan.rows_from(&from);
        if scan.visit_rows(&mut rows, &mut from, visit).is_break() {
            return Ok(());
        }
        match rows.status() {
            Ok(()) => return Ok(()),
            Err(error) if status::is_damage(&error) => {
                tracing::error!(%error, column = column.0, "a scan met damage");
            }
            Err(error) => return Err(ScanError::Io { detail: error.into_string() }),
        }
        let next = scan.first_key_behind(&from)?;
        if visit(ScanItem::DamagedRange { from: &from, until: next.as_deref() }).is_break() {
            return Ok(());
        }
        match next {
            Some(next) => from = next,
            None => return Ok(()),
        }
    }
}

/// What a seek finds.
enum Found {
    Key(Vec<u8>),
    End,
    Damage,
}

impl Scan<'_> {
    fn rows_from(&self, key: &[u8]) -> Rows<'_> {
        let mut options = ReadOptions::default();
        // A walk over everything must not push out what requests read again and again.
        options.fill_cache(false);
        if let Some(until) = &self.span.until {
            options.set_iterate_upper_bound(until.clone());
        }
        let mut rows = self.snapshot.raw_iterator_cf_opt(self.engine.family(self.column), options);
        rows.seek(key);
        rows
    }

    /// Visits rows until the iterator ends or fails; `from` follows as the first key not visited.
    fn visit_rows(
        &self,
        rows: &mut Rows<'_>,
        from: &mut Vec<u8>,
        visit: &mut Visit<'_>,
    ) -> ControlFlow<()> {
        let checksum = &self.engine.columns[self.column.0].checksum;
        while let Some((key, row)) = rows.item() {
            let flow = visit(match checksum.open(key, row) {
                Some(value) => ScanItem::Row { key, value },
                None => ScanItem::DamagedRow { key },
            });
            from.clear();
            from.extend_from_slice(key);
            from.push(0);
            flow?;
            rows.next();
        }
        ControlFlow::Continue(())
    }

    /// The first key that can be read behind the damage at `from`; `None` if there is none.
    fn first_key_behind(&self, from: &[u8]) -> Result<Option<Vec<u8>>, ScanError> {
        let mut damaged = from.to_vec();
        for boundary in self.file_boundaries(from)? {
            match self.find(&boundary)? {
                Found::Damage => damaged = boundary,
                Found::Key(key) => return self.bisect(&damaged, &boundary, Some(key)),
                Found::End => return self.bisect(&damaged, &boundary, None),
            }
        }
        Ok(None)
    }

    /// Narrows the gap between a key where reading fails and one where it works and finds `first`.
    fn bisect(
        &self,
        damaged: &[u8],
        readable: &[u8],
        mut first: Option<Vec<u8>>,
    ) -> Result<Option<Vec<u8>>, ScanError> {
        // Keys are read as fractions: 16 bytes behind what the two have in common tell any two rows
        // of a block apart that are apart at all in practice; if not, a little more is given up.
        let common = damaged.iter().zip(readable).take_while(|(a, b)| a == b).count();
        let digits = |key: &[u8]| {
            let mut digits = [0; 16];
            for (digit, byte) in digits.iter_mut().zip(&key[common..]) {
                *digit = *byte;
            }
            u128::from_be_bytes(digits)
        };
        let (mut low, mut high) = (digits(damaged), digits(readable));
        while high.saturating_sub(low) > 1 {
            let middle = low + (high - low) / 2;
            let mut key = damaged[..common].to_vec();
            key.extend_from_slice(&middle.to_be_bytes());
            match self.find(&key)? {
                Found::Damage => low = middle,
                Found::Key(key) => (high, first) = (middle, Some(key)),
                Found::End => (high, first) = (middle, None),
            }
        }
        Ok(first)
    }

    /// The first key from `key` on. An iterator that once met damage is not used again: what it
    /// does then is not specified.
    fn find(&self, key: &[u8]) -> Result<Found, ScanError> {
        let rows = self.rows_from(key);
        match (rows.key(), rows.status()) {
            (Some(key), _) => Ok(Found::Key(key.to_vec())),
            (None, Ok(())) => Ok(Found::End),
            (None, Err(error)) if status::is_damage(&error) => Ok(Found::Damage),
            (None, Err(error)) => Err(ScanError::Io { detail: error.into_string() }),
        }
    }

    /// Where the column's files begin and end behind `from`: one damaged file does not hide the
    /// next.
    fn file_boundaries(&self, from: &[u8]) -> Result<Vec<Vec<u8>>, ScanError> {
        let files = self
            .engine
            .db
            .live_files()
            .map_err(|error| ScanError::Io { detail: error.into_string() })?;
        let name = self.engine.columns[self.column.0].spec.name;
        let until = self.span.until.as_ref();
        let mut boundaries: Vec<_> = files
            .into_iter()
            .filter(|file| file.column_family_name == name)
            .flat_map(|file| [file.start_key, file.end_key.map(|key| successor(&key))])
            .flatten()
            .filter(|key| key[..] > *from && until.is_none_or(|until| key < until))
            .collect();
        boundaries.sort_unstable();
        boundaries.dedup();
        Ok(boundaries)
    }
}
