//! Any history of writes, reopenings and crashes leaves an engine equal to a map.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use bytes::Bytes;
use dynamo_storage::conformance::COLUMNS;
use dynamo_storage::{
    Batch, Column, Durability, MemoryEngine, ScanItem, StorageEngine, Write, range,
};
use proptest::collection::vec;
use proptest::prelude::*;

#[derive(Debug, Clone)]
enum Step {
    Write(Vec<Batch>, Durability),
    Reopen,
    Crash,
}

type Model = BTreeMap<(Column, Bytes), Bytes>;

fn key() -> impl Strategy<Value = Bytes> {
    // Few and short, so that writes meet; with the bytes where order goes wrong.
    vec(prop_oneof![Just(0x00), Just(0x61), Just(0xff)], 0..3).prop_map(Bytes::from)
}

fn batch() -> impl Strategy<Value = Batch> {
    let column = || (0..COLUMNS.len()).prop_map(Column);
    let value = prop_oneof![4 => vec(any::<u8>(), 0..8), 1 => vec(any::<u8>(), 4_080..4_110)];
    let write = prop_oneof![
        5 => (column(), key(), value).prop_map(|(column, key, value)| {
            Write::Put { column, key, value: value.into() }
        }),
        2 => (column(), key()).prop_map(|(column, key)| Write::Delete { column, key }),
        1 => (column(), key(), key())
            .prop_map(|(column, from, to)| Write::DeleteRange { column, from, to }),
    ];
    vec(write, 0..6).prop_map(Batch)
}

fn steps(count: usize) -> impl Strategy<Value = Vec<Step>> {
    let durability = prop_oneof![Just(Durability::Buffered), Just(Durability::Synced)];
    let write = (vec(batch(), 0..4), durability).prop_map(|(batches, d)| Step::Write(batches, d));
    vec(prop_oneof![8 => write, 1 => Just(Step::Reopen), 1 => Just(Step::Crash)], 0..count)
}

fn apply(model: &mut Model, batches: &[Batch]) {
    for write in batches.iter().flat_map(|batch| &batch.0) {
        match write.clone() {
            Write::Put { column, key, value } => {
                model.insert((column, key), value);
            }
            Write::Delete { column, key } => {
                model.remove(&(column, key));
            }
            Write::DeleteRange { column, from, to } => {
                model.retain(|(of, key), _| *of != column || *key < from || *key >= to);
            }
        }
    }
}

fn content(engine: &impl StorageEngine) -> Model {
    let mut content = Model::new();
    for column in (0..COLUMNS.len()).map(Column) {
        engine
            .scan(column, &range::keys(..), &mut |item| {
                let ScanItem::Row { key, value } = item else { panic!("{item:?}") };
                let key = Bytes::copy_from_slice(key);
                assert_eq!(engine.get(column, &key).unwrap().as_deref(), Some(value));
                content.insert((column, key), Bytes::copy_from_slice(value));
                ControlFlow::Continue(())
            })
            .unwrap();
    }
    content
}

/// Runs the steps; `crash` says what a crash does to the engine, or that it loses nothing here.
fn run<E: StorageEngine>(
    mut engine: E,
    steps: Vec<Step>,
    mut reopen: impl FnMut(E) -> E,
    mut crash: Option<impl FnMut(E) -> E>,
) {
    let mut model = Model::new();
    let mut durable = Model::new();
    for step in steps {
        match step {
            Step::Write(batches, durability) => {
                engine.write(&batches, durability).unwrap();
                apply(&mut model, &batches);
                if durability == Durability::Synced {
                    durable = model.clone();
                }
            }
            Step::Reopen => engine = reopen(engine),
            Step::Crash => {
                if let Some(crash) = &mut crash {
                    engine = crash(engine);
                    model = durable.clone();
                }
            }
        }
        assert_eq!(content(&engine), model);
    }
}

proptest! {
    #[test]
    fn memory_is_a_map_that_crashes_lead_back_to_the_last_sync(steps in steps(30)) {
        let reopen = |engine: MemoryEngine| { engine.restart(); engine };
        let crash = |engine: MemoryEngine| { engine.crash(); engine };
        run(MemoryEngine::new(&COLUMNS), steps, reopen, Some(crash));
    }
}

#[cfg(feature = "rocksdb")]
proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn rocksdb_is_a_map(steps in steps(20)) {
        use dynamo_storage::{OpenOptions, RocksDbEngine};

        let place = tempfile::tempdir().unwrap();
        let options = OpenOptions {
            cache_bytes: 1 << 20,
            write_buffer_bytes: 1 << 20,
            reserve_bytes: 0,
            ..OpenOptions::new(place.path(), &COLUMNS)
        };
        let reopen = |engine: RocksDbEngine| {
            drop(engine);
            RocksDbEngine::open(&options).unwrap()
        };
        run(
            RocksDbEngine::open(&options).unwrap(),
            steps,
            reopen,
            None::<fn(RocksDbEngine) -> RocksDbEngine>,
        );
    }
}
