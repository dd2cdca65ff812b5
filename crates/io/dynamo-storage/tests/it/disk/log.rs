//! The log after kills, power losses and rot.

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use dynamo_storage::conformance::ROWS;
use dynamo_storage::{Batch, Durability, Recovery, RocksDbEngine, ScanItem, StorageEngine, range};
use tempfile::TempDir;

use super::{copied, options};

const ROW_COUNT: u32 = 8;

/// A directory as a killed process leaves it: every row synced, all of them only in the log.
fn killed() -> TempDir {
    let live = tempfile::tempdir().unwrap();
    let engine = RocksDbEngine::open(&options(&live)).unwrap();
    for row in 0..ROW_COUNT {
        let mut batch = Batch::new();
        batch.put(ROWS, row.to_be_bytes().to_vec(), format!("value {row}"));
        engine.write(&[batch], Durability::Synced).unwrap();
    }
    copied(&live)
}

/// The one log file that has content.
fn log_file(place: &TempDir) -> PathBuf {
    let logs = fs::read_dir(place.path().join("rows")).unwrap().map(|entry| entry.unwrap().path());
    let mut full = logs.filter(|path| {
        path.extension().is_some_and(|extension| extension == "log")
            && path.metadata().unwrap().len() > 0
    });
    let log = full.next().expect("a log with content");
    assert_eq!(full.next(), None, "one log with content");
    log
}

/// How many rows are there, if they are the first ones and whole.
fn prefix_length(engine: &RocksDbEngine) -> u32 {
    let mut next = 0_u32;
    engine
        .scan(ROWS, &range::keys(..), &mut |item| {
            let value = format!("value {next}");
            assert_eq!(
                item,
                ScanItem::Row { key: &next.to_be_bytes(), value: value.as_bytes() },
                "there is a hole before row {next}"
            );
            next += 1;
            ControlFlow::Continue(())
        })
        .unwrap();
    next
}

fn open(place: &TempDir) -> RocksDbEngine {
    RocksDbEngine::open(&options(place)).unwrap()
}

fn change(file: &Path, how: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(file).unwrap();
    how(&mut bytes);
    fs::write(file, bytes).unwrap();
}

#[test]
fn after_a_kill_everything_is_there() {
    let engine = open(&killed());
    assert_eq!(engine.recovery(), Recovery::Clean);
    assert_eq!(prefix_length(&engine), ROW_COUNT);
}

#[test]
fn a_log_cut_anywhere_opens_with_a_prefix_and_is_not_taken_for_damaged() {
    let image = killed();
    let bytes = fs::metadata(log_file(&image)).unwrap().len();
    let mut lengths = Vec::new();
    for end in (0..bytes).step_by(7) {
        let place = copied(&image);
        change(&log_file(&place), |log| log.truncate(usize::try_from(end).unwrap()));
        let engine = open(&place);
        assert_ne!(engine.recovery(), Recovery::Shortened, "cut at {end}");
        lengths.push(prefix_length(&engine));
        drop(engine);
        assert_eq!(open(&place).recovery(), Recovery::Clean, "a torn end is gone for good");
    }
    assert!(lengths.is_sorted() && lengths.contains(&(ROW_COUNT / 2)), "{lengths:?}");
}

#[test]
fn no_flipped_bit_of_a_log_makes_a_synced_row_vanish_in_silence() {
    let image = killed();
    let bytes = usize::try_from(fs::metadata(log_file(&image)).unwrap().len()).unwrap();
    let mut shortened = 0;
    for byte in (0..bytes).step_by(5) {
        let place = copied(&image);
        change(&log_file(&place), |log| log[byte] ^= 1 << (byte % 8));
        let engine = open(&place);
        let rows = prefix_length(&engine);
        if rows < ROW_COUNT {
            assert_eq!(engine.recovery(), Recovery::Shortened, "byte {byte}: {rows} rows left");
            shortened += 1;
        }
    }
    assert!(shortened > 10, "the test damaged nothing that mattered");
}

#[test]
fn a_shortened_log_is_reported_until_it_is_acknowledged() {
    let place = killed();
    change(&log_file(&place), |log| {
        let middle = log.len() / 2;
        log[middle] ^= 1;
    });
    for _ in 0..2 {
        assert_eq!(open(&place).recovery(), Recovery::Shortened);
    }
    let engine = open(&place);
    engine.acknowledge_recovery().unwrap();
    engine.acknowledge_recovery().unwrap();
    drop(engine);
    assert_eq!(open(&place).recovery(), Recovery::Clean);
}

#[test]
fn an_unfinished_write_does_not_hide_an_unacknowledged_shortening() {
    let place = killed();
    change(&log_file(&place), |log| {
        let middle = log.len() / 2;
        log[middle] ^= 1;
    });
    let engine = open(&place);
    let mut batch = Batch::new();
    batch.put(ROWS, "later", "value");
    engine.write(&[batch], Durability::Synced).unwrap();
    let place = copied(&place);
    change(&log_file(&place), |log| log.truncate(log.len() - 1));
    assert_eq!(open(&place).recovery(), Recovery::Shortened);
}
