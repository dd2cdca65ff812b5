//! Handing puts to the replicas that coordinate them.

use dynamo_coordination::forward::{Forward, ForwardEffect, ForwardEvent};
use dynamo_messages::{Failure, Mutation, OperationId, PeerMessage, Reply};
use dynamo_types::{Instant, NodeId};

use super::Node;
use super::operations::{Operation, Origin};
use super::puts::RETRY_AFTER_MS;

impl Node {
    /// Does what a forwarding operation asks.
    pub(super) fn drive_forward(
        &mut self,
        id: OperationId,
        mut machine: Forward,
        origin: Origin,
        mutation: Mutation,
        deadline: Instant,
    ) {
        let mut here = None;
        while let Some(effect) = machine.poll_effect() {
            match effect {
                ForwardEffect::Try { node, retry } => {
                    let mutation = Mutation { retry, ..mutation.clone() };
                    if node == self.config.node {
                        here = Some(mutation);
                        continue;
                    }
                    let remaining_ms = self.remaining_ms(deadline);
                    let lane = Self::lane_of(&mutation.name);
                    let message = PeerMessage::Forward { operation: id, remaining_ms, mutation };
                    self.send(node, lane, message);
                }
                ForwardEffect::Reply(reply) => self.answer(origin, reply),
            }
        }
        self.keep(id, Operation::Forward { machine, origin, mutation, deadline });
        // Last, because it may answer at once, and the answer looks for the operation.
        if let Some(mutation) = here {
            self.coordinate(Origin::Forward(id), mutation, deadline);
        }
    }

    pub(super) fn forward_received(
        &mut self,
        from: NodeId,
        operation: OperationId,
        remaining_ms: u32,
        mutation: Mutation,
    ) {
        let origin = Origin::Peer { node: from, operation };
        self.requests += 1;
        if self.requests > self.config.requests_max {
            self.counters.requests_refused_overload += 1;
            return self.fail(origin, Failure::Overloaded { retry_after_ms: RETRY_AFTER_MS });
        }
        // One hop at most: whoever is no replica stands in for one instead of forwarding again.
        let deadline = self.deadline_in(remaining_ms);
        self.coordinate(origin, mutation, deadline);
    }

    /// A candidate, which may be this node, answered a forwarded put.
    pub(super) fn forward_replied(&mut self, id: OperationId, from: NodeId, reply: Reply) {
        match self.take(id) {
            Some(Operation::Forward { mut machine, origin, mutation, deadline }) => {
                machine.handle(self.now.monotonic, ForwardEvent::Replied { from, reply });
                self.drive_forward(id, machine, origin, mutation, deadline);
            }
            Some(other) => self.keep(id, other),
            None => {}
        }
    }
}
