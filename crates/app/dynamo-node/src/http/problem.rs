//! Every error of the HTTP interface, with its stable name.
//!
//! `docs/ERRORS.md` lists them for people and is compared with [`ProblemKind::ALL`] by a test.

use axum::body::Body;
use dynamo_messages::{Failure, Invalid};
use http::header::{ALLOW, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderName, HeaderValue, Response, StatusCode};
use serde::Serialize;

use crate::input::AskError;

macro_rules! problems {
    ($($(#[$doc:meta])* $kind:ident = $status:ident, $slug:literal, $title:literal;)*) => {
        /// What went wrong.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum ProblemKind { $($(#[$doc])* $kind,)* }

        impl ProblemKind {
            /// All kinds.
            pub const ALL: &'static [Self] = &[$(Self::$kind,)*];

            /// The last part of the problem's `type`; it never changes.
            #[must_use]
            pub fn slug(self) -> &'static str {
                match self { $(Self::$kind => $slug,)* }
            }

            /// The status.
            #[must_use]
            pub fn status(self) -> StatusCode {
                match self { $(Self::$kind => StatusCode::$status,)* }
            }

            /// The problem's `title`, the same in each case.
            #[must_use]
            pub fn title(self) -> &'static str {
                match self { $(Self::$kind => $title,)* }
            }
        }
    };
}

problems! {
    /// Not HTTP, or a body that broke off.
    MalformedRequest = BAD_REQUEST, "malformed-request", "The request is malformed";
    /// A bucket name outside its alphabet or length.
    InvalidBucket = BAD_REQUEST, "invalid-bucket", "The bucket name is invalid";
    /// An empty or overlong key, or a broken percent-encoding.
    InvalidKey = BAD_REQUEST, "invalid-key", "The key is invalid";
    /// A query parameter that is unknown, doubled, malformed or out of range.
    InvalidParameter = BAD_REQUEST, "invalid-parameter", "A parameter is invalid";
    /// A header that is malformed.
    InvalidHeader = BAD_REQUEST, "invalid-header", "A header is invalid";
    /// A context that is garbled, foreign or for another key.
    InvalidContext = BAD_REQUEST, "invalid-context", "The context is invalid";
    /// Settings of a bucket that are malformed or cannot be.
    InvalidSettings = BAD_REQUEST, "invalid-settings", "The bucket settings are invalid";
    /// A change of the members that is malformed.
    InvalidChange = BAD_REQUEST, "invalid-change", "The change of the members is malformed";
    /// No credential, or an unknown one.
    Unauthorized = UNAUTHORIZED, "unauthorized", "A valid credential is needed";
    /// A credential that does not allow this.
    Forbidden = FORBIDDEN, "forbidden", "The credential does not allow this";
    /// A path that does not exist.
    NotFound = NOT_FOUND, "not-found", "There is no such path";
    /// A key without a value.
    NoSuchObject = NOT_FOUND, "no-such-object", "The key has no value";
    /// A method that the path does not have.
    MethodNotAllowed = METHOD_NOT_ALLOWED, "method-not-allowed", "The path has no such method";
    /// A request that did not arrive in time.
    RequestTimeout = REQUEST_TIMEOUT, "request-timeout", "The request did not arrive in time";
    /// A key with as many siblings as it may hold.
    TooManySiblings = CONFLICT, "too-many-siblings", "The key holds too many siblings";
    /// A change of the members that cannot be done, or was planned for another cluster.
    ChangeRefused = CONFLICT, "change-refused", "The members cannot be changed so";
    /// A value over the limit.
    ValueTooLarge = PAYLOAD_TOO_LARGE, "value-too-large", "The value is too large";
    /// A request line over the limit.
    UriTooLong = URI_TOO_LONG, "uri-too-long", "The path and query are too long";
    /// An idempotency key that was used for another put.
    RequestIdReused = UNPROCESSABLE_ENTITY, "request-id-reused",
        "The idempotency key was used for another put";
    /// A head over the limit.
    HeadersTooLarge = REQUEST_HEADER_FIELDS_TOO_LARGE, "headers-too-large",
        "The headers are too large";
    /// A bug.
    Internal = INTERNAL_SERVER_ERROR, "internal", "The node made a mistake";
    /// Something that this build cannot do.
    Unsupported = NOT_IMPLEMENTED, "unsupported", "This build cannot do that";
    /// Too few replicas; nothing was applied.
    NotEnoughReplicas = SERVICE_UNAVAILABLE, "not-enough-replicas",
        "Too few replicas can be reached";
    /// Too much to do; nothing was applied.
    Overloaded = SERVICE_UNAVAILABLE, "overloaded", "The node has too much to do";
    /// The disk cannot be used; nothing was applied.
    StorageFailed = SERVICE_UNAVAILABLE, "storage-failed", "The node cannot use its disk";
    /// The node is not ready, or not any more.
    NotReady = SERVICE_UNAVAILABLE, "not-ready", "The node is not ready";
    /// The node is stopping; nothing was applied.
    Stopping = SERVICE_UNAVAILABLE, "stopping", "The node is stopping";
    /// It is not known whether the put takes effect.
    OutcomeUnknown = GATEWAY_TIMEOUT, "outcome-unknown", "The outcome is not known";
    /// A disk, or the space for hints, is full; nothing was applied.
    StorageFull = INSUFFICIENT_STORAGE, "storage-full", "There is no room to store it";
}

/// An error, ready to become a response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// What went wrong.
    pub kind: ProblemKind,
    /// For people, about this case.
    pub detail: String,
    /// Replicas that were reached.
    pub reached: Option<u8>,
    /// Replicas that the quorum needs.
    pub needed: Option<u8>,
    /// When to try again.
    pub retry_after_ms: Option<u32>,
    /// Further headers.
    pub headers: Vec<(HeaderName, HeaderValue)>,
}

#[derive(Serialize)]
struct ProblemBody<'a> {
    r#type: String,
    title: &'a str,
    status: u16,
    detail: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reached: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    needed: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_ms: Option<u32>,
}

impl Problem {
    /// A problem of that kind.
    pub fn new(kind: ProblemKind, detail: impl Into<String>) -> Self {
        let detail = detail.into();
        let (reached, needed, retry_after_ms) = (None, None, None);
        Self { kind, detail, reached, needed, retry_after_ms, headers: Vec::new() }
    }

    /// A problem that passes by itself.
    pub fn retry(kind: ProblemKind, detail: impl Into<String>, retry_after_ms: u32) -> Self {
        Self { retry_after_ms: Some(retry_after_ms), ..Self::new(kind, detail) }
    }

    /// What the machine says about a failed request.
    #[must_use]
    pub fn of_failure(failure: Failure) -> Self {
        match failure {
            Failure::Invalid { reason, detail } => Self::new(kind_of_invalid(reason), detail),
            Failure::NotEnoughReplicas { reached, needed } => {
                let detail = format!("{reached} of {needed} replicas; nothing was applied");
                Self::new(ProblemKind::NotEnoughReplicas, detail).counts(reached, needed)
            }
            Failure::OutcomeUnknown { reached, needed } => {
                let detail = format!("{reached} of {needed} copies were confirmed in time");
                Self::new(ProblemKind::OutcomeUnknown, detail).counts(reached, needed)
            }
            Failure::Overloaded { retry_after_ms } => {
                let detail = "refused before any work; nothing was applied";
                Self::retry(ProblemKind::Overloaded, detail, retry_after_ms)
            }
            Failure::StorageFull => Self::new(
                ProblemKind::StorageFull,
                "a disk, or the space for hints, is full; nothing was applied",
            ),
            Failure::StorageFailed => Self::new(
                ProblemKind::StorageFailed,
                "the node cannot use its disk; nothing was applied",
            ),
        }
    }

    /// What is said when the node did not answer. `mutates` tells a put from a question.
    #[must_use]
    pub fn of_ask(error: AskError, mutates: bool) -> Self {
        match error {
            AskError::Overloaded => Self::retry(ProblemKind::Overloaded, error.to_string(), 50),
            AskError::Abandoned if mutates => {
                Self::new(ProblemKind::OutcomeUnknown, error.to_string())
            }
            AskError::Stopping | AskError::Abandoned => {
                Self::retry(ProblemKind::Stopping, "the node is stopping; ask another one", 0)
            }
        }
    }

    fn counts(mut self, reached: u8, needed: u8) -> Self {
        self.reached = Some(reached);
        self.needed = Some(needed);
        self
    }

    /// The same with one more header.
    #[must_use]
    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// The body's bytes.
    #[must_use]
    pub fn body(&self) -> Vec<u8> {
        let body = ProblemBody {
            r#type: format!("urn:dynamo:problem:{}", self.kind.slug()),
            title: self.kind.title(),
            status: self.kind.status().as_u16(),
            detail: &self.detail,
            reached: self.reached,
            needed: self.needed,
            retry_after_ms: self.retry_after_ms,
        };
        serde_json::to_vec(&body).expect("strings and numbers can be written")
    }

    /// The response.
    #[must_use]
    pub fn into_response(self) -> Response<Body> {
        let mut response = Response::new(Body::from(self.body()));
        *response.status_mut() = self.kind.status();
        // For the metrics; it does not leave the process.
        response.extensions_mut().insert(self.kind);
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(milliseconds) = self.retry_after_ms {
            // Whole seconds is all that the header can say.
            headers.insert(RETRY_AFTER, HeaderValue::from(milliseconds.div_ceil(1000).max(1)));
        }
        if self.kind == ProblemKind::Unauthorized {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        for (name, value) in self.headers {
            headers.insert(name, value);
        }
        response
    }

    /// A 405 that names what the path has.
    #[must_use]
    pub fn method_not_allowed(method: &http::Method, allowed: &'static str) -> Self {
        Self::new(ProblemKind::MethodNotAllowed, format!("{method} is not one of {allowed}"))
            .with_header(ALLOW, HeaderValue::from_static(allowed))
    }
}

fn kind_of_invalid(reason: Invalid) -> ProblemKind {
    match reason {
        Invalid::Option => ProblemKind::InvalidParameter,
        Invalid::Context => ProblemKind::InvalidContext,
        Invalid::ValueTooLarge => ProblemKind::ValueTooLarge,
        Invalid::RequestIdReused => ProblemKind::RequestIdReused,
        Invalid::TooManySiblings => ProblemKind::TooManySiblings,
        Invalid::Settings => ProblemKind::InvalidSettings,
        Invalid::Unsupported => ProblemKind::Unsupported,
        // A plan for another cluster state, and a change that this state does not allow: both may be
        // right a moment later, after another plan.
        Invalid::Change => ProblemKind::ChangeRefused,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documentation_lists_exactly_the_problems_there_are() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../docs/ERRORS.md");
        let page = std::fs::read_to_string(path).unwrap();
        let listed: Vec<_> = page
            .lines()
            .filter_map(|line| line.strip_prefix("| `"))
            .filter_map(|row| row.split_once("` | "))
            .filter_map(|(slug, rest)| Some((slug, rest.split_once(" | ")?.0)))
            .collect();
        let written: Vec<_> = ProblemKind::ALL
            .iter()
            .map(|kind| (kind.slug(), kind.status().as_str().to_owned()))
            .collect();
        let written: Vec<_> =
            written.iter().map(|(slug, status)| (*slug, status.as_str())).collect();
        assert_eq!(listed, written, "docs/ERRORS.md and ProblemKind differ");
    }

    #[test]
    fn a_body_carries_what_the_failure_knows() {
        let problem = Problem::of_failure(Failure::OutcomeUnknown { reached: 1, needed: 2 });
        let body: serde_json::Value = serde_json::from_slice(&problem.body()).unwrap();
        assert_eq!(body["type"], "urn:dynamo:problem:outcome-unknown");
        assert_eq!((&body["reached"], &body["needed"]), (&1.into(), &2.into()));
        assert_eq!(body["status"], 504);
        assert!(body.get("retry_after_ms").is_none());
    }
}
