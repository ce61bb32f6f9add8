use proptest::prelude::*;
use sp_runtime::MultiAddress;

use super::*;
use crate::crowdloan::{self, CurrentCrowdloanId};
use crate::proxy::{self, ProxyType};
use crate::runtime::{AccountId, Runtime, RuntimeCall, RuntimeEvent, System};
use crate::subtensor::{
    Call, NetworkMinLockCost, Owner, SubnetAlphaOut, SubnetOwnerHotkey, TotalIssuance, TotalStake,
};
use crate::testing::{
    BABELBIT, Subtensor, account, at_first_block, attempt, balance, jump_to, key, last_event,
    outcome, send, send_as_root,
};

const TAO: u64 = 1_000_000_000;
/// Contributions of Alice, Bob and Charlie, in TAO.
const CONTRIBUTIONS: [u64; 3] = [300, 900, 300];
/// Netuid of the subnet that the lease creates.
const LEASED: NetUid = NetUid(60);

fn register(percent: u8, end_block: Option<u32>) -> Call<Runtime> {
    Call::register_leased_network { emissions_share: Percent::from_percent(percent), end_block }
}

/// Creates crowdloan 0 of Alice with the contributions, and returns the contributors.
fn raise(call: impl Into<RuntimeCall>, contributions: [u64; 3]) -> [AccountId; 3] {
    let accounts = ["Alice", "Bob", "Charlie"].map(account);
    let tao = |number: u64| TaoBalance(number * TAO);
    let create = crowdloan::Call::<Runtime>::create {
        deposit: tao(contributions[0]),
        min_contribution: tao(1),
        cap: tao(contributions.iter().sum()),
        end: System::block_number() + 100,
        call: Some(Box::new(call.into())),
        target_address: None,
    };
    assert_eq!(attempt(&accounts[0], create), "ok");
    for (contributor, amount) in accounts.iter().zip(contributions).skip(1) {
        let contribute =
            crowdloan::Call::<Runtime>::contribute { crowdloan_id: 0, amount: tao(amount) };
        assert_eq!(attempt(contributor, contribute), "ok");
    }
    accounts
}

fn finalize(who: &AccountId) -> String {
    attempt(who, crowdloan::Call::<Runtime>::finalize { crowdloan_id: 0 })
}

/// Runs a test with a lease until block 500, whose contributors receive this share of the owner's
/// cut.
fn with_lease(percent: u8, test: impl FnOnce([AccountId; 3], SubnetLease<AccountId>)) {
    at_first_block(|| {
        let accounts = raise(register(percent, Some(500)), CONTRIBUTIONS);
        assert_eq!(finalize(&accounts[0]), "ok");
        test(accounts, SubnetLeases::<Runtime>::get(0).unwrap());
    });
}

/// Pays an owner's cut to the coldkey of a lease, as an epoch does.
fn earn(lease: &SubnetLease<AccountId>, cut: u64) {
    SubnetAlphaOut::<Runtime>::mutate(lease.netuid, |out| out.0 += cut);
    Subtensor::increase_stake(&lease.hotkey, &lease.coldkey, lease.netuid, AlphaBalance(cut));
    Subtensor::pay_lease_dividends(lease.netuid, AlphaBalance(cut));
}

fn stake(lease: &SubnetLease<AccountId>, coldkey: &AccountId) -> u64 {
    Subtensor::stake_of(&lease.hotkey, coldkey, lease.netuid).0
}

fn check_issuance() {
    let expected_issuance =
        pallet_balances::TotalIssuance::<Runtime>::get() + TotalStake::<Runtime>::get().0;
    assert_eq!(TotalIssuance::<Runtime>::get().0, expected_issuance);
}

#[test]
fn crowdloan_finalization_creates_leased_subnet() {
    at_first_block(|| {
        let before = ["Alice", "Bob", "Charlie"].map(|name| balance(&account(name)));
        let accounts = raise(register(30, Some(500)), CONTRIBUTIONS);
        let [alice, bob, charlie] = &accounts;
        assert_eq!(finalize(alice), "ok");
        let lease = SubnetLeases::<Runtime>::get(0).unwrap();
        assert_eq!((&lease.beneficiary, lease.netuid, lease.end_block), (alice, LEASED, Some(500)));
        assert_eq!(lease.emissions_share, Percent::from_percent(30));
        assert_eq!(
            (SubnetUidToLeaseId::<Runtime>::get(LEASED), NextSubnetLeaseId::<Runtime>::get()),
            (Some(0), 1)
        );
        let (beneficiary, lease_id, end_block) = (alice.clone(), 0, Some(500));
        let event = Event::SubnetLeaseCreated { beneficiary, lease_id, netuid: LEASED, end_block };
        assert_eq!(last_event(), event);

        // The accounts of the lease own the subnet, and belong to nobody.
        assert_eq!(SubnetOwner::<Runtime>::get(LEASED), lease.coldkey);
        assert_eq!(SubnetOwnerHotkey::<Runtime>::get(LEASED), lease.hotkey);
        assert_eq!(Owner::<Runtime>::get(&lease.hotkey), lease.coldkey);
        assert_eq!(Delegates::<Runtime>::get(&lease.hotkey).deconstruct(), 0);
        let expected =
            AccountId::new(blake2_256(&[&[60][..], b"leasing/coldkey", &[0; 4]].concat()));
        assert_eq!(lease.coldkey, expected);

        // The subnet and the proxy's deposit are paid; the rest is returned by contribution, and
        // the creator receives what rounding leaves.
        let (proxies, deposit) = proxy::Proxies::<Runtime>::get(&lease.coldkey);
        assert_eq!(proxies.len(), 1);
        assert_eq!(
            (&proxies[0].delegate, proxies[0].proxy_type),
            (alice, ProxyType::SubnetLeaseBeneficiary)
        );
        assert_eq!(lease.cost.0, 1_000 * TAO + deposit.0);
        let unused = 1_500 * TAO - lease.cost.0;
        let refunds: Vec<u64> = accounts
            .iter()
            .zip(before)
            .zip(CONTRIBUTIONS)
            .map(|((account, before), contribution)| balance(account) + contribution * TAO - before)
            .collect();
        assert_eq!(refunds.iter().sum::<u64>(), unused);
        assert!(
            refunds[1].abs_diff(unused * 3 / 5) <= 1 && refunds[2].abs_diff(unused / 5) <= 1,
            "{refunds:?}"
        );
        assert_eq!(balance(&lease.coldkey), 0);
        let share = |contributor: &AccountId| {
            SubnetLeaseShares::<Runtime>::get(0, contributor).to_num::<f64>()
        };
        assert_eq!((share(alice), share(bob)), (0.0, 0.6));
        assert!((share(charlie) - 0.2).abs() < 1e-9);
        check_issuance();
    });
}

#[test]
fn invalid_lease_is_refused() {
    at_first_block(|| {
        let alice = account("Alice");
        assert_eq!(
            attempt(&alice, register(30, None)),
            "InvalidCrowdloanId",
            "outside a finalization"
        );
        assert_eq!(outcome(send_as_root(register(30, None))), "BadOrigin");
        CurrentCrowdloanId::<Runtime>::put(0);
        assert_eq!(attempt(&alice, register(30, None)), "InvalidCrowdloanId");
        CurrentCrowdloanId::<Runtime>::kill();
        let [alice, bob, _] = raise(register(30, Some(60)), CONTRIBUTIONS);
        CurrentCrowdloanId::<Runtime>::put(0);
        assert_eq!(attempt(&bob, register(30, None)), "InvalidLeaseBeneficiary");
        CurrentCrowdloanId::<Runtime>::kill();
        jump_to(60);
        assert_eq!(finalize(&alice), "LeaseCannotEndInThePast");
        jump_to(59);
        NextSubnetLeaseId::<Runtime>::put(u32::MAX);
        assert_eq!(finalize(&alice), "Overflow");
        NextSubnetLeaseId::<Runtime>::kill();
        NetworkMinLockCost::<Runtime>::put(TaoBalance(1_500 * TAO));
        assert_eq!(finalize(&alice), "CannotAffordLockCost");
        // The lock cost is paid, but not the deposit of the proxy.
        NetworkMinLockCost::<Runtime>::put(TaoBalance(1_500 * TAO - 1_000));
        assert_eq!(finalize(&alice), "InsufficientBalance");
        NetworkMinLockCost::<Runtime>::put(TaoBalance(1_000 * TAO));
        assert_eq!(finalize(&alice), "ok");
        assert_eq!(finalize(&alice), "AlreadyFinalized");
    });
}

#[test]
fn beneficiary_can_only_operate_the_subnet() {
    with_lease(30, |[alice, bob, _], lease| {
        let by_proxy = |call: RuntimeCall| proxy::Call::<Runtime>::proxy {
            real: MultiAddress::Id(lease.coldkey.clone()),
            force_proxy_type: None,
            call: Box::new(call),
        };
        let start = || by_proxy(Call::start_call { netuid: LEASED }.into());
        assert_eq!(attempt(&bob, start()), "NotProxy");
        assert_eq!(attempt(&alice, start()), "ok");
        assert!(crate::subtensor::SubtokenEnabled::<Runtime>::get(LEASED));
        // The proxy's own call succeeds, and reports the result of the inner call.
        let dest = MultiAddress::Id(alice.clone());
        let transfer = pallet_balances::Call::transfer_all { dest, keep_alive: false };
        assert_eq!(outcome(send(&alice, by_proxy(transfer.into()))), "ok");
        let refused = Err(frame_system::Error::<Runtime>::CallFiltered.into());
        System::assert_has_event(RuntimeEvent::Proxy(proxy::Event::ProxyExecuted {
            result: refused,
        }));
    });
}

#[test]
fn dividends_are_paid_in_every_hundredth_block() {
    with_lease(30, |[alice, bob, charlie], lease| {
        jump_to(199);
        earn(&lease, 1_000_000_001);
        assert_eq!(AccumulatedLeaseDividends::<Runtime>::get(0).0, 300_000_001, "30 %, rounded up");
        assert_eq!(stake(&lease, &bob), 0);
        jump_to(200);
        earn(&lease, 1_000_000_000);
        assert_eq!(AccumulatedLeaseDividends::<Runtime>::get(0).0, 0);
        // Shares are rounded up, and the beneficiary receives the rest.
        let paid = [&bob, &charlie, &alice].map(|coldkey| stake(&lease, coldkey));
        let expected = [360_000_001, 120_000_001, 119_999_999];
        assert!(
            paid.iter().zip(expected).all(|(paid, expected)| paid.abs_diff(expected) <= 1),
            "{paid:?}"
        );
        assert!(stake(&lease, &lease.coldkey).abs_diff(1_400_000_000) <= 2);
        let staked = Subtensor::total_alpha(&lease.hotkey, LEASED).0;
        assert_eq!(staked, 2_000_000_001);
        let alpha = AlphaBalance(600_000_001 - 360_000_001 - 120_000_001);
        let event = Event::SubnetLeaseDividendsDistributed {
            lease_id: 0,
            contributor: alice.clone(),
            alpha,
        };
        assert_eq!(last_event(), event);
        // Without a lease, or after its end, nothing is paid.
        jump_to(500);
        earn(&lease, 1_000_000_000);
        assert_eq!(AccumulatedLeaseDividends::<Runtime>::get(0).0, 0);
        Subtensor::pay_lease_dividends(BABELBIT, AlphaBalance(1_000_000_000));
        assert!(!AccumulatedLeaseDividends::<Runtime>::contains_key(1));
    });
}

#[test]
fn unpayable_dividends_are_deferred() {
    with_lease(100, |[alice, bob, charlie], lease| {
        jump_to(100);
        // Charlie's fifth is worth less than the minimum of a transfer, 0.0001 TAO.
        earn(&lease, 4_000_000);
        assert_eq!(AccumulatedLeaseDividends::<Runtime>::get(0).0, 4_000_000);
        assert_eq!([&alice, &bob, &charlie].map(|coldkey| stake(&lease, coldkey)), [0; 3]);
        jump_to(200);
        earn(&lease, 996_000_000);
        assert_eq!(AccumulatedLeaseDividends::<Runtime>::get(0).0, 0);
        let paid: u64 = [&alice, &bob, &charlie].map(|coldkey| stake(&lease, coldkey)).iter().sum();
        assert!((999_999_990..=1_000_000_000).contains(&paid), "{paid}");
    });
}

#[test]
fn epoch_pays_lease_contributors() {
    with_lease(50, |[_, bob, _], lease| {
        use crate::subtensor::epoch::{EpochEmission, PendingEmission};
        jump_to(300);
        SubnetAlphaOut::<Runtime>::mutate(LEASED, |out| out.0 += 10_000_000_000);
        let neurons = Subtensor::neurons(LEASED).unwrap();
        let earned = EpochEmission { server: vec![0], validator: vec![0] };
        Subtensor::distribute_emission(
            LEASED,
            &neurons,
            &earned,
            &PendingEmission { owner: 10_000_000_000, ..PendingEmission::default() },
        );
        assert!(stake(&lease, &bob).abs_diff(3_000_000_000) <= 2);
    });
}

#[test]
fn owner_cut_of_leased_subnet_is_not_locked() {
    with_lease(50, |[_, bob, _], lease| {
        use crate::subtensor::OwnerCutAutoLockEnabled;
        use crate::subtensor::epoch::{EpochEmission, PendingEmission};
        OwnerCutAutoLockEnabled::<Runtime>::insert(LEASED, true);
        let neurons = Subtensor::neurons(LEASED).unwrap();
        let earned = EpochEmission { server: vec![0], validator: vec![0] };
        for payments in 1..=3 {
            jump_to(payments * 100);
            SubnetAlphaOut::<Runtime>::mutate(LEASED, |out| out.0 += 10_000_000_000);
            Subtensor::distribute_emission(
                LEASED,
                &neurons,
                &earned,
                &PendingEmission { owner: 10_000_000_000, ..PendingEmission::default() },
            );
            assert!(
                stake(&lease, &bob).abs_diff(u64::from(payments) * 3_000_000_000) <= 10,
                "{payments}"
            );
            assert_eq!(Subtensor::locked_alpha(&lease.coldkey, LEASED).0, 0);
        }
    });
}

#[test]
fn terminated_lease_passes_subnet_to_beneficiary() {
    with_lease(30, |[alice, bob, _], lease| {
        let end = |lease_id, hotkey: u32| Call::terminate_lease { lease_id, hotkey: key(hotkey) };
        Subtensor::own_hotkey(&alice, &key(1)).unwrap();
        Subtensor::own_hotkey(&bob, &key(2)).unwrap();
        AccumulatedLeaseDividends::<Runtime>::insert(0, AlphaBalance(5));
        jump_to(499);
        assert_eq!(outcome(send_as_root(end(0, 1))), "BadOrigin");
        assert_eq!(attempt(&alice, end(u32::MAX, 1)), "LeaseDoesNotExist");
        assert_eq!(attempt(&bob, end(0, 2)), "ExpectedBeneficiaryOrigin");
        assert_eq!(attempt(&alice, end(0, 1)), "LeaseHasNotEnded");
        jump_to(500);
        assert_eq!(attempt(&alice, end(0, 2)), "BeneficiaryDoesNotOwnHotkey");
        assert_eq!(attempt(&alice, end(0, 99)), "BeneficiaryDoesNotOwnHotkey");
        let subnet = crate::info::subnet::account::<Runtime>(BABELBIT).unwrap();
        // Set directly: calls refuse a system account as a hotkey.
        Owner::<Runtime>::insert(&subnet, &alice);
        let terminate_by_subnet = Call::terminate_lease { lease_id: 0, hotkey: subnet };
        assert_eq!(attempt(&alice, terminate_by_subnet), "CannotUseSystemAccount");
        assert_eq!(attempt(&alice, end(0, 1)), "ok");
        assert_eq!(
            (SubnetOwner::<Runtime>::get(LEASED), SubnetOwnerHotkey::<Runtime>::get(LEASED)),
            (alice.clone(), key(1))
        );
        assert_eq!(
            last_event(),
            Event::SubnetLeaseTerminated { beneficiary: alice.clone(), netuid: LEASED }
        );
        assert!(
            !SubnetLeases::<Runtime>::contains_key(0)
                && !SubnetUidToLeaseId::<Runtime>::contains_key(LEASED)
        );
        assert_eq!(SubnetLeaseShares::<Runtime>::iter().count(), 0);
        assert!(!AccumulatedLeaseDividends::<Runtime>::contains_key(0));
        // The deposit of the proxy stays on the coldkey of the lease.
        assert!(proxy::Proxies::<Runtime>::get(&lease.coldkey).0.is_empty());
        assert_eq!(balance(&lease.coldkey), lease.cost.0 - 1_000 * TAO);
        assert_eq!((System::providers(&lease.coldkey), System::providers(&lease.hotkey)), (1, 0));
        assert_eq!(attempt(&alice, end(0, 1)), "LeaseDoesNotExist");
        check_issuance();
    });
}

#[test]
fn lease_without_end_cannot_be_terminated() {
    at_first_block(|| {
        let [alice, ..] = raise(register(100, None), CONTRIBUTIONS);
        assert_eq!(finalize(&alice), "ok");
        jump_to(u32::MAX);
        let end = Call::terminate_lease { lease_id: 0, hotkey: key(1) };
        assert_eq!(attempt(&alice, end), "LeaseHasNoEndBlock");
    });
}

#[test]
fn dissolved_subnet_leaves_no_lease() {
    with_lease(30, |_, lease| {
        AccumulatedLeaseDividends::<Runtime>::insert(0, AlphaBalance(5));
        assert_eq!(
            outcome(send_as_root(Call::root_dissolve_network { netuid: lease.netuid })),
            "ok"
        );
        assert_eq!(SubnetLeases::<Runtime>::iter().count(), 0);
        assert_eq!(SubnetUidToLeaseId::<Runtime>::iter().count(), 0);
        assert_eq!(SubnetLeaseShares::<Runtime>::iter().count(), 0);
        assert_eq!(AccumulatedLeaseDividends::<Runtime>::iter().count(), 0);
        check_issuance();
    });
}

#[test]
fn locks_on_the_owner_hotkey_change_with_the_owner() {
    with_lease(30, |[alice, bob, _], lease| {
        use crate::subtensor::{HotkeyLock, OwnerLock};
        Subtensor::own_hotkey(&alice, &key(1)).unwrap();
        SubnetAlphaOut::<Runtime>::mutate(LEASED, |out| out.0 += 5_000);
        for (coldkey, hotkey, amount) in [(&bob, &lease.hotkey, 3_000), (&alice, &key(1), 2_000)] {
            Subtensor::increase_stake(hotkey, coldkey, LEASED, AlphaBalance(amount));
            let call = Call::lock_stake {
                hotkey: hotkey.clone(),
                netuid: LEASED,
                amount: AlphaBalance(amount),
            };
            assert_eq!(attempt(coldkey, call), "ok");
            assert_eq!(
                attempt(coldkey, Call::set_perpetual_lock { netuid: LEASED, enabled: true }),
                "ok"
            );
        }
        let totals = |hotkey: &AccountId| {
            let mass = |lock: Option<crate::subtensor::types::LockState>| {
                lock.map(|lock| lock.locked_mass.0)
            };
            (
                mass(OwnerLock::<Runtime>::get(LEASED)),
                mass(HotkeyLock::<Runtime>::get(LEASED, hotkey)),
            )
        };
        assert_eq!(totals(&key(1)), (Some(3_000), Some(2_000)));
        jump_to(500);
        assert_eq!(attempt(&alice, Call::terminate_lease { lease_id: 0, hotkey: key(1) }), "ok");
        assert_eq!(totals(&key(1)), (Some(2_000), None));
        assert_eq!(totals(&lease.hotkey), (Some(2_000), Some(3_000)));
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn leases_create_no_tao_and_no_alpha(
        deposit in 10_u64..2_000,
        bob in 1_u64..2_000,
        charlie in 1_100_u64..2_000,
        percent in 0_u8..=100,
        cuts in prop::collection::vec(0_u64..50_000_000_000, 1..8),
    ) {
        at_first_block(|| {
            let accounts = raise(register(percent, None), [deposit, bob, charlie]);
            let issued = TotalIssuance::<Runtime>::get();
            assert_eq!(finalize(&accounts[0]), "ok");
            assert_eq!(TotalIssuance::<Runtime>::get(), issued);
            check_issuance();
            let lease = SubnetLeases::<Runtime>::get(0).unwrap();
            let mut earned = 0;
            for (block, cut) in (100..).step_by(50).zip(cuts) {
                jump_to(block);
                earn(&lease, cut);
                earned += cut;
                let holders = accounts.iter().chain([&lease.coldkey]);
                let staked: u64 = holders.map(|coldkey| stake(&lease, coldkey)).sum();
                assert_eq!(Subtensor::total_alpha(&lease.hotkey, LEASED).0, earned);
                assert!(staked <= earned && earned - staked < 10, "{staked} of {earned}");
            }
        });
    }
}
