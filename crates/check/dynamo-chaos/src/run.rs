//! One scenario from beginning to end.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use dynamo_checker::evidence::Evidence;
use dynamo_checker::history::HostIndex;
use dynamo_client::Client;
use dynamo_simulator::random::Stream;
use dynamo_versioning::Dot;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::audit::{AuditError, Auditor, Convergence};
use crate::bridge;
use crate::clock::{self, RunClock};
use crate::cluster::{Cluster, NodeKnobs, nodes};
use crate::http::HttpClient;
use crate::nemesis::{Journal, NetworkNemesis, ProcessNemesis};
use crate::observations::Recorder;
use crate::proxy::LinkCounters;
use crate::scenario::{ProcessFault, Scenario};
use crate::session::{Session, Way};
use crate::verdict::{self, Judgement, Verdict};
use crate::workload::Workload;

/// Clients over HTTP.
const HTTP_CLIENTS: u16 = 6;
/// Clients of the native library.
const NATIVE_CLIENTS: u16 = 2;
/// The file of all histories in a run's directory.
pub const HISTORIES: &str = "histories";
/// The file there that says what was broken.
pub const VERDICT: &str = "verdict";
/// How long a request of the preparations may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long nodes may take to learn of new settings.
const SETTINGS_WITHIN: Duration = Duration::from_secs(30);

/// What to run.
#[derive(Debug, Clone)]
pub struct RunOptions {
    /// Which faults come.
    pub scenario: Scenario,
    /// Decides everything that is drawn.
    pub seed: u64,
    /// How long clients work under faults.
    pub time: Duration,
    /// `dynamo-node`.
    pub program: PathBuf,
    /// Where the cluster's files go; must not exist.
    pub directory: PathBuf,
    /// Whether disks are emptied as well.
    pub wipes: bool,
    /// Who makes replicas agree after healing.
    pub convergence: Convergence,
}

/// What came of a run.
#[derive(Debug, Clone)]
pub struct RunReport {
    /// The verdict and what it rests on.
    pub judgement: Judgement,
    /// What was done, line by line.
    pub journal: Vec<String>,
    /// How often each fault happened.
    pub faults: BTreeMap<&'static str, u64>,
    /// What the network did.
    pub network: LinkCounters,
    /// Requests of clients that were answered as asked, failed, and of unknown outcome.
    pub requests: [u64; 3],
    /// Keys that the checks of causality could not judge.
    pub blurred_keys: usize,
    /// How long it took from healing until all replicas held the same and no hint was left.
    pub settled_after: Option<Duration>,
}

/// Runs a scenario.
///
/// # Errors
/// The run itself went wrong, and says nothing about the nodes.
pub async fn run(options: &RunOptions) -> Result<RunReport> {
    let clock = RunClock::start();
    let journal = Journal::new(clock);
    let workload = Arc::new(Workload::draw(options.seed, options.wipes));
    let mut random = Stream::new(options.seed, "nodes");
    let knobs: Vec<NodeKnobs> = nodes().map(|_| NodeKnobs::draw(&mut random)).collect();
    let (program, directory): (&Path, &Path) = (&options.program, &options.directory);
    let mut cluster = Cluster::create(program, directory, &knobs, options.seed).await?;
    let recorder = Recorder::new(clock, cluster.secrets());

    let all: Vec<HostIndex> = nodes().collect();
    cluster.start(&all).await?;
    let mut auditor = Auditor::new(&mut cluster, &workload, &recorder, options.seed);
    if let Err(error) = auditor.wait_ready().await {
        bail!("the cluster does not start: {error:?}");
    }
    prepare(&cluster, &workload, &recorder).await?;
    journal.note("all nodes ready");

    let (stop, stopped) = watch::channel(false);
    let mut sessions = JoinSet::new();
    for session in start_sessions(options, &cluster, &workload, &recorder).await? {
        sessions.spawn(session.run(stopped.clone()));
    }
    let mut hurt = hurt(options, &mut cluster, &journal).await;
    // They end while the last faults last, or their reads would repair what nodes should repair.
    stop.send_replace(true);
    while let Some(ended) = sessions.join_next().await {
        ended.context("a client broke off")?;
    }
    journal.note("clients ended");
    let healed = clock::now();
    if hurt.is_ok() {
        hurt = heal(&mut cluster).await;
    }
    journal.note("healed");

    let mut report = RunReport {
        judgement: Judgement {
            verdict: Verdict::Unknown("the run was not judged".to_owned()),
            checked: BTreeMap::new(),
        },
        journal: Vec::new(),
        faults: journal.counts(),
        network: LinkCounters::default(),
        requests: recorder.lock().counts,
        blurred_keys: 0,
        settled_after: None,
    };
    report.judgement = match hurt {
        Ok(()) if report.faults.is_empty() => Judgement {
            verdict: Verdict::Unknown("no fault happened".to_owned()),
            checked: BTreeMap::new(),
        },
        Ok(()) => {
            judge(options, &mut cluster, &workload, &recorder, (&journal, healed), &mut report)
                .await?
        }
        Err(error) => broken_node(&format!("{error:#}")),
    };
    if report.judgement.verdict != Verdict::Held {
        // Whoever looks at the files later has not kept what was printed.
        write(&options.directory, VERDICT, &report.judgement.verdict.to_string())?;
    }
    report.network = cluster.proxy().counters();
    report.journal = journal.lines();
    Ok(report)
}

fn broken_node(detail: &str) -> Judgement {
    let (detail, history) = (detail.to_owned(), String::new());
    let verdict = Verdict::Broken { invariant: "nodes_run", detail, history };
    Judgement { verdict, checked: BTreeMap::new() }
}

/// Learns where keys lie, and puts the buckets' settings.
async fn prepare(cluster: &Cluster, workload: &Workload, recorder: &Recorder) -> Result<()> {
    let http = HttpClient::default();
    let addresses = cluster.http();
    let address = |host: HostIndex| addresses.get(host).context("all nodes listen");
    let members = cluster.secrets().nodes;
    for key in workload.key_indices() {
        let explained = http.explain(address(HostIndex(0))?, workload.name(key), PATIENCE).await;
        let explained = explained.map_err(anyhow::Error::msg)?;
        let place = |node| members.iter().position(|member| *member == node);
        let replicas = explained.replicas.iter().map(|replica| {
            let place = place(replica.node).context("a replica is a member")?;
            Ok(HostIndex(u8::try_from(place).context("few nodes")?))
        });
        let facts = workload.facts(key, replicas.collect::<Result<_>>()?);
        recorder.lock().history.keys.push(facts);
    }
    for of in workload.buckets.iter().filter(|of| of.declared) {
        let put =
            http.put_settings(address(HostIndex(0))?, &of.bucket, &of.settings, PATIENCE).await;
        if put != Ok(true) {
            bail!("the settings of {} are not taken: {put:?}", of.bucket);
        }
    }
    let deadline = clock::now() + SETTINGS_WITHIN;
    for host in nodes() {
        for of in workload.buckets.iter().filter(|of| of.declared) {
            let expected = (of.settings.profile, of.settings.r, of.settings.w);
            while http.settings(address(host)?, &of.bucket, PATIENCE).await != Ok(Some(expected)) {
                if clock::now() >= deadline {
                    bail!("{host} does not learn the settings of {}", of.bucket);
                }
                clock::pause().await;
            }
        }
    }
    Ok(())
}

async fn start_sessions(
    options: &RunOptions,
    cluster: &Cluster,
    workload: &Arc<Workload>,
    recorder: &Recorder,
) -> Result<Vec<Session>> {
    let session =
        |number, way| Session::new(number, options.seed, way, workload.clone(), recorder.clone());
    let mut sessions = Vec::new();
    for number in 0..HTTP_CLIENTS {
        sessions.push(session(number, Way::Http(HttpClient::default(), cluster.http())));
    }
    for number in HTTP_CLIENTS..HTTP_CLIENTS + NATIVE_CLIENTS {
        let client = Client::connect(cluster.client_config()?).await;
        let client = client.context("a native client does not connect")?;
        sessions.push(session(number, Way::Native(client)));
    }
    Ok(sessions)
}

/// Lets the nemeses work for the time of the run.
async fn hurt(options: &RunOptions, cluster: &mut Cluster, journal: &Journal) -> Result<()> {
    let until = clock::now() + options.time;
    let mut process_faults = options.scenario.process.to_vec();
    if options.wipes && !process_faults.is_empty() {
        process_faults.push(ProcessFault::Wipe);
    }
    let network = NetworkNemesis::new(cluster.proxy(), options.seed, journal.clone());
    let processes = ProcessNemesis::new(cluster, options.seed, journal.clone());
    let ((), hurt) = tokio::join!(
        network.run(options.scenario.network, until),
        processes.run(&process_faults, until)
    );
    hurt
}

/// Heals all links and all processes.
async fn heal(cluster: &mut Cluster) -> Result<()> {
    cluster.proxy().heal();
    for node in nodes().filter(|node| cluster.is_paused(*node)).collect::<Vec<_>>() {
        cluster.resume(node)?;
    }
    let dead: Vec<HostIndex> = nodes().filter(|node| !cluster.is_up(*node)).collect();
    cluster.start(&dead).await
}

/// Looks at the healed cluster, ends it, and judges.
async fn judge(
    options: &RunOptions,
    cluster: &mut Cluster,
    workload: &Workload,
    recorder: &Recorder,
    (journal, healed): (&Journal, Instant),
    report: &mut RunReport,
) -> Result<Judgement> {
    let mut auditor = Auditor::new(cluster, workload, recorder, options.seed);
    let mut looked = auditor.wait_ready().await;
    if looked.is_ok() {
        looked = auditor.look(options.convergence).await;
    }
    report.settled_after = auditor.settled().map(|settled| settled - healed);
    let mut audit = auditor.into_audit();
    match looked {
        Ok(()) => {}
        Err(AuditError::NodeGone(what)) => return Ok(broken_node(&what)),
        Err(AuditError::Unknown(what)) => {
            let verdict = Verdict::Unknown(what);
            return Ok(Judgement { verdict, checked: BTreeMap::new() });
        }
        // What there is shows the difference.
        Err(AuditError::NotSettled(keys)) => {
            journal.note(&format!("{} keys do not settle", keys.len()));
        }
    }
    journal.note("looked at everything");
    audit.kills = journal.kills();
    let everyone: Vec<HostIndex> = nodes().collect();
    cluster.kill(&everyone)?;
    if let Some(panic) = cluster.panics()?.first() {
        return Ok(broken_node(panic));
    }
    if let Some(failure) = cluster.proxy().failure() {
        bail!("the network between the nodes broke: {failure}");
    }
    let observations = core::mem::take(&mut *recorder.lock());
    let evidence = bridge::gather(observations, audit, &cluster.secrets().nodes);
    report.blurred_keys = bridge::blurred_keys(&evidence).len();
    write_histories(&options.directory, &evidence)?;
    Ok(verdict::judge(evidence))
}

/// What happened to every key, beside the nodes' logs: a finding shows only what it is about.
fn write_histories(directory: &Path, evidence: &Evidence) -> Result<()> {
    let mut text = String::new();
    for key in evidence.history.key_indices() {
        text.push_str(&evidence.history.describe_key(key));
        let held = evidence.disks.iter().filter(|((of, _), _)| *of == key);
        for ((_, host), record) in held {
            text.push_str(&format!("  {host} holds {record:?}\n"));
        }
        for (id, _) in evidence.history.writes_to(key) {
            let dots: Vec<Dot> =
                evidence.minted.get(&id).into_iter().flatten().map(|minted| minted.dot).collect();
            text.push_str(&format!("  {id} is {dots:?}\n"));
        }
    }
    write(directory, HISTORIES, &text)
}

fn write(directory: &Path, name: &str, text: &str) -> Result<()> {
    let path = directory.join(name);
    std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
}
