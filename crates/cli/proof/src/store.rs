//! Local circuit directory of miner and validator, filled from catalogues; `tao proof catalogue`.

use std::collections::BTreeSet;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use serde_json::json;
use taonet_cli_base::context::Context;
use taonet_cli_base::exit::ClassifiedError;
use taonet_cli_base::settings;
use taonet_objects::{ObjectStorage, S3Settings};
use taonet_primitives::counted;
use taonet_proof_circuits::{Catalogue, SkippedEntry};
use taonet_proof_core::Digest;
use taonet_proof_store::{CircuitStore, Listing, Source, StoreSettings, is_fetched};
use url::Url;

use super::external::ProgramArgs;

/// Why a catalogue without identities is refused.
const NOT_PINNED_MESSAGE: &str = "a catalogue alone does not say which circuits to trust\n\
    hint: pass the identities of the circuits to fetch with --additional-circuits ID,…, as the models' owners publish \
    them; `tao proof inspect DIR` prints the identity of a circuit that you have";

/// Environment variables of the S3 service, which all subnets share. The catalogue's URL names the
/// bucket.
const S3_VARIABLES: [&str; 6] = [
    "S3_ENDPOINT_URL",
    "S3_REGION",
    "S3_ACCESS_KEY_ID",
    "S3_SECRET_ACCESS_KEY",
    "S3_ADDRESSING_STYLE",
    "S3_USE_SSL",
];

/// Arguments that select circuits and catalogues
#[derive(Debug, Args)]
pub(crate) struct CatalogueArgs {
    /// Directory of circuits, or of one circuit [default: ~/.bittensor/subnet-2/circuit_cache]
    #[arg(
        long,
        alias = "circuit-dir",
        value_name = "DIR",
        env = "SN2_CIRCUIT_CACHE_DIR",
        hide_env_values = true
    )]
    circuit_cache_dir: Option<PathBuf>,
    /// Catalogue to fetch the --additional-circuits from: an HTTP URL or s3://BUCKET/KEY; may be
    /// repeated
    #[arg(long, value_name = "URL")]
    catalogue: Vec<Url>,
    /// Identities of the circuits and sliced models to fetch, as their owners publish them; they
    /// are never removed
    #[arg(long, value_name = "ID", value_delimiter = ',', requires = "catalogue")]
    additional_circuits: Vec<Digest>,
    /// Maximum size of the circuit cache, in GB; the least recently used circuits are removed first
    #[arg(long, value_name = "GB", default_value_t = 50, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    circuit_cache_limit: u64,
    /// URL of the S3 service [env: S3_ENDPOINT_URL] [default: AWS]
    #[arg(long, value_name = "URL")]
    s3_endpoint_url: Option<String>,
    /// Region of the S3 service [env: S3_REGION] [default: us-east-1]
    #[arg(long, value_name = "REGION")]
    s3_region: Option<String>,
    #[command(flatten)]
    programs: ProgramArgs,
}

impl CatalogueArgs {
    /// Fetches the given circuits from the catalogues and opens all circuits of the directory. If
    /// fetching fails, opens the circuits that are already there. Circuits that cannot be used,
    /// such as those of the backend external without a program, are named in a warning and not
    /// served; nor are circuits of catalogues that are no longer given.
    pub(crate) fn open(&self, context: &Context) -> anyhow::Result<Catalogue> {
        let directory = self.directory()?;
        let backends = self.programs.backends()?;
        let pinned: BTreeSet<Digest> = self.additional_circuits.iter().copied().collect();
        if !self.catalogue.is_empty() {
            if pinned.is_empty() {
                return Err(ClassifiedError::usage(NOT_PINNED_MESSAGE));
            }
            let settings = StoreSettings {
                directory: directory.clone(),
                sources: self
                    .catalogue
                    .iter()
                    .map(|url| self.source(url))
                    .collect::<anyhow::Result<_>>()?,
                limit: self.circuit_cache_limit.saturating_mul(1_000_000_000),
                pinned: pinned.clone(),
            };
            let store = CircuitStore::open(settings)?;
            context.print_notice("fetching circuits");
            let result = context.block_on(async { Ok(store.sync(&pinned).await) })?;
            if let Err(error) = result {
                context.print_notice(&format!(
                    "cannot fetch all circuits; using those in the cache: {error}"
                ));
            }
        }
        let (mut catalogue, skipped) = Catalogue::open_usable(&directory, &backends)?;
        if !self.catalogue.is_empty() {
            retain_pinned(&mut catalogue, &pinned, context)?;
        }
        for SkippedEntry { path, error } in skipped {
            context.print_notice(&format!("warning: {} is not served: {error}", path.display()));
        }
        context
            .print_notice(&format!("loading {}", counted(catalogue.circuits().count(), "circuit")));
        Ok(catalogue)
    }

    fn directory(&self) -> anyhow::Result<PathBuf> {
        let default =
            || dirs::home_dir().map(|home| home.join(".bittensor/subnet-2/circuit_cache"));
        let directory = self.circuit_cache_dir.clone().or_else(default);
        directory.context("the home directory is unknown\nhint: set --circuit-cache-dir")
    }

    fn source(&self, url: &Url) -> anyhow::Result<Source> {
        if url.scheme() != "s3" {
            return Ok(Source::http(url)?);
        }
        let bucket = url.host_str().context("expected s3://BUCKET/KEY")?.to_owned();
        // Credentials have no options, so that no process list shows them.
        let s3_settings = settings::operator_config(&S3_VARIABLES)?.s3;
        let s3 = S3Settings {
            bucket,
            endpoint_url: self.s3_endpoint_url.clone().or(s3_settings.endpoint_url),
            region: self.s3_region.clone().unwrap_or(s3_settings.region),
            ..s3_settings
        };
        Ok(Source::bucket(ObjectStorage::open(&s3)?, url.path()))
    }
}

/// Removes circuits that were fetched from a catalogue but are not pinned, such as those of an
/// earlier start.
fn retain_pinned(
    catalogue: &mut Catalogue,
    pinned: &BTreeSet<Digest>,
    context: &Context,
) -> anyhow::Result<()> {
    let models = catalogue.models().filter(|(id, _)| pinned.contains(id));
    let slices: BTreeSet<Digest> = models.flat_map(|(_, model)| model.slices.clone()).collect();
    catalogue.retain(|circuit| {
        let id = circuit.id();
        let is_served = !is_fetched(circuit.path()) || pinned.contains(&id) || slices.contains(&id);
        if !is_served {
            let path = circuit.path().display();
            context.print_notice(&format!(
                "warning: {path} is not served: it is not among --additional-circuits"
            ));
        }
        is_served
    });
    anyhow::ensure!(
        catalogue.circuits().next().is_some(),
        "none of --additional-circuits is in the cache"
    );
    Ok(())
}

/// Write the catalogue of a directory's circuits, to serve from a web server or bucket
#[derive(Debug, Args)]
pub struct ListingArgs {
    /// Directory of circuits
    circuits: PathBuf,
    /// Output file for the catalogue [default: circuits.json in that directory]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

pub(crate) fn write_catalogue(args: &ListingArgs, context: &Context) -> anyhow::Result<()> {
    let catalogue = Catalogue::open(&args.circuits)?;
    let output = args.output.clone().unwrap_or_else(|| args.circuits.join("circuits.json"));
    let root = output.parent().unwrap_or(&args.circuits);
    let listing = Listing::of(&catalogue, root)?;
    let text =
        serde_json::to_vec_pretty(&listing).context("cannot encode the catalogue as JSON")?;
    std::fs::write(&output, text).with_context(|| format!("cannot write {}", output.display()))?;
    let count = listing.circuits.len();
    context.print_notice(&format!("{}: {}", output.display(), counted(count, "circuit")));
    if context.json {
        return context.print_json(
            &json!({ "catalogue": output, "circuits": count, "models": listing.models.len() }),
        );
    }
    Ok(())
}
