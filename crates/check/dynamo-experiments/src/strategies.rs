//! The three ways of Paper §6.2 to divide the ring, as far as load goes.
//!
//! Each gives the share of the ring that every node holds, all N copies counted; requests are spread
//! evenly over the ring, so that only placement decides who is busy.

use rand_core::Rng;

/// How many nodes hold how many copies.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    /// S.
    pub nodes: usize,
    /// N.
    pub replicas: usize,
}

/// Mean load of a node by the load of the busiest one: 1 is best (Paper §6.2).
#[must_use]
pub fn efficiency(loads: &[f64]) -> f64 {
    let busiest = loads.iter().copied().fold(0.0, f64::max);
    loads.iter().sum::<f64>() / loads.len() as f64 / busiest
}

/// Strategy 1: each node has random tokens, and a partition reaches from one token to the next.
pub fn random_partitions(size: Size, tokens_per_node: usize, rng: &mut impl Rng) -> Vec<f64> {
    let tokens = random_tokens(size, tokens_per_node, rng);
    let mut loads = vec![0.0; size.nodes];
    for (place, (position, _)) in tokens.iter().enumerate() {
        let before = if place == 0 { tokens[tokens.len() - 1].0 } else { tokens[place - 1].0 };
        let length = position.wrapping_sub(before) as f64 / 2f64.powi(64);
        hold(&mut loads, size, walk(&tokens, place), length);
    }
    loads
}

/// Strategy 2: equal partitions; each goes to the first N nodes that are met from its end on, among
/// random tokens.
pub fn equal_partitions(
    size: Size,
    tokens_per_node: usize,
    partitions: u64,
    rng: &mut impl Rng,
) -> Vec<f64> {
    let tokens = random_tokens(size, tokens_per_node, rng);
    let mut loads = vec![0.0; size.nodes];
    let length = u64::MAX / partitions;
    for partition in 0..partitions {
        let end = length * (partition + 1);
        let first = tokens.partition_point(|(position, _)| *position < end) % tokens.len();
        hold(&mut loads, size, walk(&tokens, first), 1.0 / partitions as f64);
    }
    loads
}

/// Strategy 3: as many equal partitions as tokens, dealt at random, each node as many as any other.
/// A partition goes to the first N nodes that are met from it on.
pub fn equal_tokens(size: Size, tokens_per_node: usize, rng: &mut impl Rng) -> Vec<f64> {
    let mut owners: Vec<(u64, usize)> =
        (0..size.nodes * tokens_per_node).map(|i| (0, i % size.nodes)).collect();
    for last in (1..owners.len()).rev() {
        owners.swap(last, below(rng, last + 1));
    }
    let mut loads = vec![0.0; size.nodes];
    for place in 0..owners.len() {
        hold(&mut loads, size, walk(&owners, place), 1.0 / owners.len() as f64);
    }
    loads
}

fn random_tokens(size: Size, tokens_per_node: usize, rng: &mut impl Rng) -> Vec<(u64, usize)> {
    let mut tokens: Vec<(u64, usize)> =
        (0..size.nodes * tokens_per_node).map(|i| (rng.next_u64(), i % size.nodes)).collect();
    tokens.sort_unstable();
    tokens
}

/// Once round the ring from a place.
fn walk(tokens: &[(u64, usize)], first: usize) -> impl Iterator<Item = usize> {
    tokens[first..].iter().chain(&tokens[..first]).map(|(_, node)| *node)
}

/// Gives the load to the first N distinct nodes.
fn hold(loads: &mut [f64], size: Size, nodes: impl Iterator<Item = usize>, load: f64) {
    let mut holders = Vec::with_capacity(size.replicas);
    for node in nodes {
        if !holders.contains(&node) {
            holders.push(node);
            loads[node] += load;
        }
        if holders.len() == size.replicas {
            break;
        }
    }
}

fn below(rng: &mut impl Rng, bound: usize) -> usize {
    let product = u128::from(rng.next_u64()) * bound as u128;
    usize::try_from(product >> 64).expect("the upper half is below the bound")
}

#[cfg(test)]
mod tests {
    use rand_core::SeedableRng;
    use rand_xoshiro::Xoshiro256PlusPlus;

    use super::*;

    const SIZE: Size = Size { nodes: 7, replicas: 3 };

    #[test]
    fn every_strategy_places_every_copy() {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(1);
        let all = [
            random_partitions(SIZE, 8, &mut rng),
            equal_partitions(SIZE, 8, 512, &mut rng),
            equal_tokens(SIZE, 8, &mut rng),
        ];
        for loads in all {
            assert!((loads.iter().sum::<f64>() - 3.0).abs() < 1e-9, "{loads:?}");
            assert!(loads.iter().all(|load| *load <= 1.0 + 1e-9), "a node holds nothing twice");
        }
    }

    #[test]
    fn one_equal_token_a_node_is_perfectly_even() {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(2);
        assert!((efficiency(&equal_tokens(SIZE, 1, &mut rng)) - 1.0).abs() < 1e-9);
        assert!((efficiency(&[1.0, 1.0, 2.0]) - 2.0 / 3.0).abs() < 1e-9);
    }
}
