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
    /// What is thought of it: `up` if it is held for running. Nodes that think nothing of the kind say
    /// whether they are connected.
    pub liveness: String,
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
    let reachable = member.get("reachable").and_then(Value::as_bool);
    let liveness = match (text("liveness"), reachable) {
        (Ok(liveness), _) => liveness,
        (Err(_), Some(true)) => "up".to_owned(),
        (Err(_), Some(false)) => "not connected".to_owned(),
        (Err(error), None) => return Err(error),
    };
    member.retain(|name, _| !OPINIONS.contains(&name.as_str()));
    Ok(SeenMember { node, address, liveness, details: format!("{member:?}") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opinions_are_kept_apart_from_what_all_should_know() {
        let body = |opinion: &str| {
            format!(r#"{{"members": [{{"id": "00000000000000aa", "address": "a:1", {opinion}}}]}}"#)
        };
        let parsed = |opinion: &str| parse(body(opinion).as_bytes()).unwrap().remove(0);
        let up = parsed(r#""liveness": "up", "reachable": false"#);
        let (node, address) = (NodeId(0xaa), "a:1".to_owned());
        assert_eq!((up.node, up.address, up.liveness.as_str()), (node, address, "up"));
        assert_eq!(parsed(r#""reachable": true"#).liveness, "up");
        assert_eq!(parsed(r#""reachable": false"#).liveness, "not connected");
        assert_eq!(parsed(r#""reachable": false"#).details, up.details);
        assert_ne!(parsed(r#""reachable": false, "zone": "z""#).details, up.details);
        assert!(parse(body("\"zone\": \"z\"").as_bytes()).is_err());
    }
}
