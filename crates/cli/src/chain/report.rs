//! What became of a call, for programs and for people.

use serde_json::{Value, json};
use taonet_chain::{DispatchError, Inclusion, Outcome, RefusedBecause, SignedExtrinsic, UnknownBecause, Until};

use super::block_json;
use crate::exit::{Classified, Failure};
use crate::printable::printable;

/// What to do after errors that people meet.
const REMEDIES: [(&str, &str); 18] = [
    ("HotKeyNotRegisteredInSubNet", "register the hotkey: tao register --netuid N"),
    ("HotKeyNotRegisteredInNetwork", "register the hotkey: tao register --netuid N"),
    ("HotKeyAlreadyRegisteredInSubNet", "it has its uid already: tao metagraph N shows it"),
    ("NotEnoughBalanceToStake", "tao balance shows what the coldkey has"),
    ("CannotAffordLockCost", "tao balance shows what the coldkey has"),
    ("NotEnoughStakeToWithdraw", "tao stake list shows what there is"),
    ("SubtokenDisabled", "the subnet's owner starts it: tao subnets start N"),
    ("CommitRevealEnabled", "this subnet hides weights until later: tao weights set chooses that by itself"),
    ("CommitRevealDisabled", "this subnet takes weights in clear: tao weights set"),
    ("SettingWeightsTooFast", "wait for the rate limit: tao subnets hyperparameters N shows weights_rate_limit"),
    ("CommittingWeightsTooFast", "wait for the rate limit: tao subnets hyperparameters N shows weights_rate_limit"),
    ("NeuronNoValidatorPermit", "validators have a permit after an epoch with enough stake: tao stake add"),
    ("ServingRateLimitExceeded", "wait: tao subnets hyperparameters N shows serving_rate_limit"),
    ("IncorrectWeightVersionKey", "give the subnet's version key: tao subnets hyperparameters N shows weights_version"),
    ("SlippageTooHigh", "the price moved: give another --limit, or allow a part with --partial"),
    ("PriceLimitExceeded", "the price is beyond the limit already: give another --limit"),
    ("AmountTooLow", "the least amount to stake is 0.002 TAO"),
    ("RequireSudo", "sign with the chain's sudo key: on a localnet --key-uri //Alice"),
];

/// The document of a submission: the same keys whatever happened.
pub(super) fn document(extrinsic: &SignedExtrinsic, outcome: &Outcome, until: Until) -> Value {
    let inclusion = outcome.inclusion();
    let error = match not_final(outcome, until) {
        Some(inclusion) => json!({ "name": "NotFinal", "message": not_final_text(inclusion) }),
        None => error(outcome),
    };
    json!({
        "success": is_done(outcome, until),
        "outcome": name(outcome),
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

/// Whether it came to what was asked for.
pub(super) fn is_done(outcome: &Outcome, until: Until) -> bool {
    outcome.is_success() && not_final(outcome, until).is_none()
}

/// The block of a call that was to be final and is not.
fn not_final(outcome: &Outcome, until: Until) -> Option<&Inclusion> {
    match outcome {
        Outcome::Included(inclusion) if until == Until::Finalized && inclusion.result.is_ok() => Some(inclusion),
        _ => None,
    }
}

fn not_final_text(inclusion: &Inclusion) -> String {
    format!("in block {}, not final yet", inclusion.block)
}

fn name(outcome: &Outcome) -> &'static str {
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

/// What is wrong, with a name that programs can compare.
fn error(outcome: &Outcome) -> Value {
    let (name, message) = match outcome {
        Outcome::Included(inclusion) | Outcome::Finalized(inclusion) => match &inclusion.result {
            Ok(()) => return Value::Null,
            Err(error @ DispatchError::Module { pallet, name, .. }) => (format!("{pallet}.{name}"), error.to_string()),
            Err(error) => ("Dispatch".to_owned(), error.to_string()),
        },
        Outcome::Invalid(because) => (refusal_name(because), because.to_string()),
        Outcome::Unknown(because) => ("Unknown".to_owned(), because.to_string()),
        other => return json!({ "name": name(other), "message": name(other) }),
    };
    json!({ "name": name, "message": message })
}

/// What is wrong with an extrinsic that no pool takes.
pub(super) fn refusal(because: &RefusedBecause) -> Value {
    json!({ "name": refusal_name(because), "message": because.to_string() })
}

/// `BadSignature`, or `Custom(6)`.
fn refusal_name(because: &RefusedBecause) -> String {
    match because {
        RefusedBecause::Custom { code, .. } => format!("Custom({code})"),
        RefusedBecause::Unreadable { .. } => "Unreadable".to_owned(),
        RefusedBecause::Other { code, .. } => format!("Rpc({code})"),
        plain => format!("{plain:?}"),
    }
}

/// One line about a success.
pub(super) fn line(outcome: &Outcome) -> String {
    let Some(inclusion) = outcome.inclusion() else { return name(outcome).to_owned() };
    let fee = inclusion.fee.map_or_else(|| "free".to_owned(), |fee| format!("fee {fee} TAO"));
    format!("{} in block {}, {fee}", name(outcome), inclusion.block)
}

/// Nothing for a success; otherwise an error that says what to do, with the exit code.
pub(super) fn check(extrinsic: &SignedExtrinsic, outcome: &Outcome, until: Until) -> anyhow::Result<()> {
    let hash = extrinsic.hash;
    if let Some(inclusion) = not_final(outcome, until) {
        let text = not_final_text(inclusion);
        anyhow::bail!("{hash} is {text}: it may still be undone; look for it again before you repeat the call");
    }
    let last = extrinsic.last_block;
    // It may still be in a block: signing anew before its era has ended might do the thing twice.
    let wait = || match last {
        Some(block) => format!("look for it before you try again; after block {block} it can no longer happen"),
        None => "look for it before you try again".to_owned(),
    };
    let unknown = |because: &UnknownBecause| {
        format!("what became of {hash} is not known, {}: {}", printable(&because.to_string()), wait())
    };
    match outcome {
        Outcome::Included(inclusion) | Outcome::Finalized(inclusion) => match &inclusion.result {
            Ok(()) => Ok(()),
            Err(error) => {
                let remedy = match error {
                    DispatchError::Module { name, .. } => remedy(name),
                    _ => None,
                };
                let said = format!("{} in block {}: {}", name(outcome), inclusion.block, printable(&error.to_string()));
                let remedy = remedy.map(|remedy| format!("\n  {remedy}")).unwrap_or_default();
                Err(anyhow::anyhow!("the chain refused the call, {said}{remedy}"))
            }
        },
        Outcome::Invalid(because) => Err(refused(because)),
        Outcome::Dropped => Err(anyhow::anyhow!("the node's pool let go of {hash}: {}", wait())),
        Outcome::Superseded => Err(anyhow::anyhow!(
            "another call with the same nonce took the place of {hash}: nothing happened; try again"
        )),
        Outcome::Expired { last_block } => {
            Err(anyhow::anyhow!("{hash} was in no block up to {last_block}, its last: nothing happened; try again"))
        }
        Outcome::Unknown(because @ UnknownBecause::Unreachable { .. }) => {
            Err(Classified::error(Failure::Network, unknown(because)))
        }
        Outcome::Unknown(because) => Err(anyhow::anyhow!(unknown(because))),
        _ => Err(anyhow::anyhow!("what became of {hash} is not known: {}", wait())),
    }
}

/// An error for an extrinsic that no pool takes.
pub(super) fn refused(because: &RefusedBecause) -> anyhow::Error {
    let text = format!("the node refused the call, and nothing happened: {}", printable(&because.to_string()));
    match because {
        RefusedBecause::BadSignature => Classified::error(Failure::Authentication, text),
        RefusedBecause::Payment => anyhow::anyhow!("{text}; tao balance shows what the account has"),
        _ => anyhow::anyhow!(text),
    }
}

fn remedy(name: &str) -> Option<&'static str> {
    REMEDIES.iter().find(|(error, _)| *error == name).map(|(_, remedy)| *remedy)
}
