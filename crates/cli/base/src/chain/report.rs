//! Reports the outcome of a call, as JSON and as text.

use serde_json::{Value, json};
use taonet_chain::{
    DispatchError, DryRun, Inclusion, Outcome, RefusalReason, SignedExtrinsic, UnknownReason, Until,
};
use taonet_primitives::{AccountId, Coldkey};

use super::block_json;
use crate::context::Context;
use crate::exit::{ClassifiedError, Failure, QuotingError};

/// Hints for common dispatch errors, by error name.
const HINTS: [(&str, &str); 43] = [
    ("HotKeyNotRegisteredInSubNet", "register the hotkey with `tao register --netuid N`"),
    ("HotKeyNotRegisteredInNetwork", "register the hotkey with `tao register --netuid N`"),
    ("HotKeyAlreadyRegisteredInSubNet", "the hotkey already has a uid; see `tao metagraph N`"),
    ("TooManyRegistrationsThisBlock", "retry in the next block"),
    ("TooManyRegistrationsThisInterval", "wait for the next registration interval of the subnet"),
    (
        "NoNeuronIdAvailable",
        "all neurons are immune; immunity_period in `tao subnets hyperparameters N`",
    ),
    (
        "StakeTooLowForRoot",
        "on a full root network, stake as much there as the member with the lowest stake",
    ),
    ("NotEnoughBalanceToStake", "check the coldkey's balance with `tao balance`"),
    ("InsufficientTaoBalance", "check the coldkey's balance with `tao balance`"),
    ("CannotAffordLockCost", "check the coldkey's balance with `tao balance`"),
    ("NotEnoughStakeToWithdraw", "check the stake with `tao stake list`"),
    ("StakeUnavailable", "part of the stake is locked, or is collateral; see `tao lock list`"),
    ("StartCallNotReady", "wait for the block that `tao subnets check-start N` shows"),
    ("SubtokenDisabled", "the subnet's owner must start it with `tao subnets start N`"),
    ("CommitRevealEnabled", "this subnet uses commit-reveal; `tao weights set` detects that"),
    ("CommitRevealDisabled", "this subnet does not use commit-reveal; use `tao weights set`"),
    (
        "SettingWeightsTooFast",
        "wait for the rate limit, weights_rate_limit in `tao subnets hyperparameters N`",
    ),
    (
        "CommittingWeightsTooFast",
        "wait for the rate limit, weights_rate_limit in `tao subnets hyperparameters N`",
    ),
    (
        "NeuronNoValidatorPermit",
        "add stake with `tao stake add`; permits are granted at the next epoch",
    ),
    (
        "ServingRateLimitExceeded",
        "wait for the rate limit, serving_rate_limit in `tao subnets hyperparameters N`",
    ),
    (
        "IncorrectWeightVersionKey",
        "pass the subnet's version key, weights_version in `tao subnets hyperparameters N`",
    ),
    (
        "SlippageTooHigh",
        "the trade would cross the price limit; change --tolerance or --limit, or allow a partial trade with --partial",
    ),
    ("PriceLimitExceeded", "the price is already beyond the limit; change --limit"),
    ("AmountTooLow", "the minimum is 0.002 TAO; 0.0001 TAO for a transfer of stake"),
    (
        "TransferDisallowed",
        "this subnet forbids transfers of stake, transfers_enabled in `tao subnets hyperparameters N`",
    ),
    ("NonAssociatedColdKey", "sign with the coldkey that owns the hotkey"),
    (
        "NotEnoughStakeToSetChildkeys",
        "add stake to the hotkey; the chain requires a minimum stake for children",
    ),
    (
        "TxRateLimitExceeded",
        "wait for the rate limit, such as 150 blocks between changes of a hotkey's children",
    ),
    (
        "TxChildkeyTakeRateLimitExceeded",
        "wait for the rate limit; a childkey take can be lowered at any time",
    ),
    (
        "InvalidChildkeyTake",
        "a childkey take is at least min_childkey_take of the subnet, and at most 18 %",
    ),
    (
        "HotKeySetTxRateLimitExceeded",
        "wait for the rate limit between swaps of a coldkey's hotkeys",
    ),
    (
        "HotKeySwapOnSubnetIntervalNotPassed",
        "wait for the interval between swaps of hotkeys on a subnet",
    ),
    ("NotEnoughBalanceToPaySwapHotKey", "check the coldkey's balance with `tao balance`"),
    ("NotEnoughBalanceToPaySwapColdKey", "check the coldkey's balance with `tao balance`"),
    ("ColdkeySwapTooEarly", "wait for the block that `tao wallet swap-coldkey status` shows"),
    ("AnnouncedColdkeyHashDoesNotMatch", "pass the coldkey that you announced"),
    (
        "ColdkeySwapAnnounced",
        "this coldkey's swap is announced; see `tao wallet swap-coldkey status`",
    ),
    ("NotProxy", "list an account's proxies with `tao proxy list ACCOUNT`"),
    ("Unannounced", "announce the call with `--announce`, and wait for the proxy's delay"),
    (
        "InvalidWorkBlock",
        "the block of the work was too old when the call arrived; run the command again",
    ),
    ("BadOrigin", "sign with the key that this call requires, such as that of the subnet's owner"),
    ("Token(FundsUnavailable)", "check the account with `tao balance`"),
    ("RequireSudo", "sign with the chain's sudo key; on a localnet, `--key-uri //Alice`"),
];

/// Hints for refusals of the transaction pool, by custom error code.
const CUSTOM_HINTS: [(u8, &str); 14] = [
    (0, "this coldkey's swap is announced; see `tao wallet swap-coldkey status`"),
    (1, "stake more with `tao stake add`; setting weights requires a minimum stake"),
    (2, "check the coldkey's balance with `tao balance`"),
    (4, "the hotkey is unknown to the chain; register it with `tao register --netuid N`"),
    (5, "check the stake with `tao stake list`"),
    (
        6,
        "wait for the rate limit of this call: for weights, the blocks in weights_rate_limit of `tao subnets \
         hyperparameters N`; 150 blocks between changes of children; HotkeySwapOnSubnetInterval blocks between swaps of a \
         coldkey's hotkeys",
    ),
    (8, "change --tolerance or --limit, or allow a partial trade with --partial"),
    (10, "register the hotkey with `tao register --netuid N`"),
    (
        12,
        "wait for the rate limit, serving_rate_limit in `tao subnets hyperparameters N`; its default is 50 blocks",
    ),
    (15, "the clock of this machine or of the node is wrong; run the command again"),
    (16, "the commit was revealed, or its epoch is over; commit again"),
    (
        17,
        "reveal in the epoch that follows the commit by commit_reveal_period, see `tao subnets hyperparameters N`",
    ),
    // A ciphertext for a key that has been replaced.
    (24, "the key changes with every block; retry"),
    (25, "sign with the coldkey that owns the hotkey"),
];

/// Returns the JSON document of a submission, with the same keys for every outcome.
pub(super) fn document(extrinsic: &SignedExtrinsic, outcome: &Outcome, until: Until) -> Value {
    let inclusion = outcome.inclusion();
    let error = match not_final(outcome, until) {
        Some(inclusion) => json!({ "name": "NotFinal", "message": not_final_text(inclusion) }),
        None => outcome_error(outcome),
    };
    json!({
        "success": is_complete(outcome, until),
        "outcome": outcome_name(outcome),
        "error": error,
        "extrinsic": extrinsic.hash,
        "signer": extrinsic.signer,
        "nonce": extrinsic.nonce,
        "block": inclusion.map(|inclusion| block_json(inclusion.block)),
        "index": inclusion.map(|inclusion| inclusion.index),
        "fee_rao": inclusion.and_then(|inclusion| inclusion.fee),
        "events": inclusion.map(|inclusion| &inclusion.events),
    })
}

/// Returns the JSON document of a call that was not sent, with the keys of [`document`].
pub(super) fn unsent_document(signer: Coldkey, error: &Value) -> Value {
    json!({
        "success": false,
        "outcome": "unsent",
        "error": error,
        "extrinsic": null,
        "signer": signer,
        "nonce": null,
        "block": null,
        "index": null,
        "fee_rao": null,
        "events": null,
    })
}

/// Returns the JSON document of the extrinsic that submitted a call encrypted.
pub(super) fn shield_document(extrinsic: &SignedExtrinsic, outcome: &Outcome) -> Value {
    json!({
        "extrinsic": extrinsic.hash,
        "outcome": outcome_name(outcome),
        "fee_rao": outcome.inclusion().and_then(|inclusion| inclusion.fee),
    })
}

/// Returns whether the call succeeded, and is finalized if the caller requires finality.
pub(super) fn is_complete(outcome: &Outcome, until: Until) -> bool {
    outcome.is_success() && not_final(outcome, until).is_none()
}

/// Returns the inclusion of a successful call that is not finalized, if the caller requires
/// finality.
fn not_final(outcome: &Outcome, until: Until) -> Option<&Inclusion> {
    match outcome {
        Outcome::Included(inclusion) if until == Until::Finalized && inclusion.result.is_ok() => {
            Some(inclusion)
        }
        _ => None,
    }
}

fn not_final_text(inclusion: &Inclusion) -> String {
    format!("in block {} but not finalized", inclusion.block)
}

fn outcome_name(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Included(_) => "included",
        Outcome::Finalized(_) => "finalized",
        Outcome::Dropped => "dropped",
        Outcome::Superseded => "superseded",
        Outcome::Invalid(_) => "invalid",
        Outcome::Expired { .. } => "expired",
        _ => "unknown",
    }
}

/// Returns the JSON error of an outcome: a machine-readable name and a message.
fn outcome_error(outcome: &Outcome) -> Value {
    let (name, message) = match outcome {
        Outcome::Included(inclusion) | Outcome::Finalized(inclusion) => match &inclusion.result {
            Ok(()) => return Value::Null,
            Err(error) => return dispatch_error(error),
        },
        Outcome::Invalid(reason) => (refusal_name(reason), reason.to_string()),
        Outcome::Unknown(reason) => ("Unknown".to_owned(), reason.to_string()),
        other => return json!({ "name": outcome_name(other), "message": outcome_name(other) }),
    };
    json!({ "name": name, "message": message })
}

/// Returns the JSON error of a failed call.
fn dispatch_error(error: &DispatchError) -> Value {
    let name = match error {
        DispatchError::Module { pallet, name, .. } => format!("{pallet}.{name}"),
        DispatchError::Other(name) => name.clone(),
        _ => "Dispatch".to_owned(),
    };
    json!({ "name": name, "message": error.to_string() })
}

/// Returns the JSON error of a dry run: the transaction pool rejects the extrinsic, or the
/// simulated call fails.
pub(super) fn dry_run_error(dry_run: &DryRun) -> Value {
    match (&dry_run.validity, simulated_error(dry_run)) {
        (Err(reason), _) => {
            json!({ "name": refusal_name(reason), "message": reason.to_string() })
        }
        (Ok(()), Some(error)) => dispatch_error(error),
        (Ok(()), None) => Value::Null,
    }
}

fn simulated_error(dry_run: &DryRun) -> Option<&DispatchError> {
    dry_run.effect.as_ref().and_then(|effect| effect.result.as_ref().err())
}

/// Returns whether the transaction pool accepts the extrinsic, and its call succeeds if it was
/// simulated.
pub(super) fn would_succeed(dry_run: &DryRun) -> bool {
    dry_run.validity.is_ok() && simulated_error(dry_run).is_none()
}

/// Returns an error with a hint, unless the dry run succeeded.
pub(super) fn check_dry_run(dry_run: &DryRun) -> anyhow::Result<()> {
    if let Err(reason) = &dry_run.validity {
        return Err(refusal_error(reason));
    }
    match simulated_error(dry_run) {
        Some(error) => Err(dispatch_failure("the call would fail", error)),
        None => Ok(()),
    }
}

/// Returns the name of a rejection, such as `BadSignature` or `Custom(6)`.
fn refusal_name(reason: &RefusalReason) -> String {
    match reason {
        RefusalReason::Custom { code, .. } => format!("Custom({code})"),
        RefusalReason::Unreadable { .. } => "Unreadable".to_owned(),
        RefusalReason::Other { code, .. } => format!("Rpc({code})"),
        other => format!("{other:?}"),
    }
}

/// Returns a one-line summary of an outcome.
pub(super) fn summary_line(outcome: &Outcome) -> String {
    let Some(inclusion) = outcome.inclusion() else { return outcome_name(outcome).to_owned() };
    let fee = inclusion.fee.map_or_else(|| "free".to_owned(), |fee| format!("fee {fee} TAO"));
    format!("{} in block {}, {fee}", outcome_name(outcome), inclusion.block)
}

/// Returns the hint for a call that may still be included: signing again before its era ends could
/// execute it twice.
fn wait_hint(extrinsic: &SignedExtrinsic) -> String {
    match extrinsic.last_block {
        Some(block) => {
            format!("check the chain before you retry; the call expires after block {block}")
        }
        None => "check the chain before you retry".to_owned(),
    }
}

/// Returns an error with a hint and an exit code, unless the call succeeded.
pub(super) fn check(
    extrinsic: &SignedExtrinsic,
    outcome: &Outcome,
    until: Until,
) -> anyhow::Result<()> {
    let hash = extrinsic.hash;
    if let Some(inclusion) = not_final(outcome, until) {
        let text = not_final_text(inclusion);
        let text = format!(
            "{hash} is {text}\nhint: a reorg can still revert it; check the chain before you retry"
        );
        return Err(ClassifiedError::error(Failure::Undecided, text));
    }
    let text = match outcome {
        Outcome::Included(inclusion) | Outcome::Finalized(inclusion) => {
            return check_inclusion(outcome, inclusion);
        }
        Outcome::Invalid(reason) => return Err(refusal_error(reason)),
        Outcome::Unknown(reason) => {
            let is_network = matches!(reason, UnknownReason::Unreachable { .. });
            let failure = if is_network { Failure::Network } else { Failure::Undecided };
            let prefix = format!("the outcome of {hash} is unknown");
            return Err(QuotingError::error(
                Some(failure),
                &prefix,
                &reason.to_string(),
                Some(&wait_hint(extrinsic)),
            ));
        }
        Outcome::Dropped => {
            format!(
                "the node dropped {hash} from its transaction pool\nhint: {}",
                wait_hint(extrinsic)
            )
        }
        Outcome::Superseded => {
            format!(
                "{hash} was replaced by another call with the same nonce and had no effect\nhint: retry"
            )
        }
        Outcome::Expired { last_block } => {
            format!("{hash} expired at block {last_block} without being included\nhint: retry")
        }
        _ => format!("the outcome of {hash} is unknown\nhint: {}", wait_hint(extrinsic)),
    };
    Err(ClassifiedError::error(Failure::Undecided, text))
}

/// Returns an error with a hint, unless the included call succeeded.
fn check_inclusion(outcome: &Outcome, inclusion: &Inclusion) -> anyhow::Result<()> {
    let Err(error) = &inclusion.result else { return Ok(()) };
    Err(dispatch_failure(
        &format!("the call failed, {} in block {}", outcome_name(outcome), inclusion.block),
        error,
    ))
}

/// Creates the error for a failed call, with the hint for its error.
fn dispatch_failure(prefix: &str, error: &DispatchError) -> anyhow::Error {
    let hint = match error {
        DispatchError::Module { name, .. } | DispatchError::Other(name) => error_hint(name),
        _ => None,
    };
    QuotingError::error(Some(Failure::Rejected), prefix, &error.to_string(), hint)
}

/// Prints the outcome of a call that a localnet included on behalf of an account, and returns an
/// error if it failed.
pub fn report_impersonated_call(
    account: AccountId,
    outcome: &Outcome,
    context: &Context,
) -> anyhow::Result<()> {
    let Some(inclusion) = outcome.inclusion() else {
        anyhow::bail!("the localnet did not include the call")
    };
    if context.json {
        context.print_json(&json!({
            "account": account,
            "success": outcome.is_success(),
            "error": outcome_error(outcome),
            "block": block_json(inclusion.block),
            "index": inclusion.index,
            "fee_rao": inclusion.fee,
            "events": inclusion.events,
        }))?;
    } else if outcome.is_success() {
        context.print(&format!("call of {account}: {}", summary_line(outcome)))?;
    }
    check_inclusion(outcome, inclusion)
}

/// Creates the error for an extrinsic that the transaction pool rejected.
pub(super) fn refusal_error(reason: &RefusalReason) -> anyhow::Error {
    let is_bad_signature = matches!(reason, RefusalReason::BadSignature);
    let failure = if is_bad_signature { Failure::Authentication } else { Failure::Rejected };
    let hint = match reason {
        RefusalReason::Payment => Some("check the account with `tao balance`"),
        RefusalReason::Custom { code, .. } => {
            CUSTOM_HINTS.iter().find(|(custom_code, _)| custom_code == code).map(|(_, hint)| *hint)
        }
        _ => None,
    };
    QuotingError::error(Some(failure), "the node rejected the call", &reason.to_string(), hint)
}

fn error_hint(name: &str) -> Option<&'static str> {
    HINTS.iter().find(|(error, _)| *error == name).map(|(_, hint)| *hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The pool does not say how long to wait.
    #[test]
    fn custom_error_6_is_explained_with_its_wait() {
        let error = refusal_error(&RefusalReason::custom(6)).to_string();
        let (message, hint) = error.split_once("\nhint: ").unwrap();
        assert_eq!(
            message,
            "the node rejected the call: the rate limit is exceeded (custom error 6)"
        );
        for wait in [
            "wait for the rate limit",
            "weights_rate_limit of `tao subnets hyperparameters N`",
            "150 blocks between",
        ] {
            assert!(hint.contains(wait), "{hint}");
        }
    }
}
