//! The scenarios: which faults come.

/// What may happen to processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProcessFault {
    /// SIGKILL to one node, and a start some time later.
    Kill,
    /// SIGKILL to two nodes, each started some time later.
    KillTwo,
    /// SIGSTOP to one node, for 1 to 20 seconds.
    Pause,
    /// SIGSTOP to two nodes at once.
    PauseTwo,
    /// SIGKILL to all nodes in one moment, and a start of all: as if the power had gone, but for what
    /// the system still writes.
    KillAll,
    /// One node after the other is killed and started.
    Roll,
    /// SIGKILL to one node, its disk emptied, and a start.
    Wipe,
}

/// What may happen to the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NetworkFault {
    /// What one node sends to another is lost, not the other way round.
    CutOneWay,
    /// What one node sends is lost, wherever it goes.
    Mute,
    /// What is sent to one node is lost, whoever sends.
    Deafen,
    /// Two nodes cannot reach each other; both reach the others.
    CutPair,
    /// The nodes fall into a majority and a minority.
    Split,
    /// 5 to 30 % of all packets are lost, on all links or around one node.
    Lose,
    /// Packets take 50 to 500 ms, overtake each other and come twice.
    Delay,
    /// Loss and delay together.
    Muddle,
}

/// A run's faults, by name.
#[derive(Debug, Clone, Copy)]
pub struct Scenario {
    /// Its name.
    pub name: &'static str,
    /// What happens, for people.
    pub about: &'static str,
    /// Faults of processes, one at a time.
    pub process: &'static [ProcessFault],
    /// Faults of the network, one at a time, beside those of processes.
    pub network: &'static [NetworkFault],
}

/// All of them.
pub const ALL: [Scenario; 7] = [
    Scenario {
        name: "kill",
        about: "nodes are killed and start again",
        process: &[ProcessFault::Kill, ProcessFault::Kill, ProcessFault::KillTwo],
        network: &[],
    },
    Scenario {
        name: "pause",
        about: "nodes stand still for seconds and go on as if nothing had been",
        process: &[ProcessFault::Pause, ProcessFault::Pause, ProcessFault::PauseTwo],
        network: &[],
    },
    Scenario {
        name: "cut",
        about: "links are cut, one way or between some",
        process: &[],
        network: &[
            NetworkFault::CutOneWay,
            NetworkFault::Mute,
            NetworkFault::Deafen,
            NetworkFault::CutPair,
        ],
    },
    Scenario {
        name: "isolate",
        about: "the nodes fall into a majority and a minority",
        process: &[],
        network: &[NetworkFault::Split],
    },
    Scenario {
        name: "lossy",
        about: "packets are lost, late, doubled and out of order",
        process: &[],
        network: &[NetworkFault::Lose, NetworkFault::Delay, NetworkFault::Muddle],
    },
    Scenario {
        name: "storm",
        about: "all nodes are killed, at once or one after the other",
        process: &[ProcessFault::KillAll, ProcessFault::KillAll, ProcessFault::Roll],
        network: &[],
    },
    Scenario {
        name: "mixed",
        about: "everything, processes and network at the same time",
        process: &[
            ProcessFault::Kill,
            ProcessFault::KillTwo,
            ProcessFault::Pause,
            ProcessFault::KillAll,
        ],
        network: &[
            NetworkFault::CutOneWay,
            NetworkFault::Mute,
            NetworkFault::Deafen,
            NetworkFault::CutPair,
            NetworkFault::Split,
            NetworkFault::Lose,
            NetworkFault::Delay,
            NetworkFault::Muddle,
        ],
    },
];

impl Scenario {
    /// The scenario of that name.
    #[must_use]
    pub fn of_name(name: &str) -> Option<Self> {
        ALL.into_iter().find(|scenario| scenario.name == name)
    }
}
