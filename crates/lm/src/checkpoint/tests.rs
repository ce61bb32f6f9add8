mod family;

use std::collections::HashMap;
use std::fs;

use candle_core::{DType, Tensor};
use serde_json::{Value, json};

use super::*;
use crate::{CausalModel, LanguageModel, LoadOptions, Message, Sampling};

const HIDDEN: usize = 16;

fn config() -> Value {
    json!({
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_act": "silu", "hidden_size": HIDDEN,
        "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
        "vocab_size": 8, "max_position_embeddings": 64, "rms_norm_eps": 1e-5, "rope_theta": 500_000.0,
        "rope_scaling": {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
            "original_max_position_embeddings": 32},
        "bos_token_id": 0, "eos_token_id": [1, 2], "tie_word_embeddings": false, "torch_dtype": "bfloat16",
    })
}

fn tokenizer() -> Value {
    let special = |id: u32, content: &str| {
        json!({"id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false,
            "normalized": false, "special": true})
    };
    json!({
        "version": "1.0",
        "added_tokens": [special(0, "<s>"), special(1, "</s>"), special(2, "<eot>")],
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true},
        "decoder": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true},
        // "Ã" and "©" represent the two bytes of é.
        "model": {"type": "BPE", "vocab": {"<s>": 0, "</s>": 1, "<eot>": 2, "a": 3, "b": 4, "ab": 5, "\u{c3}": 6,
            "\u{a9}": 7}, "merges": [["a", "b"]]},
    })
}

/// A tensor with random values, in half precision as models are published.
fn tensor(name: &str, shape: &[usize]) -> Tensor {
    let count: usize = shape.iter().product();
    let mut generator = crate::splitmix::SplitMix64::with_name(3, name);
    let numbers: Vec<f32> = (0..count).map(|_| (generator.normal() * 0.3) as f32).collect();
    Tensor::from_vec(numbers, shape, &Device::Cpu).unwrap().to_dtype(DType::BF16).unwrap()
}

/// Tensors of the configuration.
fn tensors() -> HashMap<String, Tensor> {
    let mut tensors = HashMap::new();
    let mut add = |name: String, shape: &[usize]| {
        let tensor = tensor(&name, shape);
        tensors.insert(name, tensor);
    };
    add("model.embed_tokens.weight".to_owned(), &[8, HIDDEN]);
    add("lm_head.weight".to_owned(), &[8, HIDDEN]);
    add("model.norm.weight".to_owned(), &[HIDDEN]);
    for layer in 0..2 {
        for (name, shape) in [
            ("input_layernorm", &[HIDDEN][..]),
            ("post_attention_layernorm", &[HIDDEN]),
            ("self_attn.q_proj", &[HIDDEN, HIDDEN]),
            ("self_attn.k_proj", &[8, HIDDEN]),
            ("self_attn.v_proj", &[8, HIDDEN]),
            ("self_attn.o_proj", &[HIDDEN, HIDDEN]),
            ("mlp.gate_proj", &[24, HIDDEN]),
            ("mlp.up_proj", &[24, HIDDEN]),
            ("mlp.down_proj", &[HIDDEN, 24]),
        ] {
            add(format!("model.layers.{layer}.{name}.weight"), shape);
        }
    }
    tensors
}

fn write(directory: &Path, name: &str, document: &Value) {
    fs::write(directory.join(name), document.to_string()).unwrap();
}

fn directory() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    write(path, "config.json", &config());
    write(path, "tokenizer.json", &tokenizer());
    candle_core::safetensors::save(&tensors(), path.join("model.safetensors")).unwrap();
    folder
}

fn open(path: &Path) -> Result<LanguageModel, LoadError> {
    LanguageModel::open("m", path)
}

fn next(model: &LanguageModel) -> Vec<f32> {
    model.llama().next(&[0, 3, 5, 7], &mut crate::KvCache::default()).unwrap()
}

#[test]
fn model_is_loaded_from_directory() {
    let folder = directory();
    let model = open(folder.path()).unwrap();
    assert_eq!(model.completion_prompt("ab\u{e9}").unwrap(), [0, 5, 6, 7]);
    assert_eq!(model.vocabulary().decode(&[5, 6, 7, 1]), "ab\u{e9}");
    assert_eq!(model.vocabulary().end_tokens(), [1, 2]);
    // In plain text, the name of a special token has no special meaning; only its letters a and b
    // are in this vocabulary.
    assert_eq!(model.vocabulary().encode("ab</s>").unwrap(), [5]);
    let generation = model.generate(vec![0, 3], Sampling { max_tokens: 20, ..Sampling::default() });
    assert!(generation.map(Result::unwrap).all(|step| step.token != 1 && step.token != 2));
    let text =
        model.chat_prompt(&[Message { role: "user".to_owned(), content: "ab".to_owned() }], false);
    assert!(matches!(text, Err(ModelError::Template(_))), "{text:?}");
}

/// A checker reads the text, and could not tell where a special token was.
#[test]
fn answer_has_no_special_tokens() {
    let folder = directory();
    let model = open(folder.path()).unwrap();
    for seed in 0..50 {
        let sampling = Sampling { temperature: 2.0, max_tokens: 8, seed, ..Sampling::default() };
        for step in model.generate(vec![0, 3], sampling) {
            let token = step.unwrap().token;
            assert!(!model.vocabulary().is_special(token), "{seed}: {token}");
        }
    }
}

#[test]
fn split_characters_are_streamed_complete() {
    let folder = directory();
    let model = open(folder.path()).unwrap();
    let mut stream = crate::vocabulary::TextStream::default();
    let mut push = |token| stream.push(model.vocabulary(), token);
    assert_eq!([push(5), push(6), push(7), push(3)], ["ab", "", "\u{e9}", "a"]);
    let split = model.vocabulary().split("ab\u{e9}a").unwrap();
    let texts = ["ab", "", "\u{e9}", "a"].map(str::to_owned);
    assert_eq!(split, [5, 6, 7, 3].into_iter().zip(texts).collect::<Vec<_>>());
    assert_eq!(push(6), "");
    assert_eq!(stream.finish(model.vocabulary()), "\u{fffd}");
}

#[test]
fn chat_prompt_follows_the_template() {
    let folder = directory();
    let template =
        "{{ bos_token }}{% for message in messages %}a{{ message.content }}<eot>{% endfor %}";
    let tokens =
        json!({"chat_template": template, "bos_token": {"content": "<s>"}, "eos_token": "</s>"});
    write(folder.path(), "tokenizer_config.json", &tokens);
    let model = open(folder.path()).unwrap();
    let messages = [Message { role: "user".to_owned(), content: "b".to_owned() }];
    assert_eq!(model.chat_prompt(&messages, false).unwrap(), [0, 5, 2]);
    assert_eq!(model.chat_prompt(&messages, true).unwrap(), [0, 5]);
}

#[test]
fn sharded_files_with_index_load_the_same_model() {
    let folder = directory();
    let expected = next(&open(folder.path()).unwrap());
    fs::remove_file(folder.path().join("model.safetensors")).unwrap();
    let (mut first, mut second, mut map) = (HashMap::new(), HashMap::new(), serde_json::Map::new());
    for (name, tensor) in tensors() {
        let (part, file) = if name.contains("layers.1") {
            (&mut second, "b.safetensors")
        } else {
            (&mut first, "a.safetensors")
        };
        map.insert(name.clone(), file.into());
        part.insert(name, tensor);
    }
    candle_core::safetensors::save(&first, folder.path().join("a.safetensors")).unwrap();
    candle_core::safetensors::save(&second, folder.path().join("b.safetensors")).unwrap();
    write(folder.path(), "model.safetensors.index.json", &json!({"weight_map": map}));
    assert_eq!(next(&open(folder.path()).unwrap()), expected);
    fs::remove_file(folder.path().join("b.safetensors")).unwrap();
    let error = open(folder.path()).unwrap_err().to_string();
    assert!(error.contains("b.safetensors"), "{error}");
    write(folder.path(), "model.safetensors.index.json", &json!({"weight_map": {"x": "../x"}}));
    assert!(matches!(open(folder.path()), Err(LoadError::Unsupported { .. })));
}

#[test]
fn rope_scaling_is_read_from_the_configuration() {
    let folder = directory();
    let scaled = next(&open(folder.path()).unwrap());
    let mut plain = config();
    plain["rope_scaling"] = Value::Null;
    write(folder.path(), "config.json", &plain);
    assert_ne!(next(&open(folder.path()).unwrap()), scaled);
    // The same parameters in the newer form.
    let mut new_config = config();
    new_config["rope_parameters"] = new_config["rope_scaling"].take();
    new_config["rope_parameters"]["rope_theta"] = new_config["rope_theta"].take();
    write(folder.path(), "config.json", &new_config);
    assert_eq!(next(&open(folder.path()).unwrap()), scaled);
}

#[test]
fn byte_order_mark_is_ignored() {
    let folder = directory();
    let expected = next(&open(folder.path()).unwrap());
    fs::write(folder.path().join("config.json"), format!("\u{feff}{}", config())).unwrap();
    fs::write(folder.path().join("tokenizer.json"), format!("\u{feff}{}", tokenizer())).unwrap();
    assert_eq!(next(&open(folder.path()).unwrap()), expected);
}

#[test]
fn unsupported_models_are_reported() {
    for (field, value, named) in [
        ("model_type", json!("gpt2"), "model_type \"gpt2\""),
        ("hidden_act", json!("gelu"), "hidden_act \"gelu\""),
        ("attention_bias", json!(true), "a bias"),
        ("quantization_config", json!({"bits": 4}), "quantization_config"),
        ("head_dim", json!(8), "head_dim"),
        ("rope_scaling", json!({"type": "yarn"}), "rope_scaling of the type \"yarn\""),
        ("num_key_value_heads", json!(3), "multiple of kv_heads"),
        ("hidden_size", json!("wide"), "config.json is malformed"),
        ("max_position_embeddings", json!(1_000_000_000), "max_position_embeddings"),
        ("max_position_embeddings", json!(0), "above 0"),
        ("rope_theta", json!(-1.0), "rope_theta must be above 0"),
        (
            "intermediate_size",
            json!(25),
            "mlp.gate_proj.weight has the shape [24, 16], expected [25, 16]",
        ),
        ("num_hidden_layers", json!(3), "model.layers.2.input_layernorm.weight is missing"),
        ("vocab_size", json!(7), "the shape [8, 16]"),
        ("eos_token_id", Value::Null, "eos_token_id"),
        ("eos_token_id", json!(9), "outside the vocabulary"),
    ] {
        let folder = directory();
        let mut changed = config();
        changed[field] = value;
        write(folder.path(), "config.json", &changed);
        let error = open(folder.path()).unwrap_err().to_string();
        assert!(error.contains(named), "{field}: {error}");
    }
}

#[test]
fn tensor_with_non_finite_weights_is_reported() {
    for name in
        ["model.norm.weight", "model.layers.1.mlp.up_proj.weight", "model.embed_tokens.weight"]
    {
        for value in [f32::NAN, f32::INFINITY] {
            let folder = directory();
            let mut changed = tensors();
            let numbers = changed[name].to_dtype(DType::F32).unwrap();
            let mut values = numbers.flatten_all().unwrap().to_vec1::<f32>().unwrap();
            values[3] = value;
            let values = Tensor::from_vec(values, numbers.shape(), &Device::Cpu).unwrap();
            changed.insert(name.to_owned(), values.to_dtype(DType::BF16).unwrap());
            candle_core::safetensors::save(&changed, folder.path().join("model.safetensors"))
                .unwrap();
            let error = open(folder.path()).unwrap_err().to_string();
            assert!(
                error.starts_with(&format!("tensor {name} has values that are not finite")),
                "{error}"
            );
        }
    }
}

/// Sparse files of 10 GB take no space on disk, and reading one would take 10 GB of memory.
#[test]
fn large_text_files_are_rejected_without_reading_them() {
    for name in [
        "config.json",
        "generation_config.json",
        "model.safetensors.index.json",
        "tokenizer.json",
        "tokenizer_config.json",
    ] {
        let folder = directory();
        File::create(folder.path().join(name)).unwrap().set_len(10 << 30).unwrap();
        let error = open(folder.path()).unwrap_err();
        assert!(
            matches!(&error, LoadError::TooLarge { path, .. } if path.ends_with(name)),
            "{error}"
        );
    }
}

#[test]
fn incomplete_directories_are_reported() {
    for file in ["config.json", "model.safetensors", "tokenizer.json"] {
        let folder = directory();
        let path = folder.path().join(file);
        let bytes = fs::read(&path).unwrap();
        // Truncated, as by an interrupted download.
        for length in [0, 1, 7, 8, 9, bytes.len() / 2, bytes.len() - 1] {
            fs::write(&path, &bytes[..length]).unwrap();
            let error = open(folder.path()).unwrap_err().to_string();
            assert!(error.contains(file), "{file} of {length} bytes: {error}");
        }
        fs::remove_file(&path).unwrap();
        let error = open(folder.path()).unwrap_err();
        assert!(matches!(&error, LoadError::Read { path, .. } if path.ends_with(file)), "{error}");
    }
    let folder = directory();
    let mut other = tokenizer();
    other["model"]["vocab"]["ba"] = json!(8);
    write(folder.path(), "tokenizer.json", &other);
    let error = open(folder.path()).unwrap_err().to_string();
    assert!(error.contains("a different model"), "{error}");
}

#[test]
fn only_gguf_file_of_a_directory_is_loaded() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../vectors/lm/llama-q8_0.gguf");
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("README.md"), "no model").unwrap();
    fs::copy(&file, folder.path().join("one.gguf")).unwrap();
    let expected = open(&file).unwrap();
    assert_eq!(next(&open(folder.path()).unwrap()), next(&expected));
    let causal = CausalModel::open(folder.path(), LoadOptions::default()).unwrap();
    assert_eq!(causal.vocabulary().len(), expected.vocabulary().len());

    fs::write(folder.path().join("config.json"), r#"{"model_type": "llama"}"#).unwrap();
    assert_eq!(next(&open(folder.path()).unwrap()), next(&expected));

    fs::copy(&file, folder.path().join("another.GGUF")).unwrap();
    let causal = CausalModel::open(folder.path(), LoadOptions::default());
    for error in [open(folder.path()).unwrap_err(), causal.unwrap_err()] {
        let error = error.to_string();
        assert!(error.contains("several GGUF files: another.GGUF, one.gguf; hint: "), "{error}");
    }

    // A directory in Hugging Face's format may have a converted copy beside it.
    let complete = directory();
    fs::copy(&file, complete.path().join("one.gguf")).unwrap();
    assert_eq!(open(complete.path()).unwrap().vocabulary().len(), 8);
}
