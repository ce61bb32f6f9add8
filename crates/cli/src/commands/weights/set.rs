use std::time::{Duration, SystemTime};

use anyhow::{Context as _, bail};
use clap::Args;
use serde_json::json;
use taonet_chain::{At, Chain as _, CommitReveal, WeightRules, calls};
use taonet_primitives::{BlockNumber, Hotkey, Uid};
use taonet_timelock::{Beacon, EpochSchedule, WeightsPayload, encrypt};

use super::MechanismArgs;
use super::pairs::{Pair, quantised};
use crate::chain::{NetworkArgs, Plan, SigningHotkeyArgs, SubmitArgs, failed};
use crate::context::Context;

/// The version of commits that are encrypted until a round of the drand beacon.
const TIMELOCKED: u16 = 4;

/// Set a validator's weights
#[derive(Debug, Args)]
pub(crate) struct SetArgs {
    /// Neurons and their weights, e.g. 3:0.5 4:1; only the proportions count
    #[arg(value_name = "UID:WEIGHT", required = true)]
    weights: Vec<Pair>,
    #[command(flatten)]
    mechanism: MechanismArgs,
    /// The version of the validator's code [default: what the subnet asks for]
    #[arg(long, value_name = "NUMBER")]
    version_key: Option<u64>,
    #[command(flatten)]
    submit: SubmitArgs,
    #[command(flatten)]
    network: NetworkArgs,
    #[command(flatten)]
    key: SigningHotkeyArgs,
}

pub(super) fn run(args: &SetArgs, context: &Context) -> anyhow::Result<()> {
    let MechanismArgs { netuid, mech } = args.mechanism;
    let weights = quantised(&args.weights)?;
    context.block_on(async {
        let chain = args.network.connect().await?;
        let head = chain.head().await.map_err(failed)?;
        let rules = chain.weight_rules(netuid, head.into()).await.map_err(failed)?;
        let version_key = args.version_key.unwrap_or(rules.version_key);
        let key = args.key.unlock(&args.network, &chain)?;
        let hotkey = key.hotkey();
        if chain.uid(netuid, &hotkey, At::Head).await.map_err(failed)?.is_none() {
            bail!("{hotkey} is not registered on subnet {netuid}: tao register --netuid {netuid} does that");
        }
        let (form, call, round) = match rules.commit_reveal {
            None => ("plain", calls::set_mechanism_weights(netuid, mech, &weights, version_key), None),
            Some(CommitReveal { version: TIMELOCKED, period_epochs }) => {
                let moment = Moment { head: head.number, block_time: chain.block_time(), now: now()? };
                let payload = payload(hotkey, &weights, version_key);
                let (commit, round) = timelocked(&payload, &rules, period_epochs, &moment)?;
                let call = calls::commit_timelocked_mechanism_weights(netuid, mech, &commit, round, TIMELOCKED);
                ("timelocked", call, Some(round))
            }
            Some(CommitReveal { version, .. }) => bail!(
                "subnet {netuid} wants commits of version {version}: tao weights commit makes commits by hash, a newer \
                 taonet may know others"
            ),
        };
        let what = match round {
            None => format!("Set {} weights on subnet {netuid}", weights.len()),
            Some(round) => {
                format!("Commit to {} weights on subnet {netuid}, open from drand round {round} on", weights.len())
            }
        };
        let about = json!({
            "netuid": netuid,
            "mech": mech,
            "hotkey": hotkey,
            "form": form,
            "reveal_round": round,
            "uids": weights.iter().map(|(uid, _)| uid).collect::<Vec<_>>(),
            "values": weights.iter().map(|(_, value)| value).collect::<Vec<_>>(),
            "version_key": version_key,
        });
        args.submit.carry_out(&chain, &key, Plan::new(call, what, about), context).await
    })
}

/// When a commit is made.
struct Moment {
    head: BlockNumber,
    block_time: Duration,
    /// Since 1970.
    now: Duration,
}

fn now() -> anyhow::Result<Duration> {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).context("this machine's clock stands before 1970")
}

fn payload(hotkey: Hotkey, weights: &[(Uid, u16)], version_key: u64) -> WeightsPayload {
    let (uids, values) = weights.iter().copied().unzip();
    WeightsPayload { hotkey, uids, values, version_key }
}

/// The ciphertext, and the round that opens it.
fn timelocked(
    payload: &WeightsPayload,
    rules: &WeightRules,
    period_epochs: u64,
    moment: &Moment,
) -> anyhow::Result<(Vec<u8>, u64)> {
    let schedule = EpochSchedule {
        current_block: moment.head.get().into(),
        last_epoch_block: rules.schedule.last_epoch.get().into(),
        pending_epoch_at: rules.schedule.pending_epoch.map(|block| block.get().into()),
        blocks_since_last_step: moment.head.since(rules.schedule.last_epoch).into(),
        tempo: rules.schedule.tempo,
        reveal_period_epochs: period_epochs,
    };
    let beacon = Beacon::quicknet();
    let round = schedule.reveal_round(beacon, moment.block_time, moment.now)?;
    Ok((encrypt(&payload.to_bytes(), beacon, round, &mut rand::rng())?.to_bytes(), round.0))
}
