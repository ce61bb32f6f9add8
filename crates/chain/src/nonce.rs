use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use taonet_primitives::AccountId;
use tokio::sync::{Mutex, OwnedMutexGuard};
use tokio::time::timeout;

use crate::ChainError;

/// The counters of the accounts that this process signs with.
///
/// Callers of one account wait for one another between asking for a nonce and having their extrinsic in a pool, so that
/// no two take the same one and none leaves a gap.
#[derive(Debug, Default)]
pub(crate) struct Nonces {
    accounts: Mutex<HashMap<AccountId, Arc<Mutex<Option<Used>>>>>,
}

/// The last nonce that was used from here, and when. A node that has not heard of it yet would give it out again.
#[derive(Debug, Clone, Copy)]
struct Used {
    nonce: u32,
    at: Instant,
}

impl Nonces {
    /// Waits for the account's turn, then takes the nonce that `next` (the node's, its pool included) and what was used
    /// from here lead to. What was used longer than `remember` ago is in a block, or lost and to be used again.
    ///
    /// # Errors
    /// [`ChainError::Busy`] where the turn does not come within `patience`; what `next` fails with.
    pub(crate) async fn lease(
        &self,
        account: AccountId,
        patience: Duration,
        remember: Duration,
        next: impl Future<Output = Result<u32, ChainError>>,
    ) -> Result<NonceLease, ChainError> {
        let turn = Arc::clone(self.accounts.lock().await.entry(account).or_default());
        let used = timeout(patience, turn.lock_owned()).await.map_err(|_| ChainError::Busy(account))?;
        let next = next.await?;
        let after_ours =
            used.filter(|used| used.at.elapsed() < remember).map_or(0, |used| used.nonce.saturating_add(1));
        Ok(NonceLease { nonce: next.max(after_ours), used })
    }
}

/// The right to use a nonce. While it is held, nobody else in this process gets one for the account.
///
/// Call [`NonceLease::used`] once a pool may have the extrinsic; dropped before, the nonce is given to the next caller.
#[derive(Debug)]
#[must_use]
pub struct NonceLease {
    nonce: u32,
    used: OwnedMutexGuard<Option<Used>>,
}

impl NonceLease {
    /// A lease that keeps nobody waiting, for implementations of [`Chain`](crate::Chain) that give out nonces in another
    /// way.
    pub fn alone(nonce: u32) -> Self {
        let used = Arc::new(Mutex::new(None)).try_lock_owned();
        // A new mutex is free.
        match used {
            Ok(used) => Self { nonce, used },
            Err(_) => unreachable!(),
        }
    }

    /// The nonce to sign with.
    pub fn nonce(&self) -> u32 {
        self.nonce
    }

    /// Gives the turn to the next caller, who gets a later nonce.
    pub fn used(mut self) {
        *self.used = Some(Used { nonce: self.nonce, at: Instant::now() });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALICE: AccountId = AccountId::from_bytes([1; 32]);
    const LONG: Duration = Duration::from_mins(1);

    #[tokio::test]
    async fn a_node_that_lags_behind_gives_no_nonce_twice() {
        let nonces = Nonces::default();
        for expected in 5..8 {
            let lease = nonces.lease(ALICE, LONG, LONG, async { Ok(5) }).await.unwrap();
            assert_eq!(lease.nonce(), expected);
            lease.used();
        }
        let lost = nonces.lease(ALICE, LONG, Duration::ZERO, async { Ok(5) }).await.unwrap();
        assert_eq!(lost.nonce(), 5, "what the pools forgot is used again");
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_a_turn_without_end() {
        let nonces = Nonces::default();
        let held = nonces.lease(ALICE, LONG, LONG, async { Ok(5) }).await.unwrap();
        let waited = tokio::time::Instant::now();
        let error = nonces.lease(ALICE, LONG, LONG, async { Ok(5) }).await.unwrap_err();
        assert!(matches!(error, ChainError::Busy(ALICE)) && error.is_retryable(), "{error}");
        assert_eq!(waited.elapsed(), LONG);
        drop(held);
    }

    #[tokio::test]
    async fn a_nonce_that_was_not_used_is_given_out_again() {
        let nonces = Nonces::default();
        drop(nonces.lease(ALICE, LONG, LONG, async { Ok(5) }).await.unwrap());
        assert_eq!(nonces.lease(ALICE, LONG, LONG, async { Ok(5) }).await.unwrap().nonce(), 5);
    }

    #[tokio::test]
    async fn many_callers_get_different_nonces() {
        let nonces = Arc::new(Nonces::default());
        let callers: Vec<_> = (0..64)
            .map(|_| {
                let nonces = Arc::clone(&nonces);
                tokio::spawn(async move {
                    let lease = nonces.lease(ALICE, LONG, LONG, async { Ok(0) }).await.unwrap();
                    let nonce = lease.nonce();
                    tokio::task::yield_now().await;
                    lease.used();
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
