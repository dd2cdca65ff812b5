//! `put`, `get` and `delete`.

use std::io::Read;
use std::process::ExitCode;
use std::time::{Duration, UNIX_EPOCH};

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use dynamo_client::{Client, Context, Object, Stored, WallTime};
use serde_json::json;

use crate::arguments::{DeleteArguments, GetArguments, PutArguments};
use crate::output;

pub(super) async fn put(client: &Client, arguments: PutArguments) -> anyhow::Result<ExitCode> {
    let value = read_value(&arguments.value)?;
    let key = arguments.object.key()?;
    let mut put = client
        .put(&arguments.object.bucket, &key, value)
        .content_type(arguments.content_type.into_bytes());
    for context in arguments.context {
        put = put.context(Context::from(context));
    }
    if let Some(w) = arguments.w {
        put = put.w(w);
    }
    if arguments.request.strict {
        put = put.strict();
    }
    if let Some(timeout) = arguments.request.timeout {
        put = put.timeout(timeout);
    }
    print_stored(&put.await?, arguments.request.json)
}

pub(super) async fn delete(
    client: &Client,
    arguments: DeleteArguments,
) -> anyhow::Result<ExitCode> {
    let key = arguments.object.key()?;
    let mut delete = client.delete(&arguments.object.bucket, &key);
    for context in arguments.context {
        delete = delete.context(Context::from(context));
    }
    if let Some(w) = arguments.w {
        delete = delete.w(w);
    }
    if arguments.request.strict {
        delete = delete.strict();
    }
    if let Some(timeout) = arguments.request.timeout {
        delete = delete.timeout(timeout);
    }
    print_stored(&delete.await?, arguments.request.json)
}

pub(super) async fn get(client: &Client, arguments: GetArguments) -> anyhow::Result<ExitCode> {
    let key = arguments.object.key()?;
    let mut get = client.get(&arguments.object.bucket, &key);
    if let Some(r) = arguments.r {
        get = get.r(r);
    }
    if arguments.request.strict {
        get = get.strict();
    }
    if let Some(timeout) = arguments.request.timeout {
        get = get.timeout(timeout);
    }
    let object = get.await?;
    let code = match object.siblings.len() {
        0 => output::ABSENT,
        1 => 0,
        _ => output::SIBLINGS,
    };
    match &object.siblings[..] {
        [one] if !arguments.request.json => output::bytes(&one.value, !arguments.raw)?,
        [] if !arguments.request.json => {
            output::note(&format!("no value: {}/{key}", arguments.object.bucket));
        }
        _ => output::line(&object_json(&object).to_string())?,
    }
    Ok(ExitCode::from(code))
}

/// The value that was typed: text, `-` for stdin, `@file` for a file.
fn read_value(typed: &str) -> anyhow::Result<Vec<u8>> {
    if typed == "-" {
        let mut value = Vec::new();
        std::io::stdin().lock().read_to_end(&mut value).context("cannot read stdin")?;
        return Ok(value);
    }
    match typed.strip_prefix('@') {
        Some(file) => std::fs::read(file).with_context(|| format!("cannot read {file}")),
        None => Ok(typed.as_bytes().to_vec()),
    }
}

fn print_stored(stored: &Stored, as_json: bool) -> anyhow::Result<ExitCode> {
    let receipt = stored.receipt;
    if as_json {
        let json = json!({
            "context": stored.context.as_str(),
            "receipt": {
                "copies": receipt.copies,
                "synced": receipt.synced,
                "nodes": receipt.nodes,
                "zones": receipt.zones,
                "hints": receipt.hints,
            },
        });
        output::line(&json.to_string())?;
    } else {
        output::line(&format!(
            "stored: {} copies, {} synced, on {} nodes in {} zones, {} as hints",
            receipt.copies, receipt.synced, receipt.nodes, receipt.zones, receipt.hints
        ))?;
        output::line(&format!("context: {}", stored.context))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The object as the HTTP interface shows several siblings.
fn object_json(object: &Object) -> serde_json::Value {
    let sibling = |sibling: &dynamo_client::SiblingReply| {
        json!({
            "value": STANDARD.encode(&sibling.value),
            "content_type": String::from_utf8_lossy(&sibling.content_type),
            "dot": format!("{}:{}", sibling.dot.actor, sibling.dot.counter),
            "written_at": time_text(sibling.written_at),
            "expires_at": sibling.expires_at.map(time_text),
        })
    };
    json!({
        "context": object.context.as_str(),
        "siblings": object.siblings.iter().map(sibling).collect::<Vec<_>>(),
    })
}

/// RFC 3339 in UTC with microseconds.
pub(super) fn time_text(time: WallTime) -> String {
    // Years beyond 9999 cannot be written that way.
    let latest = Duration::from_secs(253_402_300_799);
    let since = Duration::from_micros(time.0).min(latest);
    humantime::format_rfc3339_micros(UNIX_EPOCH + since).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_in_utc() {
        assert_eq!(time_text(WallTime(1_196_208_000_000_001)), "2007-11-28T00:00:00.000001Z");
        assert_eq!(time_text(WallTime(u64::MAX)), "9999-12-31T23:59:59.000000Z");
    }
}
