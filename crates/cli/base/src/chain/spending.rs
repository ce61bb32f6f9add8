//! The TAO that a call takes, compared with the account's balance before the call is sent.
//!
//! The chain's transaction pool checks the fee only: a call above the balance is included, fails
//! and costs its fee.

use anyhow::Context as _;
use taonet_chain::{At, Client};
use taonet_primitives::{AccountId, Rao};

use super::{ExpectedRefusal, chain_error};

/// Name of the error in JSON documents.
pub(super) const ERROR_NAME: &str = "InsufficientBalance";

/// TAO that a call takes from an account, besides its fee.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spending {
    account: AccountId,
    /// The balance that can leave the account.
    available: Rao,
    amount: Rao,
    /// The balance that must remain; 0 if the call may close the account.
    min_remaining: Rao,
}

impl Spending {
    /// Reads the balance of the account that pays `amount`.
    pub async fn read(
        chain: &Client,
        account: impl Into<AccountId>,
        amount: Rao,
    ) -> anyhow::Result<Self> {
        let account = account.into();
        let balance = chain.balance(account, At::Head).await.map_err(chain_error)?;
        let available = balance.free.checked_sub(balance.frozen).unwrap_or_default();
        Ok(Self { account, available, amount, min_remaining: Rao::ZERO })
    }

    /// Requires that the account stays open: its existential deposit must remain.
    pub async fn keeping_account(self, chain: &Client) -> anyhow::Result<Self> {
        Ok(Self {
            min_remaining: read_amount_constant(chain, "Balances", "ExistentialDeposit").await?,
            ..self
        })
    }

    /// Reads the balance of the account that pays a deposit: the pallet's constants `{prefix}Base`,
    /// and `{prefix}Factor` for each item, without the part that the pallet already holds.
    pub async fn deposit(
        chain: &Client,
        account: impl Into<AccountId>,
        (pallet, prefix): (&str, &str),
        items: usize,
        held: Rao,
    ) -> anyhow::Result<Self> {
        let base = read_amount_constant(chain, pallet, &format!("{prefix}Base")).await?.get();
        let factor = read_amount_constant(chain, pallet, &format!("{prefix}Factor")).await?.get();
        let items = u64::try_from(items).unwrap_or(u64::MAX);
        let total = base.saturating_add(factor.saturating_mul(items));
        Self::read(chain, account, Rao::new(total.saturating_sub(held.get()))).await
    }

    /// Returns why the balance does not suffice for the amount and the fee, which `signer` pays;
    /// `None` if it does.
    pub(super) fn shortfall(&self, signer: AccountId, fee: Rao) -> Option<ExpectedRefusal> {
        let Self { account, available, amount, min_remaining } = *self;
        let fee = if signer == account { fee } else { Rao::ZERO };
        let required: u128 =
            [amount, fee, min_remaining].into_iter().map(|part| u128::from(part.get())).sum();
        if u128::from(available.get()) >= required {
            return None;
        }
        let fee_text =
            if fee == Rao::ZERO { String::new() } else { format!(", the fee is {fee} TAO") };
        let min_remaining_text = if min_remaining == Rao::ZERO {
            String::new()
        } else {
            format!(", and {min_remaining} TAO must remain in the account")
        };
        let hint = if available >= amount && min_remaining > Rao::ZERO {
            "spend less, or close the account with --all or --allow-death of `tao transfer`"
        } else {
            "check the account with `tao balance`"
        };
        let text = format!(
            "the call takes {amount} TAO{fee_text}{min_remaining_text}, but {account} has only {available} TAO to \
             spend\nhint: {hint}"
        );
        Some(ExpectedRefusal { name: ERROR_NAME, text })
    }
}

/// Reads a constant that is an amount.
async fn read_amount_constant(chain: &Client, pallet: &str, name: &str) -> anyhow::Result<Rao> {
    let value = chain.constant(pallet, name).await.map_err(chain_error)?;
    serde_json::from_value(value).with_context(|| format!("malformed constant {pallet}.{name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shortfall_includes_fee_and_minimum_balance() {
        let (account, other) = (AccountId::from_bytes([1; 32]), AccountId::from_bytes([2; 32]));
        for (available, amount, min_remaining, signer, fee, expected_text) in [
            (100, 90, 0, account, 10, None),
            (100, 91, 0, account, 10, Some("the fee is 0.00000001 TAO, but")),
            (100, 100, 0, other, 10, None),
            (100, 101, 0, other, 10, Some("takes 0.000000101 TAO, but")),
            (100, 85, 5, account, 10, None),
            (100, 86, 5, account, 10, Some("0.000000005 TAO must remain in the account, but")),
            (100, 86, 5, account, 10, Some("close the account with --all")),
            (0, 1, 0, account, 0, Some("has only 0 TAO to spend\nhint: check the account")),
            (u64::MAX, u64::MAX, 5, account, 10, Some("must remain")),
        ] {
            let [available, amount, min_remaining] =
                [available, amount, min_remaining].map(Rao::new);
            let spending = Spending { account, available, amount, min_remaining };
            let shortfall = spending
                .shortfall(signer, Rao::new(fee))
                .map(|expected_refusal| expected_refusal.text);
            match expected_text {
                None => assert_eq!(shortfall, None, "{spending:?}"),
                Some(expected_text) => assert!(
                    shortfall.as_ref().is_some_and(|text| text.contains(expected_text)),
                    "{shortfall:?}"
                ),
            }
        }
    }
}
