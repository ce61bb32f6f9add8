//! Identities of coldkeys.

use frame_support::ensure;
use sp_runtime::{AccountId32, DispatchResult};

use super::types::ChainIdentityV2;
use super::{Config, Error, Event, IdentitiesV2, OwnedHotkeys, Pallet};

impl<T: Config> Pallet<T> {
    /// Sets the identity of a coldkey.
    ///
    /// # Errors
    /// `HotKeyNotRegisteredInNetwork` when none of the coldkey's hotkeys is registered on any
    /// subnet, `InvalidIdentity` when a field is too long.
    #[allow(clippy::too_many_arguments)]
    pub(crate) fn do_set_identity(
        who: &AccountId32,
        name: Vec<u8>,
        url: Vec<u8>,
        github_repo: Vec<u8>,
        image: Vec<u8>,
        discord: Vec<u8>,
        description: Vec<u8>,
        additional: Vec<u8>,
    ) -> DispatchResult {
        let is_registered = OwnedHotkeys::<T>::get(who).iter().any(Self::is_registered_anywhere);
        ensure!(is_registered, Error::<T>::HotKeyNotRegisteredInNetwork);
        let identity =
            ChainIdentityV2 { name, url, github_repo, image, discord, description, additional };
        ensure!(has_valid_lengths(&identity), Error::<T>::InvalidIdentity);
        IdentitiesV2::<T>::insert(who, identity);
        Self::deposit_event(Event::ChainIdentitySet(who.clone()));
        Ok(())
    }
}

/// Whether all fields are within their maximum lengths.
fn has_valid_lengths(
    ChainIdentityV2 { name, url, github_repo, image, discord, description, additional }: &ChainIdentityV2,
) -> bool {
    let max_lengths = [
        (name, 256),
        (url, 256),
        (github_repo, 256),
        (image, 1_024),
        (discord, 256),
        (description, 1_024),
        (additional, 1_024),
    ];
    max_lengths.iter().all(|(field, max)| field.len() <= *max)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::Runtime;
    use crate::subtensor::Call;
    use crate::testing::{account, at_first_block, key, last_event, outcome, send};

    fn set_identity(name: usize, description: usize) -> Call<Runtime> {
        Call::set_identity {
            name: vec![b'a'; name],
            url: Vec::new(),
            github_repo: Vec::new(),
            image: Vec::new(),
            discord: Vec::new(),
            description: vec![b'b'; description],
            additional: Vec::new(),
        }
    }

    #[test]
    fn only_coldkeys_with_a_neuron_set_identities() {
        at_first_block(|| {
            let (alice, bob) = (account("Alice"), account("Bob"));
            assert_eq!(outcome(send(&bob, set_identity(1, 1))), "HotKeyNotRegisteredInNetwork");
            assert_eq!(outcome(send(&bob, Call::try_associate_hotkey { hotkey: key(1) })), "ok");
            assert_eq!(outcome(send(&bob, set_identity(1, 1))), "HotKeyNotRegisteredInNetwork");
            assert_eq!(outcome(send(&alice, set_identity(257, 1))), "InvalidIdentity");
            assert_eq!(outcome(send(&alice, set_identity(1, 1_025))), "InvalidIdentity");
            assert!(IdentitiesV2::<Runtime>::get(&alice).is_none());
            assert_eq!(outcome(send(&alice, set_identity(256, 1_024))), "ok");
            assert_eq!(
                IdentitiesV2::<Runtime>::get(&alice).map(|identity| identity.name.len()),
                Some(256)
            );
            assert_eq!(last_event(), Event::ChainIdentitySet(alice));
        });
    }

    #[test]
    fn associated_hotkey_keeps_its_owner() {
        at_first_block(|| {
            let (alice, bob) = (account("Alice"), account("Bob"));
            assert_eq!(outcome(send(&bob, Call::try_associate_hotkey { hotkey: key(1) })), "ok");
            assert!(super::Pallet::<Runtime>::owns(&bob, &key(1)));
            assert_eq!(outcome(send(&alice, Call::try_associate_hotkey { hotkey: key(1) })), "ok");
            assert!(super::Pallet::<Runtime>::owns(&bob, &key(1)));
        });
    }
}
