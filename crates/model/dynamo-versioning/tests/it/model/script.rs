//! What can happen, and histories of it from seeds.

use rand_core::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

pub(crate) const FALLBACKS: usize = 2;
/// The most members of a partition.
pub(crate) const MEMBERS_MAX: usize = 5;

/// How far a put gets before something breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Stored and sent.
    Fine,
    /// Sent; then the process dies before its store, and starts again.
    SentNotStored,
    /// Sent; the local store fails, and the process lives on.
    StoreFailed,
    /// Stored; then the process dies before it sent anything, and starts again.
    StoredNotSent,
    /// The process dies with nothing stored and nothing sent.
    Nothing,
    /// Given up with nothing stored and nothing sent; the process lives on.
    GivenUp,
}

/// What a client asks to write, and how that goes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Write {
    pub(crate) key: usize,
    /// One of the contexts ever given out for the key, counted from the last, or none.
    pub(crate) context: Option<usize>,
    pub(crate) delete: bool,
    /// Steps until it expires.
    pub(crate) expires_in: Option<u64>,
    pub(crate) newest_wins: bool,
    pub(crate) fate: Fate,
}

/// One step of a history. Numbers are taken modulo what there is, so that any step can be left out.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Step {
    /// A client reads a key from the members and fallbacks of these masks.
    Read {
        key: usize,
        members: usize,
        fallbacks: usize,
        newest_wins: bool,
        repair: bool,
    },
    /// A member answers a read that ends later.
    AnswerEarly {
        key: usize,
        member: usize,
    },
    /// A put or delete that a member coordinates.
    Put {
        at: usize,
        write: Write,
    },
    /// A put or delete that a fallback coordinates for a member.
    PutAtFallback {
        at: usize,
        intended: usize,
        write: Write,
    },
    /// A message arrives, perhaps to arrive again later; perhaps what comes of it cannot be stored.
    Deliver {
        message: usize,
        again: bool,
        fails: bool,
    },
    /// A message and the next one for the same record arrive in one turn.
    DeliverTwo {
        message: usize,
    },
    /// All messages to a member arrive, or they are lost.
    DeliverAll {
        to: usize,
    },
    DropAll {
        to: usize,
    },
    /// A message turns into a hint at a fallback.
    Divert {
        message: usize,
        fallback: usize,
        acknowledging: bool,
    },
    /// A message is lost.
    Drop {
        message: usize,
    },
    /// A fallback sends the members what it holds for them.
    OfferHints {
        fallback: usize,
    },
    /// A fallback hears what members made of its hints.
    HearOfHints {
        fallback: usize,
    },
    /// A fallback's hint space is full: it drops what it may.
    DropHints {
        fallback: usize,
    },
    /// Two members exchange everything at once.
    Exchange {
        a: usize,
        b: usize,
    },
    /// Two members open an exchange.
    OpenSession {
        a: usize,
        b: usize,
    },
    /// The two sides of an open exchange exchange one key.
    SessionKey {
        session: usize,
        key: usize,
    },
    /// An open exchange ends: completely if both sides went through all keys.
    EndSession {
        session: usize,
    },
    /// A member sends its record as state, piece by piece, each to arrive whenever.
    SendState {
        key: usize,
        from: usize,
        to: usize,
    },
    /// A member sends the first pieces of its record as state, then breaks off.
    SendSomePieces {
        key: usize,
        from: usize,
        to: usize,
        pieces: usize,
    },
    /// A disk syncs.
    Sync {
        node: usize,
    },
    /// A member checkpoints its clock.
    Checkpoint {
        at: usize,
    },
    /// A member tells another its durable clock.
    Report {
        from: usize,
        to: usize,
    },
    /// All members checkpoint and tell all their clocks, then one collects.
    ReportAndCollect {
        at: usize,
    },
    /// A member collects with what it was told.
    Collect {
        at: usize,
    },
    /// All members checkpoint, tell all their clocks, and collect.
    CollectEverywhere,
    /// All members exchange, two at a time.
    ExchangeEverywhere,
    /// All nodes say that they hold no hint of a process, if that is so.
    AskForHintsOf {
        process: usize,
    },
    /// A member closes numbers that were asked for, if it may.
    CloseNumbers {
        closing: usize,
        at: usize,
    },
    /// A process loses what its disk has not synced, and starts again.
    Crash {
        node: usize,
    },
    /// A member finds a record damaged.
    Damage {
        key: usize,
        at: usize,
    },
    /// A member loses one record or both and does not notice.
    LoseSilently {
        key: usize,
        both: bool,
        at: usize,
    },
    /// Images of all members' disks are put aside.
    BackUp,
    /// A member starts with the image of its disk that was put aside.
    Restore {
        at: usize,
    },
    /// An incomplete member exchanges with another.
    RecoverWith {
        at: usize,
        other: usize,
    },
    /// An incomplete member exchanges with all others.
    Recover {
        at: usize,
    },
}

/// A cluster and what happens to it.
#[derive(Debug, Clone)]
pub(crate) struct History {
    pub(crate) members: usize,
    /// Whether disks sync at steps of their own, not at once.
    pub(crate) lazy: bool,
    /// How far each node's wall clock is ahead: members first, then fallbacks.
    pub(crate) skews: [u64; MEMBERS_MAX + FALLBACKS],
    pub(crate) steps: Vec<Step>,
}

impl History {
    /// Three members with equal clocks and disks that sync at once.
    #[cfg(not(planted_bugs))]
    pub(crate) fn calm(steps: Vec<Step>) -> Self {
        Self { members: 3, lazy: false, skews: [0; MEMBERS_MAX + FALLBACKS], steps }
    }

    /// The history of a seed: three to five members, 10 to 80 steps. How often each kind of step
    /// comes is drawn anew for each history, and most kinds may be missing altogether: what hides
    /// behind one of them shows where that is left out.
    pub(crate) fn from_seed(seed: u64) -> Self {
        let mut dice = Dice(Xoshiro256PlusPlus::seed_from_u64(seed));
        let mood = Mood {
            members: [3, 3, 3, 4, 5][dice.below(5)],
            keys: 1 + usize::from(!dice.one_in(3)),
            deletes: 2 + dice.below(3),
            failing: dice.one_in(2),
            lazy: dice.one_in(3),
            expiry: dice.one_in(4),
        };
        let classes = [
            (Class::Always, true),
            (Class::Failing, mood.failing || mood.lazy),
            (Class::Lazy, mood.lazy),
            (Class::Hints, dice.one_in(2)),
            (Class::Collection, !dice.one_in(4)),
            (Class::Exchange, !dice.one_in(3)),
            (Class::Damage, dice.one_in(3)),
            (Class::SilentLoss, dice.one_in(5)),
            (Class::Rollback, dice.one_in(6)),
        ];
        let recovers = [Class::Damage, Class::SilentLoss, Class::Rollback];
        let happens = |class: Class| match class {
            Class::Recovery => recovers.into_iter().any(|c| classes.contains(&(c, true))),
            class => classes.contains(&(class, true)),
        };
        let weights: Vec<usize> = KINDS
            .iter()
            .map(|(class, weight, _)| {
                let often = [0, 1, 1, 3][dice.below(4)];
                match class {
                    Class::Always => weight * often.max(1),
                    class => weight * often * usize::from(happens(*class)),
                }
            })
            .collect();
        let mut skews = [60; MEMBERS_MAX + FALLBACKS];
        if mood.expiry && dice.one_in(2) {
            skews = skews.map(|_| [0, 60, 60, 120][dice.below(4)]);
        }
        let length = 10 + dice.below(61);
        let mut steps: Vec<Step> = (0..length).map(|_| dice.step(&weights, &mood)).collect();
        if dice.one_in(2) {
            let life = dice.life(&weights, &mood, happens);
            let at = dice.below(steps.len());
            steps.splice(at..at, life);
        }
        Self { members: mood.members, lazy: mood.lazy, skews, steps }
    }
}

/// What belongs together, and happens or does not in one history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    Always,
    Failing,
    Lazy,
    Hints,
    Collection,
    Exchange,
    Damage,
    SilentLoss,
    Rollback,
    /// Wherever there is something to recover from.
    Recovery,
}

/// What the steps of one history are drawn from.
struct Mood {
    members: usize,
    keys: usize,
    /// One put in so many is a delete.
    deletes: usize,
    /// Processes die, stores fail.
    failing: bool,
    lazy: bool,
    expiry: bool,
}

type Kind = (Class, usize, fn(&mut Dice, &Mood) -> Step);

/// The kinds of steps, each with how often it comes as a rule.
const KINDS: &[Kind] = &[
    (Class::Always, 26, |dice, mood| Step::Put { at: dice.member(mood), write: dice.write(mood) }),
    (Class::Always, 20, |dice, mood| Step::Deliver {
        message: dice.below(64),
        again: dice.one_in(4),
        fails: mood.failing && dice.one_in(6),
    }),
    (Class::Always, 10, Dice::read),
    (Class::Always, 3, |dice, _| Step::DeliverTwo { message: dice.below(64) }),
    (Class::Always, 3, |dice, _| Step::Drop { message: dice.below(64) }),
    (Class::Always, 2, |dice, mood| Step::DeliverAll { to: dice.member(mood) }),
    (Class::Exchange, 1, |dice, mood| Step::DropAll { to: dice.member(mood) }),
    (Class::Exchange, 3, |dice, mood| Step::AnswerEarly {
        key: dice.key(mood),
        member: dice.member(mood),
    }),
    (Class::Exchange, 6, |dice, mood| Step::Exchange {
        a: dice.member(mood),
        b: dice.member(mood),
    }),
    (Class::Exchange, 2, |_, _| Step::ExchangeEverywhere),
    (Class::Exchange, 3, |dice, mood| Step::SendState {
        key: dice.key(mood),
        from: dice.member(mood),
        to: dice.member(mood),
    }),
    (Class::Exchange, 3, |dice, mood| Step::SendSomePieces {
        key: dice.key(mood),
        from: dice.member(mood),
        to: dice.member(mood),
        pieces: 1 + dice.below(3),
    }),
    (Class::Exchange, 3, |dice, mood| Step::OpenSession {
        a: dice.member(mood),
        b: dice.member(mood),
    }),
    (Class::Exchange, 8, |dice, mood| Step::SessionKey {
        session: dice.below(2),
        key: dice.key(mood),
    }),
    (Class::Exchange, 3, |dice, _| Step::EndSession { session: dice.below(2) }),
    (Class::Hints, 8, |dice, mood| Step::PutAtFallback {
        at: dice.below(FALLBACKS),
        intended: dice.member(mood),
        write: dice.write(mood),
    }),
    (Class::Hints, 6, |dice, _| Step::Divert {
        message: dice.below(64),
        fallback: dice.below(FALLBACKS),
        acknowledging: !dice.one_in(3),
    }),
    (Class::Hints, 4, |dice, _| Step::OfferHints { fallback: dice.below(FALLBACKS) }),
    (Class::Hints, 5, |dice, _| Step::HearOfHints { fallback: dice.below(FALLBACKS) }),
    (Class::Hints, 1, |dice, _| Step::DropHints { fallback: dice.below(FALLBACKS) }),
    (Class::Lazy, 5, |dice, mood| Step::Sync { node: dice.node(mood) }),
    (Class::Failing, 4, |dice, mood| Step::Crash { node: dice.node(mood) }),
    (Class::Collection, 3, |dice, mood| Step::Checkpoint { at: dice.member(mood) }),
    (Class::Collection, 3, |dice, mood| Step::Report {
        from: dice.member(mood),
        to: dice.member(mood),
    }),
    (Class::Collection, 3, |dice, mood| Step::ReportAndCollect { at: dice.member(mood) }),
    (Class::Collection, 3, |dice, mood| Step::Collect { at: dice.member(mood) }),
    (Class::Collection, 3, |_, _| Step::CollectEverywhere),
    (Class::Collection, 2, |dice, _| Step::AskForHintsOf { process: dice.below(16) }),
    (Class::Collection, 3, |dice, mood| Step::CloseNumbers {
        closing: dice.below(16),
        at: dice.member(mood),
    }),
    (Class::Damage, 4, |dice, mood| Step::Damage { key: dice.key(mood), at: dice.member(mood) }),
    (Class::SilentLoss, 4, |dice, mood| Step::LoseSilently {
        key: dice.key(mood),
        both: dice.one_in(2),
        at: dice.member(mood),
    }),
    (Class::Rollback, 4, |_, _| Step::BackUp),
    (Class::Rollback, 3, |dice, mood| Step::Restore { at: dice.member(mood) }),
    (Class::Recovery, 4, |dice, mood| Step::RecoverWith {
        at: dice.member(mood),
        other: dice.member(mood),
    }),
    (Class::Recovery, 2, |dice, mood| Step::Recover { at: dice.member(mood) }),
];

struct Dice(Xoshiro256PlusPlus);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.0.next_u64() % bound as u64).expect("below a usize")
    }

    fn one_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    fn step(&mut self, weights: &[usize], mood: &Mood) -> Step {
        let mut at = self.below(weights.iter().sum());
        for (weight, (_, _, make)) in weights.iter().zip(KINDS) {
            match at.checked_sub(*weight) {
                None => return make(self, mood),
                Some(rest) => at = rest,
            }
        }
        unreachable!("the weights add up")
    }

    /// A version is written, spread, deleted and collected, while old copies of it are under way:
    /// the order in which random steps seldom come. Anything may happen between.
    fn life(
        &mut self,
        weights: &[usize],
        mood: &Mood,
        happens: impl Fn(Class) -> bool,
    ) -> Vec<Step> {
        let key = self.key(mood);
        let write =
            Write { key, context: None, delete: false, newest_wins: false, ..self.write(mood) };
        let mut life = vec![Step::Put { at: self.member(mood), write }];
        if happens(Class::Hints) {
            let (message, fallback) = (self.below(64), self.below(FALLBACKS));
            life.push(Step::Divert { message, fallback, acknowledging: true });
        }
        life.extend(self.spread(mood));
        let old_copies = [
            (Class::Exchange, Step::AnswerEarly { key, member: self.member(mood) }),
            (
                Class::Exchange,
                Step::SendState { key, from: self.member(mood), to: self.member(mood) },
            ),
            (Class::Exchange, Step::OpenSession { a: self.member(mood), b: self.member(mood) }),
            (Class::Rollback, Step::BackUp),
        ];
        life.extend(old_copies.into_iter().filter(|(class, _)| happens(*class)).map(|(_, s)| s));
        let delete = Write { context: Some(0), delete: true, expires_in: None, ..write };
        life.push(Step::Put { at: self.member(mood), write: delete });
        life.extend(self.spread(mood));
        life.push(Step::CollectEverywhere);
        let blows = [
            (Class::Damage, Step::Damage { key: self.key(mood), at: self.member(mood) }),
            (Class::Rollback, Step::Restore { at: self.member(mood) }),
            (Class::Failing, Step::Crash { node: self.member(mood) }),
        ];
        life.extend(blows.into_iter().filter(|(class, _)| happens(*class)).map(|(_, step)| step));
        for _ in 0..4 {
            life.push(Step::Deliver { message: self.below(64), again: false, fails: false });
        }
        life.push(self.read(mood));
        let whole = life.len();
        life.into_iter()
            .flat_map(|step| {
                let kept = (!self.one_in(whole)).then_some(step);
                let between = self.one_in(4).then(|| self.step(weights, mood));
                [kept, between].into_iter().flatten().collect::<Vec<_>>()
            })
            .collect()
    }

    /// What is new comes to all members, or to most.
    fn spread(&mut self, mood: &Mood) -> Vec<Step> {
        match self.below(3) {
            0 => vec![Step::ExchangeEverywhere],
            1 => (0..mood.members).map(|to| Step::DeliverAll { to }).collect(),
            _ => (1..mood.members)
                .map(|_| Step::Exchange { a: self.member(mood), b: self.member(mood) })
                .collect(),
        }
    }

    fn key(&mut self, mood: &Mood) -> usize {
        self.below(mood.keys)
    }

    fn member(&mut self, mood: &Mood) -> usize {
        self.below(mood.members)
    }

    fn node(&mut self, mood: &Mood) -> usize {
        self.below(mood.members + FALLBACKS)
    }

    fn read(&mut self, mood: &Mood) -> Step {
        Step::Read {
            key: self.key(mood),
            members: self.below(1 << mood.members),
            fallbacks: self.below(1 << FALLBACKS),
            newest_wins: self.one_in(6),
            repair: self.one_in(2),
        }
    }

    fn write(&mut self, mood: &Mood) -> Write {
        Write {
            key: self.key(mood),
            context: self.context(),
            delete: self.one_in(mood.deletes),
            expires_in: (mood.expiry && self.one_in(2)).then(|| self.below(40) as u64),
            newest_wins: self.one_in(8),
            fate: if mood.failing { self.fate() } else { Fate::Fine },
        }
    }

    /// Mostly a recent context, sometimes any old or foreign one, sometimes none.
    fn context(&mut self) -> Option<usize> {
        match self.below(8) {
            0..2 => None,
            2..6 => Some(self.below(3)),
            _ => Some(self.below(64)),
        }
    }

    fn fate(&mut self) -> Fate {
        match self.below(16) {
            0 => Fate::SentNotStored,
            1 => Fate::StoreFailed,
            2 => Fate::StoredNotSent,
            3 => Fate::Nothing,
            4 => Fate::GivenUp,
            _ => Fate::Fine,
        }
    }
}
