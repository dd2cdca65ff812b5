//! Who had seen whom: the true order of writes, rebuilt from what clients had read.

use std::collections::BTreeMap;

use crate::history::{History, KeyIndex, WriteId};

/// The transitive closure of "was read before writing".
///
/// Writes have ancestors among the writes to their own key only, so each has bits for those alone:
/// memory grows by the square of the writes to a key, not of all.
#[derive(Debug, Clone, Default)]
pub struct Ancestry {
    /// Per write, its place among the writes to its key.
    places: Vec<(KeyIndex, usize)>,
    /// Per write, one bit for each ancestor, by its place.
    ancestors: Vec<Vec<u64>>,
}

impl Ancestry {
    /// Builds the closure. `hidden` names parents that no client can name, because a reply shows no
    /// tombstones: the deletes behind a context, and what a delete without context covered.
    #[must_use]
    pub fn new(history: &History, hidden: &BTreeMap<WriteId, Vec<WriteId>>) -> Self {
        let mut counts: BTreeMap<KeyIndex, usize> = BTreeMap::new();
        let mut places = Vec::with_capacity(history.writes.len());
        for write in &history.writes {
            let count = counts.entry(write.key).or_default();
            places.push((write.key, *count));
            *count += 1;
        }
        let words = |key: KeyIndex| counts.get(&key).map_or(0, |count| count.div_ceil(64));
        let mut ancestors: Vec<Vec<u64>> =
            history.writes.iter().map(|write| vec![0; words(write.key)]).collect();
        // Parents nearly always come earlier in the history, so that one pass is enough; a delete
        // without context may cover a write that began after it, so repeat until nothing changes.
        loop {
            let mut changed = false;
            for (id, write) in (0u32..).map(WriteId).zip(&history.writes) {
                let mut own = std::mem::take(&mut ancestors[id.index()]);
                let extra = hidden.get(&id).map_or(&[][..], Vec::as_slice);
                for parent in write.parents.iter().chain(extra).filter(|p| **p != id) {
                    let Some((key, place)) = places.get(parent.index()).copied() else { continue };
                    // What a client reads of a key was written to it, or `no_invention` objects.
                    if key != write.key {
                        continue;
                    }
                    changed |= set(&mut own, place);
                    for (word, theirs) in own.iter_mut().zip(&ancestors[parent.index()]) {
                        changed |= *word | theirs != *word;
                        *word |= theirs;
                    }
                }
                ancestors[id.index()] = own;
            }
            if !changed {
                return Self { places, ancestors };
            }
        }
    }

    /// Whether whoever wrote `later` had read `earlier`, directly or through others.
    #[must_use]
    pub fn descends(&self, later: WriteId, earlier: WriteId) -> bool {
        let (Some((key, _)), Some((of, place))) =
            (self.places.get(later.index()), self.places.get(earlier.index()))
        else {
            return false;
        };
        later != earlier && key == of && get(&self.ancestors[later.index()], *place)
    }

    /// Whether one of them is `write` or descends from it.
    pub fn any_covers(&self, among: impl IntoIterator<Item = WriteId>, write: WriteId) -> bool {
        among.into_iter().any(|other| other == write || self.descends(other, write))
    }
}

fn set(bits: &mut [u64], index: usize) -> bool {
    let (word, bit) = (index / 64, 1u64 << (index % 64));
    let new = bits[word] & bit == 0;
    bits[word] |= bit;
    new
}

fn get(bits: &[u64], index: usize) -> bool {
    bits.get(index / 64).is_some_and(|word| word & (1 << (index % 64)) != 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::invariants::examples::Example;

    #[test]
    fn descent_is_transitive_and_siblings_do_not_descend_from_each_other() {
        let mut example = Example::new();
        let a = example.acknowledged(&[]);
        let b = example.acknowledged(&[a]);
        let c = example.acknowledged(&[b]);
        let d = example.acknowledged(&[a]);
        let ancestry = Ancestry::new(&example.history, &BTreeMap::new());
        assert!(ancestry.descends(c, a));
        assert!(!ancestry.descends(a, c));
        assert!(!ancestry.descends(d, b) && !ancestry.descends(b, d));
        assert!(!ancestry.descends(a, a));
        assert!(ancestry.any_covers([d, c], b));
    }

    #[test]
    fn a_hidden_parent_may_come_later_in_the_history() {
        let mut example = Example::new();
        let delete = example.acknowledged(&[]);
        let value = example.acknowledged(&[]);
        let child = example.acknowledged(&[delete]);
        let hidden = BTreeMap::from([(delete, vec![value])]);
        let ancestry = Ancestry::new(&example.history, &hidden);
        assert!(ancestry.descends(child, value));
    }
}
