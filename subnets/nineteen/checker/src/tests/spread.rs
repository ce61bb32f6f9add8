//! Characters that are spread over several tokens, and words whose token has a space that their
//! text lacks.

use std::fs;
use std::path::Path;

use taonet_nineteen_core::checker::text::parse_tokens;

use super::*;

const HIDDEN: usize = 16;
const VOCABULARY: usize = 12;

fn special(names: [&str; 3]) -> Value {
    let token = |(content, id): (&str, u32)| {
        json!({"id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false,
            "normalized": false, "special": true})
    };
    names.into_iter().zip(0..).map(token).collect()
}

/// Returns a tokenizer like Llama 3's, in which a character outside its words is one token per
/// byte.
fn byte_level() -> Value {
    let level = json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true});
    json!({
        "version": "1.0", "added_tokens": special(["<s>", "</s>", "<eot>"]), "pre_tokenizer": level, "decoder": level,
        // Each of the last six represents a byte: of é, then of an emoji.
        "model": {"type": "BPE", "vocab": {"<s>": 0, "</s>": 1, "<eot>": 2, "a": 3, "b": 4, "ab": 5, "\u{c3}": 6,
            "\u{a9}": 7, "\u{f0}": 8, "\u{141}": 9, "\u{13a}": 10, "\u{122}": 11}, "merges": [["a", "b"]]},
    })
}

/// Returns a tokenizer like Llama 2's (SentencePiece), whose first word has a space that the text
/// lacks.
fn sentence_piece() -> Value {
    json!({
        "version": "1.0", "added_tokens": special(["<unk>", "<s>", "</s>"]),
        "pre_tokenizer": {"type": "Metaspace", "replacement": "\u{2581}", "prepend_scheme": "first", "split": false},
        "decoder": {"type": "Sequence", "decoders": [
            {"type": "Replace", "pattern": {"String": "\u{2581}"}, "content": " "},
            {"type": "ByteFallback"}, {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 0},
        ]},
        "model": {"type": "BPE", "unk_token": "<unk>", "byte_fallback": true, "vocab": {"<unk>": 0, "<s>": 1,
            "</s>": 2, "\u{2581}": 3, "a": 4, "b": 5, "\u{2581}a": 6, "\u{2581}b": 7, "<0xF0>": 8, "<0x9F>": 9,
            "<0x98>": 10, "<0x80>": 11}, "merges": [["\u{2581}", "a"], ["\u{2581}", "b"]]},
    })
}

/// Writes a model that continues each token of `chain` with the next one: its layers change
/// nothing, and its embeddings are unit vectors.
fn write_model(directory: &Path, tokenizer: &Value, chain: &[usize], ends: &[u32]) {
    let config = json!({
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_act": "silu", "hidden_size": HIDDEN,
        "intermediate_size": 24, "num_hidden_layers": 1, "num_attention_heads": 4, "num_key_value_heads": 2,
        "vocab_size": VOCABULARY, "max_position_embeddings": 64, "rms_norm_eps": 1e-5, "rope_theta": 10_000.0,
        "bos_token_id": chain[0], "eos_token_id": ends, "tie_word_embeddings": false, "torch_dtype": "float32",
    });
    fs::write(directory.join("config.json"), config.to_string()).unwrap();
    fs::write(directory.join("tokenizer.json"), tokenizer.to_string()).unwrap();
    let mut embeddings = vec![0.0; VOCABULARY * HIDDEN];
    let mut head = embeddings.clone();
    for token in 0..VOCABULARY {
        embeddings[token * HIDDEN + token] = 1.0;
    }
    for step in chain.windows(2) {
        head[step[1] * HIDDEN + step[0]] = 1.0_f32;
    }
    let mut tensors = vec![
        ("model.embed_tokens.weight".to_owned(), vec![VOCABULARY, HIDDEN], embeddings),
        ("lm_head.weight".to_owned(), vec![VOCABULARY, HIDDEN], head),
        ("model.norm.weight".to_owned(), vec![HIDDEN], vec![1.0; HIDDEN]),
    ];
    for (name, shape) in [
        ("input_layernorm", vec![HIDDEN]),
        ("post_attention_layernorm", vec![HIDDEN]),
        ("self_attn.q_proj", vec![HIDDEN, HIDDEN]),
        ("self_attn.k_proj", vec![8, HIDDEN]),
        ("self_attn.v_proj", vec![8, HIDDEN]),
        ("self_attn.o_proj", vec![HIDDEN, HIDDEN]),
        ("mlp.gate_proj", vec![24, HIDDEN]),
        ("mlp.up_proj", vec![24, HIDDEN]),
        ("mlp.down_proj", vec![HIDDEN, 24]),
    ] {
        let zeros = vec![0.0; shape.iter().product()];
        tensors.push((format!("model.layers.0.{name}.weight"), shape, zeros));
    }
    let (mut header, mut data) = (Map::new(), Vec::new());
    for (name, shape, numbers) in tensors {
        let begin = data.len();
        data.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
        header.insert(
            name,
            json!({"dtype": "F32", "shape": shape, "data_offsets": [begin, data.len()]}),
        );
    }
    let mut header = Value::Object(header).to_string();
    while !header.len().is_multiple_of(8) {
        header.push(' ');
    }
    let length = u64::try_from(header.len()).unwrap().to_le_bytes();
    fs::write(
        directory.join("model.safetensors"),
        [&length[..], header.as_bytes(), &data].concat(),
    )
    .unwrap();
}

/// Checks that the model's own answer to an empty prompt, streamed as by a miner with our server,
/// has quality 1; returns the texts of its tokens.
async fn check_own_answer(tokenizer: &Value, chain: &[usize], ends: &[u32]) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    write_model(folder.path(), tokenizer, chain, ends);
    let model = Arc::new(LanguageModel::open("m", folder.path()).unwrap());
    let server = router(Arc::clone(&model), EngineSettings::default()).unwrap();
    let base = format!("http://{}/v1/completions", listen(server).await);
    let request = json!({"prompt": "", "temperature": 0, "logprobs": 1, "stream": true, "max_tokens": chain.len()});
    let answer = reqwest::Client::new()
        .post(base)
        .json(&request)
        .send()
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    let events = answer.lines().filter_map(|line| line.strip_prefix("data: "));
    let chunks: Vec<Value> = events.filter_map(|event| serde_json::from_str(event).ok()).collect();
    let miner_tokens = parse_tokens(&chunks).unwrap();
    let reference = LocalReference::new(model);
    let payload = request.as_object().unwrap();
    let logprobs_request = LogprobsRequest {
        endpoint: Endpoint::Completions,
        payload,
        tokens: &miner_tokens,
        positions: &[],
    };
    let AnswerLogprobs::FullText(logprobs) = reference.logprobs(&logprobs_request).await.unwrap()
    else {
        panic!("not computed in one pass")
    };
    for (index, (model_logprobs, token)) in logprobs.iter().zip(&miner_tokens).enumerate() {
        let (rank, logprob) = model_logprobs
            .miner_token
            .unwrap_or_else(|| panic!("token {index} is unknown: {miner_tokens:?}"));
        assert!(
            rank == 1 && (logprob - token.logprob).abs() < 1e-4,
            "{index}: {logprob} {miner_tokens:?}"
        );
    }
    for profile in [ScoringProfile::Reference, ScoringProfile::Later] {
        let checked =
            check_text(&reference, Endpoint::Completions, payload, &chunks, profile, |_| 0)
                .await
                .unwrap();
        assert_eq!(checked.quality, Some(1.0), "{checked:?}");
    }
    miner_tokens.into_iter().map(|token| token.text).collect()
}

#[tokio::test]
async fn split_characters_do_not_shift_later_tokens() {
    let texts =
        check_own_answer(&byte_level(), &[0, 5, 6, 7, 3, 8, 9, 10, 11, 4, 1], &[1, 2]).await;
    assert_eq!(texts, ["ab", "", "\u{e9}", "a", "", "", "", "\u{1f600}", "b"]);
}

#[tokio::test]
async fn sentence_piece_tokens_match_the_answer() {
    let texts = check_own_answer(&sentence_piece(), &[1, 6, 7, 8, 9, 10, 11, 4, 2], &[2]).await;
    assert_eq!(texts, ["a", " b", "", "", "", "\u{1f600}", "a"]);
}

#[tokio::test]
async fn extra_token_of_a_split_character_fails_the_check() {
    let folder = tempfile::tempdir().unwrap();
    write_model(folder.path(), &byte_level(), &[0, 5, 6, 7, 1], &[1]);
    let reference = LocalReference::new(Arc::new(LanguageModel::open("m", folder.path()).unwrap()));
    let chunk =
        |text: &str| json!({"choices": [{"text": text, "logprobs": {"token_logprobs": [-0.18]}}]});
    let check = async |texts: &[&str], profile| {
        let chunks: Vec<_> = texts.iter().map(|text| chunk(text)).collect();
        let payload = json!({"prompt": ""}).as_object().unwrap().clone();
        check_text(&reference, Endpoint::Completions, &payload, &chunks, profile, |_| 0)
            .await
            .unwrap()
            .quality
    };
    for profile in [ScoringProfile::Reference, ScoringProfile::Later] {
        assert_eq!(check(&["ab", "", "\u{e9}"], profile).await, Some(1.0));
        assert_eq!(check(&["", "\u{e9}"], profile).await, None, "nothing can be compared");
        // The model needs two tokens for é, not three.
        assert_eq!(check(&["ab", "", "", "\u{e9}"], profile).await, Some(0.0));
    }
}
