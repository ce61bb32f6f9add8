//! Commitment schemes for columns: plain ones, and hiding ones, whose openings say nothing about
//! the columns.

use std::fmt::Debug;

use chacha20::ChaCha20Rng;
use p3_commit::{ExtensionMmcs, Pcs as CommitmentScheme, UnivariateStarkPcs};
use p3_dft::Radix2DitParallel;
use p3_field::BasedVectorSpace;
use p3_fri::{FriProverError, HidingFriPcs, HidingFriProverError};
use p3_matrix::Matrix as _;
use p3_matrix::bitrev::BitReversibleMatrix as _;
use p3_matrix::horizontally_truncated::HorizontallyTruncated;

use super::salted::SaltedMmcs;
use super::{
    Challenge, ChallengeMmcs, Challenger, FriPcs, Parameters, ProofRngs, Val, concatenate_columns,
    mmcs, os_rng,
};
use crate::Seed;

type SaltedChallengeMmcs = ExtensionMmcs<Val, Challenge, SaltedMmcs>;
type HidingPcs =
    HidingFriPcs<Val, Radix2DitParallel<Val>, SaltedMmcs, SaltedChallengeMmcs, ChaCha20Rng>;

/// Domain on which columns are polynomials.
pub(super) type Domain = <FriPcs as CommitmentScheme<Challenge, Challenger>>::Domain;
/// Commitment to columns.
pub(in super::super) type Root = <FriPcs as CommitmentScheme<Challenge, Challenger>>::Commitment;
/// Why openings are rejected.
pub(super) type Error = <FriPcs as CommitmentScheme<Challenge, Challenger>>::Error;
/// Committed columns.
pub(in super::super) type CommittedColumns<S> = <S as Scheme>::CommittedColumns;
/// Proof of openings.
pub(super) type OpeningProof<S> =
    <<S as Scheme>::Pcs as CommitmentScheme<Challenge, Challenger>>::Proof;
/// Values of committed columns on a domain.
pub(super) type Evaluations<'a, S> =
    <<S as Scheme>::Pcs as UnivariateStarkPcs<Challenge, Challenger>>::EvaluationsOnDomain<'a>;

/// Number of random columns beside those of each table. They mask the combination of all columns
/// in FRI, whose coefficients are challenges, so one is needed for each dimension of a challenge.
pub(super) const RANDOM_COLUMNS: usize = <Challenge as BasedVectorSpace<Val>>::DIMENSION;

/// A scheme that commits to the columns of tables: [`Plain`] or [`Hiding`].
pub(in super::super) trait Scheme: Clone + 'static {
    /// The commitment scheme.
    type Pcs: UnivariateStarkPcs<
            Challenge,
            Challenger,
            Domain = Domain,
            Commitment = Root,
            ProverData = Self::CommittedColumns,
            Error = Error,
            ProverError = Self::Failure,
        > + Clone
        + Send
        + Sync
        + 'static;
    /// Committed columns.
    type CommittedColumns: Send + Sync + 'static;
    /// Why columns cannot be committed or opened.
    type Failure: Debug + Send;

    /// Creates the commitment scheme, and that of the fixed columns if they have another one. The
    /// first commitment of the former is a function of the columns and the seed.
    ///
    /// # Errors
    /// When the operating system provides no random bytes.
    fn create(
        parameters: &Parameters,
        seed: &Seed,
    ) -> Result<(Self::Pcs, Option<Self::Pcs>), getrandom::Error>;

    /// Returns the columns of both side by side.
    fn join<'a>(left: Evaluations<'_, Self>, right: Evaluations<'_, Self>)
    -> Evaluations<'a, Self>;
}

/// Commits to columns as they are: openings are values of their polynomials.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Plain;

/// Commits to polynomials that have the values of a column in every second row and random values in
/// the other ones, and salts the leaves of all trees. Together with masks of the lookups' sums, a
/// proof then says nothing about the columns.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Hiding;

impl Scheme for Plain {
    type Pcs = FriPcs;
    type CommittedColumns = <FriPcs as CommitmentScheme<Challenge, Challenger>>::ProverData;
    type Failure = FriProverError;

    fn create(
        parameters: &Parameters,
        _: &Seed,
    ) -> Result<(FriPcs, Option<FriPcs>), getrandom::Error> {
        let fri = parameters.fri_parameters(ChallengeMmcs::new(mmcs()));
        Ok((FriPcs::new(Radix2DitParallel::default(), mmcs(), fri), None))
    }

    fn join<'a>(
        left: Evaluations<'_, Self>,
        right: Evaluations<'_, Self>,
    ) -> Evaluations<'a, Self> {
        let (left, right) = (left.bit_reverse_rows(), right.bit_reverse_rows());
        concatenate_columns(left.as_view(), right.as_view()).as_cow().bit_reverse_rows()
    }
}

impl Scheme for Hiding {
    type Pcs = HidingPcs;
    type CommittedColumns = <HidingPcs as CommitmentScheme<Challenge, Challenger>>::ProverData;
    type Failure = HidingFriProverError;

    fn create(
        parameters: &Parameters,
        seed: &Seed,
    ) -> Result<(HidingPcs, Option<HidingPcs>), getrandom::Error> {
        let transform = Radix2DitParallel::<Val>::default();
        let scheme = |mmcs: SaltedMmcs, values: ChaCha20Rng| {
            // No commitment to value columns depends on these salts.
            let fri =
                parameters.fri_parameters(SaltedChallengeMmcs::new(SaltedMmcs::hiding(os_rng()?)));
            let scheme = HidingPcs::new(transform.clone(), mmcs, fri, RANDOM_COLUMNS, values);
            Ok::<HidingPcs, getrandom::Error>(scheme)
        };
        let ProofRngs { values, salts, .. } = ProofRngs::from_seed(seed);
        let hiding = scheme(SaltedMmcs::hiding(salts), values)?;
        Ok((hiding, Some(scheme(SaltedMmcs::public()?, os_rng()?)?)))
    }

    /// Only tables with early columns need this, so a copy in the order that the view expects is
    /// cheap compared with their commitments.
    #[expect(clippy::expect_used, reason = "the view has all columns of its matrix")]
    fn join<'a>(
        left: Evaluations<'_, Self>,
        right: Evaluations<'_, Self>,
    ) -> Evaluations<'a, Self> {
        let (left, right) = (left.to_row_major_matrix(), right.to_row_major_matrix());
        let joined = concatenate_columns(left.as_view(), right.as_view());
        let width = joined.width;
        let reversed = joined.bit_reverse_rows().to_row_major_matrix();
        HorizontallyTruncated::new(reversed.as_cow().bit_reverse_rows(), width)
            .expect("as many columns as the matrix has")
    }
}

#[cfg(test)]
mod tests {
    use p3_commit::PolynomialSpace as _;
    use p3_field::{Field as _, PrimeCharacteristicRing as _};
    use p3_matrix::dense::RowMajorMatrix;
    use p3_uni_stark::StarkGenericConfig as _;

    use super::super::{Config, HIDING, commit};
    use super::*;

    const ROWS: usize = 128;

    fn config() -> Config<Hiding> {
        HIDING.config().unwrap()
    }

    fn zeros() -> RowMajorMatrix<Val> {
        RowMajorMatrix::new(Val::zero_vec(ROWS * 3), 3)
    }

    fn domain(config: &Config<Hiding>, size: usize) -> Domain {
        CommitmentScheme::<Challenge, Challenger>::natural_domain_for_degree(config.pcs(), size)
    }

    /// Commits to columns and returns their polynomials' values outside of the rows.
    fn codeword(config: &Config<Hiding>, columns: &RowMajorMatrix<Val>) -> (Root, Vec<Val>) {
        let (root, data) = commit(config, std::slice::from_ref(columns)).unwrap();
        let others = domain(config, ROWS).create_disjoint_domain(8 * ROWS);
        let values = UnivariateStarkPcs::<Challenge, Challenger>::get_evaluations_on_domain(
            config.pcs(),
            &data,
            0,
            others,
        );
        (root, values.to_row_major_matrix().values)
    }

    #[test]
    fn hidden_columns_are_random_outside_of_their_rows() {
        let config = config();
        let [(root, values), (other_root, others)] = [(); 2].map(|()| codeword(&config, &zeros()));
        let encode = |root: &Root| postcard::to_allocvec(root).unwrap();
        assert_ne!(encode(&root), encode(&other_root));
        assert_eq!(values.len(), 8 * ROWS * 3);
        // By chance, one of 2^31 values is zero, or the same in both.
        assert!(values.iter().filter(|value| value.is_zero()).count() < 3);
        assert!(values.iter().zip(&others).filter(|(value, other)| value == other).count() < 3);
    }

    #[test]
    fn commitment_of_fixed_columns_is_deterministic() {
        let root = |columns: RowMajorMatrix<Val>| {
            let config = config();
            let columns = [(domain(&config, 2 * ROWS), columns)];
            let (root, _) = UnivariateStarkPcs::<Challenge, Challenger>::commit_preprocessing(
                config.pcs(),
                columns,
            )
            .unwrap();
            postcard::to_allocvec(&root).unwrap()
        };
        assert_eq!(root(zeros()), root(zeros()));
        let mut other = zeros();
        other.values[ROWS] = Val::ONE;
        assert_ne!(root(other), root(zeros()));
    }
}
