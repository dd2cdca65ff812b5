//! The list of paths, and what every request passes on its way to one.

use std::convert::Infallible;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::Request as AxumRequest;
use axum::routing::{get, post};
use dynamo_messages::Reply;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response};
use hyper::body::Incoming;
use hyper::service::Service as _;
use hyper_util::service::TowerToHyperService;
use serde::Serialize;

use super::problem::{Problem, ProblemKind};
use super::state::HttpState;
use super::{buckets, changes, cluster, explain, health, objects, target};
use crate::access::{Access, Permission};
use crate::metrics::Route;

/// All paths.
pub(super) fn router(state: &Arc<HttpState>) -> Router {
    Router::new()
        .route("/v1/kv/{bucket}", get(objects::list))
        .route(
            "/v1/kv/{bucket}/{*key}",
            get(objects::get).put(objects::put).delete(objects::delete),
        )
        .route("/v1/buckets", get(buckets::list))
        .route("/v1/buckets/{bucket}", get(buckets::get).put(buckets::put))
        .route("/v1/cluster", get(cluster::members))
        .route("/v1/cluster/plan", post(changes::plan))
        .route("/v1/cluster/commit", post(changes::commit))
        .route("/v1/cluster/cancel", post(changes::cancel))
        .route("/v1/cluster/force", post(changes::force))
        .route("/v1/ring", get(cluster::ring))
        .route("/v1/transfers", get(changes::transfers))
        .route("/v1/explain/{bucket}/{*key}", get(explain::explain))
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .route("/metrics", get(health::metrics))
        .method_not_allowed_fallback(method_not_allowed)
        .fallback(no_such_path)
        .with_state(Arc::clone(state))
}

/// The router adds the `Allow` header.
async fn method_not_allowed(request: AxumRequest) -> Response<Body> {
    let detail = format!("{} cannot be used here", request.method());
    std::future::ready(Problem::new(ProblemKind::MethodNotAllowed, detail).into_response()).await
}

/// Paths that no route has. A bucket or key that is empty belongs here too, and gets its own name.
async fn no_such_path(request: AxumRequest) -> Response<Body> {
    let path = request.uri().path();
    let prefixes = [target::OBJECTS, target::EXPLAIN];
    let below = prefixes.into_iter().find(|prefix| path.starts_with(prefix) && path != *prefix);
    let problem = below.and_then(|prefix| target::object(path, prefix).err());
    let problem =
        problem.unwrap_or_else(|| Problem::new(ProblemKind::NotFound, format!("no path `{path}`")));
    std::future::ready(problem.into_response()).await
}

/// Serves one request: admission, credentials, the route, and the metrics.
pub(super) async fn serve(
    state: Arc<HttpState>,
    router: Router,
    request: Request<Incoming>,
) -> Result<Response<Body>, Infallible> {
    let begun = state.clock.monotonic();
    let route = Route::of(request.method(), request.uri().path());
    let response = match admit(&state, &request) {
        Err(problem) => problem.into_response(),
        Ok(_place) => TowerToHyperService::new(router).call(request).await?,
    };
    let took = state.clock.monotonic().saturating_since(begun);
    let problem = response.extensions().get::<ProblemKind>().map(|kind| kind.slug());
    state.metrics.record(route, response.status(), took, problem);
    Ok(response)
}

fn admit<'a>(
    state: &'a HttpState,
    request: &Request<Incoming>,
) -> Result<Option<super::limits::Share<'a>>, Problem> {
    let path = request.uri().path();
    let Some(needed) = needed_permission(request.method(), path) else { return Ok(None) };
    let bearer = request.headers().get(AUTHORIZATION).map(HeaderValue::as_bytes);
    match state.access.decide(bearer.and_then(bearer_token), needed) {
        Access::Granted => state.in_flight.request().map(Some),
        Access::Unknown => {
            Err(Problem::new(ProblemKind::Unauthorized, "send `Authorization: Bearer TOKEN`"))
        }
        Access::Forbidden { principal } => {
            let needed = needed.name();
            tracing::warn!(principal, needed, path, "a credential was refused");
            let detail = format!("`{principal}` has no permission `{needed}`");
            Err(Problem::new(ProblemKind::Forbidden, detail))
        }
    }
}

/// The token of `Bearer TOKEN`; the scheme's case does not matter.
fn bearer_token(header: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = header.split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"bearer ").then(|| token.trim_ascii())
}

/// What a request must be allowed to do; nothing for the two paths that tell nothing.
fn needed_permission(method: &Method, path: &str) -> Option<Permission> {
    if path == "/healthz" || path == "/readyz" {
        return None;
    }
    let reads = matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS);
    Some(if reads {
        Permission::Read
    } else if path.starts_with("/v1/kv/") {
        Permission::Write
    } else {
        Permission::Admin
    })
}

/// A response, whether or not it went well.
pub(super) fn answer(result: Result<Response<Body>, Problem>) -> Response<Body> {
    result.unwrap_or_else(Problem::into_response)
}

/// A 200 with JSON.
pub(super) fn json(body: &impl Serialize) -> Response<Body> {
    let bytes =
        serde_json::to_vec(body).expect("our own types have string keys and finite numbers");
    let mut response = Response::new(Body::from(bytes));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// What a reply other than the expected one means: a failure, or a bug.
pub(super) fn unexpected(reply: Reply) -> Problem {
    match reply {
        Reply::Failed(failure) => Problem::of_failure(failure),
        other => {
            tracing::error!(?other, "a reply of another kind than the request");
            Problem::new(ProblemKind::Internal, "a reply of another kind than the request")
        }
    }
}
