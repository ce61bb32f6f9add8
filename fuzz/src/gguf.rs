//! GGUF files from the hub or a user: loading never panics, and a model that loads computes a logit
//! for each token.

use taonet_lm::{CausalModel, KvCache, LoadOptions};

use super::file::with_file;

/// Checks one input.
pub fn check(file: &[u8]) {
    let model =
        with_file("model.gguf", file, |path| CausalModel::open(path, LoadOptions::default()).ok());
    let Some(model) = model else { return };
    let mut cache = KvCache::default();
    if let Ok(logits) = model.next(&[0], &mut cache) {
        assert_eq!(logits.len(), model.vocabulary().len());
        assert_eq!(cache.tokens(), 1);
    }
}
