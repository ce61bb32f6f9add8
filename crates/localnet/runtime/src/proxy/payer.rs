//! Selection of the account that pays the fee of a delegate's call.

use pallet_utility::Call as Utility;
use sp_runtime::traits::StaticLookup;

use super::{Call, RealPaysFeeConsentV1};
use crate::runtime::{AccountId, Runtime, RuntimeCall};

/// Returns the account that pays the fee of a call instead of the sender; `None` if the sender
/// pays.
///
/// An account that consented pays for its delegate's call. If that call is itself a delegate's call
/// for another account, or a batch of such calls for one account, the other account pays if it
/// consented too.
pub fn fee_payer(sender: &AccountId, call: &RuntimeCall) -> Option<AccountId> {
    let (real, inner) = proxied_call(call)?;
    if !has_fee_consent(&real, sender) {
        return None;
    }
    let nested_account = match inner {
        RuntimeCall::Utility(
            Utility::batch { calls }
            | Utility::batch_all { calls }
            | Utility::force_batch { calls },
        ) => common_account(calls),
        inner => proxied_call(inner).map(|(account, _)| account),
    };
    Some(nested_account.filter(|account| has_fee_consent(account, &real)).unwrap_or(real))
}

/// Returns the account for which a delegate makes a call, and the call.
fn proxied_call(call: &RuntimeCall) -> Option<(AccountId, &RuntimeCall)> {
    match call {
        RuntimeCall::Proxy(Call::proxy { real, call, .. }) => {
            Some((<Runtime as frame_system::Config>::Lookup::lookup(real.clone()).ok()?, call))
        }
        _ => None,
    }
}

/// Returns the account for which a delegate makes all of these calls.
fn common_account(calls: &[RuntimeCall]) -> Option<AccountId> {
    let mut accounts = calls.iter().map(|call| proxied_call(call).map(|(account, _)| account));
    let first_account = accounts.next()??;
    accounts.all(|account| account.as_ref() == Some(&first_account)).then_some(first_account)
}

fn has_fee_consent(account: &AccountId, delegate: &AccountId) -> bool {
    RealPaysFeeConsentV1::<Runtime>::contains_key(account, delegate)
}
