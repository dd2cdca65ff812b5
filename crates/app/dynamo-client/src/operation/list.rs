//! Listing the keys of a bucket.

use std::time::Duration;

use bytes::Bytes;
use dynamo_messages::{ListPage, Options, Reply, Request};
use dynamo_types::limits::LIST_LIMIT_MAX;
use dynamo_types::{Bucket, Key};

use crate::client::{Attempt, Client, Course, unexpected};
use crate::error::ListError;

/// A listing: pages of keys in the order of the ring. Keys that are written or deleted meanwhile
/// may be in it or not; all others are, once.
#[derive(Debug, Clone)]
pub struct List {
    client: Client,
    bucket: Bucket,
    after: Option<Key>,
    prefix: Bytes,
    limit: u32,
    options: Options,
    course: Course,
    ended: bool,
}

impl List {
    pub(crate) fn new(client: &Client, bucket: Bucket) -> Self {
        Self {
            client: client.clone(),
            bucket,
            after: None,
            prefix: Bytes::new(),
            limit: LIST_LIMIT_MAX,
            options: Options::default(),
            course: Course::default(),
            ended: false,
        }
    }

    /// Lists only keys that begin with these bytes.
    #[must_use]
    pub fn prefix(mut self, prefix: impl Into<Bytes>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// Begins after this key, which need not exist.
    #[must_use]
    pub fn after(mut self, key: Key) -> Self {
        self.after = Some(key);
        self
    }

    /// Keys of a page at most, 1 to 1,000; 1,000 if nothing is said.
    #[must_use]
    pub fn page_size(mut self, keys: u32) -> Self {
        self.limit = keys.clamp(1, LIST_LIMIT_MAX);
        self
    }

    /// How long all attempts at one page may take, instead of the client's timeout.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.course.timeout = Some(timeout);
        self
    }

    /// The next page; none after the last one. After an error the same page can be asked for
    /// again.
    ///
    /// # Errors
    /// See [`ListError`].
    pub async fn next_page(&mut self) -> Result<Option<Vec<Key>>, ListError> {
        if self.ended {
            return Ok(None);
        }
        let request = |attempt: Attempt| Request::List {
            bucket: self.bucket.clone(),
            after: self.after.clone(),
            prefix: self.prefix.clone(),
            limit: self.limit,
            options: Options { timeout_ms: Some(attempt.timeout_ms), ..self.options },
        };
        let (_, reply) = self.client.call(self.course.clone(), request).await?;
        let Reply::Page(ListPage { keys, more }) = reply else {
            return Err(unexpected().into());
        };
        // More without a key to go on from would go on for ever.
        self.ended = !more || keys.is_empty();
        if let Some(last) = keys.last() {
            self.after = Some(last.clone());
        }
        Ok((!keys.is_empty()).then_some(keys))
    }
}
