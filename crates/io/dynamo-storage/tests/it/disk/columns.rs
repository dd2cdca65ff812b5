//! Opening with the right and the wrong columns, and what the figures say.

use dynamo_storage::conformance::{COLUMNS, OBJECTS, ROWS};
use dynamo_storage::{
    Batch, CachedRead, ColumnSpec, Durability, OpenError, OpenOptions, Purpose, RocksDbEngine,
    StorageEngine,
};

use super::files::noise;
use super::options;

#[test]
fn columns_can_be_added_and_not_left_out() {
    let place = tempfile::tempdir().unwrap();
    let with =
        |columns: &[ColumnSpec]| OpenOptions { columns: columns.to_vec(), ..options(&place) };
    drop(RocksDbEngine::open(&with(&COLUMNS)).unwrap());
    let new = ColumnSpec { name: "new", purpose: Purpose::Rows };
    let more = [COLUMNS[0], COLUMNS[1], new];
    drop(RocksDbEngine::open(&with(&more)).unwrap());
    let fewer = RocksDbEngine::open(&with(&COLUMNS));
    assert!(matches!(fewer, Err(OpenError::Columns { .. })), "{fewer:?}");
}

#[test]
fn column_names_are_distinct_and_not_the_reserved_one() {
    let place = tempfile::tempdir().unwrap();
    let reserved = ColumnSpec { name: "default", purpose: Purpose::Rows };
    for columns in [vec![COLUMNS[0], COLUMNS[0]], vec![reserved]] {
        let opened = RocksDbEngine::open(&OpenOptions { columns, ..options(&place) });
        assert!(matches!(opened, Err(OpenError::ColumnName { .. })), "{opened:?}");
    }
}

#[test]
fn a_directory_that_is_in_use_is_refused() {
    let place = tempfile::tempdir().unwrap();
    let _held = RocksDbEngine::open(&options(&place)).unwrap();
    let second = RocksDbEngine::open(&options(&place));
    assert!(matches!(second, Err(OpenError::Io { .. })), "{second:?}");
}

#[test]
fn a_read_from_disk_leaves_the_row_in_memory_large_ones_too() {
    let place = tempfile::tempdir().unwrap();
    let engine = RocksDbEngine::open(&options(&place)).unwrap();
    let mut batch = Batch::new();
    batch.put(ROWS, "small", "value");
    batch.put(OBJECTS, "large", vec![7; 100_000]);
    engine.write(&[batch], Durability::Synced).unwrap();
    drop(engine);
    // The first opening moves the rows into files, the second has read none of them.
    drop(RocksDbEngine::open(&options(&place)).unwrap());
    let engine = RocksDbEngine::open(&options(&place)).unwrap();
    for (column, key) in [(ROWS, "small"), (OBJECTS, "large")] {
        let key = key.as_bytes();
        assert_eq!(engine.get_cached(column, key), Ok(CachedRead::NotCached));
        let value = engine.get(column, key).unwrap().unwrap();
        assert_eq!(engine.get_cached(column, key), Ok(CachedRead::Found(value)));
    }
}

#[test]
fn the_figures_count_what_lies_apart_from_the_keys() {
    let place = tempfile::tempdir().unwrap();
    let engine = RocksDbEngine::open(&options(&place)).unwrap();
    let mut batch = Batch::new();
    batch.put(OBJECTS, "large", noise(1, 100_000));
    engine.write(&[batch], Durability::Synced).unwrap();
    drop(engine);
    let engine = RocksDbEngine::open(&options(&place)).unwrap();
    let statistics = engine.statistics().unwrap();
    assert!(statistics.columns[OBJECTS.0].bytes > 100_000, "{statistics:?}");
    assert!(statistics.columns[ROWS.0].bytes < 50_000, "{statistics:?}");
    assert!(statistics.free_bytes.is_some_and(|free| free > 0));
}
