//! Changes of the members: plan, commit, cancel, force; and how far the moves are.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use bytes::Bytes;
use dynamo_messages::{
    CHANGES_MAX, ClusterChange, LinkView, PlanView, PlannedNodeView, Reply,
    Request as StoreRequest, TransferView, TransfersView,
};
use dynamo_types::NodeId;
use http::{Request, Response, Uri};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::body;
use super::problem::{Problem, ProblemKind};
use super::router::{answer, json, unexpected};
use super::state::HttpState;
use super::target::Query;

/// As many changes as there may be, each with the longest names.
const CHANGES_BYTES_MAX: usize = 256 << 10;

/// Digits of a plan's id.
const PLAN_DIGITS: usize = 32;

/// One change.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum ChangeBody {
    Join(String),
    Leave(String),
    Remove(String),
    Reweight(ReweightBody),
    Rezone(RezoneBody),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ReweightBody {
    node: String,
    weight: u32,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RezoneBody {
    node: String,
    zone: String,
}

impl From<ChangeBody> for ClusterChange {
    fn from(change: ChangeBody) -> Self {
        match change {
            ChangeBody::Join(node) => Self::Join { node },
            ChangeBody::Leave(node) => Self::Leave { node },
            ChangeBody::Remove(node) => Self::Remove { node },
            ChangeBody::Reweight(ReweightBody { node, weight }) => Self::Reweight { node, weight },
            ChangeBody::Rezone(RezoneBody { node, zone }) => Self::Rezone { node, zone },
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PlanRequestBody {
    changes: Vec<ChangeBody>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct CommitRequestBody {
    changes: Vec<ChangeBody>,
    plan: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ForceRequestBody {
    given_up: Vec<String>,
    /// Left out: only say what it would mean.
    #[serde(default)]
    commit: bool,
}

/// Nothing may be said.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct CancelRequestBody {}

#[derive(Serialize)]
struct PlanBody {
    plan: String,
    committed: bool,
    partitions_changed: u32,
    copies_moved: u32,
    copies_lower_bound: u32,
    copies: u32,
    bytes: u64,
    seconds: u32,
    zone_safe_before: u32,
    zone_safe_after: u32,
    out_of_reach: u32,
    nodes: Vec<PlannedNodeBody>,
    links: Vec<LinkBody>,
}

#[derive(Serialize)]
struct PlannedNodeBody {
    node: String,
    name: String,
    before: u32,
    after: u32,
    received: u32,
    sent: u32,
}

#[derive(Serialize)]
struct LinkBody {
    from: String,
    to: String,
    copies: u32,
    bytes: u64,
}

impl From<PlanView> for PlanBody {
    fn from(view: PlanView) -> Self {
        let node = |node: PlannedNodeView| PlannedNodeBody {
            node: node.node.to_string(),
            name: node.name,
            before: node.before,
            after: node.after,
            received: node.received,
            sent: node.sent,
        };
        let link = |link: LinkView| LinkBody {
            from: link.from.to_string(),
            to: link.to.to_string(),
            copies: link.copies,
            bytes: link.bytes,
        };
        Self {
            plan: format!("{:032x}", view.plan),
            committed: view.committed,
            partitions_changed: view.partitions_changed,
            copies_moved: view.copies_moved,
            copies_lower_bound: view.copies_lower_bound,
            copies: view.copies,
            bytes: view.bytes,
            seconds: view.seconds,
            zone_safe_before: view.zone_safe_before,
            zone_safe_after: view.zone_safe_after,
            out_of_reach: view.out_of_reach,
            nodes: view.nodes.into_iter().map(node).collect(),
            links: view.links.into_iter().map(link).collect(),
        }
    }
}

#[derive(Serialize)]
struct CancelledBody {
    moves: u32,
}

#[derive(Serialize)]
struct TransfersBody {
    transfers: Vec<TransferBody>,
    settled: u32,
    partitions: u32,
    leaving: Vec<String>,
}

#[derive(Serialize)]
struct TransferBody {
    partition: u16,
    stage: String,
    current: Vec<String>,
    next: Vec<String>,
    waiting: Vec<WaitingBody>,
    records: Option<u64>,
}

#[derive(Serialize)]
struct WaitingBody {
    node: String,
    with: String,
}

fn ids(nodes: &[NodeId]) -> Vec<String> {
    nodes.iter().map(ToString::to_string).collect()
}

impl From<TransfersView> for TransfersBody {
    fn from(view: TransfersView) -> Self {
        let waiting = |(node, with): (NodeId, NodeId)| WaitingBody {
            node: node.to_string(),
            with: with.to_string(),
        };
        let transfer = |transfer: TransferView| TransferBody {
            partition: transfer.partition.0,
            stage: transfer.stage,
            current: ids(&transfer.current),
            next: ids(&transfer.next),
            waiting: transfer.waiting.into_iter().map(waiting).collect(),
            records: transfer.records,
        };
        Self {
            transfers: view.transfers.into_iter().map(transfer).collect(),
            settled: view.settled,
            partitions: view.partitions,
            leaving: ids(&view.leaving),
        }
    }
}

/// `POST /v1/cluster/plan`.
pub(super) async fn plan(
    State(state): State<Arc<HttpState>>,
    request: Request<Body>,
) -> Response<Body> {
    answer(plan_change(&state, request).await)
}

async fn plan_change(state: &HttpState, request: Request<Body>) -> Result<Response<Body>, Problem> {
    let bytes = receive(state, request).await?;
    let PlanRequestBody { changes } = parse(&bytes)?;
    let changes = understood(changes)?;
    plan_response(ask(state, StoreRequest::PlanChange { changes }, false).await?)
}

/// `POST /v1/cluster/commit`.
pub(super) async fn commit(
    State(state): State<Arc<HttpState>>,
    request: Request<Body>,
) -> Response<Body> {
    answer(commit_change(&state, request).await)
}

async fn commit_change(
    state: &HttpState,
    request: Request<Body>,
) -> Result<Response<Body>, Problem> {
    let bytes = receive(state, request).await?;
    let CommitRequestBody { changes, plan } = parse(&bytes)?;
    let changes = understood(changes)?;
    let plan = parse_plan(&plan)?;
    plan_response(ask(state, StoreRequest::CommitChange { changes, plan }, true).await?)
}

/// `POST /v1/cluster/cancel`.
pub(super) async fn cancel(
    State(state): State<Arc<HttpState>>,
    request: Request<Body>,
) -> Response<Body> {
    answer(cancel_moves(&state, request).await)
}

async fn cancel_moves(
    state: &HttpState,
    request: Request<Body>,
) -> Result<Response<Body>, Problem> {
    let bytes = receive(state, request).await?;
    if !bytes.is_empty() {
        let CancelRequestBody {} = parse(&bytes)?;
    }
    match ask(state, StoreRequest::CancelMoves, true).await? {
        Reply::Cancelled { moves } => Ok(json(&CancelledBody { moves })),
        other => Err(unexpected(other)),
    }
}

/// `POST /v1/cluster/force`.
pub(super) async fn force(
    State(state): State<Arc<HttpState>>,
    request: Request<Body>,
) -> Response<Body> {
    answer(force_moves(&state, request).await)
}

async fn force_moves(state: &HttpState, request: Request<Body>) -> Result<Response<Body>, Problem> {
    let bytes = receive(state, request).await?;
    let ForceRequestBody { given_up, commit } = parse(&bytes)?;
    if given_up.is_empty() {
        return Err(malformed("`given_up` names the nodes that are gone for good"));
    }
    plan_response(ask(state, StoreRequest::ForceMoves { given_up, commit }, commit).await?)
}

/// `GET /v1/transfers`.
pub(super) async fn transfers(State(state): State<Arc<HttpState>>, uri: Uri) -> Response<Body> {
    answer(list_transfers(&state, &uri).await)
}

async fn list_transfers(state: &HttpState, uri: &Uri) -> Result<Response<Body>, Problem> {
    Query::parse(uri.query())?.finish()?;
    match ask(state, StoreRequest::Transfers, false).await? {
        Reply::Transfers(view) => Ok(json(&TransfersBody::from(view))),
        other => Err(unexpected(other)),
    }
}

async fn receive(state: &HttpState, request: Request<Body>) -> Result<Bytes, Problem> {
    Query::parse(request.uri().query())?.finish()?;
    let idle = state.settings.http.body_timeout;
    body::receive(request.into_body(), CHANGES_BYTES_MAX, idle).await
}

async fn ask(state: &HttpState, request: StoreRequest, changes: bool) -> Result<Reply, Problem> {
    state.node.ask(request).await.map_err(|error| Problem::of_ask(error, changes))
}

fn plan_response(reply: Reply) -> Result<Response<Body>, Problem> {
    match reply {
        Reply::Plan(view) => Ok(json(&PlanBody::from(view))),
        other => Err(unexpected(other)),
    }
}

fn malformed(detail: impl Into<String>) -> Problem {
    Problem::new(ProblemKind::InvalidChange, detail)
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    serde_json::from_slice(bytes).map_err(|error| malformed(error.to_string()))
}

fn understood(changes: Vec<ChangeBody>) -> Result<Vec<ClusterChange>, Problem> {
    if changes.len() > CHANGES_MAX {
        return Err(malformed(format!("at most {CHANGES_MAX} changes can be made at once")));
    }
    Ok(changes.into_iter().map(ClusterChange::from).collect())
}

fn parse_plan(text: &str) -> Result<u128, Problem> {
    let is_digest = text.len() == PLAN_DIGITS && text.bytes().all(|b| b.is_ascii_hexdigit());
    let plan = is_digest.then(|| u128::from_str_radix(text, 16).ok()).flatten();
    plan.ok_or_else(|| malformed(format!("`plan` is {PLAN_DIGITS} hexadecimal digits")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_change_is_understood() {
        let body = br#"{"changes":[{"join":"node-6"},{"leave":"node-2"},{"remove":"node-3"},
            {"reweight":{"node":"node-1","weight":2}},{"rezone":{"node":"node-1","zone":"b"}}]}"#;
        let PlanRequestBody { changes } = parse(body).unwrap();
        let node = || "node-1".to_owned();
        assert_eq!(
            understood(changes).unwrap(),
            [
                ClusterChange::Join { node: "node-6".into() },
                ClusterChange::Leave { node: "node-2".into() },
                ClusterChange::Remove { node: "node-3".into() },
                ClusterChange::Reweight { node: node(), weight: 2 },
                ClusterChange::Rezone { node: node(), zone: "b".into() },
            ]
        );
    }

    #[test]
    fn what_cannot_be_meant_is_refused_with_the_reason() {
        for (body, expected) in [
            ("", "EOF"),
            ("{}", "missing field `changes`"),
            (r#"{"changes":[{"rename":"a"}]}"#, "unknown variant `rename`"),
            (r#"{"changes":[{"join":"a","leave":"b"}]}"#, "expected"),
            (r#"{"changes":[{"reweight":{"node":"a"}}]}"#, "missing field `weight`"),
            (r#"{"changes":[{"reweight":{"node":"a","weight":-1}}]}"#, "invalid value"),
            (r#"{"changes":[{"rezone":{"node":"a","zone":"b","x":1}}]}"#, "unknown field `x`"),
            (r#"{"changes":[],"plan":"0"}"#, "unknown field `plan`"),
        ] {
            let refused = parse::<PlanRequestBody>(body.as_bytes()).unwrap_err();
            assert_eq!(refused.kind, ProblemKind::InvalidChange);
            assert!(refused.detail.contains(expected), "{body}: {}", refused.detail);
        }
        let many = (0..=CHANGES_MAX).map(|_| ChangeBody::Join("a".into())).collect();
        assert!(understood(many).unwrap_err().detail.contains("at most 256"));
    }

    #[test]
    fn a_plan_is_thirty_two_hexadecimal_digits() {
        assert_eq!(parse_plan(&format!("{:032x}", 0xbeef)), Ok(0xbeef));
        for text in ["", "beef", "+0000000000000000000000000000bee", &"g".repeat(32)] {
            assert!(parse_plan(text).is_err(), "{text}");
        }
    }
}
