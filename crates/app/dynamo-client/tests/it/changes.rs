//! Changes of the members: asked once, and never again after an attempt that may have taken effect.

use dynamo_client::{
    CHANGES_MAX, ChangeError, Client, ClusterChange, DescribeError, Invalid, PlanView,
    PlannedChange,
};
use dynamo_messages::{Failure, Reply, Request};
use dynamo_types::NodeId;

use crate::fake_node::{Behaviour, FakeCluster};

const PLAN: u128 = 0xfeed_0000_0000_0000_0000_0000_0000_beef;

fn join() -> Vec<ClusterChange> {
    vec![ClusterChange::Join { node: "node-4".into() }]
}

/// A plan of some node that is connected.
fn planned(client: &Client) -> PlannedChange {
    let view = PlanView { plan: PLAN, ..PlanView::default() };
    let planned_by = client.connected_nodes()[0];
    PlannedChange { changes: join(), view, planned_by }
}

fn plan(committed: bool) -> Behaviour {
    Behaviour::Answer(Reply::Plan(PlanView { plan: PLAN, committed, ..PlanView::default() }))
}

fn failed(failure: Failure) -> Behaviour {
    Behaviour::Answer(Reply::Failed(failure))
}

#[tokio::test]
async fn a_change_is_planned_and_committed_under_the_plans_id() {
    let cluster = FakeCluster::start(3, |_, request| match request {
        Request::PlanChange { .. } => plan(false),
        _ => plan(true),
    });
    let client = cluster.client().await;
    let planned = client.plan_change(join()).await.unwrap();
    let committed = client.commit_change(&planned).await.unwrap();
    assert_eq!((planned.view.committed, committed.committed), (false, true));
    let (nodes, asked): (Vec<NodeId>, Vec<Request>) = cluster.asked().into_iter().unzip();
    assert_eq!(nodes, [planned.planned_by; 2], "who planned it commits it");
    let expected = [
        Request::PlanChange { changes: join() },
        Request::CommitChange { changes: join(), plan: PLAN },
    ];
    assert_eq!(asked, expected);
}

#[tokio::test]
async fn a_commit_without_answer_is_not_repeated() {
    for silent in
        [|| Behaviour::HangUp, || failed(Failure::OutcomeUnknown { reached: 1, needed: 2 })]
    {
        let cluster = FakeCluster::start(3, move |_, _| silent());
        let client = cluster.client().await;
        let error = client.commit_change(&planned(&client)).await.unwrap_err();
        assert_eq!(error, ChangeError::OutcomeUnknown);
        assert_eq!(cluster.asked().len(), 1);
    }
}

#[tokio::test]
async fn a_commit_may_take_longer_than_an_attempt_at_a_put() {
    // The fake cluster's clients give a put's attempt 150 ms; this one never answers at all.
    let cluster = FakeCluster::start(3, |_, _| Behaviour::Silence);
    let mut config = cluster.config();
    config.timeout = config.attempt_timeout * 3;
    let client = Client::connect(config).await.unwrap();
    let error = client.cancel_moves().await.unwrap_err();
    assert_eq!(error, ChangeError::OutcomeUnknown);
    assert_eq!(cluster.asked().len(), 1);
}

#[tokio::test]
async fn what_certainly_did_nothing_is_tried_at_another_node() {
    let mut first = true;
    let cluster = FakeCluster::start(3, move |_, _| {
        if std::mem::take(&mut first) {
            failed(Failure::Overloaded { retry_after_ms: 1 })
        } else {
            Behaviour::Answer(Reply::Cancelled { moves: 7 })
        }
    });
    let client = cluster.client().await;
    assert_eq!(client.cancel_moves().await, Ok(7));
    let asked = cluster.asked();
    assert_eq!(asked.len(), 2);
    assert_ne!(asked[0].0, asked[1].0);
}

#[tokio::test]
async fn a_refused_change_says_why() {
    let detail = "planned for another cluster".to_owned();
    let reason = Invalid::Change;
    let refused = Failure::Invalid { reason, detail: detail.clone() };
    let cluster = FakeCluster::start(2, move |_, _| failed(refused.clone()));
    let client = cluster.client().await;
    let error = client.commit_change(&planned(&client)).await.unwrap_err();
    assert_eq!(error, ChangeError::Invalid { reason, detail: detail.clone() });
    let error = client.plan_change(join()).await.unwrap_err();
    assert_eq!(error, DescribeError::Invalid { reason, detail });
    assert_eq!(cluster.asked().len(), 2);
}

#[tokio::test]
async fn more_changes_than_a_request_holds_are_refused_before_they_are_sent() {
    let cluster = FakeCluster::start(1, |_, _| plan(false));
    let client = cluster.client().await;
    let many = vec![join().remove(0); CHANGES_MAX + 1];
    let error = client.plan_change(many).await.unwrap_err();
    assert!(matches!(error, DescribeError::Invalid { reason: Invalid::Change, .. }), "{error:?}");
    assert!(cluster.asked().is_empty());
}
