//! Streams whose validator disconnects or reads slowly.

use std::sync::atomic::{AtomicUsize, Ordering};

use taonet_nineteen_transport::{FiberClient, FiberRules, RsaKey, Session, Trust, signed_requests};
use taonet_wire::{ClientConfig, Peer, SystemClock};
use tokio::sync::mpsc;

use super::*;

/// Starts a miner behind the full transport; returns a validator's session with it.
async fn session(miner: Miner) -> (FiberClient, Session) {
    let bob = key("//Bob");
    let signed = signed_requests(bob.hotkey(), FiberRules::Strict).build();
    let handshake =
        MinerHandshake::new(bob.clone(), RsaKey::generate().unwrap(), FiberRules::Strict);
    let address = listen(miner_router(miner, handshake, signed)).await;
    let peer = Peer::new(bob.hotkey(), address.ip().to_string(), address.port()).unwrap();
    let client = FiberClient::new(
        key("//Alice"),
        Trust::Signed,
        ClientConfig::default(),
        Arc::new(SystemClock),
    )
    .unwrap();
    let session = client.handshake(&peer).await.unwrap();
    (client, session)
}

struct NotifyOnDrop(mpsc::UnboundedSender<()>);

impl Drop for NotifyOnDrop {
    fn drop(&mut self) {
        let _ = self.0.send(());
    }
}

#[tokio::test]
async fn disconnected_validator_cancels_the_backend_request() {
    let (sender, mut ended) = mpsc::unbounded_channel();
    let backend = chats(move || {
        let notify = NotifyOnDrop(sender.clone());
        async move {
            let chunks = futures::stream::unfold((notify, 0_u32), |(notify, sent)| async move {
                if sent > 0 {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                Some((
                    Ok::<_, std::io::Error>(Bytes::from_static(CHUNK.as_bytes())),
                    (notify, sent + 1),
                ))
            });
            Body::from_stream(chunks)
        }
    });
    let (client, session) = session(miner_with_backend(backend, config()).await).await;
    let payload = json!({"model": "chat-a", "stream": true}).as_object().unwrap().clone();
    let mut answer =
        client.send(&session, "/chat/completions", payload, Duration::from_mins(1)).await.unwrap();
    assert_eq!(answer.status, StatusCode::OK);
    // The first read may return later chunks too.
    let first_chunks = answer.next().await.unwrap().unwrap();
    assert!(first_chunks.starts_with(CHUNK.as_bytes()), "{first_chunks:?}");
    assert!(ended.try_recv().is_err());
    drop(answer);
    tokio::time::timeout(Duration::from_secs(30), ended.recv()).await.unwrap();
}

#[tokio::test]
async fn slow_validator_slows_reading_from_the_backend() {
    let sent = Arc::new(AtomicUsize::new(0));
    let count = sent.clone();
    let backend = chats(move || {
        let count = count.clone();
        async move {
            let text = "a".repeat(64 << 10);
            let chunk = Bytes::from(format!(
                "data: {{\"choices\":[{{\"delta\":{{\"content\":\"{text}\"}}}}]}}\n\n"
            ));
            Body::from_stream(futures::stream::repeat_with(move || {
                count.fetch_add(1, Ordering::SeqCst);
                Ok::<_, std::io::Error>(chunk.clone())
            }))
        }
    });
    let miner = miner_with_backend(backend, config()).await;
    let mut body = chat(&miner).await.into_body();
    body.frame().await.unwrap().unwrap();
    // Wait until the sockets' buffers are full.
    let mut before = 0;
    while before != sent.load(Ordering::SeqCst) {
        before = sent.load(Ordering::SeqCst);
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert!(before < 1_000, "{before} chunks of 64 KiB wait");
    // Reading frees buffer space, so that the backend sends more.
    while sent.load(Ordering::SeqCst) == before {
        body.frame().await.unwrap().unwrap();
    }
}
