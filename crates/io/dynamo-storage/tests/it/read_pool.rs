//! The pool of reading threads.

use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

use dynamo_storage::conformance::{COLUMNS, ROWS};
use dynamo_storage::{
    Batch, Durability, MemoryEngine, QueueFull, ReadPool, ReadPoolLimits, StorageEngine,
};

/// Long enough for any machine; reached only by a test that fails.
const DEADLINE: Duration = Duration::from_secs(30);

fn engine() -> Arc<dyn StorageEngine> {
    let engine = MemoryEngine::new(&COLUMNS);
    let mut batch = Batch::new();
    batch.put(ROWS, "key", "value");
    engine.write(&[batch], Durability::Synced).unwrap();
    Arc::new(engine)
}

#[test]
fn jobs_read_the_engine_and_report_for_themselves() {
    let pool = ReadPool::start(&engine(), ReadPoolLimits::default()).unwrap();
    let (report, values) = mpsc::channel();
    pool.submit(Box::new(move |engine| report.send(engine.get(ROWS, b"key")).unwrap())).unwrap();
    assert_eq!(values.recv_timeout(DEADLINE).unwrap(), Ok(Some("value".into())));
}

#[test]
fn the_queue_is_bounded_and_dropping_the_pool_finishes_it() {
    let limits = ReadPoolLimits { threads: 2, queue_jobs: 3 };
    let pool = ReadPool::start(&engine(), limits).unwrap();
    let (started, starts) = mpsc::channel();
    let (finished, finishes) = mpsc::channel();
    let mut leaves = Vec::new();
    for busy in 0..2 {
        let (leave, left) = mpsc::channel::<()>();
        let (started, finished) = (started.clone(), finished.clone());
        leaves.push(leave);
        pool.submit(Box::new(move |_| {
            started.send(()).unwrap();
            left.recv_timeout(DEADLINE).expect("no leave");
            finished.send(busy).unwrap();
        }))
        .unwrap();
    }
    for _ in 0..2 {
        starts.recv_timeout(DEADLINE).unwrap();
    }
    for waiting in 2..5 {
        let finished = finished.clone();
        pool.submit(Box::new(move |_| finished.send(waiting).unwrap())).unwrap();
    }
    assert_eq!(pool.submit(Box::new(|_| {})), Err(QueueFull));
    for leave in leaves {
        leave.send(()).unwrap();
    }
    drop((pool, finished));
    let mut all: Vec<i32> = finishes.iter().collect();
    all.sort_unstable();
    assert_eq!(all, [0, 1, 2, 3, 4]);
}

#[test]
fn a_job_that_panics_does_not_take_its_thread_along() {
    let pool = ReadPool::start(&engine(), ReadPoolLimits { threads: 1, queue_jobs: 8 }).unwrap();
    pool.submit(Box::new(|_| panic!("this panic is part of the test"))).unwrap();
    let (report, reports) = mpsc::channel();
    pool.submit(Box::new(move |_| report.send(()).unwrap())).unwrap();
    reports.recv_timeout(DEADLINE).unwrap();
}
