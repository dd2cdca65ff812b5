//! What each replica of an object has.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use dynamo_messages::{
    Explanation, HintView, ReplicaView, Reply, Request as StoreRequest, SiblingView,
};
use dynamo_types::{NodeId, ObjectName, WallTime};
use http::{Response, Uri};
use serde::Serialize;

use super::objects::{KeyBody, timestamp};
use super::problem::Problem;
use super::router::{answer, json, unexpected};
use super::state::HttpState;
use super::target::{self, Query};

#[derive(Serialize)]
struct ExplanationBody<'a> {
    bucket: String,
    key: KeyBody<'a>,
    partition: u16,
    replicas: Vec<ReplicaBody>,
    /// Of the nodes that keep hints of the key, as far as they answered.
    hints: Vec<HintBody>,
    /// When all replicas of the partition were last found to hold the same, by this node's clock.
    verified_until: Option<String>,
    agree: bool,
    /// By name.
    behind: Vec<String>,
}

#[derive(Serialize)]
struct ReplicaBody {
    node: String,
    name: String,
    state: &'static str,
    digest: Option<String>,
    siblings: Vec<SiblingBody>,
    context_intervals: u32,
}

#[derive(Serialize)]
struct HintBody {
    node: String,
    name: String,
    digest: String,
    siblings: Vec<SiblingBody>,
}

#[derive(Serialize)]
struct SiblingBody {
    dot: String,
    tombstone: bool,
    bytes: u64,
    written_at: String,
    expires_at: Option<String>,
    request_id: String,
}

/// `GET /v1/explain/{bucket}/{key}`.
pub(super) async fn explain(State(state): State<Arc<HttpState>>, uri: Uri) -> Response<Body> {
    answer(explain_object(&state, &uri).await)
}

async fn explain_object(state: &HttpState, uri: &Uri) -> Result<Response<Body>, Problem> {
    let name = target::object(uri.path(), target::EXPLAIN)?;
    let mut query = Query::parse(uri.query())?;
    let timeout_ms = query.timeout_ms()?;
    query.finish()?;
    let asked = StoreRequest::Explain { name: name.clone(), timeout_ms };
    match state.node.ask(asked).await.map_err(|error| Problem::of_ask(error, false))? {
        Reply::Explanation(explanation) => Ok(json(&body(state, &name, &explanation))),
        other => Err(unexpected(other)),
    }
}

fn body<'a>(
    state: &HttpState,
    name: &'a ObjectName,
    explanation: &Explanation,
) -> ExplanationBody<'a> {
    let name_of = |node: NodeId| state.name_of(node);
    let replica = |replica: &ReplicaView| ReplicaBody {
        node: replica.node.to_string(),
        name: name_of(replica.node),
        state: replica.state.name(),
        digest: replica.digest.map(|digest| digest.to_string()),
        siblings: replica.siblings.iter().map(sibling_body).collect(),
        context_intervals: replica.context_intervals,
    };
    let hint = |hint: &HintView| HintBody {
        node: hint.node.to_string(),
        name: name_of(hint.node),
        digest: hint.digest.to_string(),
        siblings: hint.siblings.iter().map(sibling_body).collect(),
    };
    let now = state.clock.now().wall;
    let verified = explanation.verified_ms_ago.map(|ms| timestamp(before(now, ms)));
    ExplanationBody {
        bucket: name.bucket.to_string(),
        key: KeyBody::of(&name.key),
        partition: explanation.partition.0,
        replicas: explanation.replicas.iter().map(replica).collect(),
        hints: explanation.hints.iter().map(hint).collect(),
        verified_until: verified,
        agree: explanation.agrees(),
        behind: explanation.behind().map(name_of).collect(),
    }
}

/// So many milliseconds before a moment.
fn before(moment: WallTime, milliseconds: u64) -> WallTime {
    WallTime(moment.0.saturating_sub(milliseconds.saturating_mul(1_000)))
}

fn sibling_body(sibling: &SiblingView) -> SiblingBody {
    SiblingBody {
        dot: sibling.dot.to_string(),
        tombstone: sibling.tombstone,
        bytes: sibling.value_bytes,
        written_at: timestamp(sibling.written_at),
        expires_at: sibling.expires_at.map(timestamp),
        request_id: sibling.request.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_becomes_a_moment() {
        assert_eq!(before(WallTime(5_000_001), 2_000), WallTime(3_000_001));
        assert_eq!(before(WallTime(5), u64::MAX), WallTime(0));
    }
}
