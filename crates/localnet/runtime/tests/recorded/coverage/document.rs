//! Generator of `docs/localnet-coverage.md`.

#![allow(clippy::format_push_string, clippy::format_collect, reason = "a page, written once")]

use super::{Row, Status};
use crate::explanations::{ABSENCES, Absence, AbsentItems, UNUSED};
use crate::items::{Item, Kind};
use crate::tiers::is_tier_1;

const INTRODUCTION: &str = "\
# Localnet coverage of the real chain

This page is generated from the metadata of both chains (`TAONET_UPDATE_DOCS=1 cargo test -p
taonet-localnet-runtime --test recorded`). The real chain is node-subtensor with spec version 461.

An item is supported if the localnet has it. Except for the intentional differences below, its name,
index, order, arguments, hashers, defaults, type names and encoding equal those of the real chain.
Of the [tools' own test suites](#the-tools-own-test-suites), 94 of the SDK's 129 tests pass, and 30
of btcli's 37.
";

const TIERS: &str = "
## Tiers of calls

Tier 1 has the calls that an operation of a client submits: of SDK 10 or 11, of btcli, or of
`taonet-chain`. All other calls are in tier 2. When the real chain changes, [tier 1 comes
first](../CONTRIBUTING.md#support-a-new-spec-version).
`crates/localnet/runtime/tests/recorded/tiers.txt` names the clients of each call.

| Pallet | Supported calls of tier 1 | Unsupported calls of tier 1 |
|---|---|---|
";

const PARTIALLY_SUPPORTED: &str = "
## Partially supported

| Item | Limitation |
|---|---|
| subnets 1 to 58 | dormant until the first call to the subnet: epochs do not run, and `BlocksSinceLastStep`, `LastEpochBlock` and `SubnetEpochIndex` are not updated; runtime APIs compute the values |
| baskets | hold TAO on root, as on the real chain without root weights; dividends are deposited at each epoch; past prices of shares are not stored |
| `RootClaimed`, `RootClaimable` | never written: baskets hold the dividends of root stake |
| coldkey swaps | calls that a coldkey signs are refused while its swap is announced; proxied calls are not |
| `dissolve_network`, `root_dissolve_network` | immediate, and the stakers receive all TAO of the pool, of which the real chain keeps the part of the alpha in the pool and of `SubnetProtocolAlpha` |
| AdminUtils calls for a subnet | root may also make them in the freeze window before an epoch |
| `SubnetEpochConsensus`, `SubnetEmaProtocolFlow` | always the defaults |
| `RootClaimType` | always Swap, for clients that still read it |
| `LastTxBlockDelegateTake` | always empty: use `LastRateLimitedBlock` |
| `BurnRegistrationsThisInterval`, `POWRegistrationsThisInterval`, `LastAdjustmentBlock` | always 0: the registration price has no intervals. `RegistrationsThisInterval` counts on root only; whether spec version 461 counts on all subnets is unknown |
| `NetworkPowRegistrationAllowed` | always true, as on the real chain: `sudo_set_network_pow_registration_allowed` fails with POWRegistrationDisabled |
| `TaoWeight`, `MaxWeightsLimit`, `WeightsVersionKeyRateLimit`, `ScalingLawPower`, `MaturityRate`, `UnlockRate` | always the defaults, as on the real chain |
| `HasMigrationRun` of Drand, Crowdloan and MevShield | always empty: a new chain has no migrations |
| `swap_coldkey_announced`, `swap_coldkey` | leases stay with the old coldkey of a beneficiary or contributor |
| `root_register` | that StakeTooLowForRoot precedes InsufficientTaoBalance is a guess |
| `unstake_all`, `unstake_all_alpha` | with collateral on the hotkey, they fail with StakeUnavailable or, if the coldkey has enough free stake on its other hotkeys of the subnet, leave all stake on this hotkey; `remove_stake` sells the stake beside the collateral |
| leases | as on the real chain, only epochs whose block number is a multiple of 100 pay the contributors |
| `sudo_set_owner_cut_auto_lock_enabled` | without effect on a leased subnet, whose contributors refuse locked alpha by default |
| stake locks, collateral | as on the real chain, both may cover the same stake. Their sum cannot be sold, but the stake beside the lock can be transferred within the subnet |
| `sudo_set_stake_threshold` | as on the real chain, a new threshold suspends or resumes a parent only after the parent's own stake changes, at the end of that block or of a later one with weight left |
| `associate_evm_key` | the address is stored for clients; there is no EVM that reads it |
| price of an idle subnet | as in the published source (`get_subnet_terms` and `inject_and_maybe_swap`, opentensor/subtensor 14bc6f9f): the alpha that a block adds to a pool is at most root's proportion of the subnet's alpha emission, and the rest of the TAO emission buys alpha. Without root stake, 6 240 blocks (26 minutes of 250 ms) of 1 TAO each almost double a pool of 6 600 TAO, and raise the price from 4.4 to 16.7 TAO |
| TAO flows | counted (`SubnetTaoFlow`, `SubnetProtocolFlow`), but not used: `SubnetEmaTaoFlow` stays 0, and emission follows prices and the emission gate, as inferred from the metadata of `EmissionGateBar` and the published source (RaoFoundation/subtensor f8ff769a); the metadata of `sudo_set_net_tao_flow_enabled` contradicts it |
| `sudo_set_tao_flow_cutoff`, `sudo_set_tao_flow_normalization_exponent`, `sudo_set_tao_flow_smoothing_factor`, `sudo_set_net_tao_flow_enabled` | stored, without effect: emission does not follow flows |
| `sudo_set_dissolve_network_schedule_duration` | stored, without effect: dissolution has no delay |
| `set_tempo`, `set_activity_cutoff_factor` | deprecated calls of SubtensorModule, without effect, for a fee; use `sudo_set_tempo` and `sudo_set_activity_cutoff_factor` |
| `sudo_set_activity_cutoff`, `sudo_set_adjustment_alpha`, `sudo_set_adjustment_interval`, `sudo_set_rho` | stored for clients, without effect |
| `Drand.Pulses` | no off-chain worker: pulses are [fetched, submitted or set as storage](localnet.md#reveal-timelocked-data), and there is no local beacon |
| `System.set_storage`, `kill_storage`, `kill_prefix` | through Sudo as on the real chain, but refused for keys of the code, keys outside of the pallets, and the number, parent and digest of the block |
| `ProxyType.SudoUncheckedSetCode` | can be granted without effect: native code cannot be replaced |
| `MevShield.announce_next_key` | one fixed, public key is the current, pending and next key |
| `set_on_initialize_weight`, `set_max_extrinsic_weight` of MevShield | stored, without effect: stored ciphertexts are never decrypted |
| `MevShield.store_encrypted` | as on the real chain, the next block removes a stored ciphertext with ExtrinsicDecodeFailed |
| call weights | those of the real chain: a block has room for 26 calls of `set_weights`. The reduction of the fees of `claim_root`, `claim_root_with_hotkey`, `stake_into_basket`, `swap_hotkey` and `swap_hotkey_v2` after the call is an estimate, and the fee of `root_register` lacks the term for the number of subnets |
| block weights | work at the start and end of a block, such as epochs, does not count |
";

const FOR_CLIENTS: &str = "
## For clients only

Clients can decode these items, but the localnet never emits the events, returns the errors or reads
the storage. A test compares this list with the source code.
";

const SUITES: &str = "
## The tools' own test suites

`scripts/suites` [runs](localnet.md#run-the-sdks-and-btclis-own-test-suites) the end-to-end suites of
opentensor/bittensor (bb526e6d, SDK 10.2.0) and opentensor/btcli (1e9bc8b6, btcli 9.21.2) unmodified
on `--genesis reference --finality-lag 3`, with newer packages: SDK 10.5.0 and btcli 9.23.2. The
suites are written for an older version of the chain than the main network's.

| | SDK | btcli |
|---|---|---|
| tests | 129 | 37, of which the suite skips 3 |
| pass | 94 (73 %) | 30 (81 %, or 88 % of those that run) |
| goal | 95 % | 95 % |
| can pass at most on a chain like the main network | 102 (79 %), with the 8 that wait for drand | 32 of the 34 that run (94 %) |
| passed without `--finality-lag`, not repeated with it | 15 | 17 |

The tests ran without network access. The others fail for these reasons:

| Suite | Tests | Reason |
|---|---|---|
| SDK | test_root_claim (14) | the main network has removed `set_root_claim_type` |
| SDK | test_commit_reveal, test_reveal_commitments, test_incentive, test_metagraph_weights_bonds (2 each) | wait for drand's pulses; `--drand` needs access to drand's API: unverified |
| SDK | test_metagraph_info, test_metagraph_info_with_indexes (2 each) | expect tuples where SDK 10.5.0 has lists; values of rank, trust and pruning score, which are empty on the main network; and a cutoff of activity and names of subnets that the main network has changed |
| SDK | test_commit_and_reveal_weights_legacy_async | reveals in the epoch of the commit, and expects a block in `WeightCommits`, where the chain has the index of the epoch |
| SDK | test_crowdloan_with_call (2) | the chain refuses to finalize a crowdloan whose call does not spend all TAO (FundsNotSettled) |
| SDK | test_batch_operations (2) | expects a registration on a new subnet to cost 0.1 TAO; it costs 1 TAO (`DefaultNeuronBurnCost`) |
| SDK | test_subtensor_extrinsics (2) | expects the same price before and after a registration; the chain raises it by 26 % (`BurnIncreaseMult`) |
| SDK | test_children (2) | sets children about 140 blocks after the last time; the chain permits it after 150 |
| btcli | test_children_hotkeys | likewise, unless a slow machine lets 150 blocks pass between its calls |
| btcli | test_coldkey_swap_dispute | expects ColdkeySwapDisputed from a block; the chain refuses the call before, with custom error 21 |
| btcli | test_hyperparams_setting | sets `activity_cutoff`, which btcli 9.23.2 refuses |
| btcli | test_staking_sudo | expects the price 0 on a subnet that is not started; its pool has a price (`current_price`) |
| btcli | test_liquidity, test_root, test_senate | skipped by the suite |
";

const METHODS: &str = "
## JSON-RPC methods

[localnet.md](localnet.md#json-rpc-methods) describes the methods of the group dev, which control
the chain.

| Group | Methods |
|---|---|
| chain, subscribe and unsubscribe | `chain_getBlock`, `chain_getBlockHash`, `chain_getFinalisedHead`, `chain_getFinalizedHead`, `chain_getHead`, `chain_getHeader`, `chain_getRuntimeVersion`, `chain_subscribeAllHeads`, `chain_subscribeFinalisedHeads`, `chain_subscribeFinalizedHeads`, `chain_subscribeNewHead`, `chain_subscribeNewHeads`, `chain_unsubscribeAllHeads`, `chain_unsubscribeFinalisedHeads`, `chain_unsubscribeFinalizedHeads`, `chain_unsubscribeNewHead`, `chain_unsubscribeNewHeads`, `subscribe_newHead`, `unsubscribe_newHead` |
| state | `state_call`, `state_callAt`, `state_getKeys`, `state_getKeysPaged`, `state_getKeysPagedAt`, `state_getMetadata`, `state_getRuntimeVersion`, `state_getStorage`, `state_getStorageAt`, `state_getStorageHash`, `state_getStorageHashAt`, `state_getStorageSize`, `state_getStorageSizeAt`, `state_queryStorageAt`, `state_subscribeRuntimeVersion`, `state_subscribeStorage`, `state_unsubscribeRuntimeVersion`, `state_unsubscribeStorage` |
| author | `author_pendingExtrinsics`, `author_submitAndWatchExtrinsic`, `author_submitExtrinsic`, `author_unwatchExtrinsic` |
| payment | `payment_queryFeeDetails`, `payment_queryInfo` |
| system, account and rpc | `system_accountNextIndex`, `system_chain`, `system_chainType`, `system_health`, `system_name`, `system_nodeRoles`, `system_peers`, `system_properties`, `system_syncState`, `system_version`, `account_nextIndex`, `rpc_methods` |
| dev | `dev_advance`, `dev_dropSnapshot`, `dev_dryRun`, `dev_epoch`, `dev_impersonate`, `dev_listSnapshots`, `dev_mine`, `dev_revertSnapshot`, `dev_setStorage`, `dev_snapshot`, `dev_status`, `dev_stop`, `dev_takeSnapshot` |

| Unsupported methods | Reason |
|---|---|
| `delegateInfo_*`, `neuronInfo_*`, `subnetInfo_*`, `stakeInfo_*`, `swap_*` | current clients use `state_call` of the runtime APIs, which return the same |
| `chainHead_*`, `archive_*`, `chainSpec_*`, `transaction_*`, `transactionWatch_*` | clients use the methods above |
| `state_getReadProof`, `state_getChildReadProof` | for light clients, with which the localnet is not tested |
| `state_getPairs`, `state_queryStorage`, `state_traceBlock` | unsafe methods, which public nodes refuse: `state_getKeysPaged` and `state_queryStorageAt` serve clients |
| `childstate_*` | only contracts have child storage, and the localnet runs none |
| `author_insertKey`, `author_rotateKeys`, `author_rotateKeysWithOwner`, `author_hasKey`, `author_hasSessionKeys` | the author's key is fixed |
| `author_removeExtrinsic` | unsafe: the pool removes invalid extrinsics itself |
| `system_dryRun`, `system_dryRunAt` | `dev_dryRun` also returns the events |
| `system_addReservedPeer`, `system_removeReservedPeer`, `system_reservedPeers`, `system_localPeerId`, `system_localListenAddresses`, `system_unstable_networkState` | the node has no peer-to-peer network |
| `system_addLogFilter`, `system_resetLogFilter` | `-v` and RUST_LOG set the log filter at startup |
| `offchain_*` | the chain has no off-chain worker |
| `grandpa_*`, `babe_*`, `beefy_*`, `mmr_*`, `sync_state_*` | the node finalizes blocks itself, without votes, and Aura selects the author |
| `eth_*`, `net_*`, `web3_*`, `debug_*`, `txpool_*` | the localnet has no EVM |
";

/// Renders the page.
pub(crate) fn document(rows: &[Row]) -> String {
    let mut page = INTRODUCTION.to_owned();
    page += "\n## Pallets\n\nEach cell shows how many items of either chain are supported, and in \
             parentheses how many of these\ndiffer from the real chain's or exist only on the \
             localnet. Calls are in two\n[tiers](#tiers-of-calls).\n\n";
    page += "| Pallet | Tier 1 calls | Tier 2 calls | Storage | Events | Errors | Constants |\n";
    page += "|---|---|---|---|---|---|---|\n";
    for owner in owners(rows, |kind| Kind::PALLET_KINDS.contains(&kind), true) {
        let tier_1 = cell(rows, &owner, is_tier_1);
        let tier_2 = cell(rows, &owner, |item| item.kind == Kind::Call && !is_tier_1(item));
        page += &format!("| {owner} | {tier_1} | {tier_2} |");
        for kind in Kind::PALLET_KINDS.into_iter().filter(|kind| *kind != Kind::Call) {
            page += &format!(" {} |", cell(rows, &owner, |item| item.kind == kind));
        }
        page.push('\n');
    }
    page += &format!(
        "\nUnsupported: {}.\n",
        owners(rows, |kind| Kind::PALLET_KINDS.contains(&kind), false).join(", ")
    );
    page += TIERS;
    page += &tier_1_calls(rows);
    page += "\n## Runtime APIs\n\n| API | Methods |\n|---|---|\n";
    for owner in owners(rows, |kind| kind == Kind::Method, true) {
        page +=
            &format!("| {owner} | {} |\n", cell(rows, &owner, |item| item.kind == Kind::Method));
    }
    page += &format!(
        "\nUnsupported: {}.\n",
        owners(rows, |kind| kind == Kind::Method, false).join(", ")
    );
    page += "\n## Transaction extensions\n\n";
    let extensions = cell(rows, "Extrinsic", |item| item.kind == Kind::Extension);
    page += &format!("{extensions} transaction extensions are supported.\n");
    page += METHODS;
    page += "\n## Intentional differences\n";
    page += &table_of_reasons(differences(rows));
    page += PARTIALLY_SUPPORTED;
    page += FOR_CLIENTS;
    page += &table_of_reasons(UNUSED.iter().map(absence_entry));
    page += "\n## Unsupported items\n";
    page += &table_of_reasons(ABSENCES.iter().map(absence_entry));
    page += SUITES;
    page
}

/// Returns the pallets or APIs in the real chain's order: those with supported items if `served`,
/// otherwise those without.
fn owners(rows: &[Row], is_kind: fn(Kind) -> bool, served: bool) -> Vec<String> {
    let mut owners: Vec<&str> = Vec::new();
    for row in rows.iter().filter(|row| is_kind(row.item.kind)) {
        if !owners.contains(&row.item.owner.as_str()) {
            owners.push(&row.item.owner);
        }
    }
    let is_served = |owner: &str| {
        rows.iter().any(|row| {
            row.item.owner == owner && is_kind(row.item.kind) && row.status != Status::Missing
        })
    };
    owners.into_iter().filter(|owner| is_served(owner) == served).map(Into::into).collect()
}

/// Renders how many of a pallet's or API's items with a property are supported, and how many of
/// these differ.
fn cell(rows: &[Row], owner: &str, is_counted: impl Fn(&Item) -> bool) -> String {
    let counted = rows.iter().filter(|row| row.item.owner == owner && is_counted(&row.item));
    let (mut all, mut served, mut different) = (0, 0, 0);
    for row in counted {
        all += 1;
        served += usize::from(row.status != Status::Missing);
        different += usize::from(matches!(row.status, Status::Different(_)));
    }
    match (all, different) {
        (0, _) => "–".into(),
        (_, 0) => format!("{served} of {all}"),
        _ => format!("{served} of {all} ({different})"),
    }
}

/// Renders the table of the calls of tier 1, with one row for each pallet.
fn tier_1_calls(rows: &[Row]) -> String {
    let mut calls: Vec<&Row> = rows.iter().filter(|row| is_tier_1(&row.item)).collect();
    calls.sort_by_key(|row| (&row.item.owner, &row.item.name));
    let pallets = calls.chunk_by(|one, other| one.item.owner == other.item.owner);
    let row = |calls: &[&Row]| {
        let (missing, supported): (Vec<&&Row>, Vec<&&Row>) =
            calls.iter().partition(|row| row.status == Status::Missing);
        format!("| {} | {} | {} |\n", calls[0].item.owner, names(&supported), names(&missing))
    };
    pallets.map(row).collect()
}

/// Renders the names of items, or a dash if there are none.
fn names(rows: &[&&Row]) -> String {
    let names: Vec<&str> = rows.iter().map(|row| row.item.name.as_str()).collect();
    if names.is_empty() { "–".to_owned() } else { names.join(", ") }
}

/// Returns the differences with their reasons, one entry for each owner, kind and reason.
fn differences(rows: &[Row]) -> Vec<(String, &'static str)> {
    let mut entries: Vec<(String, &str, Vec<&str>)> = Vec::new();
    for row in rows {
        let Status::Different(reason) = row.status else { continue };
        let owner = format!("{} {}", row.item.owner, row.item.kind);
        match entries.iter_mut().find(|entry| entry.0 == owner && entry.1 == reason) {
            Some(entry) => entry.2.push(&row.item.name),
            None => entries.push((owner, reason, vec![&row.item.name])),
        }
    }
    let entries = entries.into_iter();
    entries
        .map(|(owner, reason, names)| (format!("{owner}: {}", names.join(", ")), reason))
        .collect()
}

/// Returns the items of an absence with their reason.
fn absence_entry(absence: &Absence) -> (String, &'static str) {
    let owners = absence.owners.join(", ");
    match absence.items {
        AbsentItems::All => (owners, absence.reason),
        AbsentItems::Items(kind, names) => {
            (format!("{owners} {kind}: {}", names.join(", ")), absence.reason)
        }
    }
}

/// Renders a table of items and reasons, with one row for each reason.
fn table_of_reasons(entries: impl IntoIterator<Item = (String, &'static str)>) -> String {
    let mut rows: Vec<(&str, Vec<String>)> = Vec::new();
    for (items, reason) in entries {
        match rows.iter_mut().find(|row| row.0 == reason) {
            Some(row) => row.1.push(items),
            None => rows.push((reason, vec![items])),
        }
    }
    let mut table = "\n| Items | Reason |\n|---|---|\n".to_owned();
    for (reason, items) in rows {
        table += &format!("| {} | {reason} |\n", items.join("; "));
    }
    table
}
