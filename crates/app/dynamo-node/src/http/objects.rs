//! Objects: get, put, delete, and pages of keys.

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use axum::body::Body;
use axum::extract::State;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use dynamo_messages::{
    ListPage, Mutation, ObjectReply, Receipt, Reply, Request as StoreRequest, SiblingReply,
};
use dynamo_types::limits::{CONTENT_TYPE_BYTES_MAX, CONTEXT_TEXT_BYTES_MAX, CONTEXTS_PER_PUT_MAX};
use dynamo_types::{Key, ObjectName, RequestId, WallTime};
use dynamo_versioning::Content;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, Uri};
use serde::Serialize;

use super::body;
use super::problem::{Problem, ProblemKind};
use super::router::{answer, json, unexpected};
use super::state::HttpState;
use super::target::{self, Query};

const CONTEXT: HeaderName = HeaderName::from_static("dynamo-context");
const SIBLINGS: HeaderName = HeaderName::from_static("dynamo-siblings");
const RECEIPT: HeaderName = HeaderName::from_static("dynamo-receipt");
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// A longer idempotency key is a mistake: a UUID has 36 characters.
const IDEMPOTENCY_KEY_BYTES_MAX: usize = 255;

const DEFAULT_CONTENT_TYPE: HeaderValue = HeaderValue::from_static("application/octet-stream");

/// `GET /v1/kv/{bucket}/{key}`.
pub(super) async fn get(State(state): State<Arc<HttpState>>, uri: Uri) -> Response<Body> {
    answer(get_object(&state, &uri).await)
}

async fn get_object(state: &HttpState, uri: &Uri) -> Result<Response<Body>, Problem> {
    let name = target::object(uri.path(), target::OBJECTS)?;
    let mut query = Query::parse(uri.query())?;
    let options = query.options(state.facts.replication)?;
    query.finish()?;
    let reply = state.node.ask(StoreRequest::Get { name, options }).await;
    match reply.map_err(|error| Problem::of_ask(error, false))? {
        Reply::Object(object) => object_response(object),
        other => Err(unexpected(other)),
    }
}

#[derive(Serialize)]
struct SiblingsBody<'a> {
    context: &'a str,
    siblings: Vec<SiblingBody>,
}

#[derive(Serialize)]
struct SiblingBody {
    value: String,
    content_type: String,
    dot: String,
    written_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<String>,
}

fn object_response(mut object: ObjectReply) -> Result<Response<Body>, Problem> {
    let count = object.siblings.len();
    let mut response = match count {
        0 => Problem::new(ProblemKind::NoSuchObject, "the key has no value").into_response(),
        1 => {
            let sibling = object.siblings.remove(0);
            let content_type = HeaderValue::from_bytes(&sibling.content_type).ok();
            let content_type = content_type.filter(|value| !value.is_empty());
            let mut response = Response::new(Body::from(sibling.value));
            let content_type = content_type.unwrap_or(DEFAULT_CONTENT_TYPE);
            response.headers_mut().insert(CONTENT_TYPE, content_type);
            response
        }
        _ => {
            let siblings = object.siblings.iter().map(sibling_body).collect();
            let body = SiblingsBody { context: &object.context, siblings };
            let mut response = json(&body);
            *response.status_mut() = StatusCode::MULTIPLE_CHOICES;
            response
        }
    };
    let headers = response.headers_mut();
    headers.insert(SIBLINGS, HeaderValue::from(count));
    // Also where there is no value: a put after a delete must cover the tombstone.
    headers.insert(CONTEXT, context_value(object.context)?);
    Ok(response)
}

fn sibling_body(sibling: &SiblingReply) -> SiblingBody {
    SiblingBody {
        value: STANDARD.encode(&sibling.value),
        content_type: String::from_utf8_lossy(&sibling.content_type).into_owned(),
        dot: format!("{}:{}", sibling.dot.actor, sibling.dot.counter),
        written_at: timestamp(sibling.written_at),
        expires_at: sibling.expires_at.map(timestamp),
    }
}

/// RFC 3339 in UTC with microseconds.
pub(super) fn timestamp(at: WallTime) -> String {
    // Clocks that run wild still give a valid date: the format ends with the year 9999.
    const LAST: Duration = Duration::from_secs(253_402_300_799);
    let since_1970 = Duration::from_micros(at.0).min(LAST);
    humantime::format_rfc3339_micros(UNIX_EPOCH + since_1970).to_string()
}

fn context_value(context: String) -> Result<HeaderValue, Problem> {
    HeaderValue::try_from(context)
        .map_err(|_| Problem::new(ProblemKind::Internal, "a context that no header can carry"))
}

/// `PUT /v1/kv/{bucket}/{key}`.
pub(super) async fn put(
    State(state): State<Arc<HttpState>>,
    request: Request<Body>,
) -> Response<Body> {
    answer(put_object(&state, request).await)
}

async fn put_object(state: &HttpState, request: Request<Body>) -> Result<Response<Body>, Problem> {
    let target = MutationTarget::of(state, request.uri(), request.headers())?;
    let content_type = request.headers().get(CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
    if content_type.len() > CONTENT_TYPE_BYTES_MAX {
        let detail = format!("Content-Type has at most {CONTENT_TYPE_BYTES_MAX} bytes");
        return Err(Problem::new(ProblemKind::InvalidHeader, detail));
    }
    let content_type = Bytes::copy_from_slice(content_type);
    let bytes_max = state.facts.limits.value_bytes_max;
    let body = request.into_body();
    let _room = state.in_flight.body(body::expected_bytes(&body, bytes_max))?;
    let bytes = body::receive(body, bytes_max, state.settings.http.body_timeout).await?;
    mutate(state, target, Content::Value { bytes, content_type }).await
}

/// `DELETE /v1/kv/{bucket}/{key}`.
pub(super) async fn delete(
    State(state): State<Arc<HttpState>>,
    uri: Uri,
    headers: HeaderMap,
) -> Response<Body> {
    answer(match MutationTarget::of(&state, &uri, &headers) {
        Ok(target) => mutate(&state, target, Content::Tombstone).await,
        Err(problem) => Err(problem),
    })
}

/// What a put and a delete have in common.
struct MutationTarget {
    name: ObjectName,
    contexts: Vec<String>,
    request: RequestId,
    retry: bool,
    options: dynamo_messages::Options,
}

impl MutationTarget {
    fn of(state: &HttpState, uri: &Uri, headers: &HeaderMap) -> Result<Self, Problem> {
        let name = target::object(uri.path(), target::OBJECTS)?;
        let mut query = Query::parse(uri.query())?;
        let options = query.options(state.facts.replication)?;
        query.finish()?;
        let contexts = contexts(headers)?;
        let (request, retry) = request_id(state, &name, headers)?;
        Ok(Self { name, contexts, request, retry, options })
    }
}

async fn mutate(
    state: &HttpState,
    target: MutationTarget,
    content: Content,
) -> Result<Response<Body>, Problem> {
    let MutationTarget { name, contexts, request, retry, options } = target;
    let mutation = Mutation { name, content, contexts, request, retry, options };
    let reply = state.node.ask(StoreRequest::Mutate(mutation)).await;
    match reply.map_err(|error| Problem::of_ask(error, true))? {
        Reply::Stored { context, receipt } => {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = StatusCode::NO_CONTENT;
            response.headers_mut().insert(CONTEXT, context_value(context)?);
            response.headers_mut().insert(RECEIPT, receipt_value(receipt));
            Ok(response)
        }
        other => Err(unexpected(other)),
    }
}

fn receipt_value(receipt: Receipt) -> HeaderValue {
    let Receipt { copies, synced, nodes, zones, hints } = receipt;
    let text = format!("copies={copies};synced={synced};nodes={nodes};zones={zones};hints={hints}");
    HeaderValue::try_from(text).expect("letters, digits and `=;`")
}

/// All contexts of a request: the header may repeat, and one header may hold several with commas.
fn contexts(headers: &HeaderMap) -> Result<Vec<String>, Problem> {
    let refused = |detail: String| Problem::new(ProblemKind::InvalidContext, detail);
    let mut contexts = Vec::new();
    for header in headers.get_all(CONTEXT) {
        let text = header.to_str().map_err(|_| refused("not the text of a context".to_owned()))?;
        for context in text.split(',').map(str::trim).filter(|context| !context.is_empty()) {
            if context.len() > CONTEXT_TEXT_BYTES_MAX {
                let detail = format!("a context has at most {CONTEXT_TEXT_BYTES_MAX} bytes");
                return Err(refused(detail));
            }
            contexts.push(context.to_owned());
        }
    }
    if contexts.len() > CONTEXTS_PER_PUT_MAX {
        return Err(refused(format!("a put takes at most {CONTEXTS_PER_PUT_MAX} contexts")));
    }
    Ok(contexts)
}

/// The request's id, and whether an earlier attempt may have been made. With an idempotency key
/// that is always assumed, because no node can know what another one was asked.
fn request_id(
    state: &HttpState,
    name: &ObjectName,
    headers: &HeaderMap,
) -> Result<(RequestId, bool), Problem> {
    let mut given = headers.get_all(IDEMPOTENCY_KEY).iter();
    let Some(key) = given.next() else {
        let mut id = [0; 16];
        getrandom::fill(&mut id).map_err(|error| {
            Problem::new(ProblemKind::Internal, format!("no randomness: {error}"))
        })?;
        return Ok((RequestId(u128::from_be_bytes(id)), false));
    };
    let key = key.as_bytes();
    if given.next().is_some() || !(1..=IDEMPOTENCY_KEY_BYTES_MAX).contains(&key.len()) {
        let detail = format!("one Idempotency-Key of 1 to {IDEMPOTENCY_KEY_BYTES_MAX} bytes");
        return Err(Problem::new(ProblemKind::InvalidHeader, detail));
    }
    // Keyed with the cluster's secret, so that nobody can guess the id of another client's put.
    // Lengths go first: no two triples may hash alike by moving a border.
    let mut hasher = blake3::Hasher::new_keyed(&state.facts.secret.0);
    hasher.update(b"idempotency key");
    for part in [name.bucket.as_bytes(), name.key.as_bytes(), key] {
        hasher.update(&u64::try_from(part.len()).expect("short").to_be_bytes());
        hasher.update(part);
    }
    let mut id = [0; 16];
    id.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    Ok((RequestId(u128::from_be_bytes(id)), true))
}

/// `GET /v1/kv/{bucket}`.
pub(super) async fn list(State(state): State<Arc<HttpState>>, uri: Uri) -> Response<Body> {
    answer(list_keys(&state, &uri).await)
}

async fn list_keys(state: &HttpState, uri: &Uri) -> Result<Response<Body>, Problem> {
    let bucket = target::bucket(uri.path(), target::OBJECTS)?;
    let mut query = Query::parse(uri.query())?;
    let limit = query.limit()?;
    let prefix = query.take("prefix").unwrap_or_default();
    let after = query.take("after").map(Key::new).transpose();
    let after = after.map_err(|error| {
        Problem::new(ProblemKind::InvalidParameter, format!("`after`: {error}"))
    })?;
    let options = query.options(state.facts.replication)?;
    query.finish()?;
    let asked = StoreRequest::List { bucket, after, prefix, limit, options };
    match state.node.ask(asked).await.map_err(|error| Problem::of_ask(error, false))? {
        Reply::Page(page) => Ok(page_response(&page)),
        other => Err(unexpected(other)),
    }
}

/// A key in JSON: its text if it is UTF-8, else its bytes, in a form that cannot be mistaken.
#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum KeyBody<'a> {
    Text(&'a str),
    Bytes { base64: String },
}

impl<'a> KeyBody<'a> {
    pub(super) fn of(key: &'a Key) -> Self {
        match str::from_utf8(key.as_bytes()) {
            Ok(text) => Self::Text(text),
            Err(_) => Self::Bytes { base64: STANDARD.encode(key.as_bytes()) },
        }
    }
}

#[derive(Serialize)]
struct PageBody<'a> {
    keys: Vec<KeyBody<'a>>,
    more: bool,
    /// What `after` must be for the next page, ready for a query.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

fn page_response(page: &ListPage) -> Response<Body> {
    let keys = page.keys.iter().map(KeyBody::of);
    let last = page.keys.last().filter(|_| page.more);
    let next = last.map(|key| {
        percent_encoding::percent_encode(key.as_bytes(), percent_encoding::NON_ALPHANUMERIC)
            .to_string()
    });
    json(&PageBody { keys: keys.collect(), more: page.more, next })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_shows_text_as_text_and_bytes_as_base64() {
        let key = |bytes: &'static [u8]| Key::new(bytes).unwrap();
        let page = ListPage { keys: vec![key(b"a b"), key(b"\xff/")], more: true };
        let response = page_response(&page);
        assert_eq!(response.status(), 200);
        let body = PageBody {
            keys: vec![KeyBody::Text("a b"), KeyBody::Bytes { base64: "/y8=".into() }],
            more: true,
            next: Some("%FF%2F".into()),
        };
        let expected = r#"{"keys":["a b",{"base64":"/y8="}],"more":true,"next":"%FF%2F"}"#;
        assert_eq!(serde_json::to_string(&body).unwrap(), expected);
    }

    #[test]
    fn times_are_dates_in_utc_with_microseconds() {
        assert_eq!(timestamp(WallTime(1_191_369_600_000_001)), "2007-10-03T00:00:00.000001Z");
        assert!(timestamp(WallTime(u64::MAX)).starts_with("9999-"));
    }

    #[test]
    fn contexts_may_repeat_or_share_a_header() {
        let mut headers = HeaderMap::new();
        assert_eq!(contexts(&headers).unwrap(), Vec::<String>::new());
        headers.append(CONTEXT, HeaderValue::from_static("a, b"));
        headers.append(CONTEXT, HeaderValue::from_static("c"));
        assert_eq!(contexts(&headers).unwrap(), ["a", "b", "c"]);
        headers.append(CONTEXT, HeaderValue::try_from("x,".repeat(14)).unwrap());
        assert_eq!(contexts(&headers).unwrap_err().kind, ProblemKind::InvalidContext);
    }
}
