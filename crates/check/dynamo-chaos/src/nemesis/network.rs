//! Cuts, splits, loss and delay.

use std::sync::Arc;
use std::time::Duration;

use dynamo_checker::history::HostIndex;
use dynamo_simulator::random::Stream;
use tokio::time::Instant as Deadline;

use super::{Journal, calm, draw_nodes, last};
use crate::clock;
use crate::cluster::nodes;
use crate::proxy::{Proxy, Rule};
use crate::scenario::NetworkFault;

/// How long a fault of the network lasts: shorter and longer than a connection lives without a sign
/// of life, which is three seconds.
const LASTS: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(8));

/// Hurts the network.
#[derive(Debug)]
pub struct NetworkNemesis {
    proxy: Arc<Proxy>,
    random: Stream,
    journal: Journal,
}

impl NetworkNemesis {
    /// A nemesis that has done nothing yet.
    #[must_use]
    pub fn new(proxy: Arc<Proxy>, seed: u64, journal: Journal) -> Self {
        Self { proxy, random: Stream::new(seed, "network faults"), journal }
    }

    /// Hurts the network in one way after the other until the time is up, and leaves it as it is.
    pub async fn run(mut self, faults: &[NetworkFault], until: Deadline) {
        while !faults.is_empty() && calm(&mut self.random, until).await {
            let fault = *self.random.pick(faults);
            let (name, what) = self.begin(fault);
            let time = self.random.duration_by_magnitude(LASTS.0, LASTS.1);
            self.journal.fault(name, &format!("{what} for {time:?}"));
            last(time, until).await;
            if clock::now() < until {
                self.proxy.heal();
                self.journal.note("the network is whole");
            }
        }
    }

    fn begin(&mut self, fault: NetworkFault) -> (&'static str, String) {
        match fault {
            NetworkFault::CutOneWay => {
                let (from, to) = self.two();
                self.proxy.set_rule(from, to, Rule::CUT);
                ("cut one way", format!("nothing passes from {from} to {to}"))
            }
            NetworkFault::CutPair => {
                let (one, other) = self.two();
                self.proxy.set_rule(one, other, Rule::CUT);
                self.proxy.set_rule(other, one, Rule::CUT);
                ("cut pair", format!("nothing passes between {one} and {other}"))
            }
            NetworkFault::Mute => {
                let (node, _) = self.two();
                self.set(Rule::CUT, |from, _| from == node);
                ("mute", format!("nothing passes from {node}"))
            }
            NetworkFault::Deafen => {
                let (node, _) = self.two();
                self.set(Rule::CUT, |_, to| to == node);
                ("deafen", format!("nothing passes to {node}"))
            }
            NetworkFault::Split => {
                let size = usize::try_from(self.random.between(1, 2)).expect("one or two");
                let minority = draw_nodes(&mut self.random, size);
                self.set(Rule::CUT, |from, to| minority.contains(&from) != minority.contains(&to));
                ("split", format!("{minority:?} cut off from the others"))
            }
            NetworkFault::Lose => {
                let rule = Rule { loss_per_mille: self.draw_loss(), ..Rule::CLEAR };
                ("loss", self.somewhere(rule))
            }
            NetworkFault::Delay => {
                let rule = self.draw_delay();
                ("delay", self.somewhere(rule))
            }
            NetworkFault::Muddle => {
                let loss_per_mille = self.draw_loss();
                let rule = Rule { loss_per_mille, ..self.draw_delay() };
                ("muddle", self.somewhere(rule))
            }
        }
    }

    fn two(&mut self) -> (HostIndex, HostIndex) {
        let drawn = draw_nodes(&mut self.random, 2);
        (drawn[0], drawn[1])
    }

    fn draw_loss(&mut self) -> u32 {
        u32::try_from(self.random.between(50, 300)).expect("per mille")
    }

    fn draw_delay(&mut self) -> Rule {
        let most = self.random.between(50, 500);
        let least = self.random.between(0, most);
        let per_mille = |random: &mut Stream| u32::try_from(random.below(200)).expect("per mille");
        Rule {
            delay: (Duration::from_millis(least), Duration::from_millis(most)),
            reorder_per_mille: per_mille(&mut self.random),
            duplicate_per_mille: per_mille(&mut self.random),
            ..Rule::CLEAR
        }
    }

    /// On all links, or on those of one node.
    fn somewhere(&mut self, rule: Rule) -> String {
        let Rule { loss_per_mille, delay, reorder_per_mille, duplicate_per_mille, .. } = rule;
        let what = format!(
            "of a thousand packets {loss_per_mille} lost, {reorder_per_mille} overtaken, \
             {duplicate_per_mille} doubled, all {delay:?} late"
        );
        if self.random.chance(500) {
            self.set(rule, |_, _| true);
            return format!("{what}, everywhere");
        }
        let (node, _) = self.two();
        self.set(rule, |from, to| from == node || to == node);
        format!("{what}, around {node}")
    }

    fn set(&self, rule: Rule, affects: impl Fn(HostIndex, HostIndex) -> bool) {
        for from in nodes() {
            for to in nodes().filter(|to| *to != from && affects(from, *to)) {
                self.proxy.set_rule(from, to, rule);
            }
        }
    }
}
