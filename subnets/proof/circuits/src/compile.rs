use std::collections::BTreeMap;

use taonet_proof_backends::groth16::ceremony::{self, CeremonyError, Transcript};
use taonet_proof_backends::{Keys, groth16};
use taonet_proof_core::Digest;
use taonet_proof_core::circuit::Circuit;
use taonet_proof_core::float::FloatNetwork;
use taonet_proof_core::metadata::{
    CircuitMetadata, NETWORK, PROVING_KEY, TRANSCRIPT, VERIFICATION_KEY,
};
use taonet_proof_core::network::Network;
use taonet_proof_core::quantise::{
    QuantisationReport, QuantiseOptions, Sample, quantise_described, quantise_within,
};
use taonet_proof_core::saturation::{self, LayerDescription};
use taonet_proof_core::slices::{SlicedModel, VERSION};
use taonet_proof_onnx::{Model, ReadOptions, compare};

use crate::{Backends, CircuitDirectory, CircuitError};

/// Options for compiling a model.
#[derive(Clone, Debug)]
pub struct CompileOptions {
    /// Human-readable name of the model.
    pub name: String,
    /// Name of the backend that creates the keys.
    pub backend: String,
    /// The available backends.
    pub backends: Backends,
    /// Quantisation options: bit widths and input range.
    pub quantise: QuantiseOptions,
    /// Largest permitted difference between an output of the model and of the circuit, for every
    /// row of the sample. Without one, all activations have the bits of [`Self::quantise`].
    pub max_error: Option<f64>,
    /// Name of the first contributor in the transcript of a trusted setup.
    pub contributor: String,
}

/// A compiled circuit: metadata and all files that it names.
#[derive(Clone, Debug)]
pub struct Compiled {
    /// Metadata of the circuit.
    pub metadata: CircuitMetadata,
    /// Contents of the files, by name.
    pub files: BTreeMap<String, Vec<u8>>,
}

/// A compiled model in slices, one circuit each.
#[derive(Clone, Debug)]
pub struct CompiledSlices {
    /// Description of the sliced model.
    pub model: SlicedModel,
    /// Circuits of the slices, in order.
    pub slices: Vec<Compiled>,
}

/// Compiles an ONNX model: quantises it with one half of a sample, compares the result with an
/// evaluation of the file, measures the quantisation error on the other half, and creates the keys.
/// See [`Sample::split`] and [`compare`].
///
/// # Errors
/// When the model, the sample, an option or the backend is invalid, the network differs from the
/// file, or the setup fails.
pub fn compile(
    model: &[u8],
    sample: &Sample,
    options: &CompileOptions,
) -> Result<Compiled, CircuitError> {
    let (compiled, _) = ParsedModel::read(model)?.compile(sample, options)?;
    Ok(compiled)
}

/// Compiles an ONNX model like [`compile`], split into `count` slices with about equal numbers of
/// multiply-adds. The first slice's metadata has the quantisation report of the whole model.
///
/// # Errors
/// When compilation fails as in [`compile`], or the network has too few layer boundaries.
pub fn compile_slices(
    model: &[u8],
    sample: &Sample,
    options: &CompileOptions,
    count: usize,
) -> Result<CompiledSlices, CircuitError> {
    ParsedModel::read(model)?.compile_slices(sample, options, count)
}

/// A supported ONNX model with its network before quantisation. Callers that need the network, too,
/// read the file once.
#[derive(Debug)]
pub struct ParsedModel {
    model: Model,
    float_network: FloatNetwork,
}

impl ParsedModel {
    /// Reads an ONNX file.
    ///
    /// # Errors
    /// When the file is malformed, too large or unsupported.
    pub fn read(file: &[u8]) -> Result<Self, CircuitError> {
        Self::read_with(file, &ReadOptions::default())
    }

    /// Reads an ONNX file with options.
    ///
    /// # Errors
    /// When the file is malformed, too large or unsupported, or does not have what the options
    /// name.
    pub fn read_with(file: &[u8], options: &ReadOptions) -> Result<Self, CircuitError> {
        let model = Model::decode_with(file, options)?;
        let float_network = model.network()?;
        Ok(Self { model, float_network })
    }

    /// Returns the network before quantisation.
    pub fn network(&self) -> &FloatNetwork {
        &self.float_network
    }

    /// Compiles the model like [`compile`]. Returns the lowered network, too.
    ///
    /// # Errors
    /// As [`compile`], except those of reading the file.
    pub fn compile(
        &self,
        sample: &Sample,
        options: &CompileOptions,
    ) -> Result<(Compiled, Circuit), CircuitError> {
        let (network, layers, report) = self.quantise(sample, options)?;
        let circuit = network.lower()?;
        let mut metadata =
            CircuitMetadata::new(&options.name, &options.backend, &network, &circuit);
        metadata.quantisation = Some(report);
        metadata.notes.clone_from(&self.float_network.notes);
        metadata.inputs.clone_from(&self.float_network.inputs);
        metadata.outputs.clone_from(&self.float_network.outputs);
        let compiled = compile_network(metadata, &network, &circuit, &layers, options)?;
        Ok((compiled, circuit))
    }

    /// Compiles the model like [`compile_slices`].
    ///
    /// # Errors
    /// As [`compile_slices`], except those of reading the file. The inputs cannot be hidden.
    pub fn compile_slices(
        &self,
        sample: &Sample,
        options: &CompileOptions,
        count: usize,
    ) -> Result<CompiledSlices, CircuitError> {
        if options.backends.hides_inputs(&options.backend) {
            return Err(CircuitError::SlicedInputs);
        }
        let (network, layers, report) = self.quantise(sample, options)?;
        let mut report = Some(report);
        let (mut slices, mut layers) = (Vec::new(), layers.into_iter());
        for (index, slice) in network.slices(count)?.iter().enumerate() {
            let name = format!("{}, slice {index} of {count}", options.name);
            let circuit = slice.lower()?;
            let mut metadata = CircuitMetadata::new(&name, &options.backend, slice, &circuit);
            metadata.quantisation = report.take();
            if index == 0 {
                metadata.inputs.clone_from(&self.float_network.inputs);
            }
            if index + 1 == count {
                metadata.notes.clone_from(&self.float_network.notes);
                metadata.outputs.clone_from(&self.float_network.outputs);
            }
            let layers: Vec<_> = layers.by_ref().take(slice.layers.len()).collect();
            slices.push(compile_network(metadata, slice, &circuit, &layers, options)?);
        }
        let metadata =
            CircuitMetadata::new(&options.name, &options.backend, &network, &network.lower()?);
        let model = SlicedModel {
            version: VERSION,
            name: options.name.clone(),
            input: metadata.input,
            output: metadata.output,
            slices: slices.iter().map(|slice| slice.metadata.id()).collect::<Result<_, _>>()?,
        };
        Ok(CompiledSlices { model, slices })
    }

    /// Returns the network after quantisation, the descriptions of its layers, and the quantisation
    /// error.
    fn quantise(
        &self,
        sample: &Sample,
        options: &CompileOptions,
    ) -> Result<(Network, Vec<LayerDescription>, QuantisationReport), CircuitError> {
        let Self { model, float_network } = self;
        let (calibration, test) = sample.split();
        let ((network, layers), precision) = match options.max_error {
            Some(max_error) => {
                let (network, layers, precision) = quantise_within(
                    float_network,
                    &options.quantise,
                    &calibration,
                    &sample.inputs,
                    max_error,
                )?;
                ((network, layers), Some(precision))
            }
            None => (quantise_described(float_network, &options.quantise, &calibration)?, None),
        };
        compare(model, float_network, &network, &options.quantise, &sample.inputs)?;
        let mut report =
            QuantisationReport::measure(float_network, &network, &options.quantise, &test)?;
        report.calibration_samples = (sample.inputs.len() > 1).then_some(calibration.len());
        report.precision = precision;
        Ok((network, layers, report))
    }
}

/// Creates the keys of a network, and lists all files of the circuit in its metadata.
fn compile_network(
    mut metadata: CircuitMetadata,
    network: &Network,
    circuit: &Circuit,
    layers: &[LayerDescription],
    options: &CompileOptions,
) -> Result<Compiled, CircuitError> {
    let backend = options.backends.get(&options.backend)?;
    metadata.constraints = backend.estimate(circuit)?.constraints;
    let keys = backend.setup(circuit)?;
    let transcript =
        (backend.id() == groth16::ID).then(|| Transcript::new(&options.contributor, &keys));
    let layers = serde_json::to_vec(layers)
        .map_err(|source| CircuitError::Json { document: saturation::FILE, source })?;
    let mut files = BTreeMap::from([
        (NETWORK.to_owned(), network.to_bytes()?),
        (saturation::FILE.to_owned(), layers),
    ]);
    add_keys(&mut files, keys, transcript.as_ref())?;
    metadata.files =
        files.iter().map(|(name, contents)| (name.clone(), Digest::of(contents))).collect();
    Ok(Compiled { metadata, files })
}

/// Adds a contribution to a circuit's trusted setup. The keys change, and with them the circuit's
/// identity.
///
/// # Errors
/// When the circuit's backend has no trusted setup, or its keys or transcript are malformed.
pub fn contribute(
    directory: &CircuitDirectory,
    contributor: &str,
) -> Result<Compiled, CircuitError> {
    let mut metadata = directory.metadata().clone();
    let Some(transcript) = directory.transcript()? else {
        return Err(CircuitError::NoSetup(metadata.backend));
    };
    let mut transcript = transcript;
    let keys = ceremony::contribute(&directory.keys()?, contributor, &mut transcript)?;
    let mut files = BTreeMap::from([(NETWORK.to_owned(), directory.file(NETWORK)?)]);
    if metadata.files.contains_key(saturation::FILE) {
        files.insert(saturation::FILE.to_owned(), directory.file(saturation::FILE)?);
    }
    add_keys(&mut files, keys, Some(&transcript))?;
    metadata.files =
        files.iter().map(|(name, contents)| (name.clone(), Digest::of(contents))).collect();
    Ok(Compiled { metadata, files })
}

/// Verifies that `later` differs from `earlier` only in its keys and transcript, and that the
/// contributions which the transcript adds lead from the keys of `earlier` to those of `later`.
/// Returns the names of the contributors, in order.
///
/// # Errors
/// When a circuit has no trusted setup, a key is malformed, or a check fails.
pub fn verify_contributions(
    earlier: &CircuitDirectory,
    later: &CircuitDirectory,
) -> Result<Vec<String>, CircuitError> {
    let transcript = |directory: &CircuitDirectory| {
        directory
            .transcript()?
            .ok_or_else(|| CircuitError::NoSetup(directory.metadata().backend.clone()))
    };
    let (earlier_transcript, later_transcript) = (transcript(earlier)?, transcript(later)?);
    let network = |directory: &CircuitDirectory| directory.metadata().files.get(NETWORK).copied();
    if network(earlier) != network(later) {
        return Err(CircuitError::OtherCircuit("their networks"));
    }
    let expected_metadata =
        CircuitMetadata { files: later.metadata().files.clone(), ..earlier.metadata().clone() };
    if expected_metadata != *later.metadata() {
        return Err(CircuitError::OtherCircuit("their metadata"));
    }
    let new_contributions =
        later_transcript.contributions.strip_prefix(earlier_transcript.contributions.as_slice());
    let new_contributions = new_contributions.filter(|_| {
        earlier_transcript.initial == later_transcript.initial
            && earlier_transcript.initial_key == later_transcript.initial_key
    });
    let new_contributions = new_contributions.ok_or(CeremonyError::OtherKey("first"))?.to_vec();
    let contributors =
        new_contributions.iter().map(|contribution| contribution.contributor.clone()).collect();
    let initial_key = earlier_transcript
        .contributions
        .last()
        .map_or(earlier_transcript.initial_key, |contribution| contribution.key);
    let added_transcript = Transcript {
        initial: earlier_transcript.initial,
        initial_key,
        contributions: new_contributions,
    };
    ceremony::verify(&earlier.keys()?, &later.keys()?, &added_transcript)?;
    Ok(contributors)
}

fn add_keys(
    files: &mut BTreeMap<String, Vec<u8>>,
    keys: Keys,
    transcript: Option<&Transcript>,
) -> Result<(), CircuitError> {
    files.insert(VERIFICATION_KEY.to_owned(), keys.verification);
    if !keys.proving.is_empty() {
        files.insert(PROVING_KEY.to_owned(), keys.proving);
    }
    if let Some(transcript) = transcript {
        let text = serde_json::to_vec_pretty(transcript)
            .map_err(|source| CircuitError::Json { document: "transcript", source })?;
        files.insert(TRANSCRIPT.to_owned(), text);
    }
    Ok(())
}
