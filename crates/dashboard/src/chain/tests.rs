use axum::body::{Body, to_bytes};
use axum::http::Request;
use axum::http::header::HOST;
use taonet_chain::testing::{self, MockChain, weight_rules};
use taonet_chain::{
    Block, DispatchError, Event, Extrinsic, Hyperparameters, Metagraph, Neuron, Phase, Schedule,
    Subnet, WeightRow, WeightRules,
};
use taonet_primitives::{
    AccountId, Alpha, BlockHash, BlockNumber, Coldkey, ExtrinsicHash, Hotkey, MechId, Rao, Uid,
};
use tower::ServiceExt as _;

use super::contents::TruncatedList;
use super::*;
use crate::access::Access;
use crate::base_path::BasePath;
use crate::site::Dashboard;

mod explorer;

const NETUID: NetUid = NetUid(59);

pub(crate) fn neuron(uid: u16) -> Neuron {
    Neuron {
        validator_permit: uid == 0,
        total_stake: Rao::new(u64::from(uid) * 1_000_000_000),
        incentive: 1_000 - uid,
        last_update: BlockNumber::new(1),
        ..testing::neuron(
            Uid(uid),
            Hotkey::from_bytes([uid as u8; 32]),
            Coldkey::from_bytes([7; 32]),
        )
    }
}

pub(crate) fn subnet() -> Metagraph {
    Metagraph {
        netuid: NETUID,
        mech: MechId(0),
        block: Block { number: BlockNumber::new(5), hash: BlockHash::from_bytes([5; 32]) },
        name: "<script>alert(1)</script>".into(),
        symbol: "<b>".into(),
        tempo: 360,
        max_uids: 256,
        owner_hotkey: Hotkey::from_bytes([1; 32]),
        owner_coldkey: Coldkey::from_bytes([1; 32]),
        tao_in: Rao::new(0),
        alpha_in: Alpha::new(0),
        alpha_out: Alpha::new(0),
        burn: Rao::new(500_000_000),
        neurons: (0..100).map(neuron).collect(),
        weights: Some(vec![vec![(Uid(1), 65_535), (Uid(2), 100)]]),
        bonds: Some(vec![vec![]]),
    }
}

/// Returns a block without extrinsics and events.
fn empty_block(block: Block) -> contents::BlockContents {
    contents::BlockContents {
        block,
        read_unix: 0,
        time_unix: None,
        extrinsics: TruncatedList::default(),
        events: TruncatedList::default(),
    }
}

/// Returns the panels of a subnet with large numbers.
pub(crate) fn panels() -> Vec<Panel> {
    let mut metagraph = Metagraph { name: "Babelbit".into(), ..subnet() };
    for (neuron, divisor) in metagraph.neurons.iter_mut().zip(1..) {
        neuron.total_stake = Rao::new(1_234_567_890_123_456 / divisor);
        neuron.emission = Alpha::new(147_600_123_456 / divisor);
        neuron.last_update = BlockNumber::new(7_654_321);
    }
    let head = Block { number: BlockNumber::new(7_654_321), hash: BlockHash::from_bytes([5; 32]) };
    let block = Arc::new(empty_block(head));
    let state = source::State {
        blocks: [block].into(),
        metagraph: Some(Arc::new(metagraph)),
        ..source::State::default()
    };
    super::panels::from_state(&state)
}

/// Returns the pages of a chain with this metagraph.
pub(crate) fn section_with(metagraph: Metagraph) -> Arc<ChainSection> {
    let section = ChainSection::new(metagraph.netuid);
    section
        .source
        .set(source::State { metagraph: Some(Arc::new(metagraph)), ..source::State::default() });
    section
}

/// Returns the pages of a full subnet, of which the first neuron has this hotkey: 256 neurons, of
/// which 64 set weights on all, 32 epochs, 30 blocks, and 129 subnets.
pub(crate) fn full_section(hotkey: Hotkey) -> Arc<ChainSection> {
    let row: WeightRow = (0..256).map(|uid| (Uid(uid), 100 + uid)).collect();
    let rows =
        || (0..256).map(|uid| if uid < 64 { row.clone() } else { Vec::new() }).collect::<Vec<_>>();
    let mut neurons: Vec<_> = (0..256).map(neuron).collect();
    neurons[0].hotkey = hotkey;
    let results = |(neuron, bonds): (&Neuron, WeightRow)| epochs::NeuronResults {
        hotkey: neuron.hotkey,
        consensus: 0,
        incentive: neuron.incentive,
        dividends: 0,
        emission: neuron.emission,
        bonds,
    };
    let results: Vec<_> = neurons.iter().zip(rows()).map(results).collect();
    let block = BlockNumber::new;
    let epoch = |index: u32| {
        let read_at = Block { number: block(index * 10), hash: BlockHash::from_bytes([5; 32]) };
        let (index, block, neurons) = (index.into(), read_at.number, results.clone());
        Arc::new(epochs::EpochResults { index, block, read_at, neurons })
    };
    let contents = |number| {
        Arc::new(empty_block(Block { number: block(number), hash: BlockHash::from_bytes([5; 32]) }))
    };
    let mut metagraph =
        Metagraph { neurons, weights: Some(rows()), bonds: Some(rows()), ..subnet() };
    metagraph.block.number = block(1_000);
    let section = ChainSection::new(NETUID);
    section.source.set(source::State {
        blocks: (971..=1_000).rev().map(contents).collect(),
        metagraph: Some(Arc::new(metagraph)),
        subnets: Some((0..129).map(summary).collect()),
        schedule: Some(rules(32, 320).schedule),
        epochs: (1..=32).rev().map(epoch).collect(),
        ..source::State::default()
    });
    section
}

async fn get(router: &Router, path: &str) -> (u16, String) {
    let request = Request::get(path).header(HOST, "localhost").body(Body::empty()).unwrap();
    let response = router.clone().oneshot(request).await.unwrap();
    let status = response.status().as_u16();
    (
        status,
        String::from_utf8(to_bytes(response.into_body(), 1 << 22).await.unwrap().to_vec()).unwrap(),
    )
}

fn site(section: &Arc<ChainSection>, changes: &Changes) -> Router {
    let dashboard = Dashboard::new(Access::Local, BasePath::default(), changes.clone());
    dashboard.with(Arc::clone(section) as _).router(Shutdown::new())
}

/// Returns an extrinsic with long and hostile arguments.
fn extrinsic(
    index: u32,
    signer: Option<AccountId>,
    result: Result<(), DispatchError>,
) -> Extrinsic {
    Extrinsic {
        index,
        hash: ExtrinsicHash::from_bytes([9; 32]),
        signer,
        pallet: "SubtensorModule".into(),
        name: "set_weights".into(),
        args: serde_json::json!({ "dests": "<script>", "weights": vec![0; 1_000] }),
        fee: signer.map(|_| Rao::new(166_247)),
        result: Some(result),
    }
}

#[tokio::test(start_paused = true)]
async fn chain_section_recovers_from_node_failures() {
    let chain = MockChain::default();
    let (changes, section) = (Changes::default(), ChainSection::new(NETUID));
    let router = site(&section, &changes);
    assert!(get(&router, "/").await.1.contains("Connecting to the chain"));
    assert_eq!(get(&router, "/chain/0").await.0, 503);
    chain.set_unreachable(true);
    let mut reports = changes.subscribe();
    let follow = section.source.follow_blocks(&chain, NETUID, &changes);
    let watch = async {
        reports.changed().await.unwrap();
        assert!(get(&router, "/chain").await.1.contains("The chain cannot be read"));
        chain.set_unreachable(false);
        chain.set_metagraph(subnet());
        chain.mine(3);
        let fields = serde_json::json!({ "hotkey": "<script>", "weights": vec![0; 1_000] });
        let (pallet, name, phase) =
            ("SubtensorModule".into(), "WeightsSet".into(), Phase::ApplyExtrinsic(1));
        chain.record(Event { index: 0, phase, pallet, name, fields });
        chain.record_extrinsic(extrinsic(0, None, Ok(())));
        let refused = DispatchError::Other("<script>not enough stake".into());
        chain.record_extrinsic(extrinsic(1, Some(neuron(7).hotkey.into()), Err(refused)));
        chain.record_extrinsic(extrinsic(2, Some(AccountId::from_bytes([200; 32])), Ok(())));
        while section.source.state().metagraph.is_none() {
            reports.changed().await.unwrap();
        }
        let (status, body) = get(&router, "/chain").await;
        assert_eq!(status, 200);
        assert!(!body.contains("The chain cannot be read"), "{body}");
        assert!(!body.contains("<script>") && body.contains("&lt;script&gt;alert(1)"), "{body}");
        assert!(
            body.contains("/chain/blocks/3\"") && body.contains("3 extrinsics · 1 event · seen"),
            "{body}"
        );
        let (_, body) = get(&router, "/chain/blocks/3").await;
        let (extrinsics, body) = body.split_once("block-events").unwrap();
        let rows: Vec<_> = extrinsics.split("SubtensorModule.set_weights").skip(1).collect();
        assert!(rows[0].contains("unsigned") && rows[0].contains("badge ok"), "{extrinsics}");
        assert!(rows[1].contains("/chain/7\"") && rows[1].contains("badge bad"), "{extrinsics}");
        assert!(rows[1].contains("not enough stake"), "{extrinsics}");
        assert!(rows[2].contains("5Gby5Z…") && rows[2].contains("0,0…"), "{extrinsics}");
        assert!(
            !extrinsics.contains("<script>") && extrinsics.contains("&lt;script&gt;"),
            "{extrinsics}"
        );
        assert!(body.contains("SubtensorModule.WeightsSet") && body.contains("0,0,…"), "{body}");
        assert!(!body.contains("<script>") && body.contains("&lt;script&gt;"), "{body}");
        assert_eq!(
            get(&router, "/chain/blocks/2").await.0,
            503,
            "a block before the first read, without a reader"
        );
        chain.mine(3);
        chain.set_unknown_events(true);
        chain.mine(1);
        while section.source.state().blocks.len() < 5 {
            reports.changed().await.unwrap();
        }
        let (_, body) = get(&router, "/chain").await;
        assert!(
            body.contains("events unreadable · seen") && !body.contains("The chain cannot be read"),
            "{body}"
        );
        assert_eq!(
            get(&router, "/chain/blocks/5").await.0,
            200,
            "a block that was never the newest at a read"
        );
        let (_, body) = get(&router, "/chain/blocks/7").await;
        assert!(body.contains("cannot decode System.Events from the chain"), "{body}");
        chain.set_unreachable(true);
        chain.mine(1);
        while section.source.state().problem.is_none() {
            tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        }
        assert!(
            get(&router, "/chain/1").await.1.contains("Weights set on the neuron"),
            "the last data stays"
        );
    };
    tokio::select! { () = follow => panic!("the connection ended"), () = watch => {} }
}

#[tokio::test]
async fn neurons_are_sorted_filtered_and_paged() {
    let (changes, section) = (Changes::default(), ChainSection::new(NETUID));
    section
        .source
        .set(source::State { metagraph: Some(Arc::new(subnet())), ..source::State::default() });
    let router = site(&section, &changes);
    let first = |body: &str| {
        body.split("mono\" href=\"/chain/")
            .nth(1)
            .and_then(|rest| rest.split('"').next())
            .unwrap()
            .to_owned()
    };
    for (query, uid) in
        [("", "0"), ("?sort=stake", "99"), ("?sort=incentive&order=asc", "99"), ("?page=2", "64")]
    {
        let (_, body) = get(&router, &format!("/chain{query}")).await;
        assert_eq!(first(&body), uid, "{query}");
    }
    let hotkey = neuron(42).hotkey;
    let (_, body) = get(&router, &format!("/chain?q={hotkey}")).await;
    assert_eq!((first(&body), body.matches("<tr>").count()), ("42".into(), 2), "{body}");
    let (_, body) = get(&router, "/chain?q=%22%3E%3Cscript%3E").await;
    assert!(body.contains("No neuron matches") && !body.contains("<script>"), "{body}");
    let (_, body) = get(&router, "/chain/0").await;
    assert!(body.contains("65535 of 65535") && body.contains("Neuron 2"), "{body}");
    assert_eq!(get(&router, "/chain/100").await.0, 404);
    assert_eq!(get(&router, "/chain/x").await.0, 400);
}

#[tokio::test]
async fn hyperparameters_are_listed() {
    let (changes, section) = (Changes::default(), ChainSection::new(NETUID));
    let router = site(&section, &changes);
    assert!(get(&router, "/chain").await.1.contains("The hyperparameters have not been read yet"));
    let read: Hyperparameters =
        serde_json::from_str(r#"[["tempo", 360], ["<b>", true], ["min_burn", { "rao": 500000 }]]"#)
            .unwrap();
    section
        .source
        .set(source::State { hyperparameters: Some(Arc::new(read)), ..source::State::default() });
    let (_, body) = get(&router, "/chain").await;
    for row in ["tempo</th><td>360", "&lt;b&gt;</th><td>true", "min_burn</th><td>0.0005"] {
        assert!(body.contains(row), "{row}: {body}");
    }
}

/// Returns the weight rules of a subnet after an epoch; its tempo is 10.
fn rules(epoch_index: u64, last_epoch: u32) -> WeightRules {
    let last_epoch = BlockNumber::new(last_epoch);
    let rules = weight_rules(10, None);
    WeightRules {
        neurons: 3,
        schedule: Schedule { last_epoch, epoch_index, ..rules.schedule },
        ..rules
    }
}

/// Runs an epoch: neuron 1 receives a share of 10 % times the epoch's number.
fn run_epoch(chain: &MockChain, index: u16, block: u32) {
    let mut neurons: Vec<_> = (0..3).map(neuron).collect();
    for neuron in &mut neurons {
        (neuron.incentive, neuron.dividends, neuron.consensus) = (0, 0, 0);
    }
    neurons[0].dividends = u16::MAX;
    neurons[1].incentive = u16::MAX / 10 * index;
    neurons[1].emission = Alpha::new(1_000_000_000 * u64::from(index));
    if index == 1 {
        // A different neuron had the uid in the first epoch.
        neurons[1].hotkey = Hotkey::from_bytes([77; 32]);
    }
    let bonds = vec![vec![(Uid(1), 300 * index), (Uid(2), 100)], vec![], vec![]];
    chain.set_metagraph(Metagraph { neurons, bonds: Some(bonds), ..subnet() });
    chain.set_weight_rules(NETUID, rules(u64::from(index), block));
}

/// Returns a chain at block 35, with epochs in the blocks 10, 20 and 30.
fn chain_after_three_epochs() -> MockChain {
    let chain = MockChain::default();
    chain.keep_history();
    chain.set_weight_rules(NETUID, rules(0, 0));
    for index in 1..=3 {
        chain.mine(10);
        run_epoch(&chain, index, u32::from(index) * 10);
    }
    chain.mine(5);
    chain
}

#[tokio::test(start_paused = true)]
async fn results_are_shown_by_epoch() {
    let chain = chain_after_three_epochs();
    let (changes, section) = (Changes::default(), ChainSection::new(NETUID));
    let router = site(&section, &changes);
    let mut reports = changes.subscribe();
    let epochs = section.source.follow_epochs(&chain, NETUID, &changes);
    let blocks = section.source.follow_blocks(&chain, NETUID, &changes);
    let watch = async {
        while section.source.state().epochs.is_empty() || section.source.state().metagraph.is_none()
        {
            reports.changed().await.unwrap();
        }
        let (_, body) = get(&router, "/chain").await;
        assert!(body.contains("<dd>3<small>next in 5 blocks"), "{body}");
        // The rows of the validator and of the miner, newest first.
        let (_, body) = get(&router, "/chain/0").await;
        let rows: Vec<_> = body.split("<tr><th class=\"num\" scope=\"row\">").skip(1).collect();
        assert_eq!(rows.len(), 3, "{body}");
        assert!(
            rows[0].starts_with("3</th><td class=\"num\">30</td>") && rows[0].contains("100.0 %"),
            "{body}"
        );
        assert!(
            rows[0].contains("Neuron 1</a> 90.0 %") && rows[0].contains("Neuron 2</a> 10.0 %"),
            "{body}"
        );
        assert!(rows[2].starts_with("1</th>") && rows[2].contains("Neuron 1</a> 75.0 %"), "{body}");
        let (_, body) = get(&router, "/chain/1").await;
        let rows: Vec<_> = body.split("<tr><th class=\"num\" scope=\"row\">").skip(1).collect();
        assert_eq!(rows.len(), 2, "the first epoch is another neuron's: {body}");
        assert!(rows[0].contains("30.0 %") && rows[0].contains("3.000"), "{body}");
        assert!(rows[1].contains("20.0 %") && rows[1].contains("2.000"), "{body}");
        let (_, body) = get(&router, "/").await;
        assert!(
            body.contains("Incentive by epoch")
                && body.contains("Incentive over the last 3 epochs"),
            "{body}"
        );

        chain.mine(5);
        run_epoch(&chain, 4, 40);
        while section.source.state().epochs.len() < 4 {
            reports.changed().await.unwrap();
        }
        let (_, body) = get(&router, "/chain/1").await;
        assert!(body.contains("40.0 %"), "{body}");
        // The chain is reset.
        chain.set_weight_rules(NETUID, rules(0, 0));
        while !section.source.state().epochs.is_empty() {
            reports.changed().await.unwrap();
        }
        assert!(get(&router, "/chain/0").await.1.contains("No results yet"));
    };
    tokio::select! {
        () = epochs => panic!("the epochs ended"),
        () = blocks => panic!("the connection ended"),
        () = watch => {}
    }
}

#[tokio::test]
async fn repeated_and_failed_reads_keep_cached_state() {
    let chain = chain_after_three_epochs();
    let (changes, section) = (Changes::default(), ChainSection::new(NETUID));
    let router = site(&section, &changes);
    section.read(&chain, &changes).await;
    section.read(&chain, &changes).await;
    assert_eq!(section.source.state().blocks.len(), 1, "no block is listed twice");
    assert_eq!(section.source.state().epochs.len(), 3, "no epoch is listed twice");
    chain.set_unreachable(true);
    section.read(&chain, &changes).await;
    let (_, body) = get(&router, "/chain/1").await;
    assert!(body.contains("30.0 %") && body.contains("20.0 %"), "{body}");
    assert!(get(&router, "/chain").await.1.contains("The chain cannot be read"));
    assert_eq!(get(&router, "/chain/blocks/35").await.0, 200);
}

#[tokio::test]
async fn epochs_are_read_back_to_the_oldest_available_state() {
    let chain = chain_after_three_epochs();
    let indices = async |last_epoch| {
        let (schedule, actual) = epochs::read_after(last_epoch, &chain, NETUID).await.unwrap();
        assert_eq!(schedule.epoch_index, 3);
        actual.iter().map(|epoch| (epoch.index, epoch.block.get())).collect::<Vec<_>>()
    };
    assert_eq!(indices(None).await, [(3, 30), (2, 20), (1, 10)]);
    assert_eq!(indices(Some(2)).await, [(3, 30)]);
    assert!(indices(Some(3)).await.is_empty());
    chain.prune(BlockNumber::new(15));
    assert_eq!(indices(None).await, [(3, 30), (2, 20)]);
    chain.prune(BlockNumber::new(33));
    assert_eq!(indices(None).await, [(3, 30)], "the results stay until the next epoch");
    chain.set_unreachable(true);
    assert!(epochs::read_after(None, &chain, NETUID).await.is_err());
}

/// Returns the summary of a subnet; its price and pools grow with the netuid.
fn summary(netuid: u16) -> Subnet {
    Subnet {
        netuid: NetUid(netuid),
        name: format!("<script>{netuid}"),
        symbol: "\u{202e}".into(),
        owner_hotkey: Hotkey::from_bytes([netuid as u8; 32]),
        owner_coldkey: Coldkey::from_bytes([9; 32]),
        tempo: 360,
        last_step: BlockNumber::new(7),
        tao_in: Rao::new(u64::from(netuid) * 1_000_000_000),
        alpha_in: Alpha::new(0),
        alpha_out: Alpha::new(0),
        tao_in_emission: Rao::new(0),
        alpha_in_emission: Alpha::new(0),
        alpha_out_emission: Alpha::new(0),
        registered_at: BlockNumber::new(0),
        moving_price: format!("0.{netuid:03}"),
        identity: None,
    }
}

#[tokio::test]
async fn subnets_are_sorted_filtered_and_paged() {
    let (changes, section) = (Changes::default(), ChainSection::new(NETUID));
    let router = site(&section, &changes);
    assert!(get(&router, "/chain/subnets").await.1.contains("The subnets have not been read yet"));
    let subnets = (0..129).map(summary).collect();
    let metagraph = Some(Arc::new(subnet()));
    section.source.set(source::State {
        subnets: Some(subnets),
        metagraph,
        ..source::State::default()
    });
    assert!(get(&router, "/chain").await.1.contains("href=\"/chain/subnets\">of 129</a>"));
    let netuids = |body: &str| -> Vec<String> {
        let rows = body.split("<tr><td class=\"num\">").skip(1);
        rows.map(|row| row.split('<').next().unwrap().to_owned()).collect()
    };
    for (query, count, first) in [
        ("", 64, "0"),
        ("?page=3", 1, "128"),
        ("?sort=price", 64, "128"),
        ("?sort=tao&order=asc", 64, "0"),
        ("?q=59", 1, "59"),
        ("?q=script%3E12", 10, "12"),
    ] {
        let (status, body) = get(&router, &format!("/chain/subnets{query}")).await;
        let actual = netuids(&body);
        assert_eq!(
            (status, actual.len(), actual[0].as_str()),
            (200, count, first),
            "{query}: {body}"
        );
        assert!(!body.contains("<script>") && !body.contains('\u{202e}'), "{query}");
    }
    let (_, body) = get(&router, "/chain/subnets?q=nothing").await;
    assert!(body.contains("No subnet matches"), "{body}");
}
