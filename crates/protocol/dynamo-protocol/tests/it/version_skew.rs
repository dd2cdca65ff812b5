//! Nodes of several releases and settings beside each other, as at a rolling upgrade.

use std::time::Duration;

use dynamo_types::NodeId;

use crate::cluster::{Cluster, node};

fn keys(from: usize, count: usize) -> Vec<&'static str> {
    (from..from + count).map(|number| -> &'static str { format!("k{number}").leak() }).collect()
}

/// Nothing but roots goes to and fro, and nothing is written.
fn assert_silent(cluster: &mut Cluster, when: &str) {
    let before = (cluster.comparisons, cluster.object_writes);
    cluster.pass(Duration::from_secs(120));
    assert_eq!((cluster.comparisons, cluster.object_writes), before, "{when}");
    for at in 1..=3 {
        let counters = cluster.counters(node(at));
        assert_eq!((counters.leaves_corrected, counters.partitions_incomplete), (0, 0), "{when}");
    }
}

/// One replica misses writes, and gets them once it is back.
fn heal(cluster: &mut Cluster, at: NodeId, from: usize) {
    cluster.isolate(at);
    let other = (1..=3).map(node).find(|other| *other != at).unwrap();
    for key in keys(from, 20) {
        cluster.put(other, key, "v", "");
    }
    cluster.rejoin(at);
    cluster.pass(Duration::from_secs(60));
    assert!(keys(from, 20).into_iter().all(|key| cluster.holds(at, key)), "{at} was not healed");
}

/// Trees of different depths say the same of the same records, whatever a restart makes of them.
#[test]
fn aae_version_skew() {
    let mut cluster = Cluster::new(3, 3);
    cluster.tree_depths = (1..=3).map(node).zip([0, 1, 2]).collect();
    (1..=3).for_each(|at| cluster.restart(node(at)));
    for key in keys(0, 20) {
        cluster.put(node(1), key, "v", "");
    }
    cluster.pass(Duration::from_secs(60));
    assert_silent(&mut cluster, "equal records in trees of other depths");
    for at in 1..=3 {
        heal(&mut cluster, node(at), usize::try_from(20 * at).unwrap());
    }
    assert_silent(&mut cluster, "after each was healed");
    // Node by node to a release whose trees are deeper, and one of them back again.
    for (at, depth) in [(1, 2), (2, 2), (3, 0), (3, 2)] {
        cluster.tree_depths.insert(node(at), depth);
        cluster.restart(node(at));
        cluster.pass(Duration::from_secs(60));
        assert_silent(&mut cluster, "after a restart with trees of another depth");
    }
    heal(&mut cluster, node(2), 100);
    assert_silent(&mut cluster, "after the upgrade");
}
