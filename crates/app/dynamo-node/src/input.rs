//! What reaches the event loop from HTTP, and the handle that sends it.

use std::collections::BTreeMap;

use dynamo_membership::MemberStatus;
use dynamo_messages::{Reply, Request};
use dynamo_protocol::HintCount;
use dynamo_types::{Instant, NodeId};
use thiserror::Error;
use tokio::sync::{mpsc, oneshot};

/// Something for the event loop.
#[derive(Debug)]
pub enum Input {
    /// A client's request.
    Request {
        /// What it asks.
        request: Request,
        /// Where the answer goes; it may be gone by then.
        answer: oneshot::Sender<Reply>,
    },
    /// A question for the node's state.
    Status {
        /// Where the answer goes.
        answer: oneshot::Sender<NodeStatus>,
    },
    /// Finish what is under way, then end; at the latest at this moment.
    Stop {
        /// By the process's monotonic clock.
        by: Instant,
    },
}

/// The node's state, for health and metrics.
#[derive(Debug, Clone, Default)]
pub struct NodeStatus {
    /// The machine's counters by name.
    pub counters: Vec<(&'static str, u64)>,
    /// Those of anti-entropy.
    pub anti_entropy: Vec<(&'static str, u64)>,
    /// How much of the most background work there may be now, from 1 to 100.
    pub background_share: u8,
    /// Members to which there is no connection.
    pub unreachable: Vec<NodeId>,
    /// Those of them that are not judged down either: the node is not ready without them.
    pub awaited: Vec<NodeId>,
    /// How many members there are of each liveness, this node too.
    pub members_by_liveness: BTreeMap<&'static str, usize>,
    /// How little the node trusts its own judgement of others, from 0 to 8.
    pub local_health: u8,
    /// Requests that wait for an answer.
    pub requests_waiting: usize,
    /// Links to native clients.
    pub client_links: usize,
    /// What is kept for members that could not be reached; none for those of whom nothing is.
    pub hints: Vec<(NodeId, HintCount)>,
    /// Bytes of all hints.
    pub hint_bytes: u64,
    /// Copies of partitions here that may lack what they acknowledged.
    pub incomplete_partitions: usize,
    /// Records all of whose versions are deleted and that are not collected yet, as far as the
    /// process has met them.
    pub deleted_records: usize,
    /// Partitions on their way, or not where operators want them, as the node knows.
    pub unsettled_partitions: usize,
    /// Partitions that are not this node's, and of which it still holds records.
    pub leftover_partitions: usize,
    /// Where this node is on its way through the cluster, as far as it knows.
    pub own_status: Option<MemberStatus>,
}

/// Why a request was not handed to the node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum AskError {
    /// The queue is full; nothing was done.
    #[error("the node's queue is full")]
    Overloaded,
    /// The node is stopping; nothing was done.
    #[error("the node is stopping")]
    Stopping,
    /// The node stopped before it answered: nothing is known of the outcome.
    #[error("the node stopped before it answered")]
    Abandoned,
}

/// The way to the event loop. Clones lead to the same loop.
#[derive(Debug, Clone)]
pub struct NodeHandle {
    inputs: mpsc::Sender<Input>,
}

impl NodeHandle {
    /// A handle and the receiving end of its queue, which holds at most `inputs_max`.
    #[must_use]
    pub fn channel(inputs_max: usize) -> (Self, mpsc::Receiver<Input>) {
        let (inputs, receiver) = mpsc::channel(inputs_max.max(1));
        (Self { inputs }, receiver)
    }

    /// Asks the node; waits for its answer, which the node gives within the request's timeout.
    ///
    /// # Errors
    /// The node did not take the request, or ended before it answered.
    pub async fn ask(&self, request: Request) -> Result<Reply, AskError> {
        let (answer, answered) = oneshot::channel();
        self.submit(Input::Request { request, answer })?;
        answered.await.map_err(|_| AskError::Abandoned)
    }

    /// Asks for the node's state.
    ///
    /// # Errors
    /// The node did not take the question, or ended before it answered.
    pub async fn status(&self) -> Result<NodeStatus, AskError> {
        let (answer, answered) = oneshot::channel();
        self.submit(Input::Status { answer })?;
        answered.await.map_err(|_| AskError::Abandoned)
    }

    /// Tells the loop to finish. Waits for room in the queue, since this must not be lost.
    pub async fn stop(&self, by: Instant) {
        if self.inputs.send(Input::Stop { by }).await.is_err() {
            tracing::debug!("the event loop has ended already");
        }
    }

    fn submit(&self, input: Input) -> Result<(), AskError> {
        self.inputs.try_send(input).map_err(|refused| match refused {
            mpsc::error::TrySendError::Full(_) => AskError::Overloaded,
            mpsc::error::TrySendError::Closed(_) => AskError::Stopping,
        })
    }
}
