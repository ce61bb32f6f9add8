//! Groups of calls that proxy types allow.
//!
//! The groups do not overlap, except that [`SET_CODE`] and [`SMALL_TRANSFERS`] repeat calls of
//! other groups. Together they contain every call of the real chain except those of its EVM and
//! contracts. They name calls instead of matching on them, since they also contain calls that this
//! chain does not support yet.

/// Calls of one pallet.
pub(super) struct CallGroup {
    /// Name of the pallet.
    pallet: &'static str,
    calls: CallSet,
}

enum CallSet {
    All,
    Only(&'static [&'static str]),
    AllExcept(&'static [&'static str]),
}

impl CallGroup {
    const fn all(pallet: &'static str) -> Self {
        Self { pallet, calls: CallSet::All }
    }

    const fn only(pallet: &'static str, calls: &'static [&'static str]) -> Self {
        Self { pallet, calls: CallSet::Only(calls) }
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
                CallSet::All => true,
                CallSet::Only(calls) => calls.contains(&call),
                CallSet::AllExcept(calls) => !calls.contains(&call),
            }
    }
}

/// Pallets whose calls neither move TAO nor dispatch other calls with a new origin.
pub(super) const COMMON: &[CallGroup] = &[
    CallGroup::all("System"),
    CallGroup::all("Timestamp"),
    CallGroup::all("Grandpa"),
    CallGroup::all("Utility"),
    CallGroup::all("Preimage"),
    CallGroup::all("Scheduler"),
    CallGroup::all("Proxy"),
    CallGroup::all("Commitments"),
    CallGroup::all("SafeMode"),
    CallGroup::all("Ethereum"),
    CallGroup::all("BaseFee"),
    CallGroup::all("Drand"),
    CallGroup::all("Swap"),
    CallGroup { pallet: "MevShield", calls: CallSet::AllExcept(&["store_encrypted"]) },
    CallGroup::all("LimitOrders"),
];

/// Calls that dispatch other calls with a new origin, which loses the restrictions of the proxy
/// type, and calls of the sudo key. Only `Any` allows them.
#[cfg(test)]
pub(super) const UNRESTRICTED: &[CallGroup] = &[
    CallGroup::all("Sudo"),
    CallGroup::all("Multisig"),
    CallGroup::all("Crowdloan"),
    CallGroup::only("MevShield", &["store_encrypted"]),
    CallGroup::admin(&["sudo_set_sn_owner_hotkey"]),
    // Swaps of coldkeys take over accounts.
    CallGroup::subtensor(&[
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
pub(super) const SET_CODE: &[CallGroup] = &[CallGroup::only("Sudo", &["sudo_unchecked_weight"])];

/// Transfers of TAO.
pub(super) const TRANSFERS: &[CallGroup] = &[CallGroup::only(
    "Balances",
    &["transfer_keep_alive", "transfer_allow_death", "transfer_all"],
)];

/// All other calls of the Balances pallet.
pub(super) const BALANCES: &[CallGroup] = &[CallGroup {
    pallet: "Balances",
    calls: CallSet::AllExcept(&["transfer_keep_alive", "transfer_allow_death", "transfer_all"]),
}];

/// Transfers of stake to another coldkey.
pub(super) const STAKE_TRANSFERS: &[CallGroup] =
    &[CallGroup::subtensor(&["transfer_stake", "transfer_stake_and_hotkey"])];

/// Transfers with an amount that `SmallTransfer` limits.
pub(super) const SMALL_TRANSFERS: &[CallGroup] = &[
    CallGroup::only("Balances", &["transfer_keep_alive", "transfer_allow_death"]),
    CallGroup::subtensor(&["transfer_stake", "transfer_stake_and_hotkey"]),
];

/// Adding, removing and moving the coldkey's own stake.
pub(super) const STAKE: &[CallGroup] = &[CallGroup::subtensor(&[
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
pub(super) const BASKET_TRADES: &[CallGroup] = &[CallGroup::subtensor(&["swap_basket"])];

/// Registrations by proof of work or at a limited price.
pub(super) const REGISTRATION: &[CallGroup] =
    &[CallGroup::subtensor(&["register", "register_limit", "pow_register", "faucet"])];

/// Registrations at the current price.
pub(super) const BURNED_REGISTRATION: &[CallGroup] = &[CallGroup::subtensor(&["burned_register"])];

/// Registrations on root.
pub(super) const ROOT_REGISTRATION: &[CallGroup] = &[CallGroup::subtensor(&["root_register"])];

/// Swaps of hotkeys.
pub(super) const HOTKEY_SWAP: &[CallGroup] =
    &[CallGroup::subtensor(&["swap_hotkey", "swap_hotkey_v2"])];

/// Dissolving subnets.
pub(super) const SUBNET_DISSOLUTION: &[CallGroup] =
    &[CallGroup::subtensor(&["dissolve_network", "root_dissolve_network"])];

/// Child hotkeys.
pub(super) const CHILD_KEYS: &[CallGroup] =
    &[CallGroup::subtensor(&["set_children", "set_childkey_take"])];

/// Claims of root dividends.
pub(super) const ROOT_CLAIM: &[CallGroup] =
    &[CallGroup::subtensor(&["claim_root", "claim_root_with_hotkey"])];

/// Public data of a subnet.
pub(super) const SUBNET_IDENTITY: &[CallGroup] =
    &[CallGroup::subtensor(&["set_subnet_identity", "update_symbol"])];

/// Starting a subnet.
pub(super) const SUBNET_START: &[CallGroup] = &[CallGroup::subtensor(&["start_call"])];

/// Calls that spend, lock or burn TAO or stake.
pub(super) const SPENDING: &[CallGroup] = &[CallGroup::subtensor(&[
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
pub(super) const NEURONS: &[CallGroup] = &[CallGroup::subtensor(&[
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
pub(super) const SUBNET_MANAGEMENT: &[CallGroup] = &[
    CallGroup::subtensor(&["set_tempo", "set_activity_cutoff_factor"]),
    CallGroup::admin(OWNER_PARAMETERS),
];

/// Parameters that only root may set.
pub(super) const ROOT_PARAMETERS: &[CallGroup] =
    &[CallGroup { pallet: "AdminUtils", calls: CallSet::AllExcept(NON_ROOT_PARAMETERS) }];

/// The owner's parameters, and the call that changes the owner's hotkey.
const NON_ROOT_PARAMETERS: &[&str] = &[
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
const OWNER_PARAMETERS: &[&str] = NON_ROOT_PARAMETERS.split_at(1).1;
