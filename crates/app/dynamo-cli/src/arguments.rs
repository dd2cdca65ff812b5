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
    /// Shows the members; with a command, plans and makes changes of them.
    Cluster(ClusterArguments),
    /// Shows the moves under way.
    Transfers(TransfersArguments),
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

/// `dynamo cluster`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct ClusterArguments {
    /// What to do; without it, the members are shown.
    #[command(subcommand)]
    pub command: Option<ClusterCommand>,
    /// Prints JSON.
    #[arg(long)]
    pub json: bool,
}

/// What to do with the members.
#[derive(Debug, Subcommand)]
pub enum ClusterCommand {
    /// Says what a change would mean, and does nothing. Without a change: what is still to be done,
    /// or better.
    Plan(PlanArguments),
    /// Plans a change and makes it.
    Commit(CommitArguments),
    /// Stops all moves that are not decided.
    Cancel(JsonArguments),
    /// Goes on without nodes that are gone for good, where they were the majority of a replica set.
    Force(ForceArguments),
}

/// Changes of the members. Nodes are named by their name or id; every option may repeat.
#[derive(Debug, Args, Clone)]
pub struct ChangeArguments {
    /// A node that has started and made itself known gets its share.
    #[arg(long, value_name = "NODE")]
    pub join: Vec<String>,
    /// A node hands over what it has, and is removed then.
    #[arg(long, value_name = "NODE")]
    pub leave: Vec<String>,
    /// A node is gone for good: it is removed at once, and nobody waits for what it has.
    #[arg(long, value_name = "NODE")]
    pub remove: Vec<String>,
    /// NEW joins, and OLD leaves, or is removed if it is down.
    #[arg(long, value_name = "OLD=NEW", value_parser = pair)]
    pub replace: Vec<(String, String)>,
    /// A node's capacity, relative to the others, at least 1.
    #[arg(long, value_name = "NODE=WEIGHT", value_parser = weight)]
    pub weight: Vec<(String, u32)>,
    /// A node's failure zone.
    #[arg(long, value_name = "NODE=ZONE", value_parser = pair)]
    pub zone: Vec<(String, String)>,
}

/// `dynamo cluster plan`.
#[derive(Debug, Args)]
pub struct PlanArguments {
    /// What would change.
    #[command(flatten)]
    pub change: ChangeArguments,
    /// Prints JSON.
    #[arg(long)]
    pub json: bool,
}

/// `dynamo cluster commit`.
#[derive(Debug, Args)]
pub struct CommitArguments {
    /// What shall change.
    #[command(flatten)]
    pub change: ChangeArguments,
    /// The id of the plan that was looked at: only this one is committed, without asking.
    #[arg(long, value_name = "ID", value_parser = plan_id)]
    pub plan: Option<u128>,
    /// Does not ask.
    #[arg(long, short = 'y')]
    pub yes: bool,
    /// Prints JSON.
    #[arg(long)]
    pub json: bool,
}

/// `dynamo cluster force`.
#[derive(Debug, Args)]
pub struct ForceArguments {
    /// These nodes are gone for good. What was acknowledged by them alone is lost until they return.
    #[arg(long, value_name = "NODE", required = true, num_args = 1..)]
    pub given_up: Vec<String>,
    /// Does not ask.
    #[arg(long, short = 'y')]
    pub yes: bool,
    /// Prints JSON.
    #[arg(long)]
    pub json: bool,
}

/// `dynamo transfers`.
#[derive(Debug, Args)]
pub struct TransfersArguments {
    /// Goes on until nothing moves any more.
    #[arg(long, short = 'w')]
    pub watch: bool,
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

fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((first, second)) if !first.is_empty() && !second.is_empty() => {
            Ok((first.to_owned(), second.to_owned()))
        }
        _ => Err("two words with = between them".to_owned()),
    }
}

fn weight(text: &str) -> Result<(String, u32), String> {
    let (node, weight) = pair(text)?;
    match weight.parse() {
        Ok(weight) if weight >= 1 => Ok((node, weight)),
        _ => Err("a weight is a whole number, at least 1".to_owned()),
    }
}

fn plan_id(text: &str) -> Result<u128, String> {
    let malformed = || "a plan's id is 32 hexadecimal digits".to_owned();
    if text.len() != 32 || !text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return Err(malformed());
    }
    u128::from_str_radix(text, 16).map_err(|_| malformed())
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

    fn cluster(arguments: &[&str]) -> Result<ClusterArguments, clap::Error> {
        let typed = ["dynamo", "cluster"].iter().chain(arguments);
        let Command::Cluster(cluster) = Arguments::try_parse_from(typed)?.command else {
            panic!("a command about the cluster was typed")
        };
        Ok(cluster)
    }

    #[test]
    fn the_members_are_shown_without_a_command() {
        let cluster = cluster(&["--json"]).unwrap();
        assert!(cluster.command.is_none() && cluster.json);
    }

    #[test]
    fn changes_repeat_and_what_they_need_is_checked() {
        let arguments =
            ["commit", "--join", "a", "--join", "b", "--replace", "c=d", "--weight", "a=2"];
        let Some(ClusterCommand::Commit(commit)) = cluster(&arguments).unwrap().command else {
            panic!("a commit was typed")
        };
        assert_eq!(commit.change.join, ["a", "b"]);
        assert_eq!(commit.change.replace, [("c".to_owned(), "d".to_owned())]);
        assert_eq!(commit.change.weight, [("a".to_owned(), 2)]);
        for wrong in [
            &["plan", "--replace", "c"][..],
            &["plan", "--replace", "=d"],
            &["plan", "--weight", "a=0"],
            &["plan", "--zone", "a="],
            &["commit", "--plan", "beef"],
            &["commit", "--plan", "+feed00000000000000000000000beef"],
            &["force"],
            &["--json", "plan"],
        ] {
            assert!(cluster(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_value_may_begin_with_a_hyphen() {
        let arguments = Arguments::try_parse_from(["dynamo", "put", "b", "k", "-5"]).unwrap();
        let Command::Put(put) = arguments.command else { panic!("a put was typed") };
        assert_eq!(put.value, "-5");
    }
}
