//! Liveness, readiness and metrics.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::body::Body;
use axum::extract::State;
use dynamo_membership::MemberStatus;
use dynamo_types::NodeId;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Response};
use serde::Serialize;

use super::problem::{Problem, ProblemKind};
use super::router::{answer, json};
use super::state::HttpState;
use crate::metrics;

/// When to ask again whether the node is ready: links and verdicts take seconds.
const READY_RETRY_MS: u32 = 1_000;

#[derive(Serialize)]
struct AliveBody {
    status: &'static str,
}

#[derive(Serialize)]
struct ReadyBody {
    status: &'static str,
    /// Where this node is on its way through the cluster.
    state: Option<&'static str>,
    /// Members without a connection now; a node is ready without them once they are judged down.
    unreachable: Vec<String>,
}

/// `GET /healthz`: the process serves HTTP.
pub(super) async fn alive() -> Response<Body> {
    std::future::ready(json(&AliveBody { status: "alive" })).await
}

/// `GET /readyz`: recovered, not removed, and every member was connected or judged down.
pub(super) async fn ready(State(state): State<Arc<HttpState>>) -> Response<Body> {
    answer(readiness(&state).await)
}

async fn readiness(state: &HttpState) -> Result<Response<Body>, Problem> {
    if state.is_stopping() {
        return Err(Problem::new(ProblemKind::NotReady, "the node is stopping"));
    }
    let status = state.node.status().await.map_err(|error| Problem::of_ask(error, false))?;
    if status.own_status == Some(MemberStatus::Removed) {
        let detail = "this node was removed from the cluster and can be stopped for good";
        return Err(Problem::new(ProblemKind::NotReady, detail));
    }
    let names = |nodes: &[NodeId]| -> Vec<String> {
        nodes.iter().map(|node| state.name_of(*node)).collect()
    };
    if status.awaited.is_empty() {
        state.was_ready.store(true, Ordering::Relaxed);
    }
    if state.was_ready.load(Ordering::Relaxed) {
        let unreachable = names(&status.unreachable);
        let state = status.own_status.map(MemberStatus::name);
        return Ok(json(&ReadyBody { status: "ready", state, unreachable }));
    }
    let detail = format!("no connection yet to {}", names(&status.awaited).join(", "));
    Err(Problem::retry(ProblemKind::NotReady, detail, READY_RETRY_MS))
}

/// `GET /metrics`.
pub(super) async fn metrics(State(state): State<Arc<HttpState>>) -> Response<Body> {
    answer(match state.node.status().await {
        Err(error) => Err(Problem::of_ask(error, false)),
        Ok(status) => {
            let hints = status.hints.iter().map(|(node, count)| (state.name_of(*node), *count));
            let figures = metrics::Figures {
                hints: hints.collect(),
                status: &status,
                hint_bytes_max: state.settings.hint_bytes_max,
                http_in_flight: state.in_flight.requests(),
            };
            let text = metrics::render(&state.metrics, &state.sources, &figures);
            let mut response = Response::new(Body::from(text));
            response.headers_mut().insert(
                CONTENT_TYPE,
                HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8"),
            );
            Ok(response)
        }
    })
}
