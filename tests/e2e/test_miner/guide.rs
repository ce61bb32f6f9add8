//! The messages of the wire protocol in docs/miner.md.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use http::Method;
use serde_json::Value;
use taonet_babelbit_core::protocol::{
    FRAME_SAMPLES, InitResponse, MinerRequest, PredictResponse, SAMPLE_BYTES,
};
use taonet_wallet::{Keypair, verify};
use taonet_wire::{BabelbitScheme, Peer, Signer, compact_hash};

use crate::support::repository;

/// The guide's abbreviation of silence in base64.
const SILENCE: &str = "AAAA…";

/// A request or response of the guide.
pub(crate) struct Message {
    start_line: String,
    headers: BTreeMap<String, String>,
    body: String,
}

impl Message {
    fn parse(text: &str) -> Self {
        let (head, body) = text.split_once("\n\n").unwrap();
        let (start_line, headers) = head.split_once('\n').unwrap();
        let headers = headers.lines().map(|line| {
            let (name, value) = line.split_once(':').unwrap();
            (name.to_owned(), value.trim().to_owned())
        });
        // The guide breaks a body's line after a comma.
        let body = body.replace('\n', "");
        let bytes = serde_json::from_str::<Value>(&body).unwrap()["n_bytes"].as_u64();
        let bytes = bytes
            .map_or(FRAME_SAMPLES as usize * SAMPLE_BYTES, |bytes| usize::try_from(bytes).unwrap());
        assert!(bytes.is_multiple_of(3), "base64 of {bytes} bytes ends with padding");
        Self {
            start_line: start_line.to_owned(),
            headers: headers.collect(),
            body: body.replace(SILENCE, &"A".repeat(bytes / 3 * 4)),
        }
    }

    fn is_request(&self) -> bool {
        self.start_line == "POST /v1/predict HTTP/1.1"
    }

    /// The body.
    pub(crate) fn document(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

/// Returns the guide's messages, in order.
pub(crate) fn messages() -> Vec<Message> {
    let guide = std::fs::read_to_string(repository("docs/miner.md")).unwrap();
    let blocks = guide.split("```http\n").skip(1);
    blocks.map(|block| Message::parse(block.split_once("```").unwrap().0)).collect()
}

/// Returns the names of the headers of our validator's requests.
fn our_headers() -> BTreeSet<String> {
    let [alice, bob] = ["//Alice", "//Bob"].map(|uri| Keypair::from_uri(uri).unwrap());
    let signer = Signer::new(alice, "198.51.100.4", BabelbitScheme::axon());
    let peer = Peer::new(bob.hotkey(), "203.0.113.7", 8092).unwrap();
    let headers = signer
        .headers(&peer, &Method::POST, "/v1/predict", "name", Duration::from_secs(10), b"{}")
        .unwrap();
    let names = headers.keys().map(|name| name.as_str().to_owned());
    names.chain(["host", "content-length"].map(str::to_owned)).collect()
}

#[test]
fn guide_messages_have_valid_headers_signatures_and_bodies() {
    let (messages, expected_headers) = (messages(), our_headers());
    for message in &messages {
        let (headers, body) = (&message.headers, message.body.as_str());
        assert_eq!(headers["content-length"], body.len().to_string(), "{body:.100}");
        if !message.is_request() {
            assert_eq!(message.start_line, "HTTP/1.1 200 OK");
            let is_response = serde_json::from_str::<InitResponse>(body).is_ok()
                || serde_json::from_str::<PredictResponse>(body).is_ok();
            assert!(is_response, "{body:.100}");
            continue;
        }
        assert_eq!(headers.keys().cloned().collect::<BTreeSet<_>>(), expected_headers);
        serde_json::from_str::<MinerRequest>(body).unwrap();
        let hash = headers["computed_body_hash"].as_str();
        assert!(hash.is_empty() || hash == compact_hash(body.as_bytes()).unwrap());
        let [nonce, sender, receiver, uuid, signature] = [
            "dendrite_nonce",
            "dendrite_hotkey",
            "axon_hotkey",
            "dendrite_uuid",
            "dendrite_signature",
        ]
        .map(|name| headers[&format!("bt_header_{name}")].as_str());
        let text = format!("{nonce}.{sender}.{receiver}.{uuid}.{hash}");
        let (sender, signature) = (sender.parse().unwrap(), signature.parse().unwrap());
        assert!(verify(&sender, text.as_bytes(), &signature), "{text}");
    }
    let signed_bodies = messages.iter().filter(|message| {
        message.headers.get("computed_body_hash").is_some_and(|hash| !hash.is_empty())
    });
    assert_eq!((messages.len(), signed_bodies.count()), (9, 1));
}
