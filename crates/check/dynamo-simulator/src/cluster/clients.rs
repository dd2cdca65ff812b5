//! Clients at work: their operations, attempts and retries, and what they conclude.

use core::time::Duration;

use dynamo_checker::history::{
    HostIndex, KeyIndex, Outcome, Read, Seen, Write, WriteId, WriteKind, seconds,
};
use dynamo_checker::value::{self, Provenance};
use dynamo_messages::{Failure, Invalid, Mutation, ObjectReply, Options, Reply, Request};
use dynamo_protocol::{ClientId, Event};
use dynamo_types::{Instant, NodeId, ObjectName};
use dynamo_versioning::{ClientContext, Content};

use super::{Answer, Attempt, Cluster, Happening};
use crate::markers::Marker;
use crate::workload::{Goal, Intent, Known, Operation, Standing, Then, draw_intent};

/// Keys whose place leaves this rest by four also see deletes without context, which the checks can
/// judge less sharply.
const UNSEEN_DELETES_REST: u16 = 3;
/// Keys whose place leaves this rest by four also see writes with any w, and are never damaged.
const ANY_QUORUM_REST: u16 = 1;

impl Cluster {
    pub(super) fn key_of_name(&self, name: &ObjectName) -> Option<KeyIndex> {
        let row = dynamo_protocol::rows::object_key(name);
        self.key_of_row.get(&row).copied()
    }

    pub(crate) fn index_of(&self, node: NodeId) -> Option<HostIndex> {
        self.host_indices().find(|host| self.hosts[host.index()].id == node)
    }

    pub(super) fn client_latency(&mut self) -> Duration {
        self.random.duration(Duration::from_micros(30), Duration::from_millis(2))
    }

    pub(super) fn uses_any_quorum(key: KeyIndex) -> bool {
        key.0 % 4 == ANY_QUORUM_REST
    }

    pub(super) fn client_wakes(&mut self, client: usize) {
        if !self.storm || self.clients[client].current.is_some() {
            return;
        }
        let key = self.draw_key(client);
        let intent = draw_intent(&mut self.clients[client].random);
        self.begin_intent(client, key, intent);
    }

    fn draw_key(&mut self, client: usize) -> KeyIndex {
        let random = &mut self.clients[client].random;
        let mut roll = random.below(100);
        let mut bucket = 0;
        for (index, of) in self.buckets.iter().enumerate() {
            bucket = index;
            if roll < of.share {
                break;
            }
            roll -= of.share;
        }
        let count = self.options.workload.keys_per_bucket;
        let hot = random.chance(self.options.workload.hot_per_mille);
        let within = if hot { 0 } else { random.below(u64::from(count)) };
        let bucket = u16::try_from(bucket).expect("few buckets");
        KeyIndex(bucket * count + u16::try_from(within).expect("few keys"))
    }

    fn begin_intent(&mut self, client: usize, key: KeyIndex, intent: Intent) {
        let memory = self.clients[client].memory.entry(key).or_default();
        let known = match intent {
            Intent::Read(then) => return self.begin_read(client, key, then),
            Intent::List => return self.begin_list(client, key),
            Intent::UnseenDelete if key.0 % 4 == UNSEEN_DELETES_REST => {
                self.markers.hit(Marker::UnseenDelete);
                return self.begin_write(client, key, WriteKind::DeleteUnseen, Vec::new());
            }
            Intent::UnseenDelete => return self.begin_read(client, key, Then::Delete),
            Intent::BlindPut => Vec::new(),
            Intent::StalePut => {
                if memory.reads.len() > 1 {
                    self.markers.hit(Marker::StaleContext);
                }
                memory.reads.front().cloned().into_iter().collect()
            }
            Intent::ChainedPut => {
                if memory.put.is_some() {
                    self.markers.hit(Marker::ChainedPut);
                }
                memory.put.clone().into_iter().collect()
            }
            Intent::TwoContextPut => {
                let both: Vec<Known> = memory
                    .reads
                    .front()
                    .into_iter()
                    .chain(memory.put.as_ref().or(memory.reads.back()))
                    .cloned()
                    .collect();
                if both.len() == 2 {
                    self.markers.hit(Marker::TwoContexts);
                }
                both
            }
        };
        self.begin_write(client, key, WriteKind::Value, known);
    }

    fn draw_options(&mut self, client: usize, any_quorum: bool) -> Options {
        let n = u64::from(self.options.replication.get());
        let random = &mut self.clients[client].random;
        let quorum = |random: &mut crate::random::Stream| {
            (any_quorum && random.chance(250))
                .then(|| u8::try_from(random.between(1, n)).expect("at most n"))
        };
        Options {
            r: quorum(random),
            w: quorum(random),
            strict: random.chance(100),
            timeout_ms: random
                .chance(300)
                .then(|| u32::try_from(random.magnitude(50, 4_000)).expect("small")),
        }
    }

    fn begin_read(&mut self, client: usize, key: KeyIndex, then: Then) {
        let mut options = self.draw_options(client, true);
        options.strict |= self.clients[client].random.chance(300);
        let (name, bucket, _) = &self.keys[usize::from(key.0)];
        let r = options.r.unwrap_or(self.buckets[*bucket].settings.r);
        let request = Request::Get { name: name.clone(), options };
        let strict = options.strict;
        self.begin(client, Goal::Read { key, r, strict, then }, request);
    }

    fn begin_list(&mut self, client: usize, key: KeyIndex) {
        let (_, bucket, _) = &self.keys[usize::from(key.0)];
        let request = Request::List {
            bucket: self.buckets[*bucket].bucket.clone(),
            after: None,
            prefix: bytes::Bytes::new(),
            limit: 100,
            options: Options::default(),
        };
        self.begin(client, Goal::List, request);
    }

    fn begin_write(&mut self, client: usize, key: KeyIndex, kind: WriteKind, known: Vec<Known>) {
        let options = self.draw_options(client, Self::uses_any_quorum(key));
        let (name, bucket, _) = self.keys[usize::from(key.0)].clone();
        let mut parents: Vec<WriteId> =
            known.iter().flat_map(|known| known.parents.iter().copied()).collect();
        parents.sort_unstable();
        parents.dedup();
        let id = self.history.begin_write(Write {
            key,
            client: u16::try_from(client).expect("few clients"),
            kind,
            parents: parents.clone(),
            w: options.w.unwrap_or(self.buckets[bucket].settings.w),
            invoked: self.now,
            ended: None,
            attempts: Vec::new(),
            outcome: Outcome::Pending,
        });
        let content = match kind {
            WriteKind::Value => {
                let random = &mut self.clients[client].random;
                let padding =
                    if random.chance(20) { random.below(20_000) } else { random.below(64) };
                let padding = usize::try_from(padding).expect("small");
                let bytes = value::encode(&Provenance { write: id, key, parents }, padding);
                Content::Value { bytes, content_type: "text/plain".into() }
            }
            WriteKind::Delete | WriteKind::DeleteUnseen => Content::Tombstone,
        };
        let contexts: Vec<String> = known.into_iter().map(|known| known.context).collect();
        self.open_contexts(id, &name, &contexts);
        let request = id.request();
        let mutation = Mutation { name, content, contexts, request, retry: false, options };
        self.begin(client, Goal::Write(id), Request::Mutate(mutation));
    }

    /// Looks into the contexts of a write, for the tombstones behind them.
    fn open_contexts(&mut self, id: WriteId, name: &ObjectName, contexts: &[String]) {
        for text in contexts {
            match ClientContext::open(text, &self.context_key, self.cluster_id, name) {
                Ok(context) => self.contexts.entry(id).or_default().union_with(&context.dots),
                Err(error) => self.odd(format!("a context of {id} does not open: {error}")),
            }
        }
    }

    fn begin(&mut self, client: usize, goal: Goal, request: Request) {
        let now = self.now;
        let nodes = u64::from(self.options.nodes);
        let state = &mut self.clients[client];
        if state.random.chance(200) {
            state.favourite = HostIndex(u8::try_from(state.random.below(nodes)).expect("small"));
        }
        let host = state.favourite;
        state.serial += 1;
        let serial = state.serial;
        let attempts_max = usize::try_from(state.random.between(1, 3)).expect("small");
        let doubles = matches!(goal, Goal::Write(_))
            && state.random.chance(self.options.workload.double_per_mille);
        state.current = Some(Operation {
            serial,
            goal,
            request,
            began: now,
            attempts: std::collections::BTreeMap::new(),
            attempts_max,
            first_host: host,
        });
        if doubles {
            let wait = self.random.duration(Duration::ZERO, Duration::from_millis(50));
            self.schedule(wait, Happening::Double { client, serial });
        }
        self.attempt(client, host);
    }

    fn attempt(&mut self, client: usize, host: HostIndex) {
        self.attempt_counter += 1;
        let attempt = self.attempt_counter;
        let now = self.now;
        let Some(operation) = self.clients[client].current.as_mut() else { return };
        let mut request = operation.request.clone();
        if let Request::Mutate(mutation) = &mut request {
            mutation.retry = !operation.attempts.is_empty();
        }
        operation.attempts.insert(attempt, Standing::Open);
        let serial = operation.serial;
        if let Goal::Write(id) = operation.goal {
            self.history.writes[id.index()]
                .attempts
                .push(dynamo_checker::history::Attempt { host, sent: now });
        }
        if let Goal::Write(id) = operation.goal {
            self.observer.asked(now, id, host);
        }
        let waiting = Attempt { client: Some((client, serial)), host, process: None };
        self.attempts.insert(attempt, waiting);
        self.trace
            .line(now, || format!("client {client} asks {host}, attempt {attempt}: {request:?}"));
        let latency = self.client_latency();
        let request = Box::new(request);
        self.schedule(latency, Happening::RequestArrives { attempt, request });
        let patience = self.options.workload.patience;
        self.schedule(patience, Happening::AttemptTimesOut { attempt });
    }

    pub(super) fn request_arrives(&mut self, attempt: u64, request: Request) {
        let Some(waiting) = self.attempts.get(&attempt) else { return };
        let host = waiting.host;
        let state = self.host(host);
        if state.machine.is_none() {
            let answer = Box::new(Answer::Refused);
            let latency = self.client_latency();
            self.schedule(latency, Happening::AnswerArrives { attempt, answer });
            return;
        }
        let process = state.process;
        if let Some(waiting) = self.attempts.get_mut(&attempt) {
            waiting.process = Some(process);
        }
        self.deliver(host, Event::Requested { client: ClientId(attempt), request });
    }

    /// All requests under way at a process break with it.
    pub(super) fn break_attempts(&mut self, host: HostIndex, process: u64) {
        let broken: Vec<u64> = self
            .attempts
            .iter()
            .filter(|(_, waiting)| waiting.host == host && waiting.process == Some(process))
            .map(|(attempt, _)| *attempt)
            .collect();
        for attempt in broken {
            if let Some(waiting) = self.attempts.get_mut(&attempt) {
                waiting.process = None;
            }
            let latency = self.client_latency();
            let answer = Box::new(Answer::Broken);
            self.schedule(latency, Happening::AnswerArrives { attempt, answer });
        }
    }

    /// The operation that an attempt belongs to, if its client still waits for it.
    fn operation_of(&mut self, attempt: u64) -> Option<usize> {
        let (client, serial) = self.attempts.get(&attempt)?.client?;
        let current = self.clients[client].current.as_ref()?;
        (current.serial == serial).then_some(client)
    }

    pub(super) fn attempt_times_out(&mut self, attempt: u64) {
        let Some(client) = self.operation_of(attempt) else { return };
        self.settle(client, attempt, Standing::Unknown);
    }

    pub(super) fn double(&mut self, client: usize, serial: u64) {
        if self.clients[client].current.as_ref().is_some_and(|o| o.serial == serial) {
            self.markers.hit(Marker::RequestDoubled);
            let host = self.draw_other_host(client);
            self.attempt(client, host);
        }
    }

    fn draw_other_host(&mut self, client: usize) -> HostIndex {
        let nodes = u64::from(self.options.nodes);
        let state = &mut self.clients[client];
        let drawn = HostIndex(u8::try_from(state.random.below(nodes)).expect("small"));
        state.favourite = drawn;
        drawn
    }

    pub(super) fn answer_arrives(&mut self, attempt: u64, answer: Answer) {
        if self.attempts.get(&attempt).is_some_and(|waiting| waiting.client.is_none()) {
            self.audit_answers.insert(attempt, answer);
            return;
        }
        self.trace.line(self.now, || format!("attempt {attempt} gets {answer:?}"));
        let host = self.attempts.get(&attempt).map(|waiting| waiting.host);
        let (Some(client), Some(host)) = (self.operation_of(attempt), host) else { return };
        match answer {
            Answer::Refused => self.settle(client, attempt, Standing::Failed),
            Answer::Broken => self.settle(client, attempt, Standing::Unknown),
            Answer::Reply(Reply::Failed(failure)) => {
                let standing = self.judge_failure(&failure, host);
                self.settle(client, attempt, standing);
            }
            Answer::Reply(reply) => self.succeed(client, host, reply),
        }
    }

    fn judge_failure(&mut self, failure: &Failure, host: HostIndex) -> Standing {
        match failure {
            Failure::OutcomeUnknown { .. } => {
                self.markers.hit(Marker::OutcomeUnknown);
                return Standing::Unknown;
            }
            Failure::NotEnoughReplicas { .. } => self.markers.hit(Marker::NotEnoughReplicas),
            Failure::Overloaded { .. } => self.markers.hit(Marker::Overloaded),
            Failure::Invalid { reason: Invalid::TooManySiblings, .. } => {
                self.markers.hit(Marker::TooManySiblings);
            }
            Failure::Invalid { reason, detail } => {
                self.odd(format!("{host} refuses a good request: {reason:?}, {detail}"));
            }
            Failure::StorageFull | Failure::StorageFailed => {}
        }
        Standing::Failed
    }

    /// An attempt ended without success: try again, or conclude.
    fn settle(&mut self, client: usize, attempt: u64, standing: Standing) {
        let Some(operation) = self.clients[client].current.as_mut() else { return };
        match operation.attempts.get_mut(&attempt) {
            Some(open) if *open == Standing::Open => *open = standing,
            // Timed out before, and now it turns out that it certainly failed.
            Some(known) if standing == Standing::Failed => *known = standing,
            Some(_) | None => return,
        }
        if operation.attempts.values().any(|standing| *standing == Standing::Open) {
            return;
        }
        if operation.attempts.len() < operation.attempts_max {
            self.markers.hit(Marker::Retried);
            let host = self.draw_other_host(client);
            return self.attempt(client, host);
        }
        let Some(operation) = self.clients[client].current.take() else { return };
        let certainly = operation.certainly_failed();
        match operation.goal {
            Goal::Write(id) => {
                let outcome = if certainly { Outcome::Failed } else { Outcome::Unknown };
                self.conclude(id, outcome);
            }
            Goal::Read { .. } | Goal::List => self.operations.failed += 1,
        }
        self.rest(client);
    }

    fn conclude(&mut self, id: WriteId, outcome: Outcome) {
        match outcome {
            Outcome::Acknowledged(receipt) => {
                self.operations.ok += 1;
                if receipt.synced == 0 {
                    self.markers.hit(Marker::AckedUnsynced);
                }
            }
            Outcome::Failed => self.operations.failed += 1,
            Outcome::Unknown | Outcome::Pending => self.operations.unknown += 1,
        }
        let now = self.now;
        self.trace.line(now, || format!("{id} ends: {outcome:?}"));
        let write = &mut self.history.writes[id.index()];
        write.outcome = outcome;
        write.ended = Some(now);
    }

    fn rest(&mut self, client: usize) {
        let most = self.options.workload.think_max;
        let think = self.clients[client].random.duration(Duration::from_micros(100), most);
        // Now and then a client hurries, so that its operations touch.
        let think = if self.clients[client].random.chance(300) { think / 20 } else { think };
        self.schedule(think, Happening::ClientWakes(client));
    }

    fn succeed(&mut self, client: usize, host: HostIndex, reply: Reply) {
        let Some(operation) = self.clients[client].current.take() else { return };
        match (operation.goal, reply) {
            (Goal::Read { key, r, strict, then }, Reply::Object(object)) => {
                self.operations.ok += 1;
                let known =
                    self.note_read((client, host), key, (r, strict, operation.began), object);
                match then {
                    Then::Nothing => self.rest(client),
                    Then::Put => self.begin_write(client, key, WriteKind::Value, vec![known]),
                    Then::Delete => self.begin_write(client, key, WriteKind::Delete, vec![known]),
                }
            }
            (Goal::Write(id), Reply::Stored { context, receipt }) => {
                self.conclude(id, Outcome::Acknowledged(receipt));
                let write = self.history.write(id);
                if receipt.copies < write.w {
                    let w = write.w;
                    self.odd(format!("{host} acknowledges {id} with {receipt:?} and not w={w}"));
                }
                let write = self.history.write(id);
                let (key, mut parents) = (write.key, write.parents.clone());
                parents.push(id);
                let name = &self.keys[usize::from(key.0)].0;
                match ClientContext::open(&context, &self.context_key, self.cluster_id, name) {
                    Ok(opened) => {
                        self.evidence.acknowledged_hlc.insert(id, opened.hlc_max);
                    }
                    Err(error) => self.odd(format!("{host} sends a bad context: {error}")),
                }
                let memory = self.clients[client].memory.entry(key).or_default();
                memory.put = Some(Known { context, parents });
                self.rest(client);
            }
            (Goal::List, Reply::Page(page)) => {
                self.operations.ok += 1;
                self.markers.hit(Marker::Listed);
                let unknown = page
                    .keys
                    .iter()
                    .find(|key| !self.keys.iter().any(|(name, ..)| name.key == **key));
                if let Some(key) = unknown {
                    self.odd(format!("{host} lists {key}, which nobody wrote"));
                }
                self.rest(client);
            }
            (goal, reply) => {
                self.odd(format!("{host} answers {goal:?} with {reply:?}"));
                self.rest(client);
            }
        }
    }

    /// Notes a read in the history, and what its client now knows.
    pub(super) fn note_read(
        &mut self,
        (client, host): (usize, HostIndex),
        key: KeyIndex,
        (r, strict, invoked): (u8, bool, Instant),
        object: ObjectReply,
    ) -> Known {
        let values: Vec<Seen> = object
            .siblings
            .iter()
            .map(|sibling| match value::decode(&sibling.value) {
                Ok(provenance) if provenance.key == key => Seen::Write(provenance.write),
                Ok(provenance) => {
                    Seen::Invention(format!("a value of another key: {provenance:?}"))
                }
                Err(error) => Seen::Invention(error.to_string()),
            })
            .collect();
        if values.len() > 1 {
            self.markers.hit(Marker::Siblings);
        }
        let read = Read {
            key,
            client: u16::try_from(client).expect("few clients"),
            host,
            r,
            // Who does not know the bucket shows all siblings, and promises nothing of them.
            strict: strict && invoked >= self.hosts[host.index()].hears_until,
            invoked,
            ended: self.now,
            values,
            after_convergence: false,
        };
        let parents: Vec<WriteId> = read.writes().collect();
        self.trace.line(self.now, || {
            format!("client {client} read {:?} asked at {}", read.values, seconds(read.invoked))
        });
        self.history.reads.push(read);
        let known = Known { context: object.context, parents };
        if let Some(state) = self.clients.get_mut(client) {
            state.memory.entry(key).or_default().remember(known.clone());
        }
        known
    }
}
