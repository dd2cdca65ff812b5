//! Explanations at their coordinator, which need not be a replica.

use dynamo_coordination::explain::{Explain, ExplainEffect, ExplainEvent, ExplainPlan};
use dynamo_messages::{OperationId, Options, ReplicaRead, Reply};
use dynamo_types::{ObjectName, Position};

use super::Node;
use super::operations::{ExplainOperation, Operation, Origin};

/// Values are never left out: only a whole record tells how long they are.
const VALUE_BYTES_MAX: u32 = u32::MAX;

impl Node {
    pub(super) fn explain_requested(
        &mut self,
        origin: Origin,
        name: ObjectName,
        timeout_ms: Option<u32>,
    ) {
        let deadline = match self.deadline(&Options { timeout_ms, ..Options::default() }) {
            Ok(deadline) => deadline,
            Err(failure) => return self.fail(origin, failure),
        };
        self.counters.explanations_coordinated += 1;
        let partition = self.registers.partition_of(Position::of_object(&name));
        let set = self.registers.read_set(partition);
        let replicas = set.iter().map(|node| (node, self.is_reachable(node))).collect();
        let members = self.current_members().map(|(node, _)| node);
        let others =
            members.filter(|node| !set.contains(*node) && self.is_reachable(*node)).collect();
        let verified_ms_ago = self
            .verified_ago(partition)
            .map(|ago| u64::try_from(ago.as_millis()).unwrap_or(u64::MAX));
        let plan = ExplainPlan { partition, replicas, others, verified_ms_ago, deadline };
        let machine = Explain::new(plan, self.now.monotonic);
        let id = self.new_operation();
        self.drive_explain(id, ExplainOperation { machine, origin, name, deadline });
    }

    /// Does what an explanation asks.
    pub(super) fn drive_explain(&mut self, id: OperationId, mut explain: ExplainOperation) {
        while let Some(effect) = explain.machine.poll_effect() {
            match effect {
                ExplainEffect::Ask { node } => {
                    let question = ReplicaRead {
                        operation: id,
                        name: explain.name.clone(),
                        value_bytes_max: VALUE_BYTES_MAX,
                        register: None,
                        known: None,
                        remaining_ms: self.remaining_ms(explain.deadline),
                    };
                    self.ask_replica(node, question);
                }
                ExplainEffect::Explained(explanation) => {
                    self.answer(explain.origin, Reply::Explanation(explanation));
                }
            }
        }
        self.keep(id, Operation::Explain(explain));
    }

    pub(super) fn explain_event(
        &mut self,
        id: OperationId,
        mut explain: ExplainOperation,
        event: ExplainEvent,
    ) {
        explain.machine.handle(event);
        self.drive_explain(id, explain);
    }

    pub(super) fn is_explaining(&self, id: OperationId) -> bool {
        matches!(self.operations.get(&id), Some(Operation::Explain(_)))
    }
}
