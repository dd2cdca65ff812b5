//! What each replica of an object has.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use dynamo_messages::{Explanation, ReplicaView, Reply, Request as StoreRequest, SiblingView};
use dynamo_types::{NodeId, ObjectName};
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
    /// Nothing is held for another node yet.
    hints: [(); 0],
    /// Replicas are not compared in the background yet.
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
    let name_of = |node: NodeId| {
        let member = state.facts.members.iter().find(|member| member.node == node);
        member.map_or_else(|| node.to_string(), |member| member.name.clone())
    };
    let replica = |replica: &ReplicaView| ReplicaBody {
        node: replica.node.to_string(),
        name: name_of(replica.node),
        state: replica.state.name(),
        digest: replica.digest.map(|digest| digest.to_string()),
        siblings: replica.siblings.iter().map(sibling_body).collect(),
        context_intervals: replica.context_intervals,
    };
    ExplanationBody {
        bucket: name.bucket.to_string(),
        key: KeyBody::of(&name.key),
        partition: explanation.partition.0,
        replicas: explanation.replicas.iter().map(replica).collect(),
        hints: [],
        verified_until: None,
        agree: explanation.agrees(),
        behind: explanation.behind().map(name_of).collect(),
    }
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
