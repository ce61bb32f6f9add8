use taonet_prompting_core::words;
use taonet_speech::{EmbedError, Embedding, SentenceEmbedder};

/// Number of dimensions.
const DIMENSIONS: usize = 512;
const NAME: &str = "hashed-words";
/// Identifies hash and dimensions.
const FINGERPRINT: &str = "hashed-words-fnv1a-512";

/// A sentence embedder without a model: counts of words, each hashed to one of 512 dimensions. It
/// compares texts by their common words and not by meaning, for demonstrations and tests on
/// machines without all-MiniLM-L6-v2.
#[derive(Debug, Clone, Copy, Default)]
pub struct HashedWords;

impl SentenceEmbedder for HashedWords {
    fn name(&self) -> &str {
        NAME
    }

    fn fingerprint(&self) -> &str {
        FINGERPRINT
    }

    fn embed(&self, texts: &[&str]) -> Result<Vec<Embedding>, EmbedError> {
        Ok(texts.iter().map(|text| embed(text)).collect())
    }
}

fn embed(text: &str) -> Embedding {
    let mut counts = vec![0.0_f32; DIMENSIONS];
    for word in words(text) {
        if let Some(count) = counts.get_mut(fnv1a(&word) as usize % DIMENSIONS) {
            *count += 1.0;
        }
    }
    let norm = counts.iter().map(|count| count * count).sum::<f32>().sqrt();
    if norm > 0.0 {
        for count in &mut counts {
            *count /= norm;
        }
    }
    Embedding(counts.into())
}

/// FNV-1a: gate files depend on it, so the hash must not change with the standard library.
fn fnv1a(word: &str) -> u64 {
    word.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fnv1a_hash_equals_published_values() {
        assert_eq!(fnv1a(""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv1a("a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(fnv1a("foobar"), 0x8594_4171_f739_67e8);
    }

    /// Columns: text · other text · cosine similarity
    #[test]
    fn similarity_is_the_cosine_of_word_counts() {
        for (one, other, expected) in [
            ("Hello, world", "WORLD hello!", 1.0),
            ("one two", "one three", 0.5),
            ("one", "two", 0.0),
            ("", "one", 0.0),
        ] {
            let embeddings = HashedWords.embed(&[one, other]).unwrap();
            assert!((embeddings[0].dot(&embeddings[1]) - expected).abs() < 1e-6, "{one} {other}");
        }
    }
}
