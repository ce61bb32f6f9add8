//! Derivative accounts of the operator's account.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use taonet_primitives::AccountId;

/// All derivatives of an account, which are computed once: 65 536 hashes take some 50 ms.
#[derive(Default)]
pub(super) struct Derivatives(Mutex<Option<(AccountId, Arc<HashSet<AccountId>>)>>);

impl Derivatives {
    /// Returns all derivatives of an account.
    pub(super) fn of_account(&self, account: AccountId) -> Arc<HashSet<AccountId>> {
        let mut cache = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((cached_account, derivatives)) = &*cache
            && *cached_account == account
        {
            return Arc::clone(derivatives);
        }
        let derivatives: Arc<HashSet<AccountId>> =
            Arc::new((0..=u16::MAX).map(|index| account.derivative(index)).collect());
        *cache = Some((account, Arc::clone(&derivatives)));
        derivatives
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_derivatives_of_the_requested_account_match() {
        let derivatives = Derivatives::default();
        let accounts = [[1; 32], [2; 32]].map(AccountId::from_bytes);
        for (account, other) in
            [(accounts[0], accounts[1]), (accounts[0], accounts[1]), (accounts[1], accounts[0])]
        {
            let account_derivatives = derivatives.of_account(account);
            assert_eq!(account_derivatives.len(), 65_536);
            assert!(
                [0, 7, u16::MAX]
                    .iter()
                    .all(|index| account_derivatives.contains(&account.derivative(*index)))
            );
            assert!(!account_derivatives.contains(&other.derivative(0)));
        }
    }
}
