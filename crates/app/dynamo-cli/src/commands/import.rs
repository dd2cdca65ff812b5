//! `import`.

use std::collections::BTreeSet;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::bail;
use dynamo_client::{Bucket, Client, Context, GetError, Key, Put, PutError};
use tokio::task::{JoinError, JoinSet};

use super::job::{self, Found, Job, same_values};
use crate::arguments::ImportArguments;
use crate::ndjson::Value;
use crate::output;
use crate::progress::Progress;

/// Errors that are printed; the others are only counted.
const ERRORS_SHOWN: u64 = 20;

/// How long to wait after each failed attempt at an object, beyond what the client tries by itself:
/// a node that was lost is noticed meanwhile.
const PAUSES: [Duration; 3] =
    [Duration::from_millis(300), Duration::from_secs(1), Duration::from_secs(3)];

enum Imported {
    Written,
    Unchanged,
}

type Ended = (Key, u64, anyhow::Result<Imported>);

struct Import {
    progress: Progress,
    /// Keys under way: another line of the same key waits, so that the later one replaces the
    /// earlier one.
    keys: BTreeSet<Key>,
    tasks: JoinSet<Ended>,
    unchanged: u64,
    failed: u64,
}

pub(super) async fn import(
    client: &Client,
    arguments: ImportArguments,
) -> anyhow::Result<ExitCode> {
    let ImportArguments { bucket, file, blind, concurrency } = arguments;
    let mut lines = job::read(&file)?;
    let mut import = Import {
        progress: Progress::new("objects", job::count_lines(&file)),
        keys: BTreeSet::new(),
        tasks: JoinSet::new(),
        unchanged: 0,
        failed: 0,
    };
    while let Some(found) = lines.recv().await {
        match found {
            Found::Job(job) => {
                while import.tasks.len() >= usize::from(concurrency)
                    || import.keys.contains(&job.key)
                {
                    import.wait_for_one().await?;
                }
                import.keys.insert(job.key.clone());
                let (client, bucket) = (client.clone(), bucket.clone());
                import.tasks.spawn(async move {
                    let (key, line) = (job.key.clone(), job.line);
                    (key, line, write_at_last(&client, &bucket, job, blind).await)
                });
            }
            Found::Bad { line, error } => import.fail(line, &error.into()),
            Found::Broken(error) => bail!("cannot read {} on: {error}", file.display()),
        }
    }
    while !import.tasks.is_empty() {
        import.wait_for_one().await?;
    }
    import.progress.finish();
    let done = import.progress.done();
    output::note(&format!(
        "{} objects written, {} unchanged, {} lines failed, in {:.1} s: {:.0} objects/s",
        done - import.unchanged,
        import.unchanged,
        import.failed,
        import.progress.elapsed().as_secs_f64(),
        import.progress.rate(),
    ));
    Ok(ExitCode::from(if import.failed == 0 { 0 } else { output::FAILED }))
}

impl Import {
    async fn wait_for_one(&mut self) -> Result<(), JoinError> {
        let Some(ended) = self.tasks.join_next().await else { return Ok(()) };
        let (key, line, result) = ended?;
        self.keys.remove(&key);
        match result {
            Ok(imported) => {
                self.unchanged += u64::from(matches!(imported, Imported::Unchanged));
                self.progress.step();
            }
            Err(error) => self.fail(line, &error),
        }
        Ok(())
    }

    fn fail(&mut self, line: u64, error: &anyhow::Error) {
        self.failed += 1;
        if self.failed <= ERRORS_SHOWN {
            self.progress.note(&format!("line {line}: {error:#}"));
        }
    }
}

/// Writes an object, again if need be. Each time reads anew what is there, so that an attempt that
/// took effect without saying so is recognised; a blind one cannot be repeated that way.
async fn write_at_last(
    client: &Client,
    bucket: &Bucket,
    job: Job,
    blind: bool,
) -> anyhow::Result<Imported> {
    let pauses = if blind { &[] } else { &PAUSES[..] };
    for pause in pauses {
        match write(client, bucket, job.clone(), blind).await {
            Ok(imported) => return Ok(imported),
            Err(error) if is_refusal(&error) => return Err(error),
            Err(_) => tokio::time::sleep(*pause).await,
        }
    }
    write(client, bucket, job, blind).await
}

/// Whether the cluster said that the object cannot be as it is.
fn is_refusal(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(PutError::Invalid { .. }))
        || matches!(error.downcast_ref(), Some(GetError::Invalid { .. }))
}

/// Writes an object so that it holds the values of the file and nothing else; with `blind`, beside
/// whatever is there.
async fn write(
    client: &Client,
    bucket: &Bucket,
    job: Job,
    blind: bool,
) -> anyhow::Result<Imported> {
    let mut context: Option<Context> = None;
    if !blind {
        let seen = client.get(bucket, &job.key).await?;
        if same_values(&job.values, &seen.siblings) {
            return Ok(Imported::Unchanged);
        }
        context = Some(seen.context);
    }
    for value in job.values {
        // The first value replaces what was seen, the others stand beside it.
        let put = put(client, bucket, &job.key, value);
        match context.take() {
            Some(context) => put.context(context).await?,
            None => put.await?,
        };
    }
    Ok(Imported::Written)
}

fn put(client: &Client, bucket: &Bucket, key: &Key, value: Value) -> Put {
    client.put(bucket, key, value.bytes).content_type(value.content_type)
}
