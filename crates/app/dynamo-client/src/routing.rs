//! Where a request goes first. No IO.

use std::time::Duration;

use dynamo_messages::RingView;
use dynamo_types::{Bucket, Key, NodeId, PartitionCount, Position};
use tokio::time::Instant;

/// Which nodes hold which partition.
#[derive(Debug, Clone)]
pub(crate) struct PartitionTable {
    count: PartitionCount,
    n: usize,
    replicas: Vec<NodeId>,
    pub(crate) version: u64,
}

impl PartitionTable {
    /// The table that a node sent, if it is one.
    pub(crate) fn new(view: RingView) -> Option<Self> {
        let n = usize::from(view.replication.get());
        let count = u32::try_from(view.replicas.len() / n).ok()?;
        let count = PartitionCount::new(count).ok()?;
        Some(Self { count, n, replicas: view.replicas, version: view.version })
    }

    /// The replicas of a key.
    pub(crate) fn replicas(&self, bucket: &Bucket, key: &Key) -> &[NodeId] {
        let partition = self.count.partition_of(Position::of(bucket, key));
        let first = usize::from(partition.0) * self.n;
        self.replicas.get(first..first + self.n).unwrap_or(&[])
    }
}

/// How fast a node answers: a moving average that old samples leave.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Latency {
    average: Option<(Duration, Instant)>,
}

/// A new sample's share, as a divisor: an eighth follows a change within some ten requests.
const SHARE: u32 = 8;
/// A slow answer is half forgotten after this long, so that a node that was slow is tried again.
const HALF_LIFE: Duration = Duration::from_secs(2);
/// What a node without a sample is taken for: fast, so that it gets one.
const UNTRIED: Duration = Duration::from_micros(100);

impl Latency {
    pub(crate) fn record(&mut self, now: Instant, sample: Duration) {
        let average = match self.average {
            Some((average, _)) => average - average / SHARE + sample / SHARE,
            None => sample,
        };
        self.average = Some((average, now));
    }

    /// The estimate at `now`.
    pub(crate) fn estimate(&self, now: Instant) -> Duration {
        let Some((average, at)) = self.average else { return UNTRIED };
        let half_lives = now.saturating_duration_since(at).as_millis() / HALF_LIFE.as_millis();
        let halved = average / 2u32.saturating_pow(u32::try_from(half_lives).unwrap_or(u32::MAX));
        if half_lives == 0 { average } else { halved.max(UNTRIED.min(average)) }
    }
}

/// A node that could be asked now.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Candidate {
    pub(crate) node: NodeId,
    /// Average latency, times one more than the requests that wait for it.
    pub(crate) cost: Duration,
}

impl Candidate {
    pub(crate) fn new(node: NodeId, latency: Duration, waiting: usize) -> Self {
        let waiting = u32::try_from(waiting).unwrap_or(u32::MAX).saturating_add(1);
        Self { node, cost: latency.saturating_mul(waiting) }
    }
}

/// Whom to ask: the preferred node if it is connected, then replicas by cost, then anyone by cost.
/// Those in `passed_over` come last: they were asked already.
pub(crate) fn choose(
    connected: &[Candidate],
    replicas: &[NodeId],
    preferred: Option<NodeId>,
    passed_over: &[NodeId],
) -> Option<NodeId> {
    let rank = |candidate: &&Candidate| {
        let node = candidate.node;
        (
            passed_over.contains(&node),
            preferred != Some(node),
            !replicas.contains(&node),
            candidate.cost,
            node,
        )
    };
    connected.iter().min_by_key(rank).map(|candidate| candidate.node)
}

#[cfg(test)]
mod tests {
    use super::*;
    use dynamo_types::Replication;

    fn connected(costs: &[(u64, u64)]) -> Vec<Candidate> {
        let candidate = |&(node, ms)| Candidate::new(NodeId(node), Duration::from_millis(ms), 0);
        costs.iter().map(candidate).collect()
    }

    #[test]
    fn the_cheapest_connected_replica_goes_first() {
        let connected = connected(&[(1, 9), (2, 3), (3, 5), (4, 1)]);
        let replicas = [NodeId(1), NodeId(2), NodeId(3)];
        assert_eq!(choose(&connected, &replicas, None, &[]), Some(NodeId(2)));
        assert_eq!(choose(&connected, &replicas, None, &[NodeId(2)]), Some(NodeId(3)));
        assert_eq!(choose(&connected, &replicas, Some(NodeId(1)), &[]), Some(NodeId(1)));
        assert_eq!(choose(&connected, &replicas, Some(NodeId(9)), &[]), Some(NodeId(2)));
    }

    #[test]
    fn any_node_serves_when_no_replica_is_connected() {
        let connected = connected(&[(8, 2), (9, 1)]);
        assert_eq!(choose(&connected, &[NodeId(1)], None, &[]), Some(NodeId(9)));
        assert_eq!(choose(&connected, &[NodeId(1)], None, &[NodeId(9)]), Some(NodeId(8)));
        let alone = &connected[..1];
        assert_eq!(choose(alone, &[], None, &[NodeId(8)]), Some(NodeId(8)), "better than nobody");
        assert_eq!(choose(&[], &[NodeId(1)], None, &[]), None);
    }

    #[test]
    fn waiting_requests_make_a_node_dearer() {
        let latency = Duration::from_millis(2);
        let busy = Candidate::new(NodeId(1), latency, 3);
        let idle = Candidate::new(NodeId(2), latency * 3, 0);
        assert_eq!(choose(&[busy, idle], &[], None, &[]), Some(NodeId(2)));
    }

    #[test]
    fn a_slow_answer_is_forgotten_in_time() {
        let start = crate::clock::now();
        let mut latency = Latency::default();
        assert_eq!(latency.estimate(start), UNTRIED);
        latency.record(start, Duration::from_millis(800));
        assert_eq!(latency.estimate(start), Duration::from_millis(800));
        assert_eq!(latency.estimate(start + HALF_LIFE * 2), Duration::from_millis(200));
        assert_eq!(latency.estimate(start + HALF_LIFE * 100), UNTRIED);
    }

    #[test]
    fn a_key_finds_its_replicas() {
        let replication = Replication::new(2).unwrap();
        let replicas: Vec<NodeId> = (0..8).map(NodeId).collect();
        let table = PartitionTable::new(RingView { version: 1, replication, replicas }).unwrap();
        let (bucket, key) = (Bucket::new("b").unwrap(), Key::new("k").unwrap());
        let partition = PartitionCount::new(4).unwrap().partition_of(Position::of(&bucket, &key));
        let first = u64::from(partition.0) * 2;
        assert_eq!(table.replicas(&bucket, &key), [NodeId(first), NodeId(first + 1)]);
    }

    #[test]
    fn a_table_of_an_impossible_size_is_no_table() {
        let replication = Replication::new(1).unwrap();
        let view = |count| RingView { version: 1, replication, replicas: vec![NodeId(1); count] };
        assert!(PartitionTable::new(view(3)).is_none());
        assert!(PartitionTable::new(view(0)).is_none());
        assert!(PartitionTable::new(view(4)).is_some());
    }
}
