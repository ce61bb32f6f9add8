//! `tao proof compile`, `setup`, `inspect`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use serde_json::json;
use taonet_cli_base::context::Context;
use taonet_cli_base::printable::printable;
use taonet_primitives::{bytes_without_bom, counted};
use taonet_proof_backends::external;
use taonet_proof_circuits::{
    Backends, Catalogue, CircuitDirectory, CompileOptions, Compiled, ParsedModel, ReadOptions,
    contribute, read_user_file, saturated_rows, verify_contributions,
};
use taonet_proof_core::Range;
use taonet_proof_core::quantise::{QuantiseOptions, Sample};
use taonet_proof_core::saturation::SampleSaturation;
use taonet_proof_core::slices::{self, SlicedModel};
use taonet_proof_lm::LmOptions;

use super::external::ExternalArgs;
use super::inputs::InputFormat;
use super::table;

/// Warning about trusted setups, as in docs/proof.md.
const TRUSTED_SETUP_WARNING: &str = "The creator of the first key can forge proofs of this circuit; later contributions protect \
                     one of its five secrets only. Trust a groth16 circuit only as far as its first contributor, or use \
                     stark.";

/// Compile an ONNX model or a language model into a circuit and its keys
#[derive(Debug, Args)]
pub struct CompileArgs {
    /// ONNX file, including its weights
    #[arg(required_unless_present = "lm")]
    model: Option<PathBuf>,
    /// Language model in place of an ONNX file: a directory with config.json, model.safetensors and
    /// tokenizer.json, or a GGUF file (Llama, Qwen, GPT-2)
    #[arg(
        long,
        value_name = "PATH",
        conflicts_with_all = [
            "model", "input_low", "input_high", "input_scale", "dimensions", "model_outputs",
            "slices", "hide_inputs"
        ]
    )]
    lm: Option<PathBuf>,
    /// Number of tokens of a prompt with its answer, for a language model
    #[arg(long, value_name = "COUNT", default_value_t = 64, requires = "lm")]
    tokens: usize,
    /// JSON file {"inputs": [[…]], "labels": […]} of integer inputs; "labels" or "targets" are
    /// optional. For a language model: a file with a text in each line [default: texts that the
    /// model writes]
    #[arg(long, value_name = "FILE", required_unless_present = "lm")]
    sample: Option<PathBuf>,
    /// Output directory; must be empty or not exist
    #[arg(short, long, value_name = "DIR")]
    output: PathBuf,
    /// Name of the model, shown to users [default: the name of the file's directory]
    #[arg(long)]
    name: Option<String>,
    /// Proof system: stark needs no setup, groth16 has proofs of 128 bytes, external is the program
    /// of --prover
    #[arg(long, value_enum, default_value = "stark")]
    backend: BackendName,
    #[command(flatten)]
    external: ExternalArgs,
    /// Make only the digest of the inputs public in proofs of groth16, so that a contract can
    /// verify proofs of many inputs
    #[arg(long)]
    hash_inputs: bool,
    /// Make proofs of stark hide the values between inputs and outputs; they take longer and are
    /// verified with the same commands. Not with --slices
    #[arg(long)]
    hide: bool,
    /// Make proofs of stark hide the inputs, too: a proof has a commitment to them, whose opening
    /// the prover gets. Not with --slices
    #[arg(long)]
    hide_inputs: bool,
    /// Bits per activation, without the sign
    #[arg(long, value_name = "BITS", default_value_t = 8, value_parser = clap::value_parser!(u8).range(2..=16))]
    scale: u8,
    /// Bits per weight, including the sign
    #[arg(long, value_name = "BITS", default_value_t = 8, value_parser = clap::value_parser!(u8).range(2..=16))]
    weight_bits: u8,
    /// Largest difference of an output from that of the model, for every row of the sample:
    /// activations have more bits than --scale, at most 16, where the sample needs them [default:
    /// no limit]
    #[arg(long, value_name = "NUMBER", value_parser = parse_max_error)]
    max_error: Option<f64>,
    /// Smallest input integer
    #[arg(long, value_name = "INTEGER", default_value_t = 0, allow_hyphen_values = true)]
    input_low: i64,
    /// Largest input integer
    #[arg(long, value_name = "INTEGER", default_value_t = 255)]
    input_high: i64,
    /// Input scale: the model's input is the integer divided by 2^BITS. Of several inputs, those of
    /// integers have no scale
    #[arg(long, value_name = "BITS", default_value_t = 0, allow_hyphen_values = true)]
    input_scale: i32,
    /// Extent of a symbolic dimension of the model's inputs, such as sequence=64; can be repeated.
    /// A first dimension without an extent is 1
    #[arg(long = "dimension", value_name = "NAME=N", value_parser = parse_dimension)]
    dimensions: Vec<(String, usize)>,
    /// Name of an output of the model to compute; can be repeated [default: all outputs but the
    /// label of a classifier beside its scores]
    #[arg(long = "model-output", value_name = "NAME")]
    model_outputs: Vec<String>,
    /// Name of the contributor, for the transcript of a trusted setup
    #[arg(long, value_name = "NAME", default_value = "anonymous")]
    contributor: String,
    /// Split the model at layer boundaries into this many circuits, which different miners prove in
    /// parallel
    #[arg(long, value_name = "COUNT", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1024))]
    slices: u16,
}

/// Proof systems
#[derive(Debug, Clone, Copy, ValueEnum)]
enum BackendName {
    Stark,
    Groth16,
    External,
}

impl BackendName {
    const fn id(self) -> &'static str {
        match self {
            Self::Stark => "stark",
            Self::Groth16 => "groth16",
            Self::External => external::ID,
        }
    }
}

/// Parses a symbolic dimension with its extent.
fn parse_dimension(text: &str) -> Result<(String, usize), &'static str> {
    let expected = "expected NAME=N with a positive integer, such as sequence=64";
    let (name, extent) = text.rsplit_once('=').ok_or(expected)?;
    match extent.parse() {
        Ok(extent) if extent > 0 => Ok((name.to_owned(), extent)),
        _ => Err(expected),
    }
}

/// Parses the largest permitted difference of an output.
fn parse_max_error(text: &str) -> Result<f64, &'static str> {
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() && number > 0.0 => Ok(number),
        _ => Err("expected a positive number, such as 0.01"),
    }
}

/// Returns the extents of symbolic dimensions by their names.
fn parse_extents(dimensions: &[(String, usize)]) -> anyhow::Result<BTreeMap<String, usize>> {
    let mut extents = BTreeMap::new();
    for (name, extent) in dimensions {
        anyhow::ensure!(
            extents.insert(name.clone(), *extent).is_none(),
            "--dimension is given twice for '{name}'"
        );
    }
    Ok(extents)
}

impl CompileArgs {
    /// Returns the backends whose proofs hide what the options name.
    fn with_hiding(&self, backends: Backends) -> anyhow::Result<Backends> {
        let (option, hiding_backends, alternative) = if self.hide_inputs {
            ("--hide-inputs", backends.with_hidden_inputs(), "")
        } else if self.hide {
            let alternative = "; proofs of groth16 hide the same values without it";
            ("--hide", backends.with_hidden_values(), alternative)
        } else {
            return Ok(backends);
        };
        anyhow::ensure!(
            matches!(self.backend, BackendName::Stark),
            "{option} requires --backend stark{alternative}"
        );
        anyhow::ensure!(
            self.slices == 1,
            "{option} and --slices exclude each other: the proof of a sliced model has the values \
             between its slices; hint: omit --slices, or omit {option}"
        );
        Ok(hiding_backends)
    }

    /// Warns of the trusted setup of `groth16`.
    fn warn_of_trusted_setup(&self, context: &Context) {
        if matches!(self.backend, BackendName::Groth16) {
            context.print_notice(TRUSTED_SETUP_WARNING);
        }
    }
}

pub(crate) fn compile(args: &CompileArgs, context: &Context) -> anyhow::Result<()> {
    let path = args.lm.as_ref().or(args.model.as_ref()).context("no model is given")?;
    let input_range =
        Range::new(args.input_low, args.input_high).context("--input-low exceeds --input-high")?;
    let mut backends = args.external.backends()?;
    if args.hash_inputs {
        anyhow::ensure!(
            matches!(args.backend, BackendName::Groth16),
            "--hash-inputs requires --backend groth16"
        );
        backends = backends.with_hashed_inputs();
    }
    backends = args.with_hiding(backends)?;
    let options = CompileOptions {
        name: args.name.clone().unwrap_or_else(|| default_name(path)),
        backend: args.backend.id().to_owned(),
        backends,
        quantise: QuantiseOptions {
            activation_bits: args.scale,
            weight_bits: args.weight_bits,
            input_range,
            input_scale: args.input_scale,
            ..QuantiseOptions::default()
        },
        max_error: args.max_error,
        contributor: args.contributor.clone(),
    };
    let is_external = matches!(args.backend, BackendName::External);
    anyhow::ensure!(
        args.external.is_given() == is_external,
        "--prover and --backend external require each other"
    );
    context.print_notice(&format!("compiling {} for {}", path.display(), options.backend));
    match &args.lm {
        Some(lm) => {
            let (compiled, sample) = compile_lm(args, lm, &options)?;
            write_circuit(args, &compiled, &sample, context)
        }
        None => compile_onnx(args, path, &options, context),
    }
}

/// Compiles an ONNX model into a circuit or into slices.
fn compile_onnx(
    args: &CompileArgs,
    path: &Path,
    options: &CompileOptions,
    context: &Context,
) -> anyhow::Result<()> {
    let file = read_user_file(path)?;
    let read_options = ReadOptions {
        dimensions: parse_extents(&args.dimensions)?,
        outputs: args.model_outputs.clone(),
    };
    let model = ParsedModel::read_with(&file, &read_options)?;
    let sample = args.sample.as_ref().context("no sample is given")?;
    let sample = InputFormat::of_model(&model, options.quantise.input_range).read_sample(sample)?;
    if args.slices == 1 {
        let (compiled, _) = model.compile(&sample, options)?;
        return write_circuit(args, &compiled, &sample, context);
    }
    model.compile_slices(&sample, options, usize::from(args.slices))?.write(&args.output)?;
    args.warn_of_trusted_setup(context);
    let catalogue = Catalogue::open(&args.output)?;
    let (_, slices) = sliced_model(&catalogue)?;
    let saturation = check_sample(&slices, &sample, context)?;
    table::print_sliced_models(&catalogue, Some(&saturation), context)
}

/// Returns the only sliced model of a directory, and its slices.
pub(crate) fn sliced_model(
    catalogue: &Catalogue,
) -> anyhow::Result<(&SlicedModel, Vec<&CircuitDirectory>)> {
    let (_, model) = catalogue.models().next().context("the directory has no sliced model")?;
    let slices = model
        .slices
        .iter()
        .map(|id| catalogue.get(id).map(|slice| &**slice).context("a slice is missing"))
        .collect::<anyhow::Result<_>>()?;
    Ok((model, slices))
}

/// Writes a compiled circuit, and prints its properties.
fn write_circuit(
    args: &CompileArgs,
    compiled: &Compiled,
    sample: &Sample,
    context: &Context,
) -> anyhow::Result<()> {
    let directory = CircuitDirectory::create(&args.output, compiled)?;
    args.warn_of_trusted_setup(context);
    let saturation = check_sample(&[&directory], sample, context)?;
    table::print_circuit(&directory, Some(&saturation), context)
}

/// Counts the rows of a sample in which values saturate, and warns of them: `prove` refuses such
/// inputs.
fn check_sample(
    slices: &[&CircuitDirectory],
    sample: &Sample,
    context: &Context,
) -> anyhow::Result<SampleSaturation> {
    let saturation = saturated_rows(slices, &sample.inputs)?;
    if let Some(worst) = &saturation.worst {
        let rows = counted(saturation.of, "row");
        context.print_notice(&format!(
            "warning: values saturate in {} of {rows} of the sample, most often those of {} (in \
             {}); tao proof prove refuses such inputs",
            saturation.rows,
            printable(&worst.tensor),
            counted(worst.rows, "row")
        ));
        context.print_notice(
            "hint: compile with more rows like these, of which every second one determines the \
             scales, or prove with --allow-saturated",
        );
    }
    Ok(saturation)
}

/// Compiles a language model. Returns the tokens of its sample, too.
fn compile_lm(
    args: &CompileArgs,
    model: &Path,
    options: &CompileOptions,
) -> anyhow::Result<(Compiled, Sample)> {
    let sample = args.sample.as_ref().map(|path| {
        let text = read_user_file(path)?;
        String::from_utf8(bytes_without_bom(&text).to_vec())
            .with_context(|| format!("{} is not a text in UTF-8", path.display()))
    });
    let sample = sample.transpose()?;
    let lm = LmOptions { tokens: args.tokens, sample: sample.as_deref() };
    Ok(taonet_proof_lm::compile_with_sample(model, options, lm)?)
}

/// Returns the name of the model's directory, or the name of the file if there is none.
fn default_name(model: &Path) -> String {
    let directory = if model.is_dir() { Some(model) } else { model.parent() };
    directory
        .and_then(Path::file_name)
        .or(model.file_stem())
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

/// Show who contributed to a circuit's trusted setup, or contribute to it
#[derive(Debug, Args)]
pub struct SetupArgs {
    /// Directory of the circuit
    circuit: PathBuf,
    /// Contribute under this name [default: only show the transcript]
    #[arg(long, value_name = "NAME", conflicts_with = "verify")]
    contributor: Option<String>,
    /// Verify that the keys differ from those of this earlier copy of the circuit only by the
    /// contributions
    #[arg(long, value_name = "DIR")]
    verify: Option<PathBuf>,
}

pub(crate) fn setup(args: &SetupArgs, context: &Context) -> anyhow::Result<()> {
    let mut directory = CircuitDirectory::open(&args.circuit)?;
    if let Some(contributor) = &args.contributor {
        directory = directory.replace(&contribute(&directory, contributor)?)?;
    }
    if let Some(earlier) = &args.verify {
        let earlier = CircuitDirectory::open(earlier)?;
        return print_verified_contributions(
            &earlier,
            &directory,
            &verify_contributions(&earlier, &directory)?,
            context,
        );
    }
    let Some(transcript) = directory.transcript()? else {
        context.print_notice(&format!(
            "backend {} has no transcript of a trusted setup",
            directory.metadata().backend
        ));
        return table::print_circuit(&directory, None, context);
    };
    context.print_notice(TRUSTED_SETUP_WARNING);
    if context.json {
        return context.print_json(&json!({ "circuit": directory.id(), "transcript": transcript }));
    }
    context.print(&table::format_transcript(&transcript))
}

/// Prints the contributors whose contributions were verified.
fn print_verified_contributions(
    earlier: &CircuitDirectory,
    later: &CircuitDirectory,
    contributors: &[String],
    context: &Context,
) -> anyhow::Result<()> {
    if context.json {
        let (circuit, earlier) = (later.id(), earlier.id());
        return context.print_json(
            &json!({ "circuit": circuit, "earlier": earlier, "contributors": contributors }),
        );
    }
    let text = format!(
        "verified {}: {}",
        counted(contributors.len(), "contribution"),
        contributors.join(", ")
    );
    context.print(text.trim_end_matches(": "))
}

/// Describe a circuit or sliced model, and check its files
#[derive(Debug, Args)]
pub struct InspectArgs {
    /// Directory of the circuit or sliced model
    circuit: PathBuf,
}

pub(crate) fn inspect(args: &InspectArgs, context: &Context) -> anyhow::Result<()> {
    if args.circuit.join(slices::FILE).is_file() {
        let catalogue = Catalogue::open(&args.circuit)?;
        for directory in catalogue.circuits() {
            check_files(directory)?;
        }
        return table::print_sliced_models(&catalogue, None, context);
    }
    let directory = CircuitDirectory::open(&args.circuit)?;
    check_files(&directory)?;
    table::print_circuit(&directory, None, context)
}

/// Checks the files that are not read when a directory is opened against their hashes, decodes the
/// verification key, and compares a proving key with it and with the network. The keys of the
/// backend `external` are not decoded, since only the external program can do that.
fn check_files(directory: &CircuitDirectory) -> anyhow::Result<()> {
    directory.input_check()?;
    let keys = directory.keys()?;
    if directory.metadata().backend == external::ID {
        return Ok(());
    }
    directory.verifier()?;
    // The key of a backend without a proving key was compared when the directory was opened.
    if !keys.proving.is_empty() {
        directory.prover()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maximum_error_is_a_positive_number() {
        assert_eq!(parse_max_error("0.25"), Ok(0.25));
        for text in ["", "0", "-1", "nan", "inf", "x"] {
            assert!(parse_max_error(text).is_err(), "{text}");
        }
    }

    #[test]
    fn dimension_has_a_name_and_an_extent() {
        assert_eq!(parse_dimension("sequence=64"), Ok(("sequence".to_owned(), 64)));
        assert_eq!(parse_dimension("a=b=2"), Ok(("a=b".to_owned(), 2)));
        for text in ["", "sequence", "sequence=", "sequence=0", "sequence=-1", "sequence=x"] {
            assert!(parse_dimension(text).is_err(), "{text}");
        }
        let duplicates = [("a".to_owned(), 1), ("a".to_owned(), 2)];
        assert!(parse_extents(&duplicates).is_err() && parse_extents(&duplicates[..1]).is_ok());
    }
}
