//! The side that asks.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;

use dynamo_merkle::iblt::{Difference, ItemId, Salt};
use dynamo_merkle::{Descent, NodePath, Sum, SumTree};
use dynamo_types::{Instant, ObjectName};

use super::leaf_solver::{LeafSolver, Step};
use super::message::{Answer, Opening, Question, ShortId};
use super::roots::PartitionRoot;
use super::session::{Effect, Event, LeafItem, Outcome, SessionConfig, differing, set_of};

/// Nodes in one question for sums: its answer takes some 8 KiB.
const SUMS_AT_ONCE: usize = 64;
/// Items in one question that settles: with names of 1 KiB it takes a megabyte.
const SETTLE_AT_ONCE: usize = 1024;
/// Items that wait for the end of the pause, 8 bytes each. What is beyond is left to the next session.
const FOUND_MAX: usize = 1 << 18;

/// The machine that asks: create it with what the peer said of its root, carry out every effect
/// from [`poll_effect`](Self::poll_effect) until there is none, pass in what comes back with
/// [`handle`](Self::handle), call [`handle_timeout`](Self::handle_timeout) when
/// [`poll_timeout`](Self::poll_timeout) says so, and drop it after [`Effect::Ended`].
#[derive(Debug)]
pub struct Initiator {
    config: SessionConfig,
    salt: Salt,
    tree: SumTree,
    descent: Descent,
    /// Nodes whose sums were asked for.
    asked: BTreeSet<NodePath>,
    /// How many of the descent's leaves were begun.
    begun: usize,
    /// What is read or compared now; at most `leaves_at_once`.
    leaves: BTreeMap<NodePath, Leaf>,
    /// Solved leaves in the order in which their pauses end.
    pausing: VecDeque<(Instant, NodePath, Difference)>,
    /// The items in `pausing`.
    pausing_items: usize,
    /// Symbols that solved leaves took, and how many such leaves there were.
    taken: (u64, u64),
    deadline: Instant,
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
    Solving { solver: LeafSolver, scanned: Sum },
    /// After the pause: its records are read again.
    ReadingAgain(Difference),
    /// The other side is asked what still differs.
    Settling { chunk: Chunk, rest: VecDeque<Chunk> },
}

/// What one question settles.
#[derive(Debug, Default)]
struct Chunk {
    wanted: Vec<ShortId>,
    offered: Vec<(ShortId, ObjectName)>,
}

impl Initiator {
    /// Begins a session. The tree is as it is now, and stays so for this session; every session needs
    /// a seed of its own.
    #[must_use]
    pub fn new(
        now: Instant,
        config: SessionConfig,
        seed: u64,
        tree: SumTree,
        peer: PartitionRoot,
    ) -> Self {
        let descent = Descent::new(&tree, peer.root, peer.depth);
        let salt = Salt(seed);
        let mut initiator = Self {
            config,
            salt,
            tree,
            descent,
            asked: BTreeSet::new(),
            begun: 0,
            leaves: BTreeMap::new(),
            pausing: VecDeque::new(),
            pausing_items: 0,
            taken: (0, 0),
            deadline: now + config.patience,
            outcome: Outcome { complete: true, ..Outcome::default() },
            is_done: false,
            effects: VecDeque::new(),
        };
        if initiator.tree.root() == peer.root {
            initiator.is_done = true;
            initiator.effects.push_back(Effect::Ended(initiator.outcome));
            return initiator;
        }
        let depth = initiator.tree.depth();
        initiator.ask(Question::Open(Opening { salt, depth }));
        // The answer to the opening has the sums below the root.
        initiator.asked.extend(initiator.descent.question());
        initiator.go_on(now);
        initiator
    }

    /// Something happened.
    pub fn handle(&mut self, now: Instant, event: Event<Answer>) {
        if self.is_done {
            return;
        }
        self.deadline = now + self.config.patience;
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

    /// Ends pauses, and the session if the other side has been silent for too long.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.is_done {
            return;
        }
        if !self.is_waiting() {
            // Nobody was slow during the pause.
            self.deadline = now + self.config.patience;
        }
        if now >= self.deadline {
            self.outcome.complete = false;
            self.end();
        } else {
            self.go_on(now);
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let deadline = self.is_waiting().then_some(self.deadline);
        let has_room = self.leaves.len() < self.config.leaves_at_once;
        let pause = self.pausing.front().filter(|_| has_room).map(|(due, ..)| *due);
        let due = deadline.into_iter().chain(pause).min();
        due.filter(|_| !self.is_done)
    }

    /// What shall be done next.
    pub fn poll_effect(&mut self) -> Option<Effect<Question>> {
        self.effects.pop_front()
    }

    /// Whether somebody, the disk or the other side, owes an answer.
    fn is_waiting(&self) -> bool {
        !self.asked.is_empty() || !self.leaves.is_empty()
    }

    fn handle_answer(&mut self, now: Instant, answer: Answer) {
        match answer {
            Answer::Sums { sums } => {
                for (node, theirs) in &sums {
                    if self.asked.remove(node) {
                        self.descent.answered(&self.tree, *node, theirs);
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
            Answer::Settled { leaf, named, arrived } => self.handle_settled(leaf, &named, &arrived),
            Answer::Unable { leaf, .. } => self.give_up(leaf),
        }
    }

    fn handle_leaf(&mut self, now: Instant, leaf: NodePath, items: &[LeafItem]) {
        match self.leaves.remove(&leaf) {
            Some(Leaf::Reading) => match set_of(self.salt, items) {
                Ok((set, scanned)) => {
                    let mut solver = LeafSolver::new(set);
                    let first = solver.first(self.usual_symbols());
                    self.leaves.insert(leaf, Leaf::Solving { solver, scanned });
                    self.take_step(now, leaf, first);
                }
                // What is too large, or has two equal items, fails in the same way next time or not
                // at all; the owner sees the count.
                Err(_) => self.count_unresolved(),
            },
            Some(Leaf::ReadingAgain(difference)) => self.settle(leaf, &difference, items),
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
        let Some(Leaf::Solving { solver, scanned }) = self.leaves.remove(&leaf) else { return };
        self.ask(Question::Solved { leaf, agrees: difference.is_empty() });
        self.outcome.leaves += 1;
        self.taken.0 += u64::from(solver.received());
        self.taken.1 += 1;
        if difference.is_empty() {
            self.effects.push_back(Effect::LeafAgrees { leaf, scanned });
        } else if self.pausing_items + difference.len() > FOUND_MAX {
            self.count_unresolved();
        } else {
            self.outcome.found += difference.len() as u64;
            self.pausing_items += difference.len();
            self.pausing.push_back((now + self.config.pause, leaf, difference));
        }
    }

    /// After the pause: keeps what still differs as far as this side can tell, and asks the other.
    fn settle(&mut self, leaf: NodePath, difference: &Difference, items: &[LeafItem]) {
        let ours: BTreeSet<ItemId> = difference.ours.iter().copied().collect();
        let mut wanted: BTreeSet<ItemId> = difference.theirs.iter().copied().collect();
        let mut offered = Vec::new();
        for item in items {
            let id = ItemId::of(self.salt, item.digest);
            if ours.contains(&id) {
                offered.push((id.into(), item.name.clone()));
            }
            wanted.remove(&id);
        }
        self.outcome.settled += (difference.len() - wanted.len() - offered.len()) as u64;
        let mut chunks = chunks(wanted, offered);
        if let Some(chunk) = chunks.pop_front() {
            self.ask(chunk.question(leaf));
            self.leaves.insert(leaf, Leaf::Settling { chunk, rest: chunks });
        }
    }

    fn handle_settled(
        &mut self,
        leaf: NodePath,
        named: &[Option<ObjectName>],
        arrived: &[ShortId],
    ) {
        let Some(Leaf::Settling { chunk, rest }) = self.leaves.get_mut(&leaf) else { return };
        let arrived: BTreeSet<ShortId> = arrived.iter().copied().collect();
        let there: Vec<&ObjectName> = named.iter().take(chunk.wanted.len()).flatten().collect();
        let here: Vec<&ObjectName> = chunk
            .offered
            .iter()
            .filter(|(item, _)| !arrived.contains(item))
            .map(|(_, name)| name)
            .collect();
        let asked = chunk.wanted.len() + chunk.offered.len();
        self.outcome.settled += (asked - there.len() - here.len()) as u64;
        let records = differing(here, there);
        if !records.is_empty() {
            self.effects.push_back(Effect::Differ { leaf, records });
        }
        if let Some(next) = rest.pop_front() {
            *chunk = next;
            let question = chunk.question(leaf);
            self.ask(question);
        } else {
            self.leaves.remove(&leaf);
        }
    }

    fn give_up(&mut self, leaf: NodePath) {
        if self.leaves.remove(&leaf).is_some() {
            self.ask(Question::Solved { leaf, agrees: false });
            self.count_unresolved();
        }
    }

    fn count_unresolved(&mut self) {
        self.outcome.unresolved += 1;
        self.outcome.complete = false;
    }

    /// Begins whatever there is room for.
    fn go_on(&mut self, now: Instant) {
        let mut nodes: Vec<NodePath> = core::iter::from_fn(|| self.descent.question()).collect();
        self.asked.extend(nodes.iter().copied());
        while !nodes.is_empty() {
            let rest = nodes.split_off(nodes.len().min(SUMS_AT_ONCE));
            self.ask(Question::Sums { nodes });
            nodes = rest;
        }
        while self.leaves.len() < self.config.leaves_at_once {
            // Those that paused first: they hold memory.
            if let Some((due, ..)) = self.pausing.front()
                && *due <= now
            {
                let (_, leaf, difference) = self.pausing.pop_front().expect("looked at");
                self.pausing_items -= difference.len();
                self.leaves.insert(leaf, Leaf::ReadingAgain(difference));
                self.effects.push_back(Effect::NeedLeaf { leaf });
            } else if let Some(leaf) = self.descent.leaves().get(self.begun) {
                let leaf = *leaf;
                self.begun += 1;
                self.leaves.insert(leaf, Leaf::Reading);
                self.effects.push_back(Effect::NeedLeaf { leaf });
            } else {
                break;
            }
        }
        if !self.is_waiting() && self.pausing.is_empty() {
            self.end();
        }
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

    fn end(&mut self) {
        self.is_done = true;
        self.ask(Question::Close);
        self.effects.push_back(Effect::Ended(self.outcome));
    }
}

impl Chunk {
    fn question(&self, leaf: NodePath) -> Question {
        Question::Settle { leaf, wanted: self.wanted.clone(), offered: self.offered.clone() }
    }
}

/// Cuts what is to be settled into questions.
fn chunks(wanted: BTreeSet<ItemId>, offered: Vec<(ShortId, ObjectName)>) -> VecDeque<Chunk> {
    let (mut wanted, mut offered) = (wanted.into_iter(), offered.into_iter());
    let mut chunks = VecDeque::new();
    loop {
        let wanted: Vec<ShortId> =
            wanted.by_ref().take(SETTLE_AT_ONCE).map(ShortId::from).collect();
        let room = SETTLE_AT_ONCE - wanted.len();
        let offered: Vec<_> = offered.by_ref().take(room).collect();
        if wanted.is_empty() && offered.is_empty() {
            return chunks;
        }
        chunks.push_back(Chunk { wanted, offered });
    }
}
