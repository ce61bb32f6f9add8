use codec::Decode;
use frame_metadata::{RuntimeMetadata, RuntimeMetadataPrefixed};
use frame_support::traits::Get;
use sp_core::crypto::Ss58Codec;

use super::*;
use crate::runtime::System;
use crate::subtensor::*;
use crate::testing::{BABELBIT, Subtensor, account, balance, key};
use crate::types::{AlphaBalance, NetUid};

fn at_genesis<R>(endowed: &[AccountId], test: impl FnOnce() -> R) -> R {
    sp_io::TestExternalities::new(genesis(endowed).unwrap()).execute_with(test)
}

#[test]
fn development_accounts_have_their_balances() {
    at_genesis(&[key(1), account("Dave")], || {
        for (name, rao) in ACCOUNTS {
            let expected = if name == "Dave" { WEALTHY_BALANCE } else { rao };
            assert_eq!(balance(&account(name)), expected, "{name}");
        }
        assert_eq!(balance(&key(1)), WEALTHY_BALANCE);
        assert_eq!(pallet_sudo::Key::<Runtime>::get(), Some(account("Alice")));
    });
}

#[test]
fn development_accounts_derive_from_the_well_known_phrase() {
    // Names with and without a known key.
    for name in DEVELOPMENT_KEYS.map(|(name, _)| name).into_iter().chain(["Grace"]) {
        let derived =
            sr25519::Pair::from_string(&format!("{}//{name}", sp_core::crypto::DEV_PHRASE), None)
                .unwrap();
        assert_eq!(account(name), AccountId::new(derived.public().0), "{name}");
    }
}

#[test]
fn accounts_of_ethereum_addresses_have_a_genesis_balance() {
    at_genesis(&[], || {
        for address in [
            "5Fghzk1AJt88PeFEzuRfXzbPchiBbsVGTTXcdx599VdZzkTA",
            "5GeqNhKWj1KG78VHzbmo3ZjZgUTrCuWeamdgiA114XHGdaEr",
        ] {
            assert_eq!(
                balance(&AccountId::from_string(address).unwrap()),
                DEFAULT_BALANCE,
                "{address}"
            );
        }
    });
}

#[test]
fn slot_duration_and_epoch_limit_follow_block_time() {
    for (millis, slot, epochs) in
        [(None, 250, 32), (Some(250), 250, 32), (Some(50), 50, 32), (Some(12_000), 12_000, 2)]
    {
        let mut state = genesis(&[]).unwrap();
        if let Some(millis) = millis {
            set_block_time(&mut state, millis);
        }
        sp_io::TestExternalities::new(state).execute_with(|| {
            assert_eq!(constant("Aura", "SlotDuration"), slot.encode(), "{millis:?}");
            assert_eq!(pallet_aura::Pallet::<Runtime>::slot_duration(), slot);
            assert_eq!(MaxEpochsPerBlock::<Runtime>::get(), epochs, "{millis:?}");
        });
    }
    // Metadata is available without any state.
    assert_eq!(constant("Aura", "SlotDuration"), 250_u64.encode());
}

/// Returns the value of a constant in the metadata.
fn constant(pallet: &str, name: &str) -> Vec<u8> {
    let metadata = Runtime::metadata_at_version(15).unwrap();
    let RuntimeMetadata::V15(metadata) =
        RuntimeMetadataPrefixed::decode(&mut &metadata[..]).unwrap().1
    else {
        panic!()
    };
    let pallet = metadata.pallets.into_iter().find(|candidate| candidate.name == pallet).unwrap();
    pallet.constants.into_iter().find(|constant| constant.name == name).unwrap().value
}

#[test]
fn block_author_is_not_the_sudo_key() {
    for preset in [Preset::Development, Preset::Reference] {
        sp_io::TestExternalities::new(genesis_with(preset, &[]).unwrap()).execute_with(|| {
            assert_eq!(crate::fees::AuthorAccount::get(), Some(account("One")), "{preset:?}");
            assert_eq!(pallet_sudo::Key::<Runtime>::get(), Some(account("Alice")));
        });
    }
}

#[test]
fn reference_preset_has_two_subnets_and_no_owned_hotkey() {
    sp_io::TestExternalities::new(genesis_with(Preset::Reference, &[]).unwrap()).execute_with(
        || {
            assert_eq!(Subtensor::all_netuids(), [NetUid(0), NetUid(1)]);
            let owned: Vec<_> = Owner::<Runtime>::iter_keys().collect();
            assert_eq!(owned, [AccountId::new([0; 32])]);
            assert_eq!(Burn::<Runtime>::get(NetUid(1)).0, 100_000_000);
            let (alice, hotkey) = (account("Alice"), account("Alice_hk"));
            frame_support::assert_ok!(Subtensor::register_network(
                Some(alice.clone()).into(),
                hotkey.clone()
            ));
            System::set_block_number(2);
            frame_support::assert_ok!(Subtensor::register_network(
                Some(alice.clone()).into(),
                hotkey.clone()
            ));
            assert_eq!(Subtensor::all_netuids(), [0, 1, 2, 3].map(NetUid));
            assert_eq!(Owner::<Runtime>::get(hotkey), alice);
        },
    );
}

#[test]
fn genesis_issuance_counts_all_tao() {
    at_genesis(&[], || {
        let free = pallet_balances::TotalIssuance::<Runtime>::get();
        let pools: u64 = Subtensor::all_netuids()
            .into_iter()
            .map(|netuid| SubnetTAO::<Runtime>::get(netuid).0)
            .sum();
        assert_eq!(TotalStake::<Runtime>::get().0, pools);
        assert_eq!(TotalIssuance::<Runtime>::get().0, free + pools);
    });
}

#[test]
fn every_netuid_up_to_babelbit_has_a_subnet() {
    at_genesis(&[], || {
        assert_eq!(Subtensor::all_netuids(), (0..=59).map(NetUid).collect::<Vec<_>>());
        assert_eq!(TotalNetworks::<Runtime>::get(), 60);
        // Subnet, tempo, maximum neurons, validator permits, minimum weights, neurons, symbol.
        let rows = [
            (NetUid::ROOT, 100, 64, 64, 0, 0, "τ"),
            (NetUid(1), 100, 256, 64, 0, 1, "α"),
            (NetUid(18), 360, 256, 64, 1, 1, "σ"),
            (BABELBIT, 10, 256, 64, 1, 1, "د"),
        ];
        for (netuid, tempo, max_neurons, permits, min_weights, neurons, symbol) in rows {
            assert_eq!(Tempo::<Runtime>::get(netuid), tempo);
            assert_eq!(MaxAllowedUids::<Runtime>::get(netuid), max_neurons);
            assert_eq!(MaxAllowedValidators::<Runtime>::get(netuid), permits);
            assert_eq!(MinAllowedWeights::<Runtime>::get(netuid), min_weights);
            assert_eq!(Subtensor::neuron_count(netuid), neurons);
            assert_eq!(TokenSymbol::<Runtime>::get(netuid), symbol.as_bytes());
        }
        assert_eq!(SubnetOwner::<Runtime>::get(NetUid::ROOT), account("Alice"));
        assert_eq!(SubnetOwnerHotkey::<Runtime>::get(NetUid::ROOT), account("Alice_hk"));
        assert_eq!(TargetRegistrationsPerInterval::<Runtime>::get(NetUid::ROOT), 1);
    });
}

#[test]
fn first_subnet_is_not_started() {
    at_genesis(&[], || {
        let (netuid, zero_account) = (NetUid(1), AccountId::new([0; 32]));
        assert_eq!(SubnetTAO::<Runtime>::get(netuid).0, 10_000_000_000);
        assert_eq!(SubnetAlphaIn::<Runtime>::get(netuid).0, 10_000_000_000);
        assert_eq!(SubnetAlphaOut::<Runtime>::get(netuid).0, 1_000_000_000);
        assert_eq!(SubnetMechanism::<Runtime>::get(netuid), 1);
        assert_eq!(SubnetOwner::<Runtime>::get(netuid), zero_account);
        assert_eq!(Subtensor::hotkey_at(netuid, 0), zero_account);
        assert_eq!(Subtensor::uid_of(netuid, &zero_account), Some(0));
        assert_eq!(
            Subtensor::stake_of(&zero_account, &zero_account, netuid),
            AlphaBalance(1_000_000_000)
        );
        assert!(!SubtokenEnabled::<Runtime>::get(netuid));
        assert_eq!(FirstEmissionBlockNumber::<Runtime>::get(netuid), None);
    });
}

#[test]
fn unstarted_subnets_belong_to_alice() {
    at_genesis(&[], || {
        for netuid in (2..59).map(NetUid) {
            assert_eq!(SubnetOwner::<Runtime>::get(netuid), account("Alice"));
            assert_eq!(Subtensor::hotkey_at(netuid, 0), account("Alice_hk"));
            assert_eq!(SubnetTAO::<Runtime>::get(netuid), NetworkMinLockCost::<Runtime>::get());
            assert!((Subtensor::alpha_price(netuid).to_num::<f64>() - 0.1).abs() < 1e-9);
            assert_eq!(Burn::<Runtime>::get(netuid), MinBurn::<Runtime>::get(netuid));
            assert!(NetworkRegistrationAllowed::<Runtime>::get(netuid));
            assert!(!SubtokenEnabled::<Runtime>::get(netuid) && !Subtensor::is_awake(netuid));
        }
    });
}

#[test]
fn babelbit_is_started_with_open_cheap_registration() {
    at_genesis(&[], || {
        assert_eq!(SubnetOwner::<Runtime>::get(BABELBIT), account("Alice"));
        assert_eq!(Subtensor::owner_uid(BABELBIT), Some(0));
        assert_eq!(Subtensor::hotkey_at(BABELBIT, 0), account("Alice_hk"));
        assert!(Subtensor::owns(&account("Alice"), &account("Alice_hk")));
        assert!(SubtokenEnabled::<Runtime>::get(BABELBIT));
        assert_eq!(FirstEmissionBlockNumber::<Runtime>::get(BABELBIT), Some(1));
        assert!(!CommitRevealWeightsEnabled::<Runtime>::get(BABELBIT));
        assert!(NetworkRegistrationAllowed::<Runtime>::get(BABELBIT));
        assert!(SubnetEmissionEnabled::<Runtime>::get(BABELBIT));
        assert_eq!(WeightsSetRateLimit::<Runtime>::get(BABELBIT), 0);
        assert_eq!(Burn::<Runtime>::get(BABELBIT), MinBurn::<Runtime>::get(BABELBIT));
        assert!((Subtensor::alpha_price(BABELBIT).to_num::<f64>() - 0.1).abs() < 1e-9);
        assert!((SubnetMovingPrice::<Runtime>::get(BABELBIT).to_num::<f64>() - 0.1).abs() < 1e-9);
        assert_eq!(SubnetIdentitiesV3::<Runtime>::get(BABELBIT).unwrap().subnet_name, b"Babelbit");
    });
}
