use taonet_primitives::Ss58Prefix;

use super::*;

fn password() -> Password {
    Password::new("pjs-Passw0rd".to_owned())
}

fn parse_export(kind: &str, encoded: &[u8], address: &str) -> Result<PolkadotJs, PolkadotJsError> {
    let json = json!({
        "encoded": STANDARD.encode(encoded),
        "encoding": {"content": ["pkcs8", "sr25519"], "type": kind.split(' ').collect::<Vec<_>>(), "version": "3"},
        "address": address,
    });
    PolkadotJs::parse(json.to_string().as_bytes())
}

#[test]
fn export_round_trips() {
    let alice = Keypair::from_uri("//Alice").unwrap();
    let export = PolkadotJs::export(&alice, &password(), "alice", 1_700_000_000_000).unwrap();
    let account = PolkadotJs::parse(export.as_bytes()).unwrap();
    assert!(account.is_encrypted());
    assert_eq!(account.address().to_string(), alice.public().to_string());
    assert_eq!(account.open(&password()).unwrap().to_private_key(), alice.to_private_key());
    assert_eq!(
        account.open(&Password::new("other".to_owned())).unwrap_err(),
        PolkadotJsError::WrongPassword
    );
    assert!(matches!(&account.cipher, Cipher::Scrypt { params, .. } if params.log_n() == 15));
}

#[test]
fn key_of_another_address_is_refused() {
    let alice = Keypair::from_uri("//Alice").unwrap();
    let text = write_pkcs8(&alice.sr25519().unwrap().secret, alice.public().as_bytes());
    let open =
        |text: &[u8], address: &str| parse_export("none", text, address).unwrap().open(&password());
    assert_eq!(open(&text, &alice.public().to_string()).unwrap().public(), alice.public());
    let polkadot = alice.public().address_on(Ss58Prefix::new(0).unwrap()).to_string();
    assert_eq!(open(&text, &polkadot).unwrap().public(), alice.public());
    let bob = Keypair::from_uri("//Bob").unwrap().public().to_string();
    assert!(matches!(open(&text, &bob), Err(PolkadotJsError::Mismatch { .. })));
    for damaged in [&text[..116], &[&text[..], b"x"].concat(), b""] {
        assert_eq!(open(damaged, &bob).unwrap_err(), PolkadotJsError::WrongPassword);
    }
}

#[test]
fn scrypt_costs_are_bounded() {
    let header = |n: u32, p: u32, r: u32| {
        [&[0; 32][..], &n.to_le_bytes(), &p.to_le_bytes(), &r.to_le_bytes(), &[0; 24], &[0; 16]]
            .concat()
    };
    let address = Keypair::from_uri("//Alice").unwrap().public().to_string();
    let parse =
        |n, p, r| parse_export("scrypt xsalsa20-poly1305", &header(n, p, r), &address).err();
    assert_eq!(parse(32_768, 1, 8), None);
    assert_eq!(parse(262_144, 16, 8), None);
    assert_eq!(parse(16_384, 16, 64), None);
    for (n, p, r) in [
        (0, 1, 8),
        (32_767, 1, 8),
        (524_288, 1, 8),
        (32_768, 17, 8),
        (32_768, 1, 0),
        (32_768, 0, 8),
        (32_768, 1, 65),
        (16_384, 1, 65),
        // Small N, but 2 GiB of lanes; then a single block of 256 MiB.
        (2, 16, 1 << 20),
        (1, 1, 1 << 21),
        (1 << 31, u32::MAX, u32::MAX),
    ] {
        assert_eq!(parse(n, p, r), Some(PolkadotJsError::Cost { n, r, p }));
    }
    for length in 0..84 {
        let truncated =
            parse_export("scrypt xsalsa20-poly1305", &header(32_768, 1, 8)[..length], &address);
        assert!(truncated.is_err() || length >= 68);
    }
}

#[test]
fn unsupported_export_types_are_reported() {
    let error = |content: &str, kind: &str, version: &str| {
        let encoding =
            format!(r#"{{"content":[{content}],"type":["{kind}"],"version":"{version}"}}"#);
        let address = Keypair::from_uri("//Alice").unwrap().public();
        PolkadotJs::parse(
            format!(r#"{{"encoded":"","encoding":{encoding},"address":"{address}"}}"#).as_bytes(),
        )
        .err()
    };
    assert_eq!(error(r#""pkcs8","sr25519""#, "none", "2"), Some(PolkadotJsError::Version));
    assert_eq!(error(r#""pkcs8","ed25519""#, "none", "3"), Some(PolkadotJsError::Content));
    assert_eq!(error(r#""pkcs8","sr25519""#, "rot13", "3"), Some(PolkadotJsError::Encryption));
    assert_eq!(
        error(r#""pkcs8","sr25519""#, "xsalsa20-poly1305", "3"),
        Some(PolkadotJsError::WrongPassword)
    );
    assert!(matches!(PolkadotJs::parse(b"{}"), Err(PolkadotJsError::Json { .. })));
}
