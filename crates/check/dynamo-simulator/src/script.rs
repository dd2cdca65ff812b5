//! A calm cluster that a test drives by hand, for histories worth keeping word by word.

use core::time::Duration;

use bytes::Bytes;
use dynamo_checker::history::HostIndex;
use dynamo_membership::{Liveness, MemberStatus};
use dynamo_messages::{ClusterChange, Mutation, Options, Reply, Request, TransfersView};
use dynamo_protocol::{AntiEntropyCounters, BudgetConfig, Column, Counters, Node, Timing, rows};
use dynamo_register::Register;
use dynamo_types::{
    Bucket, BucketSettings, Durability, Instant, Key, Limits, NodeId, ObjectName, PartitionCount,
    PartitionId, Position, Profile, Replication, RequestId,
};
use dynamo_versioning::Content;

use crate::cluster::Cluster;
use crate::disk::{Crash, DiskKnobs};
use crate::network::NetworkKnobs;
use crate::options::{SeedOptions, WorkloadKnobs};

/// A cluster, driven step by step. Nothing goes wrong in it but what the script does.
#[derive(Debug)]
pub struct Script {
    cluster: Cluster,
    requests: u128,
    /// Records that processes which ended since had sent in exchanges.
    sent_before: u64,
    /// Whether moves were cancelled and nothing was planned since.
    cancelled: bool,
}

/// What a read showed, and the context for the next put.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// The values in order.
    pub values: Vec<String>,
    /// The context.
    pub context: String,
}

impl Script {
    /// A running cluster of so many nodes with N = 3.
    ///
    /// # Panics
    /// If there are fewer than three nodes.
    #[must_use]
    pub fn new(nodes: u8) -> Self {
        Self::of(calm(nodes))
    }

    /// The same, whose replicas do not compare themselves: only requests and hints heal it.
    ///
    /// # Panics
    /// If there are fewer than three nodes.
    #[must_use]
    pub fn without_anti_entropy(nodes: u8) -> Self {
        let mut options = calm(nodes);
        options.timing.anti_entropy_interval = Duration::from_secs(24 * 3600);
        Self::of(options)
    }

    /// A running cluster, and behind its members some nodes that have made themselves known and hold
    /// nothing.
    ///
    /// # Panics
    /// If there are fewer than three members, or the members do not hear of the others.
    #[must_use]
    pub fn with_spares(members: u8, spares: u8) -> Self {
        let mut options = calm(members + spares);
        options.founders = members;
        let mut script = Self::of(options);
        let all = script.hosts();
        let known = |script: &Self| {
            let known = |host: &HostIndex| all.iter().all(|other| script.knows(*host, *other));
            all.iter().all(known)
        };
        let heard = script.wait_for(Duration::from_secs(10), Duration::from_millis(100), known);
        assert!(heard, "the spare nodes did not make themselves known");
        script
    }

    fn of(options: SeedOptions) -> Self {
        assert!(options.nodes >= 3, "N is 3");
        let mut cluster = Cluster::new(options, false);
        cluster.start_all();
        cluster.advance_to(Instant(2_000_000_000));
        Self { cluster, requests: 0, sent_before: 0, cancelled: false }
    }

    /// The replicas of a key, and then the other nodes.
    #[must_use]
    pub fn replicas_first(&self, key: &str) -> Vec<HostIndex> {
        let position = Position::of_object(&name(key));
        let (_, set) = self.cluster.config.layout.replicas_of(position);
        let mut hosts: Vec<HostIndex> =
            set.iter().filter_map(|node| self.cluster.index_of(node)).collect();
        let others = self.cluster.host_indices().filter(|host| !hosts.contains(host));
        let others: Vec<HostIndex> = others.collect();
        hosts.extend(others);
        hosts
    }

    /// Puts a value; gives the reply.
    pub fn put(&mut self, at: HostIndex, key: &str, value: &str, contexts: &[&str]) -> Reply {
        self.mutate(at, key, Some(value), contexts, Options::default())
    }

    /// Puts a value (or, without one, a tombstone) with options; gives the reply.
    ///
    /// # Panics
    /// If the node neither answers nor dies within the client's patience.
    pub fn mutate(
        &mut self,
        at: HostIndex,
        key: &str,
        value: Option<&str>,
        contexts: &[&str],
        options: Options,
    ) -> Reply {
        self.requests += 1;
        let request = RequestId(self.requests);
        self.attempt(at, key, value, contexts, options, (request, false))
    }

    /// The request id of the last write.
    #[must_use]
    pub fn last_request(&self) -> RequestId {
        RequestId(self.requests)
    }

    /// Sends a put again under its request id.
    pub fn retry(
        &mut self,
        at: HostIndex,
        key: &str,
        value: &str,
        contexts: &[&str],
        request: RequestId,
    ) -> Reply {
        self.attempt(at, key, Some(value), contexts, Options::default(), (request, true))
    }

    fn attempt(
        &mut self,
        at: HostIndex,
        key: &str,
        value: Option<&str>,
        contexts: &[&str],
        options: Options,
        (request, retry): (RequestId, bool),
    ) -> Reply {
        let content = value.map_or(Content::Tombstone, |value| Content::Value {
            bytes: Bytes::copy_from_slice(value.as_bytes()),
            content_type: "text/plain".into(),
        });
        let contexts = contexts.iter().map(|context| (*context).to_owned()).collect();
        let mutation = Mutation { name: name(key), content, contexts, request, retry, options };
        self.cluster.ask_one(at, Request::Mutate(mutation)).expect("a live node answers")
    }

    /// Reads a key with an r of its own, if one is given; gives the reply.
    ///
    /// # Panics
    /// If the node neither answers nor dies within the client's patience.
    pub fn get(&mut self, at: HostIndex, key: &str, r: Option<u8>) -> Reply {
        self.get_with(at, key, Options { r, ..Options::default() })
    }

    /// Reads a key with options; gives the reply.
    ///
    /// # Panics
    /// If the node neither answers nor dies within the client's patience.
    pub fn get_with(&mut self, at: HostIndex, key: &str, options: Options) -> Reply {
        let request = Request::Get { name: name(key), options };
        self.cluster.ask_one(at, request).expect("a live node answers")
    }

    /// Reads a key that can be read.
    ///
    /// # Panics
    /// If the get fails.
    pub fn read(&mut self, at: HostIndex, key: &str) -> Shown {
        match self.get(at, key, None) {
            Reply::Object(object) => {
                let text = |bytes: &Bytes| String::from_utf8_lossy(bytes).into_owned();
                let mut values: Vec<String> =
                    object.siblings.iter().map(|sibling| text(&sibling.value)).collect();
                values.sort_unstable();
                Shown { values, context: object.context }
            }
            other => panic!("{at} answers a get with {other:?}"),
        }
    }

    /// From now on writes are `buffered`: one replica syncs them before they are acknowledged.
    ///
    /// # Panics
    /// If the nodes do not take the bucket's settings.
    pub fn buffer_writes(&mut self) {
        let n = self.cluster.config.layout.replication();
        let mut settings = BucketSettings::of_profile(Profile::BusinessLogic, n);
        settings.durability = Durability::Buffered;
        self.set_bucket(settings);
    }

    /// From now on the bucket of all keys is of another kind.
    ///
    /// # Panics
    /// If the nodes do not take the bucket's settings.
    pub fn set_profile(&mut self, profile: Profile) {
        let n = self.cluster.config.layout.replication();
        self.set_bucket(BucketSettings::of_profile(profile, n));
    }

    fn set_bucket(&mut self, settings: BucketSettings) {
        let bucket = name("any").bucket;
        let reply = self.cluster.ask_one(HostIndex(0), Request::PutBucket { bucket, settings });
        assert!(matches!(reply, Some(Reply::Bucket { .. })), "{reply:?}");
        self.wait(Duration::from_secs(2));
    }

    /// Lets time pass in steps until something is so. Whether it came to that within the time.
    pub fn wait_for(
        &mut self,
        within: Duration,
        step: Duration,
        is_so: impl Fn(&Self) -> bool,
    ) -> bool {
        let until = self.cluster.now() + within;
        while !is_so(self) {
            if self.cluster.now() >= until {
                return false;
            }
            self.wait(step);
        }
        true
    }

    /// How long the script has run, in virtual time.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.cluster.now().saturating_since(Instant::ZERO)
    }

    /// Lets time pass until so long after the beginning.
    pub fn wait_until(&mut self, since_start: Duration) {
        self.cluster.advance_to(Instant::ZERO + since_start);
    }

    /// Lets time pass.
    pub fn wait(&mut self, time: Duration) {
        self.cluster.advance_to(self.cluster.now() + time);
    }

    /// Cuts a node off from all others, or joins it again.
    pub fn isolate(&mut self, host: HostIndex, cut: bool) {
        for other in self.hosts().into_iter().filter(|other| *other != host) {
            self.cut(host, other, cut);
        }
    }

    /// Cuts two nodes off from each other, or joins them again.
    pub fn cut(&mut self, one: HostIndex, other: HostIndex, cut: bool) {
        let cluster = &mut self.cluster;
        for link in [(one, other), (other, one)] {
            cluster.network.set_cut(cluster.now, link, cut, &mut cluster.queue);
        }
    }

    /// Cuts a group of nodes off from all others, or joins it to them again.
    pub fn split(&mut self, group: &[HostIndex], cut: bool) {
        for other in self.hosts().into_iter().filter(|other| !group.contains(other)) {
            for host in group {
                self.cut(*host, other, cut);
            }
        }
    }

    /// Makes a machine stand still.
    pub fn pause(&mut self, host: HostIndex) {
        let cluster = &mut self.cluster;
        cluster.host(host).paused = true;
        cluster.network.set_paused(cluster.now, host, true, &mut cluster.queue);
    }

    /// Lets it go on.
    pub fn resume(&mut self, host: HostIndex) {
        self.cluster.resume(host);
    }

    /// Ends a process; it starts again within seconds.
    pub fn crash(&mut self, host: HostIndex, crash: Crash) {
        self.sent_before += self.machine(host).map_or(0, |node| node.anti_entropy().records_sent);
        self.cluster.crash(host, crash);
    }

    /// Makes a node's row of a key unreadable; false if it has none.
    pub fn damage(&mut self, host: HostIndex, key: &str) -> bool {
        let row = rows::object_key(&name(key));
        self.cluster.host(host).disk.damage(Column::Objects, row)
    }

    /// Ends a process and loses its disk; it starts again within seconds.
    pub fn lose_disk(&mut self, host: HostIndex) {
        self.cluster.lose_disk(host);
    }

    /// Ends a process and empties its disk so that its shell does not see that there ever was
    /// anything, as when the identity was wiped too and came back from a copy.
    pub fn lose_disk_unnoticed(&mut self, host: HostIndex) {
        if self.cluster.crash(host, Crash::Power) {
            self.cluster.host(host).disk.wipe();
        }
    }

    /// From now on a disk takes so many times as long.
    pub fn slow_disk(&mut self, host: HostIndex, times: u32) {
        self.cluster.host(host).disk.slowness = times;
    }

    /// All machines lose power at once; they start again within seconds.
    pub fn power_cut(&mut self) {
        for host in self.cluster.host_indices() {
            self.cluster.crash(host, Crash::Power);
        }
    }

    /// What a node thinks of another one.
    ///
    /// # Panics
    /// If the observer does not run.
    #[must_use]
    pub fn liveness(&self, observer: HostIndex, subject: HostIndex) -> Liveness {
        self.cluster.liveness(observer, subject).expect("the observer runs")
    }

    /// All nodes.
    #[must_use]
    pub fn hosts(&self) -> Vec<HostIndex> {
        self.cluster.host_indices().collect()
    }

    /// Whether a node's disk has a row of a key.
    #[must_use]
    pub fn has_row(&self, host: HostIndex, key: &str) -> bool {
        let row = rows::object_key(&name(key));
        self.cluster.hosts[host.index()].disk.has(Column::Objects, &row)
    }

    /// How often the running nodes have found that their disk was set back.
    #[must_use]
    pub fn rollbacks_noticed(&self) -> u64 {
        let machines = self.cluster.hosts.iter().filter_map(|host| host.machine.as_ref());
        machines.map(|machine| machine.counters().rollbacks_noticed).sum()
    }

    /// Hints that a node's disk keeps for others.
    #[must_use]
    pub fn hints(&self, host: HostIndex) -> usize {
        self.cluster.hosts[host.index()].disk.rows(Column::Hints).count()
    }

    /// What a node's process counted so far.
    ///
    /// # Panics
    /// If it does not run.
    #[must_use]
    pub fn counters(&self, host: HostIndex) -> Counters {
        let machine = self.cluster.hosts[host.index()].machine.as_ref();
        *machine.expect("the node runs").counters()
    }

    /// Whether a node's process runs.
    #[must_use]
    pub fn runs(&self, host: HostIndex) -> bool {
        self.cluster.hosts[host.index()].machine.is_some()
    }

    /// Copies of partitions at a node that may lack something.
    ///
    /// # Panics
    /// If it does not run.
    #[must_use]
    pub fn incomplete_partitions(&self, host: HostIndex) -> usize {
        let machine = self.cluster.hosts[host.index()].machine.as_ref();
        machine.expect("the node runs").incomplete_partitions()
    }

    /// Rows of objects that all nodes have written so far.
    #[must_use]
    pub fn object_rows_written(&self) -> u64 {
        self.cluster.object_rows_written
    }

    /// Nodes whose disk has a row of a key.
    #[must_use]
    pub fn holders(&self, key: &str) -> Vec<HostIndex> {
        self.hosts().into_iter().filter(|host| self.has_row(*host, key)).collect()
    }

    /// Rows of objects on a node's disk.
    #[must_use]
    pub fn object_rows(&self, host: HostIndex) -> usize {
        self.cluster.hosts[host.index()].disk.rows(Column::Objects).count()
    }

    /// For whom a node's disk keeps hints of a key.
    #[must_use]
    pub fn hints_of(&self, host: HostIndex, key: &str) -> Vec<HostIndex> {
        let rows = self.cluster.hosts[host.index()].disk.rows(Column::Hints);
        let targets = rows.filter_map(|(row, _)| rows::parse_hint_key(row));
        let targets = targets.filter(|(.., of)| *of == name(key));
        targets.filter_map(|(target, ..)| self.cluster.index_of(target)).collect()
    }

    /// What the present process of a node counted of its exchanges.
    ///
    /// # Panics
    /// If it does not run.
    #[must_use]
    pub fn exchanges_of(&self, host: HostIndex) -> AntiEntropyCounters {
        self.machine(host).expect("it runs").anti_entropy()
    }

    /// Records that all nodes have sent in exchanges, processes that ended included.
    #[must_use]
    pub fn records_sent(&self) -> u64 {
        let machines = self.hosts().into_iter().filter_map(|host| self.machine(host));
        self.sent_before + machines.map(|node| node.anti_entropy().records_sent).sum::<u64>()
    }
}

/// Members come and go.
impl Script {
    /// Plans a change at a node and commits it there. The plan's failure, or what the commit is answered.
    ///
    /// # Panics
    /// If the node neither answers nor dies.
    pub fn change(&mut self, at: HostIndex, changes: &[ClusterChange]) -> Reply {
        match self.plan(at, changes) {
            Reply::Plan(view) => self.commit(at, changes, view.plan),
            failed => failed,
        }
    }

    /// Plans a change and does nothing.
    ///
    /// # Panics
    /// If the node neither answers nor dies.
    pub fn plan(&mut self, at: HostIndex, changes: &[ClusterChange]) -> Reply {
        self.operate(at, Request::PlanChange { changes: changes.to_vec() })
    }

    /// Commits what was planned.
    ///
    /// # Panics
    /// If the node neither answers nor dies.
    pub fn commit(&mut self, at: HostIndex, changes: &[ClusterChange], plan: u128) -> Reply {
        self.cancelled = false;
        self.operate(at, Request::CommitChange { changes: changes.to_vec(), plan })
    }

    /// Stops all moves that are not decided.
    ///
    /// # Panics
    /// If the node neither answers nor dies.
    pub fn cancel(&mut self, at: HostIndex) -> Reply {
        self.cancelled = true;
        self.operate(at, Request::CancelMoves)
    }

    /// Goes on without nodes.
    ///
    /// # Panics
    /// If the node neither answers nor dies.
    pub fn force(&mut self, at: HostIndex, given_up: &[HostIndex]) -> Reply {
        self.cancelled = false;
        let given_up = given_up.iter().map(|host| called(*host)).collect();
        self.operate(at, Request::ForceMoves { given_up, commit: true })
    }

    /// The moves under way, as a node knows them.
    ///
    /// # Panics
    /// If the node does not answer that.
    pub fn transfers(&mut self, at: HostIndex) -> TransfersView {
        match self.operate(at, Request::Transfers) {
            Reply::Transfers(view) => view,
            other => panic!("{at} answers {other:?}"),
        }
    }

    fn operate(&mut self, at: HostIndex, request: Request) -> Reply {
        self.cluster.ask_one(at, request).expect("a live node answers")
    }

    /// Which of the cluster's nodes has this id.
    ///
    /// # Panics
    /// If none has.
    #[must_use]
    pub fn host_of(&self, node: NodeId) -> HostIndex {
        self.cluster.index_of(node).expect("a node of the cluster")
    }

    fn machine(&self, host: HostIndex) -> Option<&Node> {
        self.cluster.hosts[host.index()].machine.as_ref()
    }

    fn knows(&self, observer: HostIndex, subject: HostIndex) -> bool {
        self.known_status(observer, subject).is_some()
    }

    fn known_status(&self, observer: HostIndex, subject: HostIndex) -> Option<MemberStatus> {
        let members = self.machine(observer)?.members();
        let mut all = members.iter();
        let found = all.find(|(node, _)| self.cluster.index_of(*node) == Some(subject));
        found.map(|(_, member)| member.status)
    }

    /// What a node is in the eyes of another one.
    ///
    /// # Panics
    /// If the observer does not run, or knows of no such node.
    #[must_use]
    pub fn status(&self, observer: HostIndex, subject: HostIndex) -> MemberStatus {
        self.known_status(observer, subject).expect("known there")
    }

    /// Nodes that run, do not stand still, and are not removed in anybody's eyes: who can serve.
    #[must_use]
    pub fn serving(&self) -> Vec<HostIndex> {
        let awake = self.awake();
        let removed = |host: &HostIndex| {
            let mut seen = awake.iter().filter_map(|by| self.known_status(*by, *host));
            seen.any(|status| status == MemberStatus::Removed)
        };
        awake.iter().copied().filter(|host| !removed(host)).collect()
    }

    fn awake(&self) -> Vec<HostIndex> {
        let is_awake = |host: &HostIndex| {
            self.machine(*host).is_some() && !self.cluster.hosts[host.index()].paused
        };
        self.hosts().into_iter().filter(is_awake).collect()
    }

    /// All partitions.
    #[must_use]
    pub fn partitions(&self) -> Vec<PartitionId> {
        self.cluster.config.layout.partition_count().partitions().collect()
    }

    /// The partition of a key.
    #[must_use]
    pub fn partition_of(&self, key: &str) -> PartitionId {
        let count = self.cluster.config.layout.partition_count();
        count.partition_of(Position::of_object(&name(key)))
    }

    /// What a node knows of a partition's register.
    ///
    /// # Panics
    /// If it does not run.
    #[must_use]
    pub fn register(&self, at: HostIndex, partition: PartitionId) -> Register {
        self.machine(at).expect("the node runs").register_version(partition)
    }

    /// Who holds a partition, as far as a node knows that it is decided.
    #[must_use]
    pub fn replica_set(&self, at: HostIndex, partition: PartitionId) -> Vec<HostIndex> {
        self.register(at, partition).settled_set().iter().map(|node| self.host_of(node)).collect()
    }

    /// The set that a partition is on its way to, as a node knows it.
    #[must_use]
    pub fn next_set(&self, at: HostIndex, partition: PartitionId) -> Option<Vec<HostIndex>> {
        let movement = self.register(at, partition).movement?;
        Some(movement.next.iter().map(|node| self.host_of(node)).collect())
    }

    /// Waits until nothing moves any more at all nodes that do not stand still; those that died start
    /// again meanwhile.
    ///
    /// # Panics
    /// If something still does so after that time.
    pub fn await_rest(&mut self, within: Duration) {
        let mut hosts = self.hosts();
        hosts.retain(|host| !self.cluster.hosts[host.index()].paused);
        self.await_rest_of(&hosts, within);
    }

    /// Waits until nothing moves any more as far as some nodes know.
    ///
    /// # Panics
    /// If something still does so after that time.
    pub fn await_rest_of(&mut self, hosts: &[HostIndex], within: Duration) {
        let step = Duration::from_millis(100);
        if !self.wait_for(within, step, |script| script.unrest(hosts).is_none()) {
            panic!("after {within:?}: {}", self.unrest(hosts).unwrap_or_default());
        }
    }

    /// What keeps some nodes from rest.
    #[must_use]
    pub fn unrest(&self, hosts: &[HostIndex]) -> Option<String> {
        let serving: Vec<HostIndex> = self.serving();
        for host in hosts {
            let Some(machine) = self.machine(*host) else { return Some(format!("{host} is down")) };
            if machine.unsettled_partitions() > 0 && serving.contains(host) {
                return Some(format!("{host} knows of moves: {}", machine.moves_told()));
            }
            if machine.leftover_partitions() > 0 {
                return Some(format!("{host} still holds what is others'"));
            }
            if machine.incomplete_partitions() > 0 && serving.contains(host) {
                return Some(format!("{host} is incomplete"));
            }
        }
        let asked: Vec<HostIndex> = hosts.iter().copied().filter(|h| serving.contains(h)).collect();
        for partition in self.partitions() {
            let mut known = asked.iter().map(|host| self.register(*host, partition));
            let first = known.next()?;
            if known.any(|register| register != first) {
                return Some(format!("{partition} is known by several registers"));
            }
        }
        let first = *asked.first()?;
        let holds = |host: HostIndex| {
            self.partitions().into_iter().any(|id| self.replica_set(first, id).contains(&host))
        };
        for host in self.hosts() {
            let status = self.known_status(first, host);
            // Nodes climb by themselves, once somebody wants something of them.
            let climbs = !self.cancelled && hosts.contains(&host);
            let is_on_its_way = match status {
                Some(MemberStatus::Joining) => holds(host) && climbs,
                Some(MemberStatus::Leaving) => !holds(host) && climbs,
                Some(MemberStatus::Removed) => holds(host),
                Some(MemberStatus::Active) | None => false,
            };
            if is_on_its_way {
                return Some(format!("{host} is {status:?}, and holds something: {}", holds(host)));
            }
        }
        None
    }
}

/// A node that has made itself known gets its share.
#[must_use]
pub fn join(host: HostIndex) -> ClusterChange {
    ClusterChange::Join { node: called(host) }
}

/// A node hands over what it has, and goes.
#[must_use]
pub fn leave(host: HostIndex) -> ClusterChange {
    ClusterChange::Leave { node: called(host) }
}

/// A node is gone for good.
#[must_use]
pub fn remove(host: HostIndex) -> ClusterChange {
    ClusterChange::Remove { node: called(host) }
}

/// A node's capacity.
#[must_use]
pub fn reweight(host: HostIndex, weight: u32) -> ClusterChange {
    ClusterChange::Reweight { node: called(host), weight }
}

fn called(host: HostIndex) -> String {
    format!("n{}", host.0)
}

fn name(key: &str) -> ObjectName {
    ObjectName {
        bucket: Bucket::new("plain").expect("a good name"),
        key: Key::new(key.to_owned()).expect("a short key"),
    }
}

fn calm(nodes: u8) -> SeedOptions {
    let milliseconds = Duration::from_millis;
    SeedOptions {
        seed: 0,
        duration: Duration::ZERO,
        nodes,
        founders: nodes,
        replication: Replication::new(3).expect("from 1 to 7"),
        partitions: PartitionCount::new(8).expect("a power of two"),
        timing: Timing {
            request_timeout: milliseconds(1_000),
            hop_timeout: milliseconds(200),
            ..Timing::default()
        },
        limits: Limits::default(),
        requests_max: 1_000,
        hint_bytes_max: 64 << 20,
        background: BudgetConfig::default(),
        tree_depth: 1,
        network: NetworkKnobs {
            delay_min: Duration::from_micros(100),
            delay_max: milliseconds(1),
            straggling_per_mille: 0,
            loss_per_mille: 0,
            duplicate_per_mille: 0,
            reorder: false,
            datagram_loss_per_mille: 0,
        },
        disk: DiskKnobs {
            cached_per_mille: 500,
            load_max: Duration::from_micros(200),
            sync_max: milliseconds(1),
            group_max: 16,
        },
        workload: WorkloadKnobs {
            clients: 0,
            think_max: Duration::ZERO,
            patience: milliseconds(5_000),
            reply_loss_per_mille: 0,
            double_per_mille: 0,
            hot_per_mille: 0,
            keys_per_bucket: 1,
        },
        faults: Vec::new(),
        fault_pause_max: Duration::ZERO,
        drain_each_event: false,
        check_encoding: true,
        clock_offset_max: Duration::ZERO,
    }
}
