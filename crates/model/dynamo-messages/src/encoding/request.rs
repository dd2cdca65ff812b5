//! What clients ask, as bytes.

use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use bytes::Bytes;
use dynamo_types::limits::{
    CONTENT_TYPE_BYTES_MAX, CONTEXT_TEXT_BYTES_MAX, CONTEXTS_PER_PUT_MAX, KEY_BYTES_MAX,
};
use dynamo_types::{BucketSettings, RequestId};
use dynamo_versioning::Content;
use rkyv::{Archive, Serialize};

use super::archive::{Head, read};
use super::changes::{
    ChangeWire, changes_bytes, changes_wire, names_wire, read_changes, read_given_up,
};
use super::error::DecodeError;
use super::fields::{Fields, NameWire};
use super::numbers::{
    durability, durability_number, kind, profile, profile_number, reconciliation,
    reconciliation_number,
};
use crate::client::{Mutation, Options, Request};

#[derive(Archive, Serialize)]
struct OptionsWire {
    r: Option<u8>,
    w: Option<u8>,
    strict: bool,
    timeout_ms: Option<u32>,
}

impl OptionsWire {
    fn of(options: Options) -> Self {
        let Options { r, w, strict, timeout_ms } = options;
        Self { r, w, strict, timeout_ms }
    }
}

impl ArchivedOptionsWire {
    fn read(&self) -> Options {
        Options {
            r: self.r.as_ref().copied(),
            w: self.w.as_ref().copied(),
            strict: self.strict,
            timeout_ms: self.timeout_ms.as_ref().map(|ms| ms.to_native()),
        }
    }
}

#[derive(Archive, Serialize)]
struct GetWire {
    name: NameWire,
    options: OptionsWire,
}

#[derive(Archive, Serialize)]
struct ValueWire {
    bytes: Bytes,
    content_type: Bytes,
}

#[derive(Archive, Serialize)]
pub(super) struct MutationWire {
    name: NameWire,
    /// A tombstone if absent.
    value: Option<ValueWire>,
    contexts: Vec<Bytes>,
    request: u128,
    retry: bool,
    options: OptionsWire,
}

impl MutationWire {
    pub(super) fn of(mutation: &Mutation) -> Self {
        let Mutation { name, content, contexts, request, retry, options } = mutation;
        let value = match content {
            Content::Value { bytes, content_type } => {
                Some(ValueWire { bytes: bytes.clone(), content_type: content_type.clone() })
            }
            Content::Tombstone => None,
        };
        Self {
            name: NameWire::of(name),
            value,
            contexts: contexts.iter().map(|text| text_bytes(text)).collect(),
            request: request.0,
            retry: *retry,
            options: OptionsWire::of(*options),
        }
    }
}

impl ArchivedMutationWire {
    pub(super) fn read(&self, fields: Fields<'_>) -> Result<Mutation, DecodeError> {
        let content = match self.value.as_ref() {
            Some(value) => Content::Value {
                bytes: fields.bytes(&value.bytes),
                content_type: fields.bounded_bytes(
                    "content_type",
                    &value.content_type,
                    CONTENT_TYPE_BYTES_MAX,
                )?,
            },
            None => Content::Tombstone,
        };
        Ok(Mutation {
            name: fields.name(&self.name)?,
            content,
            contexts: fields.list("contexts", &self.contexts, CONTEXTS_PER_PUT_MAX, |text| {
                fields.text("contexts", text, CONTEXT_TEXT_BYTES_MAX)
            })?,
            request: RequestId(self.request.to_native()),
            retry: self.retry,
            options: self.options.read(),
        })
    }
}

/// About how many bytes of a mutation's archive vary.
pub(super) fn mutation_bytes(mutation: &Mutation) -> usize {
    let content = match &mutation.content {
        Content::Value { bytes, .. } => bytes.len(),
        Content::Tombstone => 0,
    };
    let contexts: usize = mutation.contexts.iter().map(String::len).sum();
    content + contexts + mutation.name.key.as_bytes().len()
}

#[derive(Archive, Serialize)]
struct ListWire {
    bucket: Bytes,
    after: Option<Bytes>,
    prefix: Bytes,
    limit: u32,
    options: OptionsWire,
}

#[derive(Archive, Serialize)]
struct ExplainWire {
    name: NameWire,
    timeout_ms: Option<u32>,
}

#[derive(Archive, Serialize)]
struct PlanChangeWire {
    changes: Vec<ChangeWire>,
}

#[derive(Archive, Serialize)]
struct CommitChangeWire {
    changes: Vec<ChangeWire>,
    plan: u128,
}

#[derive(Archive, Serialize)]
struct ForceMovesWire {
    given_up: Vec<Bytes>,
    commit: bool,
}

#[derive(Archive, Serialize)]
struct BucketWire {
    bucket: Bytes,
}

#[derive(Archive, Serialize)]
struct PutBucketWire {
    bucket: Bytes,
    settings: SettingsWire,
}

#[derive(Archive, Serialize)]
pub(super) struct SettingsWire {
    profile: u8,
    reconciliation: u8,
    r: u8,
    w: u8,
    durability: u8,
    expiry_ms: Option<u64>,
}

impl SettingsWire {
    pub(super) fn of(settings: &BucketSettings) -> Self {
        let BucketSettings { profile, reconciliation, r, w, durability, expiry } = *settings;
        Self {
            profile: profile_number(profile),
            reconciliation: reconciliation_number(reconciliation),
            r,
            w,
            durability: durability_number(durability),
            expiry_ms: expiry.map(|expiry| u64::try_from(expiry.as_millis()).unwrap_or(u64::MAX)),
        }
    }
}

impl ArchivedSettingsWire {
    pub(super) fn read(&self, fields: Fields<'_>) -> Result<BucketSettings, DecodeError> {
        Ok(BucketSettings {
            profile: fields.number("profile", self.profile, profile)?,
            reconciliation: fields.number("reconciliation", self.reconciliation, reconciliation)?,
            r: self.r,
            w: self.w,
            durability: fields.number("durability", self.durability, durability)?,
            expiry: self.expiry_ms.as_ref().map(|ms| Duration::from_millis(ms.to_native())),
        })
    }
}

pub(super) fn encode(id: u64, request: &Request) -> Bytes {
    let mut head;
    match request {
        Request::Get { name, options } => {
            head = Head::new(kind::REQUEST_GET, id, name.key.as_bytes().len());
            let options = OptionsWire::of(*options);
            head.archive(&GetWire { name: NameWire::of(name), options });
        }
        Request::Mutate(mutation) => {
            head = Head::new(kind::REQUEST_MUTATE, id, mutation_bytes(mutation));
            head.archive(&MutationWire::of(mutation));
        }
        Request::List { bucket, after, prefix, limit, options } => {
            head = Head::new(kind::REQUEST_LIST, id, KEY_BYTES_MAX + prefix.len());
            head.archive(&ListWire {
                bucket: bucket.as_bytes().clone(),
                after: after.as_ref().map(|key| key.as_bytes().clone()),
                prefix: prefix.clone(),
                limit: *limit,
                options: OptionsWire::of(*options),
            });
        }
        Request::GetBucket { bucket } => {
            head = Head::new(kind::REQUEST_GET_BUCKET, id, 0);
            head.archive(&BucketWire { bucket: bucket.as_bytes().clone() });
        }
        Request::PutBucket { bucket, settings } => {
            head = Head::new(kind::REQUEST_PUT_BUCKET, id, 0);
            let settings = SettingsWire::of(settings);
            head.archive(&PutBucketWire { bucket: bucket.as_bytes().clone(), settings });
        }
        Request::ListBuckets => head = Head::new(kind::REQUEST_LIST_BUCKETS, id, 0),
        Request::Cluster => head = Head::new(kind::REQUEST_CLUSTER, id, 0),
        Request::Ring => head = Head::new(kind::REQUEST_RING, id, 0),
        Request::Explain { name, timeout_ms } => {
            head = Head::new(kind::REQUEST_EXPLAIN, id, name.key.as_bytes().len());
            head.archive(&ExplainWire { name: NameWire::of(name), timeout_ms: *timeout_ms });
        }
        Request::PlanChange { changes } => {
            head = Head::new(kind::REQUEST_PLAN_CHANGE, id, changes_bytes(changes));
            head.archive(&PlanChangeWire { changes: changes_wire(changes) });
        }
        Request::CommitChange { changes, plan } => {
            head = Head::new(kind::REQUEST_COMMIT_CHANGE, id, changes_bytes(changes));
            head.archive(&CommitChangeWire { changes: changes_wire(changes), plan: *plan });
        }
        Request::CancelMoves => head = Head::new(kind::REQUEST_CANCEL_MOVES, id, 0),
        Request::ForceMoves { given_up, commit } => {
            head = Head::new(kind::REQUEST_FORCE_MOVES, id, 0);
            let given_up = names_wire(given_up);
            head.archive(&ForceMovesWire { given_up, commit: *commit });
        }
        Request::Transfers => head = Head::new(kind::REQUEST_TRANSFERS, id, 0),
    }
    head.finish()
}

pub(super) fn decode(kind: u8, body: &[u8], frame: &Bytes) -> Result<Request, DecodeError> {
    match kind {
        kind::REQUEST_GET => {
            let (wire, fields) = read::<GetWire>("get", body, frame)?;
            Ok(Request::Get { name: fields.name(&wire.name)?, options: wire.options.read() })
        }
        kind::REQUEST_MUTATE => {
            let (wire, fields) = read::<MutationWire>("mutate", body, frame)?;
            Ok(Request::Mutate(wire.read(fields)?))
        }
        kind::REQUEST_LIST => {
            let (wire, fields) = read::<ListWire>("list", body, frame)?;
            let after = wire.after.as_ref().map(|key| fields.key("after", key)).transpose()?;
            Ok(Request::List {
                bucket: fields.bucket("bucket", &wire.bucket)?,
                after,
                prefix: fields.bounded_bytes("prefix", &wire.prefix, KEY_BYTES_MAX)?,
                limit: wire.limit.to_native(),
                options: wire.options.read(),
            })
        }
        kind::REQUEST_GET_BUCKET => {
            let (wire, fields) = read::<BucketWire>("get bucket", body, frame)?;
            Ok(Request::GetBucket { bucket: fields.bucket("bucket", &wire.bucket)? })
        }
        kind::REQUEST_PUT_BUCKET => {
            let (wire, fields) = read::<PutBucketWire>("put bucket", body, frame)?;
            Ok(Request::PutBucket {
                bucket: fields.bucket("bucket", &wire.bucket)?,
                settings: wire.settings.read(fields)?,
            })
        }
        kind::REQUEST_LIST_BUCKETS => Ok(Request::ListBuckets),
        kind::REQUEST_CLUSTER => Ok(Request::Cluster),
        kind::REQUEST_RING => Ok(Request::Ring),
        kind::REQUEST_EXPLAIN => {
            let (wire, fields) = read::<ExplainWire>("explain", body, frame)?;
            Ok(Request::Explain {
                name: fields.name(&wire.name)?,
                timeout_ms: wire.timeout_ms.as_ref().map(|ms| ms.to_native()),
            })
        }
        kind::REQUEST_PLAN_CHANGE => {
            let (wire, fields) = read::<PlanChangeWire>("plan change", body, frame)?;
            Ok(Request::PlanChange { changes: read_changes(fields, &wire.changes)? })
        }
        kind::REQUEST_COMMIT_CHANGE => {
            let (wire, fields) = read::<CommitChangeWire>("commit change", body, frame)?;
            let changes = read_changes(fields, &wire.changes)?;
            Ok(Request::CommitChange { changes, plan: wire.plan.to_native() })
        }
        kind::REQUEST_CANCEL_MOVES => Ok(Request::CancelMoves),
        kind::REQUEST_FORCE_MOVES => {
            let (wire, fields) = read::<ForceMovesWire>("force moves", body, frame)?;
            let given_up = read_given_up(fields, &wire.given_up)?;
            Ok(Request::ForceMoves { given_up, commit: wire.commit })
        }
        kind::REQUEST_TRANSFERS => Ok(Request::Transfers),
        _ => Err(DecodeError::UnknownKind { kind }),
    }
}

/// Text as bytes of the wire: short, so the copy does not matter.
pub(super) fn text_bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}
