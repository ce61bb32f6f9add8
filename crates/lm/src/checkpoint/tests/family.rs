//! Qwen 2 and 3 from directories and GGUF files, and Gemma 3 from GGUF files.

use candle_core::quantized::gguf_file::{self, Value as Metadata};
use candle_core::quantized::{GgmlDType, QTensor};

use super::*;

/// Parts of the names of tensors in directories, and in GGUF files.
const NAMES: [(&str, &str); 15] = [
    ("model.embed_tokens", "token_embd"),
    ("lm_head", "output"),
    ("model.norm", "output_norm"),
    ("model.layers", "blk"),
    ("input_layernorm", "attn_norm"),
    ("post_attention_layernorm", "ffn_norm"),
    ("self_attn.q_proj", "attn_q"),
    ("self_attn.k_proj", "attn_k"),
    ("self_attn.v_proj", "attn_v"),
    ("self_attn.o_proj", "attn_output"),
    ("self_attn.q_norm", "attn_q_norm"),
    ("self_attn.k_norm", "attn_k_norm"),
    ("mlp.gate_proj", "ffn_gate"),
    ("mlp.up_proj", "ffn_up"),
    ("mlp.down_proj", "ffn_down"),
];
/// Head size of Qwen 3 and Gemma 3, which is not that of its share of the residual stream.
const WIDE_HEAD: usize = 6;

/// Window of Gemma's local layers.
const WINDOW: u32 = 3;

/// A model in both formats.
struct TestModel {
    config: Value,
    tensors: HashMap<String, Tensor>,
    /// Further metadata of the GGUF file; replaces that of the same name.
    metadata: Vec<(&'static str, Metadata)>,
}

impl TestModel {
    fn new(kind: &str) -> Self {
        let (mut config, mut tensors) = (config(), tensors());
        config["model_type"] = json!(kind);
        config["rope_scaling"] = Value::Null;
        for layer in 0..2 {
            let mut add = |name: &str, shape: &[usize]| {
                let name = format!("model.layers.{layer}.self_attn.{name}");
                let tensor = tensor(&name, shape);
                tensors.insert(name, tensor);
            };
            if kind == "qwen2" {
                for (name, rows) in
                    [("q_proj.bias", HIDDEN), ("k_proj.bias", 8), ("v_proj.bias", 8)]
                {
                    add(name, &[rows]);
                }
            } else {
                let (width, kv) = (4 * WIDE_HEAD, 2 * WIDE_HEAD);
                for (name, shape) in [
                    ("q_proj.weight", &[width, HIDDEN][..]),
                    ("k_proj.weight", &[kv, HIDDEN]),
                    ("v_proj.weight", &[kv, HIDDEN]),
                    ("o_proj.weight", &[HIDDEN, width]),
                    ("q_norm.weight", &[WIDE_HEAD]),
                    ("k_norm.weight", &[WIDE_HEAD]),
                ] {
                    add(name, shape);
                }
                config["head_dim"] = json!(WIDE_HEAD);
            }
            if kind == "gemma3" {
                for part in ["post_attention_norm", "post_ffw_norm"] {
                    let name = format!("model.layers.{layer}.{part}.weight");
                    let tensor = tensor(&name, &[HIDDEN]);
                    tensors.insert(name, tensor);
                }
            }
        }
        Self { config, tensors, metadata: Vec::new() }
    }

    /// Writes and opens the directory.
    fn open_directory(&self) -> Result<LanguageModel, LoadError> {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), "config.json", &self.config);
        write(folder.path(), "tokenizer.json", &tokenizer());
        candle_core::safetensors::save(&self.tensors, folder.path().join("model.safetensors"))
            .unwrap();
        open(folder.path())
    }

    /// Writes and opens a GGUF file of floats.
    fn open_gguf(&self) -> Result<LanguageModel, LoadError> {
        let kind = self.config["model_type"].as_str().unwrap();
        let number = |field: &str| u32::try_from(self.config[field].as_u64().unwrap()).unwrap();
        let mut metadata = vec![
            ("general.architecture".to_owned(), Metadata::String(kind.to_owned())),
            ("tokenizer.ggml.bos_token_id".to_owned(), Metadata::U32(0)),
            ("tokenizer.ggml.eos_token_id".to_owned(), Metadata::U32(1)),
            (format!("{kind}.attention.layer_norm_rms_epsilon"), Metadata::F32(1e-5)),
            (format!("{kind}.rope.freq_base"), Metadata::F32(500_000.0)),
        ];
        for (name, field) in [
            ("embedding_length", "hidden_size"),
            ("feed_forward_length", "intermediate_size"),
            ("block_count", "num_hidden_layers"),
            ("attention.head_count", "num_attention_heads"),
            ("attention.head_count_kv", "num_key_value_heads"),
            ("context_length", "max_position_embeddings"),
        ] {
            metadata.push((format!("{kind}.{name}"), Metadata::U32(number(field))));
        }
        if kind != "qwen2" {
            metadata
                .push((format!("{kind}.attention.key_length"), Metadata::U32(number("head_dim"))));
        }
        if kind == "gemma3" {
            metadata.push((format!("{kind}.attention.sliding_window"), Metadata::U32(WINDOW)));
        }
        metadata
            .extend(self.metadata.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
        let blocks: Vec<(String, QTensor)> = self
            .tensors
            .iter()
            .map(|(name, tensor)| {
                let name =
                    NAMES.iter().fold(name.clone(), |name, (from, to)| name.replace(from, to));
                (name, QTensor::quantize(tensor, GgmlDType::F32).unwrap())
            })
            .collect();
        let metadata: Vec<(&str, &Metadata)> =
            metadata.iter().map(|(name, value)| (name.as_str(), value)).collect();
        let blocks: Vec<(&str, &QTensor)> =
            blocks.iter().map(|(name, blocks)| (name.as_str(), blocks)).collect();
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), "tokenizer.json", &tokenizer());
        let path = folder.path().join("model.gguf");
        gguf_file::write(&mut fs::File::create(&path).unwrap(), &metadata, &blocks).unwrap();
        open(&path)
    }
}

fn largest_difference(one: &[f32], other: &[f32]) -> f32 {
    one.iter().zip(other).map(|(one, other)| (one - other).abs()).fold(0.0, f32::max)
}

/// Columns: architecture · field of the tokenizer · BOS token
#[test]
fn bos_token_of_a_gguf_file_matches_the_tokenizer() {
    for (kind, adds_bos, expected) in [
        ("qwen2", None, None),
        ("qwen3", None, None),
        ("qwen2", Some(true), Some(0)),
        ("gemma3", None, Some(0)),
        ("gemma3", Some(false), None),
    ] {
        let mut model = TestModel::new(kind);
        model
            .metadata
            .extend(adds_bos.map(|adds| ("tokenizer.ggml.add_bos_token", Metadata::Bool(adds))));
        let bos_token = model.open_gguf().unwrap().vocabulary().bos_token();
        assert_eq!(bos_token, expected, "{kind}, add_bos_token {adds_bos:?}");
    }
}

/// Columns: architecture · its name · a tensor that Llama lacks
#[test]
fn gguf_file_and_directory_of_qwen_are_the_same_model() {
    for (kind, name, own) in [
        ("qwen2", "Qwen 2", "model.layers.1.self_attn.k_proj.bias"),
        ("qwen3", "Qwen 3", "model.layers.1.self_attn.k_norm.weight"),
    ] {
        let mut qwen = TestModel::new(kind);
        let (directory, gguf) = (qwen.open_directory().unwrap(), qwen.open_gguf().unwrap());
        for model in [&directory, &gguf] {
            assert_eq!(model.llama().architecture(), name);
            // The tokenizers of Qwen add no BOS token, whatever the configuration says.
            assert_eq!(model.vocabulary().bos_token(), None);
        }
        let expected = next(&directory);
        assert!(largest_difference(&next(&gguf), &expected) < 1e-4, "{kind}");
        let doubled = (&qwen.tensors[own] * 2.0).unwrap();
        qwen.tensors.insert(own.to_owned(), doubled);
        assert!(
            largest_difference(&next(&qwen.open_directory().unwrap()), &expected) > 1e-3,
            "{kind} ignores {own}"
        );
    }
}

#[test]
fn missing_tensor_of_qwen_is_reported() {
    for (kind, name, in_gguf) in [
        ("qwen2", "model.layers.0.self_attn.q_proj.bias", "blk.0.attn_q.bias"),
        ("qwen3", "model.layers.1.self_attn.q_norm.weight", "blk.1.attn_q_norm.weight"),
    ] {
        let mut qwen = TestModel::new(kind);
        qwen.tensors.remove(name).unwrap();
        let error = qwen.open_directory().unwrap_err().to_string();
        assert!(error.starts_with(&format!("tensor {name} is missing")), "{error}");
        let error = qwen.open_gguf().unwrap_err().to_string();
        assert!(error.starts_with(&format!("tensor {in_gguf} is missing")), "{error}");
    }
}

/// Columns: architecture · field of config.json · value · what the error names
#[test]
fn unsupported_form_of_qwen_is_reported() {
    for (kind, field, value, named) in [
        ("qwen2", "use_sliding_window", json!(true), "use_sliding_window is not supported"),
        ("qwen2", "head_dim", json!(8), "a head_dim other than"),
        ("qwen3", "attention_bias", json!(true), "a bias is not supported"),
        ("qwen3", "head_dim", json!(5), "the head size be even"),
        ("qwen3", "head_dim", json!(8), "self_attn.q_norm.weight has the shape [6], expected [8]"),
        ("qwen3", "model_type", json!("qwen3_moe"), "model_type \"qwen3_moe\" is not supported"),
        (
            "qwen3",
            "model_type",
            json!("gemma3_text"),
            "model_type \"gemma3_text\" is not supported",
        ),
        ("gemma3", "model_type", json!("gemma3"), "model_type \"gemma3\" is not supported"),
    ] {
        let mut qwen = TestModel::new(kind);
        qwen.config[field] = value;
        let error = qwen.open_directory().unwrap_err().to_string();
        assert!(error.contains(named), "{kind} {field}: {error}");
    }
    let mut other = TestModel::new("qwen3");
    other.config["model_type"] = json!("gemma2");
    let error = other.open_gguf().unwrap_err().to_string();
    assert!(
        error.contains(
            "general.architecture \"gemma2\" is not supported; hint: use a Llama, Qwen 2"
        ),
        "{error}"
    );
}

/// The computation itself is compared with the formulas in the tests of [`Llama`](crate::Llama).
#[test]
fn every_tensor_of_a_gemma_gguf_file_is_used() {
    let mut gemma = TestModel::new("gemma3");
    let model = gemma.open_gguf().unwrap();
    assert_eq!(model.llama().architecture(), "Gemma 3");
    let local = crate::LocalLayers { window: 3, rope_theta: 10_000.0, period: 6 };
    assert_eq!(model.llama().config().local, Some(local));
    let expected = next(&model);
    for part in ["post_attention_norm", "post_ffw_norm", "self_attn.q_norm"] {
        let name = format!("model.layers.1.{part}.weight");
        let original = gemma.tensors.remove(&name).unwrap();
        let error = gemma.open_gguf().unwrap_err().to_string();
        assert!(error.starts_with("tensor blk.1.") && error.contains("is missing"), "{error}");
        gemma.tensors.insert(name.clone(), (&original * 2.0).unwrap());
        assert!(
            largest_difference(&next(&gemma.open_gguf().unwrap()), &expected) > 1e-3,
            "{name} is ignored"
        );
        gemma.tensors.insert(name, original);
    }
}

#[test]
fn gguf_file_of_gemma_can_state_its_local_layers() {
    let mut gemma = TestModel::new("gemma3");
    gemma.metadata = vec![
        ("gemma3.attention.sliding_window_pattern", Metadata::U32(2)),
        ("gemma3.rope.freq_base_swa", Metadata::F32(100.0)),
    ];
    let model = gemma.open_gguf().unwrap();
    let local = crate::LocalLayers { window: 3, rope_theta: 100.0, period: 2 };
    assert_eq!(model.llama().config().local, Some(local));
}

/// A window that is longer than every context hides nothing.
#[test]
fn sliding_window_of_gemma_beyond_the_context_is_ignored() {
    let mut gemma = TestModel::new("gemma3");
    let field = "gemma3.attention.sliding_window";
    gemma.metadata = vec![(field, Metadata::U32(64))];
    let expected = next(&gemma.open_gguf().unwrap());
    gemma.metadata = vec![(field, Metadata::U64(u64::MAX))];
    assert!(largest_difference(&next(&gemma.open_gguf().unwrap()), &expected) < 1e-6);
    gemma.metadata = vec![(field, Metadata::U32(2))];
    assert!(
        largest_difference(&next(&gemma.open_gguf().unwrap()), &expected) > 1e-3,
        "the window is ignored"
    );
}

/// Columns: field of the file · value · what the error names
#[test]
fn unsupported_form_of_gemma_is_reported() {
    for (field, value, named) in [
        (
            "gemma3.attention.sliding_window",
            Metadata::U32(0),
            "the window and the period of local layers",
        ),
        (
            "gemma3.attention.sliding_window_pattern",
            Metadata::U32(0),
            "the window and the period of local layers",
        ),
        (
            "gemma3.rope.freq_base_swa",
            Metadata::F32(f32::NAN),
            "freq_base_swa: expected a number above 0",
        ),
        (
            "gemma3.attn_logit_softcapping",
            Metadata::F32(50.0),
            "attn_logit_softcapping: is not supported",
        ),
        (
            "gemma3.final_logit_softcapping",
            Metadata::F32(30.0),
            "final_logit_softcapping: is not supported",
        ),
        (
            "gemma3.rope.scaling.type",
            Metadata::String("linear".to_owned()),
            "\"linear\" is not supported",
        ),
        (
            "gemma3.rope.dimension_count",
            Metadata::U32(4),
            "dimension_count: must be attention.key_length",
        ),
        ("gemma3.attention.key_length", Metadata::U32(u32::MAX - 1), "expected [4294967294]"),
    ] {
        let mut gemma = TestModel::new("gemma3");
        gemma.metadata = vec![(field, value)];
        let error = gemma.open_gguf().unwrap_err().to_string();
        assert!(error.contains(named), "{field}: {error}");
    }
}
