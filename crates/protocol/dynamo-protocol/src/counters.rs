//! What a node counts.

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// Counts since the start of the process. Each name is also the metric's, between
        /// `dynamo_` and `_total`.
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
        pub struct Counters {
            $($(#[$doc])* pub $name: u64,)*
        }

        impl Counters {
            /// All counters with their names.
            pub fn each(&self) -> impl Iterator<Item = (&'static str, u64)> {
                [$((stringify!($name), self.$name),)*].into_iter()
            }
        }
    };
}

counters! {
    /// Gets that this node coordinated.
    gets_coordinated,
    /// Puts and deletes that this node coordinated.
    puts_coordinated,
    /// Puts handed to a replica.
    puts_forwarded,
    /// Listings that this node coordinated.
    lists_coordinated,
    /// Questions for what the replicas of an object have, that this node coordinated.
    explanations_coordinated,
    /// Gets whose replicas held different versions.
    gets_that_differed,
    /// Gets that were answered with several siblings.
    gets_with_siblings,
    /// Gets whose quorum could not be reached.
    gets_failed,
    /// Puts that reached their quorum.
    puts_stored,
    /// Puts that failed for certain.
    puts_failed,
    /// Puts whose outcome is unknown.
    puts_unknown,
    /// Requests refused before any work because too many were under way.
    requests_refused_overload,
    /// Requests refused for what they ask.
    requests_refused_invalid,
    /// Contexts that were garbled, foreign or for another key.
    contexts_refused,
    /// Retries that found their version made before.
    retries_recognised,
    /// Additional replicas asked because a get took longer than usual.
    hedges_sent,
    /// Hedges that were wanted beyond the budget.
    hedges_refused,
    /// Repair messages sent after a get.
    read_repairs_sent,
    /// Writes of other nodes stored here, or found obsolete.
    replica_writes,
    /// Hints that this node took for others.
    hints_kept,
    /// Hints refused because their space was full.
    hints_refused,
    /// Hints that their targets have taken.
    hints_delivered,
    /// Fallbacks asked to stand in for a replica that did not answer.
    stand_ins_asked,
    /// Copies of partitions found to lack what they acknowledged.
    partitions_incomplete,
    /// Times this node's disk was found older than what it had reported.
    rollbacks_noticed,
    /// Clock reports that came after a later one of the same member, and did not count.
    reports_overtaken,
    /// Rows that the scrub has read.
    rows_scrubbed,
    /// Leaves of hash trees that did not sum up what their rows hold, corrected.
    leaves_corrected,
    /// Records whose versions were all deleted everywhere, removed.
    records_collected,
    /// Contexts cut down to what is needed.
    contexts_cut,
    /// Versions left out of an answer because a replica had collected them.
    versions_left_out,
    /// Versions that arrived after they were replaced.
    versions_obsolete,
    /// Versions that the clock has, that nothing replaced, and that are not there: lost here.
    versions_lost,
    /// Rows whose checksum was wrong.
    rows_damaged,
    /// Rows that could not be read.
    loads_failed,
    /// Stores refused for a full disk or queue.
    stores_refused,
    /// Stores whose outcome is unknown: the node takes no more writes.
    stores_failed,
    /// Journal rows or checkpoints that could not be read at the start.
    meta_rows_damaged,
    /// Clock checkpoints written.
    checkpoints,
    /// Messages of peers that made no sense here.
    messages_refused,
    /// Connections of members that broke.
    peers_lost,
    /// Changes of what is known of the members.
    members_changed,
    /// Messages about members that were damaged or cannot be; nothing of them was taken over.
    gossip_refused,
    /// Datagrams that were damaged, came from strangers or make no sense.
    datagrams_refused,
    /// Members that seemed to be down from some moment on.
    members_judged_down,
    /// Times that the others had judged this node down, and it went on.
    called_down,
    /// Requests that were sent again or begun anew because a register had moved.
    requests_stale,
    /// Steps of registers that this node learned of.
    registers_changed,
    /// Moves of partitions that this node began to drive.
    moves_begun,
    /// Moves that this node drove to their end.
    moves_ended,
    /// Moves that could not be proposed.
    moves_refused,
    /// Wanted layouts that this node made anew, because they counted on nodes that are on their way out.
    plans_renewed,
    /// Partitions whose holders this node named by force.
    moves_forced,
    /// Records of partitions that are no longer this node's, offered to their members.
    leftovers_offered,
    /// Copies of partitions that this node removed because they are no longer its own.
    copies_wiped,
}
