//! A bounded pool of threads for reads that must wait for the disk.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use thiserror::Error;

use crate::engine::StorageEngine;

/// The queue has no room, or nobody serves it any more: shed the work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the storage queue is full")]
pub struct QueueFull;

/// The bounds of a [`ReadPool`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadPoolLimits {
    /// Threads, at least one.
    pub threads: usize,
    /// Jobs that may wait.
    pub queue_jobs: usize,
}

impl Default for ReadPoolLimits {
    /// Four threads: they mostly wait for the disk, which serves a few requests at once better
    /// than one. 1,024 jobs: at 0.1 ms a read and four at a time, the last waits about 25 ms, after
    /// which another replica is the better answer.
    fn default() -> Self {
        Self { threads: 4, queue_jobs: 1_024 }
    }
}

/// A read that runs on a thread of the pool and reports for itself.
pub type ReadJob = Box<dyn FnOnce(&dyn StorageEngine) + Send>;

/// Threads that run [`ReadJob`]s, first come, first served. Dropping it finishes what was queued.
pub struct ReadPool {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

struct Shared {
    queue_jobs: usize,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<ReadJob>,
    closed: bool,
}

impl ReadPool {
    /// Starts the threads.
    ///
    /// # Errors
    /// The system refuses a thread; those already started end again.
    pub fn start(engine: &Arc<dyn StorageEngine>, limits: ReadPoolLimits) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            queue_jobs: limits.queue_jobs,
            state: Mutex::new(State::default()),
            changed: Condvar::new(),
        });
        let mut pool = Self { shared, threads: Vec::new() };
        for number in 0..limits.threads.max(1) {
            let shared = Arc::clone(&pool.shared);
            let engine = Arc::clone(engine);
            let builder = thread::Builder::new().name(format!("storage-read-{number}"));
            pool.threads.push(builder.spawn(move || shared.serve(&*engine))?);
        }
        Ok(pool)
    }

    /// Queues a job. It never waits.
    ///
    /// # Errors
    /// Too many jobs wait; this one is dropped.
    pub fn submit(&self, job: ReadJob) -> Result<(), QueueFull> {
        let mut state = self.shared.lock();
        if state.waiting.len() >= self.shared.queue_jobs {
            return Err(QueueFull);
        }
        state.waiting.push_back(job);
        drop(state);
        self.shared.changed.notify_one();
        Ok(())
    }

    /// Jobs that wait.
    #[must_use]
    pub fn queued_jobs(&self) -> usize {
        self.shared.lock().waiting.len()
    }
}

impl Drop for ReadPool {
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.shared.changed.notify_all();
        for thread in self.threads.drain(..) {
            // A job may own the last handle; a thread cannot wait for itself.
            if thread.thread().id() != thread::current().id() && thread.join().is_err() {
                tracing::error!("a read thread panicked outside its job");
            }
        }
    }
}

impl fmt::Debug for ReadPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReadPool")
            .field("threads", &self.threads.len())
            .field("queue_jobs", &self.shared.queue_jobs)
            .field("queued_jobs", &self.queued_jobs())
            .finish()
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Every change under the lock is one statement: nothing is half done in it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn serve(&self, engine: &dyn StorageEngine) {
        while let Some(job) = self.next_job() {
            // One broken read must not shrink the pool for good. The engine is shared behind a
            // contract that allows concurrent use, so a job that stops half-way leaves it whole.
            if catch_unwind(AssertUnwindSafe(|| job(engine))).is_err() {
                tracing::error!("a read job panicked");
            }
        }
    }

    fn next_job(&self) -> Option<ReadJob> {
        let mut state = self.lock();
        loop {
            if let Some(job) = state.waiting.pop_front() {
                return Some(job);
            }
            if state.closed {
                return None;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}
