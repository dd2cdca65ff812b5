//! What can happen, and histories of it from seeds.

use rand_core::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

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
}

/// One step of a history. Numbers are taken modulo what there is, so that any step can be left out.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Step {
    /// A client reads a key from the members of a mask.
    Read { key: usize, members: usize },
    /// A put or delete with one of the contexts ever given out for the key, or none.
    Put {
        key: usize,
        at: usize,
        context: Option<usize>,
        delete: bool,
        newest_wins: bool,
        fate: Fate,
    },
    /// A put or delete that a fallback coordinates for a member.
    PutAtFallback { key: usize, at: usize, context: Option<usize>, delete: bool, intended: usize },
    /// A message arrives, perhaps to arrive again later.
    Deliver { message: usize, again: bool },
    /// A message turns into a hint at a fallback.
    Divert { message: usize, fallback: usize },
    /// A message is lost.
    Drop { message: usize },
    /// A fallback hands over what it holds.
    DeliverHints { fallback: usize },
    /// Two members exchange everything.
    Exchange { a: usize, b: usize },
    /// A member sends its record as state, piece by piece, each to arrive whenever.
    SendState { key: usize, from: usize, to: usize },
    /// A member sends the first pieces of its record as state, then breaks off.
    SendSomePieces { key: usize, from: usize, to: usize, pieces: usize },
    /// A member tells another its durable clock.
    Report { from: usize, to: usize },
    /// All members tell all their clocks, then one collects.
    ReportAndCollect { at: usize },
    /// A member collects with what it was told.
    Collect { at: usize },
    /// A process ends and starts again.
    Restart { node: usize },
    /// A member finds a record damaged.
    Damage { key: usize, at: usize },
    /// A member loses a record and does not notice.
    LoseSilently { key: usize, at: usize },
    /// An incomplete member exchanges with all others.
    Recover { at: usize },
}

/// The history of a seed: three to five members, 10 to 70 steps, and one mood, so that some
/// histories are calm and deep.
pub(crate) fn from_seed(seed: u64) -> (usize, Vec<Step>) {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
    let members = [3, 3, 3, 4, 5][below(&mut rng, 5)];
    let length = 10 + below(&mut rng, 61);
    let faulty = below(&mut rng, 3) > 0;
    (members, (0..length).map(|_| step(&mut rng, members, faulty)).collect())
}

fn step(rng: &mut Xoshiro256PlusPlus, members: usize, faulty: bool) -> Step {
    let key = below(rng, 2);
    let (at, to) = (below(rng, members), below(rng, members));
    match below(rng, if faulty { 100 } else { 92 }) {
        0..14 => Step::Read { key, members: 1 + below(rng, (1 << members) - 1) },
        14..40 => Step::Put {
            key,
            at,
            context: context(rng),
            delete: below(rng, 4) == 0,
            newest_wins: below(rng, 8) == 0,
            fate: if faulty { fate(rng) } else { Fate::Fine },
        },
        40..44 => Step::PutAtFallback {
            key,
            at: below(rng, 2),
            context: context(rng),
            delete: below(rng, 4) == 0,
            intended: to,
        },
        44..66 => Step::Deliver { message: below(rng, 64), again: below(rng, 4) == 0 },
        66..68 => Step::Divert { message: below(rng, 64), fallback: below(rng, 2) },
        68..70 => Step::Drop { message: below(rng, 64) },
        70..73 => Step::DeliverHints { fallback: below(rng, 2) },
        73..79 => Step::Exchange { a: at, b: to },
        79..81 => Step::SendState { key, from: at, to },
        81..83 => Step::SendSomePieces { key, from: at, to, pieces: 1 + below(rng, 3) },
        83..85 => Step::Report { from: at, to },
        85..89 => Step::ReportAndCollect { at },
        89..92 => Step::Collect { at },
        92..94 => Step::Restart { node: below(rng, members + 2) },
        94..96 => Step::Damage { key, at },
        96..98 => Step::LoseSilently { key, at },
        _ => Step::Recover { at },
    }
}

/// Mostly a recent context, sometimes any old or foreign one, sometimes none.
fn context(rng: &mut Xoshiro256PlusPlus) -> Option<usize> {
    match below(rng, 8) {
        0..2 => None,
        2..6 => Some(below(rng, 3)),
        _ => Some(below(rng, 64)),
    }
}

fn fate(rng: &mut Xoshiro256PlusPlus) -> Fate {
    match below(rng, 12) {
        0 => Fate::SentNotStored,
        1 => Fate::StoreFailed,
        2 => Fate::StoredNotSent,
        3 => Fate::Nothing,
        _ => Fate::Fine,
    }
}

fn below(rng: &mut Xoshiro256PlusPlus, bound: usize) -> usize {
    usize::try_from(rng.next_u64() % bound as u64).expect("below a usize")
}
