//! Listings at their coordinator.

use alloc::collections::BTreeMap;

use bytes::Bytes;
use dynamo_coordination::list::{List, ListEffect, ListPlan};
use dynamo_messages::{
    Failure, Invalid, ListPage, OperationId, Options, PeerMessage, ReplicaScan, ReplicaScanReply,
    Reply,
};
use dynamo_types::limits::LIST_LIMIT_MAX;
use dynamo_types::{Bucket, Key, NodeId, PartitionId, Position};

use super::operations::{ListOperation, Operation, Origin};
use super::{Node, invalid};
use crate::effect::Lane;

impl Node {
    pub(super) fn list_requested(
        &mut self,
        origin: Origin,
        bucket: Bucket,
        after: Option<Key>,
        prefix: Bytes,
        limit: u32,
        options: Options,
    ) {
        if !(1..=LIST_LIMIT_MAX).contains(&limit) {
            let detail = alloc::format!("limit is from 1 to {LIST_LIMIT_MAX}, not {limit}");
            return self.fail(origin, invalid(Invalid::Option, detail));
        }
        let checked = self.deadline(&options).and_then(|deadline| {
            let quorum = self.quorum(&bucket, &options)?;
            Ok((deadline, quorum.r()))
        });
        let (deadline, needed) = match checked {
            Ok(checked) => checked,
            Err(failure) => return self.fail(origin, failure),
        };
        self.counters.lists_coordinated += 1;
        let after = after.map(|key| (Position::of(&bucket, &key), key));
        let count = self.registers.count();
        let first = after.as_ref().map_or(PartitionId(0), |(at, _)| count.partition_of(*at));
        let partitions = count.partitions().filter(|partition| *partition >= first);
        let partitions = partitions
            .map(|partition| (partition, self.ranked(self.registers.read_set(partition).iter())))
            .collect();
        let machine = List::new(ListPlan {
            reconciliation: self.buckets.get(&bucket).settings.reconciliation,
            bucket: bucket.clone(),
            after,
            partitions,
            needed,
            limit,
            wall: self.now.wall,
            deadline,
        });
        let id = self.new_operation();
        let questions = BTreeMap::new();
        self.drive_list(
            id,
            ListOperation { machine, origin, bucket, prefix, limit, deadline, questions },
        );
    }

    /// Does what a listing asks.
    pub(super) fn drive_list(&mut self, id: OperationId, mut list: ListOperation) {
        while let Some(effect) = list.machine.poll_effect() {
            match effect {
                ListEffect::Ask { node, partition, after } => {
                    let question = self.new_operation();
                    list.questions.insert(question, (node, partition));
                    let deadline = list.deadline;
                    self.keep(question, Operation::ListQuestion { list: id, deadline });
                    let scan = ReplicaScan {
                        operation: question,
                        partition,
                        register: self.registers.tag(partition),
                        bucket: list.bucket.clone(),
                        prefix: list.prefix.clone(),
                        after,
                        limit: list.limit,
                        remaining_ms: self.remaining_ms(deadline),
                    };
                    if node == self.config.node {
                        self.scan_here(scan);
                    } else {
                        self.send(node, Lane::Background, PeerMessage::Scan(scan));
                    }
                }
                ListEffect::Page { keys, more } => {
                    let page = Reply::Page(ListPage { keys, more });
                    self.answer(list.origin, page);
                }
                ListEffect::Failed { reached, needed } => {
                    self.fail(list.origin, Failure::NotEnoughReplicas { reached, needed });
                }
            }
        }
        if list.machine.is_done() {
            for question in list.questions.keys() {
                self.operations.remove(question);
                self.timers.set(*question, None);
            }
        }
        self.keep(id, Operation::List(list));
    }

    pub(super) fn scan_reply_received(&mut self, from: NodeId, reply: ReplicaScanReply) {
        let question = reply.operation;
        let Some(Operation::ListQuestion { list, .. }) = self.operations.get(&question) else {
            return;
        };
        let of_list = match self.operations.get(list) {
            Some(Operation::List(list)) => list.questions.get(&question).copied(),
            Some(_) | None => None,
        };
        if let Some((asked, partition)) = of_list
            && asked == from
        {
            self.scan_answered(question, from, partition, reply);
        }
    }

    /// A replica, which may be this node, answered a question of a listing.
    pub(super) fn scan_answered(
        &mut self,
        question: OperationId,
        from: NodeId,
        partition: PartitionId,
        reply: ReplicaScanReply,
    ) {
        let Some(Operation::ListQuestion { list: id, .. }) = self.take(question) else {
            return;
        };
        self.timers.set(question, None);
        match self.take(id) {
            Some(Operation::List(mut list)) => {
                list.questions.remove(&question);
                list.machine.answered(from, partition, reply);
                self.drive_list(id, list);
            }
            Some(other) => self.keep(id, other),
            None => {}
        }
    }
}
