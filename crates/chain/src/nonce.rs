use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use taonet_primitives::AccountId;
use tokio::sync::{Mutex, OwnedMutexGuard};
use tokio::time::timeout;

use crate::ChainError;

/// The nonces of the accounts that this process signs with.
///
/// Callers for the same account take turns: each waits until a pool holds the previous extrinsic,
/// so that no nonce is used twice and none is skipped.
#[derive(Debug, Default)]
pub(crate) struct Nonces {
    accounts: Mutex<HashMap<AccountId, Arc<Mutex<Option<LastNonce>>>>>,
}

/// The last nonce used by this process, and the time of use. A node that has not seen the nonce yet
/// would return it again.
#[derive(Debug, Clone, Copy)]
struct LastNonce {
    nonce: u32,
    used_at: Instant,
}

impl Nonces {
    /// Waits for the account's lease, then takes the higher of `node_nonce` (the node's next nonce,
    /// counting its pool) and the nonce after the last one used by this process. A nonce used
    /// longer than `retention` ago is ignored: its extrinsic is in a block, or was lost, so that
    /// the nonce is free again.
    ///
    /// # Errors
    /// [`ChainError::Busy`] if the lease does not become free within `max_wait`, or an error of
    /// `node_nonce`.
    pub(crate) async fn lease(
        &self,
        account: AccountId,
        max_wait: Duration,
        retention: Duration,
        node_nonce: impl Future<Output = Result<u32, ChainError>>,
    ) -> Result<NonceLease, ChainError> {
        let account_nonce = Arc::clone(self.accounts.lock().await.entry(account).or_default());
        let last_nonce = timeout(max_wait, account_nonce.lock_owned())
            .await
            .map_err(|_| ChainError::Busy(account))?;
        let node_nonce = node_nonce.await?;
        let after_last = last_nonce
            .filter(|last| last.used_at.elapsed() < retention)
            .map_or(0, |last| last.nonce.saturating_add(1));
        Ok(NonceLease { nonce: node_nonce.max(after_last), last_nonce })
    }
}

/// An exclusive lease of an account's next nonce within this process.
///
/// Call [`NonceLease::mark_used`] once a pool may hold the extrinsic; if the lease is dropped
/// earlier, the next caller gets the same nonce.
#[derive(Debug)]
#[must_use]
pub struct NonceLease {
    nonce: u32,
    last_nonce: OwnedMutexGuard<Option<LastNonce>>,
}

impl NonceLease {
    /// Creates a lease that blocks no other caller, for implementations of [`Chain`](crate::Chain)
    /// that assign nonces themselves.
    pub fn unshared(nonce: u32) -> Self {
        let last_nonce = Arc::new(Mutex::new(None)).try_lock_owned();
        // A new mutex is unlocked.
        match last_nonce {
            Ok(last_nonce) => Self { nonce, last_nonce },
            Err(_) => unreachable!(),
        }
    }

    /// Returns the nonce to sign with.
    pub fn nonce(&self) -> u32 {
        self.nonce
    }

    /// Marks the nonce as used and releases the lease; the next caller gets a later nonce.
    pub fn mark_used(mut self) {
        *self.last_nonce = Some(LastNonce { nonce: self.nonce, used_at: Instant::now() });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALICE: AccountId = AccountId::from_bytes([1; 32]);
    const LONG_TIMEOUT: Duration = Duration::from_mins(1);

    #[tokio::test]
    async fn nonce_of_lagging_node_is_not_leased_twice() {
        let nonces = Nonces::default();
        for expected in 5..8 {
            let lease =
                nonces.lease(ALICE, LONG_TIMEOUT, LONG_TIMEOUT, async { Ok(5) }).await.unwrap();
            assert_eq!(lease.nonce(), expected);
            lease.mark_used();
        }
        let reused =
            nonces.lease(ALICE, LONG_TIMEOUT, Duration::ZERO, async { Ok(5) }).await.unwrap();
        assert_eq!(reused.nonce(), 5, "a nonce is reused after its retention");
    }

    #[tokio::test(start_paused = true)]
    async fn lease_fails_as_busy_after_its_timeout() {
        let nonces = Nonces::default();
        let lease = nonces.lease(ALICE, LONG_TIMEOUT, LONG_TIMEOUT, async { Ok(5) }).await.unwrap();
        let start = tokio::time::Instant::now();
        let error =
            nonces.lease(ALICE, LONG_TIMEOUT, LONG_TIMEOUT, async { Ok(5) }).await.unwrap_err();
        assert!(matches!(error, ChainError::Busy(ALICE)) && error.is_retryable(), "{error}");
        assert_eq!(start.elapsed(), LONG_TIMEOUT);
        drop(lease);
    }

    #[tokio::test]
    async fn unused_nonce_is_leased_again() {
        let nonces = Nonces::default();
        drop(nonces.lease(ALICE, LONG_TIMEOUT, LONG_TIMEOUT, async { Ok(5) }).await.unwrap());
        assert_eq!(
            nonces.lease(ALICE, LONG_TIMEOUT, LONG_TIMEOUT, async { Ok(5) }).await.unwrap().nonce(),
            5
        );
    }

    #[tokio::test]
    async fn concurrent_callers_get_distinct_nonces() {
        let nonces = Arc::new(Nonces::default());
        let callers: Vec<_> = (0..64)
            .map(|_| {
                let nonces = Arc::clone(&nonces);
                tokio::spawn(async move {
                    let lease = nonces
                        .lease(ALICE, LONG_TIMEOUT, LONG_TIMEOUT, async { Ok(0) })
                        .await
                        .unwrap();
                    let nonce = lease.nonce();
                    tokio::task::yield_now().await;
                    lease.mark_used();
                    nonce
                })
            })
            .collect();
        let mut nonces = Vec::new();
        for caller in callers {
            nonces.push(caller.await.unwrap());
        }
        nonces.sort_unstable();
        assert_eq!(nonces, (0..64).collect::<Vec<_>>());
    }
}
