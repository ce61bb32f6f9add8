//! Nonce check without an account balance.

use codec::{Decode, DecodeWithMemTracking, Encode};
use frame_support::dispatch::DispatchInfo;
use frame_support::pallet_prelude::TransactionSource;
use frame_system::Account;
use frame_system::pallet_prelude::RuntimeCallFor;
use scale_info::TypeInfo;
use sp_runtime::impl_tx_ext_default;
use sp_runtime::traits::{AsSystemOriginSigner, Implication, TransactionExtension};
use sp_runtime::transaction_validity::{
    InvalidTransaction, TransactionLongevity, TransactionValidityError, ValidTransaction,
};

use crate::runtime::{AccountId, Nonce, Runtime, RuntimeOrigin};

/// Extension that checks and increments the nonce of an account.
///
/// Unlike FRAME's extension of the same name, it accepts accounts without a balance, as the real
/// chain does: hotkeys have no balance, and their calls are free.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, TypeInfo)]
pub struct CheckNonce(
    /// The account's nonce.
    #[codec(compact)]
    pub Nonce,
);

impl TransactionExtension<RuntimeCallFor<Runtime>> for CheckNonce {
    const IDENTIFIER: &'static str = "CheckNonce";
    type Implicit = ();
    type Val = Option<AccountId>;
    type Pre = ();

    impl_tx_ext_default!(RuntimeCallFor<Runtime>; weight);

    fn validate(
        &self,
        origin: RuntimeOrigin,
        _: &RuntimeCallFor<Runtime>,
        _: &DispatchInfo,
        _: usize,
        (): (),
        _: &impl Implication,
        _: TransactionSource,
    ) -> Result<(ValidTransaction, Self::Val, RuntimeOrigin), TransactionValidityError> {
        let Some(who) = origin.as_system_origin_signer().cloned() else {
            return Ok((ValidTransaction::default(), None, origin));
        };
        let account_nonce = Account::<Runtime>::get(&who).nonce;
        if self.0 < account_nonce {
            return Err(InvalidTransaction::Stale.into());
        }
        let requires = if self.0 > account_nonce {
            vec![(&who, self.0.saturating_sub(1)).encode()]
        } else {
            Vec::new()
        };
        let provides = vec![(&who, self.0).encode()];
        let longevity = TransactionLongevity::MAX;
        let validity =
            ValidTransaction { priority: 0, requires, provides, longevity, propagate: true };
        Ok((validity, Some(who), origin))
    }

    fn prepare(
        self,
        who: Self::Val,
        _: &RuntimeOrigin,
        _: &RuntimeCallFor<Runtime>,
        _: &DispatchInfo,
        _: usize,
    ) -> Result<(), TransactionValidityError> {
        let Some(who) = who else { return Ok(()) };
        Account::<Runtime>::try_mutate(who, |account| {
            if self.0 > account.nonce {
                return Err(TransactionValidityError::from(InvalidTransaction::Future));
            }
            account.nonce = self.0.wrapping_add(1);
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use frame_support::dispatch::GetDispatchInfo;
    use sp_runtime::traits::TxBaseImplication;

    use super::*;
    use crate::runtime::RuntimeCall;
    use crate::testing::{at_first_block, key};

    fn call() -> RuntimeCall {
        frame_system::Call::remark { remark: Vec::new() }.into()
    }

    fn validate(nonce: Nonce) -> Result<ValidTransaction, TransactionValidityError> {
        let (call, origin) = (call(), RuntimeOrigin::signed(key(1)));
        let (info, source) = (call.get_dispatch_info(), TransactionSource::External);
        let implication = TxBaseImplication(());
        CheckNonce(nonce)
            .validate(origin, &call, &info, 0, (), &implication, source)
            .map(|(validity, ..)| validity)
    }

    fn prepare(nonce: Nonce) -> Result<(), TransactionValidityError> {
        let (call, origin) = (call(), RuntimeOrigin::signed(key(1)));
        CheckNonce(nonce).prepare(Some(key(1)), &origin, &call, &call.get_dispatch_info(), 0)
    }

    #[test]
    fn calls_of_account_without_balance_keep_nonce_order() {
        at_first_block(|| {
            assert_eq!(Account::<Runtime>::get(key(1)).providers, 0);
            let first = validate(0).unwrap();
            assert_eq!((first.provides, first.requires), (vec![(key(1), 0_u32).encode()], vec![]));
            let third = validate(2).unwrap();
            assert_eq!(third.requires, vec![(key(1), 1_u32).encode()]);
            assert_eq!(prepare(1), Err(InvalidTransaction::Future.into()));
            assert!(!Account::<Runtime>::contains_key(key(1)));
            assert_eq!(prepare(0), Ok(()));
            assert_eq!(Account::<Runtime>::get(key(1)).nonce, 1);
            assert_eq!(validate(0).unwrap_err(), InvalidTransaction::Stale.into());
            assert_eq!(prepare(1), Ok(()));
        });
    }

    #[test]
    fn nonce_is_encoded_as_compact_integer() {
        assert_eq!(CheckNonce(0).encode(), [0]);
        assert_eq!(CheckNonce(64).encode(), [1, 1]);
        assert_eq!(CheckNonce::decode(&mut &[0xfc][..]), Ok(CheckNonce(63)));
    }
}
