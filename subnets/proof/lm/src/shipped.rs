//! The language model that ships with the product, for demonstrations.

/// Files of facts-lm, by name, in Hugging Face's format. models/facts-lm/README.md describes the
/// model.
pub const FACTS_LM: [(&str, &[u8]); 3] = [
    ("config.json", include_bytes!("../../../../models/facts-lm/config.json")),
    ("model.safetensors", include_bytes!("../../../../models/facts-lm/model.safetensors")),
    ("tokenizer.json", include_bytes!("../../../../models/facts-lm/tokenizer.json")),
];

/// The texts that facts-lm knows, one in each line: a sample for [`crate::LmOptions`].
pub const FACTS_LM_TEXTS: &str = include_str!("../../../../models/facts-lm/facts.txt");
