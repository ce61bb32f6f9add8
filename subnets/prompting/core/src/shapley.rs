//! Shapley values: what each miner contributes to coalitions.

use crate::Draws;

/// Maximum number of players for exact values, which need 2ⁿ coalitions: 4096.
pub const MAX_EXACT: usize = 12;
/// Number of sampled orders of more players. Each order values n coalitions.
const SAMPLED_ORDERS: usize = 512;

/// The synergy of two players: what they achieve together beyond the better of the two.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Synergy {
    /// The first player.
    pub first: usize,
    /// The second player, after the first.
    pub second: usize,
    /// Half of the surplus, which each of the two gets; never negative.
    pub share: f64,
}

/// Computes the Shapley value of each player: the mean of its marginal contribution over all orders
/// in which the players can join. `value` returns the value of a coalition, given by its members in
/// ascending order.
///
/// Up to [`MAX_EXACT`] players, the values are exact. For more, they are the mean over random
/// orders drawn from `seed`; as the exact values, they sum to the value of all players less that of
/// the empty coalition.
pub fn shapley_values(
    players: usize,
    seed: u64,
    mut value: impl FnMut(&[usize]) -> f64,
) -> Vec<f64> {
    if players <= MAX_EXACT {
        exact_values(players, &mut value)
    } else {
        sampled_values(players, seed, &mut value)
    }
}

/// Sums the marginal contributions over all coalitions, each weighted with |S|! (n − |S| − 1)! /
/// n!.
fn exact_values(players: usize, value: &mut impl FnMut(&[usize]) -> f64) -> Vec<f64> {
    let members =
        |mask: usize| (0..players).filter(|player| (mask >> player) & 1 == 1).collect::<Vec<_>>();
    let values: Vec<f64> = (0..(1_usize << players)).map(|mask| value(&members(mask))).collect();
    let coalition_value = |mask: usize| values.get(mask).copied().unwrap_or_default();
    let shares = order_shares(players);
    let contribution = |player: usize| {
        let coalitions_without = (0..values.len()).filter(|mask| (mask >> player) & 1 == 0);
        coalitions_without
            .map(|mask| {
                let share = shares.get(mask.count_ones() as usize).copied().unwrap_or_default();
                share * (coalition_value(mask | (1 << player)) - coalition_value(mask))
            })
            .sum()
    };
    (0..players).map(contribution).collect()
}

/// Returns s! (n − s − 1)! / n! for s = 0, …, n − 1: the share of orders in which a given set of s
/// players precedes a given player, and all others follow it.
fn order_shares(players: usize) -> Vec<f64> {
    let factorial = |number: usize| (1..=number).map(|factor| factor as f64).product::<f64>();
    (0..players)
        .map(|size| factorial(size) * factorial(players - size - 1) / factorial(players))
        .collect()
}

fn sampled_values(players: usize, seed: u64, value: &mut impl FnMut(&[usize]) -> f64) -> Vec<f64> {
    let (mut draws, mut sums) = (Draws::new(seed), vec![0.0; players]);
    let mut order: Vec<usize> = (0..players).collect();
    let empty_value = value(&[]);
    for _ in 0..SAMPLED_ORDERS {
        draws.shuffle(&mut order);
        let (mut coalition, mut before) = (Vec::<usize>::with_capacity(players), empty_value);
        for player in &order {
            let index = coalition.partition_point(|member| member < player);
            coalition.insert(index, *player);
            let after = value(&coalition);
            if let Some(sum) = sums.get_mut(*player) {
                *sum += after - before;
            }
            before = after;
        }
    }
    sums.into_iter().map(|sum| sum / SAMPLED_ORDERS as f64).collect()
}

/// Computes the synergy of each pair of players: the value of both together less that of the better
/// one, if it is positive, shared equally.
pub fn synergies(players: usize, mut value: impl FnMut(&[usize]) -> f64) -> Vec<Synergy> {
    let single_values: Vec<f64> = (0..players).map(|player| value(&[player])).collect();
    let mut synergies = Vec::new();
    for (first, one) in single_values.iter().enumerate() {
        for (second, other) in single_values.iter().enumerate().skip(first + 1) {
            let surplus = value(&[first, second]) - one.max(*other);
            synergies.push(Synergy { first, second, share: surplus.max(0.0) / 2.0 });
        }
    }
    synergies
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::NextTokenLosses;

    /// The definition: the mean of the marginal contributions over all orders.
    fn brute_force(players: usize, value: &dyn Fn(&[usize]) -> f64) -> Vec<f64> {
        fn orders(players: &[usize]) -> Vec<Vec<usize>> {
            if players.is_empty() {
                return vec![Vec::new()];
            }
            let first = |player: &usize| {
                let others: Vec<_> =
                    players.iter().copied().filter(|other| other != player).collect();
                orders(&others)
                    .into_iter()
                    .map(|rest| [vec![*player], rest].concat())
                    .collect::<Vec<_>>()
            };
            players.iter().flat_map(first).collect()
        }
        let sorted = |members: &[usize]| {
            let mut members = members.to_vec();
            members.sort_unstable();
            value(&members)
        };
        let orders = orders(&(0..players).collect::<Vec<_>>());
        let mut sums = vec![0.0; players];
        for order in &orders {
            for (position, player) in order.iter().enumerate() {
                sums[*player] += sorted(&order[..=position]) - sorted(&order[..position]);
            }
        }
        sums.into_iter().map(|sum| sum / orders.len() as f64).collect()
    }

    /// A value without any structure: a random number for each coalition, drawn from its members.
    fn arbitrary_value(coalition: &[usize]) -> f64 {
        let mask: u64 = coalition.iter().map(|member| 1_u64 << member).sum();
        Draws::new(mask).next_u64() as f64 / u64::MAX as f64
    }

    fn assert_close(actual: &[f64], expected: &[f64], tolerance: f64) {
        assert_eq!(actual.len(), expected.len());
        let is_close =
            actual.iter().zip(expected).all(|(one, other)| (one - other).abs() < tolerance);
        assert!(is_close, "{actual:?}, expected {expected:?}");
    }

    #[test]
    fn shapley_values_match_the_definition() {
        for players in 0..=7 {
            let values = shapley_values(players, 0, arbitrary_value);
            assert_close(&values, &brute_force(players, &arbitrary_value), 1e-9);
        }
    }

    #[test]
    fn shapley_values_of_four_miners_match_the_definition() {
        let probabilities = [vec![0.5, 0.2, 0.9], vec![0.4, 0.3, 0.1], vec![0.0, 0.9, 0.0], vec![]];
        let losses = NextTokenLosses::new(&probabilities, 3);
        let values = shapley_values(4, 0, |coalition| losses.value(coalition));
        assert_close(&values, &brute_force(4, &|coalition| losses.value(coalition)), 1e-9);
        assert!(values[0] > values[1] && values[3] < values[1], "{values:?}");
    }

    /// In a sum of strengths, each player's value is its strength.
    #[test]
    fn values_of_independent_players_are_their_strengths() {
        for players in [MAX_EXACT, MAX_EXACT + 1, 40] {
            let strengths: Vec<f64> = (0..players).map(|player| player as f64).collect();
            let values = shapley_values(players, 3, |coalition| {
                coalition.iter().map(|member| strengths[*member]).sum()
            });
            assert_close(&values, &strengths, 1e-6);
        }
    }

    /// The best answer counts: with strengths 1, 2, …, n in ascending order, the value of player k
    /// is the sum over j ≤ k of (strength of j − strength of j − 1) / (n − j).
    #[test]
    fn sampled_shapley_values_are_near_the_exact_ones() {
        let players = MAX_EXACT + 3;
        let best = |coalition: &[usize]| {
            coalition.iter().map(|member| *member as f64 + 1.0).fold(0.0, f64::max)
        };
        let expected: Vec<f64> = (0..players)
            .map(|player| (0..=player).map(|lower| 1.0 / (players - lower) as f64).sum())
            .collect();
        let values = shapley_values(players, 11, best);
        assert_close(&values, &expected, 0.6);
        let (sum, all) = (values.iter().sum::<f64>(), players as f64);
        assert!((sum - all).abs() < 1e-9, "{sum}");
        assert_close(&values, &shapley_values(players, 11, best), f64::MIN_POSITIVE);
    }

    #[test]
    fn synergy_is_half_of_the_surplus_over_the_better_player() {
        let value = |coalition: &[usize]| match coalition {
            [0] => 1.0,
            [1] | [0, 2] => 2.0,
            [2] => 3.0,
            [0, 1] => 2.5,
            [1, 2] => 4.0,
            _ => 0.0,
        };
        let expected = [(0, 1, 0.25), (0, 2, 0.0), (1, 2, 0.5)];
        let actual = synergies(3, value);
        assert_eq!(actual.len(), expected.len());
        for (synergy, (first, second, share)) in actual.iter().zip(expected) {
            assert_eq!((synergy.first, synergy.second), (first, second));
            assert!((synergy.share - share).abs() < 1e-12, "{synergy:?}");
        }
        assert!(synergies(1, value).is_empty());
    }
}
