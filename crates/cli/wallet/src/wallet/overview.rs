//! The `tao wallet overview` command.

use clap::Args;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use serde_json::{Value, json};
use taonet_chain::{At, Chain as _, Client, Detail, Metagraph, Neuron, Share};
use taonet_cli_base::chain::{AtArgs, NetworkArgs, block_json, chain_error};
use taonet_cli_base::context::Context;
use taonet_cli_base::table::{table, tao_decimals, wrap_text};
use taonet_cli_base::tables::OVERVIEW;
use taonet_cli_base::wallet_args::WalletArgs;
use taonet_primitives::{Hotkey, MechId, NetUid};

use crate::balance::total_stake_value;

/// Maximum number of metagraphs that are read at the same time.
const MAX_CONCURRENT_READS: usize = 8;

/// Show a wallet's balance, stake and neurons
#[derive(Debug, Args)]
pub struct OverviewArgs {
    /// Only neurons of this subnet
    #[arg(long, value_name = "NETUID")]
    netuid: Option<NetUid>,
    #[command(flatten)]
    at: AtArgs,
    #[command(flatten)]
    network: NetworkArgs,
    #[command(flatten)]
    wallet: WalletArgs,
}

/// A hotkey of the wallet with its name.
struct NamedHotkey {
    name: String,
    hotkey: Hotkey,
}

pub(crate) fn run(args: &OverviewArgs, context: &Context) -> anyhow::Result<()> {
    // An invalid network is reported before a missing wallet.
    args.network.network()?;
    let wallet = args.wallet.wallet()?;
    let coldkey = wallet.coldkeypub()?.coldkey();
    let listed = wallet.list().into_iter().flat_map(|listed| listed.hotkeys);
    let hotkeys: Vec<NamedHotkey> = listed
        .filter_map(|key| {
            Some(NamedHotkey { name: key.name.to_string(), hotkey: key.hotkey?.hotkey() })
        })
        .collect();
    context.block_on(async {
        let chain = args.network.connect().await?;
        let block = args.at.block(&chain).await?;
        let balance =
            async { chain.balance(coldkey.into(), block.into()).await.map_err(chain_error) };
        let (balance, stake_value, metagraphs) = tokio::try_join!(
            balance,
            total_stake_value(&chain, coldkey.into(), block.into()),
            read_metagraphs(&chain, &hotkeys, args.netuid, block.into())
        )?;
        let neurons: Vec<_> =
            metagraphs.iter().flat_map(|metagraph| wallet_neurons(metagraph, &hotkeys)).collect();
        if context.json {
            let neurons: Vec<_> = neurons.iter().map(neuron_document).collect();
            return context.print_json(&json!({
                "block": block_json(block),
                "wallet": wallet.name().as_str(),
                "coldkey": coldkey,
                "free_rao": balance.free,
                "stake_rao": stake_value,
                "neurons": neurons,
            }));
        }
        let mut rows = table(&OVERVIEW);
        for (metagraph, name, neuron) in &neurons {
            rows.add_row([
                metagraph.netuid.to_string(),
                neuron.uid.to_string(),
                (*name).to_owned(),
                tao_decimals(neuron.total_stake.get()),
                format!("{:.4}", Share::new(neuron.incentive).fraction()),
                format!("{:.4}", Share::new(neuron.dividends).fraction()),
                tao_decimals(neuron.emission.get()),
                if neuron.validator_permit { "yes" } else { "" }.to_owned(),
                block.number.since(neuron.last_update).to_string(),
                neuron.axon.map_or_else(|| "–".to_owned(), |axon| axon.address.to_string()),
            ]);
        }
        let funds = format!(
            "{} {coldkey}: {} TAO free, stake worth {stake_value} TAO",
            wallet.name(),
            balance.free
        );
        context.print(&format!("{}\n\n{rows}\n\nblock {block}", wrap_text(&funds)))
    })
}

/// Returns the metagraphs of the subnets on which a hotkey is registered, ordered by subnet.
async fn read_metagraphs(
    chain: &Client,
    hotkeys: &[NamedHotkey],
    netuid_filter: Option<NetUid>,
    at: At,
) -> anyhow::Result<Vec<Metagraph>> {
    let hotkeys: Vec<_> = hotkeys.iter().map(|key| key.hotkey).collect();
    let netuids = match netuid_filter {
        Some(netuid) => vec![netuid],
        None => chain.netuids(at).await.map_err(chain_error)?,
    };
    let registrations = chain.registrations(&hotkeys, &netuids, at).await.map_err(chain_error)?;
    let mut netuids: Vec<_> = registrations.into_iter().map(|(netuid, ..)| netuid).collect();
    netuids.dedup();
    let reads: Vec<_> = netuids
        .into_iter()
        .map(|netuid| chain.metagraph(netuid, MechId(0), Detail::Lite, at))
        .collect();
    stream::iter(reads).buffered(MAX_CONCURRENT_READS).try_collect().await.map_err(chain_error)
}

fn wallet_neurons<'a>(
    metagraph: &'a Metagraph,
    hotkeys: &'a [NamedHotkey],
) -> impl Iterator<Item = (&'a Metagraph, &'a str, &'a Neuron)> {
    metagraph.neurons.iter().filter_map(move |neuron| {
        let key = hotkeys.iter().find(|key| key.hotkey == neuron.hotkey)?;
        Some((metagraph, key.name.as_str(), neuron))
    })
}

fn neuron_document((metagraph, name, neuron): &(&Metagraph, &str, &Neuron)) -> Value {
    json!({ "netuid": metagraph.netuid, "hotkey_name": name, "neuron": neuron })
}
