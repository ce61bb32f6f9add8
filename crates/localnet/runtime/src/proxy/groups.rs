//! Groups of calls that proxy types allow.
//!
//! The groups do not overlap, except that [`SET_CODE`] and [`SMALL_TRANSFERS`] repeat calls of
//! other groups. Together they contain every call of the real chain except those of its EVM and
//! contracts. They name calls instead of matching on them, since they also contain calls that this
//! chain does not support yet.

/// Calls of one pallet.
pub(super) struct Group {
    /// Name of the pallet.
    pallet: &'static str,
    calls: Calls,
}

enum Calls {
    All,
    Only(&'static [&'static str]),
    AllBut(&'static [&'static str]),
}

impl Group {
    const fn all(pallet: &'static str) -> Self {
        Self { pallet, calls: Calls::All }
    }

    const fn only(pallet: &'static str, calls: &'static [&'static str]) -> Self {
        Self { pallet, calls: Calls::Only(calls) }
    }

    const fn subtensor(calls: &'static [&'static str]) -> Self {
        Self::only("SubtensorModule", calls)
    }

    const fn admin(calls: &'static [&'static str]) -> Self {
        Self::only("AdminUtils", calls)
    }

    /// Whether the group contains this call.
    pub(super) fn contains(&self, pallet: &str, call: &str) -> bool {
        self.pallet == pallet
            && match self.calls {
                Calls::All => true,
                Calls::Only(calls) => calls.contains(&call),
                Calls::AllBut(calls) => !calls.contains(&call),
            }
    }
}

/// Pallets whose calls neither move TAO nor dispatch other calls with a new origin.
pub(super) const COMMON: &[Group] = &[
    Group::all("System"),
    Group::all("Timestamp"),
    Group::all("Grandpa"),
    Group::all("Utility"),
    Group::all("Preimage"),
    Group::all("Scheduler"),
    Group::all("Proxy"),
    Group::all("Commitments"),
    Group::all("SafeMode"),
    Group::all("Ethereum"),
    Group::all("BaseFee"),
    Group::all("Drand"),
    Group::all("Swap"),
    Group { pallet: "MevShield", calls: Calls::AllBut(&["store_encrypted"]) },
    Group::all("LimitOrders"),
];

/// Calls that dispatch other calls with a new origin, which loses the restrictions of the proxy
/// type, and calls of the sudo key. Only `Any` allows them.
#[cfg(test)]
pub(super) const UNRESTRICTED: &[Group] = &[
    Group::all("Sudo"),
    Group::all("Multisig"),
    Group::all("Crowdloan"),
    Group::only("MevShield", &["store_encrypted"]),
    Group::admin(&["sudo_set_sn_owner_hotkey"]),
    // Swaps of coldkeys take over accounts.
    Group::subtensor(&[
        "schedule_swap_coldkey",
        "swap_coldkey",
        "announce_coldkey_swap",
        "swap_coldkey_announced",
        "clear_coldkey_swap_announcement",
        "dispute_coldkey_swap",
        "reset_coldkey_swap",
    ]),
];

/// The call with which the sudo key sets the code; `SudoUncheckedSetCode` allows it for that only.
pub(super) const SET_CODE: &[Group] = &[Group::only("Sudo", &["sudo_unchecked_weight"])];

/// Transfers of TAO.
pub(super) const TRANSFERS: &[Group] =
    &[Group::only("Balances", &["transfer_keep_alive", "transfer_allow_death", "transfer_all"])];

/// All other calls of the Balances pallet.
pub(super) const BALANCES: &[Group] = &[Group {
    pallet: "Balances",
    calls: Calls::AllBut(&["transfer_keep_alive", "transfer_allow_death", "transfer_all"]),
}];

/// Transfers of stake to another coldkey.
pub(super) const STAKE_TRANSFERS: &[Group] =
    &[Group::subtensor(&["transfer_stake", "transfer_stake_and_hotkey"])];

/// Transfers with an amount that `SmallTransfer` limits.
pub(super) const SMALL_TRANSFERS: &[Group] = &[
    Group::only("Balances", &["transfer_keep_alive", "transfer_allow_death"]),
    Group::subtensor(&["transfer_stake", "transfer_stake_and_hotkey"]),
];

/// Adding, removing and moving the coldkey's own stake.
pub(super) const STAKE: &[Group] = &[Group::subtensor(&[
    "add_stake",
    "add_stake_limit",
    "remove_stake",
    "remove_stake_limit",
    "remove_stake_full_limit",
    "unstake_all",
    "unstake_all_alpha",
    "move_stake",
    "move_stake_limit",
    "swap_stake",
    "swap_stake_limit",
    "stake_into_basket",
    "add_collateral",
    "set_min_collateral",
])];

/// Trades of a validator's basket.
pub(super) const BASKET: &[Group] = &[Group::subtensor(&["swap_basket"])];

/// Registrations by proof of work or at a limited price.
pub(super) const REGISTRATION: &[Group] =
    &[Group::subtensor(&["register", "register_limit", "pow_register", "faucet"])];

/// Registrations at the current price.
pub(super) const BURNED_REGISTRATION: &[Group] = &[Group::subtensor(&["burned_register"])];

/// Registrations on root.
pub(super) const ROOT_REGISTRATION: &[Group] = &[Group::subtensor(&["root_register"])];

/// Swaps of hotkeys.
pub(super) const HOTKEY_SWAP: &[Group] = &[Group::subtensor(&["swap_hotkey", "swap_hotkey_v2"])];

/// Dissolving subnets.
pub(super) const DISSOLVING: &[Group] =
    &[Group::subtensor(&["dissolve_network", "root_dissolve_network"])];

/// Child hotkeys.
pub(super) const CHILD_KEYS: &[Group] = &[Group::subtensor(&["set_children", "set_childkey_take"])];

/// Claims of root dividends.
pub(super) const ROOT_CLAIM: &[Group] =
    &[Group::subtensor(&["claim_root", "claim_root_with_hotkey"])];

/// Public data of a subnet.
pub(super) const SUBNET_IDENTITY: &[Group] =
    &[Group::subtensor(&["set_subnet_identity", "update_symbol"])];

/// Starting a subnet.
pub(super) const SUBNET_START: &[Group] = &[Group::subtensor(&["start_call"])];

/// Calls that spend, lock or burn TAO or stake.
pub(super) const SPENDING: &[Group] = &[Group::subtensor(&[
    "add_stake_burn",
    "lock_stake",
    "move_lock",
    "set_perpetual_lock",
    "recycle_alpha",
    "burn_alpha",
    "register_network",
    "register_network_with_identity",
    "register_leased_network",
])];

/// All other calls of neurons, delegates and coldkeys.
pub(super) const NEURONS: &[Group] = &[Group::subtensor(&[
    "set_weights",
    "set_mechanism_weights",
    "batch_set_weights",
    "commit_weights",
    "commit_mechanism_weights",
    "batch_commit_weights",
    "commit_crv3_mechanism_weights",
    "commit_timelocked_weights",
    "commit_timelocked_mechanism_weights",
    "reveal_weights",
    "reveal_mechanism_weights",
    "batch_reveal_weights",
    "set_reject_locked_alpha",
    "decrease_take",
    "increase_take",
    "serve_axon",
    "serve_axon_tls",
    "serve_prometheus",
    "set_identity",
    "try_associate_hotkey",
    "associate_evm_key",
    "set_coldkey_auto_stake_hotkey",
    "set_pending_childkey_cooldown",
    "set_auto_parent_delegation_enabled",
    "sudo_set_tx_childkey_take_rate_limit",
    "sudo_set_min_childkey_take",
    "sudo_set_max_childkey_take",
    "terminate_lease",
    "trigger_epoch",
    "sudo_set_root_claim_threshold",
    "enable_voting_power_tracking",
    "disable_voting_power_tracking",
    "sudo_set_voting_power_ema_alpha",
])];

/// Hyperparameters that the owner of a subnet may set.
pub(super) const SUBNET_MANAGEMENT: &[Group] = &[
    Group::subtensor(&["set_tempo", "set_activity_cutoff_factor"]),
    Group::admin(OWNER_PARAMETERS),
];

/// Parameters that only root may set.
pub(super) const ROOT_PARAMETERS: &[Group] =
    &[Group { pallet: "AdminUtils", calls: Calls::AllBut(ALL_BUT_ROOT_PARAMETERS) }];

/// The owner's parameters, and the call that changes the owner's hotkey.
const ALL_BUT_ROOT_PARAMETERS: &[&str] = &[
    "sudo_set_sn_owner_hotkey",
    "sudo_set_serving_rate_limit",
    "sudo_set_max_difficulty",
    "sudo_set_weights_version_key",
    "sudo_set_adjustment_alpha",
    "sudo_set_immunity_period",
    "sudo_set_min_allowed_weights",
    "sudo_set_rho",
    "sudo_set_activity_cutoff",
    "sudo_set_activity_cutoff_factor",
    "sudo_set_tempo",
    "sudo_set_min_burn",
    "sudo_set_max_burn",
    "sudo_set_bonds_moving_average",
    "sudo_set_bonds_penalty",
    "sudo_set_min_childkey_take_per_subnet",
    "sudo_set_commit_reveal_weights_enabled",
    "sudo_set_liquid_alpha_enabled",
    "sudo_set_alpha_values",
    "sudo_set_liquid_alpha_consensus_mode",
    "sudo_set_commit_reveal_weights_interval",
    "sudo_set_toggle_transfer",
    "sudo_set_recycle_or_burn",
    "sudo_set_alpha_sigmoid_steepness",
    "sudo_set_yuma3_enabled",
    "sudo_set_bonds_reset_enabled",
    "sudo_set_owner_immune_neuron_limit",
    "sudo_set_mechanism_count",
    "sudo_set_mechanism_emission_split",
    "sudo_trim_to_max_allowed_uids",
    "sudo_set_max_allowed_uids",
    "sudo_set_burn_half_life",
    "sudo_set_burn_increase_mult",
    "sudo_set_owner_cut_enabled",
    "sudo_set_owner_cut_auto_lock_enabled",
    "sudo_set_collateral_lock_share",
    "sudo_set_collateral_drain_ratio",
];

/// Parameters that the owner of a subnet may set.
const OWNER_PARAMETERS: &[&str] = ALL_BUT_ROOT_PARAMETERS.split_at(1).1;
