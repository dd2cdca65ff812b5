//! State: what passes between members, with the sender's clock (protocol rule 4).

use dynamo_versioning::{Dot, DotClock, Record};

use super::{Cluster, KEYS, LeftOut};

/// What is under way to a member.
#[derive(Clone)]
pub(super) struct Message {
    pub(super) to: usize,
    pub(super) key: usize,
    pub(super) record: Record,
    /// The sender and its clock if this is state.
    pub(super) state_of: Option<(usize, DotClock)>,
}

/// An exchange that takes its time.
pub(super) struct Session {
    pub(super) sides: [usize; 2],
    /// The clocks of both sides, from before all records.
    clocks: [Option<DotClock>; 2],
    /// Which keys were exchanged.
    done: [bool; KEYS],
}

/// More open exchanges than this, and the oldest breaks off.
const SESSIONS_MAX: usize = 2;

impl Cluster {
    /// Two members meet: each tells the other which checkpoint it reported last, and a disk that
    /// has not taken it is not the disk that it was then.
    ///
    /// Comparing clocks would not do: the dots may have come back with messages, without what was
    /// covered by then.
    pub(super) fn meet(&mut self, a: usize, b: usize) -> Result<(), String> {
        for (one, other) in [(a, b), (b, a)] {
            let told = &self.nodes[other].disk.reports[one];
            let node = &self.nodes[one];
            if node.incomplete {
                continue;
            }
            let has_dots = told.dots.is_subset_of(&node.clock.dots);
            let same_disk = if self.without(LeftOut::RollbackSeenByClock) {
                has_dots
            } else {
                told.checkpoints.is_subset_of(&node.disk.checkpoints)
            };
            if self.manner.laws && !(same_disk && has_dots) && self.faults == [0; KEYS] {
                return Err(format!("member {one} has less than it reported, and lost nothing"));
            }
            if !same_disk && !self.without(LeftOut::RollbackUnnoticed) {
                self.become_incomplete(one);
            }
        }
        Ok(())
    }

    /// A complete exchange of both sides at once; tells whether anything changed.
    pub(super) fn exchange(&mut self, a: usize, b: usize) -> Result<bool, String> {
        if a == b {
            return Ok(false);
        }
        self.meet(a, b)?;
        let sides = [a, b];
        let complete = sides.map(|side| !self.nodes[side].incomplete);
        let clocks = sides.map(|side| self.nodes[side].vouches());
        let mut changed = false;
        for key in 0..KEYS {
            changed |= self.exchange_key(sides, &clocks, key)?;
        }
        // A side that found a loss on the way did not have what its clock said.
        if complete != sides.map(|side| !self.nodes[side].incomplete) {
            return Ok(true);
        }
        self.join_clocks(sides, &clocks);
        if complete == [true, true] {
            self.closings.iter_mut().for_each(|closing| closing.exchanged(a, b));
        }
        Ok(changed)
    }

    /// All members exchange, two at a time; tells whether anything changed.
    pub(super) fn exchange_everywhere(&mut self) -> Result<bool, String> {
        let mut changed = false;
        for a in 0..self.members {
            for b in 0..a {
                changed |= self.exchange(a, b)?;
            }
        }
        Ok(changed)
    }

    fn exchange_key(
        &mut self,
        sides: [usize; 2],
        clocks: &[Option<DotClock>; 2],
        key: usize,
    ) -> Result<bool, String> {
        let records = sides.map(|side| self.record(side, key));
        if self.alike(&records) {
            return Ok(false);
        }
        let mut changed = false;
        for (from, to) in [(0, sides[1]), (1, sides[0])] {
            for piece in records[from].pieces().filter(|piece| !piece.is_empty()) {
                changed |= self.receive(to, key, &piece, clocks[from].as_ref())?.changed;
            }
        }
        Ok(changed)
    }

    /// Whether the hash trees of two members show no difference: equal versions are none, whatever
    /// their contexts look like.
    fn alike(&self, records: &[Record; 2]) -> bool {
        if !self.without(LeftOut::TreeItemOfLivingDots) {
            return records[0].same_versions(&records[1]);
        }
        let living = |record: &Record| -> Vec<Dot> {
            let siblings = record.siblings().iter();
            siblings.filter(|s| !s.is_tombstone()).map(|s| s.dot).collect()
        };
        living(&records[0]) == living(&records[1])
    }

    fn join_clocks(&mut self, sides: [usize; 2], clocks: &[Option<DotClock>; 2]) {
        let horizons = !self.without(LeftOut::HorizonNotJoined);
        for (from, to) in [(0, sides[1]), (1, sides[0])] {
            let node = &mut self.nodes[to];
            if let (false, Some(mut told)) = (node.incomplete, clocks[from].clone()) {
                if !horizons {
                    told.horizon = Default::default();
                }
                node.clock.join(&told);
            }
        }
    }

    pub(super) fn open_session(&mut self, a: usize, b: usize) -> Result<(), String> {
        if a == b {
            return Ok(());
        }
        self.meet(a, b)?;
        if self.sessions.len() == SESSIONS_MAX {
            self.sessions.remove(0);
        }
        let clocks = [a, b].map(|side| self.nodes[side].vouches());
        self.sessions.push(Session { sides: [a, b], clocks, done: [false; KEYS] });
        Ok(())
    }

    pub(super) fn session_key(&mut self, session: usize, key: usize) -> Result<(), String> {
        let Some(at) = session.checked_rem(self.sessions.len()) else { return Ok(()) };
        let Session { sides, clocks, .. } = &self.sessions[at];
        let (sides, clocks) = (*sides, clocks.clone());
        self.exchange_key(sides, &clocks, key)?;
        // It may have broken off by that.
        if let Some(session) = self.sessions.get_mut(at).filter(|s| s.sides == sides) {
            session.done[key] = true;
        }
        Ok(())
    }

    pub(super) fn end_session(&mut self, session: usize) -> Result<(), String> {
        let Some(at) = session.checked_rem(self.sessions.len()) else { return Ok(()) };
        let session = self.sessions.swap_remove(at);
        if session.done == [true; KEYS] || self.without(LeftOut::JoinAfterBrokenExchange) {
            self.join_clocks(session.sides, &session.clocks);
        }
        Ok(())
    }

    /// A record goes to another member piece by piece, each to arrive whenever.
    pub(super) fn send_state(&mut self, key: usize, from: usize, to: usize) -> Result<(), String> {
        self.meet(from, to)?;
        let state_of = self.nodes[from].vouches().map(|clock| (from, clock));
        for record in self.record(from, key).pieces() {
            if from != to && !record.is_empty() {
                let state_of = state_of.clone();
                self.messages.push(Message { to, key, record, state_of });
            }
        }
        Ok(())
    }

    pub(super) fn send_some_pieces(
        &mut self,
        key: usize,
        from: usize,
        to: usize,
        pieces: usize,
    ) -> Result<(), String> {
        self.meet(from, to)?;
        let clock = self.nodes[from].vouches();
        for piece in self.record(from, key).pieces().take(pieces) {
            if from != to && !piece.is_empty() {
                self.receive(to, key, &piece, clock.as_ref())?;
            }
        }
        if self.without(LeftOut::JoinAfterBrokenExchange) && from != to {
            self.join_clocks([from, to], &[clock, None]);
        }
        Ok(())
    }
}
