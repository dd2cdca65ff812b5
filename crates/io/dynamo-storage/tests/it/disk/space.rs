//! A disk that fills up.

use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use dynamo_storage::conformance::{COLUMNS, ROWS};
use dynamo_storage::{
    Batch, Durability, OpenOptions, Recovery, RocksDbEngine, StorageEngine, WriteError,
};
use tempfile::TempDir;

use super::options;

fn put(key: u32) -> [Batch; 1] {
    let mut batch = Batch::new();
    // Does not compress, so that files take the space that writes ask for.
    let mut state = key | 1;
    let value = (0..20_000).map(|_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    });
    batch.put(ROWS, key.to_be_bytes().to_vec(), value.collect::<Vec<u8>>());
    [batch]
}

#[test]
fn writes_stop_at_the_reserve_and_removals_do_not() {
    let place = tempfile::tempdir().unwrap();
    let engine = RocksDbEngine::open(&options(&place)).unwrap();
    engine.write(&put(1), Durability::Synced).unwrap();
    drop(engine);
    let reserve_bytes = u64::MAX / 2;
    let options = OpenOptions { reserve_bytes, ..options(&place) };
    let engine = RocksDbEngine::open(&options).unwrap();
    let refused = engine.write(&put(2), Durability::Synced).unwrap_err();
    assert!(matches!(refused, WriteError::DiskFull { .. }), "{refused}");
    assert!(engine.get(ROWS, &1_u32.to_be_bytes()).unwrap().is_some(), "reads go on");
    let mut removal = Batch::new();
    removal.delete(ROWS, 1_u32.to_be_bytes().to_vec());
    engine.write(&[removal], Durability::Synced).unwrap();
    assert_eq!(engine.get(ROWS, &1_u32.to_be_bytes()), Ok(None));
    assert!(!engine.statistics().unwrap().stopped);
}

/// A file system of its own, in memory.
struct Small {
    place: TempDir,
}

impl Small {
    /// `None` where this process may not mount.
    fn mount(bytes: u64) -> Option<Self> {
        let place = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={bytes}"), "none"])
            .arg(place.path())
            .stderr(Stdio::null())
            .status();
        mounted.is_ok_and(|status| status.success()).then_some(Self { place })
    }

    fn path(&self) -> &Path {
        self.place.path()
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg(self.path()).status();
        assert!(unmounted.is_ok_and(|status| status.success()), "a mount is left behind");
    }
}

#[test]
fn a_disk_that_is_really_full_refuses_whole_writes_and_recovers_by_itself() {
    let Some(disk) = Small::mount(32 << 20) else {
        println!("not checked: this process may not mount a small file system");
        return;
    };
    let options = OpenOptions {
        cache_bytes: 1 << 20,
        write_buffer_bytes: 2 << 20,
        reserve_bytes: 0,
        ..OpenOptions::new(disk.path().join("rows"), &COLUMNS)
    };
    let engine = RocksDbEngine::open(&options).unwrap();
    let ballast = disk.path().join("ballast");
    let mut file = File::create(&ballast).unwrap();
    std::io::copy(&mut std::io::Read::take(std::io::repeat(1), 20 << 20), &mut file).unwrap();
    drop(file);

    let durability =
        |key: u32| if key.is_multiple_of(2) { Durability::Synced } else { Durability::Buffered };
    let mut key = 0;
    let mut refusals = 0;
    let mut refused = Vec::new();
    let mut accepted = Vec::new();
    while refusals < 20 {
        match engine.write(&put(key), durability(key)) {
            Ok(()) => accepted.push(key),
            Err(WriteError::DiskFull { .. }) => {
                refusals += 1;
                refused.push(key);
            }
            Err(other) => panic!("after {} writes: {other}", accepted.len()),
        }
        key += 1;
        assert!(key < 10_000, "the disk never filled up");
    }
    let check = |engine: &RocksDbEngine| {
        for key in &accepted {
            let found = engine.get(ROWS, &key.to_be_bytes()).unwrap();
            let [batch] = put(*key);
            let Some(dynamo_storage::Write::Put { value, .. }) = batch.0.first() else { panic!() };
            assert_eq!(found.as_ref(), Some(value), "accepted write {key}");
        }
        for key in &refused {
            assert_eq!(engine.get(ROWS, &key.to_be_bytes()), Ok(None), "refused write {key}");
        }
    };
    check(&engine);

    std::fs::remove_file(ballast).unwrap();
    // RocksDB looks for space every few seconds.
    let mut waits = 0;
    while let Err(error) = engine.write(&put(1 << 20), Durability::Synced) {
        assert!(matches!(error, WriteError::DiskFull { .. }), "{error}");
        waits += 1;
        assert!(waits < 600, "writes do not come back");
        thread::park_timeout(Duration::from_millis(50));
    }
    check(&engine);
    drop(engine);
    let engine = RocksDbEngine::open(&options).unwrap();
    assert_ne!(engine.recovery(), Recovery::Shortened);
    check(&engine);
    assert!(engine.get(ROWS, &(1_u32 << 20).to_be_bytes()).unwrap().is_some());
}
