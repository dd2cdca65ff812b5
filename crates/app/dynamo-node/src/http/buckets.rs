//! Buckets: what they do.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use dynamo_messages::{Reply, Request as StoreRequest};
use dynamo_types::{Bucket, BucketSettings, Durability, Profile, Quorum, Reconciliation};
use http::{Request, Response, Uri};
use serde::{Deserialize, Serialize};

use super::body;
use super::problem::{Problem, ProblemKind};
use super::router::{answer, json, unexpected};
use super::state::{HttpFacts, HttpState};
use super::target::{self, Query};

/// Settings are a few words.
const SETTINGS_BYTES_MAX: usize = 16 << 10;

#[derive(Serialize)]
struct BucketBody<'a> {
    bucket: &'a str,
    profile: &'static str,
    reconciliation: &'static str,
    n: u8,
    r: u8,
    w: u8,
    durability: &'static str,
    expiry_ms: Option<u64>,
    limits: LimitsBody,
    version: u64,
}

#[derive(Serialize)]
struct LimitsBody {
    value_bytes_max: usize,
    siblings_max: usize,
}

impl<'a> BucketBody<'a> {
    fn new(facts: &HttpFacts, bucket: &'a Bucket, settings: &BucketSettings, version: u64) -> Self {
        let milliseconds = |expiry: Duration| u64::try_from(expiry.as_millis()).unwrap_or(u64::MAX);
        Self {
            bucket: bucket.as_str(),
            profile: settings.profile.name(),
            reconciliation: settings.reconciliation.name(),
            n: facts.replication.get(),
            r: settings.r,
            w: settings.w,
            durability: settings.durability.name(),
            expiry_ms: settings.expiry.map(milliseconds),
            limits: LimitsBody {
                value_bytes_max: facts.limits.value_bytes_max,
                siblings_max: facts.limits.siblings_max,
            },
            version,
        }
    }
}

#[derive(Serialize)]
struct BucketsBody<'a> {
    buckets: Vec<BucketBody<'a>>,
}

/// What a PUT may say; what it leaves out is the profile's default.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SettingsBody {
    profile: Option<String>,
    reconciliation: Option<String>,
    r: Option<u8>,
    w: Option<u8>,
    durability: Option<String>,
    expiry_ms: Option<u64>,
}

/// `GET /v1/buckets/{bucket}`.
pub(super) async fn get(State(state): State<Arc<HttpState>>, uri: Uri) -> Response<Body> {
    answer(get_bucket(&state, &uri).await)
}

async fn get_bucket(state: &HttpState, uri: &Uri) -> Result<Response<Body>, Problem> {
    let bucket = target::bucket(uri.path(), "/v1/buckets/")?;
    Query::parse(uri.query())?.finish()?;
    let reply = state.node.ask(StoreRequest::GetBucket { bucket }).await;
    bucket_response(state, reply.map_err(|error| Problem::of_ask(error, false))?)
}

/// `PUT /v1/buckets/{bucket}`.
pub(super) async fn put(
    State(state): State<Arc<HttpState>>,
    request: Request<Body>,
) -> Response<Body> {
    answer(put_bucket(&state, request).await)
}

async fn put_bucket(state: &HttpState, request: Request<Body>) -> Result<Response<Body>, Problem> {
    let bucket = target::bucket(request.uri().path(), "/v1/buckets/")?;
    Query::parse(request.uri().query())?.finish()?;
    let idle = state.settings.http.body_timeout;
    let bytes = body::receive(request.into_body(), SETTINGS_BYTES_MAX, idle).await?;
    let settings = parse_settings(&bytes, &state.facts)
        .map_err(|detail| Problem::new(ProblemKind::InvalidSettings, detail))?;
    let reply = state.node.ask(StoreRequest::PutBucket { bucket, settings }).await;
    bucket_response(state, reply.map_err(|error| Problem::of_ask(error, true))?)
}

fn parse_settings(bytes: &[u8], facts: &HttpFacts) -> Result<BucketSettings, String> {
    let body: SettingsBody = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    fn named<T>(
        what: &str,
        name: Option<String>,
        find: fn(&str) -> Option<T>,
    ) -> Result<Option<T>, String> {
        let known = |name: String| find(&name).ok_or_else(|| format!("no {what} `{name}`"));
        name.map(known).transpose()
    }
    let profile = named("profile", body.profile, Profile::from_name)?.unwrap_or_default();
    let mut settings = BucketSettings::of_profile(profile, facts.replication);
    if let Some(chosen) = named("reconciliation", body.reconciliation, Reconciliation::from_name)? {
        settings.reconciliation = chosen;
    }
    if let Some(chosen) = named("durability", body.durability, Durability::from_name)? {
        settings.durability = chosen;
    }
    let (r, w) = (body.r.unwrap_or(settings.r), body.w.unwrap_or(settings.w));
    let quorum = Quorum::new(facts.replication, r, w).map_err(|error| error.to_string())?;
    (settings.r, settings.w) = (quorum.r(), quorum.w());
    if body.expiry_ms == Some(0) {
        return Err("expiry_ms is at least 1".to_owned());
    }
    settings.expiry = body.expiry_ms.map(Duration::from_millis);
    Ok(settings)
}

fn bucket_response(state: &HttpState, reply: Reply) -> Result<Response<Body>, Problem> {
    match reply {
        Reply::Bucket { bucket, settings, version } => {
            Ok(json(&BucketBody::new(&state.facts, &bucket, &settings, version)))
        }
        other => Err(unexpected(other)),
    }
}

/// `GET /v1/buckets`.
pub(super) async fn list(State(state): State<Arc<HttpState>>, uri: Uri) -> Response<Body> {
    answer(list_buckets(&state, &uri).await)
}

async fn list_buckets(state: &HttpState, uri: &Uri) -> Result<Response<Body>, Problem> {
    Query::parse(uri.query())?.finish()?;
    let reply = state.node.ask(StoreRequest::ListBuckets).await;
    match reply.map_err(|error| Problem::of_ask(error, false))? {
        Reply::Buckets(buckets) => {
            let bodies = buckets.iter().map(|(bucket, settings, version)| {
                BucketBody::new(&state.facts, bucket, settings, *version)
            });
            Ok(json(&BucketsBody { buckets: bodies.collect() }))
        }
        other => Err(unexpected(other)),
    }
}

#[cfg(test)]
mod tests {
    use dynamo_types::{Limits, NodeId, Replication};

    use super::*;
    use crate::http::MemberNames;
    use crate::identity_files::ClusterSecret;

    fn facts() -> HttpFacts {
        HttpFacts {
            node: NodeId(1),
            names: MemberNames::default(),
            replication: Replication::new(3).unwrap(),
            limits: Limits::default(),
            secret: ClusterSecret([0; 32]),
        }
    }

    #[test]
    fn what_is_left_out_is_the_profiles_default() {
        let settings = parse_settings(br#"{"profile":"read-engine"}"#, &facts()).unwrap();
        assert_eq!((settings.r, settings.w), (1, 3));
        let settings =
            parse_settings(br#"{"w":1,"expiry_ms":5,"durability":"buffered"}"#, &facts()).unwrap();
        assert_eq!((settings.profile, settings.r, settings.w), (Profile::BusinessLogic, 2, 1));
        assert_eq!(settings.expiry, Some(Duration::from_millis(5)));
        assert_eq!(settings.durability, Durability::Buffered);
    }

    #[test]
    fn settings_that_cannot_be_are_refused_with_the_reason() {
        for (body, expected) in [
            ("", "EOF"),
            ("[]", "invalid"),
            (r#"{"n":3}"#, "unknown field `n`"),
            (r#"{"version":1}"#, "unknown field `version`"),
            (r#"{"r":0}"#, "r is from 1 to n=3"),
            (r#"{"w":4}"#, "w is from 1 to n=3"),
            (r#"{"w":-1}"#, "invalid value"),
            (r#"{"profile":"fast"}"#, "no profile `fast`"),
            (r#"{"durability":"maybe"}"#, "no durability `maybe`"),
            (r#"{"expiry_ms":0}"#, "expiry_ms is at least 1"),
            (r#"{"r":1} x"#, "trailing characters"),
        ] {
            let refused = parse_settings(body.as_bytes(), &facts()).unwrap_err();
            assert!(refused.contains(expected), "{body}: {refused}");
        }
    }
}
