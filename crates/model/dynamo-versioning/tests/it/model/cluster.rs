//! Members, two fallbacks, and the rules that the layers above keep: slots, clocks on
//! `Stored`, incomplete mode, hints.

use std::collections::BTreeMap;

use dynamo_types::{ActorId, WallTime};
use dynamo_versioning::testing::{put, value};
use dynamo_versioning::{
    Content, DotClock, DotMint, DotSet, Hlc, HybridClock, Put, Received, Record, StoredRecord,
    apply_put, collectable, receive_delayed, receive_state, shrink,
};

use super::script::{Fate, Step};
use super::truth::{Truth, WRITES_MAX, Writes};

const FALLBACKS: usize = 2;
const KEYS: usize = 2;
const WALL: WallTime = WallTime(1_000_000);

/// One process and its disk.
struct Node {
    mint: DotMint,
    hybrid: HybridClock,
    /// A member's records by key; a fallback's hints by intended member and key.
    rows: BTreeMap<(usize, usize), StoredRecord>,
    clock: DotClock,
    incomplete: bool,
    /// The last clock that each member told this one.
    reports: Vec<DotSet>,
}

/// What is under way to a member.
#[derive(Clone)]
struct Message {
    to: usize,
    key: usize,
    record: Record,
    /// The sender's clock if this is state.
    state_of: Option<DotClock>,
}

/// A context that some client was given.
#[derive(Clone)]
struct Seen {
    dots: DotSet,
    hlc: Hlc,
    writes: Writes,
}

pub(crate) struct Cluster {
    /// The first so many nodes are members, the rest fallbacks.
    members: usize,
    nodes: Vec<Node>,
    starts: u64,
    messages: Vec<Message>,
    contexts: [Vec<Seen>; KEYS],
    truth: Truth,
    /// Records damaged or lost, per key: one is what two copies survive.
    faults: [u32; KEYS],
    lost_silently: [bool; KEYS],
    collected: bool,
}

impl Cluster {
    pub(crate) fn new(members: usize) -> Self {
        let mut cluster = Self {
            members,
            nodes: Vec::new(),
            starts: 0,
            messages: Vec::new(),
            contexts: Default::default(),
            truth: Truth::default(),
            faults: [0; KEYS],
            lost_silently: [false; KEYS],
            collected: false,
        };
        for _ in 0..members + FALLBACKS {
            let mint = DotMint::new(cluster.new_actor());
            cluster.nodes.push(Node {
                mint,
                hybrid: HybridClock::new(),
                rows: BTreeMap::new(),
                clock: DotClock::new(),
                incomplete: false,
                reports: vec![DotSet::new(); members],
            });
        }
        cluster
    }

    /// Random-looking, so that actors of one node do not lie side by side.
    fn new_actor(&mut self) -> ActorId {
        self.starts += 1;
        ActorId(self.starts.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    fn restart(&mut self, node: usize) {
        self.nodes[node].mint = DotMint::new(self.new_actor());
        self.nodes[node].hybrid = HybridClock::new();
    }

    fn row(&self, member: usize, key: usize) -> StoredRecord {
        self.nodes[member].rows.get(&(member, key)).cloned().unwrap_or_default()
    }

    fn record(&self, member: usize, key: usize) -> Record {
        self.row(member, key).record
    }

    pub(crate) fn play(&mut self, step: &Step) -> Result<(), String> {
        match *step {
            Step::Read { key, members } => {
                let mut merged = Record::new();
                for member in (0..self.members).filter(|m| members & (1 << m) != 0) {
                    merged.merge(&self.record(member, key));
                }
                let writes = self.truth.seen_in(&merged)?;
                self.give_context(key, merged.context().clone(), merged.hlc_max(), writes)
            }
            Step::Put { key, at, context, delete, newest_wins, fate } => {
                self.put(key, at, (at, context), delete, newest_wins, fate)
            }
            Step::PutAtFallback { key, at, context, delete, intended } => {
                self.put(key, self.members + at, (intended, context), delete, false, Fate::Fine)
            }
            Step::Deliver { message, again } => {
                let Some(at) = message.checked_rem(self.messages.len()) else { return Ok(()) };
                let message =
                    if again { self.messages[at].clone() } else { self.messages.swap_remove(at) };
                self.receive(message.to, message.key, &message.record, message.state_of.as_ref())
                    .map(|_| ())
            }
            Step::Divert { message, fallback } => {
                let Some(at) = message.checked_rem(self.messages.len()) else { return Ok(()) };
                if self.messages[at].state_of.is_some() {
                    return Ok(());
                }
                let message = self.messages.swap_remove(at);
                let fallback = self.members + fallback;
                let rows = &mut self.nodes[fallback].rows;
                let row = rows.entry((message.to, message.key)).or_default();
                receive_delayed(row, &message.record, &DotClock::new());
                let stored = row.record.clone();
                self.truth.stored(&stored, message.to)
            }
            Step::Drop { message } => {
                if let Some(at) = message.checked_rem(self.messages.len()) {
                    self.messages.swap_remove(at);
                }
                Ok(())
            }
            Step::DeliverHints { fallback } => self.deliver_hints(self.members + fallback),
            Step::Exchange { a, b } => self.exchange(a, b).map(|_| ()),
            Step::SendState { key, from, to } => {
                let clock = self.nodes[from].clock.clone();
                for record in self.record(from, key).pieces() {
                    if from != to && !record.is_empty() {
                        let state_of = Some(clock.clone());
                        self.messages.push(Message { to, key, record, state_of });
                    }
                }
                Ok(())
            }
            Step::SendSomePieces { key, from, to, pieces } => {
                let clock = self.nodes[from].clock.clone();
                for piece in self.record(from, key).pieces().take(pieces) {
                    if from != to && !piece.is_empty() {
                        self.receive(to, key, &piece, Some(&clock))?;
                    }
                }
                Ok(())
            }
            Step::Report { from, to } => {
                self.report(from, to);
                Ok(())
            }
            Step::ReportAndCollect { at } => {
                for from in 0..self.members {
                    self.report(from, at);
                }
                self.collect(at)
            }
            Step::Collect { at } => self.collect(at),
            Step::Restart { node } => {
                self.restart(node);
                Ok(())
            }
            Step::Damage { key, at } => {
                if self.lose(key, at) {
                    self.nodes[at].mint.raise_floor();
                    self.nodes[at].incomplete = true;
                    self.nodes[at].clock = DotClock::new();
                }
                Ok(())
            }
            Step::LoseSilently { key, at } => {
                self.lost_silently[key] |= self.lose(key, at);
                Ok(())
            }
            Step::Recover { at } => self.recover(at),
        }
    }

    /// Removes a record unless the key's copies have used up what they survive.
    fn lose(&mut self, key: usize, at: usize) -> bool {
        let loses = self.faults[key] == 0 && self.nodes[at].rows.remove(&(at, key)).is_some();
        self.faults[key] += u32::from(loses);
        loses
    }

    fn give_context(
        &mut self,
        key: usize,
        dots: DotSet,
        hlc: Hlc,
        writes: Writes,
    ) -> Result<(), String> {
        self.truth.check_context(key, &dots, writes)?;
        self.contexts[key].push(Seen { dots, hlc, writes });
        Ok(())
    }

    fn put(
        &mut self,
        key: usize,
        node: usize,
        (intended, context): (usize, Option<usize>),
        delete: bool,
        newest_wins: bool,
        fate: Fate,
    ) -> Result<(), String> {
        if self.truth.writes.len() >= WRITES_MAX {
            return Ok(());
        }
        let given = &self.contexts[key];
        let seen = context
            .and_then(|back| back.checked_rem(given.len()))
            .map(|back| given[given.len() - 1 - back].clone())
            .unwrap_or(Seen { dots: DotSet::new(), hlc: Hlc::ZERO, writes: 0 });
        let mut row = self.nodes[node].rows.get(&(intended, key)).cloned().unwrap_or_default();
        let mut past = seen.writes;
        if newest_wins {
            past |= self.truth.seen_in(&row.record)?;
        }
        let content = if delete { Content::Tombstone } else { value("v") };
        let request = Put {
            covers_all_held: newest_wins,
            may_extend: node < self.members,
            ..put(content, &seen.dots, seen.hlc, self.truth.writes.len() as u128)
        };
        let Node { mint, hybrid, .. } = &mut self.nodes[node];
        let applied = apply_put(&mut row, mint, hybrid, WALL, request, usize::MAX)
            .expect("there is no limit");
        if applied.reply_hlc <= seen.hlc {
            return Err("a version is not later than what it replaced".into());
        }

        let (stores, sends, restarts) = match fate {
            Fate::Fine => (true, true, false),
            Fate::SentNotStored => (false, true, true),
            Fate::StoreFailed => (false, true, false),
            Fate::StoredNotSent => (true, false, true),
            Fate::Nothing => (false, false, true),
        };
        if stores || sends {
            let new = self.truth.add(key, applied.dot, past)?;
            let dots = applied.reply_context;
            self.give_context(key, dots, applied.reply_hlc, past | new)?;
        }
        if stores {
            self.store(node, (intended, key), row)?;
        } else {
            self.nodes[node].mint.raise_floor();
        }
        if sends {
            for to in (0..self.members).filter(|to| *to != intended) {
                let record = applied.write.clone();
                self.messages.push(Message { to, key, record, state_of: None });
            }
        }
        if restarts {
            self.restart(node);
        }
        Ok(())
    }

    fn store(
        &mut self,
        node: usize,
        row: (usize, usize),
        stored: StoredRecord,
    ) -> Result<(), String> {
        self.truth.stored(&stored.record, row.0)?;
        let encoded = stored.encode();
        let read = StoredRecord::decode(&encoded).map_err(|error| format!("{error:?}"))?;
        if read != stored {
            return Err("a row does not read back".into());
        }
        if node < self.members {
            self.nodes[node].clock.incorporate(&stored.record);
        }
        self.nodes[node].rows.insert(row, read);
        Ok(())
    }

    fn receive(
        &mut self,
        to: usize,
        key: usize,
        message: &Record,
        state_of: Option<&DotClock>,
    ) -> Result<Received, String> {
        let mut row = self.row(to, key);
        let node = &self.nodes[to];
        if !node.incomplete && row.record.is_empty() && collectable(message, WALL, &self.cut(to)) {
            return Ok(Received::default());
        }
        let received = match state_of {
            Some(sender) => receive_state(&mut row, message, &node.clock, sender),
            None => receive_delayed(&mut row, message, &node.clock),
        };
        if received.changed {
            self.store(to, (to, key), row)?;
        }
        let node = &mut self.nodes[to];
        if received.lost.is_empty() {
            // All of them are covered or collected by what is stored.
            received.obsolete.iter().for_each(|dot| node.clock.dots.insert(*dot));
        } else {
            node.incomplete = true;
            node.clock = DotClock::new();
        }
        Ok(received)
    }

    fn deliver_hints(&mut self, fallback: usize) -> Result<(), String> {
        while let Some(((to, key), hint)) = self.nodes[fallback].rows.pop_first() {
            for piece in hint.record.pieces() {
                self.receive(to, key, &piece, None)?;
            }
        }
        Ok(())
    }

    /// A complete exchange of both sides; tells whether anything changed.
    fn exchange(&mut self, a: usize, b: usize) -> Result<bool, String> {
        if a == b {
            return Ok(false);
        }
        let clocks = [a, b].map(|side| self.nodes[side].clock.clone());
        let mut changed = false;
        for key in 0..KEYS {
            let records = [a, b].map(|side| self.record(side, key));
            // Equal versions are no difference, whatever their contexts look like.
            if records[0].same_versions(&records[1]) {
                continue;
            }
            for (from, to) in [(0, b), (1, a)] {
                for piece in records[from].pieces().filter(|piece| !piece.is_empty()) {
                    changed |= self.receive(to, key, &piece, Some(&clocks[from]))?.changed;
                }
            }
        }
        for (from, to) in [(0, b), (1, a)] {
            let node = &mut self.nodes[to];
            if !node.incomplete {
                node.clock.join(&clocks[from]);
            }
        }
        Ok(changed)
    }

    fn report(&mut self, from: usize, to: usize) {
        if !self.nodes[from].incomplete {
            self.nodes[to].reports[from] = self.nodes[from].clock.dots.clone();
        }
    }

    fn cut(&self, at: usize) -> DotSet {
        let node = &self.nodes[at];
        let others = (0..self.members).filter(|member| *member != at);
        others.fold(node.clock.dots.clone(), |cut, other| cut.intersection(&node.reports[other]))
    }

    fn collect(&mut self, at: usize) -> Result<(), String> {
        if self.nodes[at].incomplete {
            return Ok(());
        }
        let cut = self.cut(at);
        for key in 0..KEYS {
            let mut row = self.row(at, key);
            let before = row.record.clone();
            if before.is_empty() {
                continue;
            }
            if collectable(&before, WALL, &cut) {
                self.collected = true;
                self.truth.collected(&before)?;
                self.nodes[at].rows.remove(&(at, key));
                self.nodes[at].clock.collected(before.context());
            } else if shrink(&mut row.record, &cut) {
                self.collected = true;
                self.nodes[at].clock.collected(before.context());
                self.nodes[at].rows.insert((at, key), row);
            }
        }
        Ok(())
    }

    /// Ends incomplete mode by one exchange with every other member: what is left is offered as
    /// delayed, what the other refuses is dropped, its records come as state.
    fn recover(&mut self, at: usize) -> Result<(), String> {
        if !self.nodes[at].incomplete {
            return Ok(());
        }
        let mut learned = DotClock::new();
        for other in (0..self.members).filter(|other| *other != at) {
            let clock = self.nodes[other].clock.clone();
            for key in 0..KEYS {
                let theirs = self.record(other, key);
                for piece in self.record(at, key).pieces().filter(|piece| !piece.is_empty()) {
                    let refused = self.receive(other, key, &piece, None)?.obsolete;
                    let collected = refused.into_iter().filter(|dot| !theirs.covers(*dot));
                    self.drop_versions(at, key, &collected.collect());
                }
                for piece in theirs.pieces().filter(|piece| !piece.is_empty()) {
                    self.receive(at, key, &piece, Some(&clock))?;
                }
            }
            learned.join(&clock);
        }
        let node = &mut self.nodes[at];
        node.clock = learned;
        node.rows.values().for_each(|row| node.clock.incorporate(&row.record));
        node.incomplete = false;
        Ok(())
    }

    fn drop_versions(&mut self, at: usize, key: usize, dropped: &DotSet) {
        if dropped.is_empty() {
            return;
        }
        let row = self.row(at, key);
        let mut context = row.record.context().clone();
        context.subtract(dropped);
        let kept = row.record.siblings().iter().filter(|s| !dropped.contains(s.dot));
        let record = Record::from_parts(context, row.record.hlc_max(), kept.cloned().collect())
            .expect("fewer siblings, and the context without them");
        self.nodes[at].rows.insert((at, key), StoredRecord { record, own: row.own });
    }

    /// What must hold after every step.
    pub(crate) fn check(&self) -> Result<(), String> {
        for (number, node) in self.nodes.iter().enumerate() {
            for ((_, key), row) in &node.rows {
                let whose = format!("node {number}, key {key}");
                self.truth.check_claims(*key, &row.record, &whose)?;
                // A hint may hold what members know by their horizons alone to be replaced.
                if number < self.members && !node.incomplete {
                    self.truth.check_concurrent(&row.record, &whose)?;
                }
            }
        }
        for message in &self.messages {
            self.truth.check_claims(message.key, &message.record, "a message")?;
        }
        Ok(())
    }

    /// Lets everything arrive, recover and be exchanged, then judges what is left.
    pub(crate) fn settle(mut self) -> Result<(), String> {
        for message in core::mem::take(&mut self.messages) {
            // Every third message never arrives.
            if message.record.dots().any(|dot| dot.counter % 3 != 0) {
                self.receive(message.to, message.key, &message.record, message.state_of.as_ref())?;
            }
        }
        for fallback in self.members..self.nodes.len() {
            self.deliver_hints(fallback)?;
        }
        self.check()?;
        let mut rounds = 0;
        loop {
            for at in 0..self.members {
                self.recover(at)?;
            }
            let mut changed = false;
            for a in 0..self.members {
                for b in 0..a {
                    changed |= self.exchange(a, b)?;
                }
            }
            if !changed && self.nodes.iter().all(|node| !node.incomplete) {
                break;
            }
            rounds += 1;
            if rounds > 8 {
                return Err("the members do not come to rest".into());
            }
        }
        self.check()?;
        for key in 0..KEYS {
            let records: Vec<Record> =
                (0..self.members).map(|member| self.record(member, key)).collect();
            // A clock vouches for a version that its member lost silently. Once another key's
            // collection puts that number beyond a horizon, a late copy counts as collected: the
            // rules promise nothing then.
            let unsure = self.lost_silently[key] && self.collected;
            let copies = (!unsure).then_some(1 + self.faults[key]);
            let deletes_hold = !self.lost_silently.contains(&true);
            self.truth.check_end(key, &records, copies, deletes_hold)?;
            for record in &records {
                // One member may have collected what another still holds.
                let dead = |r: &Record| r.siblings().iter().all(|s| s.is_tombstone());
                if !(record.same_versions(&records[0]) || dead(record) && dead(&records[0])) {
                    return Err(format!("members differ: {record:?} and {:?}", records[0]));
                }
            }
        }
        Ok(())
    }
}
