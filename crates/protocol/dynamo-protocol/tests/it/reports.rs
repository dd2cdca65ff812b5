//! Clock reports between members, and disks that are not what they were.

use std::time::Duration;

use crate::cluster::{Cluster, node};

/// Several times what it takes to checkpoint, to report and to collect.
const LONG: Duration = Duration::from_secs(60);

/// The second and third node report that they have a delete for good, the third late; in between an
/// older report of the second one arrives.
#[test]
pub(crate) fn a_report_that_was_overtaken_does_not_count() {
    let mut cluster = Cluster::new(3, 3);
    cluster.held_reports.extend([(node(2), node(1)), (node(3), node(1))]);
    let context = cluster.put(node(1), "k", "v", "");
    cluster.pass(LONG);
    let older = cluster.take_reports(node(2), node(1));
    cluster.release_reports(node(2), node(1));
    cluster.delete(node(1), "k", &context);
    cluster.pass(LONG);
    assert!(!cluster.stored(node(1), "k").is_empty(), "the third node has not reported");
    cluster.deliver(older);
    cluster.release_reports(node(3), node(1));
    cluster.pass(LONG);
    assert!(cluster.node(node(1)).counters().reports_overtaken > 0);
    for at in 1..=3 {
        assert!(cluster.stored(node(at), "k").is_empty(), "node {at} still keeps the delete");
    }
}

/// A value was deleted and the delete collected everywhere when a disk goes back to before that.
#[test]
pub(crate) fn history_11_a_disk_that_was_set_back_is_noticed_and_filled_again() {
    let mut cluster = Cluster::new(3, 3);
    let context = cluster.put(node(1), "gone", "old", "");
    cluster.pass(LONG);
    let image = cluster.image(node(3));
    cluster.delete(node(1), "gone", &context);
    cluster.put(node(1), "kept", "new", "");
    cluster.pass(LONG);
    assert!(cluster.stored(node(1), "gone").is_empty(), "it is collected");
    cluster.set_back(node(3), image);
    assert!(cluster.node(node(3)).counters().rollbacks_noticed > 0);
    cluster.pass(LONG);
    for at in 1..=3 {
        assert!(cluster.stored(node(at), "gone").is_empty(), "node {at} has it back");
        assert_eq!(cluster.stored(node(at), "kept").siblings().len(), 1);
    }
    assert_eq!(cluster.node(node(3)).incomplete_partitions(), 0);
}

/// A restart is no rollback, however often it happens.
#[test]
fn restarts_are_not_taken_for_rollbacks() {
    let mut cluster = Cluster::new(3, 3);
    let mut context = String::new();
    for _ in 0..3 {
        for at in 1..=3 {
            context = cluster.put(node(at), "k", "v", &context);
            cluster.pass(LONG);
            cluster.restart(node(at));
        }
    }
    cluster.pass(LONG);
    for at in 1..=3 {
        assert_eq!(cluster.node(node(at)).counters().rollbacks_noticed, 0);
    }
}

/// The delete is collected in the same turn in which a late copy of what it replaced arrives.
#[test]
fn a_late_copy_that_meets_the_collection_of_its_delete_is_refused() {
    let mut cluster = Cluster::new(3, 3);
    let context = cluster.put(node(1), "k", "v", "");
    let late = cluster.stored(node(2), "k");
    cluster.pass(LONG);
    // Nobody but the first node may collect, or it would hear of that.
    let links = [(3, 1), (3, 2), (2, 3), (1, 3)].map(|(from, to)| (node(from), node(to)));
    cluster.held_reports.extend(links);
    cluster.delete(node(1), "k", &context);
    cluster.pass(LONG);
    assert!(!cluster.stored(node(1), "k").is_empty(), "the third node has not reported");
    // The collection waits for its row, and the late copy behind it.
    cluster.held_loads.insert(node(1));
    cluster.release_reports(node(3), node(1));
    cluster.pass(LONG);
    cluster.write_late(node(2), node(1), "k", late);
    cluster.release_loads();
    cluster.pass(LONG);
    assert!(cluster.stored(node(1), "k").is_empty(), "and nothing is back");
    assert_eq!(cluster.counters(node(1)).versions_lost, 0);
    assert_eq!(cluster.counters(node(1)).partitions_incomplete, 0);
}
