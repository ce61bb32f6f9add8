//! Parses weights and converts them to the chain's form.

use std::str::FromStr;

use anyhow::bail;
use serde_json::{Value, json};
use taonet_chain::weights::{self, WeightError, quantise, refusal};
use taonet_chain::{Client, WeightRow, WeightRules};
use taonet_cli_base::chain::{ExpectedRefusal, RateLimit, chain_error};
use taonet_cli_base::context::Context;
use taonet_cli_base::exit::ClassifiedError;
use taonet_primitives::{BlockNumber, MechId, NetUid, Uid, counted};

/// What the rate limit of weights limits. The chain counts the blocks from the neuron's last
/// submission, or from its registration.
const ACTIONS: &str = "two submissions of a neuron's weights (its registration counts as one)";

/// A uid and its weight, such as `3:0.5`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Pair {
    uid: Uid,
    weight: f64,
}

impl FromStr for Pair {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const EXPECTED: &str = "expected a uid and its weight, such as 3:0.5";
        let (uid, weight) = text.split_once([':', '=']).ok_or(EXPECTED)?;
        let uid = uid.parse().map_err(|_| EXPECTED)?;
        let weight: f64 = weight.parse().map_err(|_| EXPECTED)?;
        if weight.is_finite() && weight >= 0.0 {
            Ok(Self { uid, weight })
        } else {
            Err("expected a weight of 0 or more")
        }
    }
}

/// Converts weights to the chain's form, scaled to u16.
pub(super) fn weight_row(pairs: &[Pair]) -> anyhow::Result<WeightRow> {
    let weights: Vec<(Uid, f64)> = pairs.iter().map(|pair| (pair.uid, pair.weight)).collect();
    let row = quantise(&weights).map_err(|error| ClassifiedError::usage(error.to_string()))?;
    if row.is_empty() {
        return Err(ClassifiedError::usage("all weights are 0, which the chain rejects"));
    }
    Ok(row)
}

/// Returns the uids whose positive weights round to 0 parts of 65535, so that they get nothing.
pub(super) fn rounded_to_zero(pairs: &[Pair], row: &WeightRow) -> Vec<Uid> {
    let weights: Vec<(Uid, f64)> = pairs.iter().map(|pair| (pair.uid, pair.weight)).collect();
    weights::rounded_to_zero(&weights, row)
}

/// Prints a warning that names the uids of [`rounded_to_zero`].
pub(super) fn warn_of_zeros(uids: &[Uid], context: &Context) {
    if uids.is_empty() {
        return;
    }
    let names: Vec<_> = uids.iter().map(ToString::to_string).collect();
    context.print_notice(&format!(
        "warning: {} {} no weight: the weights given round to 0 of 65535\nhint: the largest weight becomes 65535; pass at \
         least 1/131070 of it",
        if uids.len() == 1 { "uid" } else { "uids" },
        format_args!("{} {}", names.join(", "), if uids.len() == 1 { "gets" } else { "get" }),
    ));
}

/// Returns why the rate limit does not let the neuron set or commit weights in the next block;
/// `None` if it does.
pub(super) async fn rate_limit_refusal(
    chain: &Client,
    (netuid, mech, uid): (NetUid, MechId, Uid),
    rules: &WeightRules,
    head: BlockNumber,
) -> anyhow::Result<Option<ExpectedRefusal>> {
    let index = json!(mech.storage_index(netuid));
    let updates = chain
        .storage("SubtensorModule", "LastUpdate", &[index], head.into())
        .await
        .map_err(chain_error)?;
    let last_block = updates.get(usize::from(uid.0)).and_then(Value::as_u64).unwrap_or_default();
    let error = if rules.commit_reveal.is_some() {
        "SubtensorModule.CommittingWeightsTooFast"
    } else {
        "SubtensorModule.SettingWeightsTooFast"
    };
    RateLimit { error, actions: ACTIONS }
        .expected_refusal(chain, last_block, rules.rate_limit_blocks, head)
        .await
}

/// Validates the weights of `uid` against the subnet's limits before submission.
pub(super) fn check_weights(
    row: &WeightRow,
    uid: Uid,
    mech: MechId,
    rules: &WeightRules,
) -> anyhow::Result<()> {
    if mech.0 >= rules.mechanisms {
        bail!(
            "--mech {mech} is out of range: the subnet has {}, numbered from 0",
            counted(rules.mechanisms, "incentive mechanism")
        );
    }
    if let Some(&(uid, _)) = row.iter().find(|(uid, _)| uid.0 >= rules.neurons) {
        return Err(WeightError::NoSuchNeuron { uid, neurons: rules.neurons }.into());
    }
    refusal(row, uid, rules).map_or(Ok(()), |error| Err(error.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_scaled_to_the_largest() {
        for (texts, expected) in [
            (&["0:1", "7:0.5", "3:0"][..], &[(0, 65_535), (7, 32_768)][..]),
            (&["5=0.000001"], &[(5, 65_535)]),
            // Rounds half to even, as the SDK does.
            (&["0:1", "1:6"], &[(0, 10_922), (1, 65_535)]),
            (&["1:1", "2:0.000001"], &[(1, 65_535)]),
        ] {
            let pairs: Vec<Pair> = texts.iter().map(|text| text.parse().unwrap()).collect();
            let expected: Vec<_> = expected.iter().map(|&(uid, parts)| (Uid(uid), parts)).collect();
            assert_eq!(weight_row(&pairs).unwrap(), expected, "{texts:?}");
        }
    }

    #[test]
    fn positive_weights_rounded_to_zero_are_listed() {
        for (texts, uids) in [
            (&["0:1", "1:0.000001", "2:0.5"][..], &[1][..]),
            (&["0:1", "1:0.0000077", "2:0"], &[]),
            (&["3:0.0000001", "0:1", "1:0.0000001"], &[3, 1]),
        ] {
            let pairs: Vec<Pair> = texts.iter().map(|text| text.parse().unwrap()).collect();
            let expected: Vec<Uid> = uids.iter().copied().map(Uid).collect();
            assert_eq!(
                rounded_to_zero(&pairs, &weight_row(&pairs).unwrap()),
                expected,
                "{texts:?}"
            );
        }
    }

    #[test]
    fn invalid_weight_pairs_are_refused() {
        for text in ["", "1", "1:", ":1", "-1:1", "70000:1", "1:x", "1:nan", "1:inf", "1:-1"] {
            assert!(text.parse::<Pair>().is_err(), "{text:?}");
        }
        for (texts, words) in
            [(&["1:1", "1:2"][..], "duplicate uid 1"), (&["1:0"], "all weights are 0")]
        {
            let pairs: Vec<Pair> = texts.iter().map(|text| text.parse().unwrap()).collect();
            assert!(weight_row(&pairs).unwrap_err().to_string().contains(words), "{texts:?}");
        }
    }
}
