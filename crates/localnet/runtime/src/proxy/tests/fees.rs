//! Tests of the account that pays the fees of a delegate's calls.

use super::*;

fn consent(account: &AccountId, delegate: &AccountId) {
    assert_eq!(dispatch_result(account, add(delegate, ProxyType::Any, 0)), "ok");
    assert_eq!(
        dispatch_result(
            account,
            Call::set_real_pays_fee { delegate: id(delegate), pays_fee: true }
        ),
        "ok"
    );
}

#[test]
fn account_pays_proxied_fees_after_its_consent() {
    at_first_block(|| {
        let [alice, bob] = ["Alice", "Bob"].map(account);
        let call = RuntimeCall::from(by_proxy(&alice, pay(&bob, 1)));
        let set = |pays_fee| Call::set_real_pays_fee { delegate: id(&bob), pays_fee };
        assert_eq!(dispatch_result(&alice, set(true)), "NotProxy");
        assert_eq!(fee_payer(&bob, &call), None);
        consent(&alice, &bob);
        assert_eq!(fee_payer(&bob, &call), Some(alice.clone()));
        // Only for calls of this delegate, and only if they are made for the account.
        assert_eq!(fee_payer(&key(1), &call), None);
        assert_eq!(fee_payer(&bob, &pay(&alice, 1)), None);
        assert_eq!(dispatch_result(&alice, set(false)), "ok");
        assert_eq!(fee_payer(&bob, &call), None);

        assert_eq!(dispatch_result(&alice, set(true)), "ok");
        assert_eq!(dispatch_result(&alice, remove(&bob, ProxyType::Any, 0)), "ok");
        assert_eq!(
            (fee_payer(&bob, &call), RealPaysFeeConsentV1::<Runtime>::iter().count()),
            (None, 0)
        );
        consent(&alice, &bob);
        assert_eq!(dispatch_result(&alice, Call::remove_proxies {}), "ok");
        assert_eq!(RealPaysFeeConsentV1::<Runtime>::iter().count(), 0);
    });
}

#[test]
fn consent_extends_to_one_nested_delegate() {
    at_first_block(|| {
        let [alice, bob, eve] = ["Alice", "Bob", "Eve"].map(account);
        let inner = || RuntimeCall::from(by_proxy(&alice, pay(&eve, 1)));
        let through_bob = |call: RuntimeCall| RuntimeCall::from(by_proxy(&bob, call));
        let batch = |calls| RuntimeCall::from(pallet_utility::Call::batch { calls });
        // Eve acts for Bob, who acts for Alice.
        assert_eq!(dispatch_result(&alice, add(&bob, ProxyType::Any, 0)), "ok");
        consent(&bob, &eve);
        assert_eq!(fee_payer(&eve, &through_bob(inner())), Some(bob.clone()));
        assert_eq!(
            dispatch_result(&alice, Call::set_real_pays_fee { delegate: id(&bob), pays_fee: true }),
            "ok"
        );
        assert_eq!(fee_payer(&eve, &through_bob(inner())), Some(alice.clone()));
        assert_eq!(
            fee_payer(&eve, &through_bob(batch(vec![inner(), inner()]))),
            Some(alice.clone())
        );
        for mixed in [
            vec![],
            vec![inner(), pay(&eve, 1)],
            vec![inner(), by_proxy(&eve, pay(&eve, 1)).into()],
        ] {
            assert_eq!(fee_payer(&eve, &through_bob(batch(mixed))), Some(bob.clone()));
        }
    });
}

#[test]
fn fee_extension_charges_the_paying_account() {
    use frame_support::dispatch::{GetDispatchInfo as _, PostDispatchInfo};
    use frame_support::pallet_prelude::TransactionSource;
    use sp_runtime::traits::{TransactionExtension as _, TxBaseImplication};

    use crate::extensions::ChargeFee;

    at_first_block(|| {
        // The delegate has no TAO. Alice would get the fee back, as the author of the block.
        let (bob, delegate) = (account("Bob"), key(5));
        let call = RuntimeCall::from(by_proxy(&bob, pay(&key(6), TAO)));
        let (info, source, len) = (call.get_dispatch_info(), TransactionSource::External, 200);
        let validate = || {
            let origin = RuntimeOrigin::signed(delegate.clone());
            ChargeFee::with_tip(7).validate(
                origin,
                &call,
                &info,
                len,
                (),
                &TxBaseImplication(()),
                source,
            )
        };
        assert_eq!(dispatch_result(&bob, add(&delegate, ProxyType::Any, 0)), "ok");
        assert!(validate().is_err());
        assert_eq!(
            dispatch_result(
                &bob,
                Call::set_real_pays_fee { delegate: id(&delegate), pays_fee: true }
            ),
            "ok"
        );

        let before = balance(&bob);
        let (_, val, origin) = validate().unwrap();
        assert!(frame_system::ensure_signed(origin.clone()).is_ok_and(|sender| sender == delegate));
        let pre = ChargeFee::with_tip(7).prepare(val, &origin, &call, &info, len).unwrap();
        ChargeFee::post_dispatch_details(pre, &info, &PostDispatchInfo::default(), len, &Ok(()))
            .unwrap();
        let paid = before - balance(&bob);
        assert!(paid > 200, "{paid}");
        System::assert_has_event(RuntimeEvent::TransactionPayment(
            pallet_transaction_payment::Event::TransactionFeePaid {
                who: bob,
                actual_fee: paid,
                tip: 7,
            },
        ));
    });
}
