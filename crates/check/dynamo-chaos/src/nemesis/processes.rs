//! Kills, pauses, restarts, wipes.

use std::time::Duration;

use anyhow::Result;
use dynamo_checker::history::HostIndex;
use dynamo_simulator::random::Stream;
use tokio::time::Instant as Deadline;

use super::{Journal, calm, draw_nodes, last};
use crate::clock;
use crate::cluster::{Cluster, nodes};
use crate::scenario::ProcessFault;

/// How long a killed node stays away.
const DOWN: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));
/// How long a paused node stands still.
const PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(20));
/// How long the power stays away.
const DARK: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));

/// Hurts processes.
#[derive(Debug)]
pub struct ProcessNemesis<'a> {
    cluster: &'a mut Cluster,
    random: Stream,
    journal: Journal,
    /// Whose disk may be destroyed: one only, however often, since two copies are on disk of every
    /// acknowledged write.
    victim: HostIndex,
}

impl<'a> ProcessNemesis<'a> {
    /// A nemesis that has done nothing yet.
    #[must_use]
    pub fn new(cluster: &'a mut Cluster, seed: u64, journal: Journal) -> Self {
        let mut random = Stream::new(seed, "process faults");
        let victim = draw_nodes(&mut random, 1)[0];
        Self { cluster, random, journal, victim }
    }

    /// Hurts one process after the other until the time is up, and leaves the last one hurt. Without
    /// faults it only looks whether all nodes run.
    ///
    /// # Errors
    /// A node ended by itself, or does not start.
    pub async fn run(mut self, faults: &[ProcessFault], until: Deadline) -> Result<()> {
        if faults.is_empty() {
            while clock::now() < until {
                self.cluster.check_running()?;
                last(Duration::from_millis(500), until).await;
            }
        }
        while !faults.is_empty() && calm(&mut self.random, until).await {
            let fault = *self.random.pick(faults);
            self.perform(fault, until).await?;
            self.cluster.check_running()?;
        }
        Ok(())
    }

    async fn perform(&mut self, fault: ProcessFault, until: Deadline) -> Result<()> {
        match fault {
            ProcessFault::Kill => self.kill_some(1, until).await,
            ProcessFault::KillTwo => self.kill_some(2, until).await,
            ProcessFault::Pause => self.pause_some(1, until).await,
            ProcessFault::PauseTwo => self.pause_some(2, until).await,
            ProcessFault::KillAll => {
                let down = self.random.duration_by_magnitude(DARK.0, DARK.1);
                let all: Vec<HostIndex> = nodes().collect();
                self.kill("kill all", &all, down, until).await
            }
            ProcessFault::Roll => self.roll(until).await,
            ProcessFault::Wipe => self.wipe(until).await,
        }
    }

    async fn kill_some(&mut self, count: usize, until: Deadline) -> Result<()> {
        let which = draw_nodes(&mut self.random, count);
        let down = self.random.duration_by_magnitude(DOWN.0, DOWN.1);
        self.kill("kill", &which, down, until).await
    }

    async fn kill(
        &mut self,
        name: &'static str,
        which: &[HostIndex],
        down: Duration,
        until: Deadline,
    ) -> Result<()> {
        self.journal.fault(name, &format!("{which:?} killed for {down:?}"));
        // Noted before, too: whatever is asked from here on may be lost.
        self.journal.killed(which);
        self.cluster.kill(which)?;
        self.journal.killed(which);
        self.start_after(which, down, until).await
    }

    /// Starts nodes again after a while. If the time is up by then, they stay dead until all is healed.
    async fn start_after(
        &mut self,
        which: &[HostIndex],
        down: Duration,
        until: Deadline,
    ) -> Result<()> {
        last(down, until).await;
        if clock::now() < until {
            self.cluster.start(which).await?;
            self.journal.note(&format!("{which:?} listening again"));
        }
        Ok(())
    }

    async fn pause_some(&mut self, count: usize, until: Deadline) -> Result<()> {
        let which = draw_nodes(&mut self.random, count);
        let time = self.random.duration_by_magnitude(PAUSE.0, PAUSE.1);
        self.journal.fault("pause", &format!("{which:?} stopped for {time:?}"));
        for node in &which {
            self.cluster.pause(*node)?;
        }
        last(time, until).await;
        if clock::now() < until {
            for node in &which {
                self.cluster.resume(*node)?;
            }
            self.journal.note(&format!("{which:?} going on"));
        }
        Ok(())
    }

    async fn roll(&mut self, until: Deadline) -> Result<()> {
        let order = draw_nodes(&mut self.random, nodes().count());
        for node in order {
            if clock::now() >= until {
                break;
            }
            let down = self.random.duration_by_magnitude(DARK.0, DARK.1);
            self.kill("roll", &[node], down, until).await?;
        }
        Ok(())
    }

    async fn wipe(&mut self, until: Deadline) -> Result<()> {
        let which = [self.victim];
        let down = self.random.duration_by_magnitude(DOWN.0, DOWN.1);
        self.journal.fault("wipe", &format!("{which:?} killed and wiped"));
        self.journal.killed(&which);
        self.cluster.kill(&which)?;
        self.journal.killed(&which);
        self.cluster.wipe(self.victim)?;
        self.start_after(&which, down, until).await
    }
}
