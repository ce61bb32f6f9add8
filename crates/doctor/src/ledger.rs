use std::path::Path;

use taonet_chain::{HotkeyState, SignedExtrinsic};
use taonet_ledger::{IntentKey, LedgerError, LedgerReader, Record, Step};
use taonet_primitives::{BlockHash, BlockNumber, Hotkey, NetUid};

use crate::{Check, Finding};

/// How many of the latest intents are compared with the chain: those of several days.
const MAX_INTENTS: u32 = 100;

/// The side of the chain in the comparison with a ledger.
#[derive(Debug, Clone)]
pub struct LedgerView<'a> {
    /// The genesis hash of the connected chain.
    pub genesis: BlockHash,
    /// The subnet.
    pub netuid: NetUid,
    /// The hotkey that submits weights.
    pub hotkey: Hotkey,
    /// The state of the hotkey on the chain.
    pub state: &'a HotkeyState,
    /// The block in which the hotkey was registered.
    pub registered_at: BlockNumber,
}

/// Compares the weight ledger in a directory with the hotkey's `LastUpdate` on the chain. The
/// ledger is read while a gateway uses it.
pub async fn ledger(directory: &Path, view: &LedgerView<'_>) -> Finding {
    let subject = directory.display().to_string();
    let records = match LedgerReader::open(directory).await {
        Ok(reader) => reader.latest(MAX_INTENTS).await,
        Err(LedgerError::Missing(_)) => return missing(subject, view.state.last_update),
        Err(error) => Err(error),
    };
    match records {
        Ok(records) => compare(subject, &records, view),
        Err(error) => {
            let remedy =
                "check the owner of the directory, and restore a backup if the database is damaged";
            Finding::error(Check::Ledger, subject, &error, remedy)
        }
    }
}

/// Remedy for weights that another program submitted.
const FOREIGN_SUBMISSION: &str = "stop other validators with this hotkey; if you restored a backup or moved here from \
                                  another program, the next submission of this ledger ends the difference";

fn missing(subject: String, last_update: Option<BlockNumber>) -> Finding {
    match last_update {
        None => {
            Finding::skipped(Check::Ledger, subject, "no ledger yet, and no weights on the chain")
        }
        Some(block) => Finding::warning(
            Check::Ledger,
            subject,
            format!("no ledger, but the chain has weights of the hotkey from block {block}"),
            "pass the directory given to the gateway as --state with --ledger; without one, it was another program that \
             submitted: stop it before you start the gateway",
        ),
    }
}

/// Whether a block is in an extrinsic's mortality period.
fn may_include(block: BlockNumber, extrinsic: &SignedExtrinsic) -> bool {
    extrinsic.birth.number < block && extrinsic.last_block.is_none_or(|last| block <= last)
}

fn compare(subject: String, records: &[Record], view: &LedgerView<'_>) -> Finding {
    let is_own =
        |key: &IntentKey| key.netuid == view.netuid && key.hotkey == view.hotkey && key.mech.0 == 0;
    let (own_records, other_chain_records): (Vec<_>, Vec<_>) = records
        .iter()
        .filter(|record| is_own(&record.intent.plan.key))
        .partition(|record| record.intent.plan.key.genesis == view.genesis);
    if let (true, Some(record)) = (own_records.is_empty(), other_chain_records.first()) {
        let genesis = record.intent.plan.key.genesis;
        return Finding::fault(
            Check::Ledger,
            subject,
            format!(
                "the ledger is of the chain {genesis}, and the connected chain is {}",
                view.genesis
            ),
            "select the network of the ledger with BT_NETWORK, or give this network its own --state directory",
        );
    }
    // The chain forgets the updates of an earlier registration.
    let newest =
        included(&own_records, Step::Submit).max().filter(|block| *block > view.registered_at);
    match (newest, view.state.last_update) {
        (None, None) => {
            Finding::ok(Check::Ledger, subject, "no weights in the ledger and on the chain")
        }
        (Some(newest), Some(chain))
            if chain == newest || is_recorded(&own_records, chain) && chain > newest =>
        {
            Finding::ok(
                Check::Ledger,
                subject,
                format!("last weights in block {newest}, as on the chain"),
            )
        }
        (_, Some(chain))
            if can_be_pending(&own_records, chain)
                && newest.is_none_or(|newest| newest < chain) =>
        {
            Finding::ok(
                Check::Ledger,
                subject,
                format!("the submission in block {chain} is being recorded"),
            )
        }
        // A validator that moves here from another program has weights on the chain before its
        // ledger has any.
        (None, Some(chain)) if own_records.is_empty() => Finding::warning(
            Check::Ledger,
            subject,
            format!(
                "the ledger is new, and another program submitted the chain's weights from block {chain}"
            ),
            FOREIGN_SUBMISSION,
        ),
        (newest, Some(chain)) if newest.is_none_or(|newest| newest < chain) => {
            let last = newest.map_or_else(|| "none".to_owned(), |block| format!("block {block}"));
            Finding::fault(
                Check::Ledger,
                subject,
                format!(
                    "behind the chain: the chain has weights from block {chain}, the ledger's last are of {last}"
                ),
                FOREIGN_SUBMISSION,
            )
        }
        (newest, chain) => {
            let on_chain =
                chain.map_or_else(|| "none".to_owned(), |block| format!("those of block {block}"));
            let newest = newest.unwrap_or_default();
            Finding::fault(
                Check::Ledger,
                subject,
                format!(
                    "ahead of the chain: the ledger's last weights are of block {newest}, the chain has {on_chain}"
                ),
                "the node lags behind or its chain was reverted: select another node with BT_CHAIN_ENDPOINT; on a \
                 development chain, move the ledger away",
            )
        }
    }
}

/// Returns the blocks that include a step of the intents.
fn included(records: &[&Record], step: Step) -> impl Iterator<Item = BlockNumber> {
    let extrinsics = records.iter().flat_map(|record| &record.extrinsics);
    extrinsics
        .filter(move |extrinsic| extrinsic.step == step)
        .filter_map(|extrinsic| extrinsic.signed.outcome.as_ref()?.inclusion())
        .filter(|inclusion| inclusion.result.is_ok())
        .map(|inclusion| inclusion.block.number)
}

fn is_recorded(records: &[&Record], block: BlockNumber) -> bool {
    let mut blocks = included(records, Step::Submit).chain(included(records, Step::Reveal));
    blocks.any(|recorded| recorded == block)
}

/// Returns whether a block may have the weights of a pending extrinsic. Only the blocks that may
/// include it can: other submissions are foreign.
fn can_be_pending(records: &[&Record], block: BlockNumber) -> bool {
    let mut extrinsics = records.iter().flat_map(|record| &record.extrinsics);
    extrinsics.any(|extrinsic| {
        extrinsic.signed.state.is_pending() && may_include(block, &extrinsic.signed.extrinsic)
    })
}

#[cfg(test)]
mod tests {
    use taonet_chain::Block;
    use taonet_wallet::Keypair;

    use super::*;

    #[test]
    fn block_after_mortality_period_cannot_include_extrinsic() {
        let hash = format!("0x{}", "07".repeat(32));
        let mut extrinsic = SignedExtrinsic {
            bytes: Vec::new(),
            hash: hash.parse().unwrap(),
            signer: Keypair::from_uri("//Alice").unwrap().hotkey().into(),
            nonce: 0,
            birth: Block { number: BlockNumber::new(100), hash: hash.parse().unwrap() },
            last_block: Some(BlockNumber::new(107)),
            spec_version: 0,
        };
        for (block, expected) in [(100, false), (101, true), (107, true), (108, false)] {
            assert_eq!(may_include(BlockNumber::new(block), &extrinsic), expected, "{block}");
        }
        extrinsic.last_block = None;
        assert!(may_include(BlockNumber::new(1_000), &extrinsic));
    }
}
