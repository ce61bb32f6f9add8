//! The network of a voice: IDs of phonemes in, samples out.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use rten::{
    DataType, Model, ModelOptions, NodeId, OpRegistry, ValueOrView, ValueType, op_registry,
};
use rten_tensor::NdTensor;
use rten_tensor::prelude::*;
use taonet_primitives::{panic_message, with_causes};

use crate::config::Config;
use crate::decoder::{Decoder, Signal};
use crate::file::read;
use crate::{VoiceError, onnx};

/// Inputs of Piper's VITS models: name, type, and number of dimensions.
const INPUTS: [(&str, DataType, usize); 3] = [
    ("input", DataType::Int32, 2),
    ("input_lengths", DataType::Int32, 1),
    ("scales", DataType::Float, 1),
];
/// Input of models with several speakers.
const SPEAKER_INPUT: (&str, DataType, usize) = ("sid", DataType::Int32, 1);

/// Maximum size of the file in bytes. Published voices have at most 115 MB.
const MAX_BYTES: u64 = 512 << 20;
/// Maximum number of IDs in a phrase, which limits time and memory: 150 phonemes of 8 IDs
/// and a pad each fit.
const MAX_PHRASE_IDS: usize = 1_500;

/// A VITS model.
pub(crate) struct Network {
    model: Model,
    inputs: [NodeId; 3],
    /// Input and ID of the speaker.
    speaker: Option<(NodeId, i32)>,
    /// The samples, or the input of the decoder.
    output: NodeId,
    decoder: Option<Decoder>,
}

impl Network {
    /// Loads the model at `path`.
    ///
    /// # Errors
    /// [`VoiceError::Io`], [`VoiceError::TooLarge`], [`VoiceError::Network`] or
    /// [`VoiceError::Architecture`].
    pub(crate) fn open(path: &Path, config: &Config) -> Result<Self, VoiceError> {
        let file = read(path, MAX_BYTES)?;
        let model = onnx::check(&file).and_then(|()| {
            let decoder = catch_panic(|| Ok(Decoder::find(&file)))?;
            let model = catch_panic(|| {
                let mut options = ModelOptions::with_ops(operators());
                let model = options.prepack_weights(true).load(file);
                model.map_err(|error| with_causes(&error))
            })?;
            Ok((model, decoder))
        });
        let (model, decoder) =
            model.map_err(|reason| VoiceError::Network { path: path.to_owned(), reason })?;
        Self::new(model, decoder, config)
            .map_err(|reason| VoiceError::Architecture { path: path.to_owned(), reason })
    }

    fn new(model: Model, decoder: Option<Decoder>, config: &Config) -> Result<Self, String> {
        let mut inputs = [None; INPUTS.len()];
        let mut speaker = None;
        for id in model.input_ids() {
            let Some(info) = model.node_info(*id) else { continue };
            let name = info.name().unwrap_or_default();
            let expected =
                INPUTS.iter().zip(&mut inputs).find(|((expected, ..), _)| *expected == name);
            let ((_, data_type, rank), slot) = match expected {
                Some((input, slot)) => (*input, slot),
                None if name == SPEAKER_INPUT.0 => (SPEAKER_INPUT, &mut speaker),
                None => return Err(format!("it has an input {name:?}")),
            };
            let has_expected_type =
                info.dtype().is_none_or(|dtype| dtype == ValueType::Tensor(data_type));
            if !has_expected_type || info.shape().is_some_and(|shape| shape.len() != rank) {
                return Err(format!("its input {name:?} has another type"));
            }
            *slot = Some(*id);
        }
        let [Some(ids), Some(lengths), Some(scales)] = inputs else {
            let missing = INPUTS.iter().zip(inputs).find(|(_, id)| id.is_none());
            return Err(format!(
                "it has no input {:?}",
                missing.map_or("", |((name, ..), _)| name)
            ));
        };
        let speaker = match (speaker, config.speaker) {
            (None, None) => None,
            (Some(input), Some(id)) => Some((input, id)),
            (Some(_), None) => {
                return Err("it has several speakers, and its configuration one".to_owned());
            }
            (None, Some(_)) => {
                return Err("it has one speaker, and its configuration several".to_owned());
            }
        };
        let output = *model.output_ids().first().ok_or("it has no output")?;
        let output_name = model.node_info(output).and_then(|info| info.name().map(str::to_owned));
        // rten's optimiser may have removed the value that enters the decoder.
        let decoder = decoder.filter(|decoder| output_name.as_deref() == Some(&decoder.output));
        let decoder = decoder.and_then(|decoder| Some((model.find_node(&decoder.input)?, decoder)));
        let (output, decoder) =
            decoder.map_or((output, None), |(input, decoder)| (input, Some(decoder)));
        Ok(Self { model, inputs: [ids, lengths, scales], speaker, output, decoder })
    }

    /// Returns the samples of phonemes, with all durations multiplied by `length_scale`.
    ///
    /// # Errors
    /// Why the network failed.
    pub(crate) fn run(&self, ids: &[i32], length_scale: f32) -> Result<Vec<f32>, String> {
        if ids.len() > MAX_PHRASE_IDS {
            return Err(format!(
                "a phrase has {} numbers of phonemes, more than {MAX_PHRASE_IDS}",
                ids.len()
            ));
        }
        let count = i32::try_from(ids.len()).map_err(|error| error.to_string())?;
        let values = NdTensor::from_data([1, ids.len()], ids.to_vec());
        // Without noise, which would give other samples each time: neither in the voice nor in the
        // durations.
        let scales = NdTensor::from([0.0, length_scale, 0.0]);
        let [input, lengths, scale] = self.inputs;
        let mut inputs: Vec<(NodeId, ValueOrView<'_>)> = vec![
            (input, values.into()),
            (lengths, NdTensor::from([count]).into()),
            (scale, scales.into()),
        ];
        if let Some((input, speaker)) = self.speaker {
            inputs.push((input, NdTensor::from([speaker]).into()));
        }
        let [output] = catch_panic(|| {
            self.model.run_n(inputs, [self.output], None).map_err(|error| with_causes(&error))
        })?;
        let output: rten_tensor::Tensor<f32> =
            output.try_into().map_err(|_| "its output is not of floats")?;
        let width = output.shape().last().copied().unwrap_or_default();
        let samples = if let Some(decoder) = &self.decoder {
            let signal = Signal { values: output.into_data(), width, start: 0 };
            catch_panic(|| {
                decoder
                    .run(signal)
                    .ok_or_else(|| "its decoder does not fit the rest of it".to_owned())
            })?
        } else if output.len() == width {
            output.into_data()
        } else {
            return Err(format!("its output has the shape {:?}", output.shape()));
        };
        if samples.iter().all(|sample| sample.is_finite()) {
            Ok(samples)
        } else {
            Err("its output is not finite".to_owned())
        }
    }
}

/// Returns the operators of Piper's networks: those of published voices, and further ones that
/// other versions of PyTorch export. Without loops, every network ends.
fn operators() -> OpRegistry {
    op_registry! {
        Abs, Add, And, Cast, Ceil, Clip, Concat, ConstantOfShape, Conv, ConvTranspose, CumSum, Div, Einsum, Equal,
        Erf, Exp, Expand, Flatten, Floor, Gather, GatherElements, GatherND, Gelu, Gemm, Greater, GreaterOrEqual,
        Identity, If, LayerNormalization, LeakyRelu, Less, LessOrEqual, Log, MatMul, Max, Min, Mod, Mul, Neg, NonZero,
        Not, Or, Pad, Pow, RandomNormalLike, Range, Reciprocal, ReduceMax, ReduceMean, ReduceMin, ReduceSum, Relu,
        Reshape, Round, ScatterElements, ScatterND, Shape, Sigmoid, Slice, Softmax, Softplus, Split, Sqrt, Squeeze,
        Sub, Sum, Tanh, Tile, Transpose, Unsqueeze, Where
    }
}

/// Runs a part of a network. rten panics at some malformed networks; a panic becomes an error.
fn catch_panic<T>(call: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    // Nothing that outlives the call is changed: model and decoder are immutable.
    catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|panic| {
        Err(panic_message(&*panic).unwrap_or("the inference library panicked").to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{self, SAMPLES, UPSAMPLED, parsed_config};

    fn open(network: &[u8], config: &Config) -> Result<Network, VoiceError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tiny.onnx");
        std::fs::write(&path, network).unwrap();
        Network::open(&path, config)
    }

    #[test]
    fn phoneme_ids_become_samples() {
        let network = open(&testing::network(&testing::INPUTS), &parsed_config()).unwrap();
        let samples = network.run(&[3, 5], 0.5).unwrap();
        assert_eq!(samples, [[1.5; SAMPLES], [2.5; SAMPLES]].concat());
        assert_eq!(network.run(&[3, 5], 0.5).unwrap(), samples);
    }

    #[test]
    fn decoder_output_matches_rten() {
        let mut network = open(&testing::decoder_network(), &parsed_config()).unwrap();
        // So many that a stage runs in several pieces.
        let ids: Vec<i32> =
            (0_i32..).map(|position| position * 7 % 11 - 5).take(MAX_PHRASE_IDS).collect();
        let ours = network.run(&ids, 1.0).unwrap();
        assert!(network.decoder.take().is_some());
        network.output = network.model.output_ids()[0];
        let expected = network.run(&ids, 1.0).unwrap();
        assert_eq!((ours.len(), expected.len()), (ids.len() * UPSAMPLED, ids.len() * UPSAMPLED));
        let differences =
            ours.iter().zip(&expected).map(|(ours, expected)| (ours - expected).abs());
        let largest = differences.fold(0.0, f32::max);
        assert!(largest < 1e-5, "{largest}");
        assert!(
            expected.iter().any(|sample| sample.abs() > 0.1)
                && expected.iter().any(|sample| sample.abs() < 0.9)
        );
    }

    #[test]
    fn multi_speaker_network_requires_a_configured_speaker() {
        let mut config = parsed_config();
        let inputs = [&testing::INPUTS[..], &[testing::SPEAKER]].concat();
        let error = open(&testing::network(&inputs), &config).err().unwrap().to_string();
        assert!(error.contains("several speakers, and its configuration one\nhint: "), "{error}");
        config.speaker = Some(2);
        open(&testing::network(&inputs), &config).unwrap().run(&[1], 1.0).unwrap();
        let error = open(&testing::network(&testing::INPUTS), &config).err().unwrap().to_string();
        assert!(error.contains("one speaker, and its configuration several"), "{error}");
    }

    #[test]
    fn models_with_unexpected_inputs_are_refused() {
        let config = parsed_config();
        let [ids, lengths, scales] = testing::INPUTS;
        let incomplete = open(&testing::network(&[ids, scales]), &config).err().unwrap();
        assert!(matches!(incomplete, VoiceError::Architecture { .. }), "{incomplete}");
        assert!(
            incomplete.to_string().contains("it has no input \"input_lengths\"\nhint: "),
            "{incomplete}"
        );
        let more_inputs = [ids, lengths, scales, ("tokens", 7, 2)];
        let error = open(&testing::network(&more_inputs), &config).err().unwrap().to_string();
        assert!(error.contains("it has an input \"tokens\""), "{error}");
        let other = [ids, lengths, ("scales", 7, 1)];
        let error = open(&testing::network(&other), &config).err().unwrap().to_string();
        assert!(error.contains("its input \"scales\" has another type"), "{error}");
    }

    #[test]
    fn unsupported_operators_are_refused() {
        let mut network = testing::network(&testing::INPUTS);
        let at = network.windows(6).position(|bytes| bytes == b"Expand").unwrap();
        network[at..at + 6].copy_from_slice(b"Resize");
        let error = open(&network, &parsed_config()).err().unwrap();
        assert!(error.to_string().contains("Resize operator not supported"), "{error}");
        assert!(matches!(error, VoiceError::Network { .. }), "{error}");
    }

    #[test]
    fn damaged_network_files_are_refused() {
        let config = parsed_config();
        let network = testing::network(&testing::INPUTS);
        // A field of 2^62 bytes, which rten 0.27 would allocate.
        let oversized = b"\x08\x08\x3a\x00\x12\x80\x80\x80\x80\x80\x80\x80\x80\x40";
        for damaged in [&[][..], b"not a model", &[0; 64], &network[..network.len() / 2], oversized]
        {
            let error = open(damaged, &config).err().unwrap();
            assert!(error.to_string().contains("tiny.onnx"), "{error}");
        }
    }

    #[test]
    fn too_long_phrase_is_refused() {
        let network = open(&testing::network(&testing::INPUTS), &parsed_config()).unwrap();
        assert_eq!(network.run(&[1; MAX_PHRASE_IDS], 1.0).unwrap().len(), MAX_PHRASE_IDS * SAMPLES);
        let error = network.run(&[1; MAX_PHRASE_IDS + 1], 1.0).unwrap_err();
        assert_eq!(error, "a phrase has 1501 numbers of phonemes, more than 1500");
    }

    #[test]
    fn panic_becomes_an_error() {
        assert_eq!(catch_panic(|| Ok(1)), Ok(1));
        assert_eq!(catch_panic::<()>(|| panic!("shape {}", 3)), Err("shape 3".to_owned()));
        assert_eq!(catch_panic::<()>(|| panic!("no shape")), Err("no shape".to_owned()));
    }

    proptest::proptest! {
        /// The process neither aborts nor hangs. A network that loads despite its damage is not
        /// run: its shapes could need any amount of memory.
        #[test]
        fn damaged_networks_are_loaded_or_refused(
            changes in proptest::collection::vec((proptest::prelude::any::<proptest::sample::Index>(), 0_u8..), 1..5),
            length in proptest::option::weighted(0.2, proptest::prelude::any::<proptest::sample::Index>()),
        ) {
            let mut network = testing::network(&testing::INPUTS);
            for (position, byte) in changes {
                let position = position.index(network.len());
                network[position] = byte;
            }
            if let Some(length) = length {
                network.truncate(length.index(network.len()));
            }
            if let Err(error) = open(&network, &parsed_config()) {
                proptest::prop_assert!(error.to_string().contains("tiny.onnx"), "{error}");
            }
        }
    }
}
