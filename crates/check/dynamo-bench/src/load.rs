//! The two loops, and writing the records that a measurement begins with.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;

use crate::clock;
use crate::recorder::Recorder;
use crate::target::Target;
use crate::workload::{Class, Operation, Workload};

/// Operations that are due and not begun. Beyond this the pacer waits; they are still measured
/// from the moment when they were due.
const DUE_MAX: usize = 1 << 16;

/// A load that runs.
#[derive(Debug)]
pub(crate) struct Load {
    target: Target,
    workload: Mutex<Workload>,
    recorder: Mutex<Recorder>,
    /// Only operations that begin, or are due, from here on are recorded.
    measure_from: Instant,
    end: Instant,
    /// Operations that may still be begun while measuring.
    left: AtomicU64,
    turn: AtomicU64,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Load {
    pub(crate) fn new(
        target: Target,
        workload: Workload,
        warm_up: Duration,
        duration: Duration,
        operations: Option<u64>,
    ) -> Self {
        let measure_from = clock::now() + warm_up;
        Self {
            target,
            workload: Mutex::new(workload),
            recorder: Mutex::default(),
            measure_from,
            end: measure_from + duration,
            left: AtomicU64::new(operations.unwrap_or(u64::MAX)),
            turn: AtomicU64::new(0),
        }
    }

    pub(crate) fn measure_from(&self) -> Instant {
        self.measure_from
    }

    /// What was recorded.
    pub(crate) fn into_recorder(self) -> Recorder {
        self.recorder.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether an operation that begins, or is due, at that time may be begun.
    fn may_begin(&self, at: Instant) -> bool {
        if at < self.measure_from {
            return true;
        }
        let one_less = |left: u64| left.checked_sub(1);
        at < self.end
            && self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less).is_ok()
    }

    /// Does the next operation; its latency counts from `since`.
    async fn perform_next(&self, since: Instant) {
        let (Operation { class, record }, value) = {
            let mut workload = lock(&self.workload);
            (workload.next(), workload.value())
        };
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let result = self.target.perform(turn, class, record, value).await;
        if since >= self.measure_from {
            lock(&self.recorder).record(class, clock::now() - since, result);
        }
    }
}

/// So many callers, each of which waits for its answer before it asks again.
pub(crate) async fn closed_loop(load: &Arc<Load>, callers: u32) {
    let mut tasks = JoinSet::new();
    for _ in 0..callers {
        let load = load.clone();
        tasks.spawn(async move {
            loop {
                let now = clock::now();
                if !load.may_begin(now) {
                    break;
                }
                load.perform_next(now).await;
            }
        });
    }
    while tasks.join_next().await.is_some() {}
}

/// Operations that begin when they are due, as far as `at_once_max` allows.
pub(crate) async fn open_loop(load: &Arc<Load>, rate: u32, at_once_max: u32) {
    let (due, mut to_begin) = mpsc::channel(DUE_MAX);
    // A thread of its own: the runtime's timers are too coarse for a start to be on time.
    let pacer = {
        let load = load.clone();
        std::thread::spawn(move || pace(&load, rate, &due))
    };
    let at_once = Arc::new(Semaphore::new(at_once_max as usize));
    let mut tasks = JoinSet::new();
    while let Some(since) = to_begin.recv().await {
        let turn = at_once.clone().acquire_owned().await.expect("never closed");
        let load = load.clone();
        tasks.spawn(async move {
            load.perform_next(since).await;
            drop(turn);
        });
        while tasks.try_join_next().is_some() {}
    }
    while tasks.join_next().await.is_some() {}
    pacer.join().expect("the pacer does nothing that can panic");
}

/// Says when operations are due, evenly spaced.
fn pace(load: &Load, rate: u32, due: &mpsc::Sender<Instant>) {
    let began = clock::now();
    let between = Duration::from_secs(1) / rate;
    for number in 0.. {
        let at = began + between * number;
        loop {
            let now = clock::now();
            if now >= at {
                break;
            }
            std::thread::park_timeout(at - now);
        }
        if !load.may_begin(at) || due.blocking_send(at).is_err() {
            break;
        }
    }
}

/// Writes all records, with so many callers. The kind of the first error, if there is one.
pub(crate) async fn write_records(
    target: Target,
    mut workload: Workload,
    records: u64,
    callers: u32,
) -> Result<Target, String> {
    let target = Arc::new(target);
    let mut tasks: JoinSet<Result<(), String>> = JoinSet::new();
    for record in 0..records {
        while tasks.len() >= callers as usize {
            if let Some(ended) = tasks.join_next().await {
                ended.map_err(|error| error.to_string())??;
            }
        }
        let (target, value) = (target.clone(), workload.value());
        tasks.spawn(async move { target.perform(record, Class::Insert, record, value).await });
    }
    while let Some(ended) = tasks.join_next().await {
        ended.map_err(|error| error.to_string())??;
    }
    Ok(Arc::into_inner(target).expect("all tasks have ended"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use dynamo_client::Bucket;

    use crate::arguments::{Distribution, Mix};
    use crate::target::Way;

    const STALL: Duration = Duration::from_millis(300);

    fn stalling_load(operations: u64) -> Arc<Load> {
        let bucket = Bucket::new("b").expect("a bucket");
        let target = Target { bucket, way: Way::StallsOnce(STALL), with_contexts: false };
        let workload = Workload::new(Mix::Get, Distribution::Uniform, 10, 10, 1);
        let long = Duration::from_secs(60);
        Arc::new(Load::new(target, workload, Duration::ZERO, long, Some(operations)))
    }

    fn quantile(load: Arc<Load>, quantile: f64) -> Duration {
        let recorder = Arc::into_inner(load).expect("the loop has ended").into_recorder();
        assert_eq!(recorder.succeeded(), 20);
        Duration::from_micros(recorder.latencies[&Class::Read].value_at_quantile(quantile))
    }

    #[tokio::test]
    async fn in_open_loop_a_stall_shows_in_all_operations_that_were_due_meanwhile() {
        let load = stalling_load(20);
        // One every 5 ms: the last of twenty is due 95 ms after the first, which holds all up.
        open_loop(&load, 200, 1).await;
        let fastest = quantile(load, 0.0);
        assert!(fastest >= STALL - Duration::from_millis(100), "{fastest:?}");
    }

    #[tokio::test]
    async fn in_closed_loop_the_operation_that_stalls_shows_it() {
        let load = stalling_load(20);
        closed_loop(&load, 1).await;
        let slowest = quantile(load, 1.0);
        assert!(slowest >= STALL - Duration::from_millis(5), "{slowest:?}");
    }
}
