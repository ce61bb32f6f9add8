//! Tests of the client on failing networks.

use std::time::{Duration, Instant};

use crate::common::proxy::{Mode, Proxy};
use crate::common::{BLOCK_TIME, client, key, localnet};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use taonet_chain::{At, Chain, Detail, Follow, Outcome, SignOptions, SignedExtrinsic, calls};
use taonet_localnet::Clock;
use taonet_primitives::{MechId, NetUid, Rao};
use taonet_testing::is_exhaustive;

/// Timeout of a read on a chain with fast blocks.
const READ_TIMEOUT: Duration = Duration::from_secs(2);
/// Tolerance for the scheduler of a busy machine.
const SCHEDULER_TOLERANCE: Duration = Duration::from_secs(4);
/// Duration of a long fault in blocks: 7 s, longer than any read may take. A read without a timeout
/// waits for its end.
const LONG_FAULT: u32 = 28;
const AMOUNT: Rao = Rao::new(1_000_000);

/// Awaits a read during a fault that does not end, and checks that the read ends in time.
#[allow(clippy::panic, reason = "a helper of tests fails as tests do")]
async fn with_read_timeout<T>(mode: Mode, read: impl Future<Output = T>) -> T {
    let start = Instant::now();
    let result = tokio::time::timeout(Duration::from_mins(1), read).await;
    let output = result.unwrap_or_else(|_| panic!("{mode:?}: the read has no timeout"));
    assert!(
        start.elapsed() <= READ_TIMEOUT + SCHEDULER_TOLERANCE,
        "{mode:?}: {:?}",
        start.elapsed()
    );
    output
}

/// Two long faults, then random ones: until 200 blocks have passed with `TAONET_TEST_ALL`,
/// otherwise 120.
#[tokio::test(flavor = "multi_thread")]
async fn faults_neither_stall_nor_repeat_calls() {
    let blocks = if is_exhaustive() { 200 } else { 120 };
    let node = localnet(Clock::FAST).await;
    let (first, second) = (Proxy::start(node.address()).await, Proxy::start(node.address()).await);
    let chain = client(&[first.url(), second.url()]).await;
    let begin = chain.head().await.unwrap().number;

    let fault_injection = tokio::spawn(async move {
        for mode in [Mode::Stall, Mode::NoResponses] {
            first.set(mode);
            tokio::time::sleep(BLOCK_TIME * LONG_FAULT).await;
            first.set(Mode::Pass);
            tokio::time::sleep(BLOCK_TIME * 4).await;
        }
        let mut random = StdRng::seed_from_u64(1);
        loop {
            let modes = [Mode::Kill, Mode::Stall, Mode::NoResponses, Mode::Garbage, Mode::Pass];
            let mode = |random: &mut StdRng| modes[random.random_range(0..modes.len())];
            first.set(mode(&mut random));
            // Mostly one node is reachable; sometimes none is.
            second.set(if random.random_ratio(1, 4) { mode(&mut random) } else { Mode::Pass });
            tokio::time::sleep(BLOCK_TIME * random.random_range(1..=6_u32)).await;
            if random.random_ratio(1, 3) {
                first.set(Mode::Pass);
                second.set(Mode::Pass);
                tokio::time::sleep(BLOCK_TIME * 4).await;
            }
        }
    });

    let reader = {
        let chain = chain.clone();
        tokio::spawn(async move {
            let (mut longest_wait, mut successes, mut failures) = (Duration::ZERO, 0, 0);
            let (bob, netuid) = (key("Bob"), NetUid(1));
            let call = calls::transfer_keep_alive(bob.coldkey().into(), AMOUNT);
            while chain.heads().borrow().is_none_or(|head| head.number.since(begin) < blocks) {
                for read in 0..6 {
                    let start = Instant::now();
                    let is_success = match read {
                        0 => chain.head().await.is_ok(),
                        1 => {
                            chain.metagraph(netuid, MechId(0), Detail::Full, At::Head).await.is_ok()
                        }
                        2 => chain.balance(bob.coldkey().into(), At::Head).await.is_ok(),
                        3 => chain.sign(&call, &bob, SignOptions::default()).await.is_ok(),
                        4 => chain.weight_rules(netuid, At::Finalized).await.is_ok(),
                        _ => chain.events(At::Head).await.is_ok(),
                    };
                    *(if is_success { &mut successes } else { &mut failures }) += 1;
                    longest_wait = longest_wait.max(start.elapsed());
                }
                tokio::time::sleep(BLOCK_TIME / 10).await;
            }
            (longest_wait, successes, failures)
        })
    };

    let sender = {
        let chain = chain.clone();
        tokio::spawn(async move {
            let alice = key("Alice");
            let mut sent: Vec<(SignedExtrinsic, Outcome)> = Vec::new();
            while chain.heads().borrow().is_none_or(|head| head.number.since(begin) < blocks) {
                let recipient = key(&format!("to/{}", sent.len())).coldkey();
                let Ok(lease) = chain.lease_nonce(alice.coldkey().into()).await else { continue };
                let options = SignOptions { nonce: lease.nonce(), ..SignOptions::default() };
                let call = calls::transfer_keep_alive(recipient.into(), AMOUNT);
                let Ok(extrinsic) = chain.sign(&call, &alice, options).await else { continue };
                lease.mark_used();
                let mut outcome = chain.submit(&extrinsic, Follow::default()).await;
                while matches!(outcome, Outcome::Unknown(_)) {
                    let resend = Follow { sent_before: true, ..Follow::default() };
                    outcome = chain.submit(&extrinsic, resend).await;
                }
                sent.push((extrinsic, outcome));
            }
            sent
        })
    };

    let (longest_wait, successes, failures) = reader.await.unwrap();
    fault_injection.abort();
    let sent = sender.await.unwrap();
    let succeeded = sent.iter().filter(|(_, outcome)| outcome.is_success()).count();
    eprintln!(
        "longest wait {longest_wait:?}; {successes} reads succeeded, {failures} failed; \
         {succeeded} of {} transfers succeeded",
        sent.len()
    );
    assert!(longest_wait <= READ_TIMEOUT + SCHEDULER_TOLERANCE, "waited {longest_wait:?}");
    assert!(successes > 100 && succeeded > 20, "the chain was hardly reached");

    let direct_client = client(&[node.url()]).await;
    let mut nonces: Vec<u32> = Vec::new();
    for (index, (extrinsic, outcome)) in sent.iter().enumerate() {
        let recipient = key(&format!("to/{index}")).coldkey();
        let received = direct_client.balance(recipient.into(), At::Head).await.unwrap().free;
        let expected = if outcome.is_success() { AMOUNT } else { Rao::ZERO };
        assert_eq!(received, expected, "transfer {index}: {outcome:?}");
        if outcome.inclusion().is_some() {
            nonces.push(extrinsic.nonce);
        }
    }
    let unique: std::collections::BTreeSet<u32> = nonces.iter().copied().collect();
    assert_eq!(unique.len(), nonces.len());
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn client_switches_from_dead_connection_to_next_node() {
    let node = localnet(Clock::FAST).await;
    for mode in [Mode::Kill, Mode::Stall, Mode::NoResponses, Mode::Garbage] {
        let (first, second) =
            (Proxy::start(node.address()).await, Proxy::start(node.address()).await);
        let chain = client(&[first.url(), second.url()]).await;
        let mut heads = chain.heads();
        heads.borrow_and_update();
        first.set(mode);
        // On a busy machine, a read may time out: waiting for the dead node takes part of its time.
        let retry_until_success = async {
            while let Err(error) = with_read_timeout(mode, Box::pin(chain.head())).await {
                assert!(error.is_retryable(), "{mode:?}: {error}");
            }
        };
        tokio::time::timeout(Duration::from_mins(1), retry_until_success)
            .await
            .unwrap_or_else(|_| panic!("{mode:?}: no response"));
        // Waits for blocks sent before the fault, and marks them as seen.
        tokio::time::sleep(BLOCK_TIME).await;
        heads.borrow_and_update();
        tokio::time::timeout(Duration::from_mins(1), heads.changed())
            .await
            .unwrap_or_else(|_| panic!("{mode:?}"))
            .unwrap();
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn read_without_reachable_node_fails_before_deadline() {
    let node = localnet(Clock::FAST).await;
    let bob = key("Bob");
    for mode in [Mode::Kill, Mode::Stall, Mode::NoResponses, Mode::Garbage] {
        let (first, second) =
            (Proxy::start(node.address()).await, Proxy::start(node.address()).await);
        let chain = client(&[first.url(), second.url()]).await;
        chain.balance(bob.coldkey().into(), At::Head).await.unwrap();
        first.set(mode);
        second.set(mode);
        let read =
            with_read_timeout(mode, Box::pin(chain.balance(bob.coldkey().into(), At::Head))).await;
        assert!(read.is_err(), "{mode:?}: {read:?}");
    }
    node.stop().await;
}
