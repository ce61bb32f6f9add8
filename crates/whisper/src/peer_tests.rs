//! Comparison with faster-whisper and CTranslate2, if installed by `scripts/peers`.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use serde_json::{Value, json};
use taonet_testing::{is_exhaustive, peer_directory, query_program};

use crate::decoder::Row;
use crate::encoder::Buffers;
use crate::kernel::Gemm;
use crate::mel::{LogMel, WINDOW_FRAMES};
use crate::model::Model;

mod decoding;
mod encoded;
mod languages;
mod margin;
mod numbers;
mod recordings;
mod script;
mod simultaneous;
mod transcripts;
mod vocabulary;
mod voices;

use encoded::EncodedModel;
use numbers::Repetition;

/// Python environment of faster-whisper, and a folder for files exchanged with it.
struct Peer {
    python: PathBuf,
    folder: tempfile::TempDir,
}

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}

fn python() -> Option<PathBuf> {
    Some(peer_directory("whisper")?.join("bin/python"))
}

/// Whether the CPU has instructions for exact sums of int8 products.
#[cfg(target_arch = "x86_64")]
fn has_vnni() -> bool {
    is_x86_feature_detected!("avx512vnni") || is_x86_feature_detected!("avxvnni")
}

#[cfg(not(target_arch = "x86_64"))]
fn has_vnni() -> bool {
    true
}

impl Peer {
    fn find() -> Option<Self> {
        Some(Self { python: python()?, folder: tempfile::tempdir().unwrap() })
    }

    /// Like [`Self::find`], for comparisons of int8 products. On AMD's CPUs without VNNI, the sums
    /// of CTranslate2's products (oneDNN) saturate: its encoder output is 5 % away from its own
    /// float32 output, instead of 1 %. There, a test prints a notice and passes, also with `CI`
    /// set. Ours are exact on every CPU, as the tests of the kernels show. With `CT2_USE_MKL=1`,
    /// CTranslate2's sums are exact on these CPUs too, but take several times as long.
    fn with_exact_products() -> Option<Self> {
        if has_vnni() || std::env::var_os("CT2_USE_MKL").is_some_and(|value| value == "1") {
            return Self::find();
        }
        let _ = writeln!(
            std::io::stderr(),
            "NOT TESTED against faster-whisper: this machine has no VNNI, without which the reference's sums of int8 \
             products saturate. To compare all the same, slowly, set CT2_USE_MKL=1"
        );
        None
    }

    /// Returns a model with random weights in the shape of the given size, created on first use.
    fn model(&self, size: &str, extra: &[&str]) -> PathBuf {
        let folder = self.folder.path().join([&[size][..], extra].concat().join(" "));
        if folder.exists() {
            return folder;
        }
        let status = Command::new(&self.python)
            .arg(repository("crates/whisper/tests/peer/random_model.py"))
            .arg(&folder)
            .args(["--size", size])
            .args(extra)
            .status()
            .unwrap();
        assert!(status.success(), "random_model.py failed");
        folder
    }

    fn run_reference(&self, mut request: Value) -> Value {
        request["out"] = json!(self.folder.path());
        let script = repository("crates/whisper/tests/peer/reference.py");
        query_program(Command::new(&self.python).arg(script).env("HF_HUB_OFFLINE", "1"), &request)
    }

    /// Writes an array for the reference.
    fn write_values(&self, name: &str, values: &[f32]) -> PathBuf {
        let path = self.folder.path().join(name);
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        std::fs::write(&path, bytes).unwrap();
        path
    }

    /// Reads an array that the reference wrote.
    fn read_values(&self, name: &str) -> Vec<f32> {
        let bytes = std::fs::read(self.folder.path().join(name)).unwrap();
        bytes.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
    }
}

/// Returns the kernels of this CPU and, if it has an extension for matrices, those of CPUs without.
fn kernels() -> Vec<Gemm> {
    let own = Gemm::default();
    let others = own.extension.map(|_| Gemm::new(None));
    std::iter::once(own).chain(others).collect()
}

/// Like [`kernels`], for models with which a comparison takes many seconds: only those of this CPU,
/// except under `TAONET_TEST_ALL`. All kernels compute the same integers, and smaller models compare
/// their floats.
fn sampled_kernels() -> Vec<Gemm> {
    if is_exhaustive() { kernels() } else { vec![Gemm::default()] }
}

/// Opens a model once for each of the [`kernels`].
fn models(folder: &Path) -> Vec<Model> {
    kernels().iter().map(|gemm| Model::open_with(folder, gemm).unwrap()).collect()
}

/// Returns the directory of a small model that has learnt the voices of espeak-ng.
fn trained_model() -> PathBuf {
    repository("crates/whisper/tests/model")
}

/// Reads the samples of the recordings in vectors/speech.
fn recordings() -> Vec<Vec<f32>> {
    (0..20)
        .map(|index| {
            let bytes =
                std::fs::read(repository(&format!("vectors/speech/utt{index:02}.wav"))).unwrap();
            // 16-bit mono after a header of 44 bytes.
            bytes[44..]
                .as_chunks::<2>()
                .0
                .iter()
                .map(|s| f32::from(i16::from_le_bytes(*s)) / 32768.0)
                .collect()
        })
        .collect()
}

/// Generates a chirp in noise that depends on the seed.
fn sound(seed: u32, seconds: f32) -> Vec<f32> {
    let mut state = seed.wrapping_mul(747_796_405).wrapping_add(2_891_336_453);
    (0..(seconds * 16_000.0) as usize)
        .map(|i| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let noise = (state >> 8) as f32 / (1 << 23) as f32 - 1.0;
            let t = i as f32 / 16_000.0;
            let chirp =
                (t * (180.0 + (seed % 100) as f32 + 40.0 * t) * std::f32::consts::TAU).sin();
            0.18 * chirp + 0.06 * noise
        })
        .collect()
}

/// One test for all large random models: creating a model takes seconds, and both engines encode a
/// window in seconds. Each is done once for the comparisons of the encoder, the tokens and their
/// alignment.
///
/// A difference in the last bit of one activation moves some integers of the next layer by one.
/// After a dozen layers of unscaled random weights no common bits remain, and two engines differ as
/// much as two runs of the reference on perturbed features: 1.6 %. A one-layer model verifies the
/// arithmetic; residual weights scaled as after training verify the complete encoder. The limits
/// leave room for other orders of the sums, on CPUs with and without AMX.
///
/// Random weights have flat attention, so rounding decides the position of a token. With many
/// layers, the reference does not reproduce its own positions either: fewer than half of its own
/// tokens stay with unscaled weights of `small`, which amplify rounding most.
#[test]
fn encoder_tokens_and_alignment_equal_the_reference() {
    let Some(peer) = Peer::with_exact_products() else { return };
    let [aligned, repeating, distinct] = if is_exhaustive() { [4, 10, 5] } else { [2, 1, 2] };
    let (all, sampled) = (kernels(), sampled_kernels());
    let one_layer = ["--layers", "1"];

    for quantization in ["float32", "int8"] {
        let extra = ["--quantization", quantization];
        let model = EncodedModel::random(&peer, "micro", &extra, &all, 2);
        numbers::check_encoder(&peer, &model, 2e-3);
    }
    // In blocks, so that one model at a time is in memory.
    {
        let model = EncodedModel::random(&peer, "tiny", &one_layer, &all, aligned);
        decoding::check_alignment(&peer, &model, aligned);
    }
    {
        let model = EncodedModel::random(&peer, "tiny", &[], &all, aligned);
        numbers::check_steps(&peer, &model, aligned, 100, Repetition::Forbidden);
        decoding::check_alignment_of_layers(&peer, &model, aligned, 60);
    }
    {
        let model = EncodedModel::random(&peer, "large-v3-turbo", &one_layer, &all, 2);
        numbers::check_encoder(&peer, &model, 6e-3);
        numbers::check_steps(&peer, &model, 2, 50, Repetition::Forbidden);
    }
    {
        let model = EncodedModel::random(&peer, "small", &one_layer, &all, aligned);
        numbers::check_encoder(&peer, &model, 3e-3);
        decoding::check_alignment(&peer, &model, aligned);
    }
    {
        let extra = ["--residual", "0.2"];
        let model = EncodedModel::random(&peer, "small", &extra, &sampled, aligned);
        numbers::check_encoder(&peer, &model, 1e-2);
        decoding::check_alignment_of_layers(&peer, &model, aligned, 60);
    }
    let count = aligned.max(repeating);
    let model = EncodedModel::random(&peer, "small", &[], &sampled, count);
    numbers::check_encoder(&peer, &model, 2e-2);
    numbers::check_steps(&peer, &model, repeating, 200, Repetition::Allowed);
    numbers::check_steps(&peer, &model, distinct, 200, Repetition::Forbidden);
    decoding::check_alignment_of_layers(&peer, &model, aligned, 40);
}

/// Generates feature windows of different sounds.
fn windows(count: u32, mels: usize) -> Vec<Vec<f32>> {
    let log_mel = LogMel::new(mels);
    (0..count).map(|seed| log_mel.features(&sound(seed, 30.0)).window(0, WINDOW_FRAMES)).collect()
}
