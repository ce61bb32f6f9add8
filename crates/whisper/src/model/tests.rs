use serde_json::{Value, json};
use tokenizers::Tokenizer;

use super::*;
use crate::testing::{BEGIN, EMBEDDINGS, PREVIOUS, write, write_shape};

/// Opens the test model after a change to its directory.
fn open_changed(change: impl FnOnce(&Path)) -> Result<Model, ModelError> {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path());
    change(folder.path());
    Model::open(folder.path())
}

fn open_error(change: impl FnOnce(&Path)) -> String {
    match open_changed(change) {
        Err(error) => error.to_string(),
        Ok(_) => String::new(),
    }
}

#[test]
fn directory_without_a_model_is_refused_with_a_hint() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    for directory in [folder.path().to_owned(), folder.path().join("missing"), file] {
        let error = Model::open(&directory).err().unwrap().to_string();
        let expected = format!(
            "{} contains no config.json; hint: pass the directory of a converted Whisper model",
            directory.display()
        );
        assert_eq!(error, expected);
    }
}

/// Changes a JSON file of a model.
fn edit(folder: &Path, name: &str, change: impl FnOnce(&mut Value)) {
    let path = folder.join(name);
    let mut value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    change(&mut value);
    std::fs::write(path, value.to_string()).unwrap();
}

/// Writes a vocabulary file that matches the tokenizer, except for one token.
fn write_vocabulary(folder: &Path, id: u32, token: &str) {
    let tokenizer = Tokenizer::from_file(folder.join("tokenizer.json")).unwrap();
    let mut tokens: Vec<_> =
        (0..EMBEDDINGS as u32).map(|id| tokenizer.id_to_token(id).unwrap()).collect();
    token.clone_into(&mut tokens[id as usize]);
    std::fs::write(folder.join("vocabulary.json"), json!(tokens).to_string()).unwrap();
}

#[test]
fn too_short_context_is_refused() {
    let error = open_error(|folder| write_shape(folder, EMBEDDINGS, CONTEXT_TOKENS - 1));
    assert!(
        error.ends_with("the decoder has a context of 447 tokens, expected at least 448"),
        "{error}"
    );
    assert_eq!(open_error(|folder| write_shape(folder, EMBEDDINGS, CONTEXT_TOKENS + 1)), "");
}

#[test]
fn tokens_without_an_embedding_are_refused() {
    let error = open_error(|folder| write_shape(folder, EMBEDDINGS - 1, CONTEXT_TOKENS));
    assert_eq!(error, "token `<|30.00|>` has the ID 1811, but the weights have 1811 embeddings");
    let error = open_error(|folder| write_shape(folder, PREVIOUS as usize, CONTEXT_TOKENS));
    assert_eq!(
        error,
        "token `<|startofprev|>` has the ID 308, but the weights have 308 embeddings"
    );
    let error = open_error(|folder| {
        edit(folder, "config.json", |config| config["lang_ids"] = json!([302, 4000]));
    });
    assert_eq!(
        error,
        "token `language 4000` has the ID 4000, but the weights have 1812 embeddings"
    );
}

#[test]
fn tokenizer_of_another_vocabulary_is_refused() {
    assert_eq!(
        open_error(|folder| write_vocabulary(folder, 256, "Ġaa")),
        "",
        "the vocabularies are equal"
    );
    let error = open_error(|folder| write_vocabulary(folder, 256, "Ġba"));
    assert!(
        error.starts_with("token 256 is `Ġaa` in tokenizer.json and `Ġba` in the vocabulary file"),
        "{error}"
    );
    let error = open_error(|folder| write_vocabulary(folder, PREVIOUS, "<|startoflm|>"));
    assert!(
        error.starts_with("token 308 is `<|startofprev|>` in tokenizer.json and `<|startoflm|>`"),
        "{error}"
    );
    assert_eq!(
        open_error(|folder| write_vocabulary(folder, BEGIN, "<|0|>")),
        "",
        "names of timestamps may differ"
    );
}

#[test]
fn models_without_layers_are_refused() {
    for component in ["encoder", "decoder"] {
        let error = open_error(|folder| {
            let path = folder.join("model.safetensors");
            let mut bytes = std::fs::read(&path).unwrap();
            let (from, to) =
                (format!("model.{component}.layers."), format!("model.{component}.absent."));
            while let Some(at) =
                bytes.windows(from.len()).position(|window| window == from.as_bytes())
            {
                bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
            }
            std::fs::write(path, bytes).unwrap();
        });
        assert_eq!(
            error,
            format!(
                "the weights have no tensor `{component}/layer_0/self_attention/linear_0/weight`"
            )
        );
    }
}

#[test]
fn tensor_with_non_finite_weights_is_reported() {
    for value in [f32::NAN, f32::NEG_INFINITY] {
        let error = open_error(|folder| {
            let path = folder.join("model.safetensors");
            let mut bytes = std::fs::read(&path).unwrap();
            // The last value of the last tensor.
            let end = bytes.len() - 4;
            bytes[end..].copy_from_slice(&value.to_le_bytes());
            std::fs::write(path, bytes).unwrap();
        });
        assert_eq!(
            error,
            "tensor `decoder/layer_0/attention/layer_norm/beta` has values that are not finite; hint: download the \
             model again"
        );
    }
}

#[test]
fn language_must_be_set_if_the_model_lists_none() {
    let model =
        open_changed(|folder| edit(folder, "config.json", |config| config["lang_ids"] = json!([])))
            .unwrap();
    let options = crate::Options::default();
    assert!(
        options.check(&model).unwrap_err().to_string().contains("the model lists no languages")
    );
    crate::Options { language: Some("en".to_owned()), ..options }.check(&model).unwrap();
}

#[test]
fn english_only_model_refuses_other_languages() {
    let remove = |folder: &Path| {
        // Only multilingual vocabularies have the empty token.
        edit(folder, "tokenizer.json", |tokenizer| {
            tokenizer["model"]["vocab"].as_object_mut().unwrap().remove("");
        });
    };
    let model = open_changed(remove).unwrap();
    let options_for = |language: &str| crate::Options {
        language: Some(language.to_owned()),
        ..crate::Options::default()
    };
    options_for("en").check(&model).unwrap();
    let error = options_for("fr").check(&model).unwrap_err();
    assert_eq!(error.to_string(), "option `language`: the model understands English only");
    let translate =
        crate::Options { task: crate::SpeechTask::Translate, ..crate::Options::default() };
    assert_eq!(
        translate.check(&model).unwrap_err().to_string(),
        "option `task`: the model does not translate"
    );
}

#[test]
fn translation_requires_a_translate_token() {
    let translate =
        crate::Options { task: crate::SpeechTask::Translate, ..crate::Options::default() };
    translate.check(&open_changed(|_| ()).unwrap()).unwrap();
    let rename = |folder: &Path| {
        edit(folder, "tokenizer.json", |tokenizer| {
            tokenizer["added_tokens"][5]["content"] = json!("<|other|>");
        });
    };
    let error = translate.check(&open_changed(rename).unwrap()).unwrap_err();
    assert_eq!(error.to_string(), "option `task`: the model does not translate");
}

#[test]
fn digest_depends_on_every_file() {
    let unchanged = open_changed(|_| ()).unwrap();
    let digest = |change: fn(&Path)| open_changed(change).unwrap().digest().to_owned();
    assert_eq!(digest(|_| ()), unchanged.digest());
    let mut digests = vec![unchanged.digest().to_owned()];
    let changes: [fn(&Path); 5] = [
        |folder| edit(folder, "config.json", |config| config["suppress_ids_begin"] = json!([220])),
        |folder| {
            edit(folder, "tokenizer.json", |tokenizer| {
                tokenizer["decoder"]["use_regex"] = json!(false);
            });
        },
        |folder| std::fs::write(folder.join("generation_config.json"), "{}").unwrap(),
        |folder| write_vocabulary(folder, 256, "Ġaa"),
        |folder| {
            let path = folder.join("model.safetensors");
            let mut bytes = std::fs::read(&path).unwrap();
            // The last weight.
            *bytes.last_mut().unwrap() ^= 1;
            std::fs::write(path, bytes).unwrap();
        },
    ];
    digests.extend(changes.map(digest));
    let different: std::collections::BTreeSet<_> = digests.iter().collect();
    assert_eq!(different.len(), digests.len(), "{digests:?}");
}

#[test]
fn model_that_exceeds_the_memory_is_refused() {
    check_memory(1 << 30, None).unwrap();
    check_memory(1 << 30, Some(1 << 30)).unwrap();
    let error = check_memory(2 << 30, Some((2 << 30) - 1)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the model needs 2048 MB of memory, but only 2047 MB are available; hint: use a smaller model, or stop other \
         programs"
    );
}

/// The weights are a sparse file with a tensor of 4 TiB, which only the index names: reading the
/// file would take hours.
#[test]
#[cfg(target_os = "linux")]
fn directory_that_exceeds_the_memory_is_refused_before_reading_weights() {
    const BYTES: u64 = 4 << 40;
    let error = open_changed(|folder| {
        let path = folder.join("model.safetensors");
        let bytes = std::fs::read(&path).unwrap();
        let (length, remaining) = bytes.split_first_chunk().unwrap();
        let mut header: Value =
            serde_json::from_slice(&remaining[..u64::from_le_bytes(*length) as usize]).unwrap();
        header["huge"] = json!({"dtype": "F32", "shape": [BYTES / 4], "data_offsets": [0, BYTES]});
        let header = header.to_string();
        std::fs::write(&path, [&(header.len() as u64).to_le_bytes(), header.as_bytes()].concat())
            .unwrap();
        let file = std::fs::File::options().write(true).open(path).unwrap();
        file.set_len(8 + header.len() as u64 + BYTES).unwrap();
    });
    match error {
        Err(ModelError::Memory { needed, available }) => {
            assert!(needed >= BYTES >> 20 && available < needed);
        }
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("a model of 4 TiB is open"),
    }
}

#[test]
fn memory_estimate_covers_weights_caches_and_buffers() {
    // Number of weights, dimensions of the decoder, range in MiB. Files of float16 have twice as
    // many bytes as weights.
    for (name, weights, (layers, width), expected) in [
        ("tiny", 37_800_000, (4, 384), 90..200),
        ("small", 241_700_000, (12, 768), 350..500),
        ("large-v3", 1_543_500_000, (32, 1_280), 1_700..2_400),
    ] {
        let dimensions = Dimensions { layers, width, tokens: 51_866 };
        let needed = dimensions.min_bytes(weights) >> 20;
        assert!(expected.contains(&needed), "{name}: {needed} MiB");
    }
}

#[test]
fn alignment_heads_out_of_range_are_ignored() {
    let heads = |heads: Value| {
        let change =
            |folder: &Path| edit(folder, "config.json", |config| config["alignment_heads"] = heads);
        open_changed(change).unwrap().config.alignment_heads
    };
    assert_eq!(heads(json!([[0, 0], [7, 0], [0, 1]])), [(0, 0)]);
    assert_eq!(
        heads(json!([[7, 0], [0, 1]])),
        [(0, 0)],
        "the default of a decoder with one layer and one head"
    );
}
