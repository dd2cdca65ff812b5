//! The side that answers.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;

use dynamo_merkle::iblt::{Encoder, ItemId, SYMBOLS_MAX, Salt};
use dynamo_merkle::{NodePath, Sum, SumTree};
use dynamo_types::{Instant, ObjectName};

use super::message::{
    Answer, LeafTotals, Opening, Question, ShortId, Unable, is_list_shorter, low_half,
};
use super::session::{Effect, Event, LeafItem, Outcome, SessionConfig, differing, set_of};

/// The machine that answers: create it when a session is opened, carry out every effect from
/// [`poll_effect`](Self::poll_effect) until there is none, pass in questions and leaves with
/// [`handle`](Self::handle), call [`handle_timeout`](Self::handle_timeout) when
/// [`poll_timeout`](Self::poll_timeout) says so, and drop it after [`Effect::Ended`].
#[derive(Debug)]
pub struct Responder {
    config: SessionConfig,
    salt: Salt,
    tree: SumTree,
    /// Where the compared leaves are.
    depth: u8,
    /// At most twice `leaves_at_once`.
    leaves: BTreeMap<NodePath, Leaf>,
    deadline: Instant,
    outcome: Outcome,
    is_done: bool,
    effects: VecDeque<Effect<Answer>>,
}

/// Where a leaf is.
#[derive(Debug)]
enum Leaf {
    /// Its records are read to make symbols up to a number, or the whole list.
    Reading(Wanted),
    /// Symbols are made as they are asked for.
    Encoding { encoder: Encoder, scanned: Sum },
    /// Its records are read to settle what differs.
    Settling { wanted: Vec<ShortId>, offered: Vec<(ShortId, ObjectName)> },
}

#[derive(Debug, Clone, Copy)]
enum Wanted {
    SymbolsUntil(u32),
    List,
}

impl Responder {
    /// A session was opened. The tree is as it is now, and stays so for this session.
    #[must_use]
    pub fn new(now: Instant, config: SessionConfig, tree: SumTree, opening: Opening) -> Self {
        let mut outcome = Outcome::default();
        outcome.traffic.count(Question::Open(opening).cost());
        let mut responder = Self {
            config,
            salt: opening.salt,
            depth: tree.depth().min(opening.depth),
            tree,
            leaves: BTreeMap::new(),
            deadline: now,
            outcome,
            is_done: false,
            effects: VecDeque::new(),
        };
        responder.deadline = responder.deadline_from(now);
        if responder.depth > 0 {
            responder.answer_sums(&[NodePath::ROOT]);
        }
        responder
    }

    /// Something happened.
    pub fn handle(&mut self, now: Instant, event: Event<Question>) {
        if self.is_done {
            return;
        }
        match event {
            Event::Received(question) => {
                self.deadline = self.deadline_from(now);
                self.outcome.traffic.count(question.cost());
                self.handle_question(question);
            }
            Event::Leaf { leaf, items } => self.handle_leaf(leaf, &items),
            Event::LeafUnreadable { leaf } => {
                if self.leaves.remove(&leaf).is_some() {
                    self.unable(leaf, Unable::Unreadable);
                }
            }
        }
    }

    /// Ends the session if the initiator has been silent for too long.
    pub fn handle_timeout(&mut self, now: Instant) {
        if !self.is_done && now >= self.deadline {
            self.end(false);
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        (!self.is_done).then_some(self.deadline)
    }

    /// What shall be done next.
    pub fn poll_effect(&mut self) -> Option<Effect<Answer>> {
        self.effects.pop_front()
    }

    /// The initiator is silent during its pause, and may wait for its own disk before and after.
    fn deadline_from(&self, now: Instant) -> Instant {
        now + self.config.pause + self.config.patience * 2
    }

    fn handle_question(&mut self, question: Question) {
        match question {
            // The session is open already.
            Question::Open(_) => {}
            Question::Sums { nodes } => self.answer_sums(&nodes),
            Question::Symbols { leaf, until } => {
                self.handle_wanted(leaf, Wanted::SymbolsUntil(until));
            }
            Question::List { leaf } => self.handle_wanted(leaf, Wanted::List),
            Question::Solved { leaf, agrees } => {
                let held = self.leaves.remove(&leaf);
                self.outcome.leaves += 1;
                if let Some(Leaf::Encoding { scanned, .. }) = held
                    && agrees
                {
                    self.effects.push_back(Effect::LeafAgrees { leaf, scanned });
                }
            }
            Question::Settle { leaf, wanted, offered } => {
                self.outcome.found += (wanted.len() + offered.len()) as u64;
                if self.has_room(leaf) {
                    self.read(leaf, Leaf::Settling { wanted, offered });
                }
            }
            Question::Close => self.end(true),
        }
    }

    fn answer_sums(&mut self, nodes: &[NodePath]) {
        // A node that has no children here was never differing: no honest question names it.
        let below = nodes.iter().filter(|node| node.depth() < self.depth);
        let sums = below.filter_map(|node| Some((*node, self.tree.children(*node)?))).collect();
        self.answer(Answer::Sums { sums });
    }

    fn handle_wanted(&mut self, leaf: NodePath, wanted: Wanted) {
        if let Some(Leaf::Encoding { .. }) = self.leaves.get(&leaf) {
            self.answer_wanted(leaf, wanted);
        } else if self.has_room(leaf) {
            self.read(leaf, Leaf::Reading(wanted));
        }
    }

    /// Whether a leaf can be read; says why not otherwise.
    fn has_room(&mut self, leaf: NodePath) -> bool {
        let is_new = !self.leaves.contains_key(&leaf);
        if leaf.depth() != self.depth {
            self.unable(leaf, Unable::NoLeaf);
            false
        } else if is_new && self.leaves.len() >= self.config.leaves_at_once * 2 {
            self.unable(leaf, Unable::Busy);
            false
        } else {
            true
        }
    }

    /// A leaf that is being read is not read twice: whatever the records are for, they come.
    fn read(&mut self, leaf: NodePath, purpose: Leaf) {
        let before = self.leaves.insert(leaf, purpose);
        if !matches!(before, Some(Leaf::Reading(_) | Leaf::Settling { .. })) {
            self.effects.push_back(Effect::NeedLeaf { leaf });
        }
    }

    fn handle_leaf(&mut self, leaf: NodePath, items: &[LeafItem]) {
        match self.leaves.remove(&leaf) {
            Some(Leaf::Reading(wanted)) => match set_of(self.salt, items) {
                Ok((set, scanned)) => {
                    let encoder = Encoder::new(set);
                    self.leaves.insert(leaf, Leaf::Encoding { encoder, scanned });
                    self.answer_wanted(leaf, wanted);
                }
                Err(why) => self.unable(leaf, why),
            },
            Some(Leaf::Settling { wanted, offered }) => {
                self.settle(leaf, &wanted, &offered, items);
            }
            Some(encoding @ Leaf::Encoding { .. }) => {
                self.leaves.insert(leaf, encoding);
            }
            None => {}
        }
    }

    fn answer_wanted(&mut self, leaf: NodePath, wanted: Wanted) {
        let Some(Leaf::Encoding { encoder, .. }) = self.leaves.get_mut(&leaf) else { return };
        let items = u32::try_from(encoder.set().len()).expect("at most LEAF_ITEMS_MAX");
        let answer = match wanted {
            Wanted::SymbolsUntil(until) if !is_list_shorter(items, until.min(SYMBOLS_MAX)) => {
                let first = encoder.made() == 0;
                let totals =
                    first.then(|| LeafTotals { items, sum: low_half(encoder.set().sum()) });
                let symbols = encoder.batch(until.saturating_sub(encoder.made()));
                Answer::Symbols { leaf, totals, symbols }
            }
            Wanted::SymbolsUntil(_) | Wanted::List => {
                self.outcome.lists += 1;
                Answer::List { leaf, items: encoder.set().items().to_vec() }
            }
        };
        self.answer(answer);
    }

    /// The records were read after the pause, so what changed meanwhile is not in them.
    fn settle(
        &mut self,
        leaf: NodePath,
        wanted: &[ShortId],
        offered: &[(ShortId, ObjectName)],
        items: &[LeafItem],
    ) {
        let mut names: BTreeMap<ShortId, Option<ObjectName>> =
            wanted.iter().map(|id| (*id, None)).collect();
        let offered_names: BTreeMap<ShortId, &ObjectName> =
            offered.iter().map(|(id, name)| (*id, name)).collect();
        let mut arrived = BTreeSet::new();
        for item in items {
            let id = ItemId::of(self.salt, item.digest).into();
            if let Some(name) = names.get_mut(&id) {
                *name = Some(item.name.clone());
            }
            if offered_names.get(&id).is_some_and(|name| **name == item.name) {
                arrived.insert(id);
            }
        }
        let there = offered.iter().filter(|(id, _)| !arrived.contains(id));
        let records = differing(names.values().flatten(), there.map(|(_, name)| name));
        let gone = names.values().filter(|name| name.is_none()).count();
        self.outcome.settled += (gone + arrived.len()) as u64;
        let named = wanted.iter().map(|id| names.get(id).cloned().flatten()).collect();
        self.answer(Answer::Settled { leaf, named, arrived: arrived.into_iter().collect() });
        if !records.is_empty() {
            self.effects.push_back(Effect::Differ { leaf, records });
        }
    }

    fn unable(&mut self, leaf: NodePath, why: Unable) {
        self.outcome.unresolved += 1;
        self.answer(Answer::Unable { leaf, why });
    }

    fn answer(&mut self, answer: Answer) {
        self.outcome.traffic.count(answer.cost());
        self.effects.push_back(Effect::Send(answer));
    }

    fn end(&mut self, complete: bool) {
        self.is_done = true;
        self.leaves.clear();
        self.outcome.complete = complete && self.outcome.unresolved == 0;
        self.effects.push_back(Effect::Ended(self.outcome));
    }
}
