//! A model of both engines, with windows that ours has encoded.

use super::*;
use crate::decoder::EncoderMemory;

/// Output of one kernel's encoder for a window.
pub(super) struct EncodedWindow {
    pub(super) output: Vec<f32>,
    /// The same for the decoder.
    pub(super) memory: EncoderMemory,
}

/// A model opened for one of the kernels.
pub(super) struct OpenedModel {
    pub(super) model: Model,
    pub(super) windows: Vec<EncodedWindow>,
}

/// A model opened for each of some kernels, and windows for it. Encoding takes most of the time, so
/// each window is encoded once for all comparisons.
pub(super) struct EncodedModel {
    pub(super) name: String,
    pub(super) folder: PathBuf,
    /// Files with the features of the windows, for the reference.
    pub(super) paths: Vec<PathBuf>,
    pub(super) opened: Vec<OpenedModel>,
}

impl EncodedModel {
    /// Opens a model, and encodes the windows that `windows` returns for its number of mel bands.
    pub(super) fn open(
        peer: &Peer,
        name: String,
        folder: PathBuf,
        kernels: &[Gemm],
        windows: impl FnOnce(usize) -> Vec<Vec<f32>>,
    ) -> Self {
        let models: Vec<Model> =
            kernels.iter().map(|gemm| Model::open_with(&folder, gemm).unwrap()).collect();
        let windows = windows(models[0].encoder.mels());
        let paths = windows
            .iter()
            .enumerate()
            .map(|(i, w)| peer.write_values(&format!("window{i}"), w))
            .collect();
        let opened = models
            .into_iter()
            .map(|model| OpenedModel { windows: encode(&model, &windows), model })
            .collect();
        Self { name, folder, paths, opened }
    }

    /// Like [`Self::open`], for a model with random weights and windows of different sounds.
    pub(super) fn random(
        peer: &Peer,
        size: &str,
        extra: &[&str],
        kernels: &[Gemm],
        count: u32,
    ) -> Self {
        let name = format!("{size} {extra:?}");
        Self::open(peer, name, peer.model(size, extra), kernels, |mels| windows(count, mels))
    }
}

fn encode(model: &Model, windows: &[Vec<f32>]) -> Vec<EncodedWindow> {
    let mut buffers = model.buffers();
    windows
        .iter()
        .map(|window| {
            let memory = model.encode_audio(&mut buffers, window).unwrap();
            EncodedWindow { output: buffers.encoded.clone(), memory }
        })
        .collect()
}
