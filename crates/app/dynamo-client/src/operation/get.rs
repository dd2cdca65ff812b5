//! Reading an object.

use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::time::Duration;

use dynamo_messages::{ObjectReply, Options, Reply, Request};
use dynamo_types::{NodeId, ObjectName};

use super::{Context, Object};
use crate::client::{Client, Course, unexpected};
use crate::error::GetError;

/// A read in the making. Await it.
#[derive(Debug, Clone)]
#[must_use = "nothing is read until it is awaited"]
pub struct Get {
    client: Client,
    name: ObjectName,
    options: Options,
    course: Course,
}

impl Get {
    pub(crate) fn new(client: &Client, name: ObjectName) -> Self {
        let course = Course { name: Some(name.clone()), ..Course::default() };
        Self { client: client.clone(), name, options: Options::default(), course }
    }

    /// Replies to wait for, instead of the bucket's r.
    pub fn r(mut self, r: u8) -> Self {
        self.options.r = Some(r);
        self
    }

    /// Lets only the partition's own replicas count.
    pub fn strict(mut self) -> Self {
        self.options.strict = true;
        self
    }

    /// How long all attempts may take, instead of the client's timeout.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.course.timeout = Some(timeout);
        self
    }

    /// Lets this node coordinate the read, and no other.
    pub fn only_at(mut self, node: NodeId) -> Self {
        self.course.only = Some(node);
        self
    }

    /// Reads.
    ///
    /// # Errors
    /// See [`GetError`].
    pub async fn send(self) -> Result<Object, GetError> {
        let Self { client, name, options, course } = self;
        let request = |attempt: crate::client::Attempt| Request::Get {
            name: name.clone(),
            options: Options { timeout_ms: Some(attempt.timeout_ms), ..options },
        };
        let (node, reply) = client.call(course, request).await?;
        let Reply::Object(ObjectReply { siblings, context }) = reply else {
            return Err(unexpected().into());
        };
        let context = Context { text: context, answered_by: Some(node) };
        Ok(Object { siblings, context })
    }
}

impl IntoFuture for Get {
    type Output = Result<Object, GetError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.send())
    }
}
