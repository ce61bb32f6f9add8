//! Refusal of shielded extrinsics that no author can decrypt.

use codec::{Decode, DecodeWithMemTracking, Encode};
use scale_info::TypeInfo;
use sp_runtime::traits::AsSystemOriginSigner;
use sp_runtime::transaction_validity::{
    InvalidTransaction, TransactionValidityError, ValidTransaction,
};
use taonet_shield::CiphertextParts;

use crate::mev_shield::Call;
use crate::runtime::{MevShield, RuntimeCall, RuntimeOrigin};

/// Custom error code for a malformed ciphertext.
const MALFORMED: u8 = 23;
/// Custom error code for a ciphertext encrypted to a different key.
const WRONG_KEY: u8 = 24;

/// Extension that validates shielded extrinsics before they enter the pool.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, TypeInfo)]
pub struct CheckShieldedTxValidity;

validating_extension!(CheckShieldedTxValidity);

impl CheckShieldedTxValidity {
    fn check(
        origin: &RuntimeOrigin,
        call: &RuntimeCall,
    ) -> Result<ValidTransaction, TransactionValidityError> {
        if let (Some(_), RuntimeCall::MevShield(Call::submit_encrypted { ciphertext })) =
            (origin.as_system_origin_signer(), call)
        {
            let parts =
                CiphertextParts::parse(ciphertext).ok_or(InvalidTransaction::Custom(MALFORMED))?;
            if !MevShield::is_author_key_hash(parts.key_hash) {
                return Err(InvalidTransaction::Custom(WRONG_KEY).into());
            }
        }
        Ok(ValidTransaction::default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mev_shield::development_key;
    use crate::testing::{account, at_first_block};

    fn validate(ciphertext: Vec<u8>) -> Result<(), TransactionValidityError> {
        let call = RuntimeCall::from(Call::submit_encrypted {
            ciphertext: ciphertext.try_into().unwrap(),
        });
        CheckShieldedTxValidity::check(&RuntimeOrigin::signed(account("Alice")), &call).map(|_| ())
    }

    #[test]
    fn pool_accepts_only_ciphertexts_for_the_author_key() {
        at_first_block(|| {
            let custom = |number| Err(InvalidTransaction::Custom(number).into());
            let hash = sp_io::hashing::twox_128(&development_key().public()).to_vec();
            let body = [&4_u16.to_le_bytes()[..], &[0; 4], &[0; 24], &[0; 16]].concat();
            assert_eq!(validate([hash.clone(), body.clone()].concat()), Ok(()));
            assert_eq!(validate([vec![1; 16], body].concat()), custom(WRONG_KEY));
            assert_eq!(validate(Vec::new()), custom(MALFORMED));
            assert_eq!(validate([hash, vec![0xff; 40]].concat()), custom(MALFORMED));
        });
    }
}
