//! Parameters of the proof system.

mod salted;
mod scheme;
mod staged;

use chacha20::ChaCha20Rng;
use chacha20::rand_core::SeedableRng as _;
use p3_batch_stark::{BatchProof, CommonData, ProverData};
use p3_blake3::Blake3;
use p3_challenger::{
    CanObserve as _, FieldChallenger as _, HashChallenger, SerializingChallenger32,
};
use p3_commit::{ExtensionMmcs, Pcs};
use p3_dft::Radix2DitParallel;
use p3_field::extension::BinomialExtensionField;
use p3_fri::{FriParameters, TwoAdicFriPcs};
use p3_koala_bear::KoalaBear;
use p3_matrix::Matrix as _;
use p3_matrix::dense::{RowMajorMatrix, RowMajorMatrixView};
use p3_merkle_tree::MerkleTreeMmcs;
use p3_symmetric::{CompressionFunctionFromHasher, SerializingHasher};
use p3_uni_stark::{StarkConfig, StarkGenericConfig as _};

use crate::Seed;
pub(super) use scheme::{CommittedColumns, Hiding, Plain, Root, Scheme};
pub(super) use staged::EarlyColumns;
use staged::StagedPcs;

/// The base field: integers modulo 2^31 - 2^24 + 1.
pub(super) type Val = KoalaBear;
/// The extension field of the challenges: 124 bits.
pub(super) type Challenge = BinomialExtensionField<Val, 4>;
type Compress = CompressionFunctionFromHasher<Blake3, 2, 32>;
type ValMmcs = MerkleTreeMmcs<Val, u8, SerializingHasher<Blake3>, Compress, 2, 32>;
type ChallengeMmcs = ExtensionMmcs<Val, Challenge, ValMmcs>;
type Challenger = SerializingChallenger32<Val, HashChallenger<u8, Blake3, 32>>;
type FriPcs = TwoAdicFriPcs<Val, Radix2DitParallel<Val>, ValMmcs, ChallengeMmcs>;
pub(super) type Config<S> = StarkConfig<StagedPcs<S>, Challenge, Challenger>;
pub(super) type Proof<S> = BatchProof<Config<S>>;
pub(super) type Common<S> = CommonData<Config<S>>;
pub(super) type Prepared<S> = ProverData<Config<S>>;

/// Base-two logarithm of the minimum number of rows of a table, unless proofs hide its columns.
pub(super) const MIN_LOG_ROWS: usize = 4;
/// Base-two logarithm of the maximum number of rows of a table, unless proofs hide its columns or
/// the circuit is a [`LARGE`] one.
pub(super) const MAX_LOG_ROWS: usize = 22;
/// Maximum number of inputs and of outputs of a tile.
pub(super) const MAX_TILE_SIDE: usize = 16;
/// Bits of security for the largest permitted circuit, under the conjecture that no attack on FRI
/// is better than the known ones. A test computes them for all [`RELEASED`] parameters.
pub(super) const SECURITY_BITS: u32 = 100;

/// Parameters of the proof system for one format of the verification key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Parameters {
    /// Format of the verification key.
    pub(super) format: u32,
    /// Domain separator of the transcript.
    domain: &'static [u8],
    /// Whether proofs hide the value columns: their scheme is [`Hiding`], not [`Plain`].
    pub(super) hides_values: bool,
    /// Whether the inputs are among the hidden columns.
    pub(super) hides_inputs: bool,
    /// Base-two logarithms of the minimum and the maximum number of rows of a table.
    pub(super) log_rows: [usize; 2],
    /// Base-two logarithm of the blowup factor: the length of a codeword divided by that of its
    /// message. The smallest factor makes proving fastest; it permits constraints up to degree 3
    /// and needs the most queries.
    log_blowup: usize,
    /// Base-two logarithm of the length of the last polynomial, which a proof contains in full.
    /// Every table is longer.
    log_final_length: usize,
    /// Base-two logarithm of the number of values that one folding step combines.
    log_arity: usize,
    /// Number of queries: positions at which codewords are opened.
    queries: usize,
    grinding: Grinding,
}

/// Bits of the proofs of work before the verifier's challenges. Each raises the security of its own
/// step: these steps lose security with the size of the circuit, which no number of queries
/// compensates.
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

/// Parameters of every released key format, oldest first. A row never changes, so that old proofs
/// still verify.
static RELEASED: [Parameters; 6] = [TILES, POLYNOMIALS, HIDING, LARGE, HIDING_INPUTS, BOUNDED];

/// Parameters of keys of circuits that multiply in tiles only.
pub(super) const TILES: Parameters = Parameters {
    format: 3,
    domain: b"taonet proof of inference, stark, 3",
    hides_values: false,
    hides_inputs: false,
    log_rows: [MIN_LOG_ROWS, MAX_LOG_ROWS],
    log_blowup: 1,
    log_final_length: MIN_LOG_ROWS - 1,
    log_arity: 3,
    queries: 87,
    grinding: Grinding { lookups: 8, point: 2, openings: 11, folding: 4, queries: 16 },
};

/// Parameters of keys of circuits with products of polynomials. They have more lookups, for which
/// more work before the challenges makes up.
pub(super) const POLYNOMIALS: Parameters = Parameters {
    format: 4,
    domain: b"taonet proof of inference, stark, 4",
    grinding: Grinding { lookups: 9, point: 2, openings: 11, folding: 4, queries: 16 },
    ..TILES
};

/// Parameters of keys of circuits whose proofs hide the values between inputs and outputs. A column
/// of `n` rows is committed with `n` random values, as a polynomial of degree `2n - 1`:
///
/// - A proof discloses a value of each column for each query, and four for each of two points. The
///   random values must be twice as many, so a table has at least 2^7 rows.
/// - Quotients of constraints up to degree 4 fit into codewords with a blowup factor of 4. With it,
///   half as many queries are as secure.
/// - The field has subgroups of up to 2^24 elements, so a table has at most 2^21 rows.
/// - More openings and longer codewords need more work before their challenges.
pub(super) const HIDING: Parameters = Parameters {
    format: 5,
    domain: b"taonet proof of inference, stark, 5",
    hides_values: true,
    log_rows: [7, MAX_LOG_ROWS - 1],
    log_blowup: 2,
    queries: 44,
    grinding: Grinding { lookups: 9, point: 3, openings: 13, folding: 5, queries: 16 },
    ..TILES
};

/// Parameters of keys of circuits whose weights do not fit into [`MAX_LOG_ROWS`] rows, such as
/// language models. The field has subgroups of up to 2^24 elements, so the longest codewords, twice
/// as long as a table, are the longest that there are. A table with twice the rows loses a bit at
/// every challenge whose error grows with the rows; a bit more work before each of them makes up
/// for it. Each table counts towards the limit on multiplicities of the lookups, which prover and
/// verifier of the proof system compute from its rows: their sum stays below the field's order.
pub(super) const LARGE: Parameters = Parameters {
    format: 6,
    domain: b"taonet proof of inference, stark, 6",
    log_rows: [MIN_LOG_ROWS, MAX_LOG_ROWS + 1],
    grinding: Grinding { lookups: 10, point: 3, openings: 12, folding: 5, queries: 16 },
    ..POLYNOMIALS
};

/// Parameters of keys of circuits whose proofs hide the inputs, too. They are those of [`HIDING`]
/// with one more table, that of the inputs.
pub(super) const HIDING_INPUTS: Parameters = Parameters {
    format: 7,
    domain: b"taonet proof of inference, stark, 7",
    hides_inputs: true,
    ..HIDING
};

/// Parameters of keys of [`LARGE`] circuits whose clamps have a limited interval of quotients.
pub(super) const BOUNDED: Parameters =
    Parameters { format: 8, domain: b"taonet proof of inference, stark, 8", ..LARGE };

/// The newest format of a key.
pub(super) const NEWEST_FORMAT: u32 = BOUNDED.format;

impl Parameters {
    /// Returns the parameters of a key format; `None` for an unknown format.
    pub(super) fn of(format: u32) -> Option<&'static Self> {
        RELEASED.iter().find(|released| released.format == format)
    }

    /// Creates the proof system.
    ///
    /// # Errors
    /// When the operating system provides no random bytes.
    pub(super) fn config<S: Scheme>(&self) -> Result<Config<S>, getrandom::Error> {
        self.config_with_seed(&Seed::random()?)
    }

    /// Creates the proof system for one proof whose commitments to value columns follow from a
    /// seed.
    ///
    /// # Errors
    /// When the operating system provides no random bytes for a scheme that needs them.
    pub(super) fn config_with_seed<S: Scheme>(
        &self,
        seed: &Seed,
    ) -> Result<Config<S>, getrandom::Error> {
        let challenger = Challenger::new(HashChallenger::new(self.domain.to_vec(), Blake3));
        let (values, fixed) = S::create(self, seed)?;
        Ok(self.config_with(StagedPcs::new(values, fixed), challenger))
    }

    fn config_with<S: Scheme>(&self, pcs: StagedPcs<S>, challenger: Challenger) -> Config<S> {
        StarkConfig::new(pcs, challenger)
            .with_lookup_proof_of_work_bits(self.grinding.lookups)
            .with_ood_proof_of_work_bits(self.grinding.point)
    }

    /// Absorbs public values and the commitment to the early columns, and draws the challenges that
    /// may depend on them. Returns the challenges, and the proof system for the remaining proof:
    /// its transcript continues from here.
    pub(super) fn second_stage<S: Scheme>(
        &self,
        config: &Config<S>,
        early: EarlyColumns<S>,
        public_values: &[Val],
    ) -> ([Challenge; 2], Config<S>) {
        let mut challenger = config.initialise_challenger();
        challenger.observe_slice(public_values);
        challenger.observe(early.root.clone());
        let challenges = [(); 2].map(|()| challenger.sample_algebra_element());
        (challenges, self.config_with(config.pcs().with_early(early), challenger))
    }

    fn fri_parameters<M>(&self, mmcs: M) -> FriParameters<M> {
        FriParameters {
            log_blowup: self.log_blowup,
            log_final_poly_len: self.log_final_length,
            max_log_arity: self.log_arity,
            num_queries: self.queries,
            batch_proof_of_work_bits: self.grinding.openings,
            commit_proof_of_work_bits: self.grinding.folding,
            query_proof_of_work_bits: self.grinding.queries,
            mmcs,
        }
    }
}

/// Commits to columns of several tables.
pub(super) fn commit<S: Scheme>(
    config: &Config<S>,
    columns: &[RowMajorMatrix<Val>],
) -> Result<(Root, CommittedColumns<S>), S::Failure> {
    let pcs = config.pcs();
    let domain = |height: usize| {
        Pcs::<Challenge, Challenger>::natural_domain_for_degree(pcs, height << config.is_zk())
    };
    let domains_and_columns =
        columns.iter().map(|columns| (domain(columns.height()), columns.clone()));
    Pcs::<Challenge, Challenger>::commit(pcs, domains_and_columns)
}

/// Returns a random number generator seeded by the operating system.
///
/// # Errors
/// When the operating system provides no random bytes.
fn os_rng() -> Result<ChaCha20Rng, getrandom::Error> {
    Ok(ChaCha20Rng::from_seed(*Seed::random()?.as_bytes()))
}

/// Random number generators of one proof.
pub(super) struct ProofRngs {
    /// Generator of the random values and columns beside those of the tables.
    values: ChaCha20Rng,
    /// Generator of the salts of rows.
    salts: ChaCha20Rng,
    /// Generator of the masks of the lookups' sums.
    pub(super) masks: ChaCha20Rng,
}

impl ProofRngs {
    /// Returns the generators that follow from a seed. Their order is part of the format of keys
    /// whose proofs hide the inputs: a seed opens a commitment only if it gives the same numbers.
    pub(super) fn from_seed(seed: &Seed) -> Self {
        let mut seeds = ChaCha20Rng::from_seed(*seed.as_bytes());
        let [values, salts, masks] = [(); 3].map(|()| ChaCha20Rng::from_rng(&mut seeds));
        Self { values, salts, masks }
    }
}

/// Returns the columns of both matrices side by side.
pub(super) fn concatenate_columns(
    left: RowMajorMatrixView<'_, Val>,
    right: RowMajorMatrixView<'_, Val>,
) -> RowMajorMatrix<Val> {
    let width = left.width + right.width;
    let mut values = Vec::with_capacity(width * left.height());
    for (left, right) in left.values.chunks(left.width).zip(right.values.chunks(right.width)) {
        values.extend_from_slice(left);
        values.extend_from_slice(right);
    }
    RowMajorMatrix::new(values, width)
}

fn mmcs() -> ValMmcs {
    ValMmcs::new(SerializingHasher::new(Blake3), Compress::new(Blake3), 0)
}

#[cfg(test)]
mod security;
