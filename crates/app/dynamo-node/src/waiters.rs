//! Who waits for which reply of the machine.

use std::collections::BTreeMap;

use dynamo_messages::Reply;
use dynamo_protocol::ClientId;
use dynamo_transport::LinkId;
use tokio::sync::oneshot;

/// Someone who waits for a reply.
#[derive(Debug)]
pub(crate) enum Waiter {
    /// A task of this process.
    Task(oneshot::Sender<Reply>),
    /// A native client.
    Native {
        /// Its link, which may be gone by then.
        link: LinkId,
        /// Its name for the request.
        id: u64,
    },
}

/// All who wait. Bounded by what the machine admits and answers.
#[derive(Debug, Default)]
pub(crate) struct Waiters {
    next: u64,
    waiting: BTreeMap<ClientId, Waiter>,
}

impl Waiters {
    /// A fresh name for a request.
    pub(crate) fn add(&mut self, waiter: Waiter) -> ClientId {
        let client = ClientId(self.next);
        self.next += 1;
        self.waiting.insert(client, waiter);
        client
    }

    /// Who waits under that name, once.
    pub(crate) fn take(&mut self, client: ClientId) -> Option<Waiter> {
        self.waiting.remove(&client)
    }

    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }
}
