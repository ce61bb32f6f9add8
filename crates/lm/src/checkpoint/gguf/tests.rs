use std::fs;

use candle_core::Tensor;

use super::*;
use crate::causal::{CausalModel, LoadOptions};
use crate::checkpoint::Conversion;
use crate::checkpoint::tensors::{Source, Tensors};
use crate::linear::{Bits, Weight};
use crate::vocabulary::Vocabulary;

/// A value of the metadata to write.
enum MetadataValue<'a> {
    Flag(bool),
    Integer(u32),
    Text(&'a str),
    Texts(&'a [String]),
    Floats(&'a [f32]),
    Integers(&'a [i32]),
}

fn text_bytes(text: &str) -> Vec<u8> {
    [&(text.len() as u64).to_le_bytes()[..], text.as_bytes()].concat()
}

fn array<T>(kind: u32, elements: &[T], bytes: impl Fn(&T) -> Vec<u8>) -> Vec<u8> {
    let header =
        [&9_u32.to_le_bytes()[..], &kind.to_le_bytes(), &(elements.len() as u64).to_le_bytes()]
            .concat();
    [header, elements.iter().flat_map(bytes).collect()].concat()
}

/// Opens a file that has metadata only.
fn open(values: &[(&str, MetadataValue<'_>)]) -> Result<Gguf, LoadError> {
    let mut file = [&MAGIC[..], &3_u32.to_le_bytes(), &0_u64.to_le_bytes()].concat();
    file.extend((values.len() as u64).to_le_bytes());
    for (name, value) in values {
        file.extend(text_bytes(name));
        file.extend(match value {
            MetadataValue::Flag(flag) => [&7_u32.to_le_bytes()[..], &[u8::from(*flag)]].concat(),
            MetadataValue::Integer(number) => [4_u32.to_le_bytes(), number.to_le_bytes()].concat(),
            MetadataValue::Text(text) => [&8_u32.to_le_bytes()[..], &text_bytes(text)].concat(),
            MetadataValue::Texts(texts) => array(8, texts, |text| text_bytes(text)),
            MetadataValue::Floats(numbers) => {
                array(6, numbers, |number| number.to_le_bytes().to_vec())
            }
            MetadataValue::Integers(numbers) => {
                array(5, numbers, |number| number.to_le_bytes().to_vec())
            }
        });
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    fs::write(&path, file).unwrap();
    Gguf::open(&path)
}

#[test]
fn chat_template_has_bos_and_eos_token_texts() {
    let tokens = ["<s>", "</s>"].map(str::to_owned);
    let texts = || ("tokenizer.ggml.tokens", MetadataValue::Texts(&tokens));
    let template = ("tokenizer.chat_template", MetadataValue::Text("{{ bos_token }}"));
    let ids = [("tokenizer.ggml.bos_token_id", 0), ("tokenizer.ggml.eos_token_id", 1)];
    let [bos, eos] = ids.map(|(name, id)| (name, MetadataValue::Integer(id)));
    let actual = open(&[texts(), template, bos, eos]).unwrap().template().unwrap().unwrap();
    assert_eq!(
        (&*actual.source, &*actual.bos_text, &*actual.eos_text),
        ("{{ bos_token }}", "<s>", "</s>")
    );
    assert!(open(&[texts()]).unwrap().template().unwrap().is_none());
}

#[test]
fn control_tokens_with_known_end_texts_stop_generation() {
    let tokens = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|end|>"].map(str::to_owned);
    let kinds = ("tokenizer.ggml.token_type", MetadataValue::Integers(&[3, 3, 3, 1]));
    let file = open(&[("tokenizer.ggml.tokens", MetadataValue::Texts(&tokens)), kinds]).unwrap();
    assert_eq!(file.end_tokens().into_iter().collect::<Vec<_>>(), [0, 2], "the last one is a text");
}

/// Opens a file with one matrix `w`.
fn open_matrix(blocks: &QTensor, number: u32) -> Gguf {
    let (rows, columns) = blocks.shape().dims2().unwrap();
    let mut file =
        [&MAGIC[..], &3_u32.to_le_bytes(), &1_u64.to_le_bytes(), &0_u64.to_le_bytes()].concat();
    file.extend(text_bytes("w"));
    file.extend(2_u32.to_le_bytes());
    file.extend([columns as u64, rows as u64].map(u64::to_le_bytes).concat());
    file.extend(number.to_le_bytes());
    file.extend(0_u64.to_le_bytes());
    file.resize(file.len().next_multiple_of(DEFAULT_ALIGNMENT as usize), 0);
    file.extend_from_slice(&blocks.data().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    fs::write(&path, file).unwrap();
    Gguf::open(&path).unwrap()
}

/// Returns the largest difference between weights and their expected values.
fn difference(weight: &Weight, expected: &Tensor) -> f32 {
    let difference = (weight.dense() - expected).unwrap().abs().unwrap().flatten_all().unwrap();
    difference.to_vec1::<f32>().unwrap().into_iter().fold(0.0, f32::max)
}

/// Formats whose products are slow become 8 bits where a model asks for it; the other formats stay
/// as they are.
#[test]
fn slow_formats_are_converted_to_8_bits() {
    let numbers: Vec<f32> = (0..128).map(|index| (index as f32 * 0.37).sin()).collect();
    let matrix = Tensor::from_vec(numbers, (2, 64), &Device::Cpu).unwrap();
    for (format, number, is_converted) in [
        (GgmlDType::Q4_1, 3, !Weight::is_fast(GgmlDType::Q4_1)),
        (GgmlDType::Q5_0, 6, true),
        (GgmlDType::Q4_0, 2, false),
        (GgmlDType::Q8_0, 8, false),
    ] {
        let blocks = QTensor::quantize(&matrix, format).unwrap();
        let load = |conversion| -> Weight {
            let source = Source::Gguf(open_matrix(&blocks, number));
            Tensors { source, device: Device::Cpu, conversion }.matrix("w", [2, 64]).unwrap()
        };
        let floats = blocks.dequantize(&Device::Cpu).unwrap();
        let expected = if is_converted {
            QTensor::quantize(&floats, GgmlDType::Q8_0).unwrap().dequantize(&Device::Cpu).unwrap()
        } else {
            floats.clone()
        };
        let actual = load(Conversion::SlowBlocks);
        assert!(actual.is_quantized() && difference(&actual, &expected) < 1e-6, "{format:?}");
        assert!(difference(&actual, &floats) < 0.01, "{format:?}");
        assert!(difference(&load(Conversion::Floats(None)), &floats) < 1e-6, "{format:?}");
    }
}

/// With a width for all matrices, blocks of other formats are converted to it, and those of its
/// format stay as they are.
#[test]
fn all_formats_are_converted_on_request() {
    let numbers: Vec<f32> = (0..128).map(|index| (index as f32 * 0.37).sin()).collect();
    let matrix = Tensor::from_vec(numbers, (2, 64), &Device::Cpu).unwrap();
    for (format, number) in
        [(GgmlDType::F32, 0), (GgmlDType::Q4_0, 2), (GgmlDType::Q4_1, 3), (GgmlDType::Q8_0, 8)]
    {
        let blocks = QTensor::quantize(&matrix, format).unwrap();
        let floats = blocks.dequantize(&Device::Cpu).unwrap();
        for bits in [Bits::Eight, Bits::Four] {
            let source = Source::Gguf(open_matrix(&blocks, number));
            let conversion = Conversion::All(bits);
            let mut tensors = Tensors { source, device: Device::Cpu, conversion };
            let actual = tensors.matrix("w", [2, 64]).unwrap();
            let expected = if bits.format() == format {
                floats.clone()
            } else {
                let rounded = QTensor::quantize(&floats, bits.format()).unwrap();
                rounded.dequantize(&Device::Cpu).unwrap()
            };
            assert!(actual.is_quantized(), "{format:?} {bits:?}");
            assert!(difference(&actual, &expected) < 1e-6, "{format:?} {bits:?}");
        }
    }
}

/// Columns: alignment · whether it is accepted
#[test]
fn alignment_must_be_a_power_of_two() {
    for (alignment, expected) in [
        (1, true),
        (32, true),
        (1 << 20, true),
        (0, false),
        (3, false),
        (33, false),
        (48, false),
        (1 << 21, false),
        (u32::MAX, false),
    ] {
        let actual = open(&[("general.alignment", MetadataValue::Integer(alignment))]);
        assert_eq!(actual.is_ok(), expected, "{alignment}");
        if let Err(error) = actual {
            let expected = format!(
                "general.alignment: expected a power of two up to 1048576, found {alignment}; hint: "
            );
            assert!(error.to_string().contains(&expected), "{error}");
        }
    }
}

fn vectors(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../vectors/lm").join(name)
}

/// Every tensor of a file in turn has one number, or all, that are not finite.
#[test]
fn tensor_with_non_finite_weights_is_reported() {
    for (file, block, number) in [("llama-q8_0.gguf", 34, 2), ("gpt2-q4_0.gguf", 18, 2)] {
        let content = fs::read(vectors(file)).unwrap();
        let gguf = Gguf::open(&vectors(file)).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.gguf");
        let mut checked_count = 0;
        for (name, entry) in &gguf.tensors {
            let start = entry.start as usize;
            let (step, number) =
                if entry.format == GgmlDType::F32 { (4, 4) } else { (block, number) };
            for count in [1, entry.bytes / step] {
                let mut changed = content.clone();
                for offset in (0..count).map(|index| start + index * step) {
                    // 0xffff is not a number in 16 bits, and 0xffffffff in 32 bits.
                    changed[offset..offset + number].fill(0xff);
                }
                fs::write(&path, changed).unwrap();
                let error =
                    CausalModel::open(&path, LoadOptions::default()).unwrap_err().to_string();
                let expected =
                    format!("tensor {name} has values that are not finite numbers; hint: ");
                assert!(error.starts_with(&expected), "{file}: {error}");
                checked_count += 1;
            }
        }
        assert!(checked_count > 20, "{checked_count}");
    }
}

/// A vocabulary in `pre_tokenizers.json`.
#[derive(serde::Deserialize)]
struct Recorded {
    tokens: Vec<String>,
    #[serde(default)]
    merges: Vec<String>,
    #[serde(default)]
    scores: Vec<f32>,
    types: Vec<i32>,
}

#[derive(serde::Deserialize)]
struct Recording {
    vocabularies: HashMap<String, Recorded>,
    texts: Vec<String>,
    ids: std::collections::BTreeMap<String, Vec<Vec<u32>>>,
}

fn recording() -> Recording {
    serde_json::from_slice(&fs::read(vectors("pre_tokenizers.json")).unwrap()).unwrap()
}

impl Recorded {
    fn byte_level(&self, pre: &str) -> Result<Gguf, LoadError> {
        open(&[
            ("tokenizer.ggml.model", MetadataValue::Text("gpt2")),
            ("tokenizer.ggml.pre", MetadataValue::Text(pre)),
            ("tokenizer.ggml.tokens", MetadataValue::Texts(&self.tokens)),
            ("tokenizer.ggml.merges", MetadataValue::Texts(&self.merges)),
            ("tokenizer.ggml.token_type", MetadataValue::Integers(&self.types)),
        ])
    }

    fn sentence_pieces(&self, scores: &[f32], prefix: bool) -> Result<Gguf, LoadError> {
        open(&[
            ("tokenizer.ggml.model", MetadataValue::Text("llama")),
            ("tokenizer.ggml.pre", MetadataValue::Text("default")),
            ("tokenizer.ggml.tokens", MetadataValue::Texts(&self.tokens)),
            ("tokenizer.ggml.scores", MetadataValue::Floats(scores)),
            ("tokenizer.ggml.token_type", MetadataValue::Integers(&self.types)),
            ("tokenizer.ggml.add_space_prefix", MetadataValue::Flag(prefix)),
        ])
    }
}

fn vocabulary(gguf: &Gguf, size: usize) -> Vocabulary {
    let document = gguf.tokenizer().unwrap().unwrap();
    Vocabulary::parse(gguf.path(), document.to_string(), size, Some(1), vec![2]).unwrap()
}

/// Texts that llama.cpp splits differently from the models' own tokenizers: it approximates classes
/// of letters with their marks, and knows word boundaries between ASCII characters only.
const APPROXIMATED: [(&str, &str); 3] =
    [("gpt-4o", "\u{1f44d}"), ("tekken", "\u{1f44d}"), ("tiny_aya", "2024\u{5e74}")];

#[test]
fn embedded_tokenizers_split_texts_as_llama_cpp_does() {
    let Recording { vocabularies, texts, ids } = recording();
    let mut approximated = 0;
    for (name, expected) in &ids {
        let kind = if name.starts_with("llama") && name != "llama-bpe" { "llama" } else { "gpt2" };
        let recorded = &vocabularies[kind];
        let gguf = match name.as_str() {
            "llama" => recorded.sentence_pieces(&recorded.scores, true),
            "llama-without-prefix" => recorded.sentence_pieces(&recorded.scores, false),
            pre => recorded.byte_level(pre),
        };
        let vocabulary = vocabulary(&gguf.unwrap(), recorded.tokens.len());
        assert_eq!(expected.len(), texts.len());
        for (text, expected) in texts.iter().zip(expected) {
            if APPROXIMATED.iter().any(|(pre, part)| pre == name && text.contains(part)) {
                approximated += 1;
                continue;
            }
            let tokens = vocabulary.encode(text).unwrap();
            assert_eq!(&tokens, expected, "{name}: {text:?}");
            // SentencePiece's prefix also precedes the text after a token of the user, and is not
            // removed there.
            if name != "llama" || !text.contains("<keep>") {
                assert_eq!(&vocabulary.decode(&tokens), text, "{name}");
            }
        }
    }
    assert_eq!((ids.len(), approximated), (29, APPROXIMATED.len()));
}

/// Columns: fields that differ from a supported tokenizer · what the error says
#[test]
fn unsupported_tokenizer_is_reported() {
    let Recording { mut vocabularies, .. } = recording();
    let recorded = vocabularies.remove("gpt2").unwrap();
    let reason = |gguf: Gguf| gguf.tokenizer().unwrap().unwrap_err();
    assert_eq!(
        reason(recorded.byte_level("kimi-k2").unwrap()),
        r#"tokenizer.ggml.pre "kimi-k2" is not supported"#
    );
    let model = |name| {
        open(&[
            ("tokenizer.ggml.model", MetadataValue::Text(name)),
            (TOKENS, MetadataValue::Texts(&recorded.tokens)),
        ])
    };
    assert_eq!(
        reason(model("bert").unwrap()),
        r#"tokenizer.ggml.model "bert" is not supported, only "gpt2" and "llama""#
    );
    assert_eq!(reason(open(&[]).unwrap()), "the file has no tokenizer");
    let error = model("llama").unwrap().tokenizer().unwrap_err().to_string();
    assert!(error.contains("tokenizer.ggml.scores: is missing"), "{error}");
    let pieces = vocabularies.remove("llama").unwrap();
    for (scores, expected) in [
        (vec![0.0], "tokenizer.ggml.scores: 1 scores for"),
        (vec![f32::NAN; pieces.tokens.len()], "tokenizer.ggml.scores: a score is not a number"),
    ] {
        let error =
            pieces.sentence_pieces(&scores, true).unwrap().tokenizer().unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

const TOKENS: &str = "tokenizer.ggml.tokens";
