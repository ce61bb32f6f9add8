//! Requests that the permissive options allow, and requests that they still refuse.

use std::sync::Arc;

use sha2::{Digest, Sha256};
use taonet_wire::{BtauthScheme, ManualClock, Scheme, SignedLayer};

use crate::faults::ExpectedOutcome;
use crate::harness::*;

/// Option, request, outcome.
pub(crate) type OptionRow = (&'static str, &'static str, Outcome);

fn server(scheme: impl Scheme) -> Server {
    let clock = Arc::new(ManualClock::at(NOW));
    let layer = SignedLayer::builder(hotkey("//Bob"), scheme).clock(clock.clone()).build();
    Server { layer, clock, folder: tempfile::tempdir().unwrap() }
}

/// Returns a request without a receiver.
fn unbound() -> SentRequest {
    let sent = SentRequest::fresh(Btauth).without_header("x-bittensor-receiver");
    let (hash, alice) = (hex::encode(Sha256::digest(BODY)), key("//Alice"));
    let text = format!("btauth/1\nsr25519\nPOST\n{PATH}\n{hash}\n{NOW}\n{}\n-", alice.hotkey());
    sent.with_header("x-bittensor-signature", &alice.sign(text.as_bytes()).to_string())
}

fn old_version(sent: SentRequest) -> SentRequest {
    sent.with_header("bt_header_dendrite_version", "7001000")
}

pub(crate) async fn rows() -> Vec<OptionRow> {
    use ExpectedOutcome::{Accepted, Replayed, WrongReceiver, WrongSignature};
    const UNBOUND: &str = "`accept_unbound`";
    const OLD: &str = "`accept_old_versions`";
    let bob = hotkey("//Bob").to_string();
    let open = server(BtauthScheme::new().accept_unbound());
    let mut rows = Vec::new();
    for (fault, reason, sent) in [
        (
            "signed for no receiver, with this server added as receiver",
            WrongSignature,
            unbound().with_header("x-bittensor-receiver", &bob),
        ),
        (
            "signed for this server, with the receiver removed",
            WrongSignature,
            SentRequest::fresh(Btauth).without_header("x-bittensor-receiver"),
        ),
        (
            "signed for another receiver",
            WrongReceiver,
            SentRequest::signed(Btauth, "//Alice", "//Dave", NOW),
        ),
        ("signed for no receiver", Accepted, unbound()),
        ("replayed", Replayed, unbound()),
    ] {
        let outcome = open.send(&sent).await;
        assert!(reason.matches(Btauth, &outcome), "{fault}: {outcome:?}");
        rows.push((UNBOUND, fault, outcome));
    }
    let lenient = server(dendrite().accept_old_versions());
    let (signer, day) = (Dendrite.signer("//Alice", 5), 24 * 3_600 * SECOND);
    let counter_nonce = old_version(SentRequest::signed_by(&signer, "//Bob"));
    let old_request = SentRequest::signed(Dendrite, "//Charlie", "//Bob", NOW - day);
    for (fault, reason, sent) in [
        ("a counter as nonce, with an old version", Accepted, counter_nonce.clone()),
        ("replayed", Replayed, counter_nonce),
        ("one day old", ExpectedOutcome::Stale, old_request.clone()),
        (
            "one day old, undelivered, with the version changed to an old one",
            Accepted,
            old_version(old_request.clone()),
        ),
        ("replayed", Replayed, old_version(old_request)),
    ] {
        let outcome = lenient.send(&sent).await;
        assert!(reason.matches(Dendrite, &outcome), "{fault}: {outcome:?}");
        rows.push((OLD, fault, outcome));
    }
    rows
}
