use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::UNIX_EPOCH;

use axum::Router;
use http::StatusCode;
use taonet_primitives::{BlockNumber, Hotkey};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use super::*;
use crate::query::query;
use crate::request_hash::RequestHash;
use crate::scores::{Averaging, CompletedStep, StepResults};
use crate::testing::{NETUID, SumRequest, chain, entry, key, listen, neuron};

#[test]
fn random_selection_has_the_requested_size_and_no_miner_twice() {
    let miners: Vec<_> =
        (0..5).map(|uid| Neuron::new(Uid(uid), key("//miner").hotkey(), None)).collect();
    let select_miners = |selection: Selection| {
        let selected = selection.choose(miners.clone());
        let uids: BTreeSet<_> = selected.iter().map(|miner| miner.uid).collect();
        assert_eq!(uids.len(), selected.len(), "{selection:?}");
        uids
    };
    for (selection, count) in [
        (Selection::All, 5),
        (Selection::Random(0), 0),
        (Selection::Random(3), 3),
        (Selection::Random(9), 5),
    ] {
        assert_eq!(select_miners(selection).len(), count, "{selection:?}");
    }
    let selected: BTreeSet<_> =
        (0..200).flat_map(|_| select_miners(Selection::Random(1))).collect();
    assert_eq!(selected.len(), 5, "each miner is chosen at times");
}

/// Columns: alpha · maximum age of scores in epochs of 100 blocks · whether an interval of an hour
/// is valid with both
#[test]
fn out_of_range_settings_are_refused() {
    for (alpha, max_score_epochs, is_valid) in [
        (0.1, 4, true),
        (1.0, 4, true),
        (0.0, 4, false),
        (-0.1, 4, false),
        (1.1, 4, false),
        (f64::NAN, 4, false),
        (f64::INFINITY, 4, false),
        // 300 blocks take an hour: between two steps, scores would be too old.
        (0.1, 3, false),
        (0.1, 0, false),
        (0.1, u32::MAX, true),
    ] {
        let interval = Duration::from_hours(1);
        let settings = ValidatorSettings {
            interval,
            alpha,
            max_score_epochs,
            ..ValidatorSettings::new(NETUID)
        };
        assert_eq!(settings.validate().is_ok(), is_valid, "{alpha} {max_score_epochs}");
    }
    assert!(ValidatorSettings::new(NETUID).validate().is_ok());
}

/// The client's own limit is 16 MiB.
#[tokio::test]
async fn configured_response_limit_overrides_client_default() {
    let body = format!("{}{}", " ".repeat(17 << 20), SumRequest::THREE);
    let miner =
        listen(Router::new().fallback(move || std::future::ready((StatusCode::OK, body.clone()))))
            .await;
    let miners = [entry(0, key("//miner").hotkey(), miner.port())];
    for (max_response_bytes, is_read) in [(18 << 20, true), (16 << 20, false)] {
        let query_limits = QueryLimits { max_response_bytes, ..QueryLimits::default() };
        let addresses = AddressPolicy::private();
        let settings =
            ValidatorSettings { query: query_limits, addresses, ..ValidatorSettings::new(NETUID) };
        let client = client::<SumRequest>(key("//validator"), &settings).unwrap();
        let replies =
            query(&client, &miners, &SumRequest::ONE_AND_TWO, settings.query).await.unwrap();
        assert_eq!(replies[0].response.is_ok(), is_read, "{max_response_bytes}: {replies:?}");
    }
}

/// A challenge whose requests block their thread until the test releases it.
struct BlockingChallenge {
    reward_started: UnboundedSender<()>,
    release: Mutex<Receiver<()>>,
}

impl BlockingChallenge {
    fn wait(&self) {
        let _ = self.reward_started.send(());
        let _ = self.release.lock().unwrap().recv();
    }
}

impl Challenge for BlockingChallenge {
    type Request = SumRequest;

    async fn request(&self, _: &[MinerEntry]) -> Result<SumRequest, BoxError> {
        self.wait();
        Ok(SumRequest::ONE_AND_TWO)
    }

    async fn rewards(
        &self,
        _: &SumRequest,
        replies: &[Reply<SumRequest>],
    ) -> Result<Vec<f64>, BoxError> {
        Ok(vec![0.0; replies.len()])
    }
}

/// Writes the state of a validator that has scores and has processed the first epoch.
async fn write_state(directory: &Path, miner: Hotkey) {
    let results = StepResults {
        step: CompletedStep { block: BlockNumber::new(10), started_at: UNIX_EPOCH },
        request: RequestHash::from_bytes([0; 32]),
        rewards: BTreeMap::from([(miner, 1.0)]),
        registered: BTreeMap::from([(miner, Uid(0))]),
    };
    let scores = Scores::open(&directory.join("scores.sqlite"), NETUID).await.unwrap();
    scores.update(&results, Averaging { alpha: 1.0, absence: 100 }).await.unwrap();
    let state = r#"{ "version": 1, "last_epoch": 0, "last_set": null, "policy": {} }"#;
    std::fs::write(directory.join("epochs.json"), state).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn weights_are_submitted_while_a_challenge_blocks_its_thread() {
    let directory = tempfile::tempdir().unwrap();
    write_state(directory.path(), key("//miner").hotkey()).await;
    let chain = chain(10, vec![neuron(0, "//miner", None), neuron(1, "//validator", None)]);
    let (reward_started, mut reward_starts) = unbounded_channel();
    let (release, receiver): (Sender<()>, _) = channel();
    let challenge = BlockingChallenge { reward_started, release: Mutex::new(receiver) };
    let (client, shutdown): (Arc<dyn Chain>, _) = (Arc::new(chain.clone()), Shutdown::new());
    let settings = ValidatorSettings::new(NETUID);
    let result = Validator::open(
        challenge,
        key("//validator"),
        client,
        directory.path(),
        settings,
        &shutdown,
    )
    .await;
    let (validator, stop) = (result.unwrap(), shutdown.clone());
    shutdown.spawn("validator", async move { validator.run(&stop).await });
    reward_starts.recv().await.unwrap();
    assert_eq!(chain.submitted().len(), 0, "no epoch is due");
    chain.mine(100);
    let first_submission = async {
        while chain.submitted().is_empty() {
            // The epoch loop may have waited for a block only now.
            chain.mine(1);
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    let is_submitted = tokio::time::timeout(Duration::from_mins(1), first_submission).await.is_ok();
    drop(release);
    shutdown.request();
    shutdown.finished().await.unwrap();
    assert!(is_submitted);
}
