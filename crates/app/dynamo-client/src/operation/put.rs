//! Writing and deleting an object.

use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use dynamo_messages::{Invalid, Mutation, Options, Reply, Request};
use dynamo_types::limits::{
    CONTENT_TYPE_BYTES_MAX, CONTEXT_TEXT_BYTES_MAX, CONTEXTS_PER_PUT_MAX, VALUE_BYTES_CEILING,
};
use dynamo_types::{NodeId, ObjectName, RequestId};
use dynamo_versioning::Content;

use super::{Context, Get, Stored};
use crate::client::{Attempt, Client, Course, invalid, unexpected};
use crate::error::{DeleteError, PutError};
use crate::outcome::Failed;

/// What puts and deletes have in common.
#[derive(Debug, Clone)]
struct Change {
    client: Client,
    name: ObjectName,
    contexts: Vec<String>,
    request: RequestId,
    repeats: bool,
    options: Options,
    course: Course,
}

/// A put in the making. Await it.
#[derive(Debug, Clone)]
#[must_use = "nothing is written until it is awaited"]
pub struct Put {
    change: Change,
    value: Bytes,
    content_type: Bytes,
}

/// A delete in the making. Await it.
#[derive(Debug, Clone)]
#[must_use = "nothing is deleted until it is awaited"]
pub struct Delete {
    change: Change,
}

impl Change {
    fn new(client: &Client, name: ObjectName) -> Self {
        Self {
            client: client.clone(),
            contexts: Vec::new(),
            request: RequestId(rand::random()),
            repeats: false,
            options: Options::default(),
            course: Course { name: Some(name.clone()), changes: true, ..Course::default() },
            name,
        }
    }

    fn add_context(&mut self, context: Context) {
        self.course.preferred = self.course.preferred.or(context.answered_by);
        self.contexts.push(context.text);
    }

    /// Refuses here what a node could not even read.
    fn check(&self, content: &Content) -> Result<(), Failed> {
        if self.contexts.len() > CONTEXTS_PER_PUT_MAX {
            let detail = format!("a put carries at most {CONTEXTS_PER_PUT_MAX} contexts");
            return Err(invalid(Invalid::Context, detail));
        }
        if self.contexts.iter().any(|context| context.len() > CONTEXT_TEXT_BYTES_MAX) {
            let detail = format!("a context has at most {CONTEXT_TEXT_BYTES_MAX} characters");
            return Err(invalid(Invalid::Context, detail));
        }
        let Content::Value { bytes, content_type } = content else { return Ok(()) };
        if content_type.len() > CONTENT_TYPE_BYTES_MAX {
            let detail = format!("a content type has at most {CONTENT_TYPE_BYTES_MAX} bytes");
            return Err(invalid(Invalid::Option, detail));
        }
        if bytes.len() > VALUE_BYTES_CEILING {
            let detail = format!("no value is longer than {VALUE_BYTES_CEILING} bytes");
            return Err(invalid(Invalid::ValueTooLarge, detail));
        }
        Ok(())
    }

    async fn send(self, content: Content) -> Result<Stored, PutError> {
        let id = self.request;
        self.try_send(content).await.map_err(|failed| PutError::of(failed, id))
    }

    async fn try_send(self, content: Content) -> Result<Stored, Failed> {
        self.check(&content)?;
        let Self { client, name, contexts, request: id, repeats, options, course } = self;
        let request = |attempt: Attempt| {
            Request::Mutate(Mutation {
                name: name.clone(),
                content: content.clone(),
                contexts: contexts.clone(),
                request: id,
                retry: repeats || attempt.again,
                options: Options { timeout_ms: Some(attempt.timeout_ms), ..options },
            })
        };
        let (node, reply) = client.call(course, request).await?;
        let Reply::Stored { context, receipt } = reply else { return Err(unexpected()) };
        Ok(Stored { context: Context { text: context, answered_by: Some(node) }, receipt })
    }
}

macro_rules! change_options {
    () => {
        /// The versions that a read showed are to be replaced. Several contexts may be given, one
        /// for each read that was merged.
        pub fn context(mut self, context: Context) -> Self {
            self.change.add_context(context);
            self
        }

        /// Copies to store before the answer, instead of the bucket's w.
        pub fn w(mut self, w: u8) -> Self {
            self.change.options.w = Some(w);
            self
        }

        /// Lets only the partition's own replicas count.
        pub fn strict(mut self) -> Self {
            self.change.options.strict = true;
            self
        }

        /// How long all attempts may take, instead of the client's timeout.
        pub fn timeout(mut self, timeout: Duration) -> Self {
            self.change.course.timeout = Some(timeout);
            self
        }

        /// Asks under the request id of an earlier call whose outcome is unknown, so that the
        /// cluster makes one version of both. Everything else must be the same.
        pub fn again_as(mut self, request: RequestId) -> Self {
            self.change.request = request;
            self.change.repeats = true;
            self
        }

        /// Lets this node take the request, and no other.
        pub fn only_at(mut self, node: NodeId) -> Self {
            self.change.course.only = Some(node);
            self
        }
    };
}

impl Put {
    pub(crate) fn new(client: &Client, name: ObjectName, value: Bytes) -> Self {
        let content_type = Bytes::from_static(b"application/octet-stream");
        Self { change: Change::new(client, name), value, content_type }
    }

    change_options!();

    /// What the value is, `application/octet-stream` if nothing is said.
    pub fn content_type(mut self, content_type: impl Into<Bytes>) -> Self {
        self.content_type = content_type.into();
        self
    }

    /// Writes.
    ///
    /// # Errors
    /// See [`PutError`].
    pub async fn send(self) -> Result<Stored, PutError> {
        let content = Content::Value { bytes: self.value, content_type: self.content_type };
        self.change.send(content).await
    }
}

impl Delete {
    pub(crate) fn new(client: &Client, name: ObjectName) -> Self {
        Self { change: Change::new(client, name) }
    }

    change_options!();

    /// Deletes.
    ///
    /// # Errors
    /// See [`DeleteError`].
    pub async fn send(mut self) -> Result<Stored, DeleteError> {
        if self.change.contexts.is_empty() {
            let mut get = Get::new(&self.change.client, self.change.name.clone());
            if let Some(timeout) = self.change.course.timeout {
                get = get.timeout(timeout);
            }
            if let Some(node) = self.change.course.only {
                get = get.only_at(node);
            }
            let seen = get.send().await.map_err(DeleteError::Read)?;
            self.change.add_context(seen.context);
        }
        Ok(self.change.send(Content::Tombstone).await?)
    }
}

impl IntoFuture for Put {
    type Output = Result<Stored, PutError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.send())
    }
}

impl IntoFuture for Delete {
    type Output = Result<Stored, DeleteError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.send())
    }
}
