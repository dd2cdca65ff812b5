//! Scans that walk past damage.
//!
//! RocksDB's iterator stops for good at a block whose checksum does not fit. What lies behind the
//! block is fine, but its first key is not known. It is found by bisection: a seek fails as long as
//! it lands in the damage and succeeds behind it.

use std::ops::ControlFlow;

use rocksdb::{DB, DBRawIteratorWithThreadMode, ReadOptions};

use super::{RocksDbEngine, status};
use crate::batch::Column;
use crate::engine::{ScanItem, Visit};
use crate::error::ScanError;
use crate::range::{KeyRange, Span, successor};

type Rows<'a> = DBRawIteratorWithThreadMode<'a, DB>;

pub(super) fn scan(
    engine: &RocksDbEngine,
    mut options: ReadOptions,
    column: Column,
    range: &KeyRange,
    visit: &mut Visit<'_>,
) -> Result<(), ScanError> {
    let span = Span::of(range);
    if span.is_empty() {
        return Ok(());
    }
    // A walk over everything must not push out what requests read again and again.
    options.fill_cache(false);
    if let Some(until) = &span.until {
        options.set_iterate_upper_bound(until.clone());
    }
    let mut rows = engine.db.raw_iterator_cf_opt(engine.family(column), options);
    let mut from = span.from.clone();
    rows.seek(&from);
    loop {
        if let ControlFlow::Break(()) = visit_rows(engine, column, &mut rows, &mut from, visit) {
            return Ok(());
        }
        match rows.status() {
            Ok(()) => return Ok(()),
            Err(error) if status::is_damage(&error) => {
                tracing::error!(%error, column = column.0, "a scan met damage");
            }
            Err(error) => return Err(ScanError::Io { detail: error.into_string() }),
        }
        let next = match readable_after(engine, column, &mut rows, &from, &span)? {
            Some(behind) => seek(&mut rows, &behind)?.then(|| rows.key().map(<[u8]>::to_vec)),
            None => None,
        };
        let next = next.flatten();
        let item = ScanItem::DamagedRange { from: &from, until: next.as_deref() };
        if visit(item).is_break() {
            return Ok(());
        }
        match next {
            Some(next) => from = next,
            None => return Ok(()),
        }
    }
}

/// Visits rows until the iterator ends or fails; `from` follows as the first key not yet visited.
fn visit_rows(
    engine: &RocksDbEngine,
    column: Column,
    rows: &mut Rows<'_>,
    from: &mut Vec<u8>,
    visit: &mut Visit<'_>,
) -> ControlFlow<()> {
    let checksum = &engine.columns[column.0].checksum;
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

/// The least key, as closely as bisection finds it, from which on rows can be read again; `None` if
/// the damage reaches the end of the span.
fn readable_after(
    engine: &RocksDbEngine,
    column: Column,
    rows: &mut Rows<'_>,
    from: &[u8],
    span: &Span,
) -> Result<Option<Vec<u8>>, ScanError> {
    let mut damaged = from.to_vec();
    for boundary in file_boundaries(engine, column, from, span)? {
        if seek(rows, &boundary)? {
            return bisect(rows, damaged, boundary).map(Some);
        }
        damaged = boundary;
    }
    Ok(None)
}

/// Narrows the gap between a key where reading fails and one where it works.
fn bisect(rows: &mut Rows<'_>, damaged: Vec<u8>, readable: Vec<u8>) -> Result<Vec<u8>, ScanError> {
    // Keys are read as fractions: 16 bytes behind what the two have in common tell any two rows of
    // a block apart that a few hundred seeks could.
    let common = damaged.iter().zip(&readable).take_while(|(a, b)| a == b).count();
    let digits = |key: &[u8]| {
        let mut digits = [0; 16];
        for (digit, byte) in digits.iter_mut().zip(&key[common..]) {
            *digit = *byte;
        }
        u128::from_be_bytes(digits)
    };
    let (mut low, mut high) = (digits(&damaged), digits(&readable));
    let mut behind = readable;
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        let mut key = damaged[..common].to_vec();
        key.extend_from_slice(&middle.to_be_bytes());
        if seek(rows, &key)? {
            high = middle;
            behind = key;
        } else {
            low = middle;
        }
    }
    Ok(behind)
}

/// Whether rows can be read from `key` on; the end of the span counts as readable.
fn seek(rows: &mut Rows<'_>, key: &[u8]) -> Result<bool, ScanError> {
    rows.seek(key);
    match rows.status() {
        Ok(()) => Ok(true),
        Err(error) if status::is_damage(&error) => Ok(false),
        Err(error) => Err(ScanError::Io { detail: error.into_string() }),
    }
}

/// Where the column's files begin and end behind `from`: one damaged file does not hide the next.
fn file_boundaries(
    engine: &RocksDbEngine,
    column: Column,
    from: &[u8],
    span: &Span,
) -> Result<Vec<Vec<u8>>, ScanError> {
    let files =
        engine.db.live_files().map_err(|error| ScanError::Io { detail: error.into_string() })?;
    let name = engine.columns[column.0].spec.name;
    let mut boundaries: Vec<_> = files
        .into_iter()
        .filter(|file| file.column_family_name == name)
        .flat_map(|file| [file.start_key, file.end_key.map(|key| successor(&key))])
        .flatten()
        .filter(|key| key[..] > *from && span.until.as_ref().is_none_or(|until| key < until))
        .collect();
    boundaries.sort_unstable();
    boundaries.dedup();
    Ok(boundaries)
}
