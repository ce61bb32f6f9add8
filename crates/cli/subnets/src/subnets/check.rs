//! The `tao subnets check` command: what an owner should know about a subnet before its launch.

mod neurons;

use clap::Args;
use serde::Serialize;
use serde_json::{Value, json};
use taonet_chain::{
    At, Block, Chain as _, Client, Detail, Hyperparameter, Hyperparameters, WeightRules,
};
use taonet_cli_base::chain::{AtArgs, NetworkArgs, block_json, chain_error};
use taonet_cli_base::context::Context;
use taonet_cli_base::exit::ClassifiedError;
use taonet_cli_base::table::{Cell, status_cell, table, warning_cell};
use taonet_cli_base::tables::SUBNET_CHECKS;
use taonet_primitives::{MechId, NetUid, Rao, counted};
use taonet_service::BLOCK_TIME;

use neurons::NeuronCounts;

/// Check the costs and hyperparameters that matter before a subnet's launch
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// Netuid of the subnet; without it, only the cost of creating one
    netuid: Option<NetUid>,
    #[command(flatten)]
    at: AtArgs,
    #[command(flatten)]
    network: NetworkArgs,
}

/// Chain state that the checks read.
struct SubnetState {
    netuid: NetUid,
    registration_cost: Rao,
    registration_allowed: bool,
    max_neurons: u16,
    neurons: NeuronCounts,
    /// Stake weight from which a neuron can set weights.
    stake_threshold: Rao,
    /// Number of neurons without immunity at or below which a full subnet replaces immune ones.
    min_non_immune: u64,
    is_started: bool,
    /// Whether the subnet takes part in the emission of TAO.
    has_tao_emission: bool,
    immunity_blocks: u64,
    activity_cutoff_blocks: u64,
    rules: WeightRules,
}

/// One line of the report.
#[derive(Debug, PartialEq, Serialize)]
struct CheckResult {
    check: &'static str,
    status: Status,
    value: Value,
    /// The value as text.
    #[serde(skip)]
    text: String,
    /// Meaning of the value or, with a warning, its consequence.
    note: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Status {
    Ok,
    Warning,
}

pub(super) fn run(args: &CheckArgs, context: &Context) -> anyhow::Result<()> {
    if args.netuid == Some(NetUid(0)) {
        let message = "subnet 0 is the root network: it has no miners, and nobody can launch it";
        return Err(ClassifiedError::usage(message));
    }
    context.block_on(async {
        let chain = args.network.connect().await?;
        let block = args.at.block(&chain).await?;
        let mut checks =
            vec![check_creation_cost(chain.subnet_cost(block.into()).await.map_err(chain_error)?)];
        if let Some(netuid) = args.netuid {
            checks.extend(read_state(&chain, netuid, block).await?.checks());
        }
        let warnings = checks.iter().filter(|check| check.status == Status::Warning).count();
        if context.json {
            return context.print_json(&json!({
                "block": block_json(block),
                "netuid": args.netuid,
                "checks": checks,
                "warnings": warnings,
            }));
        }
        let mut rows = table(&SUBNET_CHECKS);
        for CheckResult { check, status, text, note, .. } in &checks {
            let status = match status {
                Status::Ok => status_cell("ok", true),
                Status::Warning => warning_cell("warning"),
            };
            rows.add_row([Cell::from(check), status, Cell::from(text), Cell::from(note)]);
        }
        context.print(&format!("{rows}\n\n{}, block {block}", counted(warnings, "warning")))
    })
}

async fn read_state(chain: &Client, netuid: NetUid, block: Block) -> anyhow::Result<SubnetState> {
    let at = At::from(block);
    let metagraph =
        chain.metagraph(netuid, MechId(0), Detail::Lite, at).await.map_err(chain_error)?;
    let parameters = chain.hyperparameters(netuid, at).await.map_err(chain_error)?;
    let subnet = [json!(netuid)];
    let emission = read_storage(chain, "SubnetEmissionEnabled", &subnet, at).await?;
    let min_non_immune = read_storage(chain, "MinNonImmuneUids", &subnet, at).await?;
    let immunity_blocks = number_parameter(&parameters, "immunity_period")?;
    let activity_cutoff_blocks = number_parameter(&parameters, "activity_cutoff")?;
    let stake_threshold = read_storage(chain, "StakeThreshold", &[], at).await?;
    let stake_threshold = Rao::new(stake_threshold.as_u64().unwrap_or_default());
    Ok(SubnetState {
        netuid,
        registration_cost: metagraph.burn,
        registration_allowed: boolean_parameter(&parameters, "registration_allowed")?,
        max_neurons: metagraph.max_uids,
        neurons: NeuronCounts::count(
            &metagraph,
            stake_threshold,
            immunity_blocks,
            activity_cutoff_blocks,
        ),
        stake_threshold,
        min_non_immune: min_non_immune.as_u64().unwrap_or_default(),
        is_started: boolean_parameter(&parameters, "subnet_is_active")?,
        has_tao_emission: emission != json!(false),
        immunity_blocks,
        activity_cutoff_blocks,
        rules: chain.weight_rules(netuid, at).await.map_err(chain_error)?,
    })
}

async fn read_storage(chain: &Client, item: &str, keys: &[Value], at: At) -> anyhow::Result<Value> {
    chain.storage("SubtensorModule", item, keys, at).await.map_err(chain_error)
}

fn number_parameter(parameters: &Hyperparameters, name: &str) -> anyhow::Result<u64> {
    match parameters.get(name) {
        Some(Hyperparameter::Number(value)) => Ok(*value),
        other => Err(anyhow::anyhow!("hyperparameter {name} is not a number: {other:?}")),
    }
}

fn boolean_parameter(parameters: &Hyperparameters, name: &str) -> anyhow::Result<bool> {
    match parameters.get(name) {
        Some(Hyperparameter::Boolean(value)) => Ok(*value),
        other => Err(anyhow::anyhow!("hyperparameter {name} is not a boolean: {other:?}")),
    }
}

impl CheckResult {
    /// Creates a check: a warning with its consequence, or else the meaning of the value.
    fn new(
        check: &'static str,
        value: Value,
        text: String,
        meaning: &str,
        warning: Option<String>,
    ) -> Self {
        let status = if warning.is_some() { Status::Warning } else { Status::Ok };
        Self { check, status, value, text, note: warning.unwrap_or_else(|| meaning.to_owned()) }
    }
}

/// Reports the current cost of creating a new subnet.
fn check_creation_cost(cost: Rao) -> CheckResult {
    let meaning =
        "the coldkey pays this to create a subnet; it rises with each subnet, then falls with time";
    CheckResult::new("creation_cost_rao", json!(cost), format!("{cost} TAO"), meaning, None)
}

impl SubnetState {
    fn checks(&self) -> [CheckResult; 13] {
        [
            self.started(),
            self.tao_emission(),
            self.registration(),
            self.neurons(),
            self.stake_threshold(),
            self.tempo(),
            self.immunity(),
            self.commit_reveal(),
            self.min_weights(),
            self.max_weight(),
            self.rate_limit(),
            self.activity_cutoff(),
            self.version_key(),
        ]
    }

    fn tempo_blocks(&self) -> u64 {
        u64::from(self.rules.schedule.tempo)
    }

    fn started(&self) -> CheckResult {
        let warning =
            format!("no emission before the owner starts it: `tao subnets start {}`", self.netuid);
        let warning = (!self.is_started).then_some(warning);
        let text = if self.is_started { "yes" } else { "no" }.to_owned();
        CheckResult::new(
            "started",
            json!(self.is_started),
            text,
            "the subnet receives emission",
            warning,
        )
    }

    fn tao_emission(&self) -> CheckResult {
        let has_emission = self.has_tao_emission;
        let warning =
            (!has_emission).then(|| "TAO emission is disabled until root enables it".to_owned());
        let text = if has_emission { "on" } else { "off" }.to_owned();
        let meaning = "root lets the subnet take part in the emission of TAO";
        CheckResult::new("tao_emission", json!(has_emission), text, meaning, warning)
    }

    fn registration(&self) -> CheckResult {
        let warning = "registration is disabled: no miner or validator can join".to_owned();
        let warning = (!self.registration_allowed).then_some(warning);
        let meaning = "each miner and validator pays this to register; it rises with demand";
        let cost = self.registration_cost;
        CheckResult::new(
            "registration_cost_rao",
            json!(cost),
            format!("{cost} TAO"),
            meaning,
            warning,
        )
    }

    fn neurons(&self) -> CheckResult {
        let (neurons, NeuronCounts { permits, owners, .. }) = (self.rules.neurons, &self.neurons);
        let warning = if *permits == 0 && *owners > 0 {
            Some(
                "no neuron has a validator permit, so only the owner's hotkey can set weights; a permit needs stake and an epoch",
            )
        } else if *permits == 0 {
            Some(
                "no neuron has a validator permit, so nobody can set weights; a permit needs stake and an epoch",
            )
        } else if neurons >= self.max_neurons {
            Some(
                "the subnet is full: each registration replaces a neuron whose immunity has passed",
            )
        } else {
            None
        };
        let text = format!("{neurons} of {}, {permits} with a permit", self.max_neurons);
        CheckResult::new(
            "neurons",
            json!(neurons),
            text,
            "free uids are left",
            warning.map(str::to_owned),
        )
    }

    fn stake_threshold(&self) -> CheckResult {
        let threshold = self.stake_threshold;
        let warning =
            "nobody can set weights: neither a neuron with a permit nor the owner's has this stake"
                .to_owned();
        let warning = (self.neurons.can_set_weights == 0).then_some(warning);
        let meaning = "each validator needs this stake (alpha and weighted TAO) to set weights, also the owner's hotkey";
        CheckResult::new(
            "stake_threshold_rao",
            json!(threshold),
            format!("{threshold} TAO"),
            meaning,
            warning,
        )
    }

    fn tempo(&self) -> CheckResult {
        let tempo = self.tempo_blocks();
        let warning = (tempo == 0).then(|| "the subnet has no epochs".to_owned());
        CheckResult::new(
            "tempo_blocks",
            json!(tempo),
            format_blocks(tempo),
            "time between two epochs",
            warning,
        )
    }

    fn immunity(&self) -> CheckResult {
        let not_immune = self.neurons.not_immune;
        let warning = if self.immunity_blocks <= self.tempo_blocks() {
            Some("a miner can be replaced before its first epoch: raise the immunity period above the tempo".to_owned())
        } else if self.rules.neurons >= self.max_neurons
            && u64::from(not_immune) <= self.min_non_immune
        {
            Some(format!(
                "a registration replaces an immune neuron: the subnet is full, and has {} without immunity, at or \
                 below the minimum of {}",
                counted(not_immune, "neuron"),
                self.min_non_immune
            ))
        } else {
            None
        };
        let meaning = "a new neuron is not replaced for this long";
        CheckResult::new(
            "immunity_blocks",
            json!(self.immunity_blocks),
            format_blocks(self.immunity_blocks),
            meaning,
            warning,
        )
    }

    fn commit_reveal(&self) -> CheckResult {
        let Some(period) =
            self.rules.commit_reveal.map(|commit_reveal| commit_reveal.period_epochs)
        else {
            let warning = "disabled: validators can copy the weights of others".to_owned();
            return CheckResult::new(
                "commit_reveal_epochs",
                Value::Null,
                "off".to_owned(),
                "",
                Some(warning),
            );
        };
        // A new miner's weights are set in an epoch after its registration, and count one period
        // later.
        let delay = self.tempo_blocks().saturating_mul(period.saturating_add(1));
        let warning = (self.immunity_blocks <= delay).then(|| {
            format!(
                "first weights of a new miner count after up to {}, but its immunity ends before: raise the immunity \
                 period",
                format_blocks(delay)
            )
        });
        let meaning = "weights are hidden for this long, so that they cannot be copied";
        CheckResult::new(
            "commit_reveal_epochs",
            json!(period),
            counted(period, "epoch"),
            meaning,
            warning,
        )
    }

    fn min_weights(&self) -> CheckResult {
        let (minimum, neurons) = (self.rules.min_allowed_weights, self.rules.neurons);
        let miners = neurons.saturating_sub(self.neurons.validating);
        // On a smaller subnet, a validator gives weight to all neurons.
        let warning = (minimum.min(neurons) > miners).then(|| {
            format!(
                "only {} besides the validators: they must also give weight to each other",
                counted(miners, "neuron")
            )
        });
        let meaning = "each validator must give weight to at least this many neurons";
        CheckResult::new(
            "min_allowed_weights",
            json!(minimum),
            minimum.to_string(),
            meaning,
            warning,
        )
    }

    fn max_weight(&self) -> CheckResult {
        let (maximum, neurons) = (self.rules.max_weights_limit, self.rules.neurons);
        let is_too_low = u32::from(maximum) * u32::from(neurons) < u32::from(u16::MAX);
        let warning =
            format!("too low for {}: all of them get equal weights", counted(neurons, "neuron"));
        let text = format!("{:.2} %", f64::from(maximum) / f64::from(u16::MAX) * 100.0);
        let meaning = "the largest share of one neuron in a validator's weights";
        CheckResult::new(
            "max_weights_limit",
            json!(maximum),
            text,
            meaning,
            is_too_low.then_some(warning),
        )
    }

    fn rate_limit(&self) -> CheckResult {
        let limit = self.rules.rate_limit_blocks;
        let warning = "validators cannot set weights in every epoch".to_owned();
        let warning = (limit > self.tempo_blocks()).then_some(warning);
        let meaning = "a validator waits this long between two sets of weights";
        CheckResult::new(
            "weights_rate_limit_blocks",
            json!(limit),
            format_blocks(limit),
            meaning,
            warning,
        )
    }

    fn activity_cutoff(&self) -> CheckResult {
        let cutoff = self.activity_cutoff_blocks;
        let warning =
            "below two tempos: a validator that sets weights once in each epoch can count as inactive".to_owned();
        let warning = (cutoff < self.tempo_blocks().saturating_mul(2)).then_some(warning);
        let meaning = "a validator that sets no weights for this long counts as inactive";
        CheckResult::new(
            "activity_cutoff_blocks",
            json!(cutoff),
            format_blocks(cutoff),
            meaning,
            warning,
        )
    }

    fn version_key(&self) -> CheckResult {
        let key = self.rules.version_key;
        let meaning = "weights of validators with a smaller version key are rejected";
        CheckResult::new("weights_version", json!(key), key.to_string(), meaning, None)
    }
}

/// Formats a number of blocks with its duration on the public networks.
fn format_blocks(blocks: u64) -> String {
    let minutes = blocks.saturating_mul(BLOCK_TIME.as_secs()) as f64 / 60.0;
    let time = if minutes < 120.0 {
        format!("{minutes:.0} min")
    } else {
        format!("{:.1} h", minutes / 60.0)
    };
    format!("{} ({time})", counted(blocks, "block"))
}

#[cfg(test)]
mod tests {
    use taonet_chain::{CommitReveal, Schedule};
    use taonet_primitives::BlockNumber;

    use super::*;

    /// A subnet without warnings.
    fn state() -> SubnetState {
        SubnetState {
            netuid: NetUid(59),
            registration_cost: Rao::new(500_000),
            registration_allowed: true,
            max_neurons: 256,
            neurons: NeuronCounts {
                permits: 2,
                validating: 2,
                can_set_weights: 2,
                not_immune: 15,
                owners: 1,
            },
            stake_threshold: Rao::new(1_000_000_000_000),
            min_non_immune: 10,
            is_started: true,
            has_tao_emission: true,
            immunity_blocks: 7_200,
            activity_cutoff_blocks: 5_000,
            rules: WeightRules {
                neurons: 20,
                min_allowed_weights: 8,
                max_weights_limit: u16::MAX,
                version_key: 0,
                rate_limit_blocks: 100,
                commit_reveal: Some(CommitReveal { period_epochs: 1, version: 4 }),
                mechanisms: 1,
                schedule: Schedule {
                    tempo: 360,
                    last_epoch: BlockNumber::new(0),
                    pending_epoch: None,
                    epoch_index: 0,
                },
            },
        }
    }

    fn warnings(state: &SubnetState) -> Vec<&'static str> {
        let checks = state.checks();
        checks
            .iter()
            .filter(|check| check.status == Status::Warning)
            .map(|check| check.check)
            .collect()
    }

    /// Columns: change of the state · checks that warn
    #[test]
    fn each_setup_mistake_raises_its_warning() {
        type Change = fn(&mut SubnetState);
        let rows: [(Change, &[&str]); 23] = [
            (|_| (), &[]),
            (|state| state.is_started = false, &["started"]),
            (|state| state.registration_allowed = false, &["registration_cost_rao"]),
            (|state| state.has_tao_emission = false, &["tao_emission"]),
            (|state| state.neurons.permits = 0, &["neurons"]),
            (|state| state.neurons.can_set_weights = 0, &["stake_threshold_rao"]),
            (|state| state.max_neurons = 20, &["neurons"]),
            (|state| (state.max_neurons, state.neurons.not_immune) = (20, 11), &["neurons"]),
            (
                |state| (state.max_neurons, state.neurons.not_immune) = (20, 10),
                &["neurons", "immunity_blocks"],
            ),
            (|state| state.neurons.not_immune = 0, &[]),
            (|state| state.immunity_blocks = 720, &["commit_reveal_epochs"]),
            (|state| state.immunity_blocks = 721, &[]),
            (|state| state.immunity_blocks = 360, &["immunity_blocks", "commit_reveal_epochs"]),
            (|state| state.rules.commit_reveal = None, &["commit_reveal_epochs"]),
            (|state| state.rules.min_allowed_weights = 18, &[]),
            (|state| state.rules.min_allowed_weights = 19, &["min_allowed_weights"]),
            // The minimum is capped at the 20 neurons, all of which are miners.
            (|state| (state.rules.min_allowed_weights, state.neurons.validating) = (64, 0), &[]),
            (|state| state.rules.max_weights_limit = 3_276, &["max_weights_limit"]),
            (|state| state.rules.max_weights_limit = 3_277, &[]),
            (|state| state.rules.rate_limit_blocks = 361, &["weights_rate_limit_blocks"]),
            (|state| state.activity_cutoff_blocks = 719, &["activity_cutoff_blocks"]),
            (|state| state.activity_cutoff_blocks = 720, &[]),
            (
                |state| state.rules.schedule.tempo = 0,
                &["tempo_blocks", "weights_rate_limit_blocks"],
            ),
        ];
        for (number, (change, expected)) in rows.into_iter().enumerate() {
            let mut state = state();
            change(&mut state);
            assert_eq!(warnings(&state), expected, "row {number}");
        }
    }

    #[test]
    fn durations_assume_blocks_of_12_seconds() {
        for (blocks, text) in
            [(0, "0 blocks (0 min)"), (360, "360 blocks (72 min)"), (7_200, "7200 blocks (24.0 h)")]
        {
            assert_eq!(format_blocks(blocks), text);
        }
    }
}
