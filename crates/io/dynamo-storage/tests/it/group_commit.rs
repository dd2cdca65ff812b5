//! Group commit.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use dynamo_storage::conformance::{COLUMNS, ROWS};
use dynamo_storage::{
    Batch, CachedRead, CheckpointError, Column, Done, Durability, GroupCommit, GroupCommitLimits,
    KeyRange, MemoryEngine, QueueFull, ReadError, ScanError, ScanItem, Snapshot, Statistics,
    StatisticsError, StorageEngine, Visit, WriteError, WriteFault, range,
};

/// Long enough for any machine; reached only by a test that fails.
const DEADLINE: Duration = Duration::from_secs(30);

fn put(key: impl Into<Bytes>, value: impl Into<Bytes>) -> Batch {
    let mut batch = Batch::new();
    batch.put(ROWS, key, value);
    batch
}

/// An engine that announces each write and waits for leave to do it, so that a test decides what
/// forms a group.
struct Gated {
    memory: MemoryEngine,
    announced: Mutex<Sender<(usize, Durability)>>,
    leave: Mutex<Receiver<()>>,
}

impl StorageEngine for Gated {
    fn write(&self, batches: &[Batch], durability: Durability) -> Result<(), WriteError> {
        self.announced.lock().unwrap().send((batches.len(), durability)).unwrap();
        self.leave.lock().unwrap().recv_timeout(DEADLINE).expect("the test gave no leave");
        self.memory.write(batches, durability)
    }

    fn get(&self, column: Column, key: &[u8]) -> Result<Option<Bytes>, ReadError> {
        self.memory.get(column, key)
    }

    fn get_cached(&self, column: Column, key: &[u8]) -> Result<CachedRead, ReadError> {
        self.memory.get_cached(column, key)
    }

    fn scan(
        &self,
        column: Column,
        range: &KeyRange,
        visit: &mut Visit<'_>,
    ) -> Result<(), ScanError> {
        self.memory.scan(column, range, visit)
    }

    fn snapshot(&self) -> Box<dyn Snapshot + '_> {
        self.memory.snapshot()
    }

    fn checkpoint(&self, target: &Path) -> Result<(), CheckpointError> {
        self.memory.checkpoint(target)
    }

    fn statistics(&self) -> Result<Statistics, StatisticsError> {
        self.memory.statistics()
    }
}

struct Setup {
    memory: MemoryEngine,
    commit: GroupCommit,
    announced: Receiver<(usize, Durability)>,
    leave: Sender<()>,
    done: Receiver<Vec<Done>>,
}

fn setup(limits: GroupCommitLimits) -> Setup {
    let memory = MemoryEngine::new(&COLUMNS);
    let (announce, announced) = mpsc::channel();
    let (leave, leaves) = mpsc::channel();
    let (report, done) = mpsc::channel();
    let engine = Gated {
        memory: memory.clone(),
        announced: Mutex::new(announce),
        leave: Mutex::new(leaves),
    };
    let commit =
        GroupCommit::start(Arc::new(engine), limits, move |group| report.send(group).unwrap());
    Setup { memory, commit: commit.unwrap(), announced, leave, done }
}

impl Setup {
    fn announced(&self) -> (usize, Durability) {
        self.announced.recv_timeout(DEADLINE).expect("no write was announced")
    }

    fn done(&self) -> Vec<Done> {
        self.done.recv_timeout(DEADLINE).expect("nothing was reported")
    }
}

fn ok(ticket: u64, synced: bool) -> Done {
    Done { ticket, result: Ok(()), synced }
}

#[test]
fn what_arrives_during_a_sync_shares_the_next_one() {
    let setup = setup(GroupCommitLimits::default());
    setup.commit.submit(1, put("k", "1"), Durability::Buffered).unwrap();
    assert_eq!(setup.announced(), (1, Durability::Buffered));
    setup.commit.submit(2, put("k", "2"), Durability::Buffered).unwrap();
    setup.commit.submit(3, put("k", "3"), Durability::Synced).unwrap();
    setup.commit.submit(4, put("k", "4"), Durability::Buffered).unwrap();
    setup.leave.send(()).unwrap();
    assert_eq!(setup.done(), [ok(1, false)]);
    assert_eq!(setup.announced(), (3, Durability::Synced));
    setup.leave.send(()).unwrap();
    // The buffered ones were covered by the same sync, and are told so.
    assert_eq!(setup.done(), [ok(2, true), ok(3, true), ok(4, true)]);
    assert_eq!(setup.memory.get(ROWS, b"k"), Ok(Some("4".into())));
    assert_eq!(setup.commit.queued_bytes(), 0);
}

#[test]
fn the_queue_is_bounded_in_bytes_but_takes_one_batch_of_any_size() {
    let setup = setup(GroupCommitLimits { queue_bytes: 1_000, group_bytes: 1_000 });
    setup.commit.submit(1, put("k", vec![0; 5_000]), Durability::Synced).unwrap();
    setup.announced();
    let refused = setup.commit.submit(2, put("k", "2"), Durability::Synced);
    assert_eq!(refused, Err(QueueFull), "what is being written counts too");
    setup.leave.send(()).unwrap();
    assert_eq!(setup.done(), [ok(1, true)]);
    setup.commit.submit(3, put("k", "3"), Durability::Synced).unwrap();
    setup.leave.send(()).unwrap();
    assert_eq!(setup.done(), [ok(3, true)]);
}

#[test]
fn a_group_ends_at_its_size() {
    let setup = setup(GroupCommitLimits { queue_bytes: 100_000, group_bytes: 2_500 });
    setup.commit.submit(0, put("k", "0"), Durability::Synced).unwrap();
    setup.announced();
    for ticket in 1..=5 {
        setup.commit.submit(ticket, put("k", vec![0; 1_000]), Durability::Synced).unwrap();
    }
    for _ in 0..4 {
        setup.leave.send(()).unwrap();
    }
    let groups: Vec<_> =
        (0..4).map(|_| setup.done().iter().map(|done| done.ticket).collect::<Vec<_>>()).collect();
    assert_eq!(groups, [vec![0], vec![1, 2], vec![3, 4], vec![5]]);
}

#[test]
fn a_group_that_does_not_fit_is_tried_one_by_one() {
    let setup = setup(GroupCommitLimits::default());
    setup.commit.submit(0, put("old", "0"), Durability::Synced).unwrap();
    setup.announced();
    let mut removal = Batch::new();
    removal.delete(ROWS, "old");
    setup.commit.submit(1, put("new", "1"), Durability::Synced).unwrap();
    setup.commit.submit(2, removal, Durability::Buffered).unwrap();
    setup.leave.send(()).unwrap();
    setup.done();
    setup.memory.set_disk_full(true);
    for _ in 0..3 {
        setup.leave.send(()).unwrap();
    }
    let done = setup.done();
    assert!(matches!(done[0].result, Err(WriteError::DiskFull { .. })), "{done:?}");
    assert_eq!(done[1], ok(2, false), "removals make room, and nobody synced this one");
    assert_eq!(setup.memory.get(ROWS, b"old"), Ok(None));
    assert_eq!(setup.memory.get(ROWS, b"new"), Ok(None));
}

#[test]
fn a_failed_sync_fails_the_whole_group_and_is_not_tried_again() {
    let setup = setup(GroupCommitLimits::default());
    setup.memory.fail_next_write(WriteFault::SyncFailed { survives: false });
    setup.commit.submit(0, put("first", "0"), Durability::Buffered).unwrap();
    setup.announced();
    for ticket in 1..=3 {
        setup.commit.submit(ticket, put("k", "v"), Durability::Synced).unwrap();
    }
    setup.leave.send(()).unwrap();
    assert_eq!(setup.done(), [ok(0, false)]);
    setup.announced();
    setup.leave.send(()).unwrap();
    let done = setup.done();
    assert_eq!(done.iter().map(|done| done.ticket).collect::<Vec<_>>(), [1, 2, 3]);
    for done in done {
        assert!(matches!(done.result, Err(WriteError::SyncFailed { .. })) && !done.synced);
    }
    setup.commit.submit(4, put("k", "v"), Durability::Buffered).unwrap();
    setup.leave.send(()).unwrap();
    let stopped = Done { ticket: 4, result: Err(WriteError::Stopped), synced: false };
    assert_eq!(setup.done(), [stopped]);
}

#[test]
fn dropping_it_finishes_and_reports_what_was_queued() {
    let setup = setup(GroupCommitLimits { queue_bytes: 1 << 20, group_bytes: 1 });
    for ticket in 0..5 {
        setup.commit.submit(ticket, put("k", ticket.to_string()), Durability::Synced).unwrap();
        setup.leave.send(()).unwrap();
    }
    drop(setup.commit);
    let done: Vec<_> = setup.done.iter().flatten().collect();
    assert_eq!(done, (0..5).map(|ticket| ok(ticket, true)).collect::<Vec<_>>());
    assert_eq!(setup.memory.get(ROWS, b"k"), Ok(Some("4".into())));
}

#[test]
fn writers_on_many_threads_lose_nothing_and_keep_their_order() {
    let memory = MemoryEngine::new(&COLUMNS);
    let (report, done) = mpsc::channel();
    let limits = GroupCommitLimits::default();
    let commit = GroupCommit::start(Arc::new(memory.clone()), limits, move |group| {
        report.send(group).unwrap();
    })
    .unwrap();
    std::thread::scope(|scope| {
        for writer in 0..4_u64 {
            let commit = &commit;
            scope.spawn(move || {
                for turn in 0..200_u64 {
                    let batch = put(format!("{writer}"), format!("{turn}"));
                    commit.submit(writer * 1_000 + turn, batch, Durability::Synced).unwrap();
                }
            });
        }
    });
    drop(commit);
    let done: Vec<_> = done.iter().flatten().map(|done| done.ticket).collect();
    assert_eq!(done.len(), 800);
    for writer in 0..4 {
        let own: Vec<_> = done.iter().filter(|ticket| *ticket / 1_000 == writer).collect();
        assert!(own.is_sorted(), "writer {writer} was reported out of order");
    }
    let mut rows = Vec::new();
    memory
        .scan(ROWS, &range::keys(..), &mut |item| {
            rows.push(matches!(item, ScanItem::Row { value: b"199", .. }));
            ControlFlow::Continue(())
        })
        .unwrap();
    assert_eq!(rows, [true; 4], "the last write of each writer stands");
}
