//! Tests of reading a ledger that a submitter uses.

use super::*;
use crate::{IntentState, LedgerError, LedgerReader};

#[tokio::test]
async fn reader_returns_records_of_an_open_ledger() {
    let mut fixture = Fixture::plain();
    let missing = LedgerReader::open(&fixture.path().join("elsewhere")).await.unwrap_err();
    assert!(matches!(missing, LedgerError::Missing(_)), "{missing}");
    let start =
        SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs().cast_signed();
    let submitter = fixture.start().await;
    let reader = LedgerReader::open(fixture.path()).await.unwrap();
    assert_eq!(reader.latest(10).await.unwrap(), []);
    let first = submitter.submit(fixture.weights().await).await.unwrap();
    fixture.enter_next_epoch().await;
    let second = submitter.submit(fixture.weights().await).await.unwrap();

    let records = reader.latest(10).await.unwrap();
    let intents: Vec<_> = records.iter().map(|record| &record.intent).collect();
    assert_eq!(intents, [&second.intent, &first.intent]);
    for record in &records {
        assert_eq!(record.intent.state, IntentState::Done);
        assert!(record.intended_unix.is_some_and(|at| at >= start), "{record:?}");
        let [extrinsic] = &*record.extrinsics else { panic!("{record:?}") };
        assert_eq!((extrinsic.step, extrinsic.signed.state), (Step::Submit, State::Finalized));
        let states: Vec<_> = extrinsic.states.iter().map(|(state, _)| *state).collect();
        assert_eq!(
            (states.first(), states.last()),
            (Some(&State::Signed), Some(&State::Finalized)),
            "{states:?}"
        );
        assert!(states.contains(&State::Sent), "{states:?}");
        assert!(extrinsic.states.iter().all(|(_, at)| *at >= start));
    }
    assert_eq!(reader.latest(1).await.unwrap().len(), 1);
    // The reader does not hold the lock, but a second writer cannot acquire it.
    assert!(matches!(Ledger::open(fixture.path()).await, Err(LedgerError::Locked(_))));
}

#[tokio::test]
async fn ledger_of_another_version_is_rejected() {
    let fixture = Fixture::plain();
    drop(fixture.start().await);
    let ledger = Ledger::open(fixture.path()).await.unwrap();
    ledger.forge_version(99).await;
    let error = LedgerReader::open(fixture.path()).await.unwrap_err();
    assert!(matches!(error, LedgerError::Version { actual: 99, .. }), "{error}");
    assert!(error.to_string().contains("hint:"), "{error}");
}
