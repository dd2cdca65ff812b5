//! Steps that histories of moving partitions have in common.

use core::time::Duration;
use std::collections::BTreeSet;

use dynamo_checker::history::HostIndex;
use dynamo_messages::{Options, Reply};
use dynamo_simulator::script::Script;

/// Longer than connections take to time out, and to come back.
pub(crate) const SETTLED: Duration = Duration::from_secs(8);
/// Longer than checkpoints, their reports and a round of anti-entropy take.
pub(crate) const COLLECTED: Duration = Duration::from_secs(60);
/// How long the moves of a calm cluster may take.
pub(crate) const AT_REST: Duration = Duration::from_secs(90);

pub(crate) fn milliseconds(count: u64) -> Duration {
    Duration::from_millis(count)
}

pub(crate) fn stored(reply: &Reply) -> String {
    match reply {
        Reply::Stored { context, .. } => context.clone(),
        other => panic!("not stored: {other:?}"),
    }
}

pub(crate) fn committed(reply: &Reply) {
    assert!(matches!(reply, Reply::Plan(view) if view.committed), "not committed: {reply:?}");
}

/// What an answered get shows, in order; nothing if it failed.
pub(crate) fn shown(reply: &Reply) -> Option<Vec<String>> {
    let Reply::Object(object) = reply else { return None };
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("what was put is text");
    let mut values: Vec<String> = object.siblings.iter().map(|s| text(&s.value)).collect();
    values.sort_unstable();
    Some(values)
}

/// A quorum of two of the key's own replicas.
pub(crate) fn strict() -> Options {
    Options { r: Some(2), w: Some(2), strict: true, ..Options::default() }
}

/// One copy is enough, whoever keeps it.
pub(crate) fn one_copy() -> Options {
    Options { w: Some(1), ..Options::default() }
}

pub(crate) fn keys(prefix: &str, count: usize) -> Vec<String> {
    (0..count).map(|number| format!("{prefix}-{number}")).collect()
}

/// Keys of the same partition as the first.
pub(crate) fn keys_beside(script: &Script, key: &str, count: usize) -> Vec<String> {
    let partition = script.partition_of(key);
    let all = (0..).map(|number| format!("{key}-{number}"));
    all.filter(|other| script.partition_of(other) == partition).take(count).collect()
}

/// A value of its own for each key, of many lengths.
pub(crate) fn value_of(key: &str) -> String {
    let length = key.bytes().map(usize::from).sum::<usize>() % 300;
    format!("{key} holds \u{fc}mlaut {}", "x".repeat(length))
}

/// Puts a value of its own under each key, at one node after the other.
pub(crate) fn put_all(script: &mut Script, hosts: &[HostIndex], keys: &[String]) {
    for (key, at) in keys.iter().zip(hosts.iter().cycle()) {
        stored(&script.put(*at, key, &value_of(key), &[]));
    }
}

/// Every key shows its value, and nothing else, at every node.
pub(crate) fn all_are_there(script: &mut Script, keys: &[String]) {
    for at in script.serving() {
        for key in keys {
            assert_eq!(script.read(at, key).values, [value_of(key)], "{key} at {at}");
        }
    }
}

/// Every key's row is on the disks of its replicas, as all nodes know them, and on no other one.
pub(crate) fn rows_are_where_they_belong(script: &Script, keys: &[String]) {
    for key in keys {
        let holders: BTreeSet<HostIndex> = script.holders(key).into_iter().collect();
        for by in script.serving() {
            let set = script.replica_set(by, script.partition_of(key));
            assert_eq!(holders, set.into_iter().collect(), "{key}, as {by} knows its replicas");
        }
    }
}

/// The stage of every move that some node knows of.
pub(crate) fn stages(script: &Script, at: HostIndex) -> BTreeSet<String> {
    let partitions = script.partitions().into_iter();
    partitions.filter_map(|id| Some(format!("{:?}", script.register(at, id).stage()?))).collect()
}

/// One key's writes, each over the context of the last that was acknowledged.
#[derive(Debug)]
struct Chain {
    key: String,
    last: String,
    context: String,
    /// Writes of which nobody knows whether they took effect.
    unknown: Vec<String>,
}

/// Writers that never read.
#[derive(Debug)]
pub(crate) struct Chains {
    chains: Vec<Chain>,
    puts: usize,
    pub(crate) acknowledged: usize,
    options: Options,
}

impl Chains {
    pub(crate) fn begin(
        script: &mut Script,
        at: HostIndex,
        keys: &[String],
        options: Options,
    ) -> Self {
        let begin = |key: &String| {
            let last = format!("{key} begins");
            let context = stored(&script.mutate(at, key, Some(&last), &[], options));
            Chain { key: key.clone(), last, context, unknown: Vec::new() }
        };
        Self { chains: keys.iter().map(begin).collect(), puts: 0, acknowledged: 0, options }
    }

    /// The next put of the next key.
    pub(crate) fn put(&mut self, script: &mut Script, at: HostIndex) -> Reply {
        let count = self.chains.len();
        let chain = &mut self.chains[self.puts % count];
        self.puts += 1;
        let value = format!("{} is {} at {at}", chain.key, self.puts);
        let contexts = [chain.context.as_str()];
        let reply = script.mutate(at, &chain.key, Some(&value), &contexts, self.options);
        match &reply {
            Reply::Stored { context, .. } => {
                self.acknowledged += 1;
                chain.context.clone_from(context);
                chain.last = value;
            }
            Reply::Failed(_) => chain.unknown.push(value),
            other => panic!("{at} answers a put with {other:?}"),
        }
        reply
    }

    /// Puts at one node that serves after the other for so long.
    pub(crate) fn put_for(&mut self, script: &mut Script, time: Duration) {
        let until = script.elapsed() + time;
        while script.elapsed() < until {
            let serving = script.serving();
            self.put(script, serving[self.puts % serving.len()]);
        }
    }

    /// The key of the last put, and what it shows if that one is there.
    pub(crate) fn last(&self) -> (String, String) {
        let chain = &self.chains[(self.puts - 1) % self.chains.len()];
        (chain.key.clone(), chain.last.clone())
    }

    /// What a get shows has the key's last acknowledged write, and beside it nothing but what may be.
    pub(crate) fn judge(&self, key: &str, values: &[String]) {
        let chain = self.chains.iter().find(|chain| chain.key == key).expect("a key of these");
        assert!(values.contains(&chain.last), "{key}: {} is missing in {values:?}", chain.last);
        for value in values.iter().filter(|value| **value != chain.last) {
            assert!(chain.unknown.contains(value), "{key}: {value} is back beside {}", chain.last);
        }
    }

    /// Every node shows every key's last acknowledged write.
    pub(crate) fn all_are_there(&self, script: &mut Script) {
        for at in script.serving() {
            for chain in &self.chains {
                let values = script.read(at, &chain.key).values;
                self.judge(&chain.key, &values);
            }
        }
    }
}
