//! The members, as `/v1/cluster` tells them.

use dynamo_types::NodeId;
use serde::Deserialize;
use serde_json::{Map, Value};

/// One member as a node knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenMember {
    /// Which node.
    pub node: NodeId,
    /// Where it is looked for.
    pub address: String,
    /// What is thought of it: `up` if it is held for running.
    pub liveness: String,
    /// Whether a connection stands.
    pub reachable: bool,
    /// All that every node should know alike, as text.
    pub details: String,
}

/// What each node thinks for itself.
const OPINIONS: [&str; 2] = ["liveness", "reachable"];

pub(super) fn parse(body: &[u8]) -> Result<Vec<SeenMember>, String> {
    #[derive(Deserialize)]
    struct Body {
        members: Vec<Map<String, Value>>,
    }
    let body: Body = serde_json::from_slice(body).map_err(|error| format!("members: {error}"))?;
    let mut members = body.members.into_iter().map(member).collect::<Result<Vec<_>, _>>()?;
    members.sort_by_key(|member| member.node);
    Ok(members)
}

fn member(mut member: Map<String, Value>) -> Result<SeenMember, String> {
    let text = |name: &str| {
        let text = member.get(name).and_then(Value::as_str).map(str::to_owned);
        text.ok_or_else(|| format!("a member has no {name}"))
    };
    let (id, address) = (text("id")?, text("address")?);
    let node = id.parse().map_err(|_| format!("node id `{id}`"))?;
    let liveness = text("liveness")?;
    let reachable = member.get("reachable").and_then(Value::as_bool);
    let reachable = reachable.ok_or("a member does not say whether it is reachable")?;
    member.retain(|name, _| !OPINIONS.contains(&name.as_str()));
    Ok(SeenMember { node, address, liveness, reachable, details: format!("{member:?}") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opinions_are_kept_apart_from_what_all_should_know() {
        let parsed = |rest: &str| {
            let member = format!(r#"{{"id": "00000000000000aa", "address": "a:1"{rest}}}"#);
            parse(format!(r#"{{"members": [{member}]}}"#).as_bytes())
        };
        let one = |rest: &str| parsed(rest).unwrap().remove(0);
        let up = one(r#", "liveness": "up", "reachable": false"#);
        assert_eq!((up.node, up.address.as_str(), up.reachable), (NodeId(0xaa), "a:1", false));
        assert_eq!(up.liveness, "up");
        assert_eq!(one(r#", "liveness": "down", "reachable": true"#).details, up.details);
        let elsewhere = one(r#", "liveness": "up", "reachable": false, "zone": "z""#);
        assert_ne!(elsewhere.details, up.details);
        assert!(parsed(r#", "liveness": "up""#).is_err());
        assert!(parsed(r#", "reachable": true"#).is_err());
    }
}
