//! Parameters of the proof system.

use p3_batch_stark::{BatchProof, CommonData, ProverData};
use p3_blake3::Blake3;
use p3_challenger::{HashChallenger, SerializingChallenger32};
use p3_commit::ExtensionMmcs;
use p3_dft::Radix2DitParallel;
use p3_field::extension::BinomialExtensionField;
use p3_fri::{FriParameters, TwoAdicFriPcs};
use p3_koala_bear::KoalaBear;
use p3_merkle_tree::MerkleTreeMmcs;
use p3_symmetric::{CompressionFunctionFromHasher, SerializingHasher};
use p3_uni_stark::StarkConfig;

/// The base field: integers modulo 2^31 - 2^24 + 1.
pub(super) type Val = KoalaBear;
/// The extension field of the challenges: 124 bits.
pub(super) type Challenge = BinomialExtensionField<Val, 4>;
type Compress = CompressionFunctionFromHasher<Blake3, 2, 32>;
type ValMmcs = MerkleTreeMmcs<Val, u8, SerializingHasher<Blake3>, Compress, 2, 32>;
type ChallengeMmcs = ExtensionMmcs<Val, Challenge, ValMmcs>;
type Challenger = SerializingChallenger32<Val, HashChallenger<u8, Blake3, 32>>;
type Pcs = TwoAdicFriPcs<Val, Radix2DitParallel<Val>, ValMmcs, ChallengeMmcs>;
pub(super) type Config = StarkConfig<Pcs, Challenge, Challenger>;
pub(super) type Proof = BatchProof<Config>;
pub(super) type Common = CommonData<Config>;
pub(super) type Prepared = ProverData<Config>;

/// Base-two logarithm of the minimum number of rows of a table.
pub(super) const MIN_LOG_ROWS: usize = 4;
/// Base-two logarithm of the maximum number of rows of a table.
pub(super) const MAX_LOG_ROWS: usize = 22;
/// Maximum number of inputs and of outputs of a tile.
pub(super) const MAX_TILE_SIDE: usize = 16;
/// Bits of security for the largest permitted circuit, under the conjecture that no attack on FRI is better than the
/// known ones. A test computes them for all [`RELEASED`] parameters.
pub(super) const SECURITY_BITS: u32 = 100;

/// Parameters of the proof system for one format of the verification key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Parameters {
    /// Format of the verification key.
    pub(super) format: u32,
    /// Domain separator of the transcript.
    domain: &'static [u8],
    /// Base-two logarithm of the blowup factor: the length of a codeword divided by that of its message. The smallest
    /// factor makes proving fastest; it permits constraints up to degree 3 and needs the most queries.
    log_blowup: usize,
    /// Base-two logarithm of the length of the last polynomial, which a proof contains in full. Every table is longer.
    log_final_length: usize,
    /// Base-two logarithm of the number of values that one folding step combines.
    log_arity: usize,
    /// Number of queries: positions at which codewords are opened.
    queries: usize,
    grinding: Grinding,
}

/// Bits of the proofs of work before the verifier's challenges. Each raises the security of its own step: these steps
/// lose security with the size of the circuit, which no number of queries compensates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Grinding {
    /// Bits of work before the challenges that compress lookups.
    lookups: usize,
    /// Bits of work before the point at which the constraints are evaluated.
    point: usize,
    /// Bits of work before the challenge that combines all openings.
    openings: usize,
    /// Bits of work before the challenge of each folding step.
    folding: usize,
    /// Bits of work before the queries.
    queries: usize,
}

/// Parameters of every released key format, oldest first. A row never changes, so that old proofs still verify. The
/// last row is for new keys.
static RELEASED: [Parameters; 1] = [CURRENT];

/// Parameters of new keys.
pub(super) const CURRENT: Parameters = Parameters {
    format: 3,
    domain: b"taonet proof of inference, stark, 3",
    log_blowup: 1,
    log_final_length: MIN_LOG_ROWS - 1,
    log_arity: 3,
    queries: 87,
    grinding: Grinding { lookups: 8, point: 2, openings: 11, folding: 4, queries: 16 },
};

impl Parameters {
    /// Returns the parameters of a key format; `None` for an unknown format.
    pub(super) fn of(format: u32) -> Option<&'static Self> {
        RELEASED.iter().find(|released| released.format == format)
    }

    /// Creates the proof system.
    pub(super) fn config(&self) -> Config {
        let challenger = Challenger::new(HashChallenger::new(self.domain.to_vec(), Blake3));
        StarkConfig::new(Pcs::new(Radix2DitParallel::default(), mmcs(), self.fri()), challenger)
            .with_lookup_proof_of_work_bits(self.grinding.lookups)
            .with_ood_proof_of_work_bits(self.grinding.point)
    }

    fn fri(&self) -> FriParameters<ChallengeMmcs> {
        FriParameters {
            log_blowup: self.log_blowup,
            log_final_poly_len: self.log_final_length,
            max_log_arity: self.log_arity,
            num_queries: self.queries,
            batch_proof_of_work_bits: self.grinding.openings,
            commit_proof_of_work_bits: self.grinding.folding,
            query_proof_of_work_bits: self.grinding.queries,
            mmcs: ChallengeMmcs::new(mmcs()),
        }
    }
}

fn mmcs() -> ValMmcs {
    ValMmcs::new(SerializingHasher::new(Blake3), Compress::new(Blake3), 0)
}

#[cfg(test)]
mod security;
