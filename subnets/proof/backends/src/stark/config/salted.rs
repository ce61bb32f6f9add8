//! Merkle trees whose leaves have salts.
//!
//! A leaf of a plain tree is the hash of a row. Whoever guesses a row that a proof does not open
//! can compare it with the row's hash, which can be part of an authentication path. A random salt
//! in each row prevents that.
//!
//! The salts of fixed columns are zero: these columns are public, and their commitment is the
//! verification key, which must follow from the network.

use chacha20::ChaCha20Rng;
use p3_blake3::Blake3;
use p3_commit::{BatchOpening, BatchOpeningRef, Mmcs};
use p3_field::PrimeCharacteristicRing as _;
use p3_matrix::dense::RowMajorMatrix;
use p3_matrix::stack::HorizontalPair;
use p3_matrix::{Dimensions, Matrix};
use p3_merkle_tree::MerkleTreeHidingMmcs;
use p3_symmetric::SerializingHasher;

use super::{Compress, Val, ValMmcs, mmcs, os_rng};

/// Number of field elements in a salt: 124 bits.
const SALT: usize = 4;

type Salted =
    MerkleTreeHidingMmcs<Val, u8, SerializingHasher<Blake3>, Compress, ChaCha20Rng, 2, 32, SALT>;

/// Commitments by Merkle trees with salts. Only new commitments differ between random salts and
/// zeros: both are opened and verified in the same way.
#[derive(Clone)]
pub(in super::super) struct SaltedMmcs {
    salted: Salted,
    /// The tree over rows that already have their salts.
    tree: ValMmcs,
    /// Whether the salts of new commitments are random.
    is_random: bool,
}

impl SaltedMmcs {
    /// Creates the commitments of columns that a proof hides, with a generator of their salts.
    pub(super) fn hiding(salts: ChaCha20Rng) -> Self {
        let salted = Salted::new(SerializingHasher::new(Blake3), Compress::new(Blake3), 0, salts);
        Self { salted, tree: mmcs(), is_random: true }
    }

    /// Creates the commitments of public columns.
    ///
    /// # Errors
    /// When the operating system provides no random bytes.
    pub(super) fn public() -> Result<Self, getrandom::Error> {
        Ok(Self { is_random: false, ..Self::hiding(os_rng()?) })
    }
}

impl Mmcs<Val> for SaltedMmcs {
    type ProverData<M> = <Salted as Mmcs<Val>>::ProverData<M>;
    type Commitment = <Salted as Mmcs<Val>>::Commitment;
    type Proof = <Salted as Mmcs<Val>>::Proof;
    type MultiProof = <Salted as Mmcs<Val>>::MultiProof;
    type Error = <Salted as Mmcs<Val>>::Error;

    fn commit<M: Matrix<Val>>(&self, columns: Vec<M>) -> (Self::Commitment, Self::ProverData<M>) {
        if self.is_random {
            return self.salted.commit(columns);
        }
        let unsalted = columns.into_iter().map(|columns| {
            let salts = Val::zero_vec(columns.height() * SALT);
            HorizontalPair::new::<Val>(columns, RowMajorMatrix::new(salts, SALT))
        });
        self.tree.commit(unsalted.collect())
    }

    fn open_batch<M: Matrix<Val>>(
        &self,
        index: usize,
        data: &Self::ProverData<M>,
    ) -> BatchOpening<Val, Self> {
        let (values, proof) = self.salted.open_batch::<M>(index, data).unpack();
        BatchOpening::new(values, proof)
    }

    fn get_matrices<'a, M: Matrix<Val>>(&self, data: &'a Self::ProverData<M>) -> Vec<&'a M> {
        self.salted.get_matrices::<M>(data)
    }

    fn verify_batch(
        &self,
        commitment: &Self::Commitment,
        dimensions: &[Dimensions],
        index: usize,
        opening: BatchOpeningRef<'_, Val, Self>,
    ) -> Result<(), Self::Error> {
        let (values, proof) = opening.unpack();
        let opening = BatchOpeningRef::new(values, proof);
        self.salted.verify_batch(commitment, dimensions, index, opening)
    }

    fn open_multi_batch<M: Matrix<Val>>(
        &self,
        indices: &[usize],
        data: &Self::ProverData<M>,
    ) -> (Vec<Vec<Vec<Val>>>, Self::MultiProof) {
        self.salted.open_multi_batch::<M>(indices, data)
    }

    fn verify_multi_batch<R: AsRef<[Val]> + PartialEq>(
        &self,
        commitment: &Self::Commitment,
        dimensions: &[Dimensions],
        indices: &[usize],
        values: &[Vec<R>],
        proof: &Self::MultiProof,
    ) -> Result<(), Self::Error> {
        self.salted.verify_multi_batch(commitment, dimensions, indices, values, proof)
    }
}
