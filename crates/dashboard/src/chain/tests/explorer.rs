//! The pages of blocks, accounts, subnets and storage, and the search.

use std::sync::Mutex;
use std::time::Duration;

use axum::http::header::LOCATION;
use futures::future::join_all;
use taonet_chain::{
    At, Balance, BlockHeader, ChainError, Detail, Identity, Proxies, Proxy, Stake, StorageItem,
};
use tokio::time::{Instant, sleep};

use super::super::account::{Account, MAX_CALLS};
use super::super::reads::Node;
use super::super::storage::StorageEntries;
use super::super::subnet::SubnetDetails;
use super::*;

const ALICE: &str = "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY";
const HOSTILE: &str = "<script>alert(1)</script>\u{202e}\u{1b}";

/// A node with the blocks of a mock chain, an account with hostile texts, and subnet 7.
struct FakeNode {
    chain: MockChain,
    delay: Duration,
    reads: Arc<Mutex<Vec<&'static str>>>,
}

impl FakeNode {
    async fn read(&self, method: &'static str) {
        self.reads.lock().unwrap().push(method);
        sleep(self.delay).await;
    }
}

#[async_trait]
impl Node for FakeNode {
    async fn header(&self, at: At) -> Result<BlockHeader, ChainError> {
        self.read("header").await;
        let block = self.chain.metagraph(NETUID, MechId(0), Detail::Lite, at).await?.block;
        let root = |byte| BlockHash::from_bytes([byte; 32]);
        let digest = vec![b"\x06aura\x04\x07".to_vec()];
        Ok(BlockHeader {
            block,
            parent: root(1),
            state_root: root(2),
            extrinsics_root: root(3),
            digest,
        })
    }

    async fn contents(&self, block: Block) -> Result<contents::BlockContents, ChainError> {
        self.read("contents").await;
        contents::BlockContents::read(&self.chain, block).await
    }

    async fn account(&self, account: AccountId, _: At) -> Result<Account, ChainError> {
        self.read("account").await;
        let key = Coldkey::from_bytes(*account.as_bytes());
        let stake = Stake {
            hotkey: Hotkey::from_bytes([3; 32]),
            coldkey: key,
            netuid: NetUid(7),
            stake: Alpha::new(1_500_000_000),
            locked: Alpha::ZERO,
            emission: Alpha::new(1),
            tao_emission: Rao::ZERO,
            is_registered: true,
        };
        let proxy = Proxy {
            delegate: AccountId::from_bytes([4; 32]),
            proxy_type: HOSTILE.into(),
            delay: 9,
        };
        Ok(Account {
            balance: Balance {
                free: Rao::new(12_345_678_901),
                reserved: Rao::new(7),
                frozen: Rao::ZERO,
            },
            nonce: 42,
            stakes: vec![stake; 65],
            proxies: Proxies { proxies: vec![proxy], deposit: Rao::new(93_000_000) },
            identity: Some(Identity { name: HOSTILE.repeat(100), ..Identity::default() }),
        })
    }

    async fn subnet(&self, netuid: NetUid, _: At) -> Result<SubnetDetails, ChainError> {
        self.read("subnet").await;
        if netuid != NetUid(7) {
            return Err(ChainError::NoSuchSubnet(netuid));
        }
        let read = r#"[["tempo", 10], ["min_burn", { "rao": 500000 }]]"#;
        Ok(SubnetDetails {
            summary: Some(summary(7)),
            price: Some(Rao::new(12_345_678)),
            schedule: Some(rules(3, 30).schedule),
            hyperparameters: Some(Arc::new(serde_json::from_str(read).unwrap())),
            metagraph: Some(Arc::new(Metagraph { netuid, ..subnet() })),
        })
    }

    async fn storage_items(&self) -> Result<Vec<StorageItem>, ChainError> {
        self.read("items").await;
        let item = |pallet: &str, name: &str, keys| StorageItem {
            pallet: pallet.to_owned(),
            name: name.to_owned(),
            keys,
            summary: HOSTILE.to_owned(),
        };
        Ok(vec![
            item("SubtensorModule", "Tempo", 1),
            item("Timestamp", "Now", 0),
            item("Drand", "Now", 0),
        ])
    }

    async fn entries(
        &self,
        item: &StorageItem,
        keys: &[serde_json::Value],
        _: At,
    ) -> Result<StorageEntries, ChainError> {
        self.read("entries").await;
        let entry = |position: usize| {
            (format!("{keys:?}{position}"), format!("[\"{ALICE}\",\"{HOSTILE}\"]"))
        };
        Ok(StorageEntries {
            entries: (0..=item.keys).map(entry).collect(),
            has_more: item.keys > 0,
        })
    }
}

/// Returns the pages of a chain at block 35, which they have read once.
async fn pages() -> (MockChain, Arc<ChainSection>, Router) {
    let (chain, changes, section) =
        (chain_after_three_epochs(), Changes::default(), ChainSection::new(NETUID));
    let set = serde_json::json!({ "now": 1_700_000_000_123_u64 });
    chain.record_extrinsic(Extrinsic {
        pallet: "Timestamp".into(),
        name: "set".into(),
        args: set,
        ..extrinsic(0, None, Ok(()))
    });
    for index in 1..=MAX_CALLS as u32 + 70 {
        chain.record_extrinsic(Extrinsic {
            hash: ExtrinsicHash::from_bytes([index as u8; 32]),
            args: serde_json::json!({ "dest": ALICE }),
            ..extrinsic(
                index,
                Some(ALICE.parse().unwrap()),
                Err(DispatchError::Other(HOSTILE.into())),
            )
        });
    }
    section.read(&chain, &changes).await;
    let mut state = source::State::clone(&section.source.state());
    state.subnets = Some((0..=7).map(summary).collect());
    section.source.set(state);
    let router = site(&section, &changes);
    (chain, section, router)
}

fn node(chain: &MockChain, delay: Duration) -> (Arc<FakeNode>, Arc<Mutex<Vec<&'static str>>>) {
    let reads = Arc::default();
    (Arc::new(FakeNode { chain: chain.clone(), delay, reads: Arc::clone(&reads) }), reads)
}

/// Returns a page, after a check that it contains no text of the chain as markup.
async fn escaped_page(router: &Router, path: &str) -> (u16, String) {
    let (status, body) = get(router, path).await;
    assert!(
        !body.contains("<script>") && !body.contains('\u{202e}') && !body.contains('\u{1b}'),
        "{path}: {body}"
    );
    (status, body)
}

#[tokio::test]
async fn blocks_are_shown_by_number_and_hash() {
    let (chain, section, router) = pages().await;
    let (node, reads) = node(&chain, Duration::ZERO);
    let connected = section.source.reader.connect(node);
    let (status, body) = escaped_page(&router, "/chain/blocks/35").await;
    assert_eq!(status, 200);
    for part in [
        "2023-11-14 22:13:20 UTC",
        "pre-runtime aura 0x",
        &"02".repeat(32),
        "/chain/blocks/34\"",
        "91 extrinsics",
    ] {
        assert!(body.contains(part), "{part}: {body}");
    }
    assert!(!body.contains("/chain/blocks/36"), "{body}");
    let link = format!("href=\"/chain/accounts/{ALICE}\">{ALICE}</a>&quot;");
    assert!(body.contains(&link), "an address among the arguments: {body}");
    let hash = chain.block_hash(BlockNumber::new(12)).await.unwrap().unwrap();
    let mut count = 0;
    for (path, status, new) in [
        ("/chain/blocks/12".to_owned(), 200, &["header", "contents"][..]),
        ("/chain/blocks/12".to_owned(), 200, &["header"]),
        (format!("/chain/blocks/{hash}"), 200, &[]),
        ("/chain/blocks/36".to_owned(), 404, &["header"]),
        ("/chain/blocks/35x".to_owned(), 404, &[]),
    ] {
        let before = reads.lock().unwrap().len();
        let (actual, body) = escaped_page(&router, &path).await;
        assert_eq!((actual, &reads.lock().unwrap()[before..]), (status, new), "{path}");
        count +=
            usize::from(body.contains("<h1>Block 12</h1>") && body.contains("/chain/blocks/13\""));
    }
    assert_eq!(count, 3);
    drop(connected);
    let (status, body) = escaped_page(&router, "/chain/blocks/13").await;
    assert!(status == 503 && body.contains("not connected"), "{body}");
    assert_eq!(escaped_page(&router, "/chain/blocks/35").await.0, 200);
    let (_, body) = escaped_page(&router, "/chain/blocks").await;
    assert!(
        body.contains("2023-11-14 22:13:20 UTC") && body.contains("1 block from 35 to 35"),
        "{body}"
    );
}

#[tokio::test]
async fn account_page_shows_stakes_proxies_and_calls() {
    let (chain, section, router) = pages().await;
    let (node, reads) = node(&chain, Duration::ZERO);
    let connected = section.source.reader.connect(node);
    let path = format!("/chain/accounts/{ALICE}");
    for _ in 0..2 {
        let (status, body) = escaped_page(&router, &path).await;
        assert_eq!(status, 200);
        for part in [
            "12.345678901 TAO",
            "<td>42</td>",
            "1–64 of 65 stakes",
            "/chain/subnets/7\"",
            "0.093",
            "&lt;script&gt;",
        ] {
            assert!(body.contains(part), "{part}: {body}");
        }
        assert!(body.len() < 120_000, "a long name is cut");
        assert_eq!(body.matches("badge bad").count(), MAX_CALLS, "{body}");
        assert!(body.contains("90 calls in the 1 block from 35 to 35"), "{body}");
        assert!(body.contains("/chain/blocks/35?extrinsics=2#extrinsic-90\""), "{body}");
    }
    assert_eq!(*reads.lock().unwrap(), ["account"], "one read per block");
    drop(connected);
    let other = AccountId::from_bytes([9; 32]);
    let (status, body) = escaped_page(&router, &format!("/chain/accounts/{other}")).await;
    assert!(
        status == 200 && body.contains("not connected") && body.contains("0 calls in the"),
        "{body}"
    );
    assert_eq!(escaped_page(&router, "/chain/accounts/5Grw").await.0, 404);
    let (_, body) = escaped_page(&router, "/chain/1").await;
    assert!(
        body.contains(&format!("/chain/accounts/{}\"", Coldkey::from_bytes([7; 32]))),
        "{body}"
    );
}

#[tokio::test(start_paused = true)]
async fn slow_node_delays_pages_by_at_most_three_seconds() {
    let (chain, section, router) = pages().await;
    let (node, reads) = node(&chain, Duration::from_mins(1));
    let _connected = section.source.reader.connect(node);
    let start = Instant::now();
    let paths: Vec<_> = (0..20)
        .map(|account| format!("/chain/accounts/{}", AccountId::from_bytes([account; 32])))
        .collect();
    let halfway = async {
        sleep(Duration::from_secs(1)).await;
        assert_eq!(reads.lock().unwrap().len(), 8, "reads at the same time");
    };
    let (responses, ()) =
        tokio::join!(join_all(paths.iter().map(|path| escaped_page(&router, path))), halfway);
    for (status, body) in responses {
        assert!(status == 200 && body.contains("did not respond within 3 s"), "{body}");
    }
    assert_eq!(start.elapsed().as_secs(), 3);
    for (path, status) in [
        ("/chain/subnets/59", 200),
        ("/chain/blocks/1", 503),
        ("/chain/storage/Timestamp/Now", 503),
        ("/chain/search?q=Tempo", 200),
    ] {
        let (actual, body) = escaped_page(&router, path).await;
        assert!(actual == status && body.contains("did not respond"), "{path}: {body}");
    }
}

#[tokio::test]
async fn subnet_page_shows_pool_schedule_and_neurons() {
    let (chain, section, router) = pages().await;
    let (node, _) = node(&chain, Duration::ZERO);
    let connected = section.source.reader.connect(node);
    let (status, body) = escaped_page(&router, "/chain/subnets/7").await;
    assert_eq!(status, 200);
    for part in [
        "0.012346",
        "in 5 blocks",
        "min_burn</th><td>0.0005",
        "1–64 of 100 neurons",
        "TAO in the pool</th><td>7<",
    ] {
        assert!(body.contains(part), "{part}: {body}");
    }
    let hotkey = neuron(3).hotkey;
    assert!(
        body.contains(&format!("/chain/accounts/{hotkey}\"")) && !body.contains("\"/chain/3\""),
        "{body}"
    );
    let (_, body) = escaped_page(&router, &format!("/chain/subnets/7?q={hotkey}")).await;
    assert!(
        body.contains(&hotkey.to_string()) && !body.contains(&neuron(4).hotkey.to_string()),
        "{body}"
    );
    assert_eq!(escaped_page(&router, "/chain/subnets/8").await.0, 404);
    assert_eq!(escaped_page(&router, "/chain/subnets/70000").await.0, 400);
    drop(connected);
    // Without the node, the list of subnets and the shown subnet are known.
    for (path, part) in
        [("/chain/subnets/6", "moving average"), ("/chain/subnets/59", "/chain/2\"")]
    {
        let (status, body) = escaped_page(&router, path).await;
        assert!(
            status == 200 && body.contains("not connected") && body.contains(part),
            "{path}: {body}"
        );
    }
}

#[tokio::test]
async fn storage_page_shows_entries_of_the_given_keys() {
    let (chain, section, router) = pages().await;
    let (node, _) = node(&chain, Duration::ZERO);
    let _connected = section.source.reader.connect(node);
    let (status, body) =
        escaped_page(&router, "/chain/storage/SubtensorModule/Tempo?keys=59,%3Cscript%3E").await;
    assert!(status == 200 && body.contains("only the first 2 entries"), "{body}");
    assert!(
        body.contains("[Number(59), String(") && body.contains("value=\"59,&lt;script&gt;\""),
        "{body}"
    );
    assert!(body.contains(&format!("href=\"/chain/accounts/{ALICE}\"")), "{body}");
    let (status, body) = escaped_page(&router, "/chain/storage/Timestamp/Now").await;
    assert!(
        status == 200 && !body.contains("First keys") && !body.contains("only the first"),
        "{body}"
    );
    assert_eq!(escaped_page(&router, "/chain/storage/Timestamp/Tempo").await.0, 404);
}

/// Columns: query · path of the redirect, or parts of the page of results
#[tokio::test]
async fn search_redirects_to_the_page_or_lists_results() {
    let (chain, section, router) = pages().await;
    let (node, _) = node(&chain, Duration::ZERO);
    let _connected = section.source.reader.connect(node);
    let hash = chain.block_hash(BlockNumber::new(12)).await.unwrap().unwrap();
    let (block, extrinsic) = (format!("/chain/blocks/{hash}"), "46".repeat(32));
    let (account, unknown) = (format!("/chain/accounts/{ALICE}"), "ee".repeat(32));
    let mistyped = ALICE.replace('Q', "P");
    let table: [(&str, Result<&str, &[&str]>); 17] = [
        ("35", Ok("/chain/blocks/35")),
        (" 12 ", Ok("/chain/blocks/12")),
        ("5", Err(&["/chain/blocks/5\"", "/chain/subnets/5\""])),
        ("36", Err(&["no block 36: the newest is 35", "no subnet 36"])),
        ("subnet+7", Ok("/chain/subnets/7")),
        ("sn8", Err(&["no subnet 8"])),
        (&hash.to_string(), Ok(&block)),
        (&format!("0x{extrinsic}"), Ok("/chain/blocks/35?extrinsics=2#extrinsic-70")),
        (&unknown, Err(&["No block has the hash 0xeeee", "1 block from 35 to 35"])),
        (ALICE, Ok(&account)),
        (&mistyped, Err(&["checksum does not match"])),
        ("subtensormodule.tempo", Ok("/chain/storage/SubtensorModule/Tempo")),
        ("Tempo", Ok("/chain/storage/SubtensorModule/Tempo")),
        ("now", Err(&["/chain/storage/Timestamp/Now\"", "/chain/storage/Drand/Now\""])),
        ("%3Cscript%3E3", Ok("/chain/subnets/3")),
        ("%3Cscript%3E", Err(&["no storage item “&lt;script&gt;”"])),
        ("", Err(&["The search finds blocks by number and hash"])),
    ];
    for (query, expected) in table {
        let request = Request::get(format!("/chain/search?q={}", query.replace(' ', "+")))
            .header(HOST, "localhost");
        let response = router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        let status = response.status().as_u16();
        match expected {
            Ok(path) => assert_eq!(
                (status, response.headers()[LOCATION].to_str().unwrap()),
                (303, path),
                "{query}"
            ),
            Err(parts) => {
                let (status, body) =
                    escaped_page(&router, &format!("/chain/search?q={}", query.replace(' ', "+")))
                        .await;
                assert_eq!(status, 200, "{query}");
                assert!(parts.iter().all(|part| body.contains(part)), "{query}: {parts:?}: {body}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn earlier_blocks_are_read_in_the_background() {
    let (chain, section, router) = pages().await;
    let changes = Changes::default();
    let follow = section.source.follow_history(&chain, &changes);
    let watch = async {
        while section.source.state().blocks.len() < 36 {
            sleep(Duration::from_secs(1)).await;
        }
    };
    tokio::select! { () = follow => panic!("the future ended"), () = watch => {} }
    let numbers: Vec<_> =
        section.source.state().blocks.iter().map(|contents| contents.block.number.get()).collect();
    assert_eq!(numbers, (0..=35).rev().collect::<Vec<_>>());
    let (_, body) = escaped_page(&router, "/chain/blocks").await;
    assert!(body.contains("36 blocks from 0 to 35"), "{body}");
}

#[tokio::test(start_paused = true)]
async fn chain_is_shown_before_the_subnet_exists() {
    let chain = MockChain::default();
    chain.mine(3);
    let (changes, section) = (Changes::default(), ChainSection::new(NETUID));
    let router = site(&section, &changes);
    let follow = section.source.follow_blocks(&chain, NETUID, &changes);
    let watch = async {
        while section.source.state().blocks.is_empty() {
            sleep(Duration::from_secs(1)).await;
        }
        let (_, body) = get(&router, "/chain").await;
        assert!(body.contains("subnet 59 does not exist") && body.contains("--netuid"), "{body}");
        assert!(body.contains("/chain/blocks/3\""), "{body}");
        chain.set_metagraph(subnet());
        chain.mine(1);
        while section.source.state().metagraph.is_none() {
            sleep(Duration::from_secs(1)).await;
        }
        assert!(!get(&router, "/chain").await.1.contains("does not exist"));
    };
    tokio::select! { () = follow => panic!("the connection ended"), () = watch => {} }
}

#[test]
fn reverted_blocks_and_blocks_beyond_limits_are_dropped() {
    let block = |number: u32| Block {
        number: BlockNumber::new(number),
        hash: BlockHash::from_bytes([number as u8; 32]),
    };
    let numbers = |state: &source::State| {
        state.blocks.iter().map(|contents| contents.block.number.get()).collect::<Vec<_>>()
    };
    let mut state = source::State::default();
    for number in [1, 2, 3, 4, 3] {
        state.push_newest(empty_block(block(number)));
    }
    assert_eq!(numbers(&state), [3, 2, 1]);
    for number in 4..300 {
        state.push_newest(empty_block(block(number)));
    }
    assert_eq!((state.blocks.len(), state.blocks[0].block.number.get()), (source::MAX_BLOCKS, 299));
    let event = contents::EventSummary { extrinsic: None, name: "A.B".into(), fields: "{}".into() };
    for number in 300..360 {
        let events =
            TruncatedList { count: 500, items: vec![event.clone(); 500].into(), problem: None };
        state.push_newest(contents::BlockContents { events, ..empty_block(block(number)) });
    }
    assert_eq!(numbers(&state), (320..360).rev().collect::<Vec<_>>());
}

/// Returns the numbers of the blocks in memory, after a check that the chain has these blocks.
async fn cached_block_numbers(chain: &MockChain, section: &ChainSection) -> Vec<u32> {
    let mut numbers = Vec::new();
    for contents in &section.source.state().blocks {
        let Block { number, hash } = contents.block;
        assert_eq!(chain.block_hash(number).await.unwrap(), Some(hash), "block {number}");
        numbers.push(number.get());
    }
    numbers
}

#[tokio::test]
async fn cached_blocks_and_epochs_of_a_reverted_branch_are_dropped() {
    let (chain, changes, section) =
        (MockChain::default(), Changes::default(), ChainSection::new(NETUID));
    let epochs =
        || section.source.state().epochs.iter().map(|epoch| epoch.block.get()).collect::<Vec<_>>();
    chain.set_finality_lag(1_000);
    chain.set_metagraph(subnet());
    chain.set_weight_rules(NETUID, rules(0, 0));
    chain.mine(20);
    section.read(&chain, &changes).await;
    chain.mine(15);
    run_epoch(&chain, 3, 30);
    section.read(&chain, &changes).await;
    assert_eq!(
        cached_block_numbers(&chain, &section).await,
        (25..=35).rev().chain([20]).collect::<Vec<_>>()
    );
    assert_eq!(epochs(), [30]);

    chain.revert(9);
    chain.mine(20);
    run_epoch(&chain, 4, 40);
    section.read(&chain, &changes).await;
    assert_eq!(
        cached_block_numbers(&chain, &section).await,
        (36..=46).rev().chain([26, 25, 20]).collect::<Vec<_>>()
    );
    assert_eq!(epochs(), [40]);

    // The new branch is shorter, but longer than the common part.
    chain.revert(5);
    chain.mine(3);
    section.read(&chain, &changes).await;
    assert_eq!(
        cached_block_numbers(&chain, &section).await,
        (36..=44).rev().chain([26, 25, 20]).collect::<Vec<_>>()
    );
    assert_eq!(epochs(), [40]);
}
