//! Submission of extrinsics to the mock chain.

use taonet_primitives::BlockNumber;

use super::{MockChain, Script, SubmittedExtrinsic};
use crate::{Follow, Outcome, RefusalReason, SignedExtrinsic, UnknownReason, Until};

impl MockChain {
    pub(crate) fn submit_immediately(
        &self,
        extrinsic: &SignedExtrinsic,
        follow: Follow,
    ) -> Outcome {
        let mut state = self.state();
        let unreachable = Outcome::Unknown(UnknownReason::Unreachable {
            error: "the mock is unreachable".into(),
        });
        if state.unreachable {
            return unreachable;
        }
        let call = state.signed_calls.get(&extrinsic.hash).cloned();
        state.submitted.push(SubmittedExtrinsic { extrinsic: extrinsic.clone(), call });
        let head = state.head().number;
        if let Some(outcome) = state.outcome_of(extrinsic.hash, BlockNumber::new(0), head) {
            return outcome;
        }
        let is_used =
            |to| state.extrinsic_with_nonce(extrinsic.signer, extrinsic.nonce, to).is_some();
        if is_used(state.finalized) {
            return Outcome::Superseded;
        }
        if let Some(last_block) = extrinsic.last_block.filter(|last| *last <= state.finalized) {
            return Outcome::Expired { last_block };
        }
        // Blocks that are not finalized prove nothing: a fork may revert them.
        if is_used(head) || extrinsic.last_block.is_some_and(|last| last <= head) {
            return Outcome::Unknown(UnknownReason::NotYetIncluded { seen: state.finalized });
        }
        let refuse = |reason: RefusalReason| {
            let is_permanent = reason.is_permanent() && !follow.sent_before;
            if is_permanent {
                Outcome::Invalid(reason)
            } else {
                Outcome::Unknown(UnknownReason::Refused(reason))
            }
        };
        if extrinsic.spec_version != state.spec_version {
            return refuse(RefusalReason::BadSignature);
        }
        match state.script.pop_front().unwrap_or(Script::Include) {
            Script::Include => state.include(extrinsic, Ok(())),
            Script::Fail(error) => state.include(extrinsic, Err(error)),
            Script::Refuse(reason) => return refuse(reason),
            Script::Drop => return Outcome::Dropped,
            Script::LoseResponse => {
                state.include(extrinsic, Ok(()));
                self.inner.heads.send_replace(Some(state.head()));
                return unreachable;
            }
            Script::LoseRequest => {
                state.submitted.pop();
                return unreachable;
            }
        }
        if follow.until == Until::Finalized {
            for _ in 0..state.finality_lag {
                state.push_block(Vec::new());
            }
        }
        let head = state.head();
        self.inner.heads.send_replace(Some(head));
        let unknown = Outcome::Unknown(UnknownReason::NotYetIncluded { seen: head.number });
        state.outcome_of(extrinsic.hash, BlockNumber::new(0), head.number).unwrap_or(unknown)
    }
}
