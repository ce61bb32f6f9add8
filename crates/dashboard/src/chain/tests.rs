use axum::body::{Body, to_bytes};
use axum::http::Request;
use axum::http::header::HOST;
use taonet_chain::testing::MockChain;
use taonet_chain::{Block, Metagraph, Neuron};
use taonet_primitives::{Alpha, BlockHash, BlockNumber, Coldkey, Hotkey, MechId, Rao, Uid};
use tower::ServiceExt as _;

use super::*;
use crate::access::Access;
use crate::base_path::BasePath;
use crate::site::Dashboard;

const NETUID: NetUid = NetUid(59);

fn neuron(uid: u16) -> Neuron {
    Neuron {
        uid: Uid(uid),
        hotkey: Hotkey::from_bytes([uid as u8; 32]),
        coldkey: Coldkey::from_bytes([7; 32]),
        active: true,
        validator_permit: uid == 0,
        axon: None,
        total_stake: Rao::new(u64::from(uid) * 1_000_000_000),
        alpha_stake: Alpha::new(0),
        tao_stake: Rao::new(0),
        rank: 0,
        trust: 0,
        consensus: 0,
        incentive: 1_000 - uid,
        dividends: 0,
        validator_trust: 0,
        emission: Alpha::new(0),
        pruning_score: 0,
        last_update: BlockNumber::new(1),
        registered_at: BlockNumber::new(0),
    }
}

fn subnet() -> Metagraph {
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

async fn get(router: &Router, path: &str) -> (u16, String) {
    let request = Request::get(path).header(HOST, "localhost").body(Body::empty()).unwrap();
    let response = router.clone().oneshot(request).await.unwrap();
    let status = response.status().as_u16();
    (status, String::from_utf8(to_bytes(response.into_body(), 1 << 22).await.unwrap().to_vec()).unwrap())
}

fn site(section: &Arc<ChainSection>, changes: &Changes) -> Router {
    let dashboard = Dashboard::new(Access::Local, BasePath::default(), changes.clone());
    dashboard.with(Arc::clone(section) as _).router(Shutdown::new())
}

#[tokio::test(start_paused = true)]
async fn the_chain_is_followed_through_failures() {
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
        while section.source.state().metagraph.is_none() {
            reports.changed().await.unwrap();
        }
        let (status, body) = get(&router, "/chain").await;
        assert_eq!(status, 200);
        assert!(!body.contains("The chain cannot be read"), "{body}");
        assert!(!body.contains("<script>") && body.contains("&lt;script&gt;alert(1)"), "{body}");
        chain.set_unreachable(true);
        chain.mine(1);
        while section.source.state().problem.is_none() {
            tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        }
        assert!(get(&router, "/chain/1").await.1.contains("Weights that it received"), "the last data stays");
    };
    tokio::select! { () = follow => panic!("the connection ended"), () = watch => {} }
}

#[tokio::test]
async fn neurons_are_sorted_filtered_and_paged() {
    let (changes, section) = (Changes::default(), ChainSection::new(NETUID));
    section.source.set(source::State { metagraph: Some(Arc::new(subnet())), ..source::State::default() });
    let router = site(&section, &changes);
    let first = |body: &str| body.split("/chain/").nth(1).and_then(|rest| rest.split('"').next()).unwrap().to_owned();
    for (query, uid) in [("", "0"), ("?sort=stake", "99"), ("?sort=incentive&order=asc", "99"), ("?page=2", "64")] {
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
