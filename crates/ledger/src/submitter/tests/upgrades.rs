//! Tests of runtime upgrades during a submission.

use super::*;

#[tokio::test]
async fn extrinsic_of_older_runtime_is_re_signed_with_its_nonce() {
    for was_sent in [false, true] {
        let fixture = Fixture::plain();
        if was_sent {
            fixture.chain.script([Script::LoseRequest]);
            fixture.start().await.submit(fixture.weights().await).await.unwrap();
        } else {
            fixture
                .crash(Step::Submit, StepProgress::ExtrinsicStored, Some(fixture.weights().await))
                .await;
        }
        fixture.chain.set_spec_version(2);
        let submitter = fixture.start().await;
        let done = advance(&submitter).await;
        assert!(done.is_done(), "{was_sent}");
        let signed = submitter.ledger().extrinsics(&done.intent, Step::Submit).await.unwrap();
        let spec_versions: Vec<_> = signed
            .iter()
            .map(|one| (one.extrinsic.nonce, one.extrinsic.spec_version, one.state))
            .collect();
        assert_eq!(spec_versions, [(0, 1, State::Invalid), (0, 2, State::Finalized)]);
        assert_eq!(fixture.chain.included().len(), 1);
    }
}

#[tokio::test]
async fn upgrade_between_signing_and_sending_is_detected() {
    let fixture = Fixture::plain();
    let chain = fixture.chain.clone();
    let submitter = fixture.start().await.with_observer(Arc::new(move |_, _, progress| {
        if progress == StepProgress::Signed {
            chain.set_spec_version(2);
        }
    }));
    let refused = submitter.submit(fixture.weights().await).await.unwrap();
    assert_eq!(
        refused.submit.unwrap().outcome,
        Some(Outcome::Invalid(RefusalReason::BadSignature))
    );
    assert!(advance(&submitter).await.is_done());
    assert_eq!(fixture.chain.included().len(), 1);
}

#[tokio::test]
async fn extrinsic_included_before_upgrade_is_done() {
    let fixture = Fixture::plain();
    fixture.chain.script([Script::LoseResponse]);
    let submitter = fixture.start().await;
    submitter.submit(fixture.weights().await).await.unwrap();
    fixture.chain.set_spec_version(2);
    let done = advance(&submitter).await;
    assert!(done.is_done());
    assert_eq!(submitter.ledger().extrinsics(&done.intent, Step::Submit).await.unwrap().len(), 1);
    assert_eq!(fixture.chain.included().len(), 1);
}

#[tokio::test]
async fn only_the_included_of_two_extrinsics_with_one_nonce_counts() {
    let fixture = Fixture::plain();
    fixture.chain.set_finality_lag(6);
    let submitter = fixture.start().await;
    fixture.chain.script([Script::Refuse(rate_limit()), Script::LoseRequest]);
    let refused = submitter.submit(fixture.weights().await).await.unwrap();
    let retried = submitter.retry(&refused.intent.plan.key).await.unwrap();
    assert_eq!(submit_state(&retried), Some(State::Unknown));
    // A pool had accepted the first extrinsic after all.
    let first = refused.submit.unwrap().extrinsic;
    assert!(fixture.chain.submit(&first, Follow::default()).await.is_success());
    fixture.chain.mine(6);
    assert_eq!(submit_state(&advance(&submitter).await), Some(State::Superseded));
    assert_eq!(
        submit_state(&advance(&submitter).await),
        Some(State::Superseded),
        "nothing is signed beside the first"
    );
    fixture.chain.mine(128);
    let done = advance(&submitter).await;
    assert!(done.is_done());
    assert_eq!(done.submit.unwrap().extrinsic, first);
    assert_eq!(fixture.chain.included().len(), 1);
}
