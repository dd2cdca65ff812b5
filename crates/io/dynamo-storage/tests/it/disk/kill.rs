//! A process that is killed while it writes.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use dynamo_storage::conformance::{COLUMNS, OBJECTS, ROWS};
use dynamo_storage::{Batch, Durability, OpenOptions, Recovery, RocksDbEngine, StorageEngine};

const DIRECTORY: &str = "STORAGE_KILL_TEST_DIRECTORY";

fn options(directory: &Path) -> OpenOptions {
    OpenOptions {
        write_buffer_bytes: 256 << 10,
        reserve_bytes: 0,
        ..OpenOptions::new(directory, &COLUMNS)
    }
}

fn value(number: u32) -> Vec<u8> {
    number.to_be_bytes().repeat(2_000)
}

/// Not a test of its own: the process that is killed. It does nothing unless told where.
#[test]
fn child() {
    let Some(directory) = std::env::var_os(DIRECTORY) else { return };
    let engine = RocksDbEngine::open(&options(Path::new(&directory))).unwrap();
    let first =
        (0..).find(|number: &u32| engine.get(ROWS, &number.to_be_bytes()).unwrap().is_none());
    for number in first.unwrap().. {
        let mut batch = Batch::new();
        batch.put(ROWS, number.to_be_bytes().to_vec(), "written");
        batch.put(OBJECTS, number.to_be_bytes().to_vec(), value(number));
        engine.write(&[batch], Durability::Synced).unwrap();
        println!("acknowledged {number}");
    }
}

#[test]
fn what_was_acknowledged_before_a_kill_is_there_and_whole() {
    let place = tempfile::tempdir().unwrap();
    let directory = place.path().join("rows");
    for round in 0..8_usize {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "disk::kill::child", "--nocapture"])
            .env(DIRECTORY, &directory)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let mut numbers = lines.filter_map(|line| {
            line.unwrap().strip_prefix("acknowledged ").map(|number| number.parse::<u32>().unwrap())
        });
        numbers.nth(5 + round * 37).expect("the child ended by itself");
        process.kill().unwrap();
        // Also what it said between the last line read and the kill.
        let acknowledged = numbers.last();
        process.wait().unwrap();

        let engine = RocksDbEngine::open(&options(&directory)).unwrap();
        assert_ne!(engine.recovery(), Recovery::Shortened);
        let mut present = 0_u32;
        while engine.get(ROWS, &present.to_be_bytes()).unwrap().is_some() {
            let object = engine.get(OBJECTS, &u32::to_be_bytes(present)).unwrap();
            assert!(object.is_some_and(|object| object == value(present)), "half a batch");
            present += 1;
        }
        assert_eq!(engine.get(OBJECTS, &present.to_be_bytes()), Ok(None), "half a batch");
        assert!(acknowledged.is_none_or(|last| last < present), "round {round}: {acknowledged:?}");
    }
}
