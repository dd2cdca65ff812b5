//! Connecting, and what can be asked.

use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use dynamo_messages::encoding::PROTOCOL_VERSION;
use dynamo_messages::{
    CHANGES_MAX, ClusterChange, ClusterView, Explanation, Failure, Invalid, PlanView, Reply,
    Request, RingView, TransfersView,
};
use dynamo_transport::{Endpoint, EndpointConfig, HelloConfig, Limits};
use dynamo_types::{Bucket, BucketSettings, Key, NodeId, ObjectName, RequestId};
use tokio::sync::Semaphore;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep_until, timeout_at};
use tracing::debug;

use crate::clock;
use crate::config::ClientConfig;
use crate::connections::{Connections, NodeLink};
use crate::error::{ChangeError, ConnectError, DescribeError, SettingsError};
use crate::operation::{BucketInfo, Delete, Get, List, PlannedChange, Put};
use crate::outcome::{AttemptError, Failed, Next};
use crate::retry::{RetryBudget, pause};
use crate::routing::{Candidate, choose};
use crate::upkeep::{Cluster, Upkeep};

/// How long the members may take to connect beyond the first one, before the client is handed out.
/// A member that takes longer joins later.
const MEMBERS_TIMEOUT: Duration = Duration::from_millis(500);
/// The way of an answer back, on top of the time that the node was given.
const TRANSIT: Duration = Duration::from_millis(200);

/// A client of one cluster. Clones share connections and limits; when the last one is dropped the
/// connections are closed. Needs a tokio runtime.
#[derive(Debug, Clone)]
pub struct Client {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    endpoint: Arc<Endpoint>,
    connections: Arc<Connections>,
    cluster: Arc<Cluster>,
    in_flight: Semaphore,
    budget: Mutex<RetryBudget>,
    timeout: Duration,
    attempt_timeout: Duration,
    attempts_max: u32,
    receiving: AbortHandle,
    upkeep: OnceLock<AbortHandle>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.receiving.abort();
        if let Some(upkeep) = self.upkeep.get() {
            upkeep.abort();
        }
    }
}

/// A request on its way: whom to ask, and how long.
#[derive(Debug, Clone, Default)]
pub(crate) struct Course {
    /// Whose replicas to ask first.
    pub(crate) name: Option<ObjectName>,
    /// Whom to ask first of all, if connected.
    pub(crate) preferred: Option<NodeId>,
    /// Whom to ask, and nobody else.
    pub(crate) only: Option<NodeId>,
    /// How long all attempts may take; the client's timeout if absent.
    pub(crate) timeout: Option<Duration>,
    /// Whether it changes anything.
    pub(crate) changes: bool,
    /// Whether it must not be repeated unless it certainly did nothing. Its one attempt may take all
    /// the time there is.
    pub(crate) once: bool,
}

/// One attempt, as the request needs to know it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Attempt {
    /// Whether there was one before.
    pub(crate) again: bool,
    /// How long the node may take.
    pub(crate) timeout_ms: u32,
}

impl Client {
    /// Connects to a cluster: to a seed, and through it to all members. Returns once the partition
    /// table is known.
    ///
    /// # Errors
    /// The configuration is unsound, or no node answered in time.
    pub async fn connect(config: ClientConfig) -> Result<Self, ConnectError> {
        if config.seeds.is_empty() {
            return Err(ConnectError::NoSeed);
        }
        let deadline = clock::now() + config.connect_timeout;
        let (endpoint, events) = Endpoint::bind(EndpointConfig {
            listen: SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
            identity: config.identity,
            trust: config.trust,
            hello: HelloConfig {
                version_min: PROTOCOL_VERSION,
                version_max: PROTOCOL_VERSION,
                fingerprint: Vec::new(),
            },
            limits: Limits::default(),
        })?;
        let endpoint = Arc::new(endpoint);
        let connections = Arc::new(Connections::default());
        let cluster = Arc::new(Cluster::default());
        let upkeep = Upkeep {
            endpoint: endpoint.clone(),
            connections: connections.clone(),
            cluster: cluster.clone(),
            seeds: config.seeds,
            refresh_interval: config.refresh_interval,
        };
        let receiving = tokio::spawn(connections.clone().run(events)).abort_handle();
        let inner = Inner {
            endpoint,
            connections,
            cluster,
            in_flight: Semaphore::new(config.in_flight_max),
            budget: Mutex::default(),
            timeout: config.timeout,
            attempt_timeout: config.attempt_timeout,
            attempts_max: config.attempts_max,
            receiving,
            upkeep: OnceLock::new(),
        };
        first_contact(&upkeep, deadline).await?;
        upkeep.connect_members(deadline.min(clock::now() + MEMBERS_TIMEOUT)).await;
        let upkeep = tokio::spawn(upkeep.run()).abort_handle();
        inner.upkeep.set(upkeep).expect("set here only");
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Reads an object.
    pub fn get(&self, bucket: &Bucket, key: &Key) -> Get {
        Get::new(self, name(bucket, key))
    }

    /// Writes a value. It replaces the versions that the contexts given to it cover, and no others.
    pub fn put(&self, bucket: &Bucket, key: &Key, value: impl Into<bytes::Bytes>) -> Put {
        Put::new(self, name(bucket, key), value.into())
    }

    /// Deletes an object: the versions that the contexts given to it cover, or, without a context,
    /// those that a read finds first.
    pub fn delete(&self, bucket: &Bucket, key: &Key) -> Delete {
        Delete::new(self, name(bucket, key))
    }

    /// Lists the keys of a bucket, in the order of the ring, page by page.
    #[must_use]
    pub fn list(&self, bucket: &Bucket) -> List {
        List::new(self, bucket.clone())
    }

    /// The settings of a bucket: those that were put, or the defaults.
    ///
    /// # Errors
    /// See [`DescribeError`].
    pub async fn bucket(&self, bucket: &Bucket) -> Result<BucketInfo, DescribeError> {
        let request = Request::GetBucket { bucket: bucket.clone() };
        match self.describe(request, None).await? {
            Reply::Bucket { bucket, settings, version } => {
                Ok(BucketInfo { bucket, settings, version })
            }
            _ => Err(DescribeError::Unexpected),
        }
    }

    /// Sets a bucket's settings; returns once a majority of the members stored them.
    ///
    /// # Errors
    /// See [`SettingsError`]. The settings of a bucket can be put again without harm.
    pub async fn set_bucket(
        &self,
        bucket: &Bucket,
        settings: BucketSettings,
    ) -> Result<BucketInfo, SettingsError> {
        let request = Request::PutBucket { bucket: bucket.clone(), settings };
        let course = Course { changes: true, ..Course::default() };
        let id = RequestId(0);
        match self.call(course, |_| request.clone()).await {
            Ok((_, Reply::Bucket { bucket, settings, version })) => {
                Ok(BucketInfo { bucket, settings, version })
            }
            Ok(_) => Err(SettingsError::OutcomeUnknown { reached: 0, needed: 0, request: id }),
            Err(failed) => Err(SettingsError::of(failed, id)),
        }
    }

    /// All buckets whose settings were ever put.
    ///
    /// # Errors
    /// See [`DescribeError`].
    pub async fn buckets(&self) -> Result<Vec<BucketInfo>, DescribeError> {
        let Reply::Buckets(buckets) = self.describe(Request::ListBuckets, None).await? else {
            return Err(DescribeError::Unexpected);
        };
        let info = |(bucket, settings, version)| BucketInfo { bucket, settings, version };
        Ok(buckets.into_iter().map(info).collect())
    }

    /// The members, as the node that answers sees them.
    ///
    /// # Errors
    /// See [`DescribeError`].
    pub async fn cluster(&self) -> Result<ClusterView, DescribeError> {
        match self.describe(Request::Cluster, None).await? {
            Reply::Cluster(view) => Ok(view),
            _ => Err(DescribeError::Unexpected),
        }
    }

    /// The partition table.
    ///
    /// # Errors
    /// See [`DescribeError`].
    pub async fn ring(&self) -> Result<RingView, DescribeError> {
        match self.describe(Request::Ring, None).await? {
            Reply::Ring(view) => Ok(view),
            _ => Err(DescribeError::Unexpected),
        }
    }

    /// What each replica of an object has, to find out why a read says what it says. It needs no
    /// quorum and repairs nothing; a replica that is silent is given up after a second.
    ///
    /// # Errors
    /// See [`DescribeError`].
    pub async fn explain(&self, bucket: &Bucket, key: &Key) -> Result<Explanation, DescribeError> {
        let name = name(bucket, key);
        let course = Course { name: Some(name.clone()), ..Course::default() };
        let request = |attempt: Attempt| Request::Explain {
            name: name.clone(),
            timeout_ms: Some(attempt.timeout_ms),
        };
        match self.call(course, request).await?.1 {
            Reply::Explanation(explanation) => Ok(explanation),
            _ => Err(DescribeError::Unexpected),
        }
    }

    /// What a change of the members would mean; nothing is done. Without changes: what is still to be
    /// done, or better.
    ///
    /// # Errors
    /// See [`DescribeError`].
    pub async fn plan_change(
        &self,
        changes: Vec<ClusterChange>,
    ) -> Result<PlannedChange, DescribeError> {
        check_changes(&changes)?;
        let request = |_| Request::PlanChange { changes: changes.clone() };
        match self.call(Course::default(), request).await? {
            (planned_by, Reply::Plan(view)) => Ok(PlannedChange { changes, view, planned_by }),
            _ => Err(DescribeError::Unexpected),
        }
    }

    /// Does what a plan said, at the node that made it: another one may know a moment more or less.
    /// Returns once that is decided, not when all data has moved. It is never repeated after an
    /// attempt that may have taken effect.
    ///
    /// # Errors
    /// See [`ChangeError`].
    pub async fn commit_change(&self, planned: &PlannedChange) -> Result<PlanView, ChangeError> {
        let PlannedChange { changes, view, planned_by } = planned;
        let request = Request::CommitChange { changes: changes.clone(), plan: view.plan };
        match self.change(request, Some(*planned_by)).await? {
            Reply::Plan(view) => Ok(view),
            _ => Err(unexpected().into()),
        }
    }

    /// Stops all moves that are not decided, and says how many those were.
    ///
    /// # Errors
    /// See [`ChangeError`].
    pub async fn cancel_moves(&self) -> Result<u32, ChangeError> {
        match self.change(Request::CancelMoves, None).await? {
            Reply::Cancelled { moves } => Ok(moves),
            _ => Err(unexpected().into()),
        }
    }

    /// Goes on without these nodes, where a majority of a replica set is among them; or, unless
    /// `commit`, only says what that would mean. Like a commit it is never repeated.
    ///
    /// # Errors
    /// See [`ChangeError`].
    pub async fn force_moves(
        &self,
        given_up: Vec<String>,
        commit: bool,
    ) -> Result<PlanView, ChangeError> {
        match self.change(Request::ForceMoves { given_up, commit }, None).await? {
            Reply::Plan(view) => Ok(view),
            _ => Err(unexpected().into()),
        }
    }

    /// The moves under way, as the node that answers knows them.
    ///
    /// # Errors
    /// See [`DescribeError`].
    pub async fn transfers(&self) -> Result<TransfersView, DescribeError> {
        match self.describe(Request::Transfers, None).await? {
            Reply::Transfers(view) => Ok(view),
            _ => Err(DescribeError::Unexpected),
        }
    }

    /// The nodes that are connected now.
    #[must_use]
    pub fn connected_nodes(&self) -> Vec<NodeId> {
        self.inner.connections.candidates().into_iter().map(|c| c.node).collect()
    }

    /// Closes the connections in good order, for all clones; requests in flight fail. Waits until
    /// no late packet can disturb anyone, some round trips at most: whoever is in a hurry may drop
    /// the future after a few milliseconds.
    pub async fn close(self) {
        // They would connect again.
        if let Some(upkeep) = self.inner.upkeep.get() {
            upkeep.abort();
        }
        self.inner.endpoint.shutdown().await;
    }

    /// Asks once for what must not be done twice.
    async fn change(&self, request: Request, only: Option<NodeId>) -> Result<Reply, Failed> {
        let course = Course { only, changes: true, once: true, ..Course::default() };
        let (_, reply) = self.call(course, |_| request.clone()).await?;
        Ok(reply)
    }

    async fn describe(
        &self,
        request: Request,
        only: Option<NodeId>,
    ) -> Result<Reply, DescribeError> {
        let course = Course { only, ..Course::default() };
        let (_, reply) = self.call(course, |_| request.clone()).await?;
        Ok(reply)
    }

    /// Makes attempts at a request until one is answered as asked, with the node that did.
    pub(crate) async fn call(
        &self,
        course: Course,
        request: impl Fn(Attempt) -> Request,
    ) -> Result<(NodeId, Reply), Failed> {
        let inner = &*self.inner;
        let deadline = clock::now() + course.timeout.unwrap_or(inner.timeout);
        let mut failed = Failed::none_yet();
        let Ok(Ok(_turn)) = timeout_at(deadline, inner.in_flight.acquire()).await else {
            failed.add(AttemptError::NotSent);
            return Err(failed);
        };
        inner.budget().earn();

        let (mut attempts, mut preferred) = (0, course.preferred);
        let mut asked = Vec::new();
        loop {
            let Some(link) = inner.reach(&course, preferred, &asked, deadline).await else {
                return Err(failed);
            };
            attempts += 1;
            let left = deadline.saturating_duration_since(clock::now());
            let wait = if course.once { left } else { left.min(inner.attempt_timeout) };
            let timeout_ms = u32::try_from(wait.as_millis()).unwrap_or(u32::MAX).max(1);
            let attempt = Attempt { again: attempts > 1, timeout_ms };
            let error = match link.ask(request(attempt), wait + TRANSIT).await {
                Ok(Reply::Failed(failure)) => AttemptError::Refused(failure),
                Ok(reply) => return Ok((link.node, reply)),
                Err(error) => error,
            };
            debug!(node = %link.node, attempts, ?error, "an attempt failed");
            let next = error.next();
            let repeatable = error.is_certain() || !course.once;
            failed.add(error);
            if !repeatable {
                return Err(failed);
            }
            let at_least = match next {
                Next::GiveUp => return Err(failed),
                Next::SameFirst if course.changes && !asked.contains(&link.node) => {
                    // It may know more than anyone else of what it did (protocol rule 7). Once:
                    // it is in `asked` from here on.
                    preferred = Some(link.node);
                    Duration::ZERO
                }
                Next::SameFirst => {
                    preferred = None;
                    Duration::ZERO
                }
                Next::Elsewhere(at_least) => {
                    preferred = None;
                    at_least
                }
            };
            if preferred.is_some() || !asked.contains(&link.node) {
                asked.push(link.node);
            }
            if attempts >= inner.attempts_max || !inner.budget().spend() {
                return Err(failed);
            }
            let again_at = clock::now() + pause(attempts, at_least, rand::random());
            if again_at >= deadline {
                return Err(failed);
            }
            sleep_until(again_at).await;
        }
    }
}

fn name(bucket: &Bucket, key: &Key) -> ObjectName {
    ObjectName { bucket: bucket.clone(), key: key.clone() }
}

/// Refuses here what a node could not even read.
fn check_changes(changes: &[ClusterChange]) -> Result<(), Failed> {
    if changes.len() <= CHANGES_MAX {
        return Ok(());
    }
    Err(invalid(Invalid::Change, format!("at most {CHANGES_MAX} changes can be made at once")))
}

/// Connects to a seed and pulls members and table.
async fn first_contact(upkeep: &Upkeep, deadline: Instant) -> Result<(), ConnectError> {
    let tried = upkeep.seeds.len();
    let dialled = timeout_at(deadline, upkeep.dial_seeds()).await;
    let dialled = dialled.unwrap_or(Err((tried, None)));
    dialled.map_err(|(tried, last)| ConnectError::Unreachable { tried, last })?;
    while clock::now() < deadline {
        // The connection is handed up a moment after the dial has returned.
        let connected = upkeep.connections.connected.notified();
        if upkeep.refresh().await {
            return Ok(());
        }
        let soon = clock::now() + Duration::from_millis(100);
        wait_until(soon.min(deadline), connected).await;
    }
    Err(ConnectError::NoTable)
}

/// Waits for something, or for so long.
async fn wait_until(at: Instant, something: impl Future<Output = ()>) {
    tokio::select! {
        () = something => {}
        () = sleep_until(at) => {}
    }
}

impl Inner {
    fn budget(&self) -> std::sync::MutexGuard<'_, RetryBudget> {
        self.budget.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The node to ask, once one is connected; none if that takes too long.
    async fn reach(
        &self,
        course: &Course,
        preferred: Option<NodeId>,
        asked: &[NodeId],
        deadline: Instant,
    ) -> Option<Arc<NodeLink>> {
        loop {
            let connected = self.connections.connected.notified();
            tokio::pin!(connected);
            connected.as_mut().enable();
            if let Some(link) = self.choose(course, preferred, asked) {
                return Some(link);
            }
            timeout_at(deadline, connected).await.ok()?;
        }
    }

    fn choose(
        &self,
        course: &Course,
        preferred: Option<NodeId>,
        asked: &[NodeId],
    ) -> Option<Arc<NodeLink>> {
        if let Some(only) = course.only {
            return self.connections.link(only);
        }
        let table = course.name.as_ref().and_then(|_| self.cluster.table());
        let replicas = match (&table, &course.name) {
            (Some(table), Some(name)) => table.replicas(&name.bucket, &name.key),
            _ => &[],
        };
        // Who answered the read before is preferred only as a replica: it need not be one if the
        // table changed, or if no replica was connected. Who had an attempt is preferred as it is.
        let preferred = preferred.filter(|node| asked.contains(node) || replicas.contains(node));
        let passed_over: Vec<NodeId> =
            asked.iter().copied().filter(|node| preferred != Some(*node)).collect();
        // The usual case looks at the few replicas only, however many nodes there are.
        let mut candidates = self.connections.candidates_among(replicas);
        let fresh = |candidate: &Candidate| !asked.contains(&candidate.node);
        let is_preferred = |candidate: &Candidate| preferred == Some(candidate.node);
        if !candidates.iter().any(fresh)
            || preferred.is_some() && !candidates.iter().any(is_preferred)
        {
            candidates = self.connections.candidates();
        }
        let node = choose(&candidates, replicas, preferred, &passed_over)?;
        self.connections.link(node)
    }
}

/// An answer that no request of this kind can have.
pub(crate) fn unexpected() -> Failed {
    let mut failed = Failed::none_yet();
    failed.add(AttemptError::Unexpected);
    failed
}

/// A request that a node would refuse, refused here.
pub(crate) fn invalid(reason: Invalid, detail: String) -> Failed {
    let mut failed = Failed::none_yet();
    failed.add(AttemptError::Refused(Failure::Invalid { reason, detail }));
    failed
}
