//! A few nodes in one thread: every message arrives at once and in order, unless a test cuts a link or holds a disk.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;
use dynamo_messages::{
    Envelope, Mutation, OperationId, Options, PeerMessage, ReadOutcome, RepairMessage,
    ReplicaWrite, Reply, Request, encode_peer,
};
use dynamo_protocol::{
    Announcement, BudgetConfig, ClientId, Column, Effect, Event, LoadId, LoadedRow, MemberInfo,
    Node, NodeConfig, Recovered, ScannedRow, StoreId, StoreResult, StoreWrite, Timing, rows,
};
use dynamo_ring::{Layout, RingMember, Zone, first_layout};
use dynamo_types::{
    Bucket, ClusterId, Durability, Instant, Key, Limits, NodeId, Now, ObjectName, PartitionCount,
    Position, Replication, RequestId, WallTime,
};
use dynamo_versioning::{Content, Record, StoredRecord};

type Rows = BTreeMap<(Column, Bytes), Bytes>;

/// A disk that was put aside.
pub(crate) struct DiskImage(Rows);

/// Reports that are on their way.
pub(crate) struct HeldReports(VecDeque<(NodeId, NodeId, Event)>);

struct Member {
    node: Node,
    disk: Rows,
    /// Stores that a test holds back, in order.
    held: VecDeque<(StoreId, Vec<StoreWrite>)>,
}

/// The cluster, and what a test may do to it.
pub(crate) struct Cluster {
    members: BTreeMap<NodeId, Member>,
    infos: Vec<MemberInfo>,
    replication: Replication,
    /// What is under way: from whom, to whom, and what the receiver will be told.
    wire: VecDeque<(NodeId, NodeId, Event)>,
    /// Links that lose everything, as (from, to), though their connection stands.
    pub(crate) cut_links: BTreeSet<(NodeId, NodeId)>,
    /// Links whose clock reports are held back.
    pub(crate) held_reports: BTreeSet<(NodeId, NodeId)>,
    reports: VecDeque<(NodeId, NodeId, Event)>,
    /// The last read that each node was asked for.
    last_reads: BTreeMap<NodeId, OperationId>,
    /// What the last answer to a read said.
    pub(crate) last_read_outcome: Option<ReadOutcome>,
    /// Nodes that were cut off from all others.
    isolated: BTreeSet<NodeId>,
    /// Nodes whose stores are held.
    pub(crate) held_disks: BTreeSet<NodeId>,
    /// Nodes whose reads are held.
    pub(crate) held_loads: BTreeSet<NodeId>,
    loads: Vec<(NodeId, LoadId, LoadedRow)>,
    /// Nodes whose disks refuse.
    pub(crate) full_disks: BTreeSet<NodeId>,
    /// Nodes whose disks fail: what they store may be there or not.
    pub(crate) failing_disks: BTreeSet<NodeId>,
    /// Rows that cannot be read, until they are written again.
    damaged: BTreeSet<(NodeId, Column, Bytes)>,
    /// Limits and depths of trees from a node's next start on, if not the usual ones.
    pub(crate) hint_bytes_max: u64,
    pub(crate) tree_depths: BTreeMap<NodeId, u8>,
    /// How far nodes' wall clocks are ahead of the others'.
    pub(crate) wall_ahead: BTreeMap<NodeId, std::time::Duration>,
    /// A node that is killed as soon as it has had so many more effects carried out.
    pub(crate) dies_after: Option<(NodeId, u32)>,
    /// Messages by which replicas compare themselves, roots aside.
    pub(crate) comparisons: u64,
    /// Bytes of the longest message that was sent.
    pub(crate) longest_message: usize,
    replies: BTreeMap<ClientId, Reply>,
    /// What nodes say of themselves, if not what they began with.
    pub(crate) announcements: BTreeMap<NodeId, Announcement>,
    /// What each node last told its shell of each member.
    pub(crate) told: BTreeMap<(NodeId, NodeId), dynamo_membership::Member>,
    /// Everything that was said about members.
    pub(crate) gossip: Vec<(NodeId, NodeId, Bytes)>,
    now: Now,
    next_client: u64,
    next_seed: u64,
    /// Rows of objects written so far.
    pub(crate) object_writes: u64,
}

pub(crate) fn node(number: u64) -> NodeId {
    NodeId(number)
}

pub(crate) fn name(key: &'static str) -> ObjectName {
    ObjectName { bucket: Bucket::new("carts").unwrap(), key: Key::new(key).unwrap() }
}

impl Cluster {
    /// `count` connected nodes, numbered from 1.
    pub(crate) fn new(count: u64, n: u8) -> Self {
        let infos: Vec<MemberInfo> = (1..=count)
            .map(|number| MemberInfo {
                node: NodeId(number),
                name: format!("node-{number}"),
                address: format!("host-{number}:7100"),
                http_address: format!("host-{number}:8100"),
                weight: 1,
                zone: format!("zone-{number}"),
            })
            .collect();
        let mut cluster = Self {
            members: BTreeMap::new(),
            infos,
            replication: Replication::new(n).unwrap(),
            wire: VecDeque::new(),
            cut_links: BTreeSet::new(),
            held_reports: BTreeSet::new(),
            reports: VecDeque::new(),
            last_reads: BTreeMap::new(),
            last_read_outcome: None,
            isolated: BTreeSet::new(),
            held_disks: BTreeSet::new(),
            held_loads: BTreeSet::new(),
            loads: Vec::new(),
            full_disks: BTreeSet::new(),
            failing_disks: BTreeSet::new(),
            damaged: BTreeSet::new(),
            hint_bytes_max: 64 << 10,
            tree_depths: BTreeMap::new(),
            wall_ahead: BTreeMap::new(),
            dies_after: None,
            comparisons: 0,
            longest_message: 0,
            replies: BTreeMap::new(),
            announcements: BTreeMap::new(),
            told: BTreeMap::new(),
            gossip: Vec::new(),
            now: Now { monotonic: Instant(1), wall: WallTime(1_700_000_000_000_000) },
            next_client: 0,
            next_seed: 0,
            object_writes: 0,
        };
        for number in 1..=count {
            cluster.start(NodeId(number), Rows::new());
        }
        for a in 1..=count {
            for b in (1..=count).filter(|b| *b != a) {
                cluster.event(NodeId(a), Event::Connected { node: NodeId(b) });
            }
        }
        cluster
    }

    fn layout(&self) -> Layout {
        let ring: Vec<RingMember> = self
            .infos
            .iter()
            .map(|info| RingMember {
                node: info.node,
                weight: info.weight,
                zone: Zone::new(info.zone.as_str()),
            })
            .collect();
        let partitions = PartitionCount::new(8).unwrap();
        first_layout(&ring, self.replication, partitions).unwrap().layout
    }

    /// The replicas of a key, and the other nodes.
    pub(crate) fn replicas_of(&self, key: &'static str) -> (Vec<NodeId>, Vec<NodeId>) {
        let layout = self.layout();
        let (_, set) = layout.replicas_of(Position::of_object(&name(key)));
        self.members.keys().copied().partition(|node| set.contains(*node))
    }

    fn start(&mut self, id: NodeId, disk: Rows) {
        let config = NodeConfig {
            node: id,
            cluster: ClusterId(7),
            cluster_secret: [9; 32],
            members: self.infos.clone(),
            joins: None,
            announcement: self.announcements.get(&id).cloned(),
            layout: self.layout(),
            limits: Limits { value_bytes_max: 1024, siblings_max: 4 },
            timing: Timing::default(),
            requests_max: 64,
            bytes_in_flight_max: 64 << 10,
            retries_remembered_max: 1000,
            hint_bytes_max: self.hint_bytes_max,
            background: BudgetConfig::default(),
            tree_depth: self.tree_depths.get(&id).copied().unwrap_or(1),
        };
        let meta = disk.iter().filter(|((column, _), _)| *column == Column::Meta);
        let damaged = |key: &Bytes| self.damaged.contains(&(id, Column::Meta, key.clone()));
        let readable = |key: &Bytes, value: &Bytes| (!damaged(key)).then(|| value.clone());
        let meta = meta.map(|((_, key), value)| (key.clone(), readable(key, value))).collect();
        self.next_seed += 1;
        let mut recovered = Recovered { meta, ..Recovered::default() };
        for ((column, key), value) in &disk {
            if *column == Column::Hints {
                recovered.count_hint(key, value.len());
            }
        }
        let node = Node::new(config, &recovered, self.now_at(id), self.next_seed).unwrap();
        self.members.insert(id, Member { node, disk, held: VecDeque::new() });
    }

    /// Kills a node between two events and starts it again on what its disk holds. Whoever is
    /// isolated stays so.
    pub(crate) fn restart(&mut self, id: NodeId) {
        let disk = self.members.remove(&id).unwrap().disk;
        let mut others: Vec<NodeId> = self.members.keys().copied().collect();
        for other in &others {
            self.event(*other, Event::Disconnected { node: id });
        }
        self.wire.retain(|(from, to, _)| *from != id && *to != id);
        self.start(id, disk);
        others.retain(|other| !self.isolated.contains(other) && !self.isolated.contains(&id));
        for other in others {
            self.event(other, Event::Connected { node: id });
            self.event(id, Event::Connected { node: other });
        }
    }

    /// What a node's disk holds now.
    pub(crate) fn image(&self, id: NodeId) -> DiskImage {
        DiskImage(self.members[&id].disk.clone())
    }

    /// Kills a node and starts it again on a disk that was put aside.
    pub(crate) fn set_back(&mut self, id: NodeId, image: DiskImage) {
        self.members.get_mut(&id).unwrap().disk = image.0;
        self.restart(id);
    }

    /// Lets the reports of a link arrive that were held back.
    pub(crate) fn release_reports(&mut self, from: NodeId, to: NodeId) {
        self.held_reports.remove(&(from, to));
        let held = self.take_reports(from, to);
        self.deliver(held);
    }

    /// Takes the reports of a link that were held back so far.
    pub(crate) fn take_reports(&mut self, from: NodeId, to: NodeId) -> HeldReports {
        let of_link = |report: &(NodeId, NodeId, Event)| (report.0, report.1) == (from, to);
        let all = std::mem::take(&mut self.reports);
        let (taken, held): (VecDeque<_>, VecDeque<_>) = all.into_iter().partition(of_link);
        self.reports = held;
        HeldReports(taken)
    }

    /// Lets reports arrive that were taken.
    pub(crate) fn deliver(&mut self, reports: HeldReports) {
        self.wire.extend(reports.0);
        self.run();
    }

    /// Breaks all connections of a node.
    pub(crate) fn isolate(&mut self, id: NodeId) {
        self.isolated.insert(id);
        let others: Vec<NodeId> = self.members.keys().copied().filter(|n| *n != id).collect();
        for other in others {
            self.event(other, Event::Disconnected { node: id });
            self.event(id, Event::Disconnected { node: other });
        }
    }

    /// Connects a node to all others that are not isolated.
    pub(crate) fn rejoin(&mut self, id: NodeId) {
        self.isolated.remove(&id);
        let others: Vec<NodeId> = self.members.keys().copied().filter(|n| *n != id).collect();
        for other in
            others.into_iter().filter(|other| !self.isolated.contains(other)).collect::<Vec<_>>()
        {
            self.rejoin_pair(id, other);
        }
    }

    /// Connects two nodes.
    pub(crate) fn rejoin_pair(&mut self, one: NodeId, other: NodeId) {
        self.event(other, Event::Connected { node: one });
        self.event(one, Event::Connected { node: other });
    }

    /// Kills a node and starts it again under another address.
    pub(crate) fn restart_elsewhere(&mut self, id: NodeId, host: &str) {
        let announcement = Announcement {
            name: format!("node-{}", id.0),
            address: format!("{host}:7100"),
            http_address: format!("{host}:8100"),
        };
        self.announcements.insert(id, announcement);
        self.restart(id);
    }

    /// The wall clocks of all go on by themselves, as if nobody had been there for years.
    pub(crate) fn skip_years(&mut self, years: u64) {
        self.now.wall.0 += years * 366 * 24 * 3600 * 1_000_000;
    }

    pub(crate) fn node(&self, id: NodeId) -> &Node {
        &self.members[&id].node
    }

    fn now_at(&self, id: NodeId) -> Now {
        let ahead = self.wall_ahead.get(&id).copied().unwrap_or_default();
        let wall = WallTime(self.now.wall.0 + u64::try_from(ahead.as_micros()).unwrap());
        Now { wall, ..self.now }
    }

    /// Gives a node an event, and lets everything that follows happen.
    pub(crate) fn event(&mut self, id: NodeId, event: Event) {
        let now = self.now_at(id);
        self.members.get_mut(&id).unwrap().node.handle(now, event);
        self.run();
    }

    /// Lets time pass; every timer that comes due fires.
    pub(crate) fn pass(&mut self, time: std::time::Duration) {
        let until = self.now.monotonic + time;
        loop {
            let next = self.members.values().filter_map(|m| m.node.poll_timeout()).min();
            let at = next.unwrap_or(until).min(until).max(self.now.monotonic);
            let step = at.saturating_since(self.now.monotonic);
            self.now.monotonic = at;
            self.now.wall.0 += u64::try_from(step.as_micros()).unwrap();
            let ids: Vec<NodeId> = self.members.keys().copied().collect();
            for id in ids {
                let now = self.now_at(id);
                let member = self.members.get_mut(&id).unwrap();
                if member.node.poll_timeout().is_some_and(|due| due <= now.monotonic) {
                    member.node.handle_timeout(now);
                }
            }
            self.run();
            if at >= until {
                return;
            }
        }
    }

    /// Lets held stores end.
    pub(crate) fn release_disks(&mut self) {
        self.held_disks.clear();
        let ids: Vec<NodeId> = self.members.keys().copied().collect();
        for id in ids {
            while let Some((store, writes)) = self.members.get_mut(&id).unwrap().held.pop_front() {
                self.apply(id, &writes);
                let result = StoreResult::Applied { synced: true };
                self.event(id, Event::Stored { store, result });
            }
        }
    }

    /// Lets held reads end.
    pub(crate) fn release_loads(&mut self) {
        self.held_loads.clear();
        for (id, load, row) in std::mem::take(&mut self.loads) {
            self.event(id, Event::Loaded { load, row });
        }
    }

    fn apply(&mut self, id: NodeId, writes: &[StoreWrite]) {
        let disk = &mut self.members.get_mut(&id).unwrap().disk;
        for write in writes {
            if let StoreWrite::Put { column, key, .. } | StoreWrite::Delete { column, key } = write
            {
                self.damaged.remove(&(id, *column, key.clone()));
            }
            match write.clone() {
                StoreWrite::Put { column, key, value } => {
                    self.object_writes += u64::from(column == Column::Objects);
                    disk.insert((column, key), value);
                }
                StoreWrite::Delete { column, key } => {
                    disk.remove(&(column, key));
                }
                StoreWrite::DeleteRange { column, from, to } => {
                    disk.retain(|(c, key), _| *c != column || *key < from || *key >= to);
                }
            }
        }
    }

    fn run(&mut self) {
        loop {
            let ids: Vec<NodeId> = self.members.keys().copied().collect();
            let mut moved = false;
            for id in ids {
                while let Some(effect) =
                    self.members.get_mut(&id).and_then(|m| m.node.poll_effect())
                {
                    moved = true;
                    if self.dies_after.is_some_and(|(node, left)| node == id && left == 0) {
                        self.dies_after = None;
                        return self.restart(id);
                    }
                    if let Some((_, left)) = self.dies_after.as_mut().filter(|(n, _)| *n == id) {
                        *left -= 1;
                    }
                    self.carry_out(id, effect);
                }
                if let Some(member) = self.members.get(&id) {
                    member.node.check_invariants();
                }
            }
            if let Some((_, to, event)) = self.wire.pop_front() {
                moved = true;
                let now = self.now_at(to);
                if let Some(member) = self.members.get_mut(&to) {
                    member.node.handle(now, event);
                }
            }
            if !moved {
                return;
            }
        }
    }

    fn carry_out(&mut self, id: NodeId, effect: Effect) {
        let now = self.now_at(id);
        match effect {
            Effect::Send { to, envelope, .. } => {
                self.longest_message = self.longest_message.max(encode_peer(&envelope).len());
                if let PeerMessage::Repair(message) = &envelope.message {
                    let roots =
                        matches!(message, RepairMessage::Roots(_) | RepairMessage::RootsAnswer(_));
                    self.comparisons += u64::from(!roots);
                }
                if let PeerMessage::Read(read) = &envelope.message {
                    self.last_reads.insert(to, read.operation);
                }
                if let PeerMessage::ReadReply(reply) = &envelope.message {
                    self.last_read_outcome = Some(reply.outcome.clone());
                }
                if let PeerMessage::Gossip { bytes } = &envelope.message {
                    self.gossip.push((id, to, bytes.clone()));
                }
                let held = matches!(envelope.message, PeerMessage::ClockReports { .. })
                    && self.held_reports.contains(&(id, to));
                let event = Event::Received { from: id, envelope };
                if held {
                    self.reports.push_back((id, to, event));
                } else if !self.cut_links.contains(&(id, to)) {
                    self.wire.push_back((id, to, event));
                }
            }
            Effect::Datagram { to, bytes } => {
                assert!(bytes.len() <= 1100, "a datagram of {} bytes", bytes.len());
                if !self.cut_links.contains(&(id, to)) {
                    self.wire.push_back((id, to, Event::Datagram { from: id, bytes }));
                }
            }
            Effect::MemberChanged { node, member } => {
                self.told.insert((id, node), member);
            }
            Effect::LivenessChanged { .. } => {}
            Effect::Reply { client, reply } => {
                let before = self.replies.insert(client, reply);
                assert_eq!(before, None, "a request is answered once");
            }
            Effect::Load { load, column, key } => {
                let damaged = self.damaged.contains(&(id, column, key.clone()));
                let member = self.members.get_mut(&id).unwrap();
                let row = member.disk.get(&(column, key)).cloned();
                let row = match row {
                    Some(_) if damaged => LoadedRow::Damaged,
                    row => row.map_or(LoadedRow::Absent, LoadedRow::Found),
                };
                if self.held_loads.contains(&id) {
                    return self.loads.push((id, load, row));
                }
                member.node.handle(now, Event::Loaded { load, row });
            }
            Effect::Store { store, writes, .. } => {
                let bad = if self.full_disks.contains(&id) {
                    Some(StoreResult::Refused)
                } else {
                    self.failing_disks.contains(&id).then_some(StoreResult::Failed)
                };
                if let Some(result) = bad {
                    let member = self.members.get_mut(&id).unwrap();
                    return member.node.handle(now, Event::Stored { store, result });
                }
                if self.held_disks.contains(&id) {
                    self.members.get_mut(&id).unwrap().held.push_back((store, writes));
                    return;
                }
                self.apply(id, &writes);
                let result = StoreResult::Applied { synced: true };
                self.members
                    .get_mut(&id)
                    .unwrap()
                    .node
                    .handle(now, Event::Stored { store, result });
            }
            Effect::IncompletenessRecorded => {}
            Effect::Scan { scan, column, from, to, rows_max, bytes_max } => {
                let member = self.members.get_mut(&id).unwrap();
                let inside = |key: &Bytes| *key >= from && to.as_ref().is_none_or(|to| key < to);
                let damaged = |key: &Bytes| self.damaged.contains(&(id, column, key.clone()));
                let all: Vec<ScannedRow> = member
                    .disk
                    .iter()
                    .filter(|((c, key), _)| *c == column && inside(key))
                    .map(|((_, key), value)| ScannedRow {
                        key: key.clone(),
                        value: (!damaged(key)).then(|| value.clone()),
                    })
                    .collect();
                let (mut bytes, mut rows) = (0, Vec::new());
                let mut all = all.into_iter().peekable();
                while rows.len() < rows_max as usize
                    && bytes < bytes_max as usize
                    && let Some(row) = all.next()
                {
                    bytes += row.key.len() + row.value.as_ref().map_or(0, Bytes::len);
                    rows.push(row);
                }
                let end = all.peek().is_none();
                member.node.handle(now, Event::Scanned { scan, rows, end, failed: None });
            }
        }
    }

    /// Sends a request to a node, and says under which number its answer will be.
    pub(crate) fn ask(&mut self, at: NodeId, request: Request) -> ClientId {
        self.next_client += 1;
        let client = ClientId(self.next_client);
        self.event(at, Event::Requested { client, request });
        client
    }

    /// The answer, if there is one yet.
    pub(crate) fn answer(&self, client: ClientId) -> Option<&Reply> {
        self.replies.get(&client)
    }

    /// Sends a request and expects its answer at once.
    pub(crate) fn request(&mut self, at: NodeId, request: Request) -> Reply {
        let client = self.ask(at, request);
        self.replies.get(&client).expect("answered at once").clone()
    }

    pub(crate) fn get(&mut self, at: NodeId, key: &'static str) -> (Vec<Bytes>, String) {
        let options = Options::default();
        match self.request(at, Request::Get { name: name(key), options }) {
            Reply::Object(object) => {
                let mut values: Vec<Bytes> = object.siblings.into_iter().map(|s| s.value).collect();
                values.sort();
                (values, object.context)
            }
            other => panic!("not an object: {other:?}"),
        }
    }

    pub(crate) fn put(
        &mut self,
        at: NodeId,
        key: &'static str,
        value: &'static str,
        context: &str,
    ) -> String {
        let mutation = self.mutation(key, Some(value), context);
        match self.request(at, Request::Mutate(mutation)) {
            Reply::Stored { context, .. } => context,
            other => panic!("not stored: {other:?}"),
        }
    }

    /// Lets a replica write arrive that was long under way.
    pub(crate) fn write_late(
        &mut self,
        from: NodeId,
        to: NodeId,
        key: &'static str,
        record: Record,
    ) {
        let write = ReplicaWrite {
            operation: None,
            name: name(key),
            register: None,
            hint: None,
            pieces: record.pieces().collect(),
            durability: Durability::Synced,
            remaining_ms: 1000,
        };
        let envelope = Envelope { hlc: record.hlc_max(), message: PeerMessage::Write(write) };
        self.event(to, Event::Received { from, envelope });
    }

    /// Deletes what a context saw.
    pub(crate) fn delete(&mut self, at: NodeId, key: &'static str, context: &str) {
        let mutation = self.mutation(key, None, context);
        let reply = self.request(at, Request::Mutate(mutation));
        assert!(matches!(reply, Reply::Stored { .. }), "{reply:?}");
    }

    pub(crate) fn mutation(
        &mut self,
        key: &'static str,
        value: Option<&'static str>,
        context: &str,
    ) -> Mutation {
        self.next_client += 1;
        let content = match value {
            Some(value) => Content::Value {
                bytes: Bytes::from_static(value.as_bytes()),
                content_type: Bytes::from_static(b"text/plain"),
            },
            None => Content::Tombstone,
        };
        Mutation {
            name: name(key),
            content,
            contexts: if context.is_empty() { Vec::new() } else { vec![context.to_owned()] },
            request: RequestId(self.next_client.into()),
            retry: false,
            options: Options::default(),
        }
    }

    /// The operation of the last read that a node was asked for.
    pub(crate) fn last_read(&self, at: NodeId) -> Option<OperationId> {
        self.last_reads.get(&at).copied()
    }

    /// Whether a node's disk has settings of a bucket.
    pub(crate) fn stored_settings(&self, at: NodeId, bucket: &Bucket) -> bool {
        self.members[&at].disk.contains_key(&(Column::Meta, rows::bucket_key(bucket)))
    }

    /// Puts bytes onto a node's disk as the row of an object.
    pub(crate) fn plant_row(&mut self, at: NodeId, name: &ObjectName, value: Bytes) {
        let row = (Column::Objects, rows::object_key(name));
        self.members.get_mut(&at).unwrap().disk.insert(row, value);
    }

    /// Makes a row of a node's disk unreadable. It is there.
    pub(crate) fn damage(&mut self, at: NodeId, column: Column, key: Bytes) {
        assert!(self.members[&at].disk.contains_key(&(column, key.clone())), "no such row");
        self.damaged.insert((at, column, key));
    }

    /// Whether a node's disk has a row of an object, readable or not.
    pub(crate) fn has_row(&self, at: NodeId, name: &ObjectName) -> bool {
        self.members[&at].disk.contains_key(&(Column::Objects, rows::object_key(name)))
    }

    /// The keys of a column's rows on a node's disk, readable or not.
    pub(crate) fn row_keys(&self, at: NodeId, column: Column) -> Vec<Bytes> {
        let rows = self.members[&at].disk.keys();
        rows.filter(|(of, _)| *of == column).map(|(_, key)| key.clone()).collect()
    }

    /// What a node's disk holds of a key.
    pub(crate) fn stored(&self, at: NodeId, key: &'static str) -> Record {
        let row = self.members[&at].disk.get(&(Column::Objects, rows::object_key(&name(key))));
        row.map_or_else(Record::new, |row| StoredRecord::decode(row).unwrap().record)
    }

    pub(crate) fn counters(&self, at: NodeId) -> dynamo_protocol::Counters {
        *self.members[&at].node.counters()
    }

    /// Nodes in the replica set of a key, in a cluster where some are not.
    pub(crate) fn holds(&self, at: NodeId, key: &'static str) -> bool {
        !self.stored(at, key).is_empty()
    }
}
