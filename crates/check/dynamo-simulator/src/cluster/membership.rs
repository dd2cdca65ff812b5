//! What happens to members and settings during a run, and what all nodes know of them in the end.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};

use dynamo_checker::evidence::KnownOfCluster;
use dynamo_checker::history::HostIndex;
use dynamo_membership::gossip::fingerprint;
use dynamo_membership::{Liveness, Member};
use dynamo_messages::Request;
use dynamo_protocol::Announcement;
use dynamo_types::{Bucket, BucketSettings, NodeId, Profile};

use super::{Attempt, Cluster, Happening, Host};
use crate::markers::Marker;

/// Restarts in a thousand after which a node has another address.
const MOVES_PER_MILLE: u32 = 200;
/// Buckets that only the operator touches: settings of the clients' ones would change what clients
/// may expect.
const SPARE_BUCKETS: u64 = 3;
/// How often it is looked whether all agree.
const LOOK_EVERY: Duration = Duration::from_millis(500);

impl Cluster {
    /// The starting node may have come up on another machine. Says where it is.
    pub(super) fn announcement(&mut self, host: HostIndex) -> Announcement {
        if self.storm && self.fault_random.chance(MOVES_PER_MILLE) {
            self.markers.hit(Marker::RestartedElsewhere);
            self.host(host).moves += 1;
        }
        self.whereabouts(host)
    }

    /// What a node was last told to say of itself.
    fn whereabouts(&self, host: HostIndex) -> Announcement {
        let Host { id, moves, .. } = &self.hosts[host.index()];
        let mut all = self.config.members.iter().chain(&self.spares);
        let first = all.find(|member| member.node == *id);
        let first = Announcement::from(first.expect("every host is a member or a spare node"));
        if *moves == 0 {
            return first;
        }
        Announcement {
            address: format!("m{moves}.{}", first.address),
            http_address: format!("m{moves}.{}", first.http_address),
            ..first
        }
    }

    /// An operator sets a bucket at some node, and does not wait for the answer.
    pub(super) fn operator_sets_bucket(&mut self, host: HostIndex) {
        self.markers.hit(Marker::BucketSet);
        let number = self.fault_random.below(SPARE_BUCKETS);
        let n = self.options.replication;
        let profile = *self.fault_random.pick(&Profile::ALL);
        let mut settings = BucketSettings::of_profile(profile, n);
        let most = u64::from(n.get());
        settings.w = u8::try_from(self.fault_random.between(1, most)).expect("at most n");
        let bucket = Bucket::new(format!("spare.{number}")).expect("a good name");
        self.attempt_counter += 1;
        let attempt = self.attempt_counter;
        self.attempts.insert(attempt, Attempt { client: None, host, process: None });
        let request = Box::new(Request::PutBucket { bucket, settings });
        self.schedule(Duration::ZERO, Happening::RequestArrives { attempt, request });
    }

    /// The node told its shell what is known of a member.
    pub(super) fn member_told(&mut self, host: HostIndex, node: NodeId, member: &Member) {
        self.host(host).addresses.insert(node, member.details.address.clone());
    }

    /// What a node thinks of another one; nothing if it does not run.
    pub(crate) fn liveness(&self, observer: HostIndex, subject: HostIndex) -> Option<Liveness> {
        let machine = self.hosts[observer.index()].machine.as_ref()?;
        Some(machine.liveness(self.hosts[subject.index()].id))
    }

    /// How long after healing, and after the last time that a node got or handed over all that it was to,
    /// all must agree: links come back within seconds, a second's rhythm
    /// passes on what is known, and whoever is thought dead is greeted over its new link; what is
    /// left are suspicions that have to be refuted, at the pace of probes.
    fn agreement_within(&self) -> Duration {
        Duration::from_secs(20) + 20 * self.options.timing.probe_period
    }

    /// Waits until all nodes agree on members, buckets and who is up, and notes what they know.
    pub(super) fn await_agreement(&mut self) {
        let mut until = self.healed_at + self.agreement_within();
        let mut seen = BTreeSet::new();
        loop {
            let known = self.known_of_cluster();
            let before = seen.len();
            seen.extend(known.values().map(|known| known.members));
            // What members are only climbs, so this ends.
            if seen.len() > before {
                until = self.now + self.agreement_within();
            }
            let mut all = known.values();
            let agree = all
                .next()
                .is_none_or(|first| first.mistakes.is_empty() && all.all(|other| other == first));
            if agree || self.now >= until {
                self.evidence.known_of_cluster = known;
                return;
            }
            self.advance_to(self.now + LOOK_EVERY);
        }
    }

    fn known_of_cluster(&self) -> BTreeMap<HostIndex, KnownOfCluster> {
        let mut running: Vec<HostIndex> = self.serving_hosts();
        running.retain(|host| self.hosts[host.index()].machine.is_some());
        let known = running.iter().filter_map(|host| {
            let Host { machine, addresses, .. } = &self.hosts[host.index()];
            let machine = machine.as_ref()?;
            let mut mistakes = Vec::new();
            for other in &running {
                let node = self.hosts[other.index()].id;
                let liveness = machine.liveness(node);
                if liveness != Liveness::Up {
                    mistakes.push(format!("holds {other}, which runs, for {}", liveness.name()));
                }
                let (told, address) = (addresses.get(&node), self.whereabouts(*other).address);
                if told != Some(&address) {
                    mistakes.push(format!("looks for {other} at {told:?}, not at {address}"));
                }
            }
            let members = u128::from_be_bytes(fingerprint(machine.members()));
            let buckets = machine.buckets().fingerprint();
            Some((*host, KnownOfCluster { members, buckets, mistakes }))
        });
        known.collect()
    }
}
