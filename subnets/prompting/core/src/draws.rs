use serde::{Deserialize, Serialize};

/// Reproducible random numbers: SplitMix64, whose sequence is part of the file formats and never
/// changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Draws(u64);

impl Draws {
    /// Creates the sequence of a seed.
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Returns the next number.
    pub const fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Returns the next number below `bound`; 0 if `bound` is 0. The bias is below 2⁻³² for every
    /// bound of a program.
    pub fn below(&mut self, bound: usize) -> usize {
        let product = u128::from(self.next_u64()) * bound as u128;
        (product >> 64) as usize
    }

    /// Shuffles a slice: each order is equally likely (Fisher–Yates).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            let other = self.below(last + 1);
            items.swap(last, other);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_sequence_matches_the_published_algorithm() {
        let mut draws = Draws::new(1_234_567);
        let expected =
            [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423];
        assert_eq!(expected.map(|_| draws.next_u64()), expected);
    }

    #[test]
    fn bounded_numbers_are_below_their_bound_and_reach_all_values() {
        let mut draws = Draws::new(1);
        assert_eq!(draws.below(0), 0);
        for bound in 1..6 {
            let mut counts = vec![0; bound];
            for _ in 0..200 {
                counts[draws.below(bound)] += 1;
            }
            assert!(counts.iter().all(|count| *count > 0), "{bound}: {counts:?}");
        }
    }

    #[test]
    fn shuffle_yields_every_permutation() {
        let (mut draws, mut orders) = (Draws::new(1), std::collections::BTreeSet::new());
        for _ in 0..200 {
            let mut items = [1, 2, 3];
            draws.shuffle(&mut items);
            orders.insert(items);
        }
        assert_eq!(orders.len(), 6);
        draws.shuffle::<u8>(&mut []);
    }
}
