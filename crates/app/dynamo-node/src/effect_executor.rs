//! Does what the machine asks: reads, writes, messages, replies.

use std::ops::{Bound, ControlFlow};
use std::sync::Arc;

use bytes::Bytes;
use dynamo_messages::encoding::encode_peer;
use dynamo_protocol::{
    Column, Effect, Event, LoadId, LoadedRow, ScanId, ScannedRow, StoreId, StoreResult, StoreWrite,
};
use dynamo_storage::{
    Batch, CachedRead, Done, GroupCommit, GroupCommitLimits, ReadError, ReadPool, ReadPoolLimits,
    ScanItem, StorageEngine, WriteError,
};
use dynamo_types::Durability;
use tokio::sync::mpsc;

use crate::links::Links;
use crate::native;
use crate::peers::Peers;
use crate::waiters::{Waiter, Waiters};

/// Results on their way from the storage threads to the loop. The threads wait when it is full,
/// the loop never waits for them; it takes far more at a turn than can pile up meanwhile.
const RESULTS_MAX: usize = 8192;

/// The columns of a node's database, in the order of [`storage_column`].
#[must_use]
pub(crate) fn columns() -> [dynamo_storage::ColumnSpec; 3] {
    use dynamo_storage::{ColumnSpec, Purpose};
    [
        ColumnSpec { name: "objects", purpose: Purpose::Objects },
        ColumnSpec { name: "meta", purpose: Purpose::Rows },
        ColumnSpec { name: "hints", purpose: Purpose::Objects },
    ]
}

/// The engine's number of a machine's column.
#[must_use]
pub(crate) fn storage_column(column: Column) -> dynamo_storage::Column {
    dynamo_storage::Column(match column {
        Column::Objects => 0,
        Column::Meta => 1,
        Column::Hints => 2,
    })
}

/// Confirms to the database that the node has noted what the database lost.
pub(crate) type AcknowledgeRecovery = Box<dyn FnOnce() -> std::io::Result<()> + Send>;

/// The disk, the links, the members and those who wait for replies.
pub(crate) struct EffectExecutor {
    engine: Arc<dyn StorageEngine>,
    /// Taken by the first time.
    acknowledge_recovery: Option<AcknowledgeRecovery>,
    commit: GroupCommit,
    reads: ReadPool,
    results: mpsc::Sender<Vec<Event>>,
    pub(crate) links: Links,
    pub(crate) peers: Peers,
    pub(crate) waiters: Waiters,
}

impl EffectExecutor {
    /// Starts the storage threads. What they report arrives at the receiver.
    pub(crate) fn start(
        engine: Arc<dyn StorageEngine>,
        acknowledge_recovery: AcknowledgeRecovery,
        read_threads: usize,
        peers: Peers,
    ) -> std::io::Result<(Self, mpsc::Receiver<Vec<Event>>)> {
        let (results, receiver) = mpsc::channel(RESULTS_MAX);
        let commit_results = results.clone();
        let commit =
            GroupCommit::start(Arc::clone(&engine), GroupCommitLimits::default(), move |done| {
                report(&commit_results, done.into_iter().map(stored).collect())
            })?;
        let limits = ReadPoolLimits { threads: read_threads, ..ReadPoolLimits::default() };
        let reads = ReadPool::start(&engine, limits)?;
        let executor = Self {
            engine,
            acknowledge_recovery: Some(acknowledge_recovery),
            commit,
            reads,
            results,
            links: Links::default(),
            peers,
            waiters: Waiters::default(),
        };
        Ok((executor, receiver))
    }

    /// Does one effect. What is known at once comes back as an event for the same turn.
    pub(crate) fn execute(&mut self, effect: Effect) -> Option<Event> {
        match effect {
            Effect::Send { to, lane, envelope } => {
                // Encoding is the dearest part: not for a member that cannot be reached.
                if self.links.reaches(to) {
                    self.links.send_to_node(to, transport_lane(lane), encode_peer(&envelope));
                } else {
                    self.links.counters.sends_without_link += 1;
                }
                None
            }
            Effect::Datagram { to, bytes } => {
                self.links.send_datagram(to, bytes);
                None
            }
            Effect::MemberChanged { node, member } => {
                self.peers.changed(node, &member);
                None
            }
            Effect::LivenessChanged { node, liveness } => {
                let name = self.peers.name(node);
                tracing::info!(%node, name, liveness = liveness.name(), "what is thought of a member changed");
                None
            }
            Effect::Reply { client, reply } => {
                match self.waiters.take(client) {
                    Some(Waiter::Task(answer)) => {
                        if answer.send(reply).is_err() {
                            self.links.counters.replies_lost += 1;
                        }
                    }
                    Some(Waiter::Native { link, id }) => {
                        native::reply(&mut self.links, link, id, reply);
                    }
                    None => tracing::error!(?client, "a reply that nobody waits for"),
                }
                None
            }
            Effect::Load { load, column, key } => self.load(load, column, key),
            Effect::Store { store, writes, durability } => self.store(store, writes, durability),
            Effect::IncompletenessRecorded => {
                self.acknowledge_recovery();
                None
            }
            Effect::Scan { scan, column, from, to, rows_max, bytes_max } => {
                self.scan(ScanRequest { scan, column, from, to, rows_max, bytes_max })
            }
        }
    }

    /// Reads from memory at once, from disk on a thread of the pool.
    fn load(&mut self, load: LoadId, column: Column, key: Bytes) -> Option<Event> {
        let column = storage_column(column);
        match self.engine.get_cached(column, &key) {
            Ok(CachedRead::Found(value)) => {
                Some(Event::Loaded { load, row: LoadedRow::Found(value) })
            }
            Ok(CachedRead::Absent) => Some(Event::Loaded { load, row: LoadedRow::Absent }),
            Err(error) => Some(Event::Loaded { load, row: unreadable(&error) }),
            Ok(CachedRead::NotCached) => {
                let results = self.results.clone();
                let queued = self.reads.submit(Box::new(move |engine| {
                    let row = match engine.get(column, &key) {
                        Ok(Some(value)) => LoadedRow::Found(value),
                        Ok(None) => LoadedRow::Absent,
                        Err(error) => unreadable(&error),
                    };
                    report(&results, vec![Event::Loaded { load, row }]);
                }));
                queued.err().map(|_| Event::Loaded { load, row: LoadedRow::Failed })
            }
        }
    }

    fn store(
        &mut self,
        store: StoreId,
        writes: Vec<StoreWrite>,
        durability: Durability,
    ) -> Option<Event> {
        let batch = Batch(writes.into_iter().map(storage_write).collect());
        let durability = match durability {
            Durability::Buffered => dynamo_storage::Durability::Buffered,
            Durability::Synced => dynamo_storage::Durability::Synced,
        };
        let queued = self.commit.submit(store.0, batch, durability);
        queued.err().map(|_| Event::Stored { store, result: StoreResult::Refused })
    }

    fn scan(&mut self, request: ScanRequest) -> Option<Event> {
        let scan = request.scan;
        let results = self.results.clone();
        let queued = self.reads.submit(Box::new(move |engine| {
            let event = request.run(engine);
            report(&results, vec![event]);
        }));
        queued.err().map(|_| Event::Scanned {
            scan,
            rows: Vec::new(),
            end: false,
            failed: Some("the queue for reads is full".to_owned()),
        })
    }

    /// What the database lost is noted in its rows now, so it need not remember it. If that cannot be
    /// confirmed, the next start is told of it once more, which costs an exchange with the others.
    fn acknowledge_recovery(&mut self) {
        let Some(acknowledge) = self.acknowledge_recovery.take() else { return };
        // It syncs a directory, for which the loop does not wait.
        let queued = self.reads.submit(Box::new(move |_| match acknowledge() {
            Ok(()) => tracing::info!(
                "it is noted durably which partitions lack what was acknowledged: a restart goes on \
                 from there"
            ),
            Err(error) => tracing::warn!(
                %error,
                "cannot confirm to the database that its loss was noted: the next start begins \
                 incomplete again"
            ),
        }));
        if let Err(error) = queued {
            tracing::warn!(%error, "the loss of data was not confirmed: the next start begins incomplete again");
        }
    }

    /// Finishes what was queued and syncs everything.
    pub(crate) fn finish(self) {
        let Self { engine, commit, reads, .. } = self;
        drop(reads);
        drop(commit);
        match engine.write(&[], dynamo_storage::Durability::Synced) {
            Ok(()) => tracing::info!("the database is synced"),
            Err(error) => tracing::error!(%error, "the last sync failed"),
        }
    }
}

struct ScanRequest {
    scan: ScanId,
    column: Column,
    from: Bytes,
    to: Option<Bytes>,
    rows_max: u32,
    bytes_max: u32,
}

impl ScanRequest {
    fn run(self, engine: &dyn StorageEngine) -> Event {
        let until = self.to.map_or(Bound::Unbounded, Bound::Excluded);
        let range = (Bound::Included(self.from), until);
        let mut rows: Vec<ScannedRow> = Vec::new();
        let (mut bytes, mut end) = (0, true);
        let rows_max = usize::try_from(self.rows_max).unwrap_or(usize::MAX);
        let bytes_max = usize::try_from(self.bytes_max).unwrap_or(usize::MAX);
        let mut damaged_range = false;
        let visit = &mut |item: ScanItem<'_>| {
            if rows.len() >= rows_max || bytes >= bytes_max {
                end = false;
                return ControlFlow::Break(());
            }
            match item {
                ScanItem::Row { key, value } => {
                    bytes += key.len() + value.len();
                    let value = Some(Bytes::copy_from_slice(value));
                    rows.push(ScannedRow { key: Bytes::copy_from_slice(key), value });
                }
                ScanItem::DamagedRow { key } => {
                    bytes += key.len();
                    rows.push(ScannedRow { key: Bytes::copy_from_slice(key), value: None });
                }
                ScanItem::DamagedRange { .. } => damaged_range = true,
            }
            ControlFlow::Continue(())
        };
        let scanned = engine.scan(storage_column(self.column), &range, visit);
        let failed = match scanned {
            Err(error) => Some(error.to_string()),
            Ok(()) if damaged_range => Some("a stretch of the range is damaged".to_owned()),
            Ok(()) => None,
        };
        Event::Scanned { scan: self.scan, rows, end: end && failed.is_none(), failed }
    }
}

fn report(results: &mpsc::Sender<Vec<Event>>, events: Vec<Event>) {
    if results.blocking_send(events).is_err() {
        tracing::debug!("the event loop ended before a result of the disk arrived");
    }
}

fn stored(done: Done) -> Event {
    let result = match done.result {
        Ok(()) => StoreResult::Applied { synced: done.synced },
        Err(WriteError::DiskFull { detail }) => {
            tracing::warn!(%detail, "the disk is full: a write was refused");
            StoreResult::Refused
        }
        Err(error) => {
            tracing::error!(%error, "a write failed: this node takes no more writes");
            StoreResult::Failed
        }
    };
    Event::Stored { store: StoreId(done.ticket), result }
}

fn unreadable(error: &ReadError) -> LoadedRow {
    tracing::error!(%error, "a row cannot be read");
    match error {
        ReadError::Damaged { .. } => LoadedRow::Damaged,
        ReadError::Io { .. } => LoadedRow::Failed,
    }
}

fn storage_write(write: StoreWrite) -> dynamo_storage::Write {
    match write {
        StoreWrite::Put { column, key, value } => {
            dynamo_storage::Write::Put { column: storage_column(column), key, value }
        }
        StoreWrite::Delete { column, key } => {
            dynamo_storage::Write::Delete { column: storage_column(column), key }
        }
        StoreWrite::DeleteRange { column, from, to } => {
            dynamo_storage::Write::DeleteRange { column: storage_column(column), from, to }
        }
    }
}

fn transport_lane(lane: dynamo_protocol::Lane) -> dynamo_transport::Lane {
    match lane {
        dynamo_protocol::Lane::Foreground(number) => dynamo_transport::Lane::Foreground(number),
        dynamo_protocol::Lane::Background => dynamo_transport::Lane::Background,
        dynamo_protocol::Lane::Bulk => dynamo_transport::Lane::Bulk,
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Weak;

    use dynamo_types::NodeId;

    use super::*;
    use crate::database;
    use crate::http::MemberNames;
    use crate::settings::Settings;

    fn settings(place: &Path) -> Settings {
        Settings { data: place.join("data"), free_bytes_min: 0, ..Settings::defaults(place) }
    }

    fn begins_incomplete(settings: &Settings) -> bool {
        let engine = database::open(settings, true).unwrap();
        database::recover(&engine).unwrap().incomplete
    }

    #[test]
    fn a_loss_is_told_at_every_start_until_the_machine_has_noted_it() {
        let place = tempfile::tempdir().unwrap();
        let settings = settings(place.path());
        assert!(begins_incomplete(&settings), "this node ran before and there is no database");
        assert!(begins_incomplete(&settings), "it was killed before the machine noted it");

        let engine = Arc::new(database::open(&settings, true).unwrap());
        let database = Arc::clone(&engine);
        let acknowledge = Box::new(move || database.acknowledge_recovery());
        let peers = Peers::new(NodeId(1), Weak::new(), MemberNames::default());
        let (mut executor, _results) =
            EffectExecutor::start(engine, acknowledge, 1, peers).unwrap();
        assert_eq!(executor.execute(Effect::IncompletenessRecorded), None);
        assert_eq!(executor.execute(Effect::IncompletenessRecorded), None, "twice does no harm");
        executor.finish();
        assert!(!begins_incomplete(&settings));
    }

    #[test]
    fn a_node_that_never_ran_begins_complete() {
        let place = tempfile::tempdir().unwrap();
        let settings = settings(place.path());
        let engine = database::open(&settings, false).unwrap();
        assert!(!database::recover(&engine).unwrap().incomplete);
        drop(engine);
        assert!(!begins_incomplete(&settings), "an empty database is not a lost one");
    }
}
