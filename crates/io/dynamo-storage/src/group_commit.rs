//! Group commit: one thread, one sync for everything that waits.
//!
//! A sync costs some 0.3 ms however much it covers, so while one runs, what arrives is gathered,
//! and the next sync covers all of it. There is no timer: a lone write is synced at once, and under
//! load the groups grow by themselves.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use crate::batch::{Batch, Durability};
use crate::engine::StorageEngine;
use crate::error::WriteError;
use crate::read_pool::QueueFull;

/// The bounds of a [`GroupCommit`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GroupCommitLimits {
    /// Bytes that may wait or be in writing. A single larger batch is taken when nothing else is.
    pub queue_bytes: usize,
    /// Bytes that go into one write, unless a single batch is larger.
    pub group_bytes: usize,
}

impl Default for GroupCommitLimits {
    /// 64 MiB waiting: a fraction of a second of a disk's bandwidth, and little beside the caches.
    /// 8 MiB in one write: far past the point where a sync's fixed cost matters, and small enough
    /// that the first of the group does not wait long for the last.
    fn default() -> Self {
        Self { queue_bytes: 64 << 20, group_bytes: 8 << 20 }
    }
}

/// What became of one submitted batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Done {
    /// The number it was submitted under.
    pub ticket: u64,
    /// Whether it was applied.
    pub result: Result<(), WriteError>,
    /// Whether it is on the disk. A buffered batch is if it shared a write with a synced one.
    pub synced: bool,
}

/// The thread that commits and the queue in front of it.
///
/// Batches are applied in the order of submission, and reported in that order. Dropping it finishes
/// and reports what was queued.
pub struct GroupCommit {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    limits: GroupCommitLimits,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Submitted>,
    /// Bytes of what waits and of what is being written.
    bytes: usize,
    closed: bool,
}

struct Submitted {
    ticket: u64,
    batch: Batch,
    durability: Durability,
    bytes: usize,
}

impl GroupCommit {
    /// Starts the thread. `done` runs on it, once per group: while it runs, nothing is committed.
    ///
    /// # Errors
    /// The system refuses a thread.
    pub fn start(
        engine: Arc<dyn StorageEngine>,
        limits: GroupCommitLimits,
        done: impl Fn(Vec<Done>) + Send + 'static,
    ) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            limits,
            state: Mutex::new(State::default()),
            changed: Condvar::new(),
        });
        let for_thread = Arc::clone(&shared);
        let thread = thread::Builder::new().name("storage-commit".into()).spawn(move || {
            let _closes = CloseOnExit(&for_thread);
            while let Some(group) = for_thread.next_group() {
                let bytes = group.iter().map(|submitted| submitted.bytes).sum::<usize>();
                let report = commit(&*engine, group);
                for_thread.lock().bytes -= bytes;
                done(report);
            }
        })?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Queues a batch; `done` will report `ticket`. It never waits.
    ///
    /// # Errors
    /// Too many bytes wait, or the thread has ended because `done` panicked. The batch is dropped
    /// and will not be reported.
    pub fn submit(
        &self,
        ticket: u64,
        batch: Batch,
        durability: Durability,
    ) -> Result<(), QueueFull> {
        let bytes = batch.encoded_bytes();
        let mut state = self.shared.lock();
        let over = state.bytes > 0 && state.bytes + bytes > self.shared.limits.queue_bytes;
        if over || state.closed {
            return Err(QueueFull);
        }
        state.bytes += bytes;
        state.waiting.push_back(Submitted { ticket, batch, durability, bytes });
        drop(state);
        self.shared.changed.notify_one();
        Ok(())
    }

    /// Bytes that wait or are being written.
    #[must_use]
    pub fn queued_bytes(&self) -> usize {
        self.shared.lock().bytes
    }
}

impl Drop for GroupCommit {
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.shared.changed.notify_one();
        let Some(thread) = self.thread.take() else { return };
        // `done` may own the last handle; a thread cannot wait for itself.
        if thread.thread().id() != thread::current().id() && thread.join().is_err() {
            tracing::error!("the commit thread panicked; what it had queued was not reported");
        }
    }
}

impl fmt::Debug for GroupCommit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.shared.lock();
        f.debug_struct("GroupCommit")
            .field("limits", &self.shared.limits)
            .field("waiting", &state.waiting.len())
            .field("bytes", &state.bytes)
            .finish()
    }
}

/// However the thread ends, nobody queues for it afterwards.
struct CloseOnExit<'a>(&'a Shared);

impl Drop for CloseOnExit<'_> {
    fn drop(&mut self) {
        self.0.lock().closed = true;
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Every change under the lock is a few plain statements: nothing is half done in it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for work and takes all of it, up to a group's size; `None` once closed and empty.
    fn next_group(&self) -> Option<Vec<Submitted>> {
        let mut state = self.lock();
        while state.waiting.is_empty() {
            if state.closed {
                return None;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let mut group = Vec::with_capacity(state.waiting.len());
        let mut bytes = 0;
        while let Some(next) = state.waiting.front() {
            if !group.is_empty() && bytes + next.bytes > self.limits.group_bytes {
                break;
            }
            bytes += next.bytes;
            group.extend(state.waiting.pop_front());
        }
        Some(group)
    }
}

/// Writes a group as one, and says honestly what became of each.
fn commit(engine: &dyn StorageEngine, group: Vec<Submitted>) -> Vec<Done> {
    let durability =
        group.iter().map(|submitted| submitted.durability).max().unwrap_or(Durability::Buffered);
    let mut tickets = Vec::with_capacity(group.len());
    let mut batches = Vec::with_capacity(group.len());
    for submitted in group {
        tickets.push((submitted.ticket, submitted.durability));
        batches.push(submitted.batch);
    }
    match engine.write(&batches, durability) {
        // The whole did not fit, and none of it was applied: a small part, or one that only
        // removes, may still fit. Any other failure may have left something behind, and writing
        // again could then apply it twice or out of order.
        Err(WriteError::DiskFull { .. }) if batches.len() > 1 => {
            let one_by_one = tickets.into_iter().zip(&batches);
            one_by_one
                .map(|((ticket, durability), batch)| {
                    let result = engine.write(std::slice::from_ref(batch), durability);
                    let synced = result.is_ok() && durability == Durability::Synced;
                    Done { ticket, result, synced }
                })
                .collect()
        }
        result => {
            let synced = result.is_ok() && durability == Durability::Synced;
            let each = tickets.into_iter();
            each.map(|(ticket, _)| Done { ticket, result: result.clone(), synced }).collect()
        }
    }
}
