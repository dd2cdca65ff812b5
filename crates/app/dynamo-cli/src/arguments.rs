//! What can be typed.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use dynamo_bench::BenchArguments;
use dynamo_client::{Bucket, Durability, Key, Profile, Reconciliation};

/// Talks to a Dynamo cluster.
#[derive(Debug, Parser)]
#[command(name = "dynamo", version, arg_required_else_help = true)]
pub struct Arguments {
    /// The file that says how to reach the cluster. Without it, the file of a local cluster
    /// (target/cluster/client/client.toml) is looked for from the current directory upwards, then
    /// ~/.config/dynamo/client.toml.
    #[arg(long, short = 'c', env = "DYNAMO_CONFIG", global = true)]
    pub config: Option<PathBuf>,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Writes a value and prints its receipt and the context that replaces it.
    Put(PutArguments),
    /// Prints an object's value. Ends with 3 and JSON if there are several, with 4 if there is none.
    Get(GetArguments),
    /// Deletes what an object holds now, or what a context covers.
    Delete(DeleteArguments),
    /// Prints the keys of a bucket.
    List(ListArguments),
    /// Shows or sets what a bucket does.
    #[command(subcommand)]
    Bucket(BucketCommand),
    /// Shows the members.
    Cluster(JsonArguments),
    /// Shows how the partitions are spread, or with --json the whole table.
    Ring(JsonArguments),
    /// Shows what each replica of an object has, and who is behind.
    Explain(ExplainArguments),
    /// Writes newline-delimited JSON into a bucket. Running it twice changes nothing.
    Import(ImportArguments),
    /// Prints a bucket as newline-delimited JSON that `import` reads back.
    Export(ExportArguments),
    /// Reads what a file holds from every node, and compares it to the byte.
    Verify(VerifyArguments),
    /// Puts load on the cluster and measures it.
    Bench(BenchArguments),
}

/// An object.
#[derive(Debug, Args)]
pub struct ObjectArguments {
    /// The bucket.
    #[arg(value_parser = bucket)]
    pub bucket: Bucket,
    /// The key.
    pub key: String,
    /// The key is written in base64: for keys that are no text.
    #[arg(long)]
    pub key_base64: bool,
}

/// Options of a request.
#[derive(Debug, Args)]
pub struct RequestArguments {
    /// Lets only the partition's own replicas count.
    #[arg(long)]
    pub strict: bool,
    /// How long to try, such as 500ms or 3s.
    #[arg(long, value_parser = humantime::parse_duration)]
    pub timeout: Option<Duration>,
    /// Prints JSON.
    #[arg(long)]
    pub json: bool,
}

/// `dynamo put`.
#[derive(Debug, Args)]
pub struct PutArguments {
    /// Where to.
    #[command(flatten)]
    pub object: ObjectArguments,
    /// The value as text, or `-` for stdin, or `@file`.
    #[arg(default_value = "-", allow_hyphen_values = true)]
    pub value: String,
    /// What a get printed: the versions that this put replaces. May be given several times.
    #[arg(long)]
    pub context: Vec<String>,
    /// What the value is.
    #[arg(long, default_value = "application/octet-stream")]
    pub content_type: String,
    /// Copies to store before the answer, instead of the bucket's w.
    #[arg(long, short = 'w')]
    pub w: Option<u8>,
    /// How to ask.
    #[command(flatten)]
    pub request: RequestArguments,
}

/// `dynamo get`.
#[derive(Debug, Args)]
pub struct GetArguments {
    /// What.
    #[command(flatten)]
    pub object: ObjectArguments,
    /// Replies to wait for, instead of the bucket's r.
    #[arg(long, short = 'r')]
    pub r: Option<u8>,
    /// Adds no line end, not even on a terminal.
    #[arg(long, conflicts_with = "json")]
    pub raw: bool,
    /// How to ask.
    #[command(flatten)]
    pub request: RequestArguments,
}

/// `dynamo delete`.
#[derive(Debug, Args)]
pub struct DeleteArguments {
    /// What.
    #[command(flatten)]
    pub object: ObjectArguments,
    /// What a get printed: the versions to delete, instead of those that are there now.
    #[arg(long)]
    pub context: Vec<String>,
    /// Copies to store before the answer, instead of the bucket's w.
    #[arg(long, short = 'w')]
    pub w: Option<u8>,
    /// How to ask.
    #[command(flatten)]
    pub request: RequestArguments,
}

/// `dynamo list`.
#[derive(Debug, Args)]
pub struct ListArguments {
    /// The bucket.
    #[arg(value_parser = bucket)]
    pub bucket: Bucket,
    /// Only keys that begin so.
    #[arg(long, default_value = "")]
    pub prefix: String,
    /// Begins after this key.
    #[arg(long)]
    pub after: Option<String>,
    /// Stops after so many keys.
    #[arg(long)]
    pub limit: Option<usize>,
    /// Prints each key in base64: for keys that are no text.
    #[arg(long)]
    pub key_base64: bool,
}

/// `dynamo bucket`.
#[derive(Debug, Subcommand)]
pub enum BucketCommand {
    /// Shows a bucket's settings.
    Show {
        /// The bucket.
        #[arg(value_parser = bucket)]
        bucket: Bucket,
        /// Prints JSON.
        #[arg(long)]
        json: bool,
    },
    /// Changes a bucket's settings; what is not named stays.
    Set(BucketSetArguments),
    /// Lists all buckets whose settings were ever set.
    List(JsonArguments),
}

/// `dynamo bucket set`.
#[derive(Debug, Args)]
pub struct BucketSetArguments {
    /// The bucket.
    #[arg(value_parser = bucket)]
    pub bucket: Bucket,
    /// business-logic, timestamp or read-engine; resets everything else to its defaults.
    #[arg(long, value_parser = profile)]
    pub profile: Option<Profile>,
    /// siblings or last-write-wins.
    #[arg(long, value_parser = reconciliation)]
    pub reconciliation: Option<Reconciliation>,
    /// Replies that a get waits for.
    #[arg(long, short = 'r')]
    pub r: Option<u8>,
    /// Copies that a put stores before it is answered.
    #[arg(long, short = 'w')]
    pub w: Option<u8>,
    /// synced or buffered.
    #[arg(long, value_parser = durability)]
    pub durability: Option<Durability>,
    /// Versions expire after so many seconds; 0 for never.
    #[arg(long)]
    pub expiry_seconds: Option<u64>,
}

/// A command that only shows.
#[derive(Debug, Args)]
pub struct JsonArguments {
    /// Prints JSON.
    #[arg(long)]
    pub json: bool,
}

/// `dynamo explain`.
#[derive(Debug, Args)]
pub struct ExplainArguments {
    /// What.
    #[command(flatten)]
    pub object: ObjectArguments,
    /// Prints JSON.
    #[arg(long)]
    pub json: bool,
}

/// `dynamo import`.
#[derive(Debug, Args)]
pub struct ImportArguments {
    /// The bucket.
    #[arg(value_parser = bucket)]
    pub bucket: Bucket,
    /// The file, or `-` for stdin.
    pub file: PathBuf,
    /// Does not read first: faster, but what is there already stays beside what is written.
    #[arg(long)]
    pub blind: bool,
    /// Objects under way at once.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub concurrency: u16,
}

/// `dynamo export`.
#[derive(Debug, Args)]
pub struct ExportArguments {
    /// The bucket.
    #[arg(value_parser = bucket)]
    pub bucket: Bucket,
    /// The file; stdout if there is none.
    pub file: Option<PathBuf>,
    /// Objects under way at once.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub concurrency: u16,
}

/// `dynamo verify`.
#[derive(Debug, Args)]
pub struct VerifyArguments {
    /// The bucket.
    #[arg(value_parser = bucket)]
    pub bucket: Bucket,
    /// The file that was imported, or `-` for stdin.
    pub file: PathBuf,
    /// Objects under way at once, at each node.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub concurrency: u16,
    /// Compares at the nodes that are up; without it, a node that is down is an error.
    #[arg(long)]
    pub reachable: bool,
}

fn bucket(text: &str) -> Result<Bucket, dynamo_types::BucketError> {
    Bucket::new(text.to_owned())
}

fn profile(text: &str) -> Result<Profile, String> {
    let known = || Profile::ALL.map(Profile::name).join(", ");
    Profile::from_name(text).ok_or_else(|| format!("one of {}", known()))
}

fn reconciliation(text: &str) -> Result<Reconciliation, String> {
    Reconciliation::from_name(text).ok_or_else(|| "one of siblings, last-write-wins".to_owned())
}

fn durability(text: &str) -> Result<Durability, String> {
    Durability::from_name(text).ok_or_else(|| "one of synced, buffered".to_owned())
}

impl ObjectArguments {
    /// The key as typed or decoded.
    ///
    /// # Errors
    /// It is no base64, empty or too long.
    pub fn key(&self) -> anyhow::Result<Key> {
        use base64::Engine as _;
        let bytes = if self.key_base64 {
            base64::engine::general_purpose::STANDARD.decode(&self.key)?
        } else {
            self.key.clone().into_bytes()
        };
        Ok(Key::new(bytes)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn a_value_may_begin_with_a_hyphen() {
        let arguments = Arguments::try_parse_from(["dynamo", "put", "b", "k", "-5"]).unwrap();
        let Command::Put(put) = arguments.command else { panic!("a put was typed") };
        assert_eq!(put.value, "-5");
    }
}
