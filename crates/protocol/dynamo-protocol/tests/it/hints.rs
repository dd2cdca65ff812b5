//! Hints over restarts, without room, and beside rows that cannot be read (Paper §4.6).

use std::time::Duration;

use dynamo_messages::{Failure, Mutation, Options, Reply, Request};
use dynamo_protocol::Column;
use dynamo_types::NodeId;

use crate::cluster::{Cluster, node};

/// Some 300 bytes.
const VALUE: &str = "milk bread butter salt rice beans milk bread butter salt rice beans milk bread \
                     butter salt rice beans milk bread butter salt rice beans milk bread butter salt \
                     rice beans milk bread butter salt rice beans milk bread butter salt rice beans \
                     milk bread butter salt rice beans milk bread butter salt rice beans milk bread.";

/// Keys with the same replicas, those replicas, and the nodes that are none of them.
fn keys_of_one_set(
    cluster: &Cluster,
    count: usize,
) -> (Vec<&'static str>, Vec<NodeId>, Vec<NodeId>) {
    let (replicas, others) = cluster.replicas_of("k0");
    let names = (0..).map(|number| -> &'static str { format!("k{number}").leak() });
    let of_set = names.filter(|key| cluster.replicas_of(key).0 == replicas);
    (of_set.take(count).collect(), replicas, others)
}

fn put(cluster: &mut Cluster, at: NodeId, key: &'static str, w: u8) -> Reply {
    let options = Options { w: Some(w), ..Options::default() };
    let put = Mutation { options, ..cluster.mutation(key, Some(VALUE), "") };
    let client = cluster.ask(at, Request::Mutate(put));
    cluster.pass(Duration::from_secs(3));
    cluster.answer(client).expect("every request is answered").clone()
}

fn hints(cluster: &Cluster, at: NodeId) -> u64 {
    cluster.node(at).hints().map(|(_, count)| count.rows).sum()
}

/// For whom a node's hint rows are.
fn targets(cluster: &Cluster, at: NodeId) -> Vec<NodeId> {
    let rows = cluster.row_keys(at, Column::Hints);
    rows.iter().map(|row| dynamo_protocol::rows::parse_hint_key(row).unwrap().0).collect()
}

#[test]
fn fallback_data_after_restart() {
    let mut cluster = Cluster::new(5, 3);
    let (replicas, fallbacks) = cluster.replicas_of("k");
    replicas.iter().for_each(|replica| cluster.isolate(*replica));
    // Nobody but the two fallbacks has the value.
    assert!(matches!(put(&mut cluster, fallbacks[0], "k", 2), Reply::Stored { .. }));
    for at in &fallbacks {
        assert_eq!(hints(&cluster, *at), 1, "at {at}");
        cluster.restart(*at);
        assert_eq!(hints(&cluster, *at), 1, "a restart neither loses a hint nor makes one");
    }
    // A replica that comes back is told, though its fallback has never heard of the put.
    for fallback in &fallbacks {
        let target = targets(&cluster, *fallback)[0];
        cluster.rejoin(target);
        assert!(cluster.holds(target, "k"), "{fallback} has handed nothing to {target}");
        assert_eq!((hints(&cluster, *fallback), cluster.node(*fallback).hint_bytes()), (0, 0));
    }
}

#[test]
fn hint_store_full() {
    let mut cluster = Cluster::new(5, 3);
    cluster.hint_bytes_max = 4 << 10;
    (1..=5).for_each(|number| cluster.restart(node(number)));
    let (keys, replicas, fallbacks) = keys_of_one_set(&cluster, 40);
    replicas.iter().for_each(|replica| cluster.isolate(*replica));

    let (mut kept, mut refused) = (Vec::new(), None);
    for key in keys {
        match put(&mut cluster, fallbacks[0], key, 2) {
            Reply::Stored { .. } => kept.push(key),
            Reply::Failed(Failure::StorageFull) => {
                refused = Some(key);
                break;
            }
            other => panic!("{key}: {other:?}"),
        }
    }
    let refused = refused.expect("4 KiB are soon full");
    assert!(kept.len() > 2, "{kept:?}");
    for at in &fallbacks {
        assert!(cluster.node(*at).hint_bytes() <= 4 << 10, "at {at}");
        assert!(cluster.node(*at).is_idle(), "{at} waits for room that does not come");
    }

    // What is kept is read, and what needs no hint goes on.
    for key in &kept {
        assert_eq!(cluster.get(fallbacks[1], key).0, [VALUE]);
    }
    let mut names = (0..).map(|number| -> &'static str { format!("own{number}").leak() });
    let own = names.find(|key| cluster.replicas_of(key).0.contains(&fallbacks[0]));
    let own = own.expect("some partition is its own");
    assert!(matches!(put(&mut cluster, fallbacks[0], own, 1), Reply::Stored { .. }));
    assert!(cluster.holds(fallbacks[0], own));

    // The targets take their hints while the fallbacks' disks are full as well: nothing can be
    // removed, and is once there is room.
    cluster.full_disks.extend(fallbacks.iter().copied());
    replicas.iter().for_each(|replica| cluster.rejoin(*replica));
    cluster.pass(Duration::from_secs(5));
    for key in &kept {
        let copies = replicas.iter().filter(|at| cluster.holds(**at, key)).count();
        assert!(copies >= 2, "{key} reached {copies}");
    }
    assert!(fallbacks.iter().all(|at| hints(&cluster, *at) > 0), "there is no room to remove one");
    cluster.full_disks.clear();
    cluster.pass(Duration::from_secs(5));
    for at in &fallbacks {
        assert_eq!((hints(&cluster, *at), cluster.node(*at).hint_bytes()), (0, 0), "at {at}");
    }
    assert!((1..=5).all(|number| !cluster.holds(node(number), refused)), "it was not applied");
    assert!(matches!(put(&mut cluster, fallbacks[0], refused, 3), Reply::Stored { .. }));
}

#[test]
fn handoff_hits_unreadable_object() {
    let mut cluster = Cluster::new(5, 3);
    let (keys, replicas, fallbacks) = keys_of_one_set(&cluster, 12);
    replicas.iter().for_each(|replica| cluster.isolate(*replica));
    for key in &keys {
        assert!(matches!(put(&mut cluster, fallbacks[0], key, 2), Reply::Stored { .. }));
    }
    let sender = fallbacks[0];
    let rows = cluster.row_keys(sender, Column::Hints);
    assert_eq!(rows.len(), keys.len());
    let unreadable = rows[5].clone();
    let (target, _, name) = dynamo_protocol::rows::parse_hint_key(&unreadable).unwrap();
    cluster.damage(sender, Column::Hints, unreadable);
    let key_of = |row| dynamo_protocol::rows::parse_hint_key(row).unwrap();

    replicas.iter().for_each(|replica| cluster.rejoin(*replica));
    // No time has passed: it is the handoff that brought them.
    for (to, _, name) in rows.iter().map(key_of).filter(|(_, _, other)| *other != name) {
        assert!(cluster.has_row(to, &name), "{name} did not reach {to}");
    }
    assert!(!cluster.has_row(target, &name), "nobody could read it");
    // And it is not met again for ever, nor counted.
    assert_eq!(cluster.row_keys(sender, Column::Hints).len(), 0);
    assert_eq!((hints(&cluster, sender), cluster.node(sender).hint_bytes()), (0, 0));
    let damaged = cluster.counters(sender).rows_damaged;
    assert!(damaged > 0, "somebody is told");
    // The other fallback had a hint of it too, and the replicas exchange what they got.
    cluster.pass(Duration::from_secs(40));
    assert!(replicas.iter().all(|replica| cluster.has_row(*replica, &name)));
    assert_eq!(cluster.counters(sender).rows_damaged, damaged);
}

/// The same where replicas hand records to each other: what can be read gets through, and what
/// cannot comes back from the others.
#[test]
fn anti_entropy_hits_an_unreadable_object() {
    let mut cluster = Cluster::new(3, 3);
    let keys: Vec<&'static str> = (0..12).map(|n| &*format!("k{n}").leak()).collect();
    for key in &keys[..6] {
        put(&mut cluster, node(1), key, 3);
    }
    cluster.isolate(node(3));
    for key in &keys[6..] {
        put(&mut cluster, node(1), key, 2);
    }
    let row = dynamo_protocol::rows::object_key(&crate::cluster::name(keys[7]));
    cluster.damage(node(1), Column::Objects, row);
    cluster.isolate(node(2));
    cluster.rejoin_pair(node(1), node(3));
    cluster.pass(Duration::from_secs(60));
    let missing: Vec<_> = keys.iter().filter(|key| !cluster.holds(node(3), key)).collect();
    assert_eq!(missing, [&keys[7]], "one row holds nobody else up");
    cluster.rejoin(node(2));
    cluster.pass(Duration::from_secs(60));
    assert!((1..=3).all(|at| cluster.node(node(at)).incomplete_partitions() == 0));
    for at in 1..=3 {
        assert!(keys.iter().all(|key| cluster.holds(node(at), key)), "at node {at}");
    }
}
