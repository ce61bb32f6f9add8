//! Ethereum addresses of neurons. A neuron proves that it owns an address with a signature by the
//! address's key over its hotkey.

use codec::Encode;
use frame_support::ensure;
use sp_core::{H160, ecdsa};
use sp_io::crypto::secp256k1_ecdsa_recover;
use sp_io::hashing::keccak_256;
use sp_runtime::{AccountId32, DispatchResult};

use super::{AssociatedEvmAddress, AssociatedUidsByEvmAddress, Config, Error, Event, Pallet};
use crate::types::NetUid;

/// Maximum number of neurons of a subnet with the same Ethereum address.
pub const MAX_UIDS_OF_EVM_ADDRESS: u32 = 32;

/// Minimum interval between the associations of a neuron, in blocks, as on a chain with fast
/// blocks.
const MIN_ASSOCIATION_INTERVAL: u64 = 1;

impl<T: Config> Pallet<T> {
    /// Associates a neuron with an Ethereum address, whose key signed the hotkey and the hash of a
    /// block number.
    ///
    /// # Errors
    /// In this order: `SubnetNotExists`, `NonAssociatedColdKey` if the hotkey has no owner, the
    /// errors of [`Self::check_evm_association`], `InvalidIdentity` if the signature is malformed,
    /// `InvalidRecoveredPublicKey` if another key signed, `EvmKeyAssociationLimitExceeded`.
    pub(crate) fn do_associate_evm_key(
        hotkey: AccountId32,
        netuid: NetUid,
        evm_key: H160,
        block_number: u64,
        signature: ecdsa::Signature,
    ) -> DispatchResult {
        ensure!(Self::subnet_exists(netuid), Error::<T>::SubnetNotExists);
        ensure!(Self::hotkey_exists(&hotkey), Error::<T>::NonAssociatedColdKey);
        let uid = Self::check_evm_association(&hotkey, netuid)?;
        let block = Self::current_block();
        let signer =
            recover_signer(&hotkey, block_number, signature).ok_or(Error::<T>::InvalidIdentity)?;
        ensure!(signer == evm_key, Error::<T>::InvalidRecoveredPublicKey);

        let mut uids = AssociatedUidsByEvmAddress::<T>::get(netuid, evm_key);
        if let Some((_, associated_at)) = uids.iter_mut().find(|(entry_uid, _)| *entry_uid == uid) {
            *associated_at = block;
        } else {
            uids.try_push((uid, block)).map_err(|_| Error::<T>::EvmKeyAssociationLimitExceeded)?;
            // A previous address of the neuron differs from the new one.
            Self::remove_evm_address(netuid, uid);
        }
        AssociatedUidsByEvmAddress::<T>::insert(netuid, evm_key, uids);
        AssociatedEvmAddress::<T>::insert(netuid, uid, (evm_key, block));
        Self::deposit_event(Event::EvmKeyAssociated {
            netuid,
            hotkey,
            evm_key,
            block_associated: block,
        });
        Ok(())
    }

    /// Returns the uid of a neuron that may be associated with an address now.
    ///
    /// # Errors
    /// `HotKeyNotRegisteredInSubNet`, `EvmKeyAssociateRateLimitExceeded`.
    pub(crate) fn check_evm_association(
        hotkey: &AccountId32,
        netuid: NetUid,
    ) -> Result<u16, Error<T>> {
        let uid = Self::uid_of(netuid, hotkey).ok_or(Error::<T>::HotKeyNotRegisteredInSubNet)?;
        let last_associated_at =
            AssociatedEvmAddress::<T>::get(netuid, uid).map_or(0, |(_, block)| block);
        let is_allowed =
            Self::current_block().saturating_sub(last_associated_at) >= MIN_ASSOCIATION_INTERVAL;
        ensure!(is_allowed, Error::<T>::EvmKeyAssociateRateLimitExceeded);
        Ok(uid)
    }

    /// Removes the Ethereum address of a neuron.
    pub(super) fn remove_evm_address(netuid: NetUid, uid: u16) {
        let Some((address, _)) = AssociatedEvmAddress::<T>::take(netuid, uid) else { return };
        AssociatedUidsByEvmAddress::<T>::mutate_exists(netuid, address, |entry| {
            let mut uids = entry.take().unwrap_or_default();
            uids.retain(|(entry_uid, _)| *entry_uid != uid);
            *entry = (!uids.is_empty()).then_some(uids);
        });
    }

    /// Moves the Ethereum address of a neuron to its new uid, which has none.
    pub(super) fn move_evm_address(netuid: NetUid, old: u16, new: u16) {
        let Some((address, associated_at)) = AssociatedEvmAddress::<T>::take(netuid, old) else {
            return;
        };
        AssociatedEvmAddress::<T>::insert(netuid, new, (address, associated_at));
        AssociatedUidsByEvmAddress::<T>::mutate(netuid, address, |uids| {
            uids.iter_mut()
                .filter(|(entry_uid, _)| *entry_uid == old)
                .for_each(|(entry_uid, _)| *entry_uid = new);
        });
    }
}

/// Returns the Ethereum address whose key signed a hotkey and a block number, as wallets sign texts
/// (EIP-191); `None` if the signature is malformed.
fn recover_signer(
    hotkey: &AccountId32,
    block_number: u64,
    mut signature: ecdsa::Signature,
) -> Option<H160> {
    // Wallets add 27 to the recovery ID, which selects one of the candidates for the key.
    let recovery_id = signature.0.last_mut()?;
    if *recovery_id >= 27 {
        *recovery_id = recovery_id.saturating_sub(27);
    }
    let message = (hotkey, keccak_256(&block_number.encode())).encode();
    let signed_message = [b"\x19Ethereum Signed Message:\n64".as_slice(), &message].concat();
    let key = secp256k1_ecdsa_recover(&signature.0, &keccak_256(&signed_message)).ok()?;
    // The address is the end of the key's hash.
    keccak_256(&key).last_chunk().copied().map(H160)
}

#[cfg(test)]
mod tests;
