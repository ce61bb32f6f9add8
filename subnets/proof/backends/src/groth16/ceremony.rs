//! Key ceremony: contributions of several people to one key.
//!
//! The first contributor creates the key and knows all of its random numbers: α, β, γ, δ and the
//! evaluation point τ. Each later contributor multiplies δ by a random number and proves knowledge
//! of it. That hides δ from everyone if at least one contributor discards their number. **It does
//! not hide τ, α and β from the first contributor**, who can forge proofs alone: the proofs of a
//! circuit are only as trustworthy as its first contributor. [`crate::stark`] needs no such trust.
//!
//! A transcript lists all contributions. [`verify`] checks that they alone turn the first key into
//! the last one.

use ark_bn254::{Bn254, Fr, G1Affine, G1Projective, G2Affine};
use ark_ec::pairing::Pairing as _;
use ark_ec::{CurveGroup as _, VariableBaseMSM as _};
use ark_ff::{Field as _, UniformRand as _, Zero as _};
use ark_groth16::ProvingKey;
use ark_serialize::{CanonicalDeserialize, CanonicalSerialize};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use taonet_primitives::printable_excerpt;
use taonet_proof_core::Digest;
use thiserror::Error;

use super::keys::{VerificationKeyFile, proving_from_bytes, proving_to_bytes};
use super::{internal_error, os_rng};
use crate::{BackendError, Keys};

/// Maximum length of a contributor's name, in characters.
pub const MAX_NAME: usize = 100;
/// Domain separator of the digests.
const DOMAIN: &[u8] = b"taonet groth16 contribution, 1";

/// Transcript of a key ceremony.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Transcript {
    /// Name of the contributor who created the first key.
    pub initial: String,
    /// SHA-256 of the first proving key.
    pub initial_key: Digest,
    /// Contributions, in order.
    pub contributions: Vec<Contribution>,
}

/// A contribution to a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Contribution {
    /// Name of the contributor.
    pub contributor: String,
    /// δ after the contribution: an encoded point.
    pub delta: Vec<u8>,
    /// Commitment in the proof of knowledge of the factor: an encoded point.
    pub commitment: Vec<u8>,
    /// Response in the proof of knowledge of the factor: an encoded number.
    pub response: Vec<u8>,
    /// SHA-256 of the proving key after the contribution.
    pub key: Digest,
}

/// Why a transcript is invalid.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CeremonyError {
    /// A key is malformed.
    #[error(transparent)]
    Key(#[from] BackendError),
    /// The first or last key is not the one in the transcript.
    #[error("the {0} key does not match the transcript")]
    OtherKey(&'static str),
    /// A point or number is malformed.
    #[error("contribution {0} is malformed")]
    Malformed(usize),
    /// A contributor's proof of knowledge is invalid.
    #[error("contribution {0}: invalid proof of knowledge")]
    Knowledge(usize),
    /// The contributions do not turn the first key into the last one.
    #[error("the keys differ by more than the contributions: {0}")]
    Unrelated(&'static str),
}

impl Transcript {
    /// Creates the transcript of a key with a single contributor.
    pub fn new(contributor: &str, keys: &Keys) -> Self {
        Self {
            initial: printable_name(contributor),
            initial_key: Digest::of(&keys.proving),
            contributions: Vec::new(),
        }
    }
}

/// Multiplies δ by a random number, which is then discarded. Returns the new keys and appends to
/// the transcript.
///
/// # Errors
/// When the keys are malformed or the operating system provides no random bytes.
pub fn contribute(
    keys: &Keys,
    contributor: &str,
    transcript: &mut Transcript,
) -> Result<Keys, BackendError> {
    let mut key = proving_from_bytes(&keys.proving)?;
    let mut file = VerificationKeyFile::from_bytes(&keys.verification)?;
    let mut rng = os_rng()?;
    let (factor, nonce) = (random_nonzero(&mut rng), random_nonzero(&mut rng));
    let inverse = factor.inverse().ok_or_else(|| internal_error("a factor is zero"))?;
    let previous_delta = key.delta_g1;
    let delta = (previous_delta * factor).into_affine();
    let commitment = (previous_delta * nonce).into_affine();
    let contributor = printable_name(contributor);
    let challenge = challenge(&contributor, &previous_delta, &delta, &commitment);
    key.delta_g1 = delta;
    key.vk.delta_g2 = (key.vk.delta_g2 * factor).into_affine();
    for query in [&mut key.l_query, &mut key.h_query] {
        let scaled: Vec<G1Projective> = query.iter().map(|point| *point * inverse).collect();
        *query = G1Projective::normalize_batch(&scaled);
    }
    file.key = key.vk.clone();
    let keys = Keys {
        proving: proving_to_bytes(&key).map_err(internal_error)?,
        verification: file.to_bytes()?,
    };
    transcript.contributions.push(Contribution {
        contributor,
        delta: encode(&delta)?,
        commitment: encode(&commitment)?,
        response: encode(&(nonce + challenge * factor))?,
        key: Digest::of(&keys.proving),
    });
    Ok(keys)
}

/// Verifies that the transcript's contributions alone turn the first key into the last one, and
/// that each contributor knew their factor.
///
/// # Errors
/// [`CeremonyError`] for the first check that fails.
pub fn verify(first: &Keys, last: &Keys, transcript: &Transcript) -> Result<(), CeremonyError> {
    if Digest::of(&first.proving) != transcript.initial_key {
        return Err(CeremonyError::OtherKey("first"));
    }
    let final_key = transcript
        .contributions
        .last()
        .map_or(transcript.initial_key, |contribution| contribution.key);
    if Digest::of(&last.proving) != final_key {
        return Err(CeremonyError::OtherKey("last"));
    }
    let (before, after) = (proving_from_bytes(&first.proving)?, proving_from_bytes(&last.proving)?);
    // The layout of the public values in the verification key must be unchanged, too.
    let mut file = VerificationKeyFile::from_bytes(&first.verification)?;
    file.key = after.vk.clone();
    if file.to_bytes()? != last.verification {
        return Err(CeremonyError::OtherKey("verification"));
    }
    let mut delta = before.delta_g1;
    for (index, contribution) in transcript.contributions.iter().enumerate() {
        delta = contribution.check(index, &delta)?;
    }
    if delta != after.delta_g1 {
        return Err(CeremonyError::Unrelated("δ"));
    }
    check_ratio(&before, &after)
}

/// Checks a transcript as far as that is possible without the first key: it ends with the proving
/// key of this digest, and each contributor after the first one knew their factor.
///
/// # Errors
/// [`CeremonyError`] for the first check that fails.
pub fn check_transcript(
    proving_key: &Digest,
    transcript: &Transcript,
) -> Result<(), CeremonyError> {
    let final_key = transcript
        .contributions
        .last()
        .map_or(transcript.initial_key, |contribution| contribution.key);
    if *proving_key != final_key {
        return Err(CeremonyError::OtherKey("proving"));
    }
    let mut previous_delta: Option<G1Affine> = None;
    for (index, contribution) in transcript.contributions.iter().enumerate() {
        previous_delta = Some(match previous_delta {
            Some(delta) => contribution.check(index, &delta)?,
            None => G1Affine::deserialize_compressed(&*contribution.delta)
                .map_err(|_| CeremonyError::Malformed(index))?,
        });
    }
    Ok(())
}

impl Contribution {
    /// Verifies the proof of knowledge and returns δ after the contribution.
    fn check(&self, index: usize, previous_delta: &G1Affine) -> Result<G1Affine, CeremonyError> {
        let delta = G1Affine::deserialize_compressed(&*self.delta)
            .map_err(|_| CeremonyError::Malformed(index))?;
        let commitment = G1Affine::deserialize_compressed(&*self.commitment);
        let commitment = commitment.map_err(|_| CeremonyError::Malformed(index))?;
        let response = Fr::deserialize_compressed(&*self.response)
            .map_err(|_| CeremonyError::Malformed(index))?;
        let challenge = challenge(&self.contributor, previous_delta, &delta, &commitment);
        let is_valid = *previous_delta * response == commitment + delta * challenge;
        if is_valid && !G1Projective::from(delta).is_zero() {
            Ok(delta)
        } else {
            Err(CeremonyError::Knowledge(index))
        }
    }
}

/// Checks that everything but δ is equal, and that every point divided by δ changed by the same
/// factor.
fn check_ratio(before: &ProvingKey<Bn254>, after: &ProvingKey<Bn254>) -> Result<(), CeremonyError> {
    let is_unchanged = before.beta_g1 == after.beta_g1
        && before.a_query == after.a_query
        && before.b_g1_query == after.b_g1_query
        && before.b_g2_query == after.b_g2_query
        && before.vk.alpha_g1 == after.vk.alpha_g1
        && before.vk.beta_g2 == after.vk.beta_g2
        && before.vk.gamma_g2 == after.vk.gamma_g2
        && before.vk.gamma_abc_g1 == after.vk.gamma_abc_g1;
    if !is_unchanged {
        return Err(CeremonyError::Unrelated("a part that no contribution changes"));
    }
    if Bn254::pairing(after.delta_g1, before.vk.delta_g2)
        != Bn254::pairing(before.delta_g1, after.vk.delta_g2)
    {
        return Err(CeremonyError::Unrelated("δ of the verification key"));
    }
    let queries = [(&before.l_query, &after.l_query), (&before.h_query, &after.h_query)];
    for (old, new) in queries {
        if old.len() != new.len()
            || !has_same_ratio(old, new, before.vk.delta_g2, after.vk.delta_g2)?
        {
            return Err(CeremonyError::Unrelated("a query"));
        }
    }
    Ok(())
}

/// Returns whether `new_i * delta_after = old_i * delta_before` for all i, with a random linear
/// combination of each side.
fn has_same_ratio(
    old: &[G1Affine],
    new: &[G1Affine],
    delta_before: G2Affine,
    delta_after: G2Affine,
) -> Result<bool, CeremonyError> {
    let mut rng = os_rng()?;
    let factors: Vec<Fr> = old.iter().map(|_| Fr::from(u128::rand(&mut rng))).collect();
    let combine = |points: &[G1Affine]| {
        G1Projective::msm(points, &factors).map_err(|_| CeremonyError::Unrelated("a query"))
    };
    Ok(Bn254::pairing(combine(new)?, delta_after) == Bn254::pairing(combine(old)?, delta_before))
}

fn challenge(
    contributor: &str,
    previous_delta: &G1Affine,
    delta: &G1Affine,
    commitment: &G1Affine,
) -> Fr {
    let mut hash = Sha256::new();
    hash.update(DOMAIN);
    hash.update((contributor.len() as u64).to_le_bytes());
    hash.update(contributor);
    for point in [previous_delta, delta, commitment] {
        // Encoding a point in memory never fails; an empty encoding would only make the check fail.
        hash.update(encode(point).unwrap_or_default());
    }
    let digest = hash.finalize();
    digest.iter().take(31).fold(Fr::zero(), |sum, &byte| sum * Fr::from(256_u64) + Fr::from(byte))
}

fn encode(value: &impl CanonicalSerialize) -> Result<Vec<u8>, BackendError> {
    let mut bytes = Vec::new();
    value.serialize_compressed(&mut bytes).map_err(internal_error)?;
    Ok(bytes)
}

fn random_nonzero(rng: &mut impl ark_std::rand::Rng) -> Fr {
    loop {
        let value = Fr::rand(rng);
        if !value.is_zero() {
            return value;
        }
    }
}

/// Removes control characters from a name and truncates it to [`MAX_NAME`].
fn printable_name(text: &str) -> String {
    printable_excerpt(text, MAX_NAME)
}
