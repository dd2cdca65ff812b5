//! The members and the partition table.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use dynamo_messages::{ClusterView, Reply, Request as StoreRequest, RingView};
use http::{Response, Uri};
use serde::Serialize;

use super::problem::Problem;
use super::router::{answer, json, unexpected};
use super::state::HttpState;
use super::target::Query;

#[derive(Serialize)]
struct ClusterBody {
    cluster: String,
    answered_by: String,
    replication: u8,
    partitions: u32,
    members: Vec<MemberBody>,
}

#[derive(Serialize)]
struct MemberBody {
    id: String,
    name: String,
    state: String,
    reachable: bool,
    liveness: String,
    weight: u32,
    zone: String,
    share: f64,
    replicas: u32,
    address: String,
    http_address: String,
}

impl ClusterBody {
    fn new(view: ClusterView) -> Self {
        let all = f64::from(view.partition_count) * f64::from(view.replication.get());
        let member = |member: dynamo_messages::MemberView| MemberBody {
            id: member.node.to_string(),
            name: member.name,
            state: member.state,
            reachable: member.reachable,
            liveness: member.liveness,
            weight: member.weight,
            zone: member.zone,
            share: f64::from(member.replicas_held) / all,
            replicas: member.replicas_held,
            address: member.address,
            http_address: member.http_address,
        };
        Self {
            cluster: view.cluster.to_string(),
            answered_by: view.answered_by.to_string(),
            replication: view.replication.get(),
            partitions: view.partition_count,
            members: view.members.into_iter().map(member).collect(),
        }
    }
}

#[derive(Serialize)]
struct RingBody {
    version: u64,
    replication: u8,
    /// The replica set of each partition, in order.
    partitions: Vec<Vec<String>>,
}

impl RingBody {
    fn new(view: &RingView) -> Self {
        let sets = view.replicas.chunks(usize::from(view.replication.get()));
        Self {
            version: view.version,
            replication: view.replication.get(),
            partitions: sets.map(|set| set.iter().map(ToString::to_string).collect()).collect(),
        }
    }
}

/// `GET /v1/cluster`.
pub(super) async fn members(State(state): State<Arc<HttpState>>, uri: Uri) -> Response<Body> {
    answer(ask(&state, &uri, StoreRequest::Cluster).await)
}

/// `GET /v1/ring`.
pub(super) async fn ring(State(state): State<Arc<HttpState>>, uri: Uri) -> Response<Body> {
    answer(ask(&state, &uri, StoreRequest::Ring).await)
}

async fn ask(
    state: &HttpState,
    uri: &Uri,
    question: StoreRequest,
) -> Result<Response<Body>, Problem> {
    Query::parse(uri.query())?.finish()?;
    match state.node.ask(question).await.map_err(|error| Problem::of_ask(error, false))? {
        Reply::Cluster(view) => Ok(json(&ClusterBody::new(view))),
        Reply::Ring(view) => Ok(json(&RingBody::new(&view))),
        other => Err(unexpected(other)),
    }
}
