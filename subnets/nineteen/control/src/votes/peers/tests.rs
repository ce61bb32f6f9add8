use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use axum::http::StatusCode;
use axum::response::IntoResponse as _;
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};
use taonet_chain::Metagraph;
use taonet_chain::testing::{self, MockChain};
use taonet_http::testing::listen;
use taonet_nineteen_core::MarketConfig;
use taonet_primitives::{NetUid, Rao, Uid};
use taonet_service::system_clock;
use taonet_wallet::Keypair;

use super::*;
use crate::MarketFile;

const NETUID: NetUid = NetUid(19);

fn key(uri: &str) -> Keypair {
    Keypair::from_uri(uri).unwrap()
}

/// Returns the vote of a validator whose file enables this task only.
fn voter_for(uri: &str, task: &str) -> Voter {
    let mut config = MarketConfig::default();
    for configured in &mut config.tasks {
        configured.enabled = configured.task.as_str() == task;
    }
    Voter::new(key(uri), NETUID, MarketFile::from_config(config), system_clock())
}

/// Returns the document of a vote.
fn document(voter: &Voter) -> Value {
    serde_json::to_value(voter.ballot()).unwrap()
}

/// Starts a gateway that publishes a vote while `is_open` is set.
async fn gateway(vote: Value, is_open: &Arc<AtomicBool>) -> Url {
    let is_open = Arc::clone(is_open);
    let handler = move || {
        let response = if is_open.load(Ordering::SeqCst) {
            Json(vote.clone()).into_response()
        } else {
            StatusCode::SERVICE_UNAVAILABLE.into_response()
        };
        async move { response }
    };
    let address = listen(Router::new().route("/base/v1/vote", get(handler))).await;
    format!("http://{address}/base/").parse().unwrap()
}

/// Returns a chain whose subnet has neurons with these hotkeys, stakes in rao and permits.
fn chain(neurons: &[(&str, u64, bool)]) -> MockChain {
    let owner = key("//owner");
    let neurons =
        (0..).zip(neurons).map(|(uid, (uri, stake, validator_permit))| taonet_chain::Neuron {
            total_stake: Rao::new(*stake),
            validator_permit: *validator_permit,
            ..testing::neuron(Uid(uid), key(uri).hotkey(), owner.public().coldkey())
        });
    let neurons = neurons.collect();
    let chain = MockChain::default();
    chain.set_metagraph(Metagraph { neurons, ..testing::metagraph(NETUID, &owner) });
    chain
}

/// Votes count by the stake of validators with a permit. Forged votes, those for another subnet and
/// those in too large a response do not, and votes remain while their gateways fail.
#[tokio::test]
async fn signed_votes_count_by_stake() {
    let chain = chain(&[
        ("//Alice", 100, true),
        ("//Bob", 300, true),
        ("//Charlie", 9_000, false),
        ("//Dave", 9_000, true),
    ]);
    let is_open = Arc::new(AtomicBool::new(true));
    let mut forged = document(&voter_for("//Dave", "avatar"));
    forged["weights"]["avatar"] = json!(7);
    let mut oversized = document(&voter_for("//Dave", "avatar"));
    oversized["padding"] = json!("a".repeat(MAX_RESPONSE_BYTES));
    let market = MarketFile::from_config(MarketConfig::default());
    let other_subnet_voter = Voter::new(key("//Dave"), NetUid(1), market.clone(), system_clock());
    let mut peers = Vec::new();
    for vote in [
        document(&voter_for("//Bob", "avatar")),
        document(&voter_for("//Charlie", "chat-llama-3-2-3b")),
        document(&voter_for("//stranger", "chat-llama-3-2-3b")),
        forged,
        oversized,
        document(&other_subnet_voter),
        json!({"hotkey": 7}),
    ] {
        peers.push(gateway(vote, &is_open).await);
    }
    let own_voter = Voter::new(key("//Alice"), NETUID, market.clone(), system_clock());
    let mut votes = PeerVotes::new(&peers, own_voter, Arc::new(chain)).unwrap();
    let weights = || {
        let config = market.reload();
        ["avatar", "chat-llama-3-2-3b"].map(|task| config.task(task).unwrap().weight)
    };
    // Alice votes for the default weights, which sum to 1.04, and Bob, with three times the stake,
    // for one task.
    let initial_config = MarketConfig::default();
    let own_share = |task: &str| initial_config.task(task).unwrap().weight / 1.04 / 4.0;
    let expected = [own_share("avatar") + 0.75, own_share("chat-llama-3-2-3b")];
    for is_served in [true, false] {
        is_open.store(is_served, Ordering::SeqCst);
        assert_eq!(votes.fetch().await.unwrap(), 2, "{is_served}");
        for (actual, expected) in weights().into_iter().zip(expected) {
            // Votes are in millionths.
            assert!((actual - expected).abs() < 1e-5, "{is_served}: {actual}, expected {expected}");
        }
    }
}

#[test]
fn older_vote_does_not_replace_a_newer_one() {
    let ballot_at = |seconds: u64| {
        let clock = Arc::new(move || SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
        let market = MarketFile::from_config(MarketConfig::default());
        Voter::new(key("//Bob"), NETUID, market, clock).ballot()
    };
    let mut ballots = HashMap::new();
    for (seconds, newest) in [(100, 100), (90, 100), (101, 101)] {
        keep_newest(&mut ballots, ballot_at(seconds));
        let created: Vec<_> = ballots.values().map(Ballot::created).collect();
        assert_eq!(created, [newest]);
    }
}
