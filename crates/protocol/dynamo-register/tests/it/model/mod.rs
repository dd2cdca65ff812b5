//! A cluster of acceptors, two drivers, one put and one get, in every order that can happen.
//!
//! A message that was sent stays in the network: it may arrive late, twice, behind others, or never.
//! A store may be lost by a restart. What data there is is one bit a node: whether it has the put's
//! version. The checker walks all states within the bounds of a [`Scope`].

mod act;
mod cluster;
mod properties;
mod scope;

pub(crate) use cluster::{Action, Cluster};
#[cfg(not(planted_bugs))]
pub(crate) use properties::{NO_OTHER_WINS, ONE_SET, READ_SEES_PUT};
#[cfg(planted_bugs)]
pub(crate) use scope::Begun;
#[cfg(not(planted_bugs))]
pub(crate) use scope::Mistake;
pub(crate) use scope::{Scope, set};

use stateright::{Checker, HasDiscoveries, Model, Property};

impl Model for Scope {
    type State = Cluster;
    type Action = Action;

    fn init_states(&self) -> Vec<Cluster> {
        vec![Cluster::new(self)]
    }

    fn actions(&self, state: &Cluster, actions: &mut Vec<Action>) {
        // A vote is over when it is committed; data is looked at until all have heard of that.
        let is_over = state.movers.iter().any(|mover| mover.driver.known().epoch.number > 1);
        if self.requests || !is_over {
            actions.extend(state.actions(self));
        }
    }

    fn next_state(&self, state: &Cluster, action: Action) -> Option<Cluster> {
        let mut next = state.clone();
        // Most of what arrives tells nobody anything.
        (next.act(self, action) && next != *state).then_some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        properties::all(self)
    }
}

/// Walks a scope until all was seen or so many states were made. Returns the property that was found to
/// be broken, if one was, with the actions that break it.
pub(crate) fn broken(name: &str, scope: Scope, states_max: usize) -> Option<(&'static str, usize)> {
    let checker = scope
        .checker()
        .threads(2)
        .finish_when(HasDiscoveries::AnyFailures)
        .target_state_count(states_max)
        .spawn_bfs()
        .join();
    let (unique, made) = (checker.unique_state_count(), checker.state_count());
    let is_all = made < states_max && checker.is_done() && checker.discoveries().len() == 1;
    let all = if is_all { "all" } else { "the first" };
    println!("{name}: {all} {unique} states, {made} made, depth {}", checker.max_depth());
    let discoveries = checker.discoveries();
    let is_wished = |name: &&str| *name == properties::COMMITTED;
    assert!(!discoveries.is_empty(), "{name}: no move ends");
    let found = discoveries.into_iter().find(|(found, _)| !is_wished(found));
    found.map(|(found, path)| {
        let actions = path.into_actions();
        println!("{name}: not {found}: {actions:#?}");
        (found, actions.len())
    })
}
