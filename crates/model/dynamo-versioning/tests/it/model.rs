//! Random histories of a small cluster, judged by a model that knows what each client really saw.
//!
//! [`script`] makes a history from a seed; [`cluster`] plays it: three to five members of one partition, two
//! fallbacks, two keys that share the partition's counters, messages that are late, doubled or
//! dropped, crashes between the effects of a put, damaged and silently lost records, exchanges and
//! collection. [`truth`] records for every write which writes its client had seen, by write number
//! and not by dot, and judges records and contexts by that.

pub(crate) mod cluster;
pub(crate) mod script;
pub(crate) mod truth;

use cluster::Cluster;
use script::Step;

/// Plays one history to its end and a full exchange.
pub(crate) fn play(members: usize, steps: &[Step]) -> Result<(), String> {
    let mut cluster = Cluster::new(members);
    for step in steps {
        cluster.play(step)?;
        cluster.check()?;
    }
    cluster.settle()
}

/// Plays the histories of these seeds; tells the first that fails, cut down to what it needs, and
/// how many were played.
pub(crate) fn first_failure(seeds: impl IntoIterator<Item = u64>) -> (Option<String>, usize) {
    let mut played = 0;
    for seed in seeds {
        played += 1;
        let (members, mut steps) = script::from_seed(seed);
        let Err(mut violation) = play(members, &steps) else { continue };
        let kind = kind_of(&violation);
        loop {
            let before = steps.len();
            // Last steps first: they are the likeliest to be of no use.
            for at in (0..before).rev() {
                let mut shorter = steps.clone();
                shorter.remove(at);
                if let Err(same) = play(members, &shorter)
                    && kind_of(&same) == kind
                {
                    (steps, violation) = (shorter, same);
                }
            }
            if steps.len() == before {
                break;
            }
        }
        let listing: String = steps.iter().map(|step| format!("  {step:?}\n")).collect();
        return (Some(format!("seed {seed}, {members} members: {violation}\n{listing}")), played);
    }
    (None, played)
}

/// A violation's words without its dots and numbers.
fn kind_of(violation: &str) -> String {
    let words = violation.split_whitespace().take(12);
    words.filter(|word| !word.contains(|c: char| c.is_ascii_digit())).collect()
}
