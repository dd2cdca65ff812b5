//! The side that answers.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;

use bytes::Bytes;
use dynamo_merkle::iblt::{Encoder, ItemId, SYMBOLS_MAX, Salt};
use dynamo_merkle::{NodePath, Sum};
use dynamo_messages::repair::{Answer, LeafTotals, Opening, Question, SessionId, ShortId, Unable};
use dynamo_types::ObjectName;

use super::event::LeafItem;
use super::finding::{
    Effect, Event, FindingConfig, LEAF_ITEMS_MAX, NameKey, Outcome, ScannedLeaf, Snapshot,
    differing,
};
use super::leaf_solver::{is_list_shorter, low_half};

/// Items that the initiator wants and has not settled yet, 12 bytes each: what honest initiators
/// keep, and a leaf more.
const WANTED_MAX: usize = (1 << 17) + LEAF_ITEMS_MAX;

/// The machine that answers: create it when a session is opened, carry out every effect from
/// [`poll_effect`](Self::poll_effect) until there is none, pass in questions and leaves with
/// [`handle`](Self::handle), and drop it after its last effect.
#[derive(Debug)]
pub struct Responder {
    config: FindingConfig,
    salt: Salt,
    mine: Snapshot,
    /// Where the compared leaves are.
    depth: u8,
    /// At most twice `leaves_at_once`, and none more while there is no room.
    leaves: BTreeMap<NodePath, Leaf>,
    has_room: bool,
    /// Leaves that are solved and not settled; as many as have differing sums.
    solved: BTreeMap<NodePath, Solved>,
    /// The items in `solved`; at most `WANTED_MAX`.
    wanted: usize,
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
    Encoding { encoder: Encoder, names: Vec<NameKey>, scanned: Sum },
    /// Its records are read to settle what differs.
    Settling(Settling),
}

#[derive(Debug, Clone, Copy)]
enum Wanted {
    SymbolsUntil(u32),
    List,
}

/// What the initiator wanted of a leaf when it was solved.
#[derive(Debug, Default)]
struct Solved {
    /// Under which name each item was, in the initiator's order.
    names: Vec<NameKey>,
    /// About how many items of the leaf it asked since.
    settled: u32,
}

#[derive(Debug)]
struct Settling {
    from: u32,
    wanted: Vec<NameKey>,
    offered: Vec<(ItemId, ObjectName)>,
}

impl Responder {
    /// A session was opened.
    #[must_use]
    pub fn new(
        config: FindingConfig,
        session: SessionId,
        mine: Snapshot,
        opening: Opening,
    ) -> Self {
        let depth = mine.tree.depth().min(opening.depth);
        let mut responder = Self {
            config,
            salt: Salt(session.0),
            depth,
            leaves: BTreeMap::new(),
            has_room: true,
            solved: BTreeMap::new(),
            wanted: 0,
            outcome: Outcome::default(),
            is_done: false,
            effects: VecDeque::new(),
            mine,
        };
        let ours = responder.mine.clock.clone();
        let known = responder.mine.known.clone();
        if responder.mine.tree.root() == opening.root {
            responder.answer(Answer::Agreed { clock: ours, known });
            responder.outcome.complete = true;
            responder.is_done = true;
            responder.effects.push_back(Effect::Agreed { clock: opening.clock.clone() });
        } else {
            let below = responder.mine.tree.children(NodePath::ROOT).filter(|_| depth > 0);
            responder.answer(Answer::Opened {
                depth: responder.mine.tree.depth(),
                clock: ours,
                known,
                sums: below.map(Box::new),
            });
            responder.effects.push_back(Effect::Opened { clock: opening.clock.clone() });
        }
        responder.outcome.traffic.count(Question::Open(opening).cost());
        responder
    }

    /// Something happened.
    pub fn handle(&mut self, event: Event<Question>) {
        if self.is_done {
            return;
        }
        match event {
            Event::Received(question) => {
                self.outcome.traffic.count(question.cost());
                self.handle_question(question);
            }
            Event::Leaf { leaf, items } => self.handle_leaf(leaf, &items),
            Event::LeafUnreadable { leaf } => {
                if matches!(self.leaves.get(&leaf), Some(Leaf::Reading(_) | Leaf::Settling(_))) {
                    self.unable(leaf, Unable::Unreadable);
                }
            }
        }
    }

    /// Whether there is room for one leaf more than this responder has under way.
    pub fn set_room(&mut self, has_room: bool) {
        self.has_room = has_room;
    }

    /// Leaves read or encoded now.
    #[must_use]
    pub fn leaves_held(&self) -> usize {
        self.leaves.len()
    }

    /// What shall be done next.
    pub fn poll_effect(&mut self) -> Option<Effect<Answer>> {
        self.effects.pop_front()
    }

    /// How it went so far.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        self.outcome
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
            Question::Solved { leaf, wanted } => self.handle_solved(leaf, &wanted),
            Question::Agrees { leaf } => {
                if let Some(Leaf::Encoding { scanned, .. }) = self.leaves.get(&leaf) {
                    self.outcome.leaves += 1;
                    let scanned = *scanned;
                    self.leaves.remove(&leaf);
                    self.effects.push_back(Effect::LeafAgrees { leaf, scanned });
                }
            }
            Question::Leave { leaf } => self.forget(leaf),
            Question::Settle { leaf, from, wanted, offered, last } => {
                self.handle_settle(leaf, from, &wanted, offered, last);
            }
            Question::Close => {
                self.is_done = true;
                self.leaves.clear();
                self.solved.clear();
                self.outcome.complete = self.outcome.unresolved == 0;
                self.effects.push_back(Effect::Ended(self.outcome));
            }
        }
    }

    fn answer_sums(&mut self, nodes: &[NodePath]) {
        // A node that has no children here was never differing: no honest question names it.
        let below = nodes.iter().filter(|node| node.depth() < self.depth);
        let sums =
            below.filter_map(|node| Some((*node, self.mine.tree.children(*node)?))).collect();
        self.answer(Answer::Sums { sums });
    }

    fn handle_wanted(&mut self, leaf: NodePath, wanted: Wanted) {
        match self.leaves.get(&leaf) {
            Some(Leaf::Encoding { .. }) => self.answer_wanted(leaf, wanted),
            // A leaf that is being read is not read twice.
            Some(Leaf::Reading(_)) => {
                self.leaves.insert(leaf, Leaf::Reading(wanted));
            }
            Some(Leaf::Settling(_)) => {}
            None => self.read(leaf, Leaf::Reading(wanted)),
        }
    }

    fn handle_solved(&mut self, leaf: NodePath, wanted: &[ShortId]) {
        let (encoder, names) = match self.leaves.remove(&leaf) {
            Some(Leaf::Encoding { encoder, names, .. }) => (encoder, names),
            Some(other) => {
                self.leaves.insert(leaf, other);
                return; // doubled
            }
            None => return,
        };
        self.outcome.leaves += 1;
        self.outcome.found += wanted.len() as u64;
        if self.wanted + wanted.len() > WANTED_MAX {
            return self.unable(leaf, Unable::Busy);
        }
        let mut by_item: BTreeMap<ShortId, Option<NameKey>> =
            wanted.iter().map(|item| (*item, None)).collect();
        for (item, name) in encoder.set().items().iter().zip(names) {
            if let Some(found) = by_item.get_mut(&ShortId::from(*item))
                && found.replace(name).is_some()
            {
                // Two items here look like the one that is wanted.
                return self.unable(leaf, Unable::Duplicates);
            }
        }
        let names: Option<Vec<NameKey>> =
            wanted.iter().map(|item| by_item.get(item).copied().flatten()).collect();
        // An item that was never here is in no honest question.
        let Some(names) = names else { return self.unable(leaf, Unable::NoLeaf) };
        self.wanted += names.len();
        self.solved.insert(leaf, Solved { names, settled: 0 });
    }

    fn handle_settle(
        &mut self,
        leaf: NodePath,
        from: u32,
        wanted: &[bool],
        offered: Vec<(ItemId, ObjectName)>,
        last: bool,
    ) {
        if self.leaves.contains_key(&leaf) {
            return; // doubled, or asked too early
        }
        let Some(solved) = self.solved.get_mut(&leaf) else {
            return self.unable(leaf, Unable::NoLeaf);
        };
        if solved.settled != from {
            return; // doubled
        }
        let first = (from as usize).min(solved.names.len());
        let Some(names) = solved.names[first..].get(..wanted.len()) else {
            return self.unable(leaf, Unable::NoLeaf);
        };
        let wanted_names =
            names.iter().zip(wanted).filter(|(_, wanted)| **wanted).map(|(name, _)| *name);
        let settling = Settling { from, wanted: wanted_names.collect(), offered };
        let count = wanted.len() + settling.offered.len();
        solved.settled = from.saturating_add(u32::try_from(count).unwrap_or(u32::MAX));
        if last {
            self.forget_solved(leaf);
        }
        self.outcome.found += settling.offered.len() as u64;
        self.read(leaf, Leaf::Settling(settling));
    }

    /// Has the records of a leaf read, if there is room.
    fn read(&mut self, leaf: NodePath, purpose: Leaf) {
        if leaf.depth() != self.depth {
            self.unable(leaf, Unable::NoLeaf);
        } else if !self.has_room || self.leaves.len() >= self.config.leaves_at_once * 2 {
            self.unable(leaf, Unable::Busy);
        } else {
            self.leaves.insert(leaf, purpose);
            self.effects.push_back(Effect::NeedLeaf { leaf });
        }
    }

    fn handle_leaf(&mut self, leaf: NodePath, items: &[LeafItem]) {
        match self.leaves.remove(&leaf) {
            Some(Leaf::Reading(wanted)) => match ScannedLeaf::of(self.salt, items) {
                Ok(ScannedLeaf { set, names, sum: scanned }) => {
                    let encoder = Encoder::new(set);
                    self.leaves.insert(leaf, Leaf::Encoding { encoder, names, scanned });
                    self.answer_wanted(leaf, wanted);
                }
                Err(why) => self.unable(leaf, why),
            },
            Some(Leaf::Settling(settling)) => self.settle(leaf, &settling, items),
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
                let made = encoder.made();
                if until <= made {
                    return; // doubled
                }
                let totals =
                    (made == 0).then(|| LeafTotals { items, sum: low_half(encoder.set().sum()) });
                let mut symbols = Vec::new();
                for (number, symbol) in (made..).zip(encoder.batch(until - made)) {
                    symbol.write(number, items, &mut symbols);
                }
                Answer::Symbols { leaf, totals, symbols: Bytes::from(symbols) }
            }
            Wanted::SymbolsUntil(_) | Wanted::List => {
                self.outcome.lists += 1;
                Answer::List { leaf, items: encoder.set().items().to_vec() }
            }
        };
        self.answer(answer);
    }

    /// The records were read after the pause. Only what is the very same on both sides now is
    /// settled; all else is exchanged under its name, whatever has become of it.
    fn settle(&mut self, leaf: NodePath, settling: &Settling, items: &[LeafItem]) {
        let mut names: BTreeMap<NameKey, Option<ObjectName>> =
            settling.wanted.iter().map(|name| (*name, None)).collect();
        let offered: BTreeSet<(&ObjectName, ItemId)> =
            settling.offered.iter().map(|(id, name)| (name, *id)).collect();
        let mut arrived: BTreeSet<&ObjectName> = BTreeSet::new();
        for item in items {
            let id = ItemId::of(self.salt, item.digest);
            if let Some((name, _)) = offered.get(&(&item.name, id)) {
                arrived.insert(name);
            } else if let Some(name) = names.get_mut(&NameKey::at(item.position)) {
                *name = Some(item.name.clone());
            }
        }
        let there = settling.offered.iter().map(|(_, name)| name);
        let still_there = there.filter(|name| !arrived.contains(name));
        let records = differing(names.values().flatten(), still_there);
        let named: Vec<Option<ObjectName>> =
            settling.wanted.iter().map(|name| names.get(name).cloned().flatten()).collect();
        let gone = named.iter().filter(|name| name.is_none()).count();
        self.outcome.settled += (gone + arrived.len()) as u64;
        let arrived = settling.offered.iter().map(|(_, name)| arrived.contains(name)).collect();
        self.answer(Answer::Settled { leaf, from: settling.from, named, arrived });
        if !records.is_empty() {
            self.effects.push_back(Effect::Differ { leaf, records });
        }
    }

    fn unable(&mut self, leaf: NodePath, why: Unable) {
        self.forget(leaf);
        self.outcome.unresolved += 1;
        self.answer(Answer::Unable { leaf, why });
    }

    fn forget(&mut self, leaf: NodePath) {
        self.leaves.remove(&leaf);
        self.forget_solved(leaf);
    }

    fn forget_solved(&mut self, leaf: NodePath) {
        let names = self.solved.remove(&leaf).map_or(0, |solved| solved.names.len());
        self.wanted -= names;
    }

    fn answer(&mut self, answer: Answer) {
        self.outcome.traffic.count(answer.cost());
        self.effects.push_back(Effect::Send(answer));
    }
}
