//! The weights that follow from the rewards of all steps.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use taonet_primitives::{Hotkey, Uid, Weights};

/// The rewards of one step.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Event {
    /// The reward of each miner that was asked.
    pub rewards: Vec<EventReward>,
}

/// The reward of one miner in a step.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct EventReward {
    /// Uid of the miner.
    pub uid: Uid,
    /// Hotkey of the miner at the time of the step.
    pub hotkey: Hotkey,
    /// Share of the step's reward: one of [`crate::normalised_rewards`].
    pub share: f64,
}

/// Computes the weights from the history: the moving average of each hotkey's shares, in which the
/// newest share has the weight `alpha`, normalised to a sum of 1. A miner that was not asked in a
/// step keeps its average, also at another uid, and a new hotkey starts at 0. The weight of a uid
/// is that of its newest hotkey. Without a positive average, there are no weights.
pub fn compute_weights<'a>(events: impl IntoIterator<Item = &'a Event>, alpha: f64) -> Weights {
    let (mut averages, mut owners) =
        (BTreeMap::<Hotkey, f64>::new(), BTreeMap::<Uid, Hotkey>::new());
    for EventReward { uid, hotkey, share } in events.into_iter().flat_map(|event| &event.rewards) {
        if owners.get(uid) != Some(hotkey) {
            // A miner that has moved leaves its former uid.
            owners.retain(|_, owner| owner != hotkey);
            owners.insert(*uid, *hotkey);
        }
        let average = averages.entry(*hotkey).or_default();
        *average += alpha * (*share - *average);
    }
    let average = |hotkey: Hotkey| averages.get(&hotkey).copied().filter(|average| *average > 0.0);
    let positive_averages =
        owners.into_iter().filter_map(|(uid, hotkey)| Some((uid, average(hotkey)?)));
    let (uids, weights) = positive_averages.unzip();
    Weights { uids, weights }.normalised()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> Hotkey {
        Hotkey::from_bytes([byte; 32])
    }

    fn event(rewards: &[(u16, u8, f64)]) -> Event {
        let reward = |(uid, byte, share): &(u16, u8, f64)| EventReward {
            uid: Uid(*uid),
            hotkey: key(*byte),
            share: *share,
        };
        Event { rewards: rewards.iter().map(reward).collect() }
    }

    /// The definition for one miner that is asked in each step: Σ α (1 − α)^(steps since) · share,
    /// unnormalised.
    fn average(shares: &[f64], alpha: f64) -> f64 {
        let terms = shares.iter().rev().zip(0..);
        terms.map(|(share, since)| alpha * (1.0 - alpha).powi(since) * share).sum()
    }

    #[test]
    fn weights_are_normalised_moving_averages() {
        let (first, second) = ([0.75, 0.5, 1.0], [0.25, 0.5, 0.0]);
        for alpha in [0.01, 0.1, 1.0] {
            let steps = first.iter().zip(second);
            let events: Vec<_> =
                steps.map(|(one, other)| event(&[(3, 1, *one), (5, 2, other)])).collect();
            let (one, other) = (average(&first, alpha), average(&second, alpha));
            let weights = compute_weights(&events, alpha);
            assert!(
                (weights.of(Uid(3)) - one / (one + other)).abs() < 1e-9,
                "{alpha}: {weights:?}"
            );
            assert!(
                (weights.of(Uid(5)) - other / (one + other)).abs() < 1e-9,
                "{alpha}: {weights:?}"
            );
        }
    }

    /// Columns: steps · expected weights with α = 0.5
    #[test]
    fn average_belongs_to_the_hotkey_and_survives_absence() {
        for (steps, expected) in [
            (vec![], &[][..]),
            (vec![event(&[(0, 1, 0.0)])], &[]),
            // The second step asks uid 1 only: uid 0 keeps 0.5.
            (vec![event(&[(0, 1, 1.0)]), event(&[(1, 2, 1.0)])], &[(0, 0.5), (1, 0.5)]),
            // Hotkey 9 takes uid 0, whose average was 0.5, and has the share 0.2 of its first step.
            (
                vec![event(&[(0, 1, 1.0)]), event(&[(0, 9, 0.2), (1, 2, 0.8)])],
                &[(0, 0.2), (1, 0.8)],
            ),
            // It earns nothing: the average of its predecessor is gone.
            (vec![event(&[(0, 1, 1.0)]), event(&[(0, 9, 0.0), (1, 2, 1.0)])], &[(1, 1.0)]),
            // Hotkey 1 moves to uid 4 with its average of 0.5, of which 0.25 remains; hotkey 9
            // takes uid 0.
            (
                vec![event(&[(0, 1, 1.0)]), event(&[(0, 9, 0.5), (4, 1, 0.0)])],
                &[(0, 0.5), (4, 0.5)],
            ),
        ] {
            let weights = compute_weights(&steps, 0.5);
            assert_eq!(
                weights.uids,
                expected.iter().map(|(uid, _)| Uid(*uid)).collect::<Vec<_>>(),
                "{steps:?}"
            );
            for (uid, weight) in expected {
                assert!((weights.of(Uid(*uid)) - weight).abs() < 1e-9, "{steps:?}: {weights:?}");
            }
        }
    }
}
