//! Members, two fallbacks, and the rules that the layers above keep: slots, clocks on `Stored`,
//! what counts as a copy. The other rules have a file each.

mod collection;
mod exchange;
mod hints;
mod node;
mod reads;
mod recovery;
mod settle;

use std::fmt::Write as _;

use dynamo_types::{ActorId, WallTime};
use dynamo_versioning::testing::{put, value};
use dynamo_versioning::{
    Content, Dot, DotClock, DotMint, DotSet, Hlc, HybridClock, Put, Received, Record, StoredRecord,
    apply_put, collectable, receive_delayed, receive_state,
};

use self::collection::Closing;
use self::exchange::{Message, Session};
use self::hints::Offered;
use self::node::{Disk, Node, Recovery, Row, RowName};
use self::reads::EarlyAnswer;
use super::Manner;
use super::left_out::LeftOut;
use super::script::{FALLBACKS, Fate, History, Step, Write};
use super::truth::{Truth, WRITES_MAX, Writes};

const KEYS: usize = 2;
/// The wall clock of a history's first step.
const BEGIN: u64 = 1_000_000;

/// A context that some client was given.
#[derive(Clone)]
struct Seen {
    dots: DotSet,
    hlc: Hlc,
    writes: Writes,
}

pub(crate) struct Cluster {
    manner: Manner,
    /// The first so many nodes are members, the rest fallbacks.
    members: usize,
    lazy: bool,
    nodes: Vec<Node>,
    now: u64,
    starts: u64,
    messages: Vec<Message>,
    sessions: Vec<Session>,
    offered: Vec<Offered>,
    early: [Option<EarlyAnswer>; KEYS],
    /// Processes that ended, and the last number that each gave out.
    ended: Vec<(ActorId, u64)>,
    closings: Vec<Closing>,
    contexts: [Vec<Seen>; KEYS],
    truth: Truth,
    /// Records damaged or lost, per key: so many copies of a version may be gone.
    faults: [u32; KEYS],
    lost_silently: [bool; KEYS],
    collected: bool,
}

impl Cluster {
    pub(crate) fn new(history: &History, manner: Manner) -> Self {
        let mut cluster = Self {
            manner,
            members: history.members,
            lazy: history.lazy,
            nodes: Vec::new(),
            now: BEGIN,
            starts: 0,
            messages: Vec::new(),
            sessions: Vec::new(),
            offered: Vec::new(),
            early: Default::default(),
            ended: Vec::new(),
            closings: Vec::new(),
            contexts: Default::default(),
            truth: Truth::default(),
            faults: [0; KEYS],
            lost_silently: [false; KEYS],
            collected: false,
        };
        for skew in history.skews.into_iter().take(history.members + FALLBACKS) {
            let mint = DotMint::new(cluster.new_actor());
            cluster.nodes.push(Node::new(mint, history.members, skew));
        }
        cluster
    }

    /// What everybody holds, with short names for processes.
    pub(crate) fn described(&self) -> String {
        let mut text = String::new();
        for (number, node) in self.nodes.iter().enumerate() {
            let _ = write!(text, "    node {number}: {node}");
        }
        for message in &self.messages {
            let Message { to, key, record, state_of } = message;
            let state =
                state_of.as_ref().map(|(from, clock)| format!(" state of {from} by {clock:?}"));
            let dots: Vec<Dot> = record.dots().collect();
            let state = state.unwrap_or_default();
            let context = record.context();
            let _ = writeln!(text, "    to {to}, key {key}: {dots:?} covers {context:?}{state}");
        }
        (1..=self.starts).fold(text, |text, start| {
            text.replace(&actor_of(start).to_string(), &format!("p{}", start - 1))
        })
    }

    fn without(&self, rule: LeftOut) -> bool {
        self.manner.left_out == Some(rule)
    }

    fn new_actor(&mut self) -> ActorId {
        self.starts += 1;
        actor_of(self.starts)
    }

    fn wall(&self, node: usize) -> WallTime {
        self.nodes[node].wall(self.now)
    }

    /// What is dead by this clock is dead to every member.
    fn slowest_wall(&self) -> WallTime {
        let walls = (0..self.members).map(|member| self.wall(member));
        walls.min().expect("there are members")
    }

    fn row(&self, node: usize, name: RowName) -> Row {
        self.nodes[node].disk.rows.get(&name).cloned().unwrap_or_default()
    }

    fn record(&self, member: usize, key: usize) -> Record {
        self.row(member, (member, key)).stored.record
    }

    fn others(&self, member: usize) -> impl Iterator<Item = usize> + use<> {
        (0..self.members).filter(move |other| *other != member)
    }

    pub(crate) fn play(&mut self, step: &Step) -> Result<(), String> {
        self.now += 1;
        self.play_step(step)?;
        if !self.lazy {
            (0..self.nodes.len()).try_for_each(|node| self.sync(node))?;
        }
        self.check()
    }

    fn play_step(&mut self, step: &Step) -> Result<(), String> {
        match *step {
            Step::Read { key, members, fallbacks, newest_wins, repair } => {
                self.read(key, members, fallbacks, newest_wins, repair)
            }
            Step::AnswerEarly { key, member } => self.answer_early(key, member),
            Step::Put { at, write } => self.put(at, at, &write),
            Step::PutAtFallback { at, intended, write } => {
                let fate = Fate::Fine;
                let write = Write { newest_wins: false, fate, ..write };
                self.put(self.members + at, intended, &write)
            }
            Step::Deliver { message, again, fails } => self.deliver(message, again, fails),
            Step::DeliverTwo { message } => self.deliver_two(message),
            Step::DeliverAll { to } => {
                self.messages_to(to).iter().try_for_each(|message| self.arrive(message).map(|_| ()))
            }
            Step::DropAll { to } => {
                self.messages_to(to);
                Ok(())
            }
            Step::Divert { message, fallback, acknowledging } => {
                self.divert(message, self.members + fallback, acknowledging)
            }
            Step::Drop { message } => {
                self.take_message(message);
                Ok(())
            }
            Step::OfferHints { fallback } => self.offer_hints(self.members + fallback),
            Step::HearOfHints { fallback } => self.hear_of_hints(self.members + fallback),
            Step::DropHints { fallback } => self.drop_hints(self.members + fallback),
            Step::Exchange { a, b } => self.exchange(a, b).map(|_| ()),
            Step::OpenSession { a, b } => self.open_session(a, b),
            Step::SessionKey { session, key } => self.session_key(session, key),
            Step::EndSession { session } => self.end_session(session),
            Step::SendState { key, from, to } => self.send_state(key, from, to),
            Step::SendSomePieces { key, from, to, pieces } => {
                self.send_some_pieces(key, from, to, pieces)
            }
            Step::Sync { node } => self.sync(node),
            Step::Checkpoint { at } => self.checkpoint(at),
            Step::Report { from, to } => self.report(from, to),
            Step::ReportAndCollect { at } => {
                for from in 0..self.members {
                    self.checkpoint(from)?;
                    self.report(from, at)?;
                }
                self.collect(at)
            }
            Step::Collect { at } => self.collect(at),
            Step::CollectEverywhere => self.collect_everywhere(),
            Step::ExchangeEverywhere => self.exchange_everywhere().map(|_| ()),
            Step::AskForHintsOf { process } => self.ask_for_hints_of(process),
            Step::CloseNumbers { closing, at } => self.close_numbers(closing, at),
            Step::Crash { node } => self.crash(node),
            Step::Damage { key, at } => self.damage(key, at),
            Step::LoseSilently { key, both, at } => self.lose_silently(key, both, at),
            Step::BackUp => {
                for node in &mut self.nodes[..self.members] {
                    node.backup = Some(node.synced.clone());
                }
                Ok(())
            }
            Step::Restore { at } => self.restore(at),
            Step::RecoverWith { at, other } => self.recover_with(at, other),
            Step::Recover { at } => {
                let mut others = self.others(at);
                others.try_for_each(|other| self.recover_with(at, other))
            }
        }
    }

    fn give_context(
        &mut self,
        key: usize,
        dots: DotSet,
        hlc: Hlc,
        writes: Writes,
    ) -> Result<(), String> {
        if self.manner.laws {
            self.truth.check_context(key, &dots, writes)?;
        }
        self.contexts[key].push(Seen { dots, hlc, writes });
        Ok(())
    }

    fn put(&mut self, node: usize, intended: usize, write: &Write) -> Result<(), String> {
        let &Write { key, context, delete, expires_in, newest_wins, fate } = write;
        if self.truth.count() >= WRITES_MAX {
            return Ok(());
        }
        let given = &self.contexts[key];
        let seen = context
            .and_then(|back| back.checked_rem(given.len()))
            .map(|back| given[given.len() - 1 - back].clone())
            .unwrap_or(Seen { dots: DotSet::new(), hlc: Hlc::ZERO, writes: 0 });
        let mut row = self.row(node, (intended, key)).stored;
        let mut past = seen.writes;
        if newest_wins {
            past |= self.truth.seen_in(&row.record)?;
        }
        let content = if delete { Content::Tombstone } else { value("v") };
        let may_extend = node < self.members || self.without(LeftOut::FallbackExtends);
        let request = Put {
            covers_all_held: newest_wins && !self.without(LeftOut::NewestLeavesOthers),
            expires_at: expires_in.map(|steps| WallTime(self.now + steps)),
            may_extend,
            ..put(content, &seen.dots, seen.hlc, self.truth.count() as u128)
        };
        let wall = self.wall(node);
        let Node { mint, hybrid, .. } = &mut self.nodes[node];
        let applied = apply_put(&mut row, mint, hybrid, wall, request, usize::MAX)
            .expect("there is no limit");
        if applied.reply_hlc <= seen.hlc {
            return Err("a version is not later than what it replaced".into());
        }
        if self.manner.laws && newest_wins && row.record.siblings().len() != 1 {
            return Err("a put where the newest wins left others beside it".into());
        }

        let (stores, sends, restarts) = match fate {
            Fate::Fine => (true, true, false),
            Fate::SentNotStored => (false, true, true),
            Fate::StoreFailed => (false, true, false),
            Fate::StoredNotSent => (true, false, true),
            Fate::Nothing => (false, false, true),
            Fate::GivenUp => (false, false, false),
        };
        if stores || sends {
            let new = self.truth.add(key, applied.dot, past)?;
            let dots = applied.reply_context;
            self.give_context(key, dots, applied.reply_hlc, past | new)?;
        }
        if stores {
            self.store(node, (intended, key), row, true)?;
        } else if !self.without(LeftOut::FloorKeptAfterFailedStore) {
            self.nodes[node].mint.raise_floor();
        }
        let void = fate == Fate::GivenUp
            || fate == Fate::StoreFailed && self.without(LeftOut::SentNumberDeclaredVoid);
        if void && node < self.members && !self.nodes[node].incomplete {
            self.nodes[node].clock.dots.insert(applied.dot);
        }
        if sends {
            for to in (0..self.members).filter(|to| *to != intended) {
                let record = applied.write.clone();
                self.messages.push(Message { to, key, record, state_of: None });
            }
        }
        if restarts {
            if stores {
                self.sync(node)?;
            }
            self.crash(node)?;
        }
        Ok(())
    }

    /// Stores a row and, since that has ended then, takes its versions into the clock.
    fn store(
        &mut self,
        node: usize,
        name: RowName,
        stored: StoredRecord,
        acknowledging: bool,
    ) -> Result<(), String> {
        let mut read = StoredRecord::decode(&stored.encode()).map_err(|e| format!("{e:?}"))?;
        if read != stored {
            return Err("a row does not read back".into());
        }
        if self.without(LeftOut::ExpiredDroppedOnStore) {
            let record = &stored.record;
            let wall = self.wall(node);
            let left = record.siblings().iter().filter(|s| !s.is_expired(wall)).cloned();
            read.record =
                Record::from_parts(record.context().clone(), record.hlc_max(), left.collect())
                    .expect("fewer siblings");
        }
        let is_member = node < self.members;
        let owner = &mut self.nodes[node];
        if is_member && !owner.incomplete {
            owner.clock.incorporate(&read.record);
            owner.disk.journal.incorporate(&read.record);
        }
        let row = owner.disk.rows.entry(name).or_default();
        row.stored = read;
        row.acknowledging |= acknowledging;
        owner.dirty = true;
        if self.without(LeftOut::AckBeforeSync) {
            self.acknowledge_rows(node)?;
        }
        Ok(())
    }

    /// Syncs what a node's disk holds, and gives the answers that waited for that.
    fn sync(&mut self, node: usize) -> Result<(), String> {
        let owner = &mut self.nodes[node];
        if !core::mem::take(&mut owner.dirty) {
            return Ok(());
        }
        owner.synced = owner.disk.clone();
        for dot in core::mem::take(&mut owner.obsolete) {
            self.truth.acknowledged(dot, node, true)?;
        }
        for offered in self.offered.iter_mut().filter(|offered| offered.name.0 == node) {
            offered.synced = true;
        }
        self.acknowledge_rows(node)
    }

    /// All versions in a node's rows count as copies from now on.
    fn acknowledge_rows(&mut self, node: usize) -> Result<(), String> {
        let own = node < self.members;
        for (name, row) in &self.nodes[node].disk.rows {
            for dot in row.stored.record.dots().filter(|_| own || row.acknowledging) {
                self.truth.acknowledged(dot, name.0, own)?;
            }
        }
        Ok(())
    }

    fn take_message(&mut self, message: usize) -> Option<Message> {
        let at = message.checked_rem(self.messages.len())?;
        Some(self.messages.swap_remove(at))
    }

    fn messages_to(&mut self, to: usize) -> Vec<Message> {
        let messages = core::mem::take(&mut self.messages).into_iter();
        let (theirs, others) = messages.partition(|message| message.to == to);
        self.messages = others;
        theirs
    }

    fn deliver(&mut self, message: usize, again: bool, fails: bool) -> Result<(), String> {
        let Some(at) = message.checked_rem(self.messages.len()) else { return Ok(()) };
        let message = if again { self.messages[at].clone() } else { self.messages.swap_remove(at) };
        if !fails {
            return self.arrive(&message).map(|_| ());
        }
        let ahead = self.without(LeftOut::ClockAheadOfStore);
        let owner = &mut self.nodes[message.to];
        if ahead && !owner.incomplete {
            owner.clock.incorporate(&message.record);
        }
        Ok(())
    }

    /// Two messages for one record arrive in one turn of its node.
    fn deliver_two(&mut self, message: usize) -> Result<(), String> {
        let Some(first) = self.take_message(message) else { return Ok(()) };
        let same = |m: &Message| (m.to, m.key) == (first.to, first.key);
        let second = self.messages.iter().position(same).map(|at| self.messages.swap_remove(at));
        let name = (first.to, first.key);
        let before = self.row(first.to, name);
        self.arrive(&first)?;
        let Some(second) = second else { return Ok(()) };
        if self.without(LeftOut::MergeWithoutSlot) {
            self.sync(first.to)?;
            self.nodes[first.to].dirty = true;
            self.nodes[first.to].disk.rows.insert(name, before);
        }
        self.arrive(&second).map(|_| ())
    }

    fn arrive(&mut self, message: &Message) -> Result<Received, String> {
        let Message { to, key, record, state_of } = message;
        match state_of {
            Some((from, _)) if self.without(LeftOut::StateClockTakenLater) => {
                let clock = self.nodes[*from].clock.clone();
                self.receive(*to, *key, record, Some(&clock))
            }
            Some((_, clock)) => self.receive(*to, *key, record, Some(clock)),
            None => self.receive(*to, *key, record, None),
        }
    }

    /// A member takes a record in, as state if it comes with the sender's clock.
    fn receive(
        &mut self,
        to: usize,
        key: usize,
        message: &Record,
        state_of: Option<&DotClock>,
    ) -> Result<Received, String> {
        let mut row = self.row(to, (to, key)).stored;
        let cut = self.cut(to);
        let wall = self.wall(to);
        let node = &self.nodes[to];
        let may_go = !node.incomplete
            && row.record.is_empty()
            && !self.without(LeftOut::CollectableStoredAgain);
        if self.without(LeftOut::CollectableBeforeHorizon)
            && may_go
            && collectable(message, wall, &cut)
        {
            message.dots().try_for_each(|dot| self.truth.acknowledged(dot, to, true))?;
            return Ok(Received::default());
        }
        let nothing = DotClock::new();
        let ignores = node.incomplete && self.without(LeftOut::IncompleteJudgesByNothing);
        let clock = if ignores { &nothing } else { node.judges_by() };
        let mut received = match state_of {
            Some(sender) => receive_state(&mut row, message, clock, sender),
            None => receive_delayed(&mut row, message, clock),
        };
        // What is collectable here is acknowledged and not stored. What is beyond the horizon is
        // answered so all the same: an incomplete member or a read that asks must let go of it.
        let goes = may_go && received.lost.is_empty() && collectable(&row.record, wall, &cut);
        if received.changed && goes {
            received.changed = false;
            row.record.dots().try_for_each(|dot| self.truth.acknowledged(dot, to, true))?;
        } else if received.changed {
            self.store(to, (to, key), row, false)?;
        }
        let lost = !received.lost.is_empty();
        if lost {
            self.nodes[to].disk.unaware = [false; KEYS];
        }
        if self.nodes[to].incomplete {
            // It has lost something: that is known.
        } else if lost && !self.without(LeftOut::LossNotNoticed) {
            self.become_incomplete(to);
        } else {
            // All of them are covered or collected by what is stored.
            let clock = &mut self.nodes[to].clock;
            received.obsolete.iter().for_each(|dot| clock.dots.insert(*dot));
        }
        self.answer_obsolete(to, &received.obsolete)?;
        Ok(received)
    }

    /// What is obsolete counts as acknowledged once what replaced it is synced.
    fn answer_obsolete(&mut self, member: usize, obsolete: &[Dot]) -> Result<(), String> {
        let node = &mut self.nodes[member];
        if node.dirty && self.manner.left_out != Some(LeftOut::ObsoleteAnsweredUnsynced) {
            node.obsolete.extend(obsolete);
            return Ok(());
        }
        obsolete.iter().try_for_each(|dot| self.truth.acknowledged(*dot, member, true))
    }

    /// A process ends, with what its disk has not synced, and its node starts again.
    fn crash(&mut self, node: usize) -> Result<(), String> {
        let reused = self.without(LeftOut::ActorReusedAfterRestart);
        let former = &self.nodes[node].mint;
        let (actor, last) = (former.actor(), former.last());
        let actor_now = if reused { actor } else { self.new_actor() };
        if last > 0 && !reused {
            self.ended.push((actor, last));
        }
        let (clock_lost, horizon_lost) =
            (self.without(LeftOut::ClockLostAtRestart), self.without(LeftOut::HorizonOnlyInMemory));
        let owner = &mut self.nodes[node];
        owner.mint = DotMint::new(actor_now);
        owner.hybrid = HybridClock::new();
        owner.checkpoints = 0;
        owner.disk = owner.synced.clone();
        owner.dirty = false;
        owner.obsolete.clear();
        owner.incomplete = owner.disk.incomplete;
        owner.clock = owner.disk.checkpoint.clone();
        owner.clock.join(&owner.disk.journal);
        if horizon_lost {
            owner.clock.horizon = DotSet::new();
        }
        if clock_lost {
            owner.clock = DotClock::new();
        }
        owner.recovery = Recovery::begin(&owner.clock);
        self.offered.retain(|offered| offered.name.0 != node || offered.synced);
        self.interrupt(node);
        Ok(())
    }

    /// What cannot go on after a node crashed or became incomplete.
    fn interrupt(&mut self, node: usize) {
        if !self.without(LeftOut::SessionOutlivesItsSides) {
            self.sessions.retain(|session| !session.sides.contains(&node));
        }
        if node < self.members && !self.without(LeftOut::ClosingOutlivesLosses) {
            self.closings.iter_mut().for_each(Closing::begin_again);
        }
    }

    /// Whether a disk may lose what it has of these keys: most members keep what they have.
    fn may_lose(&self, keys: impl IntoIterator<Item = usize>) -> bool {
        let faults_max = (self.members as u32 - 1) / 2;
        keys.into_iter().all(|key| self.faults[key] < faults_max)
    }

    /// Takes a record off a disk.
    fn lose(&mut self, key: usize, at: usize) -> bool {
        let owner = &mut self.nodes[at];
        let held = owner.disk.rows.remove(&(at, key)).is_some();
        let held = owner.synced.rows.remove(&(at, key)).is_some() || held;
        if held {
            self.faults[key] += 1;
            self.truth.lost(key, at);
        }
        held
    }

    fn damage(&mut self, key: usize, at: usize) -> Result<(), String> {
        if self.may_lose([key]) && self.lose(key, at) {
            self.nodes[at].mint.raise_floor();
            self.become_incomplete(at);
            // Found at the next start too, if the process dies before it has made a note of it.
            self.sync(at)?;
        }
        Ok(())
    }

    fn lose_silently(&mut self, key: usize, both: bool, at: usize) -> Result<(), String> {
        let keys = if both { 0..KEYS } else { key..key + 1 };
        if self.may_lose(keys.clone()) {
            for key in keys {
                if self.lose(key, at) {
                    self.lost_silently[key] = true;
                    self.nodes[at].disk.unaware[key] = true;
                    self.nodes[at].synced.unaware[key] = true;
                }
            }
        }
        Ok(())
    }

    fn restore(&mut self, at: usize) -> Result<(), String> {
        if !self.may_lose(0..KEYS) {
            return Ok(());
        }
        let Some(backup) = self.nodes[at].backup.take() else { return Ok(()) };
        self.faults.iter_mut().for_each(|faults| *faults += 1);
        (0..KEYS).for_each(|key| self.truth.lost(key, at));
        let owner = &mut self.nodes[at];
        owner.synced = Disk { rolled_back: true, ..backup };
        self.crash(at)
    }

    /// What must hold after every step.
    fn check(&self) -> Result<(), String> {
        if !self.manner.laws {
            return Ok(());
        }
        // A clock that vouches for what its member lost lets replaced versions come back.
        let clocks_hold = !self.lost_silently.contains(&true);
        for (number, node) in self.nodes.iter().enumerate() {
            let knows = !node.incomplete && !node.disk.rolled_back;
            let whole = number < self.members && knows && clocks_hold;
            for ((_, key), row) in &node.disk.rows {
                let whose = format!("node {number}, key {key}");
                self.truth.check_claims(*key, &row.stored.record, &whose)?;
                // A hint may hold what members know by their horizons alone to be replaced.
                if whole {
                    self.truth.check_concurrent(&row.stored.record, &whose)?;
                }
            }
            if whole {
                self.check_clock(number)?;
            }
        }
        for message in &self.messages {
            self.truth.check_claims(message.key, &message.record, "a message")?;
        }
        Ok(())
    }

    /// A clock vouches only for what its member holds, covers or collected.
    fn check_clock(&self, member: usize) -> Result<(), String> {
        let clock = &self.nodes[member].clock;
        for key in 0..KEYS {
            let record = self.record(member, key);
            for dot in self.truth.dots_of(key) {
                let closed = self.closings.iter().any(|closing| closing.has_closed(dot));
                let known = record.covers(dot) || clock.horizon.contains(dot) || closed;
                if clock.includes(dot) && !known {
                    return Err(format!("member {member}'s clock has {dot}, and it has not"));
                }
            }
        }
        Ok(())
    }
}

/// Random-looking, so that actors of one node do not lie side by side.
fn actor_of(start: u64) -> ActorId {
    ActorId(start.wrapping_mul(0x9e37_79b9_7f4a_7c15))
}
