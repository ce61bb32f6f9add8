use std::time::{Duration, SystemTime};

use axum::body::{Body, to_bytes};
use axum::http::Request;
use axum::http::header::HOST;
use taonet_chain::testing::{MockChain, weight_rules};
use taonet_chain::{
    Chain as _, DispatchError, Metagraph, Outcome, RefusalReason, WeightRow, WeightRules,
};
use taonet_ledger::{Ledger, LedgerReader, NewWeights, Record, State, Submitter};
use taonet_primitives::{BlockNumber, Hotkey, MechId, NetUid, Uid};
use taonet_service::unix_time;
use taonet_wallet::Keypair;
use tempfile::TempDir;
use tower::ServiceExt as _;

use super::compare::{compare, faults};
use super::*;
use crate::access::Access;
use crate::base_path::BasePath;
use crate::chain::tests::{full_section, neuron, section_with, subnet};
use crate::site::Dashboard;

const NETUID: NetUid = NetUid(59);

fn validator() -> Keypair {
    Keypair::from_uri("//Alice").unwrap()
}

/// Returns a ledger with one submission of these weights, in a finalized block.
async fn submitted_weights(weights: WeightRow) -> (TempDir, Vec<Record>) {
    let rules = WeightRules { neurons: 256, ..weight_rules(100, None) };
    let (chain, directory) = (MockChain::default(), tempfile::tempdir().unwrap());
    chain.set_weight_rules(NETUID, rules);
    chain.mine(10);
    let ledger = Ledger::open(directory.path()).await.unwrap();
    let submitter = Submitter::new(ledger, Arc::new(chain.clone()), validator()).await.unwrap();
    let state_block = chain.head().await.unwrap().number;
    let weights =
        NewWeights { netuid: NETUID, mech: MechId(0), weights, version_key: 0, state_block };
    submitter.submit(weights).await.unwrap();
    let records = LedgerReader::open(directory.path()).await.unwrap().latest(10).await.unwrap();
    (directory, records)
}

/// Returns the page of 50 submissions with weights for 256 neurons, and the pages of the chain that
/// holds them.
pub(crate) async fn full_sections() -> (Arc<WeightsSection>, Arc<ChainSection>) {
    let (_directory, records) =
        submitted_weights((0..256).map(|uid| (Uid(uid), 100 + uid)).collect()).await;
    let chain = full_section(validator().hotkey());
    let section = WeightsSection::new(Some(Arc::clone(&chain)));
    section.source.set(source::State { records: vec![records[0].clone(); 50], problem: None });
    (section, chain)
}

/// Returns the panel of one submission.
pub(crate) async fn panel() -> Panel {
    let (_directory, mut records) = submitted_weights(vec![(Uid(1), 65_535)]).await;
    let now = i64::try_from(unix_time(SystemTime::now()).as_secs()).unwrap();
    for record in &mut records {
        record.intended_unix = Some(now - 3 * 86_400 - 3_600);
    }
    page::panel(&source::State { records, problem: None }, None)
}

/// Returns the subnet at a block, with the validator as its first neuron.
fn metagraph(block: u32, hotkey: Hotkey, weights: WeightRow) -> Metagraph {
    let mut metagraph = subnet();
    metagraph.block.number = BlockNumber::new(block);
    metagraph.neurons[0] = taonet_chain::Neuron { hotkey, ..neuron(0) };
    metagraph.weights = Some(vec![weights]);
    metagraph
}

#[tokio::test]
async fn differing_weights_on_chain_are_a_fault_with_hint() {
    let (_directory, records) = submitted_weights(vec![(Uid(1), 65_535), (Uid(2), 6_553)]).await;
    let hotkey = validator().hotkey();
    // The chain may hold the weights at a different scale.
    for (weights, is_equal) in [
        (vec![(Uid(1), 65_535), (Uid(2), 6_553)], true),
        (vec![(Uid(2), 3_276), (Uid(1), 32_767)], true),
        (vec![(Uid(1), 65_535)], false),
        (vec![(Uid(1), 65_535), (Uid(2), 6_553), (Uid(3), 9)], false),
        (vec![], false),
    ] {
        let metagraph = metagraph(1_000, hotkey, weights.clone());
        let comparison = compare(&records, &metagraph).unwrap();
        assert_eq!((comparison.epoch, comparison.is_equal()), (7, is_equal), "{weights:?}");
        let faults = faults(&records, Some(&metagraph));
        assert_eq!(faults.is_empty(), is_equal, "{faults:?}");
        assert!(faults.iter().all(|fault| fault.contains("hint: ")), "{faults:?}");
    }
    // A metagraph that is older than the submission yields no comparison.
    assert_eq!(compare(&records, &metagraph(5, hotkey, vec![])), None);
    let unknown = faults(&records, Some(&metagraph(1_000, Hotkey::from_bytes([9; 32]), vec![])));
    assert!(unknown.iter().any(|fault| fault.contains("is not registered")), "{unknown:?}");
}

/// Returns a page of the section.
async fn page(section: &Arc<WeightsSection>, path: &str) -> String {
    let dashboard = Dashboard::new(Access::Local, BasePath::default(), Changes::default());
    let router = dashboard.with(Arc::clone(section) as _).router(Shutdown::new());
    let request = Request::get(path).header(HOST, "localhost").body(Body::empty()).unwrap();
    let response = router.oneshot(request).await.unwrap();
    String::from_utf8(to_bytes(response.into_body(), 1 << 22).await.unwrap().to_vec()).unwrap()
}

#[tokio::test]
async fn differing_weight_row_is_red_with_hint() {
    let (directory, _) = submitted_weights(vec![(Uid(1), 65_535), (Uid(2), 6_553)]).await;
    for (weights, differing) in [
        (vec![(Uid(1), 65_535), (Uid(2), 6_553)], &[][..]),
        (vec![(Uid(1), 65_535), (Uid(2), 900)], &[2]),
        (vec![(Uid(2), 6_553), (Uid(3), 65_535)], &[1, 3]),
    ] {
        let chain = section_with(metagraph(1_000, validator().hotkey(), weights));
        let section = WeightsSection::new(Some(chain));
        section.read(directory.path(), &Changes::default()).await;
        let body = page(&section, "/weights").await;
        let mut red_uids = Vec::new();
        for row in body.split("<tr").filter(|row| row.contains("/chain/")) {
            let is_red = row.starts_with(" class=\"problem-row\"");
            assert_eq!(is_red, row.contains("<span class=\"badge bad\">differs</span>"), "{row}");
            let (uid, _) = row.split_once("Neuron ").unwrap().1.split_once('<').unwrap();
            red_uids.extend(is_red.then(|| uid.parse::<u16>().unwrap()));
        }
        red_uids.sort_unstable();
        assert_eq!(red_uids, differing, "{body}");
        let hint = "Hint: if another program sets weights with this hotkey, stop it";
        for part in ["the chain holds different weights", "Weights are not in effect", hint] {
            assert_eq!(body.contains(part), !differing.is_empty(), "{part}: {body}");
        }
        assert_eq!(page(&section, "/").await.contains(hint), !differing.is_empty(), "the overview");
    }
    assert!(
        include_str!("../../assets/page.css")
            .contains("tr.problem-row > * { background: var(--bad-soft)")
    );
}

/// The messages contain HTML and terminal control characters.
#[tokio::test]
async fn node_messages_are_escaped() {
    const INJECTION: &str = "<script>alert(1)</script>\u{202e}\u{1b}[2J";
    let (_directory, records) = submitted_weights(vec![(Uid(1), 65_535)]).await;
    let refused = RefusalReason::Other { code: 1, message: INJECTION.into() };
    let mut failed = records[0].extrinsics[0].signed.outcome.clone().unwrap();
    let Outcome::Finalized(inclusion) = &mut failed else { panic!("{failed:?}") };
    inclusion.result = Err(DispatchError::Other(INJECTION.into()));
    for (state, outcome) in [(State::Invalid, Outcome::Invalid(refused)), (State::Failed, failed)] {
        let mut records = records.clone();
        let signed = &mut records[0].extrinsics.last_mut().unwrap().signed;
        (signed.state, signed.outcome) = (state, Some(outcome));
        let section = WeightsSection::new(None);
        section.source.set(source::State { records, problem: Some(INJECTION.into()) });
        // The overview begins with a list of problems.
        for (path, messages) in [("/", 3), ("/weights", 2)] {
            let body = page(&section, path).await;
            assert!(
                !body.contains("<script>") && !body.contains(['\u{202e}', '\u{1b}']),
                "{path}: {body}"
            );
            assert_eq!(body.matches("&lt;script&gt;alert(1)").count(), messages, "{path}: {body}");
        }
    }
}

#[tokio::test]
async fn page_shows_submission_steps_or_missing_ledger() {
    let (directory, _) = submitted_weights(vec![(Uid(1), 65_535)]).await;
    let section = WeightsSection::new(None);
    let (changes, shutdown) = (Changes::default(), Shutdown::new());
    let page = async |path: &str| page(&section, path).await;
    let follow = async |path: &std::path::Path| {
        let mut revision = changes.subscribe();
        tokio::select! {
            () = section.follow(path, &changes, &shutdown) => panic!("the section stopped following the ledger"),
            changed = tokio::time::timeout(Duration::from_mins(1), revision.changed()) => changed.unwrap().unwrap(),
        }
    };
    follow(&directory.path().join("elsewhere")).await;
    let body = page("/weights").await;
    assert!(body.contains("there is no weight ledger at") && body.contains("Hint: "), "{body}");
    follow(directory.path()).await;
    let body = page("/weights").await;
    for part in ["plain", "done", "submit", "--chain", "Neuron 1</th><td class=\"num\">100.0 %"] {
        assert!(body.contains(part), "{part}: {body}");
    }
    assert!(!body.contains("there is no weight ledger at"), "{body}");
    assert!(page("/").await.contains("Epoch <strong>7</strong>"));
}
