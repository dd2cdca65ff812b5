//! Changes of the members and what a plan means, as bytes.

use alloc::string::String;
use alloc::vec::Vec;

use bytes::Bytes;
use dynamo_types::NodeId;
use rkyv::{Archive, Serialize};

use super::error::{DecodeError, FieldError};
use super::fields::Fields;
use super::reply::{MEMBERS_MAX, TABLE_MAX};
use super::request::text_bytes;
use crate::client::{CHANGES_MAX, ClusterChange, LinkView, PlanView, PlannedNodeView};

/// Names of nodes and zones are at most as long as `dynamo-membership` lets them be.
const NAME_BYTES_MAX: usize = 260;

#[derive(Archive, Serialize)]
pub(super) struct ChangeWire {
    change: u8,
    node: Bytes,
    /// Of a reweight; 0 in all other changes.
    weight: u32,
    /// Of a rezone; empty in all other changes.
    zone: Bytes,
}

#[derive(Archive, Serialize)]
struct NodeWire {
    node: u64,
    name: Bytes,
    before: u32,
    after: u32,
    received: u32,
    sent: u32,
}

#[derive(Archive, Serialize)]
struct LinkWire {
    from: u64,
    to: u64,
    copies: u32,
    bytes: u64,
}

#[derive(Archive, Serialize)]
pub(super) struct PlanWire {
    plan: u128,
    committed: bool,
    partitions_changed: u32,
    copies_moved: u32,
    copies_lower_bound: u32,
    copies: u32,
    bytes: u64,
    seconds: u32,
    zone_safe_before: u32,
    zone_safe_after: u32,
    out_of_reach: u32,
    nodes: Vec<NodeWire>,
    links: Vec<LinkWire>,
}

pub(super) fn changes_wire(changes: &[ClusterChange]) -> Vec<ChangeWire> {
    changes.iter().map(change_wire).collect()
}

fn change_wire(change: &ClusterChange) -> ChangeWire {
    let (number, node, weight, zone) = match change {
        ClusterChange::Join { node } => (1, node, 0, ""),
        ClusterChange::Leave { node } => (2, node, 0, ""),
        ClusterChange::Remove { node } => (3, node, 0, ""),
        ClusterChange::Reweight { node, weight } => (4, node, *weight, ""),
        ClusterChange::Rezone { node, zone } => (5, node, 0, zone.as_str()),
    };
    ChangeWire { change: number, node: text_bytes(node), weight, zone: text_bytes(zone) }
}

/// About how many bytes of these changes' archive vary.
pub(super) fn changes_bytes(changes: &[ClusterChange]) -> usize {
    changes.len() * 64
}

pub(super) fn names_wire(names: &[String]) -> Vec<Bytes> {
    names.iter().map(|name| text_bytes(name)).collect()
}

pub(super) fn read_changes(
    fields: Fields<'_>,
    changes: &[ArchivedChangeWire],
) -> Result<Vec<ClusterChange>, DecodeError> {
    fields.list("changes", changes, CHANGES_MAX, |change| {
        let node = fields.text("node", &change.node, NAME_BYTES_MAX)?;
        match change.change {
            1 => Ok(ClusterChange::Join { node }),
            2 => Ok(ClusterChange::Leave { node }),
            3 => Ok(ClusterChange::Remove { node }),
            // A weight of 0 is for the node to refuse, which can say so; a frame's refusal ends
            // the link.
            4 => Ok(ClusterChange::Reweight { node, weight: change.weight.to_native() }),
            5 => {
                let zone = fields.text("zone", &change.zone, NAME_BYTES_MAX)?;
                Ok(ClusterChange::Rezone { node, zone })
            }
            other => Err(fields.refuse("change", FieldError::Number(other.into()))),
        }
    })
}

pub(super) fn read_given_up<A: AsRef<[u8]>>(
    fields: Fields<'_>,
    names: &[A],
) -> Result<Vec<String>, DecodeError> {
    fields.list("given_up", names, CHANGES_MAX, |name| {
        fields.text("given_up", name.as_ref(), NAME_BYTES_MAX)
    })
}

impl PlanWire {
    pub(super) fn of(view: &PlanView) -> Self {
        let node = |node: &PlannedNodeView| NodeWire {
            node: node.node.0,
            name: text_bytes(&node.name),
            before: node.before,
            after: node.after,
            received: node.received,
            sent: node.sent,
        };
        let link = |link: &LinkView| LinkWire {
            from: link.from.0,
            to: link.to.0,
            copies: link.copies,
            bytes: link.bytes,
        };
        Self {
            plan: view.plan,
            committed: view.committed,
            partitions_changed: view.partitions_changed,
            copies_moved: view.copies_moved,
            copies_lower_bound: view.copies_lower_bound,
            copies: view.copies,
            bytes: view.bytes,
            seconds: view.seconds,
            zone_safe_before: view.zone_safe_before,
            zone_safe_after: view.zone_safe_after,
            out_of_reach: view.out_of_reach,
            nodes: view.nodes.iter().map(node).collect(),
            links: view.links.iter().map(link).collect(),
        }
    }
}

/// About how many bytes of a plan's archive vary.
pub(super) fn plan_bytes(view: &PlanView) -> usize {
    view.nodes.len() * 64 + view.links.len() * size_of::<ArchivedLinkWire>()
}

impl ArchivedPlanWire {
    pub(super) fn read(&self, fields: Fields<'_>) -> Result<PlanView, DecodeError> {
        let nodes = fields.list("nodes", &self.nodes, MEMBERS_MAX, |node| {
            Ok(PlannedNodeView {
                node: NodeId(node.node.to_native()),
                name: fields.text("name", &node.name, NAME_BYTES_MAX)?,
                before: node.before.to_native(),
                after: node.after.to_native(),
                received: node.received.to_native(),
                sent: node.sent.to_native(),
            })
        })?;
        // No link without a copy that moves, and there are no more copies than the table has.
        let links = fields.list("links", &self.links, TABLE_MAX, |link| {
            Ok(LinkView {
                from: NodeId(link.from.to_native()),
                to: NodeId(link.to.to_native()),
                copies: link.copies.to_native(),
                bytes: link.bytes.to_native(),
            })
        })?;
        Ok(PlanView {
            plan: self.plan.to_native(),
            committed: self.committed,
            partitions_changed: self.partitions_changed.to_native(),
            copies_moved: self.copies_moved.to_native(),
            copies_lower_bound: self.copies_lower_bound.to_native(),
            copies: self.copies.to_native(),
            bytes: self.bytes.to_native(),
            seconds: self.seconds.to_native(),
            zone_safe_before: self.zone_safe_before.to_native(),
            zone_safe_after: self.zone_safe_after.to_native(),
            out_of_reach: self.out_of_reach.to_native(),
            nodes,
            links,
        })
    }
}
