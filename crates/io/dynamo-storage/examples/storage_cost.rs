//! Prints what the engine on disk costs: processor time per operation and synced puts per second.
//!
//! `cargo run --release -p dynamo-storage --features rocksdb --example storage_cost [DIRECTORY]`
//!
//! Processor time is that of the whole process, so it includes flushing and merging, and it holds
//! still when the machine is busy with other things; the rates do not.
#![expect(clippy::print_stdout, reason = "printing figures is what it is for")]

use std::error::Error;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock, mpsc};
use std::time::{Duration, Instant};

use bytes::Bytes;
use dynamo_storage::{
    Batch, CachedRead, Column, ColumnSpec, Durability, GroupCommit, GroupCommitLimits, OpenOptions,
    Purpose, RocksDbEngine, StorageEngine,
};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike as _;

const OBJECTS: Column = Column(0);
const COLUMNS: [ColumnSpec; 1] = [ColumnSpec { name: "objects", purpose: Purpose::Objects }];
const KEYS: u64 = 100_000;

fn main() -> Result<(), Box<dyn Error>> {
    let parent = std::env::args_os().nth(1).map_or_else(std::env::temp_dir, PathBuf::from);
    let directory = parent.join(format!("storage-cost-{}", std::process::id()));
    let engine: Arc<dyn StorageEngine> =
        Arc::new(RocksDbEngine::open(&OpenOptions::new(&directory, &COLUMNS))?);

    for bytes in [128, 1_024, 16_384] {
        let count = (200_000_000 / (bytes as u64 + 1_000)).min(KEYS);
        measured(&format!("put, buffered, one by one, {bytes} bytes"), count, || {
            (0..count).try_for_each(|n| engine.write(&[put(n, bytes)], Durability::Buffered))
        })?;
        measured(&format!("put, buffered, 32 at a time, {bytes} bytes"), count, || {
            (0..count / 32).try_for_each(|n| {
                let group: Vec<_> = (0..32).map(|m| put(n * 32 + m, bytes)).collect();
                engine.write(&group, Durability::Buffered)
            })
        })?;
        for n in 0..1_000 {
            engine.get(OBJECTS, &key(n))?;
        }
        let mut hits = 0_u64;
        measured(&format!("get from memory, {bytes} bytes"), count, || {
            (0..count).try_for_each(|n| {
                let found = engine.get_cached(OBJECTS, &key(n % 1_000))?;
                hits += u64::from(matches!(found, CachedRead::Found(_)));
                Ok::<_, dynamo_storage::ReadError>(())
            })
        })?;
        measured(&format!("get from anywhere, {bytes} bytes"), count, || {
            (0..count).try_for_each(|n| {
                engine.get(OBJECTS, &key(n.wrapping_mul(7_919) % count)).map(drop)
            })
        })?;
        println!(
            "{:>58} {:.0} %",
            "of the gets from memory, found there:",
            100.0 * hits as f64 / count as f64
        );
    }
    for writers in [1, 8, 64, 256] {
        group_commit(&engine, writers)?;
    }
    drop(engine);
    std::fs::remove_dir_all(directory)?;
    Ok(())
}

/// Every writer has one put of 1 KiB under way, and submits the next when it is synced.
fn group_commit(engine: &Arc<dyn StorageEngine>, writers: u64) -> Result<(), Box<dyn Error>> {
    let count = 2_000 * writers.min(64);
    let (report, reports) = mpsc::channel();
    let commit =
        GroupCommit::start(Arc::clone(engine), GroupCommitLimits::default(), move |group| {
            // The receiver is gone only if the measurement failed, which it reports itself.
            drop(report.send(group));
        })?;
    let mut groups = 0;
    measured(&format!("put, synced, {writers} writers, 1024 bytes"), count, || {
        let mut next = 0;
        while next < writers {
            commit.submit(next, put(next, 1_024), Durability::Synced)?;
            next += 1;
        }
        let mut finished = 0;
        while finished < count {
            groups += 1;
            for done in reports.recv()? {
                done.result?;
                finished += 1;
                if next < count {
                    commit.submit(next, put(next % KEYS, 1_024), Durability::Synced)?;
                    next += 1;
                }
            }
        }
        Ok::<_, Box<dyn Error>>(())
    })?;
    println!("{:>58} {:.1}", "puts per sync:", count as f64 / f64::from(groups));
    Ok(())
}

fn key(n: u64) -> [u8; 16] {
    let mut key = [0; 16];
    key[..8].copy_from_slice(&n.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
    key[8..].copy_from_slice(&n.to_be_bytes());
    key
}

/// Half of each value compresses. Values are slices of one buffer: making them costs nothing.
fn put(n: u64, bytes: usize) -> Batch {
    static NOISE: OnceLock<Bytes> = OnceLock::new();
    let noise = NOISE.get_or_init(|| {
        let mut state = 1_u64;
        let bytes = (0..1 << 20).map(|at| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            if at % 2 == 0 { 0 } else { (state >> 56) as u8 }
        });
        bytes.collect()
    });
    let from = (n as usize).wrapping_mul(97) % (noise.len() - bytes);
    let mut batch = Batch::new();
    batch.put(OBJECTS, key(n).to_vec(), noise.slice(from..from + bytes));
    batch
}

fn measured<E>(
    what: &str,
    count: u64,
    work: impl FnOnce() -> Result<(), E>,
) -> Result<(), Box<dyn Error>>
where
    Box<dyn Error>: From<E>,
{
    let (cpu, start) = (cpu_time()?, now());
    work()?;
    let (cpu, wall) = (cpu_time()?.saturating_sub(cpu), now() - start);
    let each = |time: Duration| time.as_secs_f64() * 1e6 / count as f64;
    let rate = count as f64 / wall.as_secs_f64();
    println!("{what:>50}: {:6.1} us CPU, {:6.1} us, {rate:8.0} a second", each(cpu), each(wall));
    Ok(())
}

fn cpu_time() -> nix::Result<Duration> {
    let usage = getrusage(UsageWho::RUSAGE_SELF)?;
    let microseconds =
        usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    Ok(Duration::from_micros(microseconds.unsigned_abs()))
}

#[expect(clippy::disallowed_methods, reason = "a measurement needs the clock")]
fn now() -> Instant {
    Instant::now()
}
