//! Puts and deletes as they arrive: what is checked, and who coordinates.
//!
//! What follows is in `forwarding` (another replica coordinates), `minting` (this one does), and
//! `replication` (copies).

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use dynamo_coordination::forward::{Forward, ForwardPlan};
use dynamo_messages::{Failure, Invalid, Mutation, Options};
use dynamo_types::limits::{CONTENT_TYPE_BYTES_MAX, CONTEXTS_PER_PUT_MAX};
use dynamo_types::planted::{PlantedBug, planted};
use dynamo_types::{Instant, ObjectName, Position, RequestId};
use dynamo_versioning::{BodyDigest, ClientContext, Content};

use super::operations::Origin;
use super::{Node, enough, invalid};

/// When an overloaded node asks clients to come back.
pub(super) const RETRY_AFTER_MS: u32 = 200;

/// A put at its coordinator, before its version is minted.
#[derive(Debug)]
pub(super) struct PutIntent {
    pub(super) origin: Origin,
    pub(super) name: ObjectName,
    pub(super) content: Content,
    pub(super) request: RequestId,
    /// Of what the client sent; equal in all attempts.
    pub(super) digest: BodyDigest,
    /// What the put replaces.
    pub(super) context: ClientContext,
    /// A delete that came without any context. One that came with the context of an empty reply
    /// covers nothing, because its client saw nothing (Promise 2).
    pub(super) covers_what_is_read: bool,
    pub(super) options: Options,
    pub(super) deadline: Instant,
    /// Copies needed (w).
    pub(super) needed: u8,
}

impl Node {
    /// A client of this node wants to put or delete.
    pub(super) fn put_requested(&mut self, origin: Origin, mutation: Mutation) {
        let checked = self.deadline(&mutation.options).and_then(|deadline| {
            let context = self.check_mutation(&mutation)?;
            let quorum = self.quorum(&mutation.name.bucket, &mutation.options)?;
            Ok((deadline, context, quorum.w()))
        });
        let (deadline, context, needed) = match checked {
            Ok(checked) => checked,
            Err(failure) => return self.fail(origin, failure),
        };
        let position = Position::of_object(&mutation.name);
        if let Err(failure) =
            enough(&self.holders_at_hand(position, mutation.options.strict), needed)
        {
            self.counters.puts_failed += 1;
            return self.fail(origin, failure);
        }
        let mut candidates = self.coordinators(position);
        // The others still take writes. If there is none, this node says that its disk failed.
        if self.replica.is_stopped() && candidates.len() > 1 {
            candidates.retain(|node| *node != self.config.node);
        }
        // Paper §5: the node that answered the preceding read fastest coordinates the write.
        let fastest = context.fastest.and_then(|f| candidates.iter().position(|node| *node == f));
        if let Some(place) = fastest {
            candidates[..=place].rotate_right(1);
        }
        if candidates.first() == Some(&self.config.node) {
            return self.coordinate_checked(origin, mutation, context, needed, deadline);
        }
        self.counters.puts_forwarded += 1;
        let plan = ForwardPlan {
            candidates,
            hop_timeout: self.config.timing.hop_timeout,
            deadline,
            retry: mutation.retry,
            needed,
        };
        let machine = Forward::new(plan, self.now.monotonic);
        let id = self.new_operation();
        self.drive_forward(id, machine, origin, mutation, deadline);
    }

    /// Checks what a client sent, and opens its contexts.
    fn check_mutation(&self, mutation: &Mutation) -> Result<ClientContext, Failure> {
        if let Content::Value { bytes, content_type } = &mutation.content {
            let max = self.config.limits.value_bytes_max;
            if bytes.len() > max {
                let detail = alloc::format!("a value has at most {max} bytes, not {}", bytes.len());
                return Err(invalid(Invalid::ValueTooLarge, detail));
            }
            if content_type.len() > CONTENT_TYPE_BYTES_MAX {
                let detail = alloc::format!(
                    "a content type has at most {CONTENT_TYPE_BYTES_MAX} bytes, not {}",
                    content_type.len()
                );
                return Err(invalid(Invalid::Option, detail));
            }
        }
        if mutation.contexts.len() > CONTEXTS_PER_PUT_MAX {
            let detail = alloc::format!(
                "a put carries at most {CONTEXTS_PER_PUT_MAX} contexts, not {}",
                mutation.contexts.len()
            );
            return Err(invalid(Invalid::Context, detail));
        }
        let open = |text: &String| {
            ClientContext::open(text, &self.context_key, self.config.cluster, &mutation.name)
        };
        let opened: Result<Vec<ClientContext>, _> = mutation.contexts.iter().map(open).collect();
        opened
            .map(ClientContext::join)
            .map_err(|error| invalid(Invalid::Context, error.to_string()))
    }

    /// Coordinates a put that another node, or an operation of this one, hands on: this node is one
    /// of the key's replicas, or stands in for one.
    pub(super) fn coordinate(&mut self, origin: Origin, mutation: Mutation, deadline: Instant) {
        let checked = self.check_mutation(&mutation).and_then(|context| {
            let quorum = self.quorum(&mutation.name.bucket, &mutation.options)?;
            Ok((context, quorum.w()))
        });
        match checked {
            Ok((context, needed)) => {
                self.coordinate_checked(origin, mutation, context, needed, deadline);
            }
            Err(failure) => {
                self.counters.puts_coordinated += 1;
                self.fail(origin, failure);
            }
        }
    }

    fn coordinate_checked(
        &mut self,
        origin: Origin,
        mutation: Mutation,
        context: ClientContext,
        needed: u8,
        deadline: Instant,
    ) {
        self.counters.puts_coordinated += 1;
        let digest = BodyDigest::of(&mutation.content, None, &context.dots);
        let covers_what_is_read =
            mutation.content == Content::Tombstone && mutation.contexts.is_empty();
        let intent = PutIntent {
            origin,
            name: mutation.name,
            content: mutation.content,
            request: mutation.request,
            digest,
            context,
            covers_what_is_read,
            options: mutation.options,
            deadline,
            needed,
        };
        if mutation.retry && !planted(PlantedBug::RetryMintsAgain) {
            self.check_known(intent);
        } else {
            self.cover_and_mint(intent);
        }
    }
}
