//! Operations over HTTP: a plain client with connections kept alive.

use bytes::Bytes;
use dynamo_client::{Bucket, Key};
use http_body_util::{BodyExt as _, Full};
use hyper::header::HeaderValue;
use hyper::{Method, Request, StatusCode, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

const CONTEXT: &str = "dynamo-context";

/// The nodes of a cluster over HTTP, each asked in turn.
#[derive(Debug, Clone)]
pub(crate) struct HttpTarget {
    client: Client<HttpConnector, Full<Bytes>>,
    bases: Vec<String>,
}

impl HttpTarget {
    /// Of nodes at these `host:port`.
    pub(crate) fn new(addresses: Vec<String>) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let client = Client::builder(TokioExecutor::new()).build(connector);
        let bases = addresses.into_iter().map(|address| format!("http://{address}")).collect();
        Self { client, bases }
    }

    fn uri(&self, turn: u64, path: &str) -> Result<Uri, String> {
        let count = u64::try_from(self.bases.len()).expect("few nodes");
        let base = usize::try_from(turn % count).expect("below a count of nodes");
        format!("{}{path}", self.bases[base]).parse().map_err(|_| "no address".to_owned())
    }

    async fn ask(&self, request: Request<Full<Bytes>>) -> Result<Answer, String> {
        let answer = self.client.request(request).await.map_err(|_| "no answer".to_owned())?;
        let (head, body) = answer.into_parts();
        let body = body.collect().await.map_err(|_| "cut off".to_owned())?.to_bytes();
        Ok(Answer { status: head.status, context: head.headers.get(CONTEXT).cloned(), body })
    }

    /// Reads an object through the `turn`th node; gives its context.
    pub(crate) async fn get(
        &self,
        turn: u64,
        bucket: &Bucket,
        key: &Key,
    ) -> Result<Option<HeaderValue>, String> {
        let uri = self.uri(turn, &path(bucket, key))?;
        let request = Request::get(uri).body(Full::default()).expect("a sound request");
        let answer = self.ask(request).await?;
        match answer.status {
            StatusCode::OK | StatusCode::MULTIPLE_CHOICES | StatusCode::NOT_FOUND => {
                Ok(answer.context)
            }
            other => Err(format!("HTTP {}", other.as_u16())),
        }
    }

    /// Writes an object through the `turn`th node; gives its new context.
    pub(crate) async fn put(
        &self,
        turn: u64,
        bucket: &Bucket,
        key: &Key,
        value: Bytes,
        context: Option<HeaderValue>,
    ) -> Result<Option<HeaderValue>, String> {
        let uri = self.uri(turn, &path(bucket, key))?;
        let mut request = Request::builder().method(Method::PUT).uri(uri);
        if let Some(context) = context {
            request = request.header(CONTEXT, context);
        }
        let request = request.body(Full::new(value)).expect("a sound request");
        let answer = self.ask(request).await?;
        if answer.status == StatusCode::NO_CONTENT {
            Ok(answer.context)
        } else {
            Err(format!("HTTP {}", answer.status.as_u16()))
        }
    }

    /// The metrics of every node, if all can be read.
    pub(crate) async fn metrics(&self) -> Option<Vec<String>> {
        let mut texts = Vec::new();
        for turn in 0..u64::try_from(self.bases.len()).expect("few nodes") {
            let uri = self.uri(turn, "/metrics").ok()?;
            let request = Request::get(uri).body(Full::default()).expect("a sound request");
            let answer = self.ask(request).await.ok()?;
            if answer.status != StatusCode::OK {
                return None;
            }
            texts.push(String::from_utf8_lossy(&answer.body).into_owned());
        }
        Some(texts)
    }
}

struct Answer {
    status: StatusCode,
    context: Option<HeaderValue>,
    body: Bytes,
}

/// The keys of a benchmark need no escaping.
fn path(bucket: &Bucket, key: &Key) -> String {
    format!("/v1/kv/{bucket}/{key}")
}
