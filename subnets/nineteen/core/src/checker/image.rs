//! Image check: compares perceptual hashes and embeddings of the miner's image with those of the
//! validator's.
//!
//! ```text
//! s = 0.4·√p + 0.6·c²        quality = 1 if s > 0.95, else s²
//! ```
//!
//! c is the cosine similarity of the embeddings, p the probability that both images are the same,
//! given the distances of four hashes. The reference computes p with a boosted classifier whose
//! trees are unpublished; this module uses a logistic function ([`same_image_probability`]). For
//! the same p and c, qualities equal the reference's.

use serde::{Deserialize, Serialize};

/// Weight of the hashes in the similarity.
const HASH_WEIGHT: f64 = 0.4;
/// Weight of the embeddings.
const EMBEDDING_WEIGHT: f64 = 0.6;
/// Similarity above which the quality is 1.
const PERFECT_SIMILARITY: f64 = 0.95;

/// Log-odds that two images are the same if all hashes are equal; yields p = 0.9975.
const SAME_IMAGE_SCORE: f64 = 6.0;
/// Decrease of the log-odds per differing bit of the perceptual hash; the constants below apply to
/// the other hashes.
const PERCEPTUAL_BIT_COST: f64 = 0.30;
const AVERAGE_BIT_COST: f64 = 0.20;
const DIFFERENCE_BIT_COST: f64 = 0.20;
const COLOUR_BIT_COST: f64 = 0.10;

/// Perceptual hashes of an image, in hex.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageHashes {
    /// Average hash: brightness relative to the mean, 64 bits.
    pub average_hash: String,
    /// Perceptual hash: low frequencies, 64 bits.
    pub perceptual_hash: String,
    /// Difference hash: brightness relative to the neighbouring pixel, 64 bits.
    pub difference_hash: String,
    /// Colour hash: 14 bins of 3 bits.
    pub color_hash: String,
}

/// An answer to an image task, from a miner or from the validator's server.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct ImageAnswer {
    /// Image in base64; `None` if the server withholds it as not safe for work.
    #[serde(default)]
    pub image_b64: Option<String>,
    /// Whether the image is not safe for work.
    #[serde(default)]
    pub is_nsfw: Option<bool>,
    /// CLIP embedding of the image.
    #[serde(default)]
    pub clip_embeddings: Option<Vec<f64>>,
    /// Perceptual hashes of the image.
    #[serde(default)]
    pub image_hashes: Option<ImageHashes>,
}

/// Hamming distances between the hashes of two images, in bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HashDistances {
    /// Differing bits of the perceptual hash, `0..=64`.
    pub perceptual: u32,
    /// Differing bits of the average hash, `0..=64`.
    pub average: u32,
    /// Differing bits of the difference hash, `0..=64`.
    pub difference: u32,
    /// Differing bits of the colour hash, `0..=42`.
    pub colour: u32,
}

impl HashDistances {
    /// Returns the distances between the hashes of two images; `None` if a hash is not hex, or the
    /// lengths differ.
    pub fn between(one: &ImageHashes, other: &ImageHashes) -> Option<Self> {
        Some(Self {
            perceptual: differing_bits(&one.perceptual_hash, &other.perceptual_hash)?,
            average: differing_bits(&one.average_hash, &other.average_hash)?,
            difference: differing_bits(&one.difference_hash, &other.difference_hash)?,
            colour: differing_bits(&one.color_hash, &other.color_hash)?,
        })
    }
}

fn differing_bits(one: &str, other: &str) -> Option<u32> {
    if one.len() != other.len() {
        return None;
    }
    let digits = one.chars().zip(other.chars());
    digits.map(|(one, other)| Some((one.to_digit(16)? ^ other.to_digit(16)?).count_ones())).sum()
}

/// Returns the probability that two images are the same, given the distances of their hashes:
///
/// ```text
/// p = 1 / (1 + exp(−z)),  z = 6 − 0.30·perceptual − 0.20·average − 0.20·difference − 0.10·colour
/// ```
///
/// Equal hashes yield 0.9975, five differing bits in each 0.88, unrelated images (half of the bits
/// differ) less than 1e-6.
pub fn same_image_probability(distances: &HashDistances) -> f64 {
    let HashDistances { perceptual, average, difference, colour } = *distances;
    let lost_score = PERCEPTUAL_BIT_COST * f64::from(perceptual)
        + AVERAGE_BIT_COST * f64::from(average)
        + DIFFERENCE_BIT_COST * f64::from(difference)
        + COLOUR_BIT_COST * f64::from(colour);
    1.0 / (1.0 + (lost_score - SAME_IMAGE_SCORE).exp())
}

/// Returns the cosine similarity: 1 if both vectors are zero, 0 if only one is; `None` if their
/// lengths differ.
pub fn cosine(one: &[f64], other: &[f64]) -> Option<f64> {
    if one.len() != other.len() {
        return None;
    }
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let norms = (dot(one, one).sqrt(), dot(other, other).sqrt());
    Some(match norms {
        (0.0, 0.0) => 1.0,
        (0.0, _) | (_, 0.0) => 0.0,
        (one_norm, other_norm) => dot(one, other) / (one_norm * other_norm),
    })
}

/// Returns the quality, given the probability `p` that the images are the same and the cosine
/// similarity `c` of their embeddings.
pub(crate) fn similarity_score(p: f64, c: f64) -> f64 {
    let similarity = HASH_WEIGHT * p.sqrt() + EMBEDDING_WEIGHT * c * c;
    if similarity > PERFECT_SIMILARITY { 1.0 } else { similarity * similarity }
}

/// Returns the quality of a miner's answer relative to the validator's; `None` if the validator's
/// answer has no embedding or no hashes.
///
/// The quality is 0 if the miner's answer lacks hashes or embedding, or if the NSFW flags differ.
pub fn quality(miner: &ImageAnswer, validator: &ImageAnswer) -> Option<f64> {
    let is_empty = miner.image_b64.is_none()
        && miner.is_nsfw.is_none()
        && miner.clip_embeddings.is_none()
        && miner.image_hashes.is_none();
    if is_empty {
        return Some(0.0);
    }
    let (expected, hashes) =
        (validator.clip_embeddings.as_ref()?, validator.image_hashes.as_ref()?);
    if miner.is_nsfw != validator.is_nsfw {
        return Some(0.0);
    }
    let compare = || {
        let cosine = cosine(miner.clip_embeddings.as_ref()?, expected)?;
        let distances = HashDistances::between(miner.image_hashes.as_ref()?, hashes)?;
        Some(similarity_score(same_image_probability(&distances), cosine))
            .filter(|score| score.is_finite())
    };
    Some(compare().unwrap_or(0.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn assert_close(actual: f64, expected: f64, tolerance: f64) {
        assert!((actual - expected).abs() <= tolerance, "{actual}, expected {expected}");
    }

    #[test]
    #[rustfmt::skip]
    fn similarity_scores_equal_the_reference_table() {
        for (p, c, score) in [
            (0.90, 0.99, 1.0),
            (0.81, 0.95, 0.8127),
            (0.25, 0.90, 0.4706),
            (0.0,  0.98, 0.3321),
        ] {
            assert_close(similarity_score(p, c), score, 5e-5);
        }
    }

    #[test]
    #[rustfmt::skip]
    fn same_image_probability_follows_the_hash_distances() {
        for (perceptual, average, difference, colour, p) in [
            ( 0,  0,  0,  0, 0.997_527),
            ( 5,  5,  5,  5, 0.880_797),
            (10,  5,  5,  0, 0.731_059),
            (12,  6,  0,  0, 0.768_525),
            (32, 32, 32, 21, 0.0),
        ] {
            let distances = HashDistances { perceptual, average, difference, colour };
            assert_close(same_image_probability(&distances), p, 1e-6);
        }
    }

    #[test]
    fn cosine_handles_zero_vectors_and_unequal_lengths() {
        assert_eq!(cosine(&[3.0, 4.0], &[6.0, 8.0]), Some(1.0));
        assert_eq!(cosine(&[1.0, 0.0], &[0.0, 1.0]), Some(0.0));
        assert_eq!(cosine(&[0.0], &[0.0]), Some(1.0));
        assert_eq!(cosine(&[0.0], &[2.0]), Some(0.0));
        assert_eq!(cosine(&[1.0], &[1.0, 2.0]), None);
    }

    fn answer() -> ImageAnswer {
        let hash = "0123456789abcdef".to_owned();
        ImageAnswer {
            image_b64: Some("aW1hZ2U=".to_owned()),
            is_nsfw: Some(false),
            clip_embeddings: Some(vec![0.1, 0.2, 0.3]),
            image_hashes: Some(ImageHashes {
                average_hash: hash.clone(),
                perceptual_hash: hash.clone(),
                difference_hash: hash,
                color_hash: "07038000000".to_owned(),
            }),
        }
    }

    #[test]
    fn image_answers_are_compared_with_validator_answers() {
        let good = answer();
        assert_eq!(quality(&good, &good), Some(1.0));
        let changed = |change: &dyn Fn(&mut ImageAnswer)| {
            let mut answer = answer();
            change(&mut answer);
            answer
        };
        let nsfw = changed(&|answer| answer.is_nsfw = Some(true));
        assert_eq!(quality(&nsfw, &good), Some(0.0));
        // The miner withholds an NSFW image.
        let hidden = changed(&|answer| (answer.is_nsfw, answer.image_b64) = (Some(true), None));
        assert_eq!(quality(&hidden, &nsfw), Some(1.0));
        assert_eq!(quality(&ImageAnswer::default(), &good), Some(0.0));
        assert_eq!(quality(&good, &changed(&|answer| answer.clip_embeddings = None)), None);
        assert_eq!(quality(&good, &changed(&|answer| answer.image_hashes = None)), None);
        for broken in [
            changed(&|answer| answer.clip_embeddings = None),
            changed(&|answer| answer.clip_embeddings = Some(vec![f64::NAN; 3])),
            changed(&|answer| answer.image_hashes = None),
            changed(&|answer| answer.image_hashes.as_mut().unwrap().color_hash.push('0')),
            changed(&|answer| {
                answer.image_hashes.as_mut().unwrap().average_hash.replace_range(..1, "x");
            }),
        ] {
            assert_eq!(quality(&broken, &good), Some(0.0), "{broken:?}");
        }
        let other = changed(&|answer| answer.clip_embeddings = Some(vec![0.3, 0.2, 0.1]));
        assert_close(
            quality(&other, &good).unwrap(),
            (0.4 * 0.997_527_f64.sqrt() + 0.6 * (10.0_f64 / 14.0).powi(2)).powi(2),
            1e-6,
        );
    }

    #[test]
    fn differing_bits_of_hex_strings_are_counted() {
        assert_eq!(differing_bits("00ff", "0f0f"), Some(8));
        assert_eq!(differing_bits("FF", "ff"), Some(0));
        assert_eq!([differing_bits("0", "00"), differing_bits("g", "0")], [None; 2]);
    }
}
