//! The challenges of a proof that the constraints of its tables depend on.

use p3_field::PrimeCharacteristicRing as _;

use super::config::Challenge;

/// Number of coefficients in one row of the polynomials table.
pub(super) const COEFFICIENTS: usize = 16;
/// Number of weights in one row of the kernels table.
pub(super) const WEIGHTS: usize = 32;
/// Maximum number of different gaps between the taps of all kernels.
pub(super) const MAX_GAPS: usize = 32;
/// Maximum degree of an equation in both challenges together: a false one holds for at most this many values of each.
pub(super) const MAX_DEGREE: usize = 1 << 22;

/// Powers of the challenges at which polynomials are evaluated: `x` for the position in a plane, `y` for the channel.
#[derive(Clone, Debug)]
pub(super) struct Powers {
    /// Powers of `x` from 0 to [`COEFFICIENTS`].
    pub(super) position: Vec<Challenge>,
    /// Powers of `y` from 0 to [`WEIGHTS`].
    pub(super) channel: Vec<Challenge>,
    /// Powers of `x` between two weights of a kernel.
    pub(super) gaps: Vec<Challenge>,
}

impl Powers {
    /// Computes the powers of the challenges `x` and `y`.
    pub(super) fn new([x, y]: [Challenge; 2], gaps: &[u32]) -> Self {
        Self {
            position: x.powers().take(COEFFICIENTS + 1).collect(),
            channel: y.powers().take(WEIGHTS + 1).collect(),
            gaps: gaps.iter().map(|&gap| x.exp_u64(gap.into())).collect(),
        }
    }

    /// Returns the powers of arbitrary numbers, for the shape of the constraints before there are challenges.
    pub(super) fn placeholder(gaps: &[u32]) -> Self {
        Self::new([Challenge::from_u32(2), Challenge::from_u32(3)], gaps)
    }
}
