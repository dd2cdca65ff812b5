//! `verify`.

use std::collections::BTreeMap;
use std::process::ExitCode;

use anyhow::bail;
use dynamo_client::{Bucket, Client, NodeId};
use tokio::task::{JoinError, JoinSet};

use super::job::{self, Found, Job, same_values};
use crate::arguments::VerifyArguments;
use crate::output;
use crate::progress::Progress;

/// Differences that are printed; the others are only counted.
const DIFFERENCES_SHOWN: u64 = 20;

struct Verification {
    progress: Progress,
    names: BTreeMap<NodeId, String>,
    tasks: JoinSet<Result<(), Vec<(NodeId, String)>>>,
    /// Per node: objects that differ or could not be read.
    differences: BTreeMap<NodeId, u64>,
    bad_lines: u64,
    shown: u64,
}

pub(super) async fn verify(
    client: &Client,
    arguments: VerifyArguments,
) -> anyhow::Result<ExitCode> {
    let VerifyArguments { bucket, file, concurrency, reachable } = arguments;
    let view = client.cluster().await?;
    let present = view.members.into_iter().filter(|member| member.state == "member");
    let mut names: BTreeMap<NodeId, String> = present.map(|m| (m.node, m.name)).collect();
    let connected = client.connected_nodes();
    if reachable {
        names.retain(|node, _| connected.contains(node));
    }
    if let Some((_, name)) = names.iter().find(|(node, _)| !connected.contains(node)) {
        bail!(
            "not connected to {name}: all nodes must be up to compare them (or give --reachable)"
        );
    }
    let nodes: Vec<NodeId> = names.keys().copied().collect();
    let mut lines = job::read(&file)?;
    let mut verification = Verification {
        progress: Progress::new("objects", job::count_lines(&file)),
        names,
        tasks: JoinSet::new(),
        differences: nodes.iter().map(|node| (*node, 0)).collect(),
        bad_lines: 0,
        shown: 0,
    };
    while let Some(found) = lines.recv().await {
        match found {
            Found::Job(job) => {
                while verification.tasks.len() >= usize::from(concurrency) {
                    verification.wait_for_one().await?;
                }
                let (client, bucket, nodes) = (client.clone(), bucket.clone(), nodes.clone());
                verification
                    .tasks
                    .spawn(async move { compare(&client, &bucket, &nodes, &job).await });
            }
            Found::Bad { line, error } => {
                verification.bad_lines += 1;
                let error = anyhow::Error::from(error);
                verification.show(&format!("line {line}: {error:#}"));
            }
            Found::Broken(error) => bail!("cannot read {} on: {error}", file.display()),
        }
    }
    while !verification.tasks.is_empty() {
        verification.wait_for_one().await?;
    }
    verification.report(nodes.len())
}

impl Verification {
    async fn wait_for_one(&mut self) -> Result<(), JoinError> {
        let Some(ended) = self.tasks.join_next().await else { return Ok(()) };
        if let Err(differences) = ended? {
            for (node, text) in differences {
                *self.differences.entry(node).or_default() += 1;
                let name = self.names.get(&node).cloned().unwrap_or_default();
                self.show(&format!("{name}: {text}"));
            }
        }
        self.progress.step();
        Ok(())
    }

    fn show(&mut self, text: &str) {
        self.shown += 1;
        if self.shown <= DIFFERENCES_SHOWN {
            self.progress.note(text);
        }
    }

    fn report(&self, nodes: usize) -> anyhow::Result<ExitCode> {
        self.progress.finish();
        let different: u64 = self.differences.values().sum();
        output::line(&format!(
            "{} objects compared at {nodes} nodes: {different} differences, {} bad lines",
            self.progress.done(),
            self.bad_lines
        ))?;
        for (node, count) in self.differences.iter().filter(|(_, count)| **count > 0) {
            let name = self.names.get(node).cloned().unwrap_or_default();
            output::line(&format!("{name}: {count} differences"))?;
        }
        let sound = different == 0 && self.bad_lines == 0;
        Ok(ExitCode::from(if sound { 0 } else { output::FAILED }))
    }
}

/// Reads an object through each node and compares it with the file.
async fn compare(
    client: &Client,
    bucket: &Bucket,
    nodes: &[NodeId],
    job: &Job,
) -> Result<(), Vec<(NodeId, String)>> {
    let mut differences = Vec::new();
    for node in nodes {
        match client.get(bucket, &job.key).only_at(*node).await {
            Ok(object) if same_values(&job.values, &object.siblings) => {}
            Ok(object) => {
                let found = match object.siblings.len() {
                    0 => "is absent".to_owned(),
                    1 => "has another value".to_owned(),
                    several => format!("has {several} versions"),
                };
                differences.push((*node, format!("line {}: {} {found}", job.line, job.key)));
            }
            Err(error) => {
                differences.push((*node, format!("line {}: {}: {error}", job.line, job.key)));
            }
        }
    }
    if differences.is_empty() { Ok(()) } else { Err(differences) }
}
