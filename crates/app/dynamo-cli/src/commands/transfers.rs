//! `transfers`.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Duration;

use dynamo_client::{Client, NodeId, TransferView, TransfersView};
use serde_json::{Value, json};

use crate::arguments::TransfersArguments;
use crate::output;
use crate::progress::Progress;

/// Partitions that are shown to people one by one: what fits on a screen.
const ROWS_MAX: usize = 20;
/// How often a node is asked while someone watches: often enough to look alive, and one small question.
const WATCH_INTERVAL: Duration = Duration::from_millis(500);

pub(super) async fn transfers(
    client: &Client,
    arguments: &TransfersArguments,
) -> anyhow::Result<ExitCode> {
    if arguments.watch {
        return watch(client, arguments.json).await;
    }
    let view = client.transfers().await?;
    if arguments.json {
        output::line(&transfers_json(&view).to_string())?;
    } else {
        show(&view, &Names::ask(client).await?)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Goes on until nothing moves; as JSON, with a line whenever something changed.
async fn watch(client: &Client, as_json: bool) -> anyhow::Result<ExitCode> {
    let names = Names::ask(client).await?;
    let mut view = client.transfers().await?;
    let mut progress =
        (!as_json).then(|| Progress::new("partitions settled", Some(view.partitions.into())));
    let mut told: Option<(BTreeMap<String, usize>, Vec<NodeId>)> = None;
    let mut printed: Option<TransfersView> = None;
    loop {
        if let Some(progress) = &mut progress {
            let now = (stages(&view), view.leaving.clone());
            if told.as_ref() != Some(&now) {
                progress.note(&summary(&view, &names));
                told = Some(now);
            }
            progress.set(view.settled.into());
        } else if printed.as_ref() != Some(&view) {
            output::line(&transfers_json(&view).to_string())?;
            printed = Some(view.clone());
        }
        if is_still(&view) {
            break;
        }
        tokio::time::sleep(WATCH_INTERVAL).await;
        view = client.transfers().await?;
    }
    if let Some(progress) = progress {
        progress.finish();
        output::line("nothing moves")?;
    }
    Ok(ExitCode::SUCCESS)
}

fn is_still(view: &TransfersView) -> bool {
    view.transfers.is_empty() && view.settled >= view.partitions && view.leaving.is_empty()
}

/// What people call the members.
struct Names(BTreeMap<NodeId, String>);

impl Names {
    async fn ask(client: &Client) -> anyhow::Result<Self> {
        let members = client.cluster().await?.members;
        Ok(Self(members.into_iter().map(|member| (member.node, member.name)).collect()))
    }

    fn of(&self, node: NodeId) -> String {
        self.0.get(&node).cloned().unwrap_or_else(|| node.to_string())
    }

    fn all(&self, nodes: &[NodeId]) -> String {
        let names: Vec<String> = nodes.iter().map(|node| self.of(*node)).collect();
        names.join(" ")
    }
}

fn stages(view: &TransfersView) -> BTreeMap<String, usize> {
    let mut stages = BTreeMap::new();
    for transfer in &view.transfers {
        *stages.entry(transfer.stage.clone()).or_default() += 1;
    }
    stages
}

/// One line: how far all of it is.
fn summary(view: &TransfersView, names: &Names) -> String {
    let mut text = format!("{} of {} partitions settled", view.settled, view.partitions);
    let stages: Vec<String> =
        stages(view).into_iter().map(|(stage, count)| format!("{count} {stage}")).collect();
    if !stages.is_empty() {
        text.push_str(&format!("; on their way: {}", stages.join(", ")));
    }
    if !view.leaving.is_empty() {
        text.push_str(&format!("; still leaving: {}", names.all(&view.leaving)));
    }
    text
}

fn show(view: &TransfersView, names: &Names) -> anyhow::Result<()> {
    output::line(&summary(view, names))?;
    if view.transfers.is_empty() {
        return Ok(());
    }
    let row = |transfer: &TransferView| {
        let waiting =
            |(node, with): &(NodeId, NodeId)| format!("{}<>{}", names.of(*node), names.of(*with));
        let waiting: Vec<String> = transfer.waiting.iter().map(waiting).collect();
        vec![
            transfer.partition.0.to_string(),
            transfer.stage.clone(),
            names.all(&transfer.current),
            names.all(&transfer.next),
            if waiting.is_empty() { "-".to_owned() } else { waiting.join(" ") },
            transfer.records.map_or_else(|| "-".to_owned(), |records| records.to_string()),
        ]
    };
    let rows: Vec<Vec<String>> = view.transfers.iter().take(ROWS_MAX).map(row).collect();
    output::table(&["partition", "stage", "from", "to", "waits for", "records"], &rows)?;
    if let Some(more) = view.transfers.len().checked_sub(ROWS_MAX).filter(|more| *more > 0) {
        output::line(&format!("and {more} more; --json shows them"))?;
    }
    Ok(())
}

/// As the HTTP interface shows it.
fn transfers_json(view: &TransfersView) -> Value {
    let ids = |nodes: &[NodeId]| nodes.iter().map(NodeId::to_string).collect::<Vec<_>>();
    let waiting = |(node, with): &(NodeId, NodeId)| json!({ "node": node.to_string(), "with": with.to_string() });
    let transfer = |transfer: &TransferView| {
        json!({
            "partition": transfer.partition.0,
            "stage": transfer.stage,
            "current": ids(&transfer.current),
            "next": ids(&transfer.next),
            "waiting": transfer.waiting.iter().map(waiting).collect::<Vec<_>>(),
            "records": transfer.records,
        })
    };
    json!({
        "transfers": view.transfers.iter().map(transfer).collect::<Vec<_>>(),
        "settled": view.settled,
        "partitions": view.partitions,
        "leaving": ids(&view.leaving),
    })
}
