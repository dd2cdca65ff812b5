//! Files that rotted under the engine.

use std::collections::BTreeMap;
use std::fs;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use bytes::Bytes;
use dynamo_storage::conformance::{OBJECTS, ROWS};
use dynamo_storage::{
    Batch, Column, Durability, OpenError, ReadError, Recovery, RocksDbEngine, ScanItem,
    StorageEngine, WriteError, range,
};
use tempfile::TempDir;

use super::{copied, options};

type Model = BTreeMap<(Column, Vec<u8>), Vec<u8>>;

/// Bytes that do not compress to nothing.
pub(super) fn noise(seed: u64, bytes: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    (0..bytes)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 32) as u8
        })
        .collect()
}

#[expect(clippy::disallowed_methods, reason = "a test waits on a condition with a deadline")]
fn now() -> Instant {
    Instant::now()
}

/// A database whose rows are all in files, small ones in tables and large ones in blobs.
fn on_disk() -> (TempDir, Model) {
    let place = tempfile::tempdir().unwrap();
    let engine = RocksDbEngine::open(&options(&place)).unwrap();
    let mut model = Model::new();
    let mut batch = Batch::new();
    let rows = (0..600).map(|row| (ROWS, row, 60)).chain((0..12).map(|row| (OBJECTS, row, 9_000)));
    for (column, row, bytes) in rows {
        let key = noise(row, 12);
        let value = noise(row + 1, bytes);
        batch.put(column, key.clone(), value.clone());
        model.insert((column, key), value);
    }
    engine.write(&[batch], Durability::Synced).unwrap();
    drop(engine);
    // Opening moves the log into files.
    drop(RocksDbEngine::open(&options(&place)).unwrap());
    (place, model)
}

fn files(place: &TempDir, extension: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(place.path().join("rows")).unwrap();
    let mut files: Vec<_> = entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|found| found == extension))
        .collect();
    files.sort();
    files
}

/// Every row is read as it was written or reported as damaged, one by one and in a scan. Returns
/// how many were lost to each.
fn check_honest(engine: &RocksDbEngine, model: &Model, context: &str) -> (usize, usize) {
    (check_gets(engine, model, context), check_scans(engine, model, context))
}

fn check_gets(engine: &RocksDbEngine, model: &Model, context: &str) -> usize {
    let mut damaged_gets = 0;
    for ((column, key), value) in model {
        match engine.get(*column, key) {
            Ok(Some(found)) => assert!(found == value, "{context}: a wrong value was served"),
            Err(ReadError::Damaged { .. }) => damaged_gets += 1,
            other => panic!("{context}: {other:?}"),
        }
    }
    damaged_gets
}

fn check_scans(engine: &RocksDbEngine, model: &Model, context: &str) -> usize {
    let mut damaged_in_scans = 0;
    for column in [OBJECTS, ROWS] {
        let mut expected: BTreeMap<_, _> = model
            .iter()
            .filter(|((of, _), _)| *of == column)
            .map(|((_, key), value)| (key.clone(), value.clone()))
            .collect();
        let mut last: Option<Bytes> = None;
        engine
            .scan(column, &range::keys(..), &mut |item| {
                match item {
                    ScanItem::Row { key, value } => {
                        assert!(last.as_deref() < Some(key), "{context}: out of order");
                        last = Some(Bytes::copy_from_slice(key));
                        let written = expected.remove(key);
                        assert!(written.as_deref() == Some(value), "{context}: a wrong row");
                    }
                    ScanItem::DamagedRow { key } => {
                        expected.remove(key);
                        damaged_in_scans += 1;
                    }
                    ScanItem::DamagedRange { from, until } => {
                        let before = expected.len();
                        expected.retain(|key, _| {
                            key[..] < *from || until.is_some_and(|until| key[..] >= *until)
                        });
                        damaged_in_scans += before - expected.len();
                    }
                }
                ControlFlow::Continue(())
            })
            .unwrap();
        assert!(expected.is_empty(), "{context}: {} rows vanished in silence", expected.len());
    }
    damaged_in_scans
}

/// Flips one bit at each of `count` places of one file and checks what is served.
fn flip_bits(extension: &str, count: usize) -> (usize, usize) {
    let (image, model) = on_disk();
    let (mut gets, mut scans) = (0, 0);
    for (number, file) in files(&image, extension).into_iter().enumerate() {
        let bytes = usize::try_from(file.metadata().unwrap().len()).unwrap();
        for at in (0..count).map(|step| step * bytes / count + number % 7) {
            let context = format!("byte {at} of {bytes} of {extension} file {number}");
            let place = copied(&image);
            let damaged = place.path().join("rows").join(file.file_name().unwrap());
            let mut content = fs::read(&damaged).unwrap();
            content[at.min(bytes - 1)] ^= 1 << (at % 8);
            fs::write(&damaged, content).unwrap();
            match RocksDbEngine::open(&options(&place)) {
                Ok(engine) => {
                    let (in_gets, in_scans) = check_honest(&engine, &model, &context);
                    gets += in_gets;
                    scans += in_scans;
                }
                Err(OpenError::Damaged { .. }) => {}
                Err(other) => panic!("{context}: {other}"),
            }
        }
    }
    (gets, scans)
}

#[test]
fn no_flipped_bit_of_a_table_is_served_or_hides_a_row() {
    let (gets, scans) = flip_bits("sst", 24);
    assert!(gets > 0 && scans > 0, "the test damaged nothing that mattered");
    println!("{gets} reads and {scans} scanned rows met damage");
}

#[test]
fn no_flipped_bit_of_a_blob_file_is_served_or_hides_a_row() {
    let (gets, scans) = flip_bits("blob", 40);
    assert!(gets > 0 && scans > 0, "the test damaged nothing that mattered");
    println!("{gets} reads and {scans} scanned rows met damage");
}

#[test]
fn a_scan_loses_about_a_block_to_a_damaged_block() {
    let (place, model) = on_disk();
    let largest =
        files(&place, "sst").into_iter().max_by_key(|file| file.metadata().unwrap().len());
    let file = largest.unwrap();
    let mut content = fs::read(&file).unwrap();
    let middle = content.len() / 3;
    content[middle] ^= 1;
    fs::write(&file, content).unwrap();
    let engine = RocksDbEngine::open(&options(&place)).unwrap();
    let (gets, scans) = check_honest(&engine, &model, "one block");
    assert!((1..120).contains(&gets), "{gets} reads met damage");
    assert_eq!(scans, gets, "a scan loses what reads lose, and no more");
}

#[test]
fn a_missing_table_is_an_error_at_opening() {
    let (place, _) = on_disk();
    fs::remove_file(&files(&place, "sst")[0]).unwrap();
    let opened = RocksDbEngine::open(&options(&place));
    assert!(matches!(opened, Err(OpenError::Damaged { .. })), "{opened:?}");
}

#[test]
fn the_rows_of_a_missing_blob_file_are_damaged() {
    let (place, model) = on_disk();
    fs::remove_file(&files(&place, "blob")[0]).unwrap();
    let engine = RocksDbEngine::open(&options(&place)).unwrap();
    assert_eq!(check_honest(&engine, &model, "no blob file"), (12, 12));
}

#[test]
fn damage_met_while_merging_stops_writes_and_the_next_start_rebuilds() {
    let (place, model) = on_disk();
    let file = files(&place, "sst").into_iter().max_by_key(|file| file.metadata().unwrap().len());
    let file = file.unwrap();
    let mut content = fs::read(&file).unwrap();
    let middle = content.len() / 3;
    content[middle] ^= 1;
    fs::write(&file, content).unwrap();

    let engine = RocksDbEngine::open(&options(&place)).unwrap();
    let mut later = Model::new();
    // Far more than makes RocksDB merge the first files; then the last row again and again, until the
    // merge, which runs beside the writes, has come to the damaged block.
    let patience = now() + Duration::from_secs(60);
    let mut row = 0;
    let mut stopped = None;
    while stopped.is_none() && (row < 4_000 || now() < patience) {
        let (key, value) = (noise(row + 10_000, 12), noise(row, 3_000));
        let mut batch = Batch::new();
        batch.put(ROWS, key.clone(), value.clone());
        match engine.write(&[batch], Durability::Buffered) {
            Ok(()) => {
                later.insert((ROWS, key), value);
            }
            Err(error) => stopped = Some(error),
        }
        if row < 4_000 {
            row += 1;
        } else {
            std::thread::yield_now();
        }
    }
    let stopped = stopped.expect("writes go on over damage");
    assert!(matches!(stopped, WriteError::Io { .. }), "{stopped:?}");
    assert_eq!(engine.write(&[], Durability::Synced), Err(WriteError::Stopped));
    check_gets(&engine, &model, "stopped");
    drop(engine);

    let engine = RocksDbEngine::open(&options(&place)).unwrap();
    assert_eq!(engine.recovery(), Recovery::Shortened);
    let lost = model.iter().filter(|((column, key), value)| {
        let found = engine.get(*column, key).unwrap();
        assert!(found.as_ref().is_none_or(|found| found == *value), "a wrong row");
        found.is_none()
    });
    let lost = lost.count();
    assert!((1..120).contains(&lost), "{lost} rows were lost to one block");
    // A damaged block also hides what other files hold between its first key and its last.
    let hidden = later.iter().filter(|((column, key), value)| {
        let found = engine.get(*column, key).unwrap();
        assert!(found.as_ref().is_none_or(|found| found == *value), "a wrong row");
        found.is_none()
    });
    let hidden = hidden.count();
    assert!(hidden < later.len() / 5, "{hidden} of {} later rows were lost", later.len());
    let mut batch = Batch::new();
    batch.put(ROWS, "after", "the rebuild");
    engine.write(&[batch], Durability::Synced).unwrap();
    engine.acknowledge_recovery().unwrap();
    drop(engine);
    assert_eq!(RocksDbEngine::open(&options(&place)).unwrap().recovery(), Recovery::Clean);
    assert_eq!(fs::read_dir(place.path()).unwrap().count(), 1, "nothing is left beside it");
}
