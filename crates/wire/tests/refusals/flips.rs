//! Flips every single bit of the signed data.

use http::{HeaderValue, Method, Uri};
use taonet_primitives::Hotkey;

use crate::faults::ExpectedOutcome::{self, *};
use crate::harness::*;

/// The flipped part, the allowed outcomes, and the request.
type Flip = (String, &'static [ExpectedOutcome], SentRequest);

fn flipped(bytes: &[u8], bit: usize) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[bit / 8] ^= 1 << (bit % 8);
    bytes
}

/// Returns bit flips in the texts of headers.
fn header_flips(kind: Kind, sent: &SentRequest) -> Vec<Flip> {
    let mut parts: Vec<(Part, &'static [ExpectedOutcome])> = vec![
        (Part::Nonce, &[Malformed, WrongSignature, Stale, Future]),
        // The address checksum detects every flip.
        (Part::Sender, &[Malformed]),
        (Part::Receiver, &[Malformed]),
        (Part::Signature, &[Malformed, WrongSignature]),
        (Part::Uuid, &[Malformed, WrongSignature]),
    ];
    // The hash of an axon call is empty.
    parts.extend(kind.hash().map(|_| (Part::Hash, &[Malformed, WrongSignature][..])));
    let mut names: Vec<_> =
        parts.into_iter().filter_map(|(part, reason)| Some((kind.header(part)?, reason))).collect();
    if kind == Btauth {
        names.extend([
            ("x-bittensor-version", &[Malformed][..]),
            ("x-bittensor-crypto", &[Malformed]),
        ]);
    }
    let mut flips = Vec::new();
    for (name, reason) in names {
        let value = sent.headers[name].as_bytes();
        for bit in 0..8 * value.len() {
            let Ok(value) = HeaderValue::from_bytes(&flipped(value, bit)) else { continue };
            let mut sent = sent.clone();
            sent.headers.insert(name, value);
            flips.push((format!("{name} bit {bit}"), reason, sent));
        }
    }
    flips
}

/// Returns bit flips in the keys themselves, encoded with a valid checksum.
fn key_flips(kind: Kind, sent: &SentRequest) -> Vec<Flip> {
    let keys: [(Part, &str, &'static [ExpectedOutcome]); 2] =
        [(Part::Sender, "//Alice", &[WrongSignature]), (Part::Receiver, "//Bob", &[WrongReceiver])];
    let mut flips = Vec::new();
    for (part, uri, reason) in keys {
        let name = kind.header(part).unwrap();
        for bit in 0..256 {
            let key = Hotkey::from_bytes(flipped(hotkey(uri).as_bytes(), bit).try_into().unwrap());
            flips.push((
                format!("{name} key bit {bit}"),
                reason,
                sent.clone().with_header(name, &key.to_string()),
            ));
        }
    }
    flips
}

fn method_and_path_flips(sent: &SentRequest) -> Vec<Flip> {
    let mut flips: Vec<Flip> = Vec::new();
    for bit in 0..8 * sent.method.as_str().len() {
        let Ok(method) = Method::from_bytes(&flipped(sent.method.as_str().as_bytes(), bit)) else {
            continue;
        };
        flips.push((
            format!("method bit {bit}"),
            &[WrongSignature],
            SentRequest { method, ..sent.clone() },
        ));
    }
    for bit in 0..8 * sent.path.len() {
        let path = String::from_utf8(flipped(sent.path.as_bytes(), bit)).ok();
        let is_path =
            |path: &String| path.parse::<Uri>().is_ok_and(|uri| uri.path().starts_with('/'));
        let Some(path) = path.filter(is_path) else { continue };
        flips.push((
            format!("path bit {bit}"),
            &[WrongSignature],
            SentRequest { path, ..sent.clone() },
        ));
    }
    flips
}

fn body_flips(kind: Kind, sent: &SentRequest) -> Vec<Flip> {
    let (ranges, reason): ([_; 2], &'static [ExpectedOutcome]) = match kind {
        Btauth => ([0..BODY.len(), 0..0], &[WrongSignature]),
        Managed => ([0..BODY.len(), 0..0], &[WrongBody]),
        // The values of the signed fields.
        Dendrite => ([12..17, 31..45], &[WrongBody, NotJson]),
        Axon => ([0..0, 0..0], &[]),
    };
    let bits = ranges.into_iter().flat_map(|range| 8 * range.start..8 * range.end);
    bits.map(|bit| {
        (
            format!("body bit {bit}"),
            reason,
            SentRequest { body: flipped(&sent.body, bit), ..sent.clone() },
        )
    })
    .collect()
}

#[tokio::test]
async fn flipped_bit_in_signed_data_is_refused() {
    assert_eq!((&BODY[12..17], &BODY[31..45]), ("hello", "[1, 2.5, null]"));
    for kind in KINDS {
        let server = Server::new(kind);
        let signer = kind.signer("//Alice", NOW);
        let mut count = 0;
        for mut sent in
            [SentRequest::signed_by(&signer, "//Bob"), SentRequest::signed_by(&signer, "//Bob")]
        {
            if kind == Btauth {
                sent = sent.with_header("x-bittensor-crypto", "sr25519");
            }
            let mut flips =
                [header_flips(kind, &sent), key_flips(kind, &sent), body_flips(kind, &sent)]
                    .concat();
            if kind == Btauth {
                flips.extend(method_and_path_flips(&sent));
            }
            for (case, reason, flip) in flips {
                let outcome = server.send(&flip).await;
                assert!(
                    reason.iter().any(|reason| reason.matches(kind, &outcome)),
                    "{}: {case}: {outcome:?}",
                    kind.title()
                );
                count += 1;
            }
            assert_eq!(server.send(&sent).await.status, 200, "the original passes");
        }
        println!("{}: {count} flipped bits refused", kind.title());
        assert!(count >= 2_000, "{}: {count}", kind.title());
    }
}
