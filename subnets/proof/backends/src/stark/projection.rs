//! The challenges of a proof that the constraints of its tables depend on.

use p3_field::PrimeCharacteristicRing as _;

use super::config::Challenge;

/// Number of coefficients in one row of the polynomials table. Like the other constants of this
/// module, it is part of format 4 of the verification key.
pub(super) const COEFFICIENTS_PER_ROW: usize = 16;
/// Number of weights in one row of the kernels table.
pub(super) const WEIGHTS_PER_ROW: usize = 32;
/// Maximum number of different gaps between the taps of all kernels.
pub(super) const MAX_GAPS: usize = 32;
/// Maximum degree of an equation in both challenges together. By the Schwartz–Zippel lemma,
/// a false one holds for at most this share of all pairs of challenges: the degree, divided by the
/// number of values of a challenge.
pub(super) const MAX_DEGREE: usize = 1 << 22;

/// Returns whether an equation's degree in both challenges together is below [`MAX_DEGREE`], given
/// the number of coefficients of an output and that of outputs. An output has as many coefficients
/// as fill its rows: those before its first one are free, too.
pub(super) const fn is_bounded(length: usize, outputs: usize) -> bool {
    length.next_multiple_of(COEFFICIENTS_PER_ROW) + outputs <= MAX_DEGREE
}

/// Powers of a challenge for a row of `N` coefficients.
#[derive(Clone, Copy, Debug)]
pub(super) struct RowPowers<const N: usize> {
    /// The power for each coefficient of a row, from its last coefficient to its first: 1, then the
    /// challenge, its square and so on.
    pub(super) coefficients: [Challenge; N],
    /// The power of the value before the row.
    pub(super) before: Challenge,
}

impl<const N: usize> RowPowers<N> {
    fn new(challenge: Challenge) -> Self {
        let mut next = Challenge::ONE;
        let coefficients = std::array::from_fn(|_| {
            let power = next;
            next *= challenge;
            power
        });
        Self { coefficients, before: next }
    }
}

/// Powers of the challenges at which polynomials are evaluated: `x` for the position in a plane,
/// `y` for the channel.
#[derive(Clone, Debug)]
pub(super) struct Powers {
    /// Powers of `x` for the polynomials table.
    pub(super) position: RowPowers<COEFFICIENTS_PER_ROW>,
    /// Powers of `y` for the kernels table.
    pub(super) channel: RowPowers<WEIGHTS_PER_ROW>,
    /// Powers of `y` for the operands table.
    pub(super) operand: RowPowers<COEFFICIENTS_PER_ROW>,
    /// The challenge `y`.
    pub(super) y: Challenge,
    /// Powers of `x` between two weights of a kernel.
    pub(super) gaps: Vec<Challenge>,
}

impl Powers {
    /// Computes the powers of the challenges `x` and `y`.
    pub(super) fn new([x, y]: [Challenge; 2], gaps: &[u32]) -> Self {
        Self {
            position: RowPowers::new(x),
            channel: RowPowers::new(y),
            operand: RowPowers::new(y),
            y,
            gaps: gaps.iter().map(|&gap| x.exp_u64(gap.into())).collect(),
        }
    }

    /// Returns powers of arbitrary numbers in place of challenges, from which the shape of the
    /// constraints is computed. A proof is never verified with these powers.
    pub(super) fn placeholder(gaps: &[u32]) -> Self {
        Self::new([Challenge::from_u32(2), Challenge::from_u32(3)], gaps)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Coefficients before an output's first one count, too.
    #[test]
    fn degree_includes_the_padding_of_rows() {
        assert!(is_bounded(MAX_DEGREE - COEFFICIENTS_PER_ROW, COEFFICIENTS_PER_ROW));
        assert!(!is_bounded(MAX_DEGREE - COEFFICIENTS_PER_ROW + 1, COEFFICIENTS_PER_ROW - 1));
        assert!(!is_bounded(MAX_DEGREE - 1, 1));
    }
}
