//! The tokenizer in a GGUF file, converted to the content of a `tokenizer.json`.

use serde_json::{Value, json};

use super::Gguf;
use crate::LoadError;

/// Llama 3's regular expression, which splits a text before BPE.
const LLAMA_3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
/// Type of a token without text, in `tokenizer.ggml.token_type`.
const CONTROL: i32 = 3;

impl Gguf {
    /// Returns the tokenizer; `None` if the file has none of a supported kind: byte-level BPE as in GPT-2 and Llama 3.
    pub(in crate::checkpoint) fn tokenizer(&self) -> Result<Option<Value>, LoadError> {
        let is_llama = match self.text("tokenizer.ggml.pre") {
            None | Some("default" | "gpt-2") => false,
            Some("llama-bpe" | "llama3") => true,
            Some(_) => return Ok(None),
        };
        if self.text("tokenizer.ggml.model") != Some("gpt2") {
            return Ok(None);
        }
        let Some(tokens) = self.texts("tokenizer.ggml.tokens") else { return Ok(None) };
        let Some(merges) = self.texts("tokenizer.ggml.merges") else {
            return Err(self.wrong("tokenizer.ggml.merges", "is missing"));
        };
        let kinds = self.integers("tokenizer.ggml.token_type").unwrap_or_default();
        let special = tokens.iter().zip(kinds).enumerate().filter(|(_, (_, kind))| **kind == CONTROL);
        let special: Vec<Value> = special
            .map(|(id, (text, _))| {
                json!({"id": id, "content": text, "single_word": false, "lstrip": false, "rstrip": false,
                    "normalized": false, "special": true})
            })
            .collect();
        let bytes = |splits: bool| json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": splits});
        let splitter = if is_llama {
            let pattern = json!({"Regex": LLAMA_3});
            let split = json!({"type": "Split", "pattern": pattern, "behavior": "Isolated", "invert": false});
            json!({"type": "Sequence", "pretokenizers": [split, bytes(false)]})
        } else {
            bytes(true)
        };
        let vocabulary: serde_json::Map<String, Value> =
            tokens.iter().enumerate().map(|(id, token)| (token.clone(), id.into())).collect();
        if vocabulary.len() < tokens.len() {
            return Err(self.wrong("tokenizer.ggml.tokens", "has a token twice"));
        }
        Ok(Some(json!({
            "version": "1.0", "added_tokens": special, "pre_tokenizer": splitter, "decoder": bytes(true),
            // Llama 3 takes whole words of the vocabulary as they are, without merges.
            "model": {"type": "BPE", "vocab": vocabulary, "merges": merges, "ignore_merges": is_llama},
        })))
    }
}
