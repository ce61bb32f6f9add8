//! Weights as people write them, and as the chain takes them.

use std::collections::HashSet;
use std::str::FromStr;

use taonet_primitives::Uid;

use crate::exit::{Classified, Failure};

/// A neuron and its weight, written `3:0.5`.
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
        if weight.is_finite() && weight >= 0.0 { Ok(Self { uid, weight }) } else { Err("a weight is 0 or more") }
    }
}

/// The largest weight becomes 65535, the others in proportion; what rounds to nothing is left out (spec §3.6).
pub(super) fn quantised(pairs: &[Pair]) -> anyhow::Result<Vec<(Uid, u16)>> {
    let mut seen = HashSet::new();
    if let Some(twice) = pairs.iter().find(|pair| !seen.insert(pair.uid)) {
        return Err(Classified::error(Failure::Usage, format!("uid {} has two weights", twice.uid)));
    }
    let largest = pairs.iter().map(|pair| pair.weight).fold(0.0, f64::max);
    if largest <= 0.0 {
        return Err(Classified::error(Failure::Usage, "all weights are 0: the chain takes no such weights"));
    }
    let parts = |pair: &Pair| (pair.uid, (pair.weight / largest * f64::from(u16::MAX)).round() as u16);
    Ok(pairs.iter().map(parts).filter(|(_, parts)| *parts > 0).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_scaled_to_the_largest() {
        for (texts, expected) in [
            (&["0:1", "7:0.5", "3:0"][..], &[(0, 65_535), (7, 32_768)][..]),
            (&["5=0.000001"], &[(5, 65_535)]),
            (&["1:1", "2:0.000001"], &[(1, 65_535)]),
        ] {
            let pairs: Vec<Pair> = texts.iter().map(|text| text.parse().unwrap()).collect();
            let expected: Vec<_> = expected.iter().map(|&(uid, parts)| (Uid(uid), parts)).collect();
            assert_eq!(quantised(&pairs).unwrap(), expected, "{texts:?}");
        }
    }

    #[test]
    fn each_mistake_is_named() {
        for text in ["", "1", "1:", ":1", "-1:1", "70000:1", "1:x", "1:nan", "1:inf", "1:-1"] {
            assert!(text.parse::<Pair>().is_err(), "{text:?}");
        }
        for (texts, words) in [(&["1:1", "1:2"][..], "uid 1 has two weights"), (&["1:0"], "all weights are 0")] {
            let pairs: Vec<Pair> = texts.iter().map(|text| text.parse().unwrap()).collect();
            assert!(quantised(&pairs).unwrap_err().to_string().contains(words), "{texts:?}");
        }
    }
}
