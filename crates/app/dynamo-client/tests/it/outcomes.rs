//! What is tried again, and what an error claims.

use std::time::Duration;

use dynamo_client::{DeleteError, GetError, Invalid, PutError};
use dynamo_messages::{Failure, Mutation, Reply, Request};
use dynamo_types::NodeId;

use crate::fake_node::{Behaviour, FakeCluster, object, obliging};

/// Answers each request as the next of these says, then obligingly.
fn in_turn(
    turns: Vec<fn() -> Behaviour>,
) -> impl FnMut(NodeId, &Request) -> Behaviour + Send + 'static {
    let mut turns = turns.into_iter();
    move |_, request| turns.next().map_or_else(|| obliging(request), |turn| turn())
}

fn failed(failure: Failure) -> Behaviour {
    Behaviour::Answer(Reply::Failed(failure))
}

fn mutations(cluster: &FakeCluster) -> Vec<(NodeId, Mutation)> {
    let mutation = |(node, request)| match request {
        Request::Mutate(mutation) => (node, mutation),
        other => panic!("not a mutation: {other:?}"),
    };
    cluster.asked().into_iter().map(mutation).collect()
}

#[tokio::test]
async fn a_retry_repeats_the_request_id_at_the_same_coordinator_and_says_that_it_is_one() {
    let cluster = FakeCluster::start(3, in_turn(vec![|| Behaviour::Silence]));
    let client = cluster.client().await;
    let (bucket, key) = object(1);
    client.put(&bucket, &key, "v").await.unwrap();
    let attempts = mutations(&cluster);
    let [(first_node, first), (second_node, second)] = &attempts[..] else {
        panic!("{attempts:?}");
    };
    assert_eq!(first_node, second_node);
    assert_eq!(first.request, second.request);
    assert!(!first.retry);
    assert!(second.retry);
    assert_eq!(first.content, second.content);
}

#[tokio::test]
async fn a_coordinator_that_stays_silent_is_passed_over() {
    let cluster =
        FakeCluster::start(3, in_turn(vec![|| Behaviour::Silence, || Behaviour::Silence]));
    let client = cluster.client().await;
    let (bucket, key) = object(1);
    client.put(&bucket, &key, "v").await.unwrap();
    let nodes: Vec<NodeId> = mutations(&cluster).into_iter().map(|(node, _)| node).collect();
    assert_eq!(nodes.len(), 3);
    assert_eq!(nodes[0], nodes[1]);
    assert_ne!(nodes[1], nodes[2]);
}

#[tokio::test]
async fn two_puts_have_different_request_ids() {
    let cluster = FakeCluster::start(2, |_, request| obliging(request));
    let client = cluster.client().await;
    let (bucket, key) = object(1);
    client.put(&bucket, &key, "v").await.unwrap();
    client.put(&bucket, &key, "v").await.unwrap();
    let attempts = mutations(&cluster);
    assert_ne!(attempts[0].1.request, attempts[1].1.request);
}

#[tokio::test]
async fn failures_for_certain_at_every_attempt_are_reported_as_not_applied() {
    let cluster =
        FakeCluster::start(3, |_, _| failed(Failure::NotEnoughReplicas { reached: 1, needed: 2 }));
    let client = cluster.client().await;
    let (bucket, key) = object(1);
    let error = client.put(&bucket, &key, "v").await.unwrap_err();
    assert_eq!(error, PutError::NotEnoughReplicas { reached: 1, needed: 2 });
    assert!(error.is_not_applied());
    assert!(cluster.asked().len() > 1, "another coordinator was asked too");
}

#[tokio::test]
async fn one_attempt_without_answer_makes_the_outcome_unknown_whatever_follows() {
    let refused = || failed(Failure::NotEnoughReplicas { reached: 0, needed: 2 });
    let silence = || Behaviour::Silence;
    let cluster = FakeCluster::start(3, in_turn(vec![silence, refused, refused, refused, refused]));
    let client = cluster.client().await;
    let (bucket, key) = object(1);
    let error = client.put(&bucket, &key, "v").await.unwrap_err();
    assert!(!error.is_not_applied(), "{error}");
    let request = mutations(&cluster)[0].1.request;
    assert!(matches!(error, PutError::OutcomeUnknown { request: id, .. } if id == request));
}

#[tokio::test]
async fn a_connection_that_breaks_under_a_put_is_survived_by_a_retry() {
    let cluster = FakeCluster::start(3, in_turn(vec![|| Behaviour::HangUp]));
    let client = cluster.client().await;
    let (bucket, key) = object(1);
    client.put(&bucket, &key, "v").await.unwrap();
    let attempts = mutations(&cluster);
    assert_eq!(attempts.len(), 2);
    assert_eq!(attempts[0].1.request, attempts[1].1.request);
    assert!(attempts[1].1.retry);
}

#[tokio::test]
async fn what_breaks_a_rule_is_not_tried_again() {
    let cluster = FakeCluster::start(3, |_, _| {
        failed(Failure::Invalid { reason: Invalid::Context, detail: "foreign".into() })
    });
    let client = cluster.client().await;
    let (bucket, key) = object(1);
    let error = client.put(&bucket, &key, "v").await.unwrap_err();
    assert!(matches!(error, PutError::Invalid { reason: Invalid::Context, .. }), "{error:?}");
    assert_eq!(cluster.asked().len(), 1);
}

#[tokio::test]
async fn what_no_node_could_read_is_refused_before_it_is_sent() {
    let cluster = FakeCluster::start(2, |_, request| obliging(request));
    let client = cluster.client().await;
    let (bucket, key) = object(1);
    let long = "x".repeat(300);
    let error = client.put(&bucket, &key, "v").content_type(long).await.unwrap_err();
    assert!(matches!(error, PutError::Invalid { reason: Invalid::Option, .. }), "{error:?}");
    assert!(cluster.asked().is_empty());
}

#[tokio::test]
async fn an_overloaded_node_is_passed_over() {
    let overloaded = || failed(Failure::Overloaded { retry_after_ms: 1 });
    let cluster = FakeCluster::start(3, in_turn(vec![overloaded]));
    let client = cluster.client().await;
    let (bucket, key) = object(1);
    client.get(&bucket, &key).await.unwrap();
    let asked = cluster.asked();
    assert_eq!(asked.len(), 2);
    assert_ne!(asked[0].0, asked[1].0);
}

#[tokio::test]
async fn a_delete_whose_read_fails_has_applied_nothing() {
    let cluster =
        FakeCluster::start(2, |_, _| failed(Failure::NotEnoughReplicas { reached: 1, needed: 2 }));
    let client = cluster.client().await;
    let (bucket, key) = object(1);
    let error = client.delete(&bucket, &key).await.unwrap_err();
    let expected = GetError::NotEnoughReplicas { reached: 1, needed: 2 };
    assert_eq!(error, DeleteError::Read(expected));
    assert!(cluster.asked().iter().all(|(_, request)| matches!(request, Request::Get { .. })));
}

#[tokio::test]
async fn retries_stop_when_their_budget_is_spent() {
    let cluster = FakeCluster::start(2, |_, _| failed(Failure::StorageFailed));
    let client = cluster.client().await;
    let (bucket, key) = object(1);
    let requests = 60;
    for _ in 0..requests {
        client.get(&bucket, &key).timeout(Duration::from_secs(5)).await.unwrap_err();
    }
    let retries = cluster.asked().len() - requests;
    assert!((128..=134).contains(&retries), "{retries} retries: a burst of 128 and a tenth of 60");
}

#[tokio::test]
async fn a_client_without_any_node_says_so_in_time() {
    let mut cluster = FakeCluster::start(1, |_, request| obliging(request));
    let client = cluster.client().await;
    cluster.stop(NodeId(1)).await;
    let (bucket, key) = object(1);
    let error = client.get(&bucket, &key).timeout(Duration::from_millis(300)).await.unwrap_err();
    assert!(matches!(error, GetError::Unreachable | GetError::TimedOut), "{error:?}");
}
