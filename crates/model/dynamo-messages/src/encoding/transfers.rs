//! The moves under way, as bytes.

use alloc::vec::Vec;

use bytes::Bytes;
use dynamo_types::{NodeId, PartitionId, Replication};
use rkyv::{Archive, Serialize};

use super::error::DecodeError;
use super::fields::Fields;
use super::reply::MEMBERS_MAX;
use super::request::text_bytes;
use crate::client::{TRANSFERS_MAX, TransferView, TransfersView, WAITING_PER_TRANSFER};

/// Stages are words, at most `committed`.
const STAGE_BYTES_MAX: usize = 16;
/// Members of a set.
const SET_MAX: usize = Replication::MAX as usize;

#[derive(Archive, Serialize)]
struct WaitingWire {
    who: u64,
    whom: u64,
}

#[derive(Archive, Serialize)]
struct TransferWire {
    partition: u16,
    stage: Bytes,
    current: Vec<u64>,
    next: Vec<u64>,
    waiting: Vec<WaitingWire>,
    records: Option<u64>,
}

#[derive(Archive, Serialize)]
pub(super) struct TransfersWire {
    transfers: Vec<TransferWire>,
    settled: u32,
    partitions: u32,
    leaving: Vec<u64>,
}

impl TransfersWire {
    /// What a receiver would not take is left out: its reader misses the end of a long list, not
    /// the link.
    pub(super) fn of(view: &TransfersView) -> Self {
        Self {
            transfers: view.transfers.iter().take(TRANSFERS_MAX).map(transfer_wire).collect(),
            settled: view.settled,
            partitions: view.partitions,
            leaving: nodes_wire(&view.leaving),
        }
    }
}

fn transfer_wire(transfer: &TransferView) -> TransferWire {
    let waiting = transfer.waiting.iter().take(WAITING_PER_TRANSFER);
    TransferWire {
        partition: transfer.partition.0,
        stage: text_bytes(&transfer.stage),
        current: nodes_wire(&transfer.current),
        next: nodes_wire(&transfer.next),
        waiting: waiting.map(|(who, whom)| WaitingWire { who: who.0, whom: whom.0 }).collect(),
        records: transfer.records,
    }
}

fn nodes_wire(nodes: &[NodeId]) -> Vec<u64> {
    nodes.iter().map(|node| node.0).collect()
}

/// About how many bytes of the archive vary.
pub(super) fn transfers_bytes(view: &TransfersView) -> usize {
    let of_transfer = |transfer: &TransferView| {
        let nodes = transfer.current.len() + transfer.next.len() + 2 * transfer.waiting.len();
        size_of::<ArchivedTransferWire>() + STAGE_BYTES_MAX + nodes * size_of::<u64>()
    };
    let transfers = view.transfers.iter().take(TRANSFERS_MAX);
    transfers.map(of_transfer).sum::<usize>() + view.leaving.len() * size_of::<u64>()
}

impl ArchivedTransfersWire {
    pub(super) fn read(&self, fields: Fields<'_>) -> Result<TransfersView, DecodeError> {
        let transfers = fields.list("transfers", &self.transfers, TRANSFERS_MAX, |transfer| {
            let waiting =
                fields.list("waiting", &transfer.waiting, WAITING_PER_TRANSFER, |pair| {
                    Ok((NodeId(pair.who.to_native()), NodeId(pair.whom.to_native())))
                })?;
            Ok(TransferView {
                // Any sixteen bits are a partition of some Q; who knows Q checks it.
                partition: PartitionId(transfer.partition.to_native()),
                stage: fields.text("stage", &transfer.stage, STAGE_BYTES_MAX)?,
                current: fields.nodes("current", &transfer.current, SET_MAX)?,
                next: fields.nodes("next", &transfer.next, SET_MAX)?,
                waiting,
                records: transfer.records.as_ref().map(|records| records.to_native()),
            })
        })?;
        Ok(TransfersView {
            transfers,
            settled: self.settled.to_native(),
            partitions: self.partitions.to_native(),
            leaving: fields.nodes("leaving", &self.leaving, MEMBERS_MAX)?,
        })
    }
}
