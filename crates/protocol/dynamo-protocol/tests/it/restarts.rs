//! What a process that ends and starts again keeps, and what it must not reuse.

use dynamo_messages::{Mutation, Reply, Request};

use crate::cluster::{Cluster, node};

#[test]
fn every_start_mints_under_a_new_actor() {
    let mut cluster = Cluster::new(3, 3);
    cluster.put(node(1), "k", "one", "");
    cluster.restart(node(1));
    cluster.put(node(1), "k", "two", "");
    let record = cluster.stored(node(2), "k");
    let dots: Vec<_> = record.dots().collect();
    assert_eq!(dots.len(), 2);
    assert_ne!(dots[0].actor, dots[1].actor);
}

#[test]
fn history_05_no_interval_reaches_over_a_version_that_the_coordinator_lost() {
    let mut cluster = Cluster::new(3, 3);
    let first = cluster.put(node(1), "k", "one", "");
    cluster.held_disks.insert(node(1));
    let blind = cluster.mutation("k", Some("two"), "");
    let client = cluster.ask(node(1), Request::Mutate(blind));
    assert!(matches!(cluster.answer(client), Some(Reply::Stored { .. })), "two others stored it");
    cluster.held_disks.clear();
    cluster.restart(node(1));
    cluster.put(node(1), "k", "three", &first);
    assert_eq!(cluster.get(node(2), "k").0, ["three", "two"]);
    assert_eq!(cluster.get(node(3), "k").0, ["three", "two"]);
}

/// The same, with the process killed before each of the effects of a put in turn.
#[test]
fn history_05_a_crash_between_any_two_effects_of_a_put_hides_no_version() {
    let mut sent = 0;
    for effects in 0.. {
        let mut cluster = Cluster::new(3, 3);
        let first = cluster.put(node(1), "k", "one", "");
        cluster.dies_after = Some((node(1), effects));
        let blind = cluster.mutation("k", Some("two"), "");
        let client = cluster.ask(node(1), Request::Mutate(blind));
        let is_whole = cluster.dies_after.take().is_some();
        let acknowledged = matches!(cluster.answer(client), Some(Reply::Stored { .. }));
        let kept = (1..=3).any(|at| cluster.stored(node(at), "k").siblings().len() == 2);
        assert!(kept || !acknowledged);
        sent += u32::from(kept && !is_whole);
        cluster.put(node(1), "k", "three", &first);
        let expected: &[&str] = if kept { &["three", "two"] } else { &["three"] };
        for at in 1..=3 {
            assert_eq!(cluster.get(node(at), "k").0, expected, "killed after {effects} effects");
        }
        if is_whole {
            break;
        }
    }
    assert!(sent >= 2, "no crash left a version behind");
}

#[test]
fn retries_are_remembered_over_a_restart() {
    let mut cluster = Cluster::new(3, 3);
    let first = cluster.mutation("k", Some("old"), "");
    cluster.request(node(1), Request::Mutate(first.clone()));
    let (_, context) = cluster.get(node(1), "k");
    cluster.put(node(1), "k", "new", &context);
    for at in 1..=3 {
        cluster.restart(node(at));
    }
    let retry = Mutation { retry: true, ..first };
    assert!(matches!(cluster.request(node(2), Request::Mutate(retry)), Reply::Stored { .. }));
    assert_eq!(cluster.get(node(3), "k").0, ["new"]);
}

#[test]
fn what_a_killed_process_left_is_synced_before_it_counts_as_a_copy() {
    let mut cluster = Cluster::new(3, 3);
    let first = cluster.mutation("k", Some("v"), "");
    cluster.request(node(1), Request::Mutate(first.clone()));
    cluster.restart(node(2));
    cluster.isolate(node(3));
    cluster.held_disks.insert(node(2));
    let retry = Mutation { retry: true, ..first };
    let client = cluster.ask(node(1), Request::Mutate(retry));
    cluster.pass(core::time::Duration::from_millis(150));
    assert_eq!(cluster.answer(client), None, "its row may be in no more than the system's memory");
    cluster.release_disks();
    assert!(matches!(cluster.answer(client), Some(Reply::Stored { .. })));
}
