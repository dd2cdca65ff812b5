//! Short words for histories that are written down, and what is demanded of them.
//!
//! The members are 0, 1 and 2, the fallbacks 0 and 1; the key is 0 unless there are two. What
//! became of a version is judged by the model, which also lets everything arrive at the end.

use crate::model::left_out::LeftOut;
use crate::model::script::Step::{DropAll, ExchangeEverywhere, Put, Read};
use crate::model::script::{Fate, History, Step, Write};
use crate::model::{Manner, play};

pub(crate) const KEY: usize = 0;
pub(crate) const OTHER_KEY: usize = 1;

/// A client that has seen nothing writes.
pub(crate) const BLIND: Write = Write {
    key: KEY,
    context: None,
    delete: false,
    expires_in: None,
    newest_wins: false,
    fate: Fate::Fine,
};
/// A client that was given the last context writes.
pub(crate) const NEXT: Write = Write { context: Some(0), ..BLIND };
pub(crate) const DELETE: Write = Write { delete: true, ..NEXT };

pub(crate) fn put(at: usize, write: Write) -> Step {
    Put { at, write }
}

/// A read from the members of a list.
pub(crate) fn read(members: &[usize]) -> Step {
    let members = members.iter().fold(0, |mask, member| mask | 1 << member);
    Read { key: KEY, members, fallbacks: 0, newest_wins: false, repair: false }
}

/// A version that all members have.
pub(crate) fn everywhere() -> Vec<Step> {
    vec![put(0, BLIND), ExchangeEverywhere, DropAll { to: 1 }, DropAll { to: 2 }]
}

pub(crate) fn script(parts: &[&[Step]]) -> History {
    History::calm(parts.concat())
}

/// All promises hold, and all that they rest on.
#[track_caller]
pub(crate) fn holds(history: &History) {
    assert_eq!(play(history, Manner::KEPT), Ok(()), "with all rules");
}

/// With the rule all holds; without it a promise is broken.
#[track_caller]
pub(crate) fn needs(rule: LeftOut, history: &History, violation: &str) {
    breaks(Manner::without(rule).by_promises(), history, violation);
}

/// With the rule all holds; without it what a promise rests on is broken.
#[track_caller]
pub(crate) fn rests_on(rule: LeftOut, history: &History, violation: &str) {
    breaks(Manner::without(rule), history, violation);
}

#[track_caller]
fn breaks(manner: Manner, history: &History, violation: &str) {
    holds(history);
    let found = play(history, manner).expect_err("nothing shows that it is left out");
    assert!(found.contains(violation), "{found}");
}
