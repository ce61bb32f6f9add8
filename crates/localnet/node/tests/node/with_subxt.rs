//! An unmodified subxt client reads the metadata, signs, submits, and follows blocks and events.

use std::time::Duration;

use subxt::config::PolkadotConfig;
use subxt::dynamic::Value;
use subxt::transactions::Signer;
use subxt::utils::{AccountId32, MultiSignature};
use subxt::{Config, OnlineClient};
use taonet_localnet::{Clock, Node};

use crate::support::{config, pair};

struct Key(sp_core::sr25519::Pair);

impl Signer<PolkadotConfig> for Key {
    fn account_id(&self) -> <PolkadotConfig as Config>::AccountId {
        AccountId32(sp_core::Pair::public(&self.0).0)
    }

    fn sign(&self, payload: &[u8]) -> <PolkadotConfig as Config>::Signature {
        MultiSignature::Sr25519(sp_core::Pair::sign(&self.0, payload).0)
    }
}

#[tokio::test]
async fn subxt_client_reads_state_and_tracks_transactions() {
    let mut config = config();
    // subxt's transactions are valid for 32 blocks: 16 s, long enough on a busy machine too.
    config.clock = Some(Clock::Every(Duration::from_millis(500)));
    let node = Node::start(config).await.unwrap();
    let api = OnlineClient::<PolkadotConfig>::from_insecure_url(node.url()).await.unwrap();
    let mut blocks = api.stream_blocks().await.unwrap();
    let first = blocks.next().await.unwrap().unwrap().number();
    let second = blocks.next().await.unwrap().unwrap().number();
    assert_eq!(second, first + 1);

    let dest =
        Value::unnamed_variant("Id", [Value::from_bytes(sp_core::Pair::public(&pair("Dave")).0)]);
    let call =
        subxt::dynamic::transaction("Balances", "transfer_keep_alive", (dest, Value::u128(1_234)));
    let api_at_block = api.at_current_block().await.unwrap();
    let alice = Key(pair("Alice"));
    let submitted = api_at_block
        .transactions()
        .sign_and_submit_then_watch_default(&call, &alice)
        .await
        .unwrap();
    let included = submitted.wait_for_finalized().await.unwrap();
    let events = included.wait_for_success().await.unwrap();
    let names: Vec<_> = events
        .iter()
        .map(|event| event.unwrap())
        .map(|event| event.event_name().to_owned())
        .collect();
    for name in ["Transfer", "TransactionFeePaid", "ExtrinsicSuccess"] {
        assert!(names.iter().any(|known| known == name), "{name} is not among {names:?}");
    }
    // The amount is too high: the call is included, and fails with a named error.
    let dest =
        Value::unnamed_variant("Id", [Value::from_bytes(sp_core::Pair::public(&pair("Dave")).0)]);
    let excessive_amount = Value::u128(2_000_000_000_000_000);
    let call =
        subxt::dynamic::transaction("Balances", "transfer_keep_alive", (dest, excessive_amount));
    let api_at_block = api.at_current_block().await.unwrap();
    let submitted = api_at_block
        .transactions()
        .sign_and_submit_then_watch_default(&call, &alice)
        .await
        .unwrap();
    let error = submitted.wait_for_finalized_success().await.unwrap_err().to_string();
    assert!(error.contains("FundsUnavailable") || error.contains("Token"), "{error}");
    node.stop().await;
}
