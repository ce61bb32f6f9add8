use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use taonet_cli_base::context::Context;
use taonet_cli_base::daemon::{run_demonstration, serve_on_loopback};
use taonet_cli_localnet::demo_chain::{
    DemoChain, MinerOnChain, NETUID, PLACEHOLDER_ADDRESS, VALIDATOR, submit_weights,
};
use taonet_neuron::{AddressPolicy, MinerEntry};
use taonet_primitives::{Hotkey, Uid, Weights, counted};
use taonet_proof_circuits::{
    Backends, Catalogue, CircuitDirectory, CompileOptions, Compiled, ShippedModel,
};
use taonet_proof_core::Digest;
use taonet_proof_core::quantise::QuantiseOptions;
use taonet_proof_core::scoring::Profile;
use taonet_proof_core::scoring::delivered_work::WorkRules;
use taonet_proof_lm::{FACTS_LM, FACTS_LM_TEXTS, LmOptions};
use taonet_proof_miner::{Behaviour, Miner, MinerSettings, router, signed_requests};
use taonet_proof_validator::{
    Examiner, ExaminerSettings, ProofMiner, ProofSubnet, ScoreStore, Wire, miner_directory,
};
use taonet_service::{Shutdown, system_clock};
use taonet_validator::{Validator, ValidatorSettings};
use taonet_wallet::Keypair;
use taonet_wire::Policy;
use tokio::sync::watch;

use super::report::{DemoReport, RankedMiner};
use super::user::{User, UserAnswer, UserProof};
use crate::validator;

/// Minimum number of outcomes for a miner to get a weight.
const MIN_ANSWERS: u64 = 3;
/// Minimum number of verified proofs per epoch, over all miners.
const MIN_PROOFS: u64 = 40;
/// Timeout of an epoch.
const EPOCH_TIMEOUT: Duration = Duration::from_secs(90);
/// Delay of the slow miner before each proof.
const SLOW_MINER_DELAY: Duration = Duration::from_secs(2);
/// Delay between two requests to the same miner.
const REQUEST_INTERVAL: Duration = Duration::from_millis(100);

/// Name of the language model.
const LANGUAGE_MODEL: &str = "facts-lm";
/// Tokens of the language model's circuit: as many as the prompt and its answer take.
const TOKENS: usize = 32;
/// The user's prompt for the language model.
const PROMPT: &str = "The capital of Texas is";

/// A compiled circuit, and its compile time in seconds.
pub(super) struct CompiledCircuit {
    pub(super) directory: CircuitDirectory,
    pub(super) seconds: f64,
}

/// Circuits and keys of the market.
pub(super) struct Market {
    directory: PathBuf,
    circuits: Vec<CompiledCircuit>,
    language_model: CompiledCircuit,
    catalogue: Catalogue,
    validator: Arc<Keypair>,
    miner_names: BTreeMap<Hotkey, &'static str>,
}

impl Market {
    /// Compiles one model for both backends, and a language model.
    pub(super) fn prepare(directory: &Path, context: &Context) -> anyhow::Result<Self> {
        let catalogue_path = directory.join("circuits");
        let mut circuits = Vec::new();
        for backend in ["stark", "groth16"] {
            let model = ShippedModel::DigitsMlp;
            context.print_notice(&format!("compiling {} for {backend}", model.name()));
            let path = catalogue_path.join(format!("{}-{backend}", model.name()));
            circuits.push(compile_into(&path, || Ok(model.compile(backend)?))?);
        }
        context.print_notice(&format!("compiling {LANGUAGE_MODEL} for stark"));
        let language_model =
            compile_into(&catalogue_path.join(LANGUAGE_MODEL), compile_language_model)?;
        let catalogue = Catalogue::open(&catalogue_path)?;
        let validator = Arc::new(Keypair::from_uri(VALIDATOR)?);
        let miner_names = BTreeMap::new();
        Ok(Self {
            directory: directory.to_owned(),
            circuits,
            language_model,
            catalogue,
            validator,
            miner_names,
        })
    }

    /// Runs the market for a number of epochs and reports the results.
    pub(super) async fn run(
        mut self,
        epochs: usize,
        context: &Context,
    ) -> anyhow::Result<DemoReport> {
        run_demonstration(async |state_directory, shutdown| {
            self.run_all(epochs, state_directory, shutdown, context).await
        })
        .await
    }

    async fn run_all(
        &mut self,
        epochs: usize,
        state_directory: &Path,
        shutdown: &Shutdown,
        context: &Context,
    ) -> anyhow::Result<DemoReport> {
        let start = Instant::now();
        let chain = DemoChain::start(Keypair::clone(&self.validator)).await?;
        let score_store = Arc::new(ScoreStore::open(&state_directory.join("scores")).await?);
        let mut epoch_loop =
            self.open_epoch_loop(&score_store, &chain, state_directory, shutdown).await?;
        self.start_miners(&chain, shutdown).await?;
        let bundles = self.directory.join("bundles");
        std::fs::create_dir_all(&bundles)
            .with_context(|| format!("cannot create {}", bundles.display()))?;
        let settings = ExaminerSettings {
            interval: REQUEST_INTERVAL,
            timeout: Duration::from_mins(1),
            // A busy machine must not cost an honest miner its score.
            overdue_after: Duration::from_mins(1),
            bundles: Some(bundles.clone()),
            // Its proofs take long, and so would the epochs.
            users_only: BTreeSet::from([self.language_model.directory.id()]),
            ..ExaminerSettings::default()
        };
        let client = validator::client(&self.validator)?;
        let examiner = Arc::new(Examiner::load(
            &self.catalogue,
            client,
            Arc::clone(&score_store),
            settings,
            system_clock(),
        )?);
        let neurons = epoch_loop.service().neurons(NETUID).await?;
        // Miners announce a placeholder address, because the chain rejects loopback addresses.
        let address_policy = AddressPolicy {
            local_miner_ip: Some(PLACEHOLDER_ADDRESS.to_string()),
            ..AddressPolicy::default()
        };
        let miners = miner_directory(self.validator.hotkey(), Vec::new(), address_policy)
            .select(&neurons)
            .miners;
        anyhow::ensure!(
            miners.len() == self.miner_names.len(),
            "the chain does not list every miner"
        );
        let proof_miners: Vec<_> =
            miners.iter().filter_map(|miner| ProofMiner::new(miner, Wire::Http)).collect();
        let user = User::start(&examiner, state_directory, shutdown).await?;
        // Before the benchmarks: the miner of a user's proof has no others meanwhile, and so would
        // earn less.
        examiner.follow_miners(&proof_miners).await;
        let answer = self.ask(&user, &bundles, context).await?;
        let ((miners_sender, miners_receiver), stop) =
            (watch::channel(proof_miners), shutdown.clone());
        shutdown.spawn("examiner", async move { examiner.run(miners_receiver, &stop).await });
        let (mut last_report, mut user_proofs) = (None, Vec::new());
        for epoch in 1..=epochs {
            let miner_count = counted(miners.len(), "miner");
            context.print_notice(&format!(
                "epoch {epoch} of {epochs}: requesting proofs from {miner_count}"
            ));
            let (proofs, ()) = tokio::try_join!(
                self.serve_user(&user, epoch - 1, &bundles),
                self.wait_for_outcomes(&score_store, epoch as u64)
            )?;
            user_proofs.extend(proofs);
            if epoch == epochs {
                // Stop all requests, so that the report is a consistent snapshot.
                miners_sender.send_replace(Vec::new());
            }
            let report = submit_weights(async || epoch_loop.run_once().await).await?;
            chain.pass_epoch().await?;
            last_report = Some(report);
        }
        let weights = last_report.and_then(|report| report.weights).unwrap_or_default();
        let on_chain = chain.standings(&weights).await?;
        chain.stop().await;
        let ranking = self.rank_miners(&miners, &score_store, &weights, &on_chain, &bundles);
        let circuits = self.circuits.iter().chain([&self.language_model]);
        Ok(DemoReport::new(circuits, ranking, user_proofs, answer, start.elapsed()))
    }

    /// Opens the epoch loop of the validator.
    async fn open_epoch_loop(
        &self,
        score_store: &Arc<ScoreStore>,
        chain: &DemoChain,
        state_directory: &Path,
        shutdown: &Shutdown,
    ) -> anyhow::Result<Validator<ProofSubnet>> {
        let settings = ValidatorSettings {
            netuid: NETUID,
            tempo: 100,
            // Uid 0 is the owner of the subnet.
            burn_uid: Uid(0),
            max_skipped_epochs: 12,
        };
        let subnet = ProofSubnet::new(Arc::clone(score_store), scoring_profile(), system_clock());
        let (key, client) = (Keypair::clone(&self.validator), chain.client());
        let state = validator::STATE_FILE;
        Ok(Validator::open(subnet, key, client, state_directory, state, settings, shutdown).await?)
    }

    /// Returns the results of each miner.
    fn rank_miners(
        &self,
        miners: &[MinerEntry],
        score_store: &ScoreStore,
        weights: &Weights,
        on_chain: &BTreeMap<Uid, MinerOnChain>,
        bundles: &Path,
    ) -> Vec<RankedMiner> {
        let (profile, now) = (scoring_profile(), taonet_service::unix_time(system_clock()()));
        let tallies = score_store.read(|board| board.tallies().clone());
        let ranking = miners.iter().map(|miner| {
            let MinerEntry { uid, hotkey, .. } = *miner;
            RankedMiner {
                name: self.miner_names.get(&hotkey).copied().unwrap_or_default(),
                uid,
                hotkey,
                tally: tallies.get(&hotkey).cloned().unwrap_or_default(),
                score: score_store.read(|board| board.score(&profile, &hotkey, now)),
                weight: weights.of(uid),
                chain: on_chain.get(&uid).copied().unwrap_or_default(),
                bundle: Some(bundles.join(format!("{hotkey}.json"))).filter(|path| path.is_file()),
            }
        });
        ranking.collect()
    }

    /// Sends a prompt to the language model through the user API.
    async fn ask(
        &self,
        user: &User,
        bundles: &Path,
        context: &Context,
    ) -> anyhow::Result<UserAnswer> {
        context.print_notice(&format!("requesting an answer of {LANGUAGE_MODEL}"));
        let bundle = bundles.join(format!("user-{LANGUAGE_MODEL}.json"));
        user.ask(self.language_model.directory.id(), PROMPT, bundle, &self.miner_names).await
    }

    /// Sends a picture to each circuit through the user API.
    async fn serve_user(
        &self,
        user: &User,
        picture: usize,
        bundles: &Path,
    ) -> anyhow::Result<Vec<UserProof>> {
        let mut proofs = Vec::new();
        for circuit in &self.circuits {
            let backend = &circuit.directory.metadata().backend;
            let bundle = bundles.join(format!("user-{backend}-{picture}.json"));
            proofs.push(
                user.prove(circuit.directory.id(), picture, bundle, &self.miner_names).await?,
            );
        }
        Ok(proofs)
    }

    /// Starts and registers miners of each behaviour, each with its own key.
    async fn start_miners(&mut self, chain: &DemoChain, shutdown: &Shutdown) -> anyhow::Result<()> {
        let (catalogue, settings) =
            (self.catalogue.clone(), MinerSettings::new(self.validator.hotkey()));
        let loaded_miner =
            tokio::task::spawn_blocking(move || Miner::load(&catalogue, settings)).await??;
        let honest =
            self.start_miner("honest", Behaviour::Honest, &loaded_miner, chain, shutdown).await?;
        for (name, behaviour) in [
            ("honest-2", Behaviour::Honest),
            ("slow", Behaviour::Slow(SLOW_MINER_DELAY)),
            ("wrong-output", Behaviour::WrongOutput),
            ("replay", Behaviour::Replay),
            ("other-circuit", Behaviour::OtherCircuit),
            ("copy", Behaviour::Copy(honest)),
        ] {
            self.start_miner(name, behaviour, &loaded_miner, chain, shutdown).await?;
        }
        Ok(())
    }

    async fn start_miner(
        &mut self,
        name: &'static str,
        behaviour: Behaviour,
        loaded_miner: &Miner,
        chain: &DemoChain,
        shutdown: &Shutdown,
    ) -> anyhow::Result<Miner> {
        let keypair = Keypair::from_uri(&format!("//miner//{name}"))?;
        let hotkey = keypair.hotkey();
        // One slot for the validator's requests, one for those of the copying miner.
        let settings = MinerSettings { concurrency: 2, behaviour, ..MinerSettings::new(hotkey) };
        let timeout = settings.timeout;
        let miner = loaded_miner.with_settings(settings);
        let signature_layer = signed_requests(hotkey, timeout)
            .policy(Policy::only([self.validator.hotkey()]))
            .build();
        let url =
            serve_on_loopback("miner", router(miner.clone(), signature_layer), shutdown).await?;
        chain.register(&keypair, url.port().unwrap_or_default()).await?;
        self.miner_names.insert(hotkey, name);
        Ok(miner)
    }

    /// Waits until every miner has enough outcomes, enough proofs are verified, and every circuit
    /// has a price.
    async fn wait_for_outcomes(&self, score_store: &ScoreStore, epoch: u64) -> anyhow::Result<()> {
        let start = Instant::now();
        let kinds: Vec<String> =
            self.circuits.iter().map(|circuit| work_kind(circuit.directory.id())).collect();
        loop {
            let is_enough = score_store.read(|board| {
                let tallies = board.tallies();
                let verified: u64 = tallies.values().map(|tally| tally.verified).sum();
                let has_all_outcomes = self.miner_names.keys().all(|hotkey| {
                    tallies.get(hotkey).is_some_and(|tally| tally.answers() >= MIN_ANSWERS)
                });
                has_all_outcomes
                    && verified >= MIN_PROOFS * epoch
                    && kinds.iter().all(|kind| board.price(kind).is_some())
            });
            if is_enough {
                return Ok(());
            }
            anyhow::ensure!(
                start.elapsed() < EPOCH_TIMEOUT,
                "too few proofs verified within {} s",
                EPOCH_TIMEOUT.as_secs()
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

/// Compiles a model into a directory, in place of the circuit that an earlier demonstration left
/// there.
fn compile_into(
    path: &Path,
    compile: impl FnOnce() -> anyhow::Result<Compiled>,
) -> anyhow::Result<CompiledCircuit> {
    let start = Instant::now();
    let compiled = compile()?;
    let seconds = start.elapsed().as_secs_f64();
    let directory = if path.exists() {
        CircuitDirectory::open(path)?.replace(&compiled)?
    } else {
        CircuitDirectory::create(path, &compiled)?
    };
    Ok(CompiledCircuit { directory, seconds })
}

fn compile_language_model() -> anyhow::Result<Compiled> {
    let files = tempfile::tempdir().context("cannot create a temporary directory")?;
    for (name, contents) in FACTS_LM {
        std::fs::write(files.path().join(name), contents)
            .context("cannot write the language model")?;
    }
    let options = CompileOptions {
        name: LANGUAGE_MODEL.to_owned(),
        backend: "stark".to_owned(),
        backends: Backends::default(),
        quantise: QuantiseOptions::default(),
        max_error: None,
        contributor: "anonymous".to_owned(),
    };
    let lm = LmOptions { tokens: TOKENS, sample: Some(FACTS_LM_TEXTS) };
    Ok(taonet_proof_lm::compile(files.path(), &options, lm)?)
}

fn scoring_profile() -> Profile {
    Profile::DeliveredWork(WorkRules { minimum_answers: MIN_ANSWERS, ..WorkRules::default() })
}

fn work_kind(circuit: Digest) -> String {
    format!("{circuit}:0")
}
