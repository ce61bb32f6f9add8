use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use super::*;
use crate::linear::Weight;
use crate::splitmix::SplitMix64;

/// Models that are recorded as directories.
const DIRECTORIES: [&str; 4] = ["gpt2", "llama", "qwen2", "qwen3"];
/// Models that are recorded as GGUF files.
const FILES: [&str; 5] = ["gpt2", "llama", "qwen2", "qwen3", "gemma3"];

fn vectors(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../vectors/lm").join(name)
}

/// Returns the recorded results of another implementation for the model `name` with these weights.
fn expected(name: &str, weights: &str) -> Vec<Value> {
    let document: Value =
        serde_json::from_slice(&fs::read(vectors(&format!("{name}.json"))).unwrap()).unwrap();
    document[weights].as_array().unwrap().clone()
}

fn numbers<T: serde::de::DeserializeOwned>(value: &Value) -> Vec<T> {
    serde_json::from_value(value.clone()).unwrap()
}

fn open(name: &str) -> CausalModel {
    CausalModel::open(&vectors(name), LoadOptions::default()).unwrap()
}

fn argmax(logits: &[f32]) -> u32 {
    // The EOS token 0 is masked in the vectors.
    let ids = 1..logits.len();
    ids.max_by(|one, other| logits[*one].total_cmp(&logits[*other])).unwrap() as u32
}

/// Returns the largest difference of two vectors of logits, and the root of the mean square of
/// their differences.
fn differences(one: &[f32], other: &[f32]) -> (f32, f32) {
    assert_eq!(one.len(), other.len());
    let differences: Vec<f32> =
        one.iter().zip(other).map(|(one, other)| (one - other).abs()).collect();
    let square =
        differences.iter().map(|difference| difference.powi(2)).sum::<f32>() / one.len() as f32;
    (differences.into_iter().fold(0.0, f32::max), square.sqrt())
}

/// Compares with the recording: tokens, logits and greedy generation. `largest` and `typical` bound
/// the differences of logits, whose standard deviation is 1.7.
fn compare(model: &CausalModel, name: &str, weights: &str, (largest, typical): (f32, f32)) {
    for case in expected(name, weights) {
        let tokens: Vec<u32> = numbers(&case["tokens"]);
        if let Some(text) = case["text"].as_str() {
            assert_eq!(model.vocabulary().encode(text).unwrap(), tokens, "{text}");
        }
        let mut cache = KvCache::default();
        let mut logits = model.next(&tokens, &mut cache).unwrap();
        let reference: Vec<f32> = numbers(&case["logits"]);
        let actual = differences(&logits, &reference);
        assert!(
            actual.0 < largest && actual.1 < typical,
            "{name} {weights}, {} tokens: {actual:?}",
            tokens.len()
        );
        for token in numbers::<u32>(&case["greedy"]) {
            let actual = argmax(&logits);
            // With rounded inputs, another token may be as likely.
            let missing = logits[actual as usize] - logits[token as usize];
            assert!(
                actual == token || (largest > 1e-3 && missing < largest),
                "{name} {weights}: {actual}, not {token}"
            );
            logits = model.next(&[token], &mut cache).unwrap();
        }
        // Token by token, the cache gives the same logits.
        let mut cache = KvCache::default();
        for token in &tokens {
            logits = model.next(&[*token], &mut cache).unwrap();
        }
        let actual = differences(&logits, &reference);
        assert!(
            actual.0 < largest && actual.1 < typical,
            "{name} {weights}, token by token: {actual:?}"
        );
    }
}

#[test]
fn language_model_and_causal_model_have_equal_logits() {
    for name in [
        "llama-q8_0.gguf",
        "llama-q4_0.gguf",
        "qwen2-q8_0.gguf",
        "qwen3-q8_0.gguf",
        "gemma3-q8_0.gguf",
    ] {
        let (causal, model) =
            (open(name), crate::LanguageModel::open("m", &vectors(name)).unwrap());
        let encoded = |vocabulary: &Vocabulary| vocabulary.encode("Hello").unwrap();
        assert_eq!(encoded(model.vocabulary()), encoded(causal.vocabulary()));
        let expected = causal.next(&[5, 6, 7], &mut KvCache::default()).unwrap();
        let actual = model.llama().next(&[5, 6, 7], &mut KvCache::default()).unwrap();
        assert!(differences(&actual, &expected).0 < 1e-6, "{name}");
    }
    let error =
        crate::LanguageModel::open("m", &vectors("gpt2-q8_0.gguf")).unwrap_err().to_string();
    assert!(error.contains("gpt2-q8_0.gguf: GPT-2 is not supported"), "{error}");
}

/// Bounds for floats: equal.
const EXACT_TOLERANCE: (f32, f32) = (1e-3, 1e-3);
/// Bounds for quantised layers, whose inputs are rounded to 8 bits. Random weights do not dampen
/// these errors, as trained ones do.
const ROUNDED_TOLERANCE: (f32, f32) = (0.5, 0.12);

#[test]
fn logits_and_greedy_tokens_match_recording() {
    for name in DIRECTORIES {
        compare(&open(name), name, "f32", EXACT_TOLERANCE);
    }
}

/// Replaces the quantised matrices of a model by their values as floats, whose inputs are not
/// rounded.
fn dequantized(mut model: CausalModel) -> CausalModel {
    let mut count = 0;
    let change = |weight: &mut Weight| {
        if weight.is_quantized() {
            *weight = Weight::Dense(weight.dense());
            count += 1;
        }
    };
    match &mut model.network {
        Network::Gpt2(model) => model.change_weights(change),
        Network::Llama(model) => model.change_weights(change),
    }
    // Two layers of at least four matrices, the embeddings and the head.
    assert!(count >= 10, "{count} quantised matrices");
    model
}

#[test]
fn weights_of_8_and_4_bit_files_are_exact() {
    for name in FILES {
        for weights in ["q8_0", "q4_0"] {
            compare(
                &dequantized(open(&format!("{name}-{weights}.gguf"))),
                name,
                weights,
                EXACT_TOLERANCE,
            );
        }
    }
}

#[test]
fn logits_of_8_and_4_bit_files_match_recording() {
    for name in FILES {
        for weights in ["q8_0", "q4_0"] {
            compare(&open(&format!("{name}-{weights}.gguf")), name, weights, ROUNDED_TOLERANCE);
        }
    }
}

#[test]
fn floats_are_quantised_on_request() {
    for name in DIRECTORIES {
        for (bits, weights) in [(Bits::Eight, "q8_0"), (Bits::Four, "q4_0")] {
            let options = LoadOptions { bits: Some(bits), ..LoadOptions::default() };
            let model = CausalModel::open(&vectors(name), options).unwrap();
            compare(&model, name, weights, ROUNDED_TOLERANCE);
            assert!(!model.has_quantized_file());
        }
    }
}

#[test]
fn quantised_files_are_not_converted() {
    let options = LoadOptions { bits: Some(Bits::Four), ..LoadOptions::default() };
    let model = CausalModel::open(&vectors("gpt2-q8_0.gguf"), options).unwrap();
    assert!(model.has_quantized_file());
    compare(&model, "gpt2", "q8_0", ROUNDED_TOLERANCE);
}

#[test]
fn truncated_cache_equals_cache_of_shorter_text() {
    for name in ["gpt2", "llama-q8_0.gguf"] {
        let model = open(name);
        let mut cache = KvCache::default();
        model.next(&[5, 6, 7, 8, 9], &mut cache).unwrap();
        let mut copy = cache.fork(3).unwrap();
        cache.truncate(2);
        for (cache, tokens) in [(&mut cache, &[5, 6, 1, 2][..]), (&mut copy, &[5, 6, 7, 3])] {
            let actual = model.next(&tokens[cache.tokens()..], cache).unwrap();
            let expected = model.next(tokens, &mut KvCache::default()).unwrap();
            let difference = actual
                .iter()
                .zip(&expected)
                .map(|(one, other)| (one - other).abs())
                .fold(0.0, f32::max);
            assert!(difference < 1e-3, "{name}: {difference}");
        }
        let long = model.next(&[1; 200], &mut KvCache::default());
        assert!(matches!(long, Err(ModelError::TooLong { tokens: 200, context: 128 })), "{long:?}");
        assert!(matches!(model.next(&[320], &mut cache), Err(ModelError::Tokens)));
    }
}

#[test]
fn device_names_round_trip() {
    for device in [Compute::Cpu, Compute::Cuda, Compute::Metal] {
        assert_eq!(device.to_string().parse(), Ok(device));
    }
    assert_eq!("gpu".parse::<Compute>(), Err("cpu, cuda or mps"));
}

#[cfg(not(any(feature = "cuda", feature = "metal")))]
#[test]
fn missing_device_is_reported() {
    for (device, text) in
        [(Compute::Cuda, "device cuda is not available"), (Compute::Metal, "cargo feature metal")]
    {
        let error = CausalModel::open(&vectors("gpt2"), LoadOptions { device, bits: None })
            .unwrap_err()
            .to_string();
        assert!(error.contains(text) && error.contains("hint: use cpu"), "{error}");
    }
}

/// Creates a copy of a model directory with a changed `config.json`.
fn directory_with(field: &str, value: Value) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for name in ["config.json", "model.safetensors", "tokenizer.json"] {
        fs::copy(vectors("gpt2").join(name), folder.path().join(name)).unwrap();
    }
    let path = folder.path().join("config.json");
    let mut config: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    config[field] = value;
    fs::write(path, config.to_string()).unwrap();
    folder
}

#[test]
fn directories_of_other_models_are_reported() {
    for (field, value, named) in [
        ("model_type", "mistral".into(), "model_type \"mistral\" is not supported"),
        ("activation_function", "relu".into(), "activation_function \"relu\""),
        ("scale_attn_by_inverse_layer_idx", true.into(), "scale of the attention"),
        ("n_head", 3.into(), "multiple of heads"),
        ("n_head", 0.into(), "above 0"),
        ("n_embd", 36.into(), "has the shape [320, 32], expected [320, 36]; hint: weights and"),
        ("n_layer", 3.into(), "tensor transformer.h.2.ln_1.weight is missing"),
        ("n_positions", "many".into(), "config.json is malformed"),
        ("vocab_size", 100.into(), "the shape [320, 32]"),
    ] {
        let folder = directory_with(field, value);
        let error =
            CausalModel::open(folder.path(), LoadOptions::default()).unwrap_err().to_string();
        assert!(error.contains(named), "{field}: {error}");
    }
    let error = CausalModel::open(Path::new("/nonexistent"), LoadOptions::default())
        .unwrap_err()
        .to_string();
    assert!(error.contains("cannot read") && error.contains("hint: a model is"), "{error}");
}

/// Replaces bytes after the first occurrence of `key` in a copy of a file, and opens the copy.
fn opened_with(file: &str, key: &str, skip: usize, bytes: &[u8]) -> Result<CausalModel, LoadError> {
    let mut content = fs::read(vectors(file)).unwrap();
    let offset = content.windows(key.len()).position(|window| window == key.as_bytes()).unwrap()
        + key.len()
        + skip;
    content[offset..offset + bytes.len()].copy_from_slice(bytes);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    fs::write(&path, content).unwrap();
    CausalModel::open(&path, LoadOptions::default())
}

#[test]
fn invalid_headers_of_gpt2_models_are_reported() {
    let huge = u64::MAX.to_le_bytes();
    for (key, skip, bytes, named) in [
        // Of a tensor: number of dimensions (4 bytes), each dimension (8 bytes), type (4 bytes),
        // offset (8 bytes).
        ("token_embd.weight", 0, &[200, 0, 0, 0][..], "token_embd.weight: 200 dimensions"),
        ("token_embd.weight", 0, &[0, 0, 0, 0], "token_embd.weight: 0 dimensions"),
        ("token_embd.weight", 4, &huge, "token_embd.weight: the shape"),
        ("token_embd.weight", 12, &huge, "token_embd.weight: the shape"),
        ("token_embd.weight", 12, &[0; 8], "token_embd.weight: the shape"),
        (
            "token_embd.weight",
            4,
            &[33],
            "token_embd.weight: the shape [320, 33] is impossible for Q4_0",
        ),
        ("token_embd.weight", 12, &[65, 1], "overlaps the tensor token_embd.weight"),
        ("token_embd.weight", 20, &[77], "token_embd.weight: the weight type 77 is not supported"),
        (
            "token_embd.weight",
            24,
            &huge,
            "token_embd.weight: 5760 bytes at offset 18446744073709551615 exceed the file",
        ),
        (
            "blk.1.ffn_up.weight",
            12,
            &[127],
            "tensor blk.1.ffn_up.weight has the shape [127, 32], expected [128, 32]",
        ),
        ("blk.1.ffn_up.weight", 28, &[0, 0, 0, 1], "blk.1.ffn_up.weight: 2304 bytes at offset"),
        // Of a value: type (4 bytes), then the value.
        ("gpt2.block_count", 4, &[3], "tensor blk.2.attn_norm.weight is missing"),
        ("gpt2.block_count", 0, &[99], "gpt2.block_count: unknown type 99"),
        ("gpt2.block_count", 0, &[6], "gpt2.block_count: expected an integer"),
        (
            "gpt2.embedding_length",
            4,
            &[64],
            "tensor token_embd.weight has the shape [320, 32], expected [320, 64]",
        ),
        (
            "gpt2.attention.layer_norm_epsilon",
            4,
            &[0, 0, 0, 0],
            "layer_norm_epsilon: expected a number above 0",
        ),
        (
            "tokenizer.ggml.model",
            12,
            b"bert",
            "hint: put the model's tokenizer.json beside the file",
        ),
        ("general.architecture", 12, b"gptj", "general.architecture \"gptj\" is not supported"),
        (
            "general.architecture",
            4,
            &huge,
            "general.architecture: 18446744073709551615 bytes, but the file has only",
        ),
        ("tokenizer.ggml.tokens", 8, &huge, "tokenizer.ggml.tokens: 18446744073709551615 elements"),
        ("tokenizer.ggml.tokens", 4, &[9], "tokenizer.ggml.tokens: arrays of arrays"),
        (
            "tokenizer.ggml.eos_token_id",
            4,
            &[0, 0, 1],
            "bos or eos token 65536 is outside the vocabulary",
        ),
    ] {
        let error = opened_with("gpt2-q4_0.gguf", key, skip, bytes).unwrap_err().to_string();
        assert!(error.contains(named), "{key} + {skip}: {error}");
    }
}

#[test]
fn invalid_headers_of_llama_models_are_reported() {
    let huge = u64::MAX.to_le_bytes();
    for (key, skip, bytes, named) in [
        (
            "llama.context_length",
            4,
            &4_000_000_000_u32.to_le_bytes()[..],
            "llama.context_length) must be at most 16777216",
        ),
        ("llama.context_length", 4, &[0; 4], "every dimension must be above 0"),
        (
            "llama.embedding_length",
            4,
            &huge[..4],
            "llama.rope.dimension_count: must be embedding_length / head_count",
        ),
        (
            "llama.feed_forward_length",
            4,
            &[65],
            "tensor blk.0.ffn_gate.weight has the shape [64, 32], expected [65, 32]",
        ),
        ("llama.block_count", 4, &huge[..4], "tensor blk.2.attn_norm.weight is missing"),
        ("llama.attention.head_count_kv", 4, &[3], "heads must be a multiple of kv_heads"),
        ("llama.attention.head_count_kv", 4, &[0], "every dimension must be above 0"),
        (
            "llama.attention.layer_norm_rms_epsilon",
            4,
            &[0; 4],
            "layer_norm_rms_epsilon: expected a number above 0",
        ),
        (
            "llama.rope.freq_base",
            4,
            &f32::NAN.to_le_bytes(),
            "llama.rope.freq_base: expected a number above 0",
        ),
        (
            "llama.rope.dimension_count",
            4,
            &[9],
            "llama.rope.dimension_count: must be embedding_length / head_count",
        ),
        (
            "tokenizer.ggml.token_type",
            4,
            &[10, 0, 0, 0],
            "tokenizer.ggml.token_type: an element is out of range",
        ),
        ("token_embd.weight", 12, &huge, "token_embd.weight: the shape"),
        (
            "blk.0.attn_k.weight",
            12,
            &[15],
            "tensor blk.0.attn_k.weight has the shape [15, 32], expected [16, 32]",
        ),
    ] {
        let error = opened_with("llama-q8_0.gguf", key, skip, bytes).unwrap_err().to_string();
        assert!(error.contains(named), "{key} + {skip}: {error}");
    }
}

/// Environment variable that is set in the subprocess of
/// [`changed_metadata_neither_panics_nor_exhausts_the_memory`].
const CHILD_VARIABLE: &str = "TAONET_TEST_LIMITED_MEMORY";
/// Number of changed copies of each file.
const CHANGED_COPIES: u64 = 500;

/// Opens copies of models with changed bytes in their metadata, and runs those that open. The
/// subprocess has little memory: it aborts when it allocates a size that a field states and the
/// file does not have.
#[test]
fn changed_metadata_neither_panics_nor_exhausts_the_memory() {
    // Other systems cannot limit the memory of a process.
    if std::env::var_os(CHILD_VARIABLE).is_some() || !cfg!(target_os = "linux") {
        return run_with_little_memory();
    }
    let name = "causal::tests::changed_metadata_neither_panics_nor_exhausts_the_memory";
    let output = std::process::Command::new("sh")
        // The limit in KiB is for the program and the stacks of its threads, too.
        .args(["-c", r#"ulimit -v 1500000; exec "$0" "$@""#])
        .arg(std::env::current_exe().unwrap())
        .args([name, "--exact", "--nocapture"])
        .envs([(CHILD_VARIABLE, "1"), ("RAYON_NUM_THREADS", "1"), ("MALLOC_ARENA_MAX", "1")])
        .output()
        .unwrap();
    let text = [output.stdout, output.stderr]
        .map(|text| String::from_utf8_lossy(&text).into_owned())
        .concat();
    assert!(output.status.success() && text.contains("models opened"), "{}: {text}", output.status);
}

fn run_with_little_memory() {
    let folder = tempfile::tempdir().unwrap();
    let (path, mut opened) = (folder.path().join("model.gguf"), 0);
    for name in ["llama-q8_0.gguf", "gpt2-q4_0.gguf", "gemma3-q4_0.gguf"] {
        let original = fs::read(vectors(name)).unwrap();
        // The last tensor's name is in the last 64 bytes of the header.
        let header = original.windows(7).rposition(|bytes| bytes == b".weight").unwrap() + 40;
        for seed in 0..CHANGED_COPIES {
            let mut content = original.clone();
            change(&mut content[..header], seed);
            fs::write(&path, content).unwrap();
            opened += usize::from(can_compute(&path, &format!("{name}, seed {seed}")));
        }
    }
    for name in ["llama", "gpt2"] {
        let original = fs::read(vectors(name).join("config.json")).unwrap();
        for file in ["model.safetensors", "tokenizer.json"] {
            fs::copy(vectors(name).join(file), folder.path().join(file)).unwrap();
        }
        for seed in 0..CHANGED_COPIES {
            let mut content = original.clone();
            change_digits(&mut content, seed);
            fs::write(folder.path().join("config.json"), content).unwrap();
            opened += usize::from(can_compute(folder.path(), &format!("{name}, seed {seed}")));
        }
    }
    println!("{opened} models opened");
    assert!(opened > 20, "{opened}");
}

/// Opens a model and runs it for two tokens; returns whether both succeeded.
fn can_compute(path: &Path, case: &str) -> bool {
    let result = std::panic::catch_unwind(|| {
        let model = CausalModel::open(path, LoadOptions::default()).ok()?;
        let mut cache = KvCache::default();
        model.next(&[5, 6], &mut cache).ok()
    });
    result.unwrap_or_else(|_| panic!("a panic with {case}")).is_some()
}

/// Replaces up to four bytes, or groups of bytes, by others.
fn change(bytes: &mut [u8], seed: u64) {
    let mut generator = SplitMix64::new(seed);
    for _ in 0..=generator.next_bits() % 4 {
        let index = (generator.next_bits() % bytes.len() as u64) as usize;
        let (end, value) = (
            bytes.len().min(index + [1, 1, 4, 8][(generator.next_bits() % 4) as usize]),
            generator.next_bits() as u8,
        );
        bytes[index..end].fill([value, 0, 0x7f, 0xff][(generator.next_bits() % 4) as usize]);
    }
}

/// Replaces up to three digits of a JSON text by other ones, or by a greater number.
fn change_digits(text: &mut Vec<u8>, seed: u64) {
    let mut generator = SplitMix64::new(seed);
    for _ in 0..=generator.next_bits() % 3 {
        let digits: Vec<usize> =
            (0..text.len()).filter(|offset| text[*offset].is_ascii_digit()).collect();
        let offset = digits[(generator.next_bits() % digits.len() as u64) as usize];
        let number = [
            generator.next_bits() % 10,
            generator.next_bits() % 1_000,
            4_000_000_000,
            generator.next_bits(),
        ];
        let number = number[(generator.next_bits() % 4) as usize].to_string();
        text.splice(offset..=offset, number.into_bytes());
    }
}

#[test]
fn truncated_and_foreign_files_are_reported() {
    let content = fs::read(vectors("llama-q8_0.gguf")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    for length in (0..content.len()).step_by(997).chain([4, 8, 16, 24, content.len() - 40]) {
        fs::write(&path, &content[..length]).unwrap();
        let error = CausalModel::open(&path, LoadOptions::default()).unwrap_err().to_string();
        assert!(error.contains("model.gguf"), "{length} bytes: {error}");
    }
    for (offset, byte, named) in
        [(0, b'X', "is not a GGUF file"), (4, 9, "version 9"), (15, 1, "do not fit into the file")]
    {
        let mut changed = content.clone();
        changed[offset] = byte;
        fs::write(&path, changed).unwrap();
        let error = CausalModel::open(&path, LoadOptions::default()).unwrap_err().to_string();
        assert!(error.contains(named) && error.contains("hint: download or convert"), "{error}");
    }
}
