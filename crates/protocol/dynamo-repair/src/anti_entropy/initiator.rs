//! The side that asks.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;
use core::time::Duration;

use dynamo_merkle::iblt::{Difference, ItemId, Salt};
use dynamo_merkle::{Descent, NodePath, Sum};
use dynamo_messages::repair::{Answer, Opening, Question, SessionId, ShortId};
use dynamo_types::{Instant, ObjectName};

use super::event::LeafItem;
use super::finding::{
    Effect, Event, FindingConfig, NameKey, Outcome, ScannedLeaf, Snapshot, differing,
};
use super::leaf_solver::{LeafSolver, Step};

/// Nodes in one question for sums: its answer takes some 8 KiB.
const SUMS_AT_ONCE: usize = 64;
/// Items in one question that settles: with names of 1 KiB it takes a megabyte.
const SETTLE_AT_ONCE: usize = 1024;
/// Records whose names are kept at either side between being settled and being exchanged. A leaf
/// of more is settled when no other is.
const SETTLED_MAX: usize = 4096;
/// While so many items wait for the end of the pause, 8 bytes each, no further leaf is begun.
const FOUND_MAX: usize = 1 << 16;
/// With so many they take a megabyte and half as much at the responder; a leaf that would exceed that
/// is compared again later. More than two leaves hold.
const FOUND_CEILING: usize = 1 << 17;

/// The machine that asks: carry out every effect from [`poll_effect`](Self::poll_effect) until
/// there is none, pass in what comes back with [`handle`](Self::handle), call
/// [`handle_timeout`](Self::handle_timeout) when [`poll_timeout`](Self::poll_timeout) says so, and
/// drop it after its last effect.
#[derive(Debug)]
pub struct Initiator {
    config: FindingConfig,
    salt: Salt,
    mine: Snapshot,
    /// None until the other side takes part.
    descent: Option<Descent>,
    pause: Duration,
    /// Nodes whose sums were asked for.
    asked: BTreeSet<NodePath>,
    /// How many of the descent's leaves were begun.
    begun: usize,
    /// Leaves to be compared again, because too much was found at once.
    again: VecDeque<NodePath>,
    /// What is read or compared now; at most `leaves_at_once`.
    leaves: BTreeMap<NodePath, Leaf>,
    /// Solved leaves in the order in which their pauses end.
    pausing: VecDeque<(Instant, NodePath, Found)>,
    /// The items in `pausing`.
    pausing_items: usize,
    /// The items of leaves that are being settled.
    settling_items: usize,
    /// Settled records that are not exchanged yet, by what the session says.
    backlog: usize,
    /// Symbols that solved leaves took, and how many such leaves there were.
    taken: (u64, u64),
    outcome: Outcome,
    is_done: bool,
    effects: VecDeque<Effect<Question>>,
}

/// Where a leaf is.
#[derive(Debug)]
enum Leaf {
    /// Its records are read for the first time.
    Reading,
    /// Symbols or the list are asked for.
    Solving { solver: LeafSolver, names: Vec<NameKey>, scanned: Sum },
    /// After the pause: its records are read again.
    ReadingAgain(Found),
    /// The other side is asked what still differs.
    Settling { items: usize, chunk: Chunk, rest: VecDeque<Chunk> },
}

/// What differed in a leaf when it was solved.
#[derive(Debug)]
struct Found {
    /// Items of theirs, in the order in which they were named to them.
    theirs: Vec<ItemId>,
    /// Under which names our items were. The records may change before they are settled.
    ours: Vec<NameKey>,
}

impl Found {
    fn len(&self) -> usize {
        self.theirs.len() + self.ours.len()
    }
}

/// What one question settles.
#[derive(Debug)]
struct Chunk {
    from: u32,
    wanted: Vec<bool>,
    offered: Vec<(ItemId, ObjectName)>,
}

impl Initiator {
    /// Begins a session. Its number is the salt of its items: every session needs one of its own.
    #[must_use]
    pub fn new(config: FindingConfig, session: SessionId, mine: Snapshot) -> Self {
        let opening = Opening {
            register: mine.register,
            partition: mine.partition,
            depth: mine.tree.depth(),
            root: mine.tree.root(),
            clock: mine.clock.clone(),
            known: mine.known.clone(),
        };
        let mut initiator = Self {
            config,
            salt: Salt(session.0),
            mine,
            descent: None,
            pause: config.pause,
            asked: BTreeSet::new(),
            begun: 0,
            again: VecDeque::new(),
            leaves: BTreeMap::new(),
            pausing: VecDeque::new(),
            pausing_items: 0,
            settling_items: 0,
            backlog: 0,
            taken: (0, 0),
            outcome: Outcome::default(),
            is_done: false,
            effects: VecDeque::new(),
        };
        initiator.ask(Question::Open(opening));
        initiator
    }

    /// Something happened.
    pub fn handle(&mut self, now: Instant, event: Event<Answer>) {
        if self.is_done {
            return;
        }
        match event {
            Event::Received(answer) => {
                self.outcome.traffic.count(answer.cost());
                self.handle_answer(now, answer);
            }
            Event::Leaf { leaf, items } => self.handle_leaf(now, leaf, &items),
            Event::LeafUnreadable { leaf } => self.give_up(leaf),
        }
        self.go_on(now);
    }

    /// How many settled records are not exchanged yet: while there are many, no more are settled.
    pub fn set_backlog(&mut self, now: Instant, records: usize) {
        self.backlog = records;
        self.go_on(now);
    }

    /// Ends pauses.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.go_on(now);
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let (due, _, found) = self.pausing.front()?;
        let has_room = self.leaves.len() < self.config.leaves_at_once;
        (!self.is_done && has_room && self.may_settle(found)).then_some(*due)
    }

    /// What shall be done next.
    pub fn poll_effect(&mut self) -> Option<Effect<Question>> {
        self.effects.pop_front()
    }

    /// Whether the other side has neither agreed to take part nor refused yet.
    #[must_use]
    pub fn is_opening(&self) -> bool {
        !self.is_done && self.descent.is_none()
    }

    /// Whether somebody, the disk or the other side, owes an answer.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        !self.is_done
            && (self.descent.is_none() || !self.asked.is_empty() || !self.leaves.is_empty())
    }

    /// How it went so far.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        self.outcome
    }

    fn handle_answer(&mut self, now: Instant, answer: Answer) {
        match answer {
            Answer::Refused(why) if self.descent.is_none() => self.end(Effect::Refused(why)),
            Answer::Agreed { clock, .. } if self.descent.is_none() => {
                self.outcome.complete = true;
                self.end(Effect::Agreed { clock });
            }
            Answer::Opened { depth, clock, sums, .. } if self.descent.is_none() => {
                if clock.is_none() || self.mine.clock.is_none() {
                    self.pause = Duration::ZERO;
                }
                // The other root is unlike ours, or it would have agreed.
                let other = Sum(!self.mine.tree.root().0);
                let mut descent = Descent::new(&self.mine.tree, other, depth);
                // The answer to the opening has the sums below the root.
                if let Some(sums) = sums
                    && let Some(root) = descent.question()
                {
                    descent.answered(&self.mine.tree, root, &sums);
                }
                self.descent = Some(descent);
                self.effects.push_back(Effect::Opened { clock });
            }
            // Doubled, or late.
            Answer::Refused(_) | Answer::Agreed { .. } | Answer::Opened { .. } => {}
            Answer::Sums { sums } => {
                let Some(descent) = &mut self.descent else { return };
                for (node, theirs) in &sums {
                    if self.asked.remove(node) {
                        descent.answered(&self.mine.tree, *node, theirs);
                    }
                }
            }
            Answer::Symbols { leaf, totals, symbols } => {
                if let Some(Leaf::Solving { solver, .. }) = self.leaves.get_mut(&leaf) {
                    let step = solver.symbols(totals, &symbols);
                    self.take_step(now, leaf, step);
                }
            }
            Answer::List { leaf, items } => {
                if let Some(Leaf::Solving { solver, .. }) = self.leaves.get(&leaf) {
                    let step = solver.list(items);
                    self.outcome.lists += 1;
                    self.take_step(now, leaf, step);
                }
            }
            Answer::Settled { leaf, from, named, arrived } => {
                self.handle_settled(leaf, from, &named, &arrived);
            }
            Answer::Unable { leaf, .. } => self.give_up(leaf),
        }
    }

    fn handle_leaf(&mut self, now: Instant, leaf: NodePath, items: &[LeafItem]) {
        match self.leaves.remove(&leaf) {
            Some(Leaf::Reading) => match ScannedLeaf::of(self.salt, items) {
                Ok(ScannedLeaf { set, names, sum: scanned }) => {
                    let mut solver = LeafSolver::new(set);
                    let first = solver.first(self.usual_symbols());
                    self.leaves.insert(leaf, Leaf::Solving { solver, names, scanned });
                    self.take_step(now, leaf, first);
                }
                // What is too large, or has two equal items, fails in the same way next time or not
                // at all; the owner sees the count.
                Err(_) => self.outcome.unresolved += 1,
            },
            Some(Leaf::ReadingAgain(found)) => self.settle(leaf, &found, items),
            Some(other) => {
                self.leaves.insert(leaf, other);
            }
            None => {}
        }
    }

    fn take_step(&mut self, now: Instant, leaf: NodePath, step: Step) {
        match step {
            Step::Symbols(until) => self.ask(Question::Symbols { leaf, until }),
            Step::List => self.ask(Question::List { leaf }),
            Step::Solved(difference) => self.solved(now, leaf, difference),
            Step::Failed => self.give_up(leaf),
        }
    }

    fn solved(&mut self, now: Instant, leaf: NodePath, difference: Difference) {
        let Some(Leaf::Solving { solver, names, scanned }) = self.leaves.remove(&leaf) else {
            return;
        };
        if !difference.is_empty()
            && !self.pausing.is_empty()
            && self.pausing_items + difference.len() > FOUND_CEILING
        {
            self.ask(Question::Leave { leaf });
            self.again.push_back(leaf);
            return;
        }
        self.outcome.leaves += 1;
        self.taken.0 += u64::from(solver.received());
        self.taken.1 += 1;
        if difference.is_empty() {
            self.ask(Question::Agrees { leaf });
            self.effects.push_back(Effect::LeafAgrees { leaf, scanned });
            return;
        }
        let wanted = difference.theirs.iter().copied().map(ShortId::from).collect();
        self.ask(Question::Solved { leaf, wanted });
        let items = solver.ours().items();
        let places = difference.ours.iter().filter_map(|id| items.binary_search(id).ok());
        let mut ours: Vec<NameKey> = places.map(|place| names[place]).collect();
        ours.sort_unstable();
        let found = Found { theirs: difference.theirs, ours };
        self.outcome.found += found.len() as u64;
        self.pausing_items += found.len();
        self.pausing.push_back((now + self.pause, leaf, found));
    }

    /// After the pause: asks the other side about all that differed, but for what is here now.
    fn settle(&mut self, leaf: NodePath, found: &Found, items: &[LeafItem]) {
        let mut here = BTreeSet::new();
        let mut offered = Vec::new();
        for item in items {
            let id = ItemId::of(self.salt, item.digest);
            here.insert(id);
            // Under its name, whatever it has become.
            if found.ours.binary_search(&NameKey::at(item.position)).is_ok() {
                offered.push((id, item.name.clone()));
            }
        }
        let wanted: Vec<bool> = found.theirs.iter().map(|id| !here.contains(id)).collect();
        let came = wanted.iter().filter(|wanted| !**wanted).count();
        let gone = found.ours.len().saturating_sub(offered.len());
        self.outcome.settled += (came + gone) as u64;
        if came == wanted.len() && offered.is_empty() {
            self.settling_items -= found.len();
            self.ask(Question::Leave { leaf });
            return;
        }
        let mut rest = chunks(&wanted, offered);
        let chunk = rest.pop_front().expect("there is something to settle");
        self.ask(chunk.question(leaf, rest.is_empty()));
        self.leaves.insert(leaf, Leaf::Settling { items: found.len(), chunk, rest });
    }

    fn handle_settled(
        &mut self,
        leaf: NodePath,
        from: u32,
        named: &[Option<ObjectName>],
        arrived: &[bool],
    ) {
        let Some(Leaf::Settling { items, chunk, rest }) = self.leaves.get_mut(&leaf) else {
            return;
        };
        if from != chunk.from {
            return;
        }
        let asked = chunk.wanted.iter().filter(|wanted| **wanted).count();
        if named.len() != asked || arrived.len() != chunk.offered.len() {
            // No answer to this question: nothing is known of what it was about.
            return self.give_up(leaf);
        }
        let there: Vec<&ObjectName> = named.iter().flatten().collect();
        let here: Vec<&ObjectName> = chunk
            .offered
            .iter()
            .zip(arrived)
            .filter(|(_, arrived)| !**arrived)
            .map(|((_, name), _)| name)
            .collect();
        self.outcome.settled += (asked + chunk.offered.len() - there.len() - here.len()) as u64;
        let records = differing(here, there);
        if !records.is_empty() {
            self.effects.push_back(Effect::Differ { leaf, records });
        }
        if let Some(next) = rest.pop_front() {
            *chunk = next;
            let question = chunk.question(leaf, rest.is_empty());
            self.ask(question);
        } else {
            self.settling_items -= *items;
            self.leaves.remove(&leaf);
        }
    }

    fn give_up(&mut self, leaf: NodePath) {
        let held = match self.leaves.remove(&leaf) {
            Some(Leaf::ReadingAgain(found)) => {
                self.settling_items -= found.len();
                true
            }
            Some(Leaf::Settling { items, .. }) => {
                self.settling_items -= items;
                true
            }
            Some(Leaf::Reading | Leaf::Solving { .. }) => true,
            None => {
                let place = self.pausing.iter().position(|(_, pausing, _)| *pausing == leaf);
                let pausing = place.and_then(|place| self.pausing.remove(place));
                self.pausing_items -= pausing.as_ref().map_or(0, |(_, _, found)| found.len());
                pausing.is_some()
            }
        };
        if held {
            self.ask(Question::Leave { leaf });
            self.outcome.unresolved += 1;
        }
    }

    /// Begins whatever there is room for.
    fn go_on(&mut self, now: Instant) {
        if self.is_done {
            return;
        }
        let Some(descent) = &mut self.descent else { return };
        let mut nodes: Vec<NodePath> = core::iter::from_fn(|| descent.question()).collect();
        self.asked.extend(nodes.iter().copied());
        while !nodes.is_empty() {
            let rest = nodes.split_off(nodes.len().min(SUMS_AT_ONCE));
            self.ask(Question::Sums { nodes });
            nodes = rest;
        }
        while self.leaves.len() < self.config.leaves_at_once {
            // Those that paused first: they hold memory.
            if let Some((due, _, found)) = self.pausing.front()
                && *due <= now
                && self.may_settle(found)
            {
                let (_, leaf, found) = self.pausing.pop_front().expect("looked at");
                self.pausing_items -= found.len();
                self.settling_items += found.len();
                self.leaves.insert(leaf, Leaf::ReadingAgain(found));
                self.effects.push_back(Effect::NeedLeaf { leaf });
            } else if let Some(leaf) = self.next_leaf() {
                self.leaves.insert(leaf, Leaf::Reading);
                self.effects.push_back(Effect::NeedLeaf { leaf });
            } else {
                break;
            }
        }
        if !self.is_waiting() && self.pausing.is_empty() && self.again.is_empty() {
            self.ask(Question::Close);
            self.outcome.complete = self.outcome.unresolved == 0;
            self.end(Effect::Ended(self.outcome));
        }
    }

    fn may_settle(&self, found: &Found) -> bool {
        let under_way = self.backlog + self.settling_items;
        under_way == 0 || under_way + found.len() <= SETTLED_MAX
    }

    fn next_leaf(&mut self) -> Option<NodePath> {
        if self.pausing_items >= FOUND_MAX {
            return None;
        }
        if let Some(leaf) = self.descent.as_ref()?.leaves().get(self.begun) {
            self.begun += 1;
            return Some(*leaf);
        }
        self.again.pop_front()
    }

    /// What to begin a leaf with: somewhat less than the leaves before took, so that few symbols
    /// come too many.
    fn usual_symbols(&self) -> u32 {
        let (symbols, leaves) = self.taken;
        u32::try_from(symbols * 3 / 4 / leaves.max(1)).unwrap_or(u32::MAX)
    }

    fn ask(&mut self, question: Question) {
        self.outcome.traffic.count(question.cost());
        self.effects.push_back(Effect::Send(question));
    }

    fn end(&mut self, effect: Effect<Question>) {
        self.is_done = true;
        self.effects.push_back(effect);
    }
}

impl Chunk {
    fn question(&self, leaf: NodePath, last: bool) -> Question {
        Question::Settle {
            leaf,
            from: self.from,
            wanted: self.wanted.clone(),
            offered: self.offered.clone(),
            last,
        }
    }
}

/// Cuts what is to be settled into questions.
fn chunks(wanted: &[bool], offered: Vec<(ItemId, ObjectName)>) -> VecDeque<Chunk> {
    let mut chunks = VecDeque::new();
    let (mut wanted, mut offered) = (wanted, offered.into_iter());
    let mut from = 0;
    loop {
        let (now, later) = wanted.split_at(wanted.len().min(SETTLE_AT_ONCE));
        wanted = later;
        let offered: Vec<_> = offered.by_ref().take(SETTLE_AT_ONCE - now.len()).collect();
        if now.is_empty() && offered.is_empty() {
            return chunks;
        }
        let count = now.len() + offered.len();
        chunks.push_back(Chunk { from, wanted: now.to_vec(), offered });
        from += u32::try_from(count).expect("at most SETTLE_AT_ONCE");
    }
}
