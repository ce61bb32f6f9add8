//! Seeded random numbers, so that a recording yields the same text in every run.

/// SplitMix64 (Steele, Lea and Flood, 2014).
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Draws an index with probability proportional to its weight.
    pub(super) fn choose(&mut self, weights: &[f32]) -> usize {
        let total: f64 = weights.iter().map(|weight| f64::from(*weight)).sum();
        let mut remaining = (self.next() >> 11) as f64 / (1u64 << 53) as f64 * total;
        let mut last = 0;
        for (index, &weight) in weights.iter().enumerate() {
            // Forbidden tokens have the smallest weight that the exponential yields.
            if weight > 1e-30 {
                last = index;
                remaining -= f64::from(weight);
                if remaining < 0.0 {
                    break;
                }
            }
        }
        last
    }
}
