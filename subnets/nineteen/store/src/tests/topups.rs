//! Tests of top-ups by TAO transfers.

use std::num::NonZeroU64;

use taonet_database::statement;
use taonet_primitives::{AccountId, BlockHash, BlockNumber, Rao};

use super::credits::{terms, usage};
use super::*;
use crate::{KeyTerms, MAX_CREDITS};

const DAY: &str = "2026-11-21";
const GENESIS: BlockHash = BlockHash::from_bytes([9; 32]);
const OPERATOR: AccountId = AccountId::from_bytes([7; 32]);
const PAYER: AccountId = AccountId::from_bytes([8; 32]);

/// Returns the hash of the block with this height.
fn hash(block: u32) -> BlockHash {
    let mut bytes = [1; 32];
    bytes[..4].copy_from_slice(&block.to_le_bytes());
    BlockHash::from_bytes(bytes)
}

fn block_of(block: u32) -> (BlockNumber, BlockHash) {
    (BlockNumber::new(block), hash(block))
}

fn topup_terms(rao_per_credit: u64) -> TopUpTerms {
    TopUpTerms { account: OPERATOR, rao_per_credit: NonZeroU64::new(rao_per_credit).unwrap() }
}

fn transfer(block: u32, event: u32, to: AccountId, rao: u64) -> Transfer {
    let amount = Rao::new(rao);
    Transfer { block: BlockNumber::new(block), hash: hash(block), event, from: PAYER, to, amount }
}

/// Opens the database with top-ups after block 10, at 100 rao per credit.
async fn open_with_topups(location: &DatabaseLocation) -> Store {
    let store = location.open().await;
    store.enable_topups(topup_terms(100), GENESIS, block_of(10)).await.unwrap();
    store
}

async fn create_key(store: &Store, byte: u8) -> (String, AccountId) {
    let id = store.create_key(&terms(None), &[byte; 40], 0).await.unwrap().id;
    let address = store.deposit_address(&id).await.unwrap().unwrap().address;
    (id, address)
}

async fn balance(store: &Store, key: &str) -> i64 {
    store.key(key).await.unwrap().unwrap().balance
}

pub(super) async fn each_key_has_one_deposit_address(location: DatabaseLocation) {
    let store = location.open().await;
    let first = store.create_key(&terms(None), &[1; 40], 0).await.unwrap().id;
    assert!(matches!(store.deposit_address(&first).await, Err(StoreError::TopUpsDisabled)));
    let store = open_with_topups(&location).await;
    let (second, address) = create_key(&store, 2).await;
    assert_eq!((&first[..4], &second[..4]), ("0101", "0202"));
    assert_eq!(address, OPERATOR.derivative(0x0202));
    assert_eq!(
        store.deposit_address(&first).await.unwrap().unwrap().address,
        OPERATOR.derivative(0x0101)
    );
    assert_eq!(
        store.deposit_address(&second).await.unwrap().unwrap().index,
        0x0202,
        "it stays the same"
    );
    assert_eq!(store.deposit_address("none").await.unwrap(), None);
    // Addresses of an earlier account remain.
    let terms = TopUpTerms { account: PAYER, ..topup_terms(5) };
    store.enable_topups(terms, GENESIS, block_of(50)).await.unwrap();
    assert_eq!(
        store.deposit_address(&first).await.unwrap().unwrap().address,
        PAYER.derivative(0x0101)
    );
    assert_eq!(store.deposit_addresses().await.unwrap().len(), 3);
    let topups = store.topups().await.unwrap().unwrap();
    assert_eq!((topups.terms, topups.block, topups.hash), (terms, BlockNumber::new(10), hash(10)));
    store.disable_topups().await.unwrap();
    assert!(matches!(store.deposit_address(&first).await, Err(StoreError::TopUpsDisabled)));
    assert!(!store.topups().await.unwrap().unwrap().is_enabled);
}

pub(super) async fn concurrent_keys_get_different_deposit_addresses(location: DatabaseLocation) {
    let stores = [open_with_topups(&location).await, location.open().await];
    let mut ids = Vec::new();
    for byte in 1..=10 {
        ids.push(stores[0].create_key(&terms(None), &[byte; 40], 0).await.unwrap().id);
    }
    let requests: Vec<_> = (0..40)
        .map(|index| {
            let (store, id) = (stores[index % 2].clone(), ids[index / 4].clone());
            tokio::spawn(async move { store.deposit_address(&id).await.unwrap().unwrap() })
        })
        .collect();
    for (index, request) in requests.into_iter().enumerate() {
        assert_eq!(request.await.unwrap().key_id, ids[index / 4]);
    }
    let mut indices: Vec<_> = stores[0]
        .deposit_addresses()
        .await
        .unwrap()
        .into_iter()
        .map(|address| address.index)
        .collect();
    indices.sort_unstable();
    assert_eq!(indices, (1..=10).map(|byte| byte * 0x0101).collect::<Vec<u16>>());
}

pub(super) async fn keys_with_the_same_prefix_get_different_deposit_addresses(
    location: DatabaseLocation,
) {
    let store = open_with_topups(&location).await;
    let mut indices = Vec::new();
    for byte in 0..3 {
        let mut random = [byte; 40];
        random[..2].fill(0xff);
        let id = store.create_key(&terms(None), &random, 0).await.unwrap().id;
        indices.push(store.deposit_address(&id).await.unwrap().unwrap().index);
    }
    assert_eq!(indices, [u16::MAX, 0, 1]);
}

/// A restored, older database lacks a key whose buyer has sent TAO to its address.
pub(super) async fn deposit_address_of_a_lost_key_is_not_reused(location: DatabaseLocation) {
    let store = open_with_topups(&location).await;
    let lost = OPERATOR.derivative(0x0101);
    let transfers = [transfer(11, 0, lost, 1_000), transfer(11, 1, OPERATOR, 1_000)];
    let deposits =
        store.record_transfers(hash(10), block_of(11), &transfers, 0).await.unwrap().unwrap();
    assert!(deposits.iter().all(|deposit| deposit.key_id.is_none()), "{deposits:?}");
    let (id, address) = create_key(&store, 1).await;
    assert_eq!(address, OPERATOR.derivative(0x0102));
    let collectable = async || store.collectable_addresses(OPERATOR).await.unwrap();
    assert_eq!(collectable().await, [(0x0102, address), (0x0101, lost)]);
    assert!(store.assign_deposit(hash(11), 0, &id, 1).await.unwrap().is_some());
    assert_eq!(create_key(&store, 2).await.1, OPERATOR.derivative(0x0202));
    assert_eq!(
        collectable().await,
        [(0x0102, address), (0x0202, OPERATOR.derivative(0x0202)), (0x0101, lost)]
    );
    assert_eq!(store.collectable_addresses(PAYER).await.unwrap(), []);
}

pub(super) async fn transfers_are_credited_once(location: DatabaseLocation) {
    let store = open_with_topups(&location).await;
    let ((buyer, address), (other, other_address)) =
        (create_key(&store, 1).await, create_key(&store, 2).await);
    let transfers = [
        transfer(11, 3, address, 1_099),
        transfer(12, 3, other_address, 99),
        transfer(12, 5, address, 100),
    ];
    let deposits =
        store.record_transfers(hash(10), block_of(12), &transfers, 77).await.unwrap().unwrap();
    let credits: Vec<_> = deposits.iter().map(|deposit| deposit.credits).collect();
    assert_eq!(credits, [10, 1], "a transfer worth no credit is left out");
    assert_eq!((balance(&store, &buyer).await, balance(&store, &other).await), (11, 0));
    // A process that starts at an older block records nothing.
    assert_eq!(store.record_transfers(hash(10), block_of(12), &transfers, 78).await.unwrap(), None);
    assert_eq!(store.record_transfers(hash(11), block_of(12), &transfers, 78).await.unwrap(), None);
    // Nor is an event credited again.
    assert_eq!(
        store.record_transfers(hash(12), block_of(13), &transfers, 78).await.unwrap(),
        Some(Vec::new())
    );
    assert_eq!(balance(&store, &buyer).await, 11);
    assert_eq!(store.topups().await.unwrap().unwrap().hash, hash(13));
    assert_eq!(store.deposits(None).await.unwrap(), deposits);
    assert_eq!(store.deposits(Some(&other)).await.unwrap(), []);
    let own = store.deposits(Some(&buyer)).await.unwrap();
    assert_eq!(
        (own[1].amount_rao, own[1].recorded_ms, own[1].credited_ms),
        (Rao::new(100), 77, Some(77))
    );
    assert!(store.is_balanced().await.unwrap());
    // After the price has changed, the next transfers have the new one.
    store.enable_topups(topup_terms(7), GENESIS, block_of(90)).await.unwrap();
    let deposits = store
        .record_transfers(hash(13), block_of(14), &[transfer(14, 0, address, 70)], 79)
        .await
        .unwrap();
    assert_eq!(deposits.unwrap()[0].credits, 10);
    assert_eq!(balance(&store, &buyer).await, 21);
    statement("UPDATE deposit SET credits = credits + 1 WHERE event = 5")
        .execute(&store.database)
        .await
        .unwrap();
    assert!(!store.is_balanced().await.unwrap());
}

pub(super) async fn topups_of_another_chain_are_refused(location: DatabaseLocation) {
    let store = open_with_topups(&location).await;
    let other = BlockHash::from_bytes([3; 32]);
    let error = store.enable_topups(topup_terms(1), other, block_of(10)).await.unwrap_err();
    let StoreError::ChainMismatch { recorded, connected } = error else { panic!("{error:?}") };
    assert_eq!((recorded, connected), (GENESIS, other));
    assert_eq!(
        store.topups().await.unwrap().unwrap().terms,
        topup_terms(100),
        "nothing is changed"
    );
}

pub(super) async fn unattributed_transfers_are_assigned_once(location: DatabaseLocation) {
    let store = open_with_topups(&location).await;
    let ((deleted_key, address), (buyer, _)) =
        (create_key(&store, 1).await, create_key(&store, 2).await);
    assert!(store.revoke_key(&deleted_key, 1).await.unwrap());
    let transfers = [transfer(11, 0, address, 1_000), transfer(11, 1, OPERATOR, 2_000)];
    let deposits =
        store.record_transfers(hash(10), block_of(11), &transfers, 2).await.unwrap().unwrap();
    let is_unattributed = |deposit: &Deposit| {
        deposit.key_id.is_none() && deposit.credited_ms.is_none() && deposit.credits == 0
    };
    assert!(deposits.iter().all(is_unattributed), "{deposits:?}");
    assert_eq!(balance(&store, &deleted_key).await, 0);
    // The price is that of the transfer's time.
    store.enable_topups(topup_terms(1), GENESIS, block_of(11)).await.unwrap();
    let assignments: Vec<_> = (0..8)
        .map(|_| {
            let (store, buyer) = (store.clone(), buyer.clone());
            tokio::spawn(async move { store.assign_deposit(hash(11), 1, &buyer, 3).await.unwrap() })
        })
        .collect();
    let mut assigned = Vec::new();
    for assignment in assignments {
        assigned.extend(assignment.await.unwrap());
    }
    assert_eq!(
        (assigned.len(), assigned[0].credits, assigned[0].key_id.as_ref()),
        (1, 20, Some(&buyer))
    );
    assert_eq!((assigned[0].recorded_ms, assigned[0].credited_ms), (2, Some(3)));
    assert_eq!(balance(&store, &buyer).await, 20);
    for (block, event, key) in
        [(11, 1, buyer.as_str()), (11, 9, buyer.as_str()), (12, 0, buyer.as_str()), (11, 0, "none")]
    {
        assert_eq!(
            store.assign_deposit(hash(block), event, key, 3).await.unwrap(),
            None,
            "{block} {event} {key}"
        );
    }
    assert!(store.is_balanced().await.unwrap());
}

pub(super) async fn credits_above_the_limit_await_the_operator(location: DatabaseLocation) {
    let store = open_with_topups(&location).await;
    let (buyer, address) = create_key(&store, 1).await;
    store.grant(&buyer, MAX_CREDITS - 5, "test", 0).await.unwrap();
    let transfers = [
        transfer(11, 0, address, 600),
        transfer(11, 1, address, 500),
        transfer(11, 2, address, u64::MAX),
    ];
    let deposits =
        store.record_transfers(hash(10), block_of(11), &transfers, 0).await.unwrap().unwrap();
    assert_eq!(deposits.iter().map(|deposit| deposit.credits).collect::<Vec<_>>(), [0, 5, 0]);
    assert!(matches!(
        store.assign_deposit(hash(11), 0, &buyer, 0).await,
        Err(StoreError::TooManyCredits { .. })
    ));
    assert_eq!(
        store.deposits(Some(&buyer)).await.unwrap().len(),
        1,
        "the failed assignment changes nothing"
    );
    assert!(store.is_balanced().await.unwrap());
}

pub(super) async fn transfers_to_inactive_keys_await_the_operator(location: DatabaseLocation) {
    let store = open_with_topups(&location).await;
    let ((expiring, address), (other, _)) =
        (create_key(&store, 1).await, create_key(&store, 2).await);
    let expires = KeyTerms { expires_ms: Some(50), ..terms(None) };
    assert!(store.update_key(&expiring, &expires).await.unwrap());
    let record = async |before: u32, now_ms| {
        let transfers = [transfer(before + 1, 0, address, 1_000)];
        store
            .record_transfers(hash(before), block_of(before + 1), &transfers, now_ms)
            .await
            .unwrap()
            .unwrap()
            .remove(0)
    };
    assert_eq!(record(10, 49).await.key_id.as_ref(), Some(&expiring));
    let lost = record(11, 50).await;
    assert_eq!((&lost.key_id, lost.credits, lost.credited_ms), (&None, 0, None));
    let refused = store.assign_deposit(hash(12), 0, &expiring, 50).await;
    assert!(matches!(&refused, Err(StoreError::InactiveKey(id)) if *id == expiring), "{refused:?}");
    assert!(store.revoke_key(&other, 51).await.unwrap());
    let refused = store.assign_deposit(hash(12), 0, &other, 52).await;
    assert!(matches!(&refused, Err(StoreError::InactiveKey(id)) if *id == other), "{refused:?}");
    assert_eq!(
        store.deposits_at(BlockNumber::new(12), 0).await.unwrap(),
        [lost],
        "nothing has changed"
    );
    let extended_terms = KeyTerms { expires_ms: Some(500), ..terms(None) };
    assert!(store.update_key(&expiring, &extended_terms).await.unwrap());
    assert!(store.assign_deposit(hash(12), 0, &expiring, 53).await.unwrap().is_some());
    assert_eq!(balance(&store, &expiring).await, 20);
}

pub(super) async fn disabled_topups_record_nothing(location: DatabaseLocation) {
    let store = open_with_topups(&location).await;
    let (_, address) = create_key(&store, 1).await;
    store.disable_topups().await.unwrap();
    let transfers = [transfer(11, 0, address, 1_000)];
    assert_eq!(store.record_transfers(hash(10), block_of(11), &transfers, 0).await.unwrap(), None);
    assert_eq!(store.topups().await.unwrap().unwrap().hash, hash(10));
}

pub(super) async fn deposits_are_listed_in_pages(location: DatabaseLocation) {
    let store = open_with_topups(&location).await;
    let (buyer, address) = create_key(&store, 1).await;
    let transfers: Vec<_> =
        (0..5).map(|index| transfer(11 + index / 2, index, address, 100)).collect();
    store.record_transfers(hash(10), block_of(13), &transfers, 0).await.unwrap().unwrap();
    let page = async |before: Option<(u32, u32)>| {
        let before = before.map(|(block, event)| (BlockNumber::new(block), event));
        let page = store.latest_deposits(&buyer, before, 2).await.unwrap();
        page.iter().map(|deposit| (deposit.block.get(), deposit.event)).collect::<Vec<_>>()
    };
    assert_eq!(page(None).await, [(13, 4), (12, 3)]);
    assert_eq!(page(Some((12, 3))).await, [(12, 2), (11, 1)]);
    assert_eq!(page(Some((11, 1))).await, [(11, 0)]);
    assert!(page(Some((11, 0))).await.is_empty());
}

pub(super) async fn deposit_addresses_are_found_among_accounts(location: DatabaseLocation) {
    let store = open_with_topups(&location).await;
    let mut expected = std::collections::HashSet::new();
    for byte in 1..=20 {
        expected.insert(create_key(&store, byte).await.1);
    }
    let others = (0..50).map(|byte| AccountId::from_bytes([byte; 32]));
    let addresses =
        store.deposit_addresses_among(others.chain(expected.iter().copied())).await.unwrap();
    assert_eq!(addresses, expected);
    assert!(store.deposit_addresses_among([]).await.unwrap().is_empty());
}

/// An invoice of an earlier month stays as it is when an operator assigns a transfer of that month.
pub(super) async fn assigned_transfers_are_invoiced_when_they_are_credited(
    location: DatabaseLocation,
) {
    const DECEMBER: i64 = 1_796_083_200_000;
    let store = open_with_topups(&location).await;
    let ((buyer, address), (deleted_key, lost)) =
        (create_key(&store, 1).await, create_key(&store, 2).await);
    store.revoke_key(&deleted_key, 0).await.unwrap();
    store.grant(&buyer, 7, "=secret", DECEMBER - 2_000).await.unwrap();
    let transfers = [transfer(11, 0, address, 1_000), transfer(11, 1, lost, 500)];
    store
        .record_transfers(hash(10), block_of(11), &transfers, DECEMBER - 1_000)
        .await
        .unwrap()
        .unwrap();
    let invoice =
        async |month: &str| store.invoice(&buyer, month.parse().unwrap()).await.unwrap().unwrap();
    let november = invoice("2026-11").await;
    assert!(store.assign_deposit(hash(11), 1, &buyer, DECEMBER).await.unwrap().is_some());
    assert_eq!(invoice("2026-11").await, november);
    let csv = november.to_csv();
    let rows: Vec<_> = csv.lines().skip(1).map(|row| row.replace(&buyer, "KEY")).collect();
    let [granted, credited] = [(DECEMBER - 2_000) / 1_000, (DECEMBER - 1_000) / 1_000];
    assert_eq!(
        rows,
        [
            format!("2026-11,KEY,shop,grant,,,,,{granted},,7"),
            format!("2026-11,KEY,shop,deposit,,,,,{credited},1000,10")
        ]
    );
    let december = invoice("2026-12").await;
    assert_eq!((december.deposits.len(), december.deposits[0].credits), (1, 5));
}

/// Two processes read the same 60 blocks, in parts of different lengths, while buyers spend and
/// operators grant.
pub(super) async fn concurrent_watchers_credit_once(location: DatabaseLocation) {
    let stores = [open_with_topups(&location).await, location.open().await];
    let (mut ids, mut addresses) = (Vec::new(), Vec::new());
    for byte in 1..=3 {
        let (id, address) = create_key(&stores[0], byte).await;
        ids.push(id);
        addresses.push(address);
    }
    // In descending order of the keys, too: the transactions must not wait for each other.
    let transfers: Vec<_> = (0..120)
        .map(|index| {
            transfer(11 + index / 2, index % 2, addresses[(119 - index as usize) % 3], 100)
        })
        .collect();
    let watchers: Vec<_> = stores
        .iter()
        .zip([1_u32, 3])
        .map(|(store, step)| {
            let (store, transfers) = (store.clone(), transfers.clone());
            tokio::spawn(async move {
                loop {
                    let topups = store.topups().await.unwrap().unwrap();
                    let (from, to) = (topups.block.get(), (topups.block.get() + step).min(70));
                    if from == 70 {
                        break;
                    }
                    let part: Vec<_> = transfers
                        .iter()
                        .filter(|one| (from + 1..=to).contains(&one.block.get()))
                        .copied()
                        .collect();
                    store.record_transfers(topups.hash, block_of(to), &part, 0).await.unwrap();
                }
            })
        })
        .collect();
    let spenders: Vec<_> = ids
        .iter()
        .zip(0_usize..)
        .map(|(id, index)| {
            let (store, id) = (stores[index % 2].clone(), id.clone());
            tokio::spawn(async move {
                let mut charged = 0;
                for request in 0..20 {
                    store.grant(&id, 1, "test", 0).await.unwrap();
                    let request = format!("{id}:{request}");
                    if store.hold(&id, &request, 2, DAY, 0).await.unwrap().is_ok() {
                        charged +=
                            store.charge(&request, &usage(DAY, 2), 0).await.unwrap().unwrap();
                    }
                }
                charged
            })
        })
        .collect();
    for watcher in watchers {
        watcher.await.unwrap();
    }
    let mut charged = Vec::new();
    for spender in spenders {
        charged.push(spender.await.unwrap());
    }
    for store in &stores {
        store.close_leases().await;
    }
    for (id, charged) in ids.iter().zip(charged) {
        assert_eq!(
            balance(&stores[0], id).await,
            40 + 20 - charged,
            "40 transfers and 20 grants of 1 credit"
        );
    }
    assert_eq!(stores[0].deposits(None).await.unwrap().len(), 120);
    assert!(stores[1].is_balanced().await.unwrap());
}
