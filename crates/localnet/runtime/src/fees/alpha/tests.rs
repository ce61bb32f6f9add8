use frame_support::dispatch::{GetDispatchInfo as _, PostDispatchInfo};
use frame_support::pallet_prelude::TransactionSource;
use sp_runtime::traits::{Dispatchable as _, TransactionExtension as _, TxBaseImplication};

use super::*;
use crate::extensions::ChargeFee;
use crate::runtime::{RuntimeEvent, RuntimeOrigin, System};
use crate::testing::{BABELBIT, at_first_block, balance, key, send, total_tao};

const TAO: u64 = 1_000_000_000;
/// Length of the extrinsics in these tests, in bytes.
const LENGTH: usize = 150;

/// Runs a test on a chain where a coldkey has staked all TAO that it can on a hotkey in a subnet.
fn with_all_staked(test: impl FnOnce(&AccountId, &AccountId)) {
    at_first_block(|| {
        let (coldkey, hotkey) = (key(50), key(1));
        SubtensorModule::own_hotkey(&coldkey, &hotkey).unwrap();
        SubtensorModule::credit(&coldkey, 10 * TAO);
        // The existential deposit stays.
        let amount_staked = TaoBalance(10 * TAO - 500);
        send(&coldkey, Call::add_stake { hotkey: hotkey.clone(), netuid: BABELBIT, amount_staked })
            .unwrap();
        assert!(balance(&coldkey) < 1_000);
        test(&coldkey, &hotkey);
    });
}

fn is_valid(who: &AccountId, call: &RuntimeCall) -> bool {
    let (origin, source) = (RuntimeOrigin::signed(who.clone()), TransactionSource::External);
    let info = call.get_dispatch_info();
    ChargeFee::with_tip(0)
        .validate(origin, call, &info, LENGTH, (), &TxBaseImplication(()), source)
        .is_ok()
}

/// Makes a call as an extrinsic does, with its fee.
fn charge_and_dispatch(who: &AccountId, call: &RuntimeCall) {
    let (origin, source) = (RuntimeOrigin::signed(who.clone()), TransactionSource::External);
    let (info, charge) = (call.get_dispatch_info(), ChargeFee::with_tip(0));
    let (_, val, origin) =
        charge.validate(origin, call, &info, LENGTH, (), &TxBaseImplication(()), source).unwrap();
    let pre = charge.prepare(val, &origin, call, &info, LENGTH).unwrap();
    call.clone().dispatch(origin).unwrap();
    ChargeFee::post_dispatch_details(pre, &info, &PostDispatchInfo::default(), LENGTH, &Ok(()))
        .unwrap();
}

/// Returns the subnet, the alpha sold and the TAO received for each fee paid in alpha.
fn fees_paid_with_alpha() -> Vec<(NetUid, AlphaBalance, TaoBalance)> {
    let events = System::events().into_iter().filter_map(|record| match record.event {
        RuntimeEvent::SubtensorModule(subtensor::Event::TransactionFeePaidWithAlpha {
            netuid,
            alpha_fee,
            tao_amount,
            ..
        }) => Some((netuid, alpha_fee, tao_amount)),
        _ => None,
    });
    events.collect()
}

fn remove(hotkey: &AccountId, alpha: AlphaBalance) -> RuntimeCall {
    Call::remove_stake { hotkey: hotkey.clone(), netuid: BABELBIT, amount_unstaked: alpha }.into()
}

#[test]
fn coldkey_without_tao_pays_unstake_fee_with_alpha() {
    with_all_staked(|coldkey, hotkey| {
        let before = SubtensorModule::stake_of(hotkey, coldkey, BABELBIT);
        let (total, author) = (total_tao(), AuthorAccount::get().unwrap());
        let (author_balance, call) = (balance(&author), remove(hotkey, AlphaBalance(TAO)));
        charge_and_dispatch(coldkey, &call);

        let [(BABELBIT, alpha, tao)] = fees_paid_with_alpha()[..] else {
            panic!("{:?}", fees_paid_with_alpha())
        };
        let fee = pallet_transaction_payment::Pallet::<Runtime>::compute_fee(
            u32::try_from(LENGTH).unwrap(),
            &call.get_dispatch_info(),
            0,
        );
        // Slippage and rounding cost the author next to nothing.
        assert!((fee - fee / 1_000..=fee).contains(&tao.0), "{tao:?} of {fee}");
        assert_eq!(
            SubtensorModule::stake_of(hotkey, coldkey, BABELBIT).0,
            before.0 - TAO - alpha.0
        );
        assert!(balance(&author) - author_balance >= tao.0, "and the fee of the sale");
        assert!(balance(coldkey) > 1_000);
        assert_eq!(total_tao(), total);

        // With TAO, the next fee is paid in TAO.
        charge_and_dispatch(coldkey, &call);
        assert_eq!(fees_paid_with_alpha().len(), 1);
    });
}

/// The fee takes a part of the stake before the call, which sells the rest.
#[test]
fn sale_of_the_full_stake_pays_its_fee() {
    with_all_staked(|coldkey, hotkey| {
        let all = SubtensorModule::stake_of(hotkey, coldkey, BABELBIT);
        charge_and_dispatch(coldkey, &remove(hotkey, all));
        assert_eq!(fees_paid_with_alpha().len(), 1);
        assert_eq!(SubtensorModule::stake_of(hotkey, coldkey, BABELBIT), AlphaBalance::ZERO);
    });
}

#[test]
fn calls_that_spend_the_stake_on_one_subnet_pay_with_it() {
    with_all_staked(|coldkey, hotkey| {
        let hotkey = || hotkey.clone();
        let (netuid, root, alpha) = (BABELBIT, NetUid::ROOT, AlphaBalance(TAO));
        let paying = [
            remove(&hotkey(), alpha),
            Call::remove_stake_limit {
                hotkey: hotkey(),
                netuid,
                amount_unstaked: alpha,
                limit_price: TaoBalance(1),
                allow_partial: true,
            }
            .into(),
            Call::remove_stake_full_limit { hotkey: hotkey(), netuid, limit_price: None }.into(),
            Call::unstake_all { hotkey: hotkey() }.into(),
            Call::unstake_all_alpha { hotkey: hotkey() }.into(),
            Call::move_stake {
                origin_hotkey: hotkey(),
                destination_hotkey: hotkey(),
                origin_netuid: netuid,
                destination_netuid: root,
                alpha_amount: alpha,
            }
            .into(),
            Call::transfer_stake {
                destination_coldkey: key(51),
                hotkey: hotkey(),
                origin_netuid: netuid,
                destination_netuid: netuid,
                alpha_amount: alpha,
            }
            .into(),
            Call::swap_stake {
                hotkey: hotkey(),
                origin_netuid: netuid,
                destination_netuid: root,
                alpha_amount: alpha,
            }
            .into(),
            Call::swap_stake_limit {
                hotkey: hotkey(),
                origin_netuid: netuid,
                destination_netuid: root,
                alpha_amount: alpha,
                limit_price: TaoBalance(1),
                allow_partial: true,
            }
            .into(),
            Call::recycle_alpha { hotkey: hotkey(), amount: alpha, netuid }.into(),
            Call::burn_alpha { hotkey: hotkey(), amount: alpha, netuid }.into(),
        ];
        for call in &paying {
            assert!(is_valid(coldkey, call), "{call:?}");
        }

        let staking = Call::add_stake { hotkey: hotkey(), netuid, amount_staked: TaoBalance(1) };
        let system = frame_system::Call::remark { remark: vec![] };
        for call in [staking.into(), system.into(), remove(&key(2), alpha)] as [RuntimeCall; 3] {
            assert!(!is_valid(coldkey, &call), "{call:?}");
        }
        assert!(!is_valid(&key(52), &remove(&hotkey(), alpha)), "an account without stake");

        // With stake on two subnets, the one that pays would be ambiguous.
        SubtensorModule::increase_stake(&hotkey(), coldkey, root, alpha);
        for call in
            [Call::unstake_all { hotkey: hotkey() }, Call::unstake_all_alpha { hotkey: hotkey() }]
        {
            assert!(!is_valid(coldkey, &call.into()));
        }
        assert!(is_valid(coldkey, &remove(&hotkey(), alpha)));
    });
}

#[test]
fn stake_worth_less_than_the_fee_does_not_pay() {
    with_all_staked(|coldkey, hotkey| {
        let all = SubtensorModule::stake_of(hotkey, coldkey, BABELBIT);
        SubtensorModule::decrease_stake(hotkey, coldkey, BABELBIT, AlphaBalance(all.0 - 1_000));
        assert!(!is_valid(coldkey, &remove(hotkey, AlphaBalance(1_000))));
    });
}
