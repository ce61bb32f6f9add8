//! Tests of the client against the localnet.

use std::time::Duration;

use crate::common::{client, key, localnet};
use serde_json::json;
use taonet_chain::calls::CommitmentText;
use taonet_chain::{
    At, Call, Chain, ChainError, Detail, DispatchError, Era, Follow, Hyperparameter, Outcome,
    RefusalReason, Share, SignOptions, UnknownReason, Until, calls,
};
use taonet_localnet::{Clock, Node, NodeConfig};
use taonet_primitives::{Alpha, BlockNumber, MechId, NetUid, Rao};
use taonet_wallet::Keypair;

/// The client's timeouts are fractions of the block time: with faster blocks, busy machines would
/// exceed them.
const CLOCK: Clock = Clock::Every(Duration::from_secs(1));

#[tokio::test(flavor = "multi_thread")]
async fn client_reads_state_of_the_node() {
    let node = localnet(Clock::Manual).await;
    let chain = client(&[node.url()]).await;
    node.mine(3).await.unwrap();
    let head = chain.head().await.unwrap();
    assert_eq!(head.number, BlockNumber::new(3));
    assert_eq!(head.hash.as_bytes(), &node.head().hash.0, "the hash that we compute is the node's");
    assert_eq!(chain.finalized_head().await.unwrap(), head);
    assert_eq!(chain.block_hash(BlockNumber::new(0)).await.unwrap(), Some(chain.genesis()));
    assert_eq!(chain.block_hash(BlockNumber::new(4)).await.unwrap(), None);

    let bob = key("Bob").coldkey();
    let balance = chain.balance(bob.into(), At::Head).await.unwrap();
    assert_eq!(balance.free, "1000000".parse().unwrap());
    let unknown_account = taonet_primitives::AccountId::from_bytes([7; 32]);
    let balances =
        chain.balances(&[unknown_account, bob.into()], At::Hash(head.hash)).await.unwrap();
    assert_eq!(balances, [taonet_chain::Balance::default(), balance]);
    let header = chain.header(At::Hash(head.hash)).await.unwrap();
    assert_eq!(
        chain.block_events(&header).await.unwrap(),
        chain.events(At::Hash(head.hash)).await.unwrap()
    );
    assert_eq!(chain.storage("System", "Number", &[], At::Head).await.unwrap(), json!(3));
    assert_eq!(
        chain.storage("System", "Number", &[], At::Number(BlockNumber::new(2))).await.unwrap(),
        json!(2)
    );
    assert_eq!(chain.constant("Balances", "ExistentialDeposit").await.unwrap(), json!(500));
    let accounts = chain.storage_map("System", "Account", &[], At::Head).await.unwrap();
    // A page ends with its last entry, or after the entry that fills it.
    for (count, max_bytes, expected) in [
        (accounts.len(), usize::MAX, (accounts.len(), false)),
        (2, usize::MAX, (2, true)),
        (2, 1, (1, true)),
    ] {
        let (page, has_more) =
            chain.storage_page("System", "Account", &[], count, max_bytes, At::Head).await.unwrap();
        assert_eq!((page.len(), has_more), expected, "{count} {max_bytes}");
        assert!(page.iter().zip(&accounts).all(|(one, other)| one.0 == other.0));
    }
    assert!(accounts.iter().any(|(keys, _)| keys == &[json!(bob.to_string())]), "{accounts:?}");
    let nonce = chain
        .runtime_api("AccountNonceApi", "account_nonce", &[json!(bob.to_string())], At::Head)
        .await;
    assert_eq!(nonce.unwrap(), json!(0));
    let rules = chain.weight_rules(NetUid(1), At::Head).await.unwrap();
    assert_eq!((rules.schedule.tempo, rules.mechanisms), (100, 1), "{rules:?}");

    let missing = chain.weight_rules(NetUid(700), At::Head).await;
    assert!(matches!(missing, Err(ChainError::NoSuchSubnet(NetUid(700)))), "{missing:?}");
    let missing = chain.storage("System", "Nothing", &[], At::Head).await;
    assert!(matches!(missing, Err(ChainError::NotInRuntime { .. })), "{missing:?}");
    let missing = chain.events(At::Number(BlockNumber::new(99))).await;
    assert!(matches!(missing, Err(ChainError::NoSuchBlock(_))), "{missing:?}");
    let missing = chain.balance(
        bob.into(),
        At::Hash(
            "0x".to_owned()
                .as_str()
                .parse()
                .unwrap_or(taonet_primitives::BlockHash::from_bytes([7; 32])),
        ),
    );
    assert!(matches!(missing.await, Err(ChainError::NoSuchBlock(_))));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn block_time_is_read_from_the_node() {
    for (clock, millis) in [(Clock::PRODUCTION, 12_000), (Clock::FAST, 250), (Clock::Manual, 250)] {
        let node = localnet(clock).await;
        assert_eq!(
            client(&[node.url()]).await.block_time(),
            Duration::from_millis(millis),
            "{clock:?}"
        );
        node.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn transfer_is_followed_to_its_inclusion() {
    let node = localnet(CLOCK).await;
    let chain = client(&[node.url()]).await;
    let (alice, carol) = (key("Alice"), key("Carol").coldkey());
    let amount: Rao = "1.000000001".parse().unwrap();
    let call = calls::transfer_keep_alive(carol.into(), amount);

    let lease = chain.lease_nonce(alice.coldkey().into()).await.unwrap();
    let options = SignOptions { nonce: lease.nonce(), ..SignOptions::default() };
    let extrinsic = chain.sign(&call, &alice, options).await.unwrap();
    let dry_run = chain.dry_run(&extrinsic).await.unwrap();
    assert_eq!(dry_run.validity, Ok(()));
    let effect = dry_run.effect.unwrap();
    assert_eq!(effect.result, Ok(()));
    assert!(
        effect.events.iter().any(|event| event.is("Balances", "Transfer")),
        "{:?}",
        effect.events
    );
    // The pool accepts a call that will fail.
    let oversized_transfer = calls::transfer_keep_alive(carol.into(), Rao::new(u64::MAX / 2));
    let failing_extrinsic = chain.sign(&oversized_transfer, &alice, options).await.unwrap();
    let failing_run = chain.dry_run(&failing_extrinsic).await.unwrap();
    assert_eq!(failing_run.validity, Ok(()));
    assert!(matches!(failing_run.effect.unwrap().result, Err(DispatchError::Other(_))));
    let outcome = chain.submit(&extrinsic, Follow::default()).await;
    lease.mark_used();
    let inclusion = outcome.inclusion().unwrap_or_else(|| panic!("{outcome:?}")).clone();
    assert!(matches!(outcome, Outcome::Finalized(_)), "every block of the localnet is final");
    assert_eq!(inclusion.result, Ok(()));
    assert_eq!(inclusion.fee, Some(dry_run.fee));
    assert!(inclusion.events.iter().any(|event| event.is("Balances", "Transfer")
        && event.fields["to"] == json!(carol.to_string())
        && event.fields["amount"] == json!(amount.get())));
    assert_eq!(chain.balance(carol.into(), At::Head).await.unwrap().free, amount);
    let before = inclusion.block.number.minus(1);
    assert_eq!(chain.balance(carol.into(), At::Number(before)).await.unwrap().free, Rao::ZERO);

    let actual =
        chain.lookup(extrinsic.hash, extrinsic.birth.number, inclusion.block.number).await.unwrap();
    assert_eq!(actual, Some(outcome.clone()));
    let decoded = chain.extrinsics(inclusion.block.into()).await.unwrap();
    let own_extrinsic = decoded.iter().find(|decoded| decoded.hash == extrinsic.hash).unwrap();
    assert_eq!(
        (own_extrinsic.index, own_extrinsic.signer),
        (inclusion.index, Some(alice.coldkey().into()))
    );
    assert_eq!((&*own_extrinsic.pallet, &*own_extrinsic.name), ("Balances", "transfer_keep_alive"));
    assert_eq!(own_extrinsic.args, json!({ "dest": carol.to_string(), "value": amount.get() }));
    assert_eq!((own_extrinsic.fee, own_extrinsic.result.clone()), (inclusion.fee, Some(Ok(()))));
    let inherent = &decoded[0];
    assert_eq!((&*inherent.pallet, inherent.signer), ("Timestamp", None), "{decoded:?}");
    assert_eq!(chain.extrinsics(At::Number(BlockNumber::new(0))).await.unwrap(), []);
    assert_eq!(chain.lookup(extrinsic.hash, extrinsic.birth.number, before).await.unwrap(), None);
    assert_eq!(
        chain.submit(&extrinsic, Follow::default()).await,
        outcome,
        "the same bytes are sent again"
    );
    let duplicate = chain.sign(&call, &alice, options).await.unwrap();
    assert_eq!(
        chain.submit(&duplicate, Follow::default()).await,
        Outcome::Superseded,
        "another one has the nonce"
    );
    assert_eq!(chain.balance(carol.into(), At::Head).await.unwrap().free, amount);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn undecryptable_ciphertext_is_refused() {
    let node = localnet(Clock::FAST).await;
    let chain = client(&[node.url()]).await;
    let public = taonet_localnet_runtime::mev_shield::development_key().public();
    assert_eq!(chain.shield_key().await.unwrap(), Some(public));
    for (ciphertext, code) in [(&[7; 17][..], 23), (&[7; 1_200], 23), (&[0; 1_200], 24)] {
        let outcome = chain
            .send(&calls::submit_encrypted(ciphertext), &key("Alice"), Follow::default())
            .await;
        assert_eq!(outcome.unwrap(), Outcome::Invalid(RefusalReason::custom(code)));
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dry_run_omits_effect_without_development_methods() {
    let mut config = NodeConfig::new(taonet_localnet_runtime::genesis::genesis(&[]).unwrap());
    config.dev_methods = false;
    let node = Node::start(config).await.unwrap();
    let (chain, alice) = (client(&[node.url()]).await, key("Alice"));
    let call = calls::transfer_keep_alive(key("Bob").coldkey().into(), Rao::new(u64::MAX / 2));
    let extrinsic = chain.sign(&call, &alice, SignOptions::default()).await.unwrap();
    let dry_run = chain.dry_run(&extrinsic).await.unwrap();
    assert_eq!((dry_run.validity, dry_run.effect), (Ok(()), None));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_calls_have_reasons() {
    let node = localnet(CLOCK).await;
    let chain = client(&[node.url()]).await;
    let (alice, poor) = (key("Alice"), key("Poor"));
    let transfer = calls::transfer_keep_alive(poor.coldkey().into(), Rao::new(1));

    let outcome = chain.send(&transfer, &poor, Follow::default()).await.unwrap();
    assert_eq!(outcome, Outcome::Invalid(RefusalReason::Payment));
    let outcome = chain.send(&transfer, &alice, Follow::default()).await.unwrap();
    let refused = outcome.inclusion().unwrap();
    let error = refused.result.clone().unwrap_err();
    assert!(
        matches!(&error, DispatchError::Other(text) if text.contains("BelowMinimum")),
        "{error}"
    );
    let decoded = chain.extrinsics(refused.block.into()).await.unwrap();
    assert_eq!(decoded[refused.index as usize].result, Some(Err(error)));
    let sudo = calls::sudo(transfer.clone());
    let outcome = chain.send(&sudo, &key("Bob"), Follow::default()).await.unwrap();
    let refused = match &outcome {
        Outcome::Invalid(_) => true,
        outcome => outcome.inclusion().is_some_and(|inclusion| inclusion.result.is_err()),
    };
    assert!(refused, "{outcome:?}");

    let options = SignOptions { nonce: 100, ..SignOptions::default() };
    let pending = chain.sign(&transfer, &alice, options).await.unwrap();
    let follow = Follow { timeout_blocks: 1, ..Follow::default() };
    let outcome = chain.submit(&pending, follow).await;
    assert!(
        matches!(outcome, Outcome::Unknown(UnknownReason::NotYetIncluded { .. })),
        "{outcome:?}"
    );
    let mut tampered = pending.clone();
    // Byte 45 is in the signature, which follows length, version, address type, 32-byte address and
    // signature type.
    tampered.bytes[45] ^= 1;
    let outcome = chain.submit(&tampered, Follow::default()).await;
    assert_eq!(outcome, Outcome::Invalid(RefusalReason::BadSignature));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn extrinsic_expires_after_its_era() {
    let node = localnet(Clock::Manual).await;
    let chain = client(&[node.url()]).await;
    let options = SignOptions { era: Era::Blocks(4), ..SignOptions::default() };
    let call = calls::transfer_keep_alive(key("Carol").coldkey().into(), Rao::new(1_000));
    let extrinsic = chain.sign(&call, &key("Alice"), options).await.unwrap();
    let last_block = extrinsic.last_block.unwrap();
    node.mine(last_block.get()).await.unwrap();
    assert_eq!(chain.submit(&extrinsic, Follow::default()).await, Outcome::Expired { last_block });
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_calls_of_one_account_have_distinct_nonces() {
    let node = localnet(CLOCK).await;
    let chain = client(&[node.url()]).await;
    let mut callers = tokio::task::JoinSet::new();
    for index in 0..24 {
        let chain = chain.clone();
        callers.spawn(async move {
            let recipient = key(&format!("to/{index}")).coldkey();
            let call = calls::transfer_keep_alive(recipient.into(), Rao::new(1_000));
            let alice = key("Alice");
            loop {
                match chain.send(&call, &alice, Follow::default()).await {
                    // Happens on a loaded machine.
                    Err(error) if error.is_retryable() => {}
                    outcome => return outcome.unwrap(),
                }
            }
        });
    }
    while let Some(outcome) = callers.join_next().await {
        let outcome = outcome.unwrap();
        assert!(outcome.is_success(), "{outcome:?}");
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn json_call_succeeds_and_new_head_is_reported() {
    let node = localnet(CLOCK).await;
    let chain = client(&[node.url()]).await;
    let mut heads = chain.heads();
    let first = heads.borrow_and_update().unwrap();
    let args =
        json!({ "call": { "AdminUtils": { "sudo_set_tempo": { "netuid": 1, "tempo": 7 } } } });
    let call = chain.call("Sudo", "sudo", &args).await.unwrap();
    let follow = Follow { until: Until::Finalized, ..Follow::default() };
    let outcome = chain.send(&call, &key("Alice"), follow).await.unwrap();
    assert!(outcome.is_success(), "{outcome:?}");
    assert_eq!(chain.weight_rules(NetUid(1), At::Head).await.unwrap().schedule.tempo, 7);
    heads.changed().await.unwrap();
    assert!(heads.borrow_and_update().unwrap().number > first.number);
    let error = chain.call("Sudo", "sudo", &json!({ "calls": {} })).await.unwrap_err();
    assert!(matches!(error, ChainError::Encode { .. }), "{error}");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn subnet_operations_change_the_metagraph() {
    let node = localnet(CLOCK).await;
    let chain = client(&[node.url()]).await;
    let (alice, hotkey_pair) = (key("Alice"), key("Alice//hot"));
    let netuid = NetUid(59);
    let send_call = async |call: Call, signer: &Keypair| {
        let outcome = chain.send(&call, signer, Follow::default()).await.unwrap();
        assert!(outcome.is_success(), "{call:?}: {outcome:?}");
    };
    let cost = chain.registration_cost(netuid, At::Head).await.unwrap();
    send_call(
        calls::register_limit(netuid, hotkey_pair.hotkey(), cost.checked_add(cost).unwrap()),
        &alice,
    )
    .await;
    let uid = chain.uid(netuid, &hotkey_pair.hotkey(), At::Head).await.unwrap().unwrap();
    send_call(calls::serve_axon(netuid, 7, "203.0.113.9:8091".parse().unwrap()), &hotkey_pair)
        .await;
    // Commitments cost a fee, which the hotkey pays.
    send_call(
        calls::transfer_keep_alive(hotkey_pair.public().coldkey().into(), "1".parse().unwrap()),
        &alice,
    )
    .await;
    let text = CommitmentText::new("model: sha256 of something").unwrap();
    send_call(calls::set_commitment(netuid, &text), &hotkey_pair).await;
    send_call(calls::add_stake(hotkey_pair.hotkey(), netuid, "5".parse().unwrap()), &alice).await;

    let metagraph = chain.metagraph(netuid, MechId(0), Detail::Full, At::Head).await.unwrap();
    let neuron = metagraph.neuron(&hotkey_pair.hotkey()).unwrap();
    assert_eq!((neuron.uid, neuron.coldkey), (uid, alice.coldkey()));
    assert_eq!(neuron.axon.unwrap().address, "203.0.113.9:8091".parse().unwrap());
    assert!(neuron.alpha_stake > Alpha::ZERO, "{neuron:?}");
    assert_eq!(metagraph.weights.as_ref().map(Vec::len), Some(metagraph.n()));
    assert_eq!(
        chain.commitment(netuid, hotkey_pair.hotkey(), At::Head).await.unwrap().as_deref(),
        Some(text.as_str())
    );
    assert_eq!(
        chain.commitments(netuid, At::Head).await.unwrap(),
        [(hotkey_pair.hotkey(), text.as_str().to_owned())]
    );
    let dated = chain.dated_commitments(netuid, At::Head).await.unwrap();
    assert!(dated.len() == 1 && dated[0].text == text.as_str() && dated[0].block > 0, "{dated:?}");
    // A timelocked commitment replaces the text, and is revealed only with the beacon's pulse.
    send_call(calls::set_timelocked_commitment(netuid, &[7; 200], 1 << 40), &hotkey_pair).await;
    assert_eq!(chain.dated_commitments(netuid, At::Head).await.unwrap(), []);
    assert_eq!(chain.revealed_commitments(netuid, At::Head).await.unwrap(), []);
    let stored = chain
        .storage(
            "Commitments",
            "CommitmentOf",
            &[json!(netuid), json!(hotkey_pair.hotkey())],
            At::Head,
        )
        .await;
    assert!(stored.unwrap().to_string().contains("TimelockEncrypted"));

    let stakes = chain.stakes(alice.coldkey(), At::Head).await.unwrap();
    let own_stake = stakes.iter().find(|stake| stake.hotkey == hotkey_pair.hotkey()).unwrap();
    assert_eq!(own_stake.netuid, netuid);
    let stake = chain
        .stake(hotkey_pair.hotkey(), alice.coldkey(), netuid, At::Head)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(stake.stake, own_stake.stake);
    assert_eq!(chain.take(hotkey_pair.hotkey(), At::Head).await.unwrap(), Share::MAX_TAKE);
    chain.delegates(At::Head).await.unwrap();

    let subnets = chain.subnets(At::Head).await.unwrap();
    let subnet = chain.subnet(netuid, At::Head).await.unwrap();
    assert!(subnets.iter().any(|other| other.netuid == netuid && other.name == subnet.name));
    let hyperparameters = chain.hyperparameters(netuid, At::Head).await.unwrap();
    let rules = chain.weight_rules(netuid, At::Head).await.unwrap();
    let number = |name: &str| hyperparameters.get(name).cloned();
    assert_eq!(number("tempo"), Some(Hyperparameter::Number(rules.schedule.tempo.into())));
    assert_eq!(number("weights_rate_limit"), Some(Hyperparameter::Number(rules.rate_limit_blocks)));
    assert!(chain.subnet_cost(At::Head).await.unwrap() > Rao::ZERO);
    let price = chain.price(netuid, At::Head).await.unwrap();
    assert!(
        chain
            .prices(At::Head)
            .await
            .unwrap()
            .iter()
            .any(|other| other.netuid == netuid && other.price == price)
    );
    let purchase = chain.simulate_buying(netuid, Rao::new(1_000_000_000), At::Head).await.unwrap();
    let sale = chain.simulate_selling(netuid, purchase.alpha_amount, At::Head).await.unwrap();
    assert!(purchase.alpha_amount > Alpha::ZERO && sale.tao_amount > Rao::ZERO);
    node.stop().await;
}
