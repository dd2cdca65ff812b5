//! A node's turns: events in, effects out, as the shell's event loop does it.

use core::time::Duration;

use bytes::Bytes;
use dynamo_checker::evidence::RemovedHint;
use dynamo_checker::history::{HostIndex, WriteId};
use dynamo_messages::{Envelope, PeerMessage, Reply};
use dynamo_protocol::{
    ClientId, Column, Effect, Event, Lane, LoadedRow, StoreResult, StoreWrite, rows,
};
use dynamo_types::NodeId;
use dynamo_versioning::{Record, StoredRecord};

use super::{Answer, Cluster, Happening, PendingScan};
use crate::disk::{Committed, Crash};
use crate::markers::Marker;
use crate::random::nanoseconds;
use crate::wire;

/// Events that one turn takes at most, as the shell does.
const TURN_EVENTS_MAX: usize = 256;

impl Cluster {
    /// Puts an event into a node's inbox. The inbox is bounded by what the node itself asked for
    /// and by what connections carry.
    pub(super) fn deliver(&mut self, host: HostIndex, event: Event) {
        if self.host(host).machine.is_none() {
            return;
        }
        self.host(host).inbox.push_back(event);
        self.schedule_turn(host);
    }

    pub(super) fn schedule_turn(&mut self, host: HostIndex) {
        let state = self.host(host);
        if state.turn_pending || state.paused {
            return;
        }
        state.turn_pending = true;
        let process = state.process;
        let lag = self.random.duration(Duration::from_micros(1), Duration::from_micros(60));
        self.schedule(lag, Happening::Turn { host, process });
    }

    /// Hands the inbox to the machine and does what it asks.
    pub(super) fn turn(&mut self, host: HostIndex) {
        let now = self.now;
        let state = self.host(host);
        state.turn_pending = false;
        if state.paused {
            return;
        }
        let count = state.inbox.len().min(TURN_EVENTS_MAX);
        let mut events: Vec<Event> = state.inbox.drain(..count).collect();
        let mut effects = Vec::new();
        let mut first = true;
        // Rows that are in the cache come back in the same turn.
        while first || !events.is_empty() {
            first = false;
            for event in events.drain(..) {
                self.trace.note(now, 1, [u64::from(host.0), event_kind(&event)]);
                self.trace.line(now, || format!("{host} <- {event:?}"));
                let state = &mut self.hosts[host.index()];
                let clock = state.now(now);
                let Some(machine) = state.machine.as_mut() else { return };
                machine.handle(clock, event);
                machine.check_invariants();
                if self.options.drain_each_event {
                    effects.extend(core::iter::from_fn(|| machine.poll_effect()));
                }
            }
            let state = &mut self.hosts[host.index()];
            let clock = state.now(now);
            let Some(machine) = state.machine.as_mut() else { return };
            if machine.poll_timeout().is_some_and(|at| at <= clock.monotonic) {
                self.trace.note(now, 2, [u64::from(host.0), 0]);
                machine.handle_timeout(clock);
                machine.check_invariants();
            }
            effects.extend(core::iter::from_fn(|| machine.poll_effect()));
            if !self.do_effects(host, &mut effects, &mut events) {
                return;
            }
        }
        self.arm_timer(host);
        if !self.host(host).inbox.is_empty() {
            self.schedule_turn(host);
        }
    }

    /// Does what the machine asks; false if the node died over it.
    fn do_effects(
        &mut self,
        host: HostIndex,
        effects: &mut Vec<Effect>,
        at_once: &mut Vec<Event>,
    ) -> bool {
        let mut dies = false;
        if self.host(host).dies_mid_turn && is_dangerous(effects) {
            dies = true;
            self.host(host).dies_mid_turn = false;
            // The shell writes messages and stores in two places: either may get further.
            match self.fault_random.below(3) {
                0 => effects.truncate(self.fault_random.index(effects.len())),
                1 => effects.retain(|effect| !matches!(effect, Effect::Store { .. })),
                _ => effects.retain(|effect| matches!(effect, Effect::Store { .. })),
            }
        }
        for effect in effects.drain(..) {
            self.do_effect(host, effect, at_once);
        }
        if dies {
            self.markers.hit(Marker::CrashedMidTurn);
            let crash = if self.fault_random.chance(500) { Crash::Process } else { Crash::Power };
            self.crash(host, crash);
        }
        !dies
    }

    fn do_effect(&mut self, host: HostIndex, effect: Effect, at_once: &mut Vec<Event>) {
        self.trace.note(self.now, 3, [u64::from(host.0), effect_kind(&effect)]);
        self.trace.line(self.now, || format!("{host} -> {effect:?}"));
        let process = self.host(host).process;
        match effect {
            Effect::Send { to, lane, envelope } => self.send(host, to, lane, envelope),
            Effect::Datagram { to, bytes } => {
                let Some(to) = self.index_of(to) else {
                    self.odd(format!("{host} sends a datagram to {to}, which is no member"));
                    return;
                };
                let (now, route) = (self.now, (host, to));
                self.network.send_datagram(now, route, bytes, &mut self.queue, &mut self.markers);
            }
            Effect::MemberChanged { node, member } => self.member_told(host, node, &member),
            Effect::LivenessChanged { .. } => {}
            Effect::Reply { client, reply } => self.reply(host, client, reply),
            Effect::Load { load, column, key } => match self.host(host).disk.load_delay() {
                None => {
                    let row = self.load(host, column, &key);
                    at_once.push(Event::Loaded { load, row });
                }
                Some(delay) => {
                    self.schedule(delay, Happening::Loaded { host, process, load, column, key });
                }
            },
            Effect::Store { store, writes, durability } => {
                if let Some(delay) = self.host(host).disk.submit(store, writes, durability) {
                    self.schedule(delay, Happening::Committed { host, process });
                }
            }
            Effect::IncompletenessRecorded => self.host(host).disk_lost = false,
            Effect::Scan { scan, column, from, to, rows_max, bytes_max } => {
                let limits = (index(rows_max), index(bytes_max));
                let delay = self.host(host).disk.load_delay().unwrap_or_default();
                let scan = PendingScan { scan, column, from, to, limits };
                self.schedule(delay, Happening::Scanned { host, process, scan });
            }
        }
    }

    fn send(&mut self, host: HostIndex, to: NodeId, lane: Lane, envelope: Envelope) {
        if let PeerMessage::Write(write) = &envelope.message
            && let Some(key) = self.key_of_name(&write.name)
        {
            let partition = self.keys[usize::from(key.0)].2;
            for piece in &write.pieces {
                self.observer.see(self.now, (partition, key), piece, host);
            }
        }
        if let PeerMessage::Forward { mutation, .. } = &envelope.message
            && let Some(write) = WriteId::of_request(mutation.request)
            && let Some(coordinator) = self.index_of(to)
        {
            self.observer.asked(self.now, write, coordinator);
        }
        let envelope = if self.options.check_encoding {
            self.markers.hit(Marker::Encoded);
            wire::through_bytes(&envelope)
        } else {
            envelope
        };
        let Some(to) = self.index_of(to) else {
            self.odd(format!("{host} sends to {to}, which is no member"));
            return;
        };
        let route = (host, to, lane);
        let carried: Vec<WriteId> = match &envelope.message {
            PeerMessage::Write(write) => {
                let siblings = write.pieces.iter().flat_map(Record::siblings);
                siblings.filter_map(|sibling| WriteId::of_request(sibling.request)).collect()
            }
            _ => Vec::new(),
        };
        let envelope = Box::new(envelope);
        if self.network.send(self.now, route, envelope, &mut self.queue, &mut self.markers) {
            self.evidence.doubled.extend(carried);
        }
    }

    fn reply(&mut self, host: HostIndex, client: ClientId, reply: Reply) {
        let attempt = client.0;
        let process = self.host(host).process;
        match self.attempts.get_mut(&attempt) {
            Some(waiting) if waiting.process == Some(process) => waiting.process = None,
            Some(_) | None => {
                self.odd(format!("{host} answers attempt {attempt} twice: {reply:?}"));
                return;
            }
        }
        let lost = self.storm && self.random.chance(self.options.workload.reply_loss_per_mille);
        if lost {
            self.markers.hit(Marker::ReplyLost);
            return;
        }
        let latency = self.client_latency();
        let answer = Box::new(Answer::Reply(reply));
        self.schedule(latency, Happening::AnswerArrives { attempt, answer });
    }

    pub(super) fn load(&mut self, host: HostIndex, column: Column, key: &Bytes) -> LoadedRow {
        let row = self.host(host).disk.load(column, key);
        if row == LoadedRow::Damaged {
            self.markers.hit(Marker::DamageRead);
        }
        row
    }

    /// A group of stores has ended: tell the node and look at what was stored.
    pub(super) fn commit(&mut self, host: HostIndex) {
        let process = self.host(host).process;
        let (committed, next) = self.host(host).disk.commit();
        let Committed { results, applied, unreported } = committed;
        if let Some(delay) = next {
            self.schedule(delay, Happening::Committed { host, process });
        }
        for write in applied {
            match write {
                StoreWrite::Put {
                    column: column @ (Column::Objects | Column::Hints),
                    key,
                    value,
                } => {
                    self.object_rows_written += 1;
                    self.trace.note_bytes(&value);
                    if let Some(record) = self.observe_store(host, column, &key, &value) {
                        self.observer.stored(self.now, host, &record);
                    }
                }
                StoreWrite::Delete { column: Column::Hints, key } => {
                    self.markers.hit(Marker::HintHandedOver);
                    self.hint_removed(host, &key);
                }
                StoreWrite::Delete { column: Column::Objects, key } => {
                    self.object_rows_written += 1;
                    self.markers.hit(Marker::RecordCollected);
                    self.observer.removed(host, &key);
                }
                StoreWrite::Put { column: Column::Meta, key, value } => {
                    self.observe_register(&key, &value);
                }
                StoreWrite::DeleteRange { column: Column::Objects, from, to } => {
                    self.markers.hit(Marker::CopyWiped);
                    self.observer.wiped(host, &from, &to);
                }
                StoreWrite::Delete { column: Column::Meta, .. }
                | StoreWrite::DeleteRange { .. } => {}
            }
        }
        self.observe_unreported(host, unreported);
        for (store, result) in results {
            if result == StoreResult::Refused {
                self.markers.hit(Marker::StoreRefused);
            }
            self.trace.note(self.now, 4, [u64::from(host.0), store.0]);
            self.deliver(host, Event::Stored { store, result });
        }
    }

    fn hint_removed(&mut self, host: HostIndex, row: &Bytes) {
        let Some((target, _, name)) = rows::parse_hint_key(row) else { return };
        let Some(target) = self.index_of(target) else { return };
        // Where members change, a hint for one that is none any more goes to another one; who that was
        // may be none by now either.
        let is_elastic = self.options.founders < self.options.nodes;
        let takers = if is_elastic {
            self.host_indices().collect::<Vec<HostIndex>>()
        } else {
            Vec::from([target])
        };
        let row_of_object = rows::object_key(&name);
        let held: Vec<StoredRecord> = takers
            .iter()
            .filter_map(|taker| {
                let row = self.hosts[taker.index()].disk.peek(Column::Objects, &row_of_object)?;
                StoredRecord::decode(row).ok()
            })
            .collect();
        let at = self.now;
        let kept = self.observer.hint_removed(host, row);
        let removed = kept.into_iter().map(|(write, dot)| {
            let taken = |taker: &HostIndex| self.observer.stored.contains_key(&(write, *taker));
            let there = held.iter().any(|held| held.record.covers(dot))
                || is_elastic && takers.iter().any(taken);
            RemovedHint { at, by: host, target, write, there }
        });
        self.evidence.hints_removed.extend(removed);
    }

    /// Looks at rows that are on a disk although their node never heard so.
    pub(super) fn observe_unreported(&mut self, host: HostIndex, writes: Vec<StoreWrite>) {
        for write in writes {
            match write {
                StoreWrite::Put { column, key, value } => {
                    self.observe_store(host, column, &key, &value);
                }
                StoreWrite::Delete { column: Column::Objects, key } => {
                    self.observer.removed(host, &key);
                }
                StoreWrite::Delete { column: Column::Hints | Column::Meta, .. }
                | StoreWrite::DeleteRange { .. } => {}
            }
        }
    }

    fn observe_store(
        &mut self,
        host: HostIndex,
        column: Column,
        row: &Bytes,
        value: &Bytes,
    ) -> Option<Record> {
        let (object, stored) = match column {
            Column::Objects => (row.clone(), StoredRecord::decode(value).ok()),
            Column::Hints => {
                let (_, _, name) = rows::parse_hint_key(row)?;
                self.markers.hit(Marker::HintKept);
                let hint = rows::decode_hint(value);
                if let Some((acknowledging, stored)) = &hint {
                    let row = row.clone();
                    self.observer.keeps_hint(host, row, *acknowledging, &stored.record);
                }
                (rows::object_key(&name), hint.map(|(_, stored)| stored))
            }
            Column::Meta => return None,
        };
        let key = self.key_of_row.get(&object).copied()?;
        let partition = self.keys[usize::from(key.0)].2;
        let Some(stored) = stored else {
            self.odd(format!("{host} stores a row that does not decode"));
            return None;
        };
        self.observer.see(self.now, (partition, key), &stored.record, host);
        if column == Column::Objects {
            self.observer.holds(host, object, &stored.record);
        }
        Some(stored.record)
    }

    fn arm_timer(&mut self, host: HostIndex) {
        let now = self.now;
        let state = self.host(host);
        let Some(machine) = &state.machine else { return };
        let Some(at) = machine.poll_timeout() else { return };
        let due = dynamo_types::Instant(at.0.saturating_sub(state.monotonic_base));
        // The shell's timer cannot fire in the past, nor twice in the same microsecond.
        let due = due.max(now + Duration::from_micros(1));
        if state.armed.is_none_or(|armed| due < armed) {
            state.armed = Some(due);
            let process = state.process;
            self.queue.push(due, Happening::Timer { host, process });
        }
    }

    pub(super) fn odd(&mut self, what: String) {
        self.trace.line(self.now, || format!("ODD {what}"));
        self.evidence.odd_replies.push(what);
    }
}

/// Effects that only half done would be worst.
fn is_dangerous(effects: &[Effect]) -> bool {
    let stores = effects.iter().any(|effect| matches!(effect, Effect::Store { .. }));
    let sends = effects.iter().any(|effect| {
        matches!(effect, Effect::Send { envelope, .. }
            if matches!(envelope.message, PeerMessage::Write(_) | PeerMessage::WriteReply(_)))
    });
    stores || sends
}

fn index(number: u32) -> usize {
    usize::try_from(number).expect("32 bits fit")
}

fn event_kind(event: &Event) -> u64 {
    match event {
        Event::Connected { node } => mix(16, node.0, 0),
        Event::Disconnected { node } => mix(17, node.0, 0),
        Event::Received { from, envelope } => mix(18, from.0, envelope.hlc.0),
        Event::Requested { client, .. } => mix(19, client.0, 0),
        Event::Datagram { from, bytes } => mix(23, from.0, bytes.len() as u64),
        Event::LoopLag(lag) => mix(24, nanoseconds(*lag), 0),
        Event::Stopping => mix(25, 0, 0),
        Event::Loaded { load, .. } => mix(20, load.0, 0),
        Event::Stored { store, .. } => mix(21, store.0, 0),
        Event::Scanned { scan, .. } => mix(22, scan.0, 0),
    }
}

fn effect_kind(effect: &Effect) -> u64 {
    match effect {
        Effect::Send { to, envelope, .. } => mix(1, to.0, envelope.hlc.0),
        Effect::Reply { client, .. } => mix(2, client.0, 0),
        Effect::Datagram { to, bytes } => mix(6, to.0, bytes.len() as u64),
        Effect::MemberChanged { node, member } => mix(7, node.0, member.stamp.lamport),
        Effect::LivenessChanged { node, liveness } => mix(8, node.0, *liveness as u64),
        Effect::Load { load, .. } => mix(3, load.0, 0),
        Effect::Store { store, writes, .. } => mix(4, store.0, writes.len() as u64),
        Effect::Scan { scan, .. } => mix(5, scan.0, 0),
        Effect::IncompletenessRecorded => mix(9, 0, 0),
    }
}

/// One number of three, for the trace.
fn mix(kind: u64, first: u64, second: u64) -> u64 {
    (kind ^ first.rotate_left(8)).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ second
}
