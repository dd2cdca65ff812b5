//! Faults: what strikes, whom, how long; and crashes and restarts.

use core::time::Duration;

use bytes::Bytes;
use dynamo_checker::history::HostIndex;
use dynamo_protocol::{Column, Node, Recovered};
use dynamo_types::Instant;

use super::{Cluster, Happening};
use crate::disk::Crash;
use crate::markers::Marker;
use crate::options::FaultClass;

/// A fault that ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultEnd {
    /// The node starts again.
    Restart(HostIndex),
    /// The machine goes on.
    Resume(HostIndex),
    /// The link passes messages again.
    Mend(HostIndex, HostIndex),
    /// The link lets everything go that it held back.
    Unclog(HostIndex, HostIndex),
    /// The disk is as fast as before.
    DiskFast(HostIndex),
    /// The disk has room again.
    DiskRoomy(HostIndex),
    /// Reads succeed again.
    ReadsFine(HostIndex),
}

impl Cluster {
    pub(super) fn begin_storm(&mut self) {
        self.storm = true;
        self.network.begin_storm();
        for client in 0..self.clients.len() {
            self.schedule(Duration::from_millis(1), Happening::ClientWakes(client));
        }
        if !self.options.faults.is_empty() {
            self.schedule_fault();
        }
    }

    fn schedule_fault(&mut self) {
        let least = Duration::from_millis(50);
        let pause = self.fault_random.duration(least, self.options.fault_pause_max);
        self.schedule(pause, Happening::Fault);
    }

    pub(super) fn fault(&mut self) {
        if !self.storm {
            return;
        }
        let class = *self.fault_random.pick(&self.options.faults);
        self.trace.note(self.now, 5, [class as u64, 0]);
        self.trace.line(self.now, || format!("FAULT {class:?}"));
        self.strike(class);
        self.schedule_fault();
    }

    fn draw_host(&mut self) -> HostIndex {
        let drawn = self.fault_random.below(u64::from(self.options.nodes));
        HostIndex(u8::try_from(drawn).expect("few nodes"))
    }

    /// How long a fault lasts: mostly short, so that work gets done, and sometimes longer than any
    /// timeout of the nodes.
    fn draw_spell(&mut self) -> Duration {
        let (low, high) = (Duration::from_millis(20), Duration::from_millis(6_000));
        self.fault_random.duration_by_magnitude(low, high)
    }

    fn end_after(&mut self, spell: Duration, end: FaultEnd) {
        self.schedule(spell, Happening::FaultEnds(end));
    }

    fn strike(&mut self, class: FaultClass) {
        let host = self.draw_host();
        match class {
            FaultClass::Crash => {
                if self.crash(host, Crash::Process) {
                    self.markers.hit(Marker::Crashed);
                }
            }
            FaultClass::CrashMidTurn => self.host(host).dies_mid_turn = true,
            FaultClass::PowerCut => {
                if self.crash(host, Crash::Power) {
                    self.markers.hit(Marker::PowerLost);
                }
            }
            FaultClass::PowerCutAll => {
                self.markers.hit(Marker::PowerLostAll);
                for host in self.host_indices() {
                    self.crash(host, Crash::Power);
                }
            }
            FaultClass::Pause => self.pause(host),
            FaultClass::ClockJump => {
                self.markers.hit(Marker::ClockJumped);
                let hour = 3_600_000_000;
                let most = *self.fault_random.pick(&[10_000, 1_000_000, hour]);
                let jump = self.fault_random.between(0, 2 * most);
                let jump =
                    i64::try_from(jump).expect("hours") - i64::try_from(most).expect("hours");
                self.host(host).wall.offset_microseconds += jump;
                let window = self.options.timing.retry_window.as_micros();
                if u128::try_from(jump).is_ok_and(|ahead| ahead >= window / 2) {
                    let now = self.now;
                    self.evidence.forgetting_jumps.push((now, host));
                }
            }
            FaultClass::CutLinks => {
                self.markers.hit(Marker::LinksCut);
                let spell = self.draw_spell();
                for other in self.host_indices().filter(|other| *other != host) {
                    if self.fault_random.chance(500) {
                        self.cut(host, other, spell);
                        self.cut(other, host, spell);
                    }
                }
            }
            FaultClass::CutOneWay => {
                self.markers.hit(Marker::LinkCutOneWay);
                let other = self.draw_host();
                let spell = self.draw_spell();
                if other != host {
                    self.cut(host, other, spell);
                }
            }
            FaultClass::Isolate => {
                self.markers.hit(Marker::LinksCut);
                let spell = self.draw_spell();
                for other in self.host_indices().filter(|other| *other != host) {
                    self.cut(host, other, spell);
                    self.cut(other, host, spell);
                }
            }
            FaultClass::SplitGroups => self.split_groups(host),
            FaultClass::ClogLinks => self.clog_links(host),
            FaultClass::SlowDisk => {
                self.markers.hit(Marker::DiskSlow);
                let times = self.fault_random.magnitude(4, 500);
                self.host(host).disk.slowness = u32::try_from(times).expect("small");
                let spell = self.draw_spell();
                self.end_after(spell, FaultEnd::DiskFast(host));
            }
            FaultClass::FullDisk => {
                self.markers.hit(Marker::DiskFull);
                self.host(host).disk.full = true;
                let spell = self.draw_spell();
                self.end_after(spell, FaultEnd::DiskRoomy(host));
            }
            FaultClass::FailingReads => {
                self.markers.hit(Marker::ReadsFailed);
                let odds = self.fault_random.magnitude(20, 1_000);
                self.host(host).disk.read_failures_per_mille =
                    u32::try_from(odds).expect("at most a thousand");
                let spell = self.draw_spell();
                self.end_after(spell, FaultEnd::ReadsFine(host));
            }
            FaultClass::FailedSync => {
                self.markers.hit(Marker::SyncFailed);
                self.host(host).disk.fail_next_sync = true;
                // Somebody notices in the end and starts the node again.
                let spell = self.draw_spell();
                self.end_after(spell, FaultEnd::Restart(host));
            }
            FaultClass::DamagedRow => self.damage(host),
            FaultClass::OperatorSetsBucket => self.operator_sets_bucket(host),
            FaultClass::DamagedHint => self.damage_hint(host),
            FaultClass::VanishedRow => self.vanish_row(host),
            FaultClass::DamagedMeta => self.damage_meta(host),
            FaultClass::LostDisk => self.lose_disk(host),
            FaultClass::OldDisk => self.roll_disk_back(host),
            FaultClass::OperatorsChangeMembers => self.operator_changes_members(host),
        }
    }

    /// Cuts all links between two groups; the bridge belongs to both.
    fn split_groups(&mut self, bridge: HostIndex) {
        let others: Vec<HostIndex> = self.host_indices().filter(|other| *other != bridge).collect();
        let first = self.fault_random.index(others.len());
        let (mut one, mut two) = (vec![others[first]], Vec::new());
        for other in others.iter().filter(|other| **other != others[first]) {
            let joins = !two.is_empty() && self.fault_random.chance(500);
            if joins { &mut one } else { &mut two }.push(*other);
        }
        self.markers.hit(Marker::GroupsSplit);
        self.trace.line(self.now, || format!("{one:?} and {two:?} meet at {bridge} alone"));
        let spell = self.draw_spell();
        for a in &one {
            for b in &two {
                self.cut(*a, *b, spell);
                self.cut(*b, *a, spell);
            }
        }
    }

    /// Holds messages back on some of a node's links, in one direction or both. Its connections stand,
    /// and datagrams pass: nothing says that the node is not well.
    fn clog_links(&mut self, host: HostIndex) {
        let spell = self.draw_spell();
        for other in self.host_indices().filter(|other| *other != host) {
            for (from, to) in [(host, other), (other, host)] {
                if self.fault_random.chance(400) {
                    self.markers.hit(Marker::LinkClogged);
                    self.network.clog((from, to));
                    self.end_after(spell, FaultEnd::Unclog(from, to));
                }
            }
        }
    }

    fn cut(&mut self, from: HostIndex, to: HostIndex, spell: Duration) {
        self.network.set_cut(self.now, (from, to), true, &mut self.queue);
        self.end_after(spell, FaultEnd::Mend(from, to));
    }

    fn pause(&mut self, host: HostIndex) {
        let state = self.host(host);
        if state.machine.is_none() || state.paused {
            return;
        }
        state.paused = true;
        self.markers.hit(Marker::Paused);
        self.network.set_paused(self.now, host, true, &mut self.queue);
        let spell = self.draw_spell();
        self.end_after(spell, FaultEnd::Resume(host));
    }

    pub(super) fn fault_ends(&mut self, end: FaultEnd) {
        self.trace.line(self.now, || format!("FAULT ENDS {end:?}"));
        match end {
            FaultEnd::Restart(host) => self.restart(host),
            FaultEnd::Resume(host) => self.resume(host),
            FaultEnd::Mend(from, to) => {
                self.network.set_cut(self.now, (from, to), false, &mut self.queue);
            }
            FaultEnd::Unclog(from, to) => {
                self.network.unclog(self.now, (from, to), &mut self.queue);
            }
            FaultEnd::DiskFast(host) => self.host(host).disk.slowness = 1,
            FaultEnd::DiskRoomy(host) => self.host(host).disk.full = false,
            FaultEnd::ReadsFine(host) => self.host(host).disk.read_failures_per_mille = 0,
        }
    }

    pub(crate) fn resume(&mut self, host: HostIndex) {
        if !self.host(host).paused {
            return;
        }
        self.host(host).paused = false;
        self.host(host).turn_pending = false;
        self.network.set_paused(self.now, host, false, &mut self.queue);
        self.schedule_turn(host);
    }

    /// Ends a process; false if none runs. It starts again after a while.
    pub(crate) fn crash(&mut self, host: HostIndex, crash: Crash) -> bool {
        let now = self.now;
        let state = self.host(host);
        let Some(machine) = state.machine.take() else { return false };
        let process = state.process;
        state.inbox.clear();
        state.turn_pending = false;
        state.paused = false;
        state.armed = None;
        state.dies_mid_turn = false;
        let unreported = state.disk.crash(crash);
        self.observe_unreported(host, unreported);
        self.observer.disk_may_differ(host, &self.hosts[host.index()].disk);
        self.trace.note(now, 6, [u64::from(host.0), crash as u64]);
        self.trace.line(now, || format!("{host} CRASHES: {crash:?}"));
        self.add_counters(&machine);
        if crash != Crash::Process {
            self.evidence.power_losses.push((now, host));
        }
        self.network.set_up(now, host, false, &mut self.queue);
        self.break_attempts(host, process);
        let (low, high) = (Duration::from_millis(5), Duration::from_millis(4_000));
        let down = self.fault_random.duration_by_magnitude(low, high);
        self.end_after(down, FaultEnd::Restart(host));
        true
    }

    pub(super) fn add_counters(&mut self, machine: &Node) {
        for (name, count) in machine.counters().each() {
            *self.machine_counters.entry(name).or_default() += count;
        }
    }

    /// Starts a node, or starts it again if its disk has stopped for good.
    pub(super) fn restart(&mut self, host: HostIndex) {
        if self.host(host).machine.is_some() {
            if !self.host(host).disk.is_stopped() {
                return;
            }
            self.crash(host, Crash::Process);
        }
        self.start(host);
    }

    pub(super) fn start(&mut self, host: HostIndex) {
        let now = self.now;
        self.process_counter += 1;
        let process = self.process_counter;
        let seed = self.random.bits();
        // Two processes' instants have nothing to do with each other.
        let monotonic_base = self.random.below(1 << 50);
        let mut config = self.config.clone();
        config.announcement = Some(self.announcement(host));
        config.joins = self.spare_info(host);
        let state = self.host(host);
        config.node = state.id;
        state.process = process;
        state.addresses.clear();
        state.monotonic_base = monotonic_base;
        let meta = state.disk.rows(Column::Meta);
        let meta = meta.map(|(key, value)| (key.clone(), value.cloned())).collect();
        if state.disk_lost {
            state.hears_until = now + HEARS_WITHIN;
        }
        let mut recovered = Recovered { meta, incomplete: state.disk_lost, ..Recovered::default() };
        for (key, value) in state.disk.rows(Column::Hints) {
            recovered.count_hint(key, value.map_or(0, Bytes::len));
        }
        match Node::new(config, &recovered, state.now(now), seed) {
            Ok(machine) => state.machine = Some(machine),
            Err(error) => {
                self.odd(format!("{host} does not start: {error}"));
                return;
            }
        }
        self.trace.note(now, 7, [u64::from(host.0), process]);
        self.trace.line(now, || format!("{host} STARTS as process {process}"));
        self.network.set_up(now, host, true, &mut self.queue);
        self.schedule_turn(host);
    }

    pub(crate) fn start_all(&mut self) {
        for host in self.host_indices() {
            self.start(host);
        }
    }

    /// Ends all faults.
    pub(super) fn heal(&mut self) {
        self.storm = false;
        self.healed_at = self.now;
        self.trace.line(self.now, || "HEAL".to_owned());
        for host in self.host_indices() {
            let state = self.host(host);
            state.disk.slowness = 1;
            state.disk.full = false;
            state.disk.read_failures_per_mille = 0;
            state.disk.fail_next_sync = false;
            state.dies_mid_turn = false;
            self.resume(host);
            self.restart(host);
        }
        self.network.heal(self.now, &mut self.queue);
        let settled: Instant = self.now + SETTLING;
        self.advance_to(settled);
        // What was stopped only after the heal, by a sync that was under way.
        for host in self.host_indices() {
            self.restart(host);
        }
        self.advance_to(settled + SETTLING);
        self.await_moves();
    }
}

/// How long a node with an empty disk takes to be told how buckets are set: links stand within seconds, if none
/// is cut. Until then it goes by the defaults; with N = 1 no other replica tells it sooner.
const HEARS_WITHIN: Duration = Duration::from_secs(5);

/// How long a healed cluster gets before it must serve: connections time out and come back, and
/// requests under way end.
const SETTLING: Duration = Duration::from_secs(8);
