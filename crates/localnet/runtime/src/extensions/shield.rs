//! Refusal of shielded extrinsics that no author can decrypt.

use codec::{Decode, DecodeWithMemTracking, Encode};
use frame_support::dispatch::DispatchInfo;
use frame_support::pallet_prelude::TransactionSource;
use scale_info::TypeInfo;
use sp_runtime::impl_tx_ext_default;
use sp_runtime::traits::{AsSystemOriginSigner, Implication, TransactionExtension};
use sp_runtime::transaction_validity::{InvalidTransaction, TransactionValidityError, ValidTransaction};
use taonet_shield::Parts;

use crate::mev_shield::Call;
use crate::runtime::{MevShield, RuntimeCall, RuntimeOrigin};

/// Custom error code for a malformed ciphertext.
const MALFORMED: u8 = 23;
/// Custom error code for a ciphertext encrypted to a different key.
const WRONG_KEY: u8 = 24;

/// Extension that validates shielded extrinsics before they enter the pool.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, TypeInfo)]
pub struct CheckShieldedTxValidity;

impl TransactionExtension<RuntimeCall> for CheckShieldedTxValidity {
    const IDENTIFIER: &'static str = "CheckShieldedTxValidity";
    type Implicit = ();
    type Val = ();
    type Pre = ();

    impl_tx_ext_default!(RuntimeCall; weight prepare);

    fn validate(
        &self,
        origin: RuntimeOrigin,
        call: &RuntimeCall,
        _: &DispatchInfo,
        _: usize,
        (): (),
        _: &impl Implication,
        _: TransactionSource,
    ) -> Result<(ValidTransaction, (), RuntimeOrigin), TransactionValidityError> {
        if let (Some(_), RuntimeCall::MevShield(Call::submit_encrypted { ciphertext })) =
            (origin.as_system_origin_signer(), call)
        {
            let parts = Parts::parse(ciphertext).ok_or(InvalidTransaction::Custom(MALFORMED))?;
            if !MevShield::is_known_key(parts.key_hash) {
                return Err(InvalidTransaction::Custom(WRONG_KEY).into());
            }
        }
        Ok((ValidTransaction::default(), (), origin))
    }
}

#[cfg(test)]
mod tests {
    use frame_support::dispatch::GetDispatchInfo;
    use sp_runtime::traits::TxBaseImplication;

    use super::*;
    use crate::mev_shield::development_key;
    use crate::testing::{account, chain};

    fn validate(ciphertext: Vec<u8>) -> Result<(), TransactionValidityError> {
        let call = RuntimeCall::from(Call::submit_encrypted { ciphertext: ciphertext.try_into().unwrap() });
        let (info, source) = (call.get_dispatch_info(), TransactionSource::External);
        let origin = RuntimeOrigin::signed(account("Alice"));
        CheckShieldedTxValidity.validate(origin, &call, &info, 0, (), &TxBaseImplication(()), source).map(|_| ())
    }

    #[test]
    fn only_ciphertexts_for_the_authors_key_wait_for_a_block() {
        chain(|| {
            let custom = |number| Err(InvalidTransaction::Custom(number).into());
            let hash = sp_io::hashing::twox_128(&development_key().public()).to_vec();
            let rest = [&4_u16.to_le_bytes()[..], &[0; 4], &[0; 24], &[0; 16]].concat();
            assert_eq!(validate([hash.clone(), rest.clone()].concat()), Ok(()));
            assert_eq!(validate([vec![1; 16], rest].concat()), custom(WRONG_KEY));
            assert_eq!(validate(Vec::new()), custom(MALFORMED));
            assert_eq!(validate([hash, vec![0xff; 40]].concat()), custom(MALFORMED));
        });
    }
}
