//! Whom the client asks.

use std::time::Duration;

use dynamo_client::{Client, ConnectError};
use dynamo_messages::Request;
use dynamo_types::NodeId;

use crate::fake_node::{Behaviour, FakeCluster, object, obliging, until};

#[tokio::test]
async fn requests_go_to_a_replica_of_their_key() {
    let cluster = FakeCluster::start(4, |_, request| obliging(request));
    let client = cluster.client().await;
    for number in 0..40 {
        let (bucket, key) = object(number);
        let before = cluster.asked().len();
        client.get(&bucket, &key).await.unwrap();
        client.put(&bucket, &key, "v").await.unwrap();
        let replicas = cluster.replicas(&bucket, &key);
        for (node, _) in &cluster.asked()[before..] {
            assert!(replicas.contains(node), "{node} is no replica of {key}");
        }
    }
}

#[tokio::test]
async fn a_put_goes_to_the_replica_that_answered_the_get_and_carries_its_context() {
    let cluster = FakeCluster::start(3, |_, request| obliging(request));
    let client = cluster.client().await;
    for number in 0..20 {
        let (bucket, key) = object(number);
        let seen = client.get(&bucket, &key).await.unwrap();
        client.put(&bucket, &key, "v").context(seen.context).await.unwrap();
        let asked = cluster.asked();
        let [.., (reader, _), (writer, Request::Mutate(mutation))] = &asked[..] else {
            panic!("a get and a put were asked");
        };
        assert_eq!(reader, writer);
        assert_eq!(mutation.contexts, ["seen"]);
        assert!(!mutation.retry);
    }
}

#[tokio::test]
async fn a_delete_without_context_reads_first_and_covers_what_it_saw() {
    let cluster = FakeCluster::start(3, |_, request| obliging(request));
    let client = cluster.client().await;
    let (bucket, key) = object(1);
    client.delete(&bucket, &key).await.unwrap();
    let asked = cluster.asked();
    let [(_, Request::Get { .. }), (_, Request::Mutate(mutation))] = &asked[..] else {
        panic!("{asked:?}");
    };
    assert_eq!(mutation.contexts, ["seen"]);
    assert_eq!(mutation.content, dynamo_versioning::Content::Tombstone);
}

#[tokio::test]
async fn a_request_for_one_node_only_goes_there() {
    let cluster = FakeCluster::start(4, |_, request| obliging(request));
    let client = cluster.client().await;
    let (bucket, key) = object(1);
    for number in 1..=4 {
        client.get(&bucket, &key).only_at(NodeId(number)).await.unwrap();
        assert_eq!(cluster.asked().last().unwrap().0, NodeId(number));
    }
}

#[tokio::test]
async fn the_client_serves_on_while_a_node_is_down_and_connects_again_when_it_is_back() {
    let mut cluster = FakeCluster::start(3, |_, request| obliging(request));
    let client = cluster.client().await;
    let down = NodeId(2);
    cluster.stop(down).await;
    until("the lost node is noticed", || !client.connected_nodes().contains(&down)).await;
    for number in 0..30 {
        let (bucket, key) = object(number);
        client.put(&bucket, &key, "v").await.unwrap();
    }
    cluster.restart(down).await;
    until("the node is connected again", || client.connected_nodes().contains(&down)).await;
    let (bucket, key) = object(1);
    client.get(&bucket, &key).only_at(down).await.unwrap();
}

#[tokio::test]
async fn listing_asks_for_pages_until_there_are_no_more() {
    use dynamo_client::Key;
    use dynamo_messages::{ListPage, Reply};
    let cluster = FakeCluster::start(2, |_, request| {
        let Request::List { after, .. } = request else { return obliging(request) };
        let from = after.as_ref().map_or(0, |key| key.as_bytes()[0] + 1);
        let keys = (from..from + 3).map(|byte| Key::new(vec![byte]).unwrap()).collect();
        Behaviour::Answer(Reply::Page(ListPage { keys, more: from < 6 }))
    });
    let client = cluster.client().await;
    let (bucket, _) = object(1);
    let mut list = client.list(&bucket).page_size(3);
    let mut bytes = Vec::new();
    while let Some(page) = list.next_page().await.unwrap() {
        bytes.extend(page.iter().map(|key| key.as_bytes()[0]));
    }
    assert_eq!(bytes, (0..9).collect::<Vec<u8>>());
}

#[tokio::test]
async fn one_seed_that_answers_is_enough_and_names_the_others() {
    let mut cluster = FakeCluster::start(3, |_, request| obliging(request));
    cluster.stop(NodeId(1)).await;
    let client = cluster.client().await;
    let (bucket, key) = object(1);
    client.get(&bucket, &key).await.unwrap();

    let mut config = cluster.config();
    config.seeds = vec!["127.0.0.1:1".to_owned(), config.seeds.remove(2)];
    let client = Client::connect(config).await.unwrap();
    until("the other node is found", || client.connected_nodes().len() == 2).await;
}

#[tokio::test]
async fn a_client_that_no_seed_answers_says_so() {
    let cluster = FakeCluster::start(1, |_, request| obliging(request));
    let mut config = cluster.config();
    config.seeds = vec!["127.0.0.1:1".to_owned()];
    config.connect_timeout = Duration::from_millis(300);
    let error = Client::connect(config).await.unwrap_err();
    assert!(matches!(error, ConnectError::Unreachable { tried: 1, .. }), "{error:?}");

    let mut config = cluster.config();
    config.seeds.clear();
    assert!(matches!(Client::connect(config).await, Err(ConnectError::NoSeed)));
}
