//! What each replica of an object has, as `/v1/explain` tells it.

use dynamo_types::{NodeId, PartitionId, RequestId, WallTime};
use dynamo_versioning::Dot;
use serde::Deserialize;

use super::{parse_dot, parse_time};

/// Who should hold an object, and what each of them has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explained {
    /// Where the object lies.
    pub partition: PartitionId,
    /// Exactly the replica set.
    pub replicas: Vec<ExplainedReplica>,
    /// Hints that are kept for it somewhere.
    pub hints: usize,
    /// Whether every replica answered and all hold the same.
    pub agree: bool,
}

/// What one replica has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExplainedReplica {
    /// Which node.
    pub node: NodeId,
    /// `present`, `missing`, or why it is not known.
    pub state: String,
    /// All its versions.
    pub siblings: Vec<ExplainedSibling>,
}

/// One version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExplainedSibling {
    /// Its dot.
    pub dot: Dot,
    /// Whether it marks a delete.
    pub tombstone: bool,
    /// Length of the value.
    pub bytes: u64,
    /// When it was written.
    pub written_at: WallTime,
    /// The request that made it.
    pub request: RequestId,
}

impl ExplainedReplica {
    /// Whether the replica said what it has.
    #[must_use]
    pub fn is_known(&self) -> bool {
        matches!(self.state.as_str(), "present" | "missing")
    }
}

impl Explained {
    /// Whether nothing is left to do: all replicas hold the same, and nobody keeps anything for them.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.agree && self.hints == 0
    }

    /// All versions at all replicas.
    pub fn siblings(&self) -> impl Iterator<Item = &ExplainedSibling> {
        self.replicas.iter().flat_map(|replica| &replica.siblings)
    }

    /// Reads the body of an answer.
    pub(super) fn parse(body: &[u8]) -> Result<Self, String> {
        #[derive(Deserialize)]
        struct Body {
            partition: u16,
            replicas: Vec<Replica>,
            hints: Vec<serde_json::Value>,
            agree: bool,
        }
        #[derive(Deserialize)]
        struct Replica {
            node: String,
            state: String,
            siblings: Vec<Sibling>,
        }
        #[derive(Deserialize)]
        struct Sibling {
            dot: String,
            tombstone: bool,
            bytes: u64,
            written_at: String,
            request_id: String,
        }
        let body: Body = serde_json::from_slice(body).map_err(|error| error.to_string())?;
        let sibling = |sibling: Sibling| {
            let request = sibling.request_id.parse();
            Ok(ExplainedSibling {
                dot: parse_dot(&sibling.dot)?,
                tombstone: sibling.tombstone,
                bytes: sibling.bytes,
                written_at: parse_time(&sibling.written_at)?,
                request: request.map_err(|_| format!("request id `{}`", sibling.request_id))?,
            })
        };
        let replica = |replica: Replica| {
            let siblings = replica.siblings.into_iter().map(sibling);
            Ok(ExplainedReplica {
                node: replica.node.parse().map_err(|_| format!("node id `{}`", replica.node))?,
                state: replica.state,
                siblings: siblings.collect::<Result<_, String>>()?,
            })
        };
        Ok(Self {
            partition: PartitionId(body.partition),
            replicas: body.replicas.into_iter().map(replica).collect::<Result<_, String>>()?,
            hints: body.hints.len(),
            agree: body.agree,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dynamo_types::ActorId;

    #[test]
    fn the_example_of_the_documentation_is_understood() {
        let body = br#"{"bucket": "carts", "key": "alice", "partition": 513,
            "replicas": [{"node": "00000000000000aa", "name": "node-1", "state": "present",
              "digest": "00", "context_intervals": 1,
              "siblings": [{"dot": "00000000000000ab:7", "tombstone": false, "bytes": 4,
                "written_at": "1970-01-01T00:00:01.000000Z", "expires_at": null,
                "request_id": "000000000000000000000000000000ff"}]}],
            "hints": [], "verified_until": null, "agree": false, "behind": ["node-3"]}"#;
        let sibling = ExplainedSibling {
            dot: Dot { actor: ActorId(0xab), counter: 7 },
            tombstone: false,
            bytes: 4,
            written_at: WallTime(1_000_000),
            request: RequestId(0xff),
        };
        let replica = ExplainedReplica {
            node: NodeId(0xaa),
            state: "present".into(),
            siblings: vec![sibling],
        };
        let expected = Explained {
            partition: PartitionId(513),
            replicas: vec![replica],
            hints: 0,
            agree: false,
        };
        assert_eq!(Explained::parse(body), Ok(expected));
        assert!(Explained::parse(b"{}").is_err());
    }
}
