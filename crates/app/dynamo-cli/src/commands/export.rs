//! `export`.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::process::ExitCode;

use anyhow::Context as _;
use dynamo_client::{Bucket, Client, Key, SiblingReply};
use tokio::task::JoinHandle;

use crate::arguments::ExportArguments;
use crate::ndjson::{Line, Value, write_line};
use crate::output;
use crate::progress::Progress;

pub(super) async fn export(
    client: &Client,
    arguments: ExportArguments,
) -> anyhow::Result<ExitCode> {
    let ExportArguments { bucket, file, concurrency } = arguments;
    let mut out: Box<dyn Write> = match &file {
        None => Box::new(BufWriter::new(io::stdout().lock())),
        Some(path) => {
            let created = File::create(path);
            let created = created.with_context(|| format!("cannot write {}", path.display()))?;
            Box::new(BufWriter::new(created))
        }
    };
    let mut progress = Progress::new("objects", None);
    // In the order of the listing, so that equal buckets give equal files.
    let mut reads: VecDeque<Read> = VecDeque::new();
    let mut list = client.list(&bucket);
    while let Some(keys) = list.next_page().await? {
        for key in keys {
            if reads.len() >= usize::from(concurrency)
                && let Some(first) = reads.pop_front()
            {
                write(&mut *out, first.await??)?;
                progress.step();
            }
            let (client, bucket) = (client.clone(), bucket.clone());
            reads.push_back(tokio::spawn(async move { read(&client, &bucket, key).await }));
        }
    }
    for read in reads {
        write(&mut *out, read.await??)?;
        progress.step();
    }
    out.flush()?;
    progress.finish();
    output::note(&format!("{} objects, {:.0}/s", progress.done(), progress.rate()));
    Ok(ExitCode::SUCCESS)
}

type Read = JoinHandle<anyhow::Result<(Key, Vec<SiblingReply>)>>;

async fn read(
    client: &Client,
    bucket: &Bucket,
    key: Key,
) -> anyhow::Result<(Key, Vec<SiblingReply>)> {
    let object = client.get(bucket, &key).await;
    let object = object.with_context(|| format!("cannot read {bucket}/{key}"))?;
    Ok((key, object.siblings))
}

fn write(out: &mut dyn Write, (key, siblings): (Key, Vec<SiblingReply>)) -> io::Result<()> {
    let several = siblings.len() > 1;
    for (sibling, number) in siblings.into_iter().zip(0..) {
        let value = Value { bytes: sibling.value, content_type: sibling.content_type };
        let line = Line { key: key.clone(), value, sibling: several.then_some(number) };
        writeln!(out, "{}", write_line(&line))?;
    }
    Ok(())
}
