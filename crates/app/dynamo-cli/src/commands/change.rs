//! `cluster plan`, `cluster commit`, `cluster cancel` and `cluster force`.

use std::io;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};
use dynamo_client::{ChangeError, Client, ClusterChange, ClusterView, MemberView, PlanView};
use indicatif::HumanBytes;
use serde_json::{Value, json};

use crate::arguments::{
    ChangeArguments, ClusterCommand, CommitArguments, ForceArguments, JsonArguments, PlanArguments,
};
use crate::output;

/// What to do about an outcome that is not known.
const FIND_OUT: &str =
    "it was not tried again; `dynamo transfers` and `dynamo cluster` show whether it was done";

pub(super) async fn run(client: &Client, command: ClusterCommand) -> anyhow::Result<ExitCode> {
    match command {
        ClusterCommand::Plan(arguments) => plan(client, arguments).await,
        ClusterCommand::Commit(arguments) => commit(client, arguments).await,
        ClusterCommand::Cancel(arguments) => cancel(client, &arguments).await,
        ClusterCommand::Force(arguments) => force(client, arguments).await,
    }
}

async fn plan(client: &Client, arguments: PlanArguments) -> anyhow::Result<ExitCode> {
    let PlanArguments { change, json } = arguments;
    let view = client.cluster().await?;
    let plan = client.plan_change(changes(&change, &view)?).await?.view;
    if json {
        output::line(&plan_json(&plan).to_string())?;
        return Ok(ExitCode::SUCCESS);
    }
    show(&plan, &view)?;
    output::line(&format!(
        "nothing is done yet; do it with: dynamo cluster commit{} --plan {:032x}",
        typed(&change),
        plan.plan
    ))?;
    Ok(ExitCode::SUCCESS)
}

async fn commit(client: &Client, arguments: CommitArguments) -> anyhow::Result<ExitCode> {
    let CommitArguments { change, plan: wanted, yes, json } = arguments;
    let view = client.cluster().await?;
    let planned = client.plan_change(changes(&change, &view)?).await?;
    let plan = &planned.view;
    if let Some(wanted) = wanted.filter(|wanted| *wanted != plan.plan) {
        bail!(
            "the cluster is another one than plan {wanted:032x} was made for; nothing was done: \
             look at the new plan with `dynamo cluster plan{}`",
            typed(&change)
        );
    }
    if wanted.is_none() && !yes {
        show(plan, &view)?;
        if !agreed("commit this?")? {
            bail!("nothing was done");
        }
    }
    let done = client.commit_change(&planned).await;
    committed(&advised(done)?, &view, json)
}

async fn cancel(client: &Client, arguments: &JsonArguments) -> anyhow::Result<ExitCode> {
    let moves = advised(client.cancel_moves().await)?;
    if arguments.json {
        output::line(&json!({ "moves": moves }).to_string())?;
    } else {
        output::line(&format!("{moves} moves cancelled; those that were decided go on"))?;
    }
    Ok(ExitCode::SUCCESS)
}

async fn force(client: &Client, arguments: ForceArguments) -> anyhow::Result<ExitCode> {
    let ForceArguments { given_up, yes, json } = arguments;
    let view = client.cluster().await?;
    if !yes {
        let plan = advised(client.force_moves(given_up.clone(), false).await)?;
        show(&plan, &view)?;
        output::line(&format!(
            "what was acknowledged by {} alone is lost until they return",
            given_up.join(", ")
        ))?;
        if !agreed("give them up?")? {
            bail!("nothing was done");
        }
    }
    let done = client.force_moves(given_up, true).await;
    committed(&advised(done)?, &view, json)
}

/// Says what can be done about an unknown outcome.
fn advised<T>(done: Result<T, ChangeError>) -> anyhow::Result<T> {
    match done {
        Err(ChangeError::OutcomeUnknown) => Err(ChangeError::OutcomeUnknown).context(FIND_OUT),
        done => Ok(done?),
    }
}

fn committed(plan: &PlanView, view: &ClusterView, as_json: bool) -> anyhow::Result<ExitCode> {
    if as_json {
        output::line(&plan_json(plan).to_string())?;
        return Ok(ExitCode::SUCCESS);
    }
    output::line(&format!(
        "committed: {} of {} partitions change, {} copies move; `dynamo transfers --watch` shows how \
         far they are",
        plan.partitions_changed, view.partition_count, plan.copies_moved
    ))?;
    Ok(ExitCode::SUCCESS)
}

/// Asks a person; anything but a yes is a no.
fn agreed(question: &str) -> anyhow::Result<bool> {
    output::note(&format!("{question} [y/N]"));
    let mut answer = String::new();
    io::stdin().read_line(&mut answer).context("cannot read the answer")?;
    Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}

/// What was typed, as the nodes understand it.
fn changes(arguments: &ChangeArguments, view: &ClusterView) -> anyhow::Result<Vec<ClusterChange>> {
    let ChangeArguments { join, leave, remove, replace, weight, zone } = arguments;
    let mut changes = Vec::new();
    for (old, new) in replace {
        changes.push(departure(old, view)?);
        changes.push(ClusterChange::Join { node: new.clone() });
    }
    changes.extend(join.iter().map(|node| ClusterChange::Join { node: node.clone() }));
    changes.extend(leave.iter().map(|node| ClusterChange::Leave { node: node.clone() }));
    changes.extend(remove.iter().map(|node| ClusterChange::Remove { node: node.clone() }));
    let reweight = |(node, weight): &(String, u32)| ClusterChange::Reweight {
        node: node.clone(),
        weight: *weight,
    };
    changes.extend(weight.iter().map(reweight));
    let rezone = |(node, zone): &(String, String)| ClusterChange::Rezone {
        node: node.clone(),
        zone: zone.clone(),
    };
    changes.extend(zone.iter().map(rezone));
    Ok(changes)
}

/// How a node that is replaced goes: it hands over if it can. To remove one that only is slow would
/// give up what it has, so that needs more than a missing link.
fn departure(old: &str, view: &ClusterView) -> anyhow::Result<ClusterChange> {
    let named = |member: &&MemberView| member.name == old || member.node.to_string() == old;
    let Some(member) = view.members.iter().find(named) else {
        bail!("there is no member {old} to be replaced");
    };
    let node = old.to_owned();
    if member.reachable || member.node == view.answered_by {
        Ok(ClusterChange::Leave { node })
    } else if member.liveness == "down" {
        Ok(ClusterChange::Remove { node })
    } else {
        bail!(
            "{old} cannot be reached and is not known to be down ({}): wait, or say what to do with \
             --leave {old} or --remove {old}",
            member.liveness
        );
    }
}

/// The options that say it again.
fn typed(arguments: &ChangeArguments) -> String {
    let ChangeArguments { join, leave, remove, replace, weight, zone } = arguments;
    let mut text = String::new();
    let mut add = |option: &str, value: &str| {
        text.push_str(&format!(" --{option} {value}"));
    };
    join.iter().for_each(|node| add("join", node));
    leave.iter().for_each(|node| add("leave", node));
    remove.iter().for_each(|node| add("remove", node));
    replace.iter().for_each(|(old, new)| add("replace", &format!("{old}={new}")));
    weight.iter().for_each(|(node, weight)| add("weight", &format!("{node}={weight}")));
    zone.iter().for_each(|(node, zone)| add("zone", &format!("{node}={zone}")));
    text
}

fn show(plan: &PlanView, view: &ClusterView) -> anyhow::Result<()> {
    let partitions = view.partition_count;
    let time = humantime::format_duration(Duration::from_secs(plan.seconds.into()));
    output::line(&format!("plan {:032x}", plan.plan))?;
    output::line(&format!("  partitions changed  {} of {partitions}", plan.partitions_changed))?;
    output::line(&format!(
        "  copies moved        {} of {}, at least {} in any fair layout",
        plan.copies_moved, plan.copies, plan.copies_lower_bound
    ))?;
    output::line(&format!(
        "  data                about {}, about {time} if nothing else goes on",
        HumanBytes(plan.bytes)
    ))?;
    output::line(&format!(
        "  zone-safe           {} of {partitions} partitions, {} before",
        plan.zone_safe_after, plan.zone_safe_before
    ))?;
    output::line(&format!("  out of reach        {} partitions", plan.out_of_reach))?;
    let row = |node: &dynamo_client::PlannedNodeView| {
        vec![
            node.name.clone(),
            node.node.to_string(),
            node.before.to_string(),
            node.after.to_string(),
            node.received.to_string(),
            node.sent.to_string(),
        ]
    };
    let rows: Vec<Vec<String>> = plan.nodes.iter().map(row).collect();
    output::table(&["name", "id", "before", "after", "received", "sent"], &rows)?;
    if plan.out_of_reach > 0 {
        output::line(&format!(
            "no node that is up has a copy of {} partitions: their data is given up until one that \
             has returns",
            plan.out_of_reach
        ))?;
    }
    Ok(())
}

/// As the HTTP interface shows it.
fn plan_json(plan: &PlanView) -> Value {
    let node = |node: &dynamo_client::PlannedNodeView| {
        json!({
            "node": node.node.to_string(),
            "name": node.name,
            "before": node.before,
            "after": node.after,
            "received": node.received,
            "sent": node.sent,
        })
    };
    let link = |link: &dynamo_client::LinkView| {
        json!({
            "from": link.from.to_string(),
            "to": link.to.to_string(),
            "copies": link.copies,
            "bytes": link.bytes,
        })
    };
    json!({
        "plan": format!("{:032x}", plan.plan),
        "committed": plan.committed,
        "partitions_changed": plan.partitions_changed,
        "copies_moved": plan.copies_moved,
        "copies_lower_bound": plan.copies_lower_bound,
        "copies": plan.copies,
        "bytes": plan.bytes,
        "seconds": plan.seconds,
        "zone_safe_before": plan.zone_safe_before,
        "zone_safe_after": plan.zone_safe_after,
        "out_of_reach": plan.out_of_reach,
        "nodes": plan.nodes.iter().map(node).collect::<Vec<_>>(),
        "links": plan.links.iter().map(link).collect::<Vec<_>>(),
    })
}
