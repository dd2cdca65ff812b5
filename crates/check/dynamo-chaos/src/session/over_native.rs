//! A session's requests through the client library.

use dynamo_checker::history::KeyIndex;
use dynamo_client::operation::{Context, Stored};
use dynamo_client::{Bucket, Client, DeleteError, GetError, Invalid, ListError, PutError};

use super::{Sent, Session, Shown, Writing};
use crate::http::{Query, ShownValue};
use crate::observations::NATIVE;

/// How a put and a delete of the library come out alike.
enum Failure {
    Unknown,
    NotApplied,
    Odd(String),
}

impl Session {
    pub(super) async fn get_native(
        &self,
        client: &Client,
        key: KeyIndex,
        query: Query,
    ) -> Option<Shown> {
        let name = self.workload.name(key);
        let mut get = client.get(&name.bucket, &name.key).timeout(self.patience);
        if let Some(r) = query.r {
            get = get.r(r);
        }
        if query.strict {
            get = get.strict();
        }
        match get.send().await {
            Ok(object) => {
                let values = object.siblings.into_iter().map(|sibling| ShownValue {
                    bytes: sibling.value,
                    version: Some((sibling.dot, sibling.written_at)),
                });
                Some((values.collect(), object.context.as_str().to_owned()))
            }
            Err(error @ (GetError::Invalid { .. } | GetError::Unexpected)) => {
                self.recorder.odd(format!("a native get of {name}: {error}"));
                None
            }
            Err(_) => None,
        }
    }

    pub(super) async fn list_native(&self, bucket: &Bucket) -> bool {
        let super::Way::Native(client) = &self.way else { return false };
        match client.list(bucket).next_page().await {
            Ok(keys) => {
                let known = |key: &dynamo_client::Key| {
                    str::from_utf8(key.as_bytes()).is_ok_and(|key| self.workload.has_key(key))
                };
                if let Some(key) = keys.iter().flatten().find(|key| !known(key)) {
                    self.recorder.odd(format!("a native list has {key}, which nobody wrote"));
                }
                true
            }
            Err(error @ (ListError::Invalid { .. } | ListError::Unexpected)) => {
                self.recorder.odd(format!("a native list of {bucket}: {error}"));
                false
            }
            Err(_) => false,
        }
    }

    pub(super) async fn send_native(&self, client: &Client, writing: &Writing) -> Sent {
        let name = self.workload.name(writing.key);
        let request = self.recorder.request_id(writing.id);
        // The library makes attempts of its own, of which it tells nothing: two stand for many.
        self.recorder.attempt(writing.id, NATIVE);
        self.recorder.attempt(writing.id, NATIVE);
        let contexts = || writing.contexts.iter().cloned().map(Context::from);
        let outcome = if let Some(value) = &writing.value {
            let mut put = client.put(&name.bucket, &name.key, value.clone());
            put = put.content_type("text/plain").again_as(request).timeout(self.patience);
            put = contexts().fold(put, dynamo_client::Put::context);
            if let Some(w) = writing.query.w {
                put = put.w(w);
            }
            put.send().await.map_err(|error| of_put(&error))
        } else {
            let mut delete = client.delete(&name.bucket, &name.key);
            delete = delete.again_as(request).timeout(self.patience);
            delete = contexts().fold(delete, dynamo_client::Delete::context);
            if let Some(w) = writing.query.w {
                delete = delete.w(w);
            }
            delete.send().await.map_err(|error| of_delete(&error))
        };
        match outcome {
            Ok(Stored { context, receipt }) => {
                Sent::Stored(NATIVE, (context.as_str().to_owned(), receipt))
            }
            Err(Failure::Unknown) => Sent::Unknown,
            Err(Failure::NotApplied) => Sent::Failed,
            Err(Failure::Odd(what)) => {
                self.recorder.odd(format!("a native write to {name}: {what}"));
                Sent::Failed
            }
        }
    }
}

fn of_put(error: &PutError) -> Failure {
    match error {
        PutError::OutcomeUnknown { .. } => Failure::Unknown,
        PutError::Invalid { reason: Invalid::TooManySiblings, .. } => Failure::NotApplied,
        PutError::Invalid { .. } => Failure::Odd(error.to_string()),
        _ => Failure::NotApplied,
    }
}

fn of_delete(error: &DeleteError) -> Failure {
    match error {
        DeleteError::Read(error @ (GetError::Invalid { .. } | GetError::Unexpected)) => {
            Failure::Odd(error.to_string())
        }
        DeleteError::Read(_) => Failure::NotApplied,
        DeleteError::Write(error) => of_put(error),
    }
}
