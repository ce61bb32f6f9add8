//! A tiny Llama model in Hugging Face's format.

use std::path::Path;

use serde_json::{Map, Value, json};

/// Hidden size, and size of the feed-forward layers.
const HIDDEN: usize = 24;
const FEED_FORWARD: usize = 48;
const LAYERS: usize = 2;
/// Special tokens: begin, end.
const SPECIAL: [&str; 2] = ["<s>", "</s>"];

/// Writes a model with random weights: `config.json`, `model.safetensors`, `tokenizer.json` and
/// `tokenizer_config.json`. Its vocabulary has each printable character of ASCII.
pub(crate) fn write_checkpoint(directory: &Path) {
    std::fs::create_dir_all(directory).unwrap();
    let write = |name: &str, document: &Value| {
        std::fs::write(directory.join(name), document.to_string()).unwrap();
    };
    let vocabulary = vocabulary();
    write(
        "config.json",
        &json!({
            "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_act": "silu", "hidden_size": HIDDEN,
            "intermediate_size": FEED_FORWARD, "num_hidden_layers": LAYERS, "num_attention_heads": 4,
            "num_key_value_heads": 2, "vocab_size": vocabulary.len(), "max_position_embeddings": 4_096,
            "rms_norm_eps": 1e-5, "rope_theta": 10_000.0, "bos_token_id": 0, "eos_token_id": 1,
            "tie_word_embeddings": false, "torch_dtype": "float32",
        }),
    );
    let tensors = tensors(vocabulary.len());
    let special = |(id, content): (usize, &&str)| {
        json!({"id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false,
            "normalized": false, "special": true})
    };
    let bytes = json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true});
    write(
        "tokenizer.json",
        &json!({
            "version": "1.0", "added_tokens": SPECIAL.iter().enumerate().map(special).collect::<Vec<_>>(),
            "pre_tokenizer": bytes, "decoder": bytes,
            "model": {"type": "BPE", "vocab": vocabulary, "merges": []},
        }),
    );
    let template = "{{ bos_token }}{% for message in messages %}{{ message.role }}: {{ message.content }}\n{% endfor %}\
                    {% if add_generation_prompt %}assistant: {% endif %}";
    write(
        "tokenizer_config.json",
        &json!({"chat_template": template, "bos_token": "<s>", "eos_token": "</s>"}),
    );
    std::fs::write(directory.join("model.safetensors"), safetensors(&tensors)).unwrap();
}

/// Ids of the tokens: one for each byte, in the notation of byte-level tokenizers.
fn vocabulary() -> Map<String, Value> {
    let mut pieces: Vec<String> = SPECIAL.map(str::to_owned).to_vec();
    pieces.extend((b'!'..=b'~').map(|byte| char::from(byte).to_string()));
    // A space and a line feed.
    pieces.extend(["\u{120}", "\u{10a}"].map(str::to_owned));
    pieces.into_iter().zip(0..).map(|(piece, id)| (piece, id.into())).collect()
}

/// Names, shapes and numbers of the weights.
fn tensors(tokens: usize) -> Vec<(String, Vec<usize>, Vec<f32>)> {
    let mut state = 19_u64;
    let mut noise = |scale: f32| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((state >> 40) as f32 / (1_u32 << 23) as f32 - 1.0) * scale
    };
    let mut tensors = Vec::new();
    let mut add = |name: String, shape: &[usize]| {
        let count = shape.iter().product();
        // Norms are near 1, so that the layers below them matter.
        let numbers = if shape.len() == 1 {
            (0..count).map(|_| 1.0 + noise(0.2)).collect()
        } else {
            (0..count).map(|_| noise(0.5)).collect()
        };
        tensors.push((name, shape.to_vec(), numbers));
    };
    add("model.embed_tokens.weight".to_owned(), &[tokens, HIDDEN]);
    add("lm_head.weight".to_owned(), &[tokens, HIDDEN]);
    add("model.norm.weight".to_owned(), &[HIDDEN]);
    for layer in 0..LAYERS {
        for (name, shape) in [
            ("input_layernorm", &[HIDDEN][..]),
            ("post_attention_layernorm", &[HIDDEN]),
            ("self_attn.q_proj", &[HIDDEN, HIDDEN]),
            ("self_attn.k_proj", &[HIDDEN / 2, HIDDEN]),
            ("self_attn.v_proj", &[HIDDEN / 2, HIDDEN]),
            ("self_attn.o_proj", &[HIDDEN, HIDDEN]),
            ("mlp.gate_proj", &[FEED_FORWARD, HIDDEN]),
            ("mlp.up_proj", &[FEED_FORWARD, HIDDEN]),
            ("mlp.down_proj", &[HIDDEN, FEED_FORWARD]),
        ] {
            add(format!("model.layers.{layer}.{name}.weight"), shape);
        }
    }
    tensors
}

/// Encodes tensors: the length of a JSON header, the header, the numbers.
fn safetensors(tensors: &[(String, Vec<usize>, Vec<f32>)]) -> Vec<u8> {
    let (mut header, mut data) = (Map::new(), Vec::new());
    for (name, shape, numbers) in tensors {
        let start = data.len();
        data.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
        header.insert(
            name.clone(),
            json!({"dtype": "F32", "shape": shape, "data_offsets": [start, data.len()]}),
        );
    }
    let mut header = Value::Object(header).to_string();
    while !header.len().is_multiple_of(8) {
        header.push(' ');
    }
    [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &data].concat()
}
