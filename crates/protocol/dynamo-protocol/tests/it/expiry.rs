//! Values that expire: hidden by the view, removed by the stable cut alone (protocol rule 5).

use std::time::Duration;

use dynamo_messages::{Mutation, Options, Reply, Request};
use dynamo_protocol::Column;
use dynamo_types::{Bucket, BucketSettings, NodeId, Profile, Replication};

use crate::cluster::{Cluster, name, node};

const MINUTE: Duration = Duration::from_secs(60);

/// Five nodes whose bucket lets values expire after a minute; the replicas of "k", and the others.
fn cluster() -> (Cluster, Vec<NodeId>, Vec<NodeId>) {
    let mut cluster = Cluster::new(5, 3);
    let n = Replication::new(3).unwrap();
    let mut settings = BucketSettings::of_profile(Profile::BusinessLogic, n);
    settings.expiry = Some(MINUTE);
    let bucket = Bucket::new("carts").unwrap();
    let reply = cluster.request(node(1), Request::PutBucket { bucket, settings });
    assert!(matches!(reply, Reply::Bucket { .. }), "{reply:?}");
    cluster.pass(Duration::from_secs(2));
    // Every partition has a cut by then, and nothing in it.
    for number in 0..40 {
        cluster.put(node(1), format!("before{number}").leak(), "v", "");
    }
    cluster.pass(3 * MINUTE);
    assert_eq!(rows(&cluster), 0);
    let (replicas, others) = cluster.replicas_of("k");
    (cluster, replicas, others)
}

fn rows(cluster: &Cluster) -> usize {
    let kept = |at| {
        let objects = cluster.row_keys(node(at), Column::Objects).len();
        objects + cluster.row_keys(node(at), Column::Hints).len()
    };
    (1..=5).map(kept).sum()
}

#[test]
fn history_15_a_replica_an_hour_ahead_hides_early_and_removes_nothing_of_others() {
    let (mut cluster, replicas, _) = cluster();
    let [right, also_right, ahead] = replicas[..] else { panic!("three replicas") };
    cluster.wall_ahead.insert(ahead, Duration::from_secs(3600));
    cluster.put(right, "k", "v", "");
    assert!(cluster.get(ahead, "k").0.is_empty(), "its clock says that this is long over");
    cluster.pass(Duration::from_secs(15));
    let written = cluster.object_writes;
    cluster.pass(Duration::from_secs(40));
    assert_eq!(cluster.object_writes, written, "replicas that do not agree on the time are silent");
    assert!(!cluster.holds(ahead, "k"), "it has collected it");
    for at in [right, also_right] {
        assert!(cluster.holds(at, "k"), "{at} lost it to a clock that is wrong");
        // Whoever asks the one that is ahead as well is told that it is over.
        let options = Options { r: Some(1), ..Options::default() };
        let reply = cluster.request(at, Request::Get { name: name("k"), options });
        assert!(matches!(&reply, Reply::Object(object) if object.siblings.len() == 1), "{reply:?}");
    }
    // By everybody's clock it is over now: it goes, everywhere, and stays away.
    cluster.pass(2 * MINUTE);
    assert_eq!(rows(&cluster), 0);
    let before = (cluster.object_writes, cluster.comparisons);
    cluster.pass(MINUTE);
    assert_eq!((cluster.object_writes, cluster.comparisons), before);
}

#[test]
fn history_15_a_hint_that_comes_after_its_value_expired_brings_nothing_back() {
    let (mut cluster, replicas, others) = cluster();
    let away = replicas[2];
    cluster.isolate(away);
    cluster.cut_links.extend(others.iter().map(|other| (*other, away)));
    let all = Options { w: Some(3), ..Options::default() };
    let put = Mutation { options: all, ..cluster.mutation("k", Some("v"), "") };
    let client = cluster.ask(replicas[0], Request::Mutate(put));
    cluster.pass(Duration::from_secs(1));
    assert!(matches!(cluster.answer(client), Some(Reply::Stored { .. })));
    let hints = |cluster: &Cluster| -> usize {
        others.iter().map(|at| cluster.row_keys(*at, Column::Hints).len()).sum()
    };
    assert_eq!(hints(&cluster), 1);
    cluster.pass(2 * MINUTE);
    assert!(cluster.holds(replicas[0], "k"), "one member has not seen it: it is hidden, and kept");
    assert!(cluster.get(replicas[0], "k").0.is_empty());

    cluster.rejoin(away);
    cluster.pass(2 * MINUTE);
    assert!(replicas.iter().all(|at| !cluster.holds(*at, "k")), "all have seen it");
    assert_eq!(hints(&cluster), 1, "the hint is still on its way");
    let before = cluster.object_writes;
    cluster.cut_links.clear();
    cluster.pass(MINUTE);
    assert_eq!(rows(&cluster), 0);
    assert_eq!(cluster.object_writes, before, "nothing was stored again");
    assert!((1..=5).all(|at| cluster.get(node(at), "k").0.is_empty()));
}
