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

/// Base-two logarithm of the blowup factor: the length of a codeword divided by that of its message.
pub(super) const LOG_BLOWUP: usize = 2;
/// Number of queries: positions at which codewords are opened.
pub(super) const QUERIES: usize = 42;
/// Bits of the proof of work before the queries are drawn.
pub(super) const GRINDING_BITS: usize = 16;
/// Bits of security under the conjecture of the ethSTARK paper: [`LOG_BLOWUP`] bits for each query.
pub(super) const SECURITY_BITS: u32 = (LOG_BLOWUP * QUERIES + GRINDING_BITS) as u32;

/// Domain separator of the transcript.
const DOMAIN: &[u8] = b"taonet proof of inference, stark, 1";

fn fri() -> FriParameters<ChallengeMmcs> {
    FriParameters {
        log_blowup: LOG_BLOWUP,
        log_final_poly_len: 0,
        max_log_arity: 3,
        num_queries: QUERIES,
        batch_proof_of_work_bits: 0,
        commit_proof_of_work_bits: 0,
        query_proof_of_work_bits: GRINDING_BITS,
        mmcs: ChallengeMmcs::new(mmcs()),
    }
}

fn mmcs() -> ValMmcs {
    ValMmcs::new(SerializingHasher::new(Blake3), Compress::new(Blake3), 0)
}

pub(super) fn config() -> Config {
    let challenger = Challenger::new(HashChallenger::new(DOMAIN.to_vec(), Blake3));
    StarkConfig::new(Pcs::new(Radix2DitParallel::default(), mmcs(), fri()), challenger)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The library computes the documented number of security bits.
    #[test]
    fn parameters_give_a_hundred_bits() {
        assert_eq!(fri().conjectured_soundness_bits(), 100);
        assert_eq!(SECURITY_BITS, 100);
    }
}
