//! `bucket show`, `bucket set` and `bucket list`.

use std::process::ExitCode;
use std::time::Duration;

use dynamo_client::{BucketInfo, BucketSettings, Client};
use serde_json::json;

use crate::arguments::{BucketCommand, BucketSetArguments};
use crate::output;

pub(super) async fn run(client: &Client, command: BucketCommand) -> anyhow::Result<ExitCode> {
    match command {
        BucketCommand::Show { bucket, json } => print(&[client.bucket(&bucket).await?], json)?,
        BucketCommand::Set(arguments) => print(&[set(client, arguments).await?], false)?,
        BucketCommand::List(arguments) => print(&client.buckets().await?, arguments.json)?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn set(client: &Client, arguments: BucketSetArguments) -> anyhow::Result<BucketInfo> {
    let BucketSetArguments { bucket, profile, reconciliation, r, w, durability, expiry_seconds } =
        arguments;
    let before = match profile {
        Some(profile) => BucketSettings::of_profile(profile, client.cluster().await?.replication),
        None => client.bucket(&bucket).await?.settings,
    };
    let settings = BucketSettings {
        profile: before.profile,
        reconciliation: reconciliation.unwrap_or(before.reconciliation),
        r: r.unwrap_or(before.r),
        w: w.unwrap_or(before.w),
        durability: durability.unwrap_or(before.durability),
        expiry: match expiry_seconds {
            None => before.expiry,
            Some(0) => None,
            Some(seconds) => Some(Duration::from_secs(seconds)),
        },
    };
    Ok(client.set_bucket(&bucket, settings).await?)
}

fn print(buckets: &[BucketInfo], as_json: bool) -> anyhow::Result<()> {
    if as_json {
        let json = buckets.iter().map(|info| {
            json!({
                "bucket": info.bucket.as_str(),
                "profile": info.settings.profile.name(),
                "reconciliation": info.settings.reconciliation.name(),
                "r": info.settings.r,
                "w": info.settings.w,
                "durability": info.settings.durability.name(),
                "expiry_ms": info.settings.expiry.map(|e| u64::try_from(e.as_millis()).unwrap_or(u64::MAX)),
                "version": info.version,
            })
        });
        for bucket in json {
            output::line(&bucket.to_string())?;
        }
        return Ok(());
    }
    let rows: Vec<Vec<String>> = buckets.iter().map(row).collect();
    let head = ["bucket", "profile", "reconciliation", "r", "w", "durability", "expiry", "version"];
    output::table(&head, &rows)?;
    Ok(())
}

fn row(info: &BucketInfo) -> Vec<String> {
    let settings = &info.settings;
    let expiry = settings.expiry.map(|expiry| humantime::format_duration(expiry).to_string());
    vec![
        info.bucket.to_string(),
        settings.profile.to_string(),
        settings.reconciliation.name().to_owned(),
        settings.r.to_string(),
        settings.w.to_string(),
        settings.durability.name().to_owned(),
        expiry.unwrap_or_else(|| "never".to_owned()),
        info.version.to_string(),
    ]
}
