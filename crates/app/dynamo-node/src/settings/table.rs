//! The list of all settings: key, form, default, reason, and how the text is understood.

use std::time::Duration;

use dynamo_types::limits::VALUE_BYTES_CEILING;

use super::{Given, Settings};

/// The form of a setting's value, which is also its unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A path, relative to the file that names it.
    Path,
    /// `address:port`, or `genesis`.
    Address,
    /// A word.
    Text,
    /// `true` or `false`.
    Boolean,
    /// A whole number of things.
    Count,
    /// A number of bytes, plain or with KiB, MiB, GiB.
    Bytes,
    /// A duration with its unit: `500ms`, `2s`, `10min`.
    Duration,
}

impl Kind {
    /// The name for people.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Path => "path",
            Self::Address => "address",
            Self::Text => "text",
            Self::Boolean => "boolean",
            Self::Count => "count",
            Self::Bytes => "bytes",
            Self::Duration => "duration",
        }
    }
}

/// One setting.
#[derive(Debug)]
pub struct Setting {
    /// Its name in the file: `table.key` or `key`.
    pub key: &'static str,
    /// Its form and unit.
    pub kind: Kind,
    /// Its default, as it would be written.
    pub default: &'static str,
    /// What it does and why the default is what it is.
    pub reason: &'static str,
    pub(crate) apply: fn(&mut Settings, Given<'_>) -> Result<(), String>,
}

impl Setting {
    /// The setting of that key.
    #[must_use]
    pub fn find(key: &str) -> Option<&'static Self> {
        SETTINGS.iter().find(|setting| setting.key == key)
    }

    /// Its environment variable.
    #[must_use]
    pub fn variable(&self) -> String {
        format!("DYNAMO_{}", self.key.replace('.', "_").to_ascii_uppercase())
    }
}

const MILLISECOND: Duration = Duration::from_millis(1);
const HOUR: Duration = Duration::from_secs(3600);
/// Beyond this the others would hold next to nothing.
const WEIGHT_MAX: u32 = 1_000_000;

const fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// All settings, in the order in which they are explained.
pub static SETTINGS: &[Setting] = &[
    Setting {
        key: "genesis",
        kind: Kind::Path,
        default: "genesis.toml",
        reason: "The file that began the cluster, the same on all members. A node without it \
                 serves nothing.",
        apply: |s, g| g.path().map(|v| s.genesis = v),
    },
    Setting {
        key: "identity",
        kind: Kind::Path,
        default: "identity",
        reason: "Directory of certificate.pem, key.pem and cluster-secret. Apart from the \
                 database, so that a node whose disk was lost keeps its place in the ring. The node \
                 leaves has-run there at its first start, and knows by it that a disk was lost.",
        apply: |s, g| g.path().map(|v| s.identity = v),
    },
    Setting {
        key: "data",
        kind: Kind::Path,
        default: "data",
        reason: "Directory of the database; made at the first start, and stamped with cluster and \
                 node so that no other node can use it.",
        apply: |s, g| g.path().map(|v| s.data = v),
    },
    Setting {
        key: "ready_file",
        kind: Kind::Path,
        default: "",
        reason: "If set, the addresses that were really taken are written here once the node \
                 listens, for programs that start nodes with port 0.",
        apply: |s, g| {
            s.ready_file = g.path_or_none();
            Ok(())
        },
    },
    Setting {
        key: "advertise.name",
        kind: Kind::Text,
        default: "",
        reason: "What people call this member from now on; if empty, what the genesis file says. \
                 The node tells the others.",
        apply: |s, g| g.name_or_none().map(|v| s.advertise.name = v),
    },
    Setting {
        key: "advertise.address",
        kind: Kind::Text,
        default: "",
        reason: "Where the others find this member, `host:port`, for one that was moved; if empty, \
                 where the genesis file says. The node tells the others.",
        apply: |s, g| g.host_and_port_or_none().map(|v| s.advertise.address = v),
    },
    Setting {
        key: "advertise.http_address",
        kind: Kind::Text,
        default: "",
        reason: "The same for HTTP.",
        apply: |s, g| g.host_and_port_or_none().map(|v| s.advertise.http_address = v),
    },
    Setting {
        key: "join.zone",
        kind: Kind::Text,
        default: "",
        reason: "The failure zone of a node that the genesis file does not name, as it first makes \
                 itself known; such a node needs this and all of `advertise`. Later changes: \
                 `dynamo cluster commit --zone`.",
        apply: |s, g| g.zone_or_none().map(|v| s.join.zone = v),
    },
    Setting {
        key: "join.weight",
        kind: Kind::Count,
        default: "1",
        reason: "The same for its capacity, relative to the others. Later changes: \
                 `dynamo cluster commit --weight`.",
        apply: |s, g| {
            let weight = g.integer(1..=WEIGHT_MAX.into())?;
            u32::try_from(weight).map(|v| s.join.weight = v).map_err(|error| error.to_string())
        },
    },
    Setting {
        key: "listen",
        kind: Kind::Address,
        default: "genesis",
        reason: "Where QUIC listens for nodes and native clients. `genesis` is where the others \
                 look for this member: as it advertises, or as the genesis file says. Another \
                 one serves behind an address translation.",
        apply: |s, g| g.address().map(|v| s.listen = v),
    },
    Setting {
        key: "http.address",
        kind: Kind::Address,
        default: "genesis",
        reason: "Where HTTP listens; port 0 takes any free one. An address that is not loopback \
                 needs `http.tokens` or `http.insecure`.",
        apply: |s, g| g.address().map(|v| s.http.address = v),
    },
    Setting {
        key: "http.insecure",
        kind: Kind::Boolean,
        default: "false",
        reason: "Serve HTTP without credentials on an address that is not loopback. Everybody who \
                 reaches the port can then read and write everything.",
        apply: |s, g| g.boolean().map(|v| s.http.insecure = v),
    },
    Setting {
        key: "http.header_timeout",
        kind: Kind::Duration,
        default: "10s",
        reason: "How long the head of a request may take from its first byte, so that half-sent \
                 requests do not pile up.",
        apply: |s, g| g.duration(MILLISECOND..=HOUR).map(|v| s.http.header_timeout = v),
    },
    Setting {
        key: "http.body_timeout",
        kind: Kind::Duration,
        default: "10s",
        reason: "How long a body may stand still while it is received, and a response while it is \
                 sent.",
        apply: |s, g| g.duration(MILLISECOND..=HOUR).map(|v| s.http.body_timeout = v),
    },
    Setting {
        key: "http.idle_timeout",
        kind: Kind::Duration,
        default: "75s",
        reason: "How long a connection may stay open without a request: a little longer than \
                 clients commonly keep one, so that they close first.",
        apply: |s, g| g.duration(MILLISECOND..=HOUR).map(|v| s.http.idle_timeout = v),
    },
    Setting {
        key: "http.connections_max",
        kind: Kind::Count,
        default: "1024",
        reason: "Connections served at once; more are closed at once. About 20 KiB each, and \
                 below the usual limit of open files.",
        apply: |s, g| g.count(1..=100_000).map(|v| s.http.connections_max = v),
    },
    Setting {
        key: "http.requests_max",
        kind: Kind::Count,
        default: "512",
        reason: "Requests served at once; more get 503 before their body is read. With the largest \
                 values this bounds the memory for bodies.",
        apply: |s, g| g.count(1..=100_000).map(|v| s.http.requests_max = v),
    },
    Setting {
        key: "quic.idle_timeout",
        kind: Kind::Duration,
        default: "3s",
        reason: "A connection without any packet for this long is dead: three keep-alives.",
        apply: |s, g| g.duration(seconds(1)..=seconds(60)).map(|v| s.quic_idle_timeout = v),
    },
    Setting {
        key: "quic.keep_alive",
        kind: Kind::Duration,
        default: "1s",
        reason: "How often a quiet connection is probed.",
        apply: |s, g| {
            g.duration(Duration::from_millis(100)..=seconds(30)).map(|v| s.quic_keep_alive = v)
        },
    },
    Setting {
        key: "native.requests_max",
        kind: Kind::Count,
        default: "1024",
        reason: "Requests of one native client under way at once; more are answered `overloaded`, \
                 so that one client cannot take the whole node.",
        apply: |s, g| g.count(1..=65_536).map(|v| s.native_requests_max = v),
    },
    Setting {
        key: "storage.cache_bytes",
        kind: Kind::Bytes,
        default: "128MiB",
        reason: "Cache of database blocks. What is not in it is read on a thread of its own.",
        apply: |s, g| g.bytes_in_memory(1 << 20..=1 << 40).map(|v| s.cache_bytes = v),
    },
    Setting {
        key: "storage.write_buffer_bytes",
        kind: Kind::Bytes,
        default: "64MiB",
        reason: "Writes that the database holds in memory, and in its log, before it writes a \
                 file: larger means fewer files and a longer recovery.",
        apply: |s, g| g.bytes_in_memory(1 << 20..=1 << 36).map(|v| s.write_buffer_bytes = v),
    },
    Setting {
        key: "storage.free_bytes_min",
        kind: Kind::Bytes,
        default: "256MiB",
        reason: "Writes are refused as `storage full` while the disk has less than this: room for \
                 the database to write out its buffer and merge files.",
        apply: |s, g| g.bytes(0..=1 << 50).map(|v| s.free_bytes_min = v),
    },
    Setting {
        key: "storage.read_threads",
        kind: Kind::Count,
        default: "4",
        reason: "Threads for reads that miss the cache: as many reads as a common disk answers \
                 side by side without slowing each.",
        apply: |s, g| g.count(1..=256).map(|v| s.read_threads = v),
    },
    Setting {
        key: "log.format",
        kind: Kind::Text,
        default: "text",
        reason: "`text` for people, `json` for programs; both go to standard error.",
        apply: |s, g| g.log_format().map(|v| s.log_format = v),
    },
    Setting {
        key: "log.filter",
        kind: Kind::Text,
        default: "info",
        reason: "Which lines are logged: a level, or `target=level` pairs with commas between.",
        apply: |s, g| g.log_filter().map(|v| s.log_filter = v),
    },
    Setting {
        key: "limits.value_bytes_max",
        kind: Kind::Bytes,
        default: "1MiB",
        reason: "Largest value of a put, the same on all members; 16MiB at most, because a frame \
                 must hold one.",
        apply: |s, g| {
            let ceiling = u64::try_from(VALUE_BYTES_CEILING).expect("16 MiB");
            g.bytes_in_memory(1..=ceiling).map(|v| s.limits.value_bytes_max = v)
        },
    },
    Setting {
        key: "limits.siblings_max",
        kind: Kind::Count,
        default: "100",
        reason: "A put is refused while its key holds this many siblings that it does not replace: \
                 a client that never sends contexts is stopped before its key becomes too large.",
        apply: |s, g| g.count(1..=10_000).map(|v| s.limits.siblings_max = v),
    },
    Setting {
        key: "limits.requests_max",
        kind: Kind::Count,
        default: "4096",
        reason: "Requests of clients that the node handles at once, HTTP and native together: at \
                 100 us each that many already wait 0.4 s.",
        apply: |s, g| g.count(1..=1_000_000).map(|v| s.requests_max = v),
    },
    Setting {
        key: "limits.bytes_in_flight_max",
        kind: Kind::Bytes,
        default: "256MiB",
        reason: "Bytes of values in requests and replica writes under way at once.",
        apply: |s, g| g.bytes_in_memory(1 << 20..=1 << 40).map(|v| s.bytes_in_flight_max = v),
    },
    Setting {
        key: "limits.retries_remembered_max",
        kind: Kind::Count,
        default: "250000",
        reason: "Recent puts remembered so that a retry makes no second version; about 100 bytes \
                 each.",
        apply: |s, g| g.count(0..=100_000_000).map(|v| s.retries_remembered_max = v),
    },
    Setting {
        key: "limits.hint_bytes_max",
        kind: Kind::Bytes,
        default: "1GiB",
        reason: "Hints kept on disk for nodes that cannot be reached. Beyond that a hint that counts \
                 towards w is refused, and beyond half of it one that does not.",
        apply: |s, g| g.bytes(0..=1 << 50).map(|v| s.hint_bytes_max = v),
    },
    Setting {
        key: "timing.request_timeout",
        kind: Kind::Duration,
        default: "2s",
        reason: "How long a request may take that brings no timeout of its own.",
        apply: |s, g| g.duration(MILLISECOND..=seconds(60)).map(|v| s.timing.request_timeout = v),
    },
    Setting {
        key: "timing.hop_timeout",
        kind: Kind::Duration,
        default: "500ms",
        reason: "How long a put that was handed to a replica waits before the next one is tried.",
        apply: |s, g| g.duration(MILLISECOND..=seconds(60)).map(|v| s.timing.hop_timeout = v),
    },
    Setting {
        key: "timing.stand_in_delay",
        kind: Kind::Duration,
        default: "500ms",
        reason: "How long a replica may leave a put unanswered before a fallback keeps a hint for \
                 it, and a get before another node is asked in its place: far longer than a sync \
                 takes, far shorter than a client waits.",
        apply: |s, g| g.duration(MILLISECOND..=seconds(60)).map(|v| s.timing.stand_in_delay = v),
    },
    Setting {
        key: "timing.anti_entropy_interval",
        kind: Kind::Duration,
        default: "10s",
        reason: "How often the roots of hash trees are compared with each other member: the longest \
                 time for which a difference that nothing else repairs stays unnoticed. A round of \
                 equal roots costs one message each way.",
        apply: |s, g| {
            let range = MILLISECOND * 100..=HOUR;
            g.duration(range).map(|v| s.timing.anti_entropy_interval = v)
        },
    },
    Setting {
        key: "timing.scrub_interval",
        kind: Kind::Duration,
        default: "1s",
        reason: "How often a page of 1,024 rows is read to compare it with its hash tree: a million \
                 rows take a quarter of an hour.",
        apply: |s, g| g.duration(MILLISECOND..=HOUR).map(|v| s.timing.scrub_interval = v),
    },
    Setting {
        key: "timing.hedge_delay_min",
        kind: Kind::Duration,
        default: "1ms",
        reason: "The least delay before a get asks one more replica; the real one follows the \
                 recent 95th percentile.",
        apply: |s, g| {
            g.duration(Duration::ZERO..=seconds(60)).map(|v| s.timing.hedge_delay_min = v)
        },
    },
    Setting {
        key: "timing.retry_window",
        kind: Kind::Duration,
        default: "10min",
        reason: "How long a put is remembered for retries.",
        apply: |s, g| g.duration(seconds(1)..=HOUR).map(|v| s.timing.retry_window = v),
    },
    Setting {
        key: "timing.checkpoint_interval",
        kind: Kind::Duration,
        default: "10s",
        reason: "How often the clocks of partitions are written down when they changed: more often \
                 costs writes, less often a longer recovery.",
        apply: |s, g| g.duration(MILLISECOND..=HOUR).map(|v| s.timing.checkpoint_interval = v),
    },
    Setting {
        key: "timing.read_repair_wait",
        kind: Kind::Duration,
        default: "100ms",
        reason: "How long a get that was answered still listens for late replicas before it \
                 repairs those that were behind.",
        apply: |s, g| {
            g.duration(Duration::ZERO..=seconds(60)).map(|v| s.timing.read_repair_wait = v)
        },
    },
    Setting {
        key: "timing.gossip_period",
        kind: Kind::Duration,
        default: "1s",
        reason: "How often one random other member is asked what it knows of members and buckets. \
                 Changes are passed on at once; this makes up for what was lost.",
        apply: |s, g| {
            g.duration(Duration::from_millis(10)..=HOUR).map(|v| s.timing.gossip_period = v)
        },
    },
    Setting {
        key: "timing.probe_period",
        kind: Kind::Duration,
        default: "300ms",
        reason: "How often one member is probed, so that failures are known to all within \
                 seconds. The same on all members, as are the two that follow.",
        apply: |s, g| {
            g.duration(Duration::from_millis(10)..=seconds(60)).map(|v| s.timing.probe_period = v)
        },
    },
    Setting {
        key: "timing.probe_timeout",
        kind: Kind::Duration,
        default: "100ms",
        reason: "How long the answer to a probe may take before other members are asked to try; at \
                 most a third of the period is used. Well above a round trip.",
        apply: |s, g| g.duration(MILLISECOND..=seconds(60)).map(|v| s.timing.probe_timeout = v),
    },
    Setting {
        key: "timing.suspicion_min",
        kind: Kind::Duration,
        default: "1500ms",
        reason: "The shortest time between a suspicion and the verdict that a member is down. \
                 Longer, and members that stall are called down less often, and the dead later.",
        apply: |s, g| g.duration(MILLISECOND..=HOUR).map(|v| s.timing.suspicion_min = v),
    },
    Setting {
        key: "timing.shutdown_grace",
        kind: Kind::Duration,
        default: "5s",
        reason: "How long requests under way may take after SIGTERM.",
        apply: |s, g| g.duration(Duration::ZERO..=HOUR).map(|v| s.shutdown_grace = v),
    },
];
