use serde::Deserialize;
use taonet_primitives::bytes_without_bom;

use super::features::{BANDS, HOP, SAMPLE_RATE, WINDOW};
use super::{CtcError, labels};

/// A model's `config.json`: dimensions, vocabulary, decoder settings.
#[derive(Debug, Deserialize)]
pub(super) struct Config {
    model_type: String,
    version: u32,
    sample_rate: u32,
    n_fft: usize,
    hop_length: usize,
    pub(super) n_mels: usize,
    pub(super) stem: Vec<Stem>,
    pub(super) blocks: usize,
    pub(super) width: usize,
    pub(super) kernel: usize,
    pub(super) labels_per_frame: usize,
    pub(super) label_seconds: f64,
    blank_id: u8,
    space_id: u8,
    pub(super) vocab: Vec<String>,
    pub(super) layer_norm_eps: f32,
    pub(super) lexicon: Decoder,
}

/// A convolution of the network's stem.
#[derive(Debug, Deserialize)]
pub(super) struct Stem {
    pub(super) out: usize,
    pub(super) kernel: usize,
    pub(super) stride: usize,
}

/// Settings of the beam search.
#[derive(Debug, Clone, Copy, Deserialize)]
pub(super) struct Decoder {
    /// The weight of a word's cost in the score of a hypothesis.
    pub(super) alpha: f64,
    /// The reward of a finished word.
    pub(super) beta: f64,
    /// The beam width: maximum number of hypotheses after each frame.
    pub(super) beam: usize,
    /// Natural logarithm of the minimum probability of a label; less likely labels are skipped.
    pub(super) label_cut_ln: f32,
}

fn is_valid_size(size: usize) -> bool {
    (1..=4096).contains(&size)
}

impl Config {
    /// Parses and validates `config.json`.
    pub(super) fn parse(json: &[u8]) -> Result<Self, CtcError> {
        let config: Self = serde_json::from_slice(bytes_without_bom(json))?;
        let stem_sizes = config.stem.iter().flat_map(|stem| [stem.out, stem.kernel, stem.stride]);
        let has_stem_sizes = stem_sizes.into_iter().all(is_valid_size);
        let settings = config.lexicon;
        let checks = [
            ("model_type", config.model_type == "tiny-ctc"),
            ("version", config.version == 1),
            ("sample_rate", config.sample_rate == SAMPLE_RATE),
            ("n_fft", config.n_fft == WINDOW),
            ("hop_length", config.hop_length == HOP),
            ("n_mels", config.n_mels == BANDS),
            ("vocab", config.vocab.iter().map(String::as_str).eq(labels::names())),
            ("blank_id", config.blank_id == labels::BLANK),
            ("space_id", config.space_id == labels::SPACE),
            ("label_seconds", config.label_seconds > 0.0 && config.label_seconds < 1.0),
            (
                "stem",
                has_stem_sizes && config.stem.last().is_some_and(|stem| stem.out == config.width),
            ),
            ("width", is_valid_size(config.width)),
            ("kernel", is_valid_size(config.kernel)),
            ("labels_per_frame", is_valid_size(config.labels_per_frame)),
            ("lexicon.beam", is_valid_size(settings.beam)),
            ("blocks", config.blocks <= 64),
            (
                "lexicon",
                settings.alpha.is_finite()
                    && settings.beta.is_finite()
                    && settings.label_cut_ln < 0.0,
            ),
        ];
        match checks.iter().find(|(_, holds)| !holds) {
            Some((setting, _)) => Err(CtcError::Config { setting }),
            None => Ok(config),
        }
    }
}
