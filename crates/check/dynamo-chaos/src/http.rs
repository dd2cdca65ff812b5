//! The HTTP interface as any client would use it.

mod explain;
mod members;

use std::net::SocketAddr;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use dynamo_messages::Receipt;
use dynamo_types::{ActorId, Bucket, BucketSettings, ObjectName, Profile, WallTime};
use dynamo_versioning::Dot;
use http_body_util::{BodyExt as _, Full};
use hyper::header::{CONTENT_TYPE, HeaderMap};
use hyper::{Method, Request, StatusCode};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde::Deserialize;
use tokio::time::timeout;

pub use explain::{Explained, ExplainedReplica, ExplainedSibling};
pub use members::SeenMember;

const CONTEXT: &str = "dynamo-context";
const RECEIPT: &str = "dynamo-receipt";
const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// Speaks HTTP to nodes, over connections that are kept.
#[derive(Debug, Clone)]
pub struct HttpClient {
    client: Client<HttpConnector, Full<Bytes>>,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoAnswer {
    /// No connection: the request was certainly not sent.
    NotSent,
    /// It broke off, or took too long, after the request may have been sent.
    Lost,
}

/// One value of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShownValue {
    /// Its bytes.
    pub bytes: Bytes,
    /// Its dot and when it was written, which an answer with a single value does not tell.
    pub version: Option<(Dot, WallTime)>,
}

/// What a node answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// An object: its values and context.
    Object(Vec<ShownValue>, String),
    /// A put or delete was stored: the new context, and what was reached.
    Stored(String, Receipt),
    /// The keys of a page.
    Page(Vec<String>),
    /// A problem, by the last part of its type.
    Problem(String),
    /// Something that is not in the interface's description.
    Odd(String),
}

/// How a request differs from the bucket's settings.
#[derive(Debug, Clone, Copy, Default)]
pub struct Query {
    /// Instead of the bucket's r.
    pub r: Option<u8>,
    /// Instead of the bucket's w.
    pub w: Option<u8>,
    /// Only replicas count.
    pub strict: bool,
    /// How long the node may take.
    pub timeout_ms: Option<u32>,
}

impl Query {
    fn text(&self) -> String {
        let mut parts = Vec::new();
        parts.extend(self.r.map(|r| format!("r={r}")));
        parts.extend(self.w.map(|w| format!("w={w}")));
        parts.extend(self.strict.then(|| "quorum=strict".to_owned()));
        parts.extend(self.timeout_ms.map(|ms| format!("timeout_ms={ms}")));
        if parts.is_empty() { String::new() } else { format!("?{}", parts.join("&")) }
    }
}

/// A put or delete.
#[derive(Debug, Clone)]
pub struct Change<'a> {
    /// Of what.
    pub name: &'a ObjectName,
    /// The value; none to delete.
    pub value: Option<Bytes>,
    /// What it replaces.
    pub contexts: &'a [String],
    /// The same in all attempts.
    pub idempotency_key: Option<&'a str>,
    /// How it differs from the bucket's settings.
    pub query: Query,
}

impl Default for HttpClient {
    fn default() -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let client = Client::builder(TokioExecutor::new())
            // A request is sent once: whether to send it again is decided by who counts attempts.
            .retry_canceled_requests(false)
            .build(connector);
        Self { client }
    }
}

#[derive(Deserialize)]
struct Buckets {
    buckets: Vec<serde_json::Value>,
}

struct RawAnswer {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl HttpClient {
    async fn ask(
        &self,
        request: Request<Full<Bytes>>,
        patience: Duration,
    ) -> Result<RawAnswer, NoAnswer> {
        let asking = async {
            let answer = self.client.request(request).await;
            let answer = answer
                .map_err(|e| if e.is_connect() { NoAnswer::NotSent } else { NoAnswer::Lost })?;
            let (head, body) = answer.into_parts();
            let body = body.collect().await.map_err(|_| NoAnswer::Lost)?.to_bytes();
            Ok(RawAnswer { status: head.status, headers: head.headers, body })
        };
        timeout(patience, asking).await.unwrap_or(Err(NoAnswer::Lost))
    }

    async fn get_path(
        &self,
        address: SocketAddr,
        path: &str,
        patience: Duration,
    ) -> Result<RawAnswer, NoAnswer> {
        let request = Request::get(format!("http://{address}{path}"));
        let request = request.body(Full::default()).expect("the paths of a run are sound");
        self.ask(request, patience).await
    }

    /// Reads an object.
    ///
    /// # Errors
    /// There is no answer within the client's patience.
    pub async fn get(
        &self,
        address: SocketAddr,
        name: &ObjectName,
        query: Query,
        patience: Duration,
    ) -> Result<Answer, NoAnswer> {
        let path = format!("{}{}", object_path(name), query.text());
        Ok(object_answer(&self.get_path(address, &path, patience).await?))
    }

    /// Puts or deletes.
    ///
    /// # Errors
    /// There is no answer within the client's patience.
    pub async fn change(
        &self,
        address: SocketAddr,
        change: &Change<'_>,
        patience: Duration,
    ) -> Result<Answer, NoAnswer> {
        let method = if change.value.is_some() { Method::PUT } else { Method::DELETE };
        let path = format!("{}{}", object_path(change.name), change.query.text());
        let mut request = Request::builder().method(method).uri(format!("http://{address}{path}"));
        for context in change.contexts {
            request = request.header(CONTEXT, context);
        }
        if let Some(key) = change.idempotency_key {
            request = request.header(IDEMPOTENCY_KEY, key);
        }
        let body = Full::new(change.value.clone().unwrap_or_default());
        let request = request.header(CONTENT_TYPE, "text/plain").body(body);
        // A context is base64, or a node sent what no header can carry.
        let Ok(request) = request else {
            return Ok(Answer::Odd("a context that no header can carry".to_owned()));
        };
        Ok(stored_answer(&self.ask(request, patience).await?))
    }

    /// Lists a bucket's first keys.
    ///
    /// # Errors
    /// There is no answer within the client's patience.
    pub async fn list(
        &self,
        address: SocketAddr,
        bucket: &Bucket,
        patience: Duration,
    ) -> Result<Answer, NoAnswer> {
        let path = format!("/v1/kv/{bucket}?limit=100");
        Ok(page_answer(&self.get_path(address, &path, patience).await?))
    }

    /// Puts a bucket's settings; true once they are stored.
    ///
    /// # Errors
    /// There is no answer within the client's patience.
    pub async fn put_settings(
        &self,
        address: SocketAddr,
        bucket: &Bucket,
        settings: &BucketSettings,
        patience: Duration,
    ) -> Result<bool, NoAnswer> {
        let body = serde_json::json!({
            "profile": settings.profile.name(),
            "reconciliation": settings.reconciliation.name(),
            "r": settings.r,
            "w": settings.w,
            "durability": settings.durability.name(),
        });
        let request = Request::put(format!("http://{address}/v1/buckets/{bucket}"))
            .body(Full::new(Bytes::from(body.to_string())))
            .expect("the paths of a run are sound");
        Ok(self.ask(request, patience).await?.status == StatusCode::OK)
    }

    /// A bucket's profile, r and w, as a node knows them.
    ///
    /// # Errors
    /// There is no answer within the client's patience.
    pub async fn settings(
        &self,
        address: SocketAddr,
        bucket: &Bucket,
        patience: Duration,
    ) -> Result<Option<(Profile, u8, u8)>, NoAnswer> {
        #[derive(Deserialize)]
        struct Body {
            profile: String,
            r: u8,
            w: u8,
        }
        let answer = self.get_path(address, &format!("/v1/buckets/{bucket}"), patience).await?;
        let body: Option<Body> = serde_json::from_slice(&answer.body).ok();
        Ok(body.and_then(|body| Some((Profile::from_name(&body.profile)?, body.r, body.w))))
    }

    /// Whether a node is ready.
    pub async fn is_ready(&self, address: SocketAddr, patience: Duration) -> bool {
        let answer = self.get_path(address, "/readyz", patience).await;
        answer.is_ok_and(|answer| answer.status == StatusCode::OK)
    }

    /// One counter of a node; none if it does not say.
    pub async fn counter(
        &self,
        address: SocketAddr,
        name: &str,
        patience: Duration,
    ) -> Option<u64> {
        let answer = self.get_path(address, "/metrics", patience).await.ok()?;
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
    }

    /// The members as a node knows them, and the settings of all buckets as text that is equal where
    /// the settings are.
    ///
    /// # Errors
    /// Says why they are not known.
    pub async fn cluster(
        &self,
        address: SocketAddr,
        patience: Duration,
    ) -> Result<(Vec<SeenMember>, String), String> {
        let mut bodies = Vec::new();
        for path in ["/v1/cluster", "/v1/buckets"] {
            let answer = self.get_path(address, path, patience).await;
            let answer = answer.map_err(|error| format!("{path}: {error:?}"))?;
            if answer.status != StatusCode::OK {
                return Err(format!("{path}: {}", answer.status));
            }
            bodies.push(answer.body);
        }
        let members = members::parse(&bodies[0])?;
        let mut buckets: Buckets =
            serde_json::from_slice(&bodies[1]).map_err(|error| format!("buckets: {error}"))?;
        buckets.buckets.sort_by_key(ToString::to_string);
        Ok((members, format!("{:?}", buckets.buckets)))
    }

    /// What each replica of an object has.
    ///
    /// # Errors
    /// Says why it is not known.
    pub async fn explain(
        &self,
        address: SocketAddr,
        name: &ObjectName,
        patience: Duration,
    ) -> Result<Explained, String> {
        let path = format!("/v1/explain/{}/{}", name.bucket, name.key);
        let answer = self.get_path(address, &path, patience).await;
        let answer = answer.map_err(|error| format!("{name} is not explained: {error:?}"))?;
        if answer.status != StatusCode::OK {
            let body = String::from_utf8_lossy(&answer.body).into_owned();
            return Err(format!("{name} is not explained: {} {body}", answer.status));
        }
        Explained::parse(&answer.body)
            .map_err(|error| format!("the explanation of {name}: {error}"))
    }
}

/// The buckets and keys of a run need no escaping.
fn object_path(name: &ObjectName) -> String {
    format!("/v1/kv/{}/{}", name.bucket, name.key)
}

fn context_of(answer: &RawAnswer) -> Option<String> {
    Some(answer.headers.get(CONTEXT)?.to_str().ok()?.to_owned())
}

fn object_answer(answer: &RawAnswer) -> Answer {
    let Some(context) = context_of(answer) else { return problem(answer) };
    match answer.status {
        StatusCode::OK => {
            let value = ShownValue { bytes: answer.body.clone(), version: None };
            Answer::Object(vec![value], context)
        }
        StatusCode::NOT_FOUND => Answer::Object(Vec::new(), context),
        StatusCode::MULTIPLE_CHOICES => siblings(&answer.body)
            .map_or_else(Answer::Odd, |values| Answer::Object(values, context)),
        _ => problem(answer),
    }
}

fn siblings(body: &[u8]) -> Result<Vec<ShownValue>, String> {
    #[derive(Deserialize)]
    struct Body {
        siblings: Vec<Sibling>,
    }
    #[derive(Deserialize)]
    struct Sibling {
        value: String,
        dot: String,
        written_at: String,
    }
    let body: Body = serde_json::from_slice(body).map_err(|error| format!("siblings: {error}"))?;
    let shown = body.siblings.into_iter().map(|sibling| {
        let bytes = STANDARD.decode(&sibling.value).map_err(|e| format!("a sibling: {e}"))?;
        let dot = parse_dot(&sibling.dot)?;
        let written_at = parse_time(&sibling.written_at)?;
        Ok(ShownValue { bytes: bytes.into(), version: Some((dot, written_at)) })
    });
    shown.collect()
}

fn stored_answer(answer: &RawAnswer) -> Answer {
    if answer.status != StatusCode::NO_CONTENT {
        return problem(answer);
    }
    let receipt = answer.headers.get(RECEIPT).and_then(|value| parse_receipt(value.to_str().ok()?));
    match (context_of(answer), receipt) {
        (Some(context), Some(receipt)) => Answer::Stored(context, receipt),
        (context, receipt) => {
            Answer::Odd(format!("204 with context {context:?} and receipt {receipt:?}"))
        }
    }
}

fn page_answer(answer: &RawAnswer) -> Answer {
    #[derive(Deserialize)]
    struct Body {
        keys: Vec<String>,
    }
    if answer.status != StatusCode::OK {
        return problem(answer);
    }
    match serde_json::from_slice::<Body>(&answer.body) {
        Ok(body) => Answer::Page(body.keys),
        Err(error) => Answer::Odd(format!("a page: {error}")),
    }
}

fn problem(answer: &RawAnswer) -> Answer {
    #[derive(Deserialize)]
    struct Body {
        r#type: String,
    }
    let kind = serde_json::from_slice::<Body>(&answer.body).ok();
    let kind = kind.and_then(|body| Some(body.r#type.rsplit(':').next()?.to_owned()));
    match kind.filter(|_| !answer.status.is_success()) {
        Some(kind) => Answer::Problem(kind),
        None => {
            let body = String::from_utf8_lossy(&answer.body).into_owned();
            Answer::Odd(format!("{} without a problem: {body}", answer.status))
        }
    }
}

fn parse_receipt(text: &str) -> Option<Receipt> {
    let mut receipt = Receipt { copies: 0, synced: 0, nodes: 0, zones: 0, hints: 0 };
    for part in text.split(';') {
        let (name, number) = part.split_once('=')?;
        let number = number.parse().ok()?;
        match name {
            "copies" => receipt.copies = number,
            "synced" => receipt.synced = number,
            "nodes" => receipt.nodes = number,
            "zones" => receipt.zones = number,
            "hints" => receipt.hints = number,
            _ => return None,
        }
    }
    Some(receipt)
}

fn parse_dot(text: &str) -> Result<Dot, String> {
    let dot = text.split_once(':').and_then(|(actor, counter)| {
        let actor: ActorId = actor.parse().ok()?;
        Some(Dot { actor, counter: counter.parse().ok()? })
    });
    dot.ok_or_else(|| format!("`{text}` is no dot"))
}

fn parse_time(text: &str) -> Result<WallTime, String> {
    let time = humantime::parse_rfc3339(text).map_err(|error| format!("`{text}`: {error}"))?;
    let since_1970 = time.duration_since(std::time::UNIX_EPOCH);
    let micros = since_1970.ok().and_then(|since| u64::try_from(since.as_micros()).ok());
    micros.map(WallTime).ok_or_else(|| format!("`{text}` is before 1970"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(status: u16, headers: &[(&'static str, &'static str)], body: &str) -> RawAnswer {
        let headers = headers.iter().map(|(name, value)| {
            (hyper::header::HeaderName::from_static(name), value.parse().unwrap())
        });
        RawAnswer {
            status: StatusCode::from_u16(status).unwrap(),
            headers: headers.collect(),
            body: Bytes::from(body.to_owned()),
        }
    }

    #[test]
    fn objects_of_no_one_and_several_values_are_told_apart() {
        let context = [("dynamo-context", "abc")];
        let none = object_answer(&raw(404, &context, r#"{"type":"urn:dynamo:problem:no-such"}"#));
        assert_eq!(none, Answer::Object(vec![], "abc".into()));
        let one = object_answer(&raw(200, &context, "milk"));
        let milk = ShownValue { bytes: "milk".into(), version: None };
        assert_eq!(one, Answer::Object(vec![milk], "abc".into()));
        let body = r#"{"context":"abc","siblings":[{"value":"bWlsaw==","content_type":"text/plain",
            "dot":"00000000000000ab:7","written_at":"1970-01-01T00:00:01.000002Z"}]}"#;
        let version = (Dot { actor: ActorId(0xab), counter: 7 }, WallTime(1_000_002));
        let milk = ShownValue { bytes: "milk".into(), version: Some(version) };
        let several = object_answer(&raw(300, &context, body));
        assert_eq!(several, Answer::Object(vec![milk], "abc".into()));
    }

    #[test]
    fn problems_are_named_and_everything_else_is_odd() {
        let body = r#"{"type":"urn:dynamo:problem:overloaded","status":503}"#;
        assert_eq!(stored_answer(&raw(503, &[], body)), Answer::Problem("overloaded".into()));
        assert!(matches!(stored_answer(&raw(503, &[], "oops")), Answer::Odd(_)));
        assert!(matches!(stored_answer(&raw(204, &[], "")), Answer::Odd(_)));
        assert!(matches!(object_answer(&raw(200, &[], "no context")), Answer::Odd(_)));
        assert!(matches!(stored_answer(&raw(200, &[], body)), Answer::Odd(_)));
    }

    #[test]
    fn a_receipt_is_read() {
        let headers = [
            ("dynamo-context", "abc"),
            ("dynamo-receipt", "copies=3;synced=2;nodes=3;zones=1;hints=0"),
        ];
        let receipt = Receipt { copies: 3, synced: 2, nodes: 3, zones: 1, hints: 0 };
        let stored = stored_answer(&raw(204, &headers, ""));
        assert_eq!(stored, Answer::Stored("abc".into(), receipt));
    }
}
