//! How an operation is done.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use dynamo_client::{Bucket, Client, Context, GetError, Key, PutError};
use hyper::header::HeaderValue;

use crate::http::HttpTarget;
use crate::workload::{Class, key_of};

/// The last contexts that were seen, for puts that must replace something. Bounded by the number
/// of records.
type Contexts<T> = Mutex<BTreeMap<u64, T>>;

/// A cluster as a benchmark speaks to it.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) bucket: Bucket,
    pub(crate) way: Way,
    /// Whether puts carry the last context that was seen for their key.
    pub(crate) with_contexts: bool,
}

/// By which protocol.
#[derive(Debug)]
pub(crate) enum Way {
    Native(Client, Contexts<Context>),
    Http(HttpTarget, Contexts<HeaderValue>),
    /// A server that takes so long for the first operation, and no time for the others.
    #[cfg(test)]
    StallsOnce(std::time::Duration),
}

impl Target {
    /// Does an operation; `turn` spreads them over the nodes where the protocol does not. An error
    /// is its kind.
    pub(crate) async fn perform(
        &self,
        turn: u64,
        class: Class,
        record: u64,
        value: Bytes,
    ) -> Result<(), String> {
        #[cfg(test)]
        if let Way::StallsOnce(stall) = &self.way {
            if turn == 0 {
                tokio::time::sleep(*stall).await;
            }
            return Ok(());
        }
        let key = key_of(record);
        match class {
            Class::Read => self.get(turn, record, &key).await,
            Class::Update | Class::Insert => self.put(turn, record, &key, value).await,
            Class::ReadModifyWrite => {
                self.get(turn, record, &key).await?;
                self.put(turn, record, &key, value).await
            }
        }
    }

    async fn get(&self, turn: u64, record: u64, key: &Key) -> Result<(), String> {
        match &self.way {
            Way::Native(client, contexts) => {
                let object = client.get(&self.bucket, key).send().await;
                let object = object.map_err(|error| get_kind(&error).to_owned())?;
                self.remember(contexts, record, Some(object.context));
            }
            Way::Http(http, contexts) => {
                let context = http.get(turn, &self.bucket, key).await?;
                self.remember(contexts, record, context);
            }
            #[cfg(test)]
            Way::StallsOnce(_) => unreachable!("it is answered at once"),
        }
        Ok(())
    }

    async fn put(&self, turn: u64, record: u64, key: &Key, value: Bytes) -> Result<(), String> {
        match &self.way {
            Way::Native(client, contexts) => {
                let mut put = client.put(&self.bucket, key, value);
                if let Some(context) = recall(contexts, record) {
                    put = put.context(context);
                }
                let stored = put.send().await.map_err(|error| put_kind(&error).to_owned())?;
                self.remember(contexts, record, Some(stored.context));
            }
            Way::Http(http, contexts) => {
                let context = recall(contexts, record);
                let context = http.put(turn, &self.bucket, key, value, context).await?;
                self.remember(contexts, record, context);
            }
            #[cfg(test)]
            Way::StallsOnce(_) => unreachable!("it is answered at once"),
        }
        Ok(())
    }

    fn remember<T>(&self, contexts: &Contexts<T>, record: u64, context: Option<T>) {
        if let (true, Some(context)) = (self.with_contexts, context) {
            let mut contexts = contexts.lock().unwrap_or_else(PoisonError::into_inner);
            contexts.insert(record, context);
        }
    }
}

fn recall<T: Clone>(contexts: &Contexts<T>, record: u64) -> Option<T> {
    contexts.lock().unwrap_or_else(PoisonError::into_inner).get(&record).cloned()
}

fn get_kind(error: &GetError) -> &'static str {
    match error {
        GetError::Invalid { .. } => "invalid",
        GetError::NotEnoughReplicas { .. } => "not enough replicas",
        GetError::Overloaded { .. } => "overloaded",
        GetError::StorageFailed => "storage failed",
        GetError::Unreachable => "unreachable",
        GetError::TimedOut => "timed out",
        _ => "other",
    }
}

fn put_kind(error: &PutError) -> &'static str {
    match error {
        PutError::Invalid { .. } => "invalid",
        PutError::NotEnoughReplicas { .. } => "not enough replicas",
        PutError::Overloaded { .. } => "overloaded",
        PutError::StorageFull => "storage full",
        PutError::StorageFailed => "storage failed",
        PutError::Unreachable => "unreachable",
        PutError::OutcomeUnknown { .. } => "outcome unknown",
        _ => "other",
    }
}
