//! Tests that no output of this crate contains a secret, even at the most verbose log level.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test helper panics as a test does"
)]

use std::fmt::{Debug, Display, Write as _};
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};

use taonet_wallet::{
    CryptoType, EncryptedKeyfile, Keyfile, Keypair, Mnemonic, Name, Overwrite, Password,
    PolkadotJs, SignedMessage, StoredKey, Wallets, message_bytes, verify_batch,
};
use tracing_subscriber::fmt::MakeWriter;

const PHRASE: &str = "legal winner thank year wave sausage worth useful legal winner thank yellow";
const PASSWORD: &str = "unguessable-Passw0rd";

/// All captured output: log lines, `Debug` output and errors.
#[derive(Clone, Default)]
struct Transcript(Arc<Mutex<Vec<u8>>>);

impl io::Write for Transcript {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Transcript {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

impl Transcript {
    fn print_debug(&mut self, value: &impl Debug) {
        let text = format!("{value:?}\n{value:#?}\n");
        io::Write::write_all(self, text.as_bytes()).unwrap();
    }

    /// Prints an error with its sources, as loggers do.
    fn print_error<T: Debug, E: std::error::Error + Display>(&mut self, result: Result<T, E>) {
        let error = result.unwrap_err();
        let mut text = format!("{error} {error:?} {error:#?}");
        let mut source = error.source();
        while let Some(inner) = source {
            write!(text, ": {inner} {inner:?}").unwrap();
            source = inner.source();
        }
        text.push('\n');
        io::Write::write_all(self, text.as_bytes()).unwrap();
    }
}

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

#[cfg(unix)]
fn make_world_readable(path: &Path) {
    use std::os::unix::fs::PermissionsExt;

    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o666)).unwrap();
}

#[cfg(not(unix))]
fn make_world_readable(_: &Path) {}

#[test]
fn errors_and_debug_output_contain_no_secret() {
    let mut log = Transcript::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(log.clone())
        .with_ansi(false);
    let mut secrets = vec![PHRASE.to_owned(), PASSWORD.to_owned()];
    secrets.extend(["sausage", "winner thank", "Passw0rd", "unguess"].map(str::to_owned));
    tracing::subscriber::with_default(subscriber.finish(), || {
        tracing::trace!("the log is captured");
        let dir = tempfile::tempdir().unwrap();
        for crypto_type in [CryptoType::Sr25519, CryptoType::Ed25519] {
            print_secrets(
                &mut log,
                crypto_type,
                &dir.path().join(crypto_type.name()),
                &mut secrets,
            );
        }
    });
    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(log.contains("the log is captured"));
    assert!(log.contains("chmod 600"), "{log}");
    assert_eq!(log.matches(".backups/hotkeys/h.1 secret=\"plain\"").count(), 2, "{log}");
    assert_eq!(log.matches("secret is accessible to other users").count(), 2, "{log}");
    assert_eq!(log.matches("the public keyfile does not match the key").count(), 2, "{log}");
    assert!(log.lines().count() > 60, "{log}");
    assert!(secrets.len() > 20, "{}", secrets.len());
    let lower = log.to_lowercase();
    for secret in secrets {
        assert!(!lower.contains(&secret.to_lowercase()), "{secret} is in:\n{log}");
    }
}

/// Prints the `Debug` output of every type with a secret, prints every kind of error, and triggers
/// the log messages.
fn print_secrets(
    log: &mut Transcript,
    crypto_type: CryptoType,
    root: &Path,
    secrets: &mut Vec<String>,
) {
    let mnemonic = Mnemonic::parse(PHRASE).unwrap();
    let seed = mnemonic.to_seed("");
    let keyfile = Keyfile::from_mnemonic(&mnemonic, crypto_type);
    let pair = keyfile.keypair().unwrap().clone();
    let (seed_hex, private_hex) =
        (hex::encode(seed.as_slice()), hex::encode(&*pair.to_private_key()));
    for digits in [&seed_hex, &private_hex] {
        // The output must contain no part of a key, nor its bytes as a list of numbers.
        secrets.extend(
            digits.as_bytes().chunks(16).map(|part| String::from_utf8(part.to_vec()).unwrap()),
        );
    }
    for bytes in [seed.as_slice(), &pair.to_private_key()] {
        secrets.push(bytes.iter().take(4).map(ToString::to_string).collect::<Vec<_>>().join(", "));
    }
    let password = Password::new(PASSWORD.to_owned());
    let wrong_password = Password::new("another".to_owned());
    let wrong_key = Keypair::from_uri_with("//Alice", crypto_type).unwrap();
    log.print_debug(&(&mnemonic, &keyfile, &pair, &password, pair.public(), crypto_type));

    log.print_error(Mnemonic::parse(&PHRASE.replace("yellow", "winner")));
    log.print_error(Mnemonic::parse(&format!("{PHRASE} extra")));
    for uri in [
        format!("{PHRASE}//"),
        format!("{PHRASE}x"),
        format!("0x{seed_hex}00"),
        format!("{private_hex}//x"),
    ] {
        log.print_error(Keypair::from_uri_with(&uri, crypto_type));
    }
    log.print_error(Keypair::from_private_key_with(&pair.to_private_key()[1..], crypto_type));
    log.print_error(message_bytes(&format!("0x{seed_hex}g")));
    for json in [
        format!(r#"{{"secretSeed":"0x{seed_hex}00"}}"#),
        format!(r#"{{"secretSeed":{seed_hex}"#),
        format!(r#"{{"secretPhrase":["{PHRASE}"]}}"#),
        format!(r#"{{"secretPhrase":"{PHRASE} and"}}"#),
        format!(r#"{{"privateKey":"{private_hex}00"}}"#),
        format!(r#"{{"cryptoType":"{PHRASE}"}}"#),
        format!(r#"{{"ss58Address":"{PHRASE}"}}"#),
        format!(r#"{{"publicKey":"0x{private_hex}0"}}"#),
        PHRASE.to_owned(),
        seed_hex.clone(),
    ] {
        log.print_error(Keyfile::from_bytes(json.as_bytes(), Some(&password)));
        log.print_error(PolkadotJs::parse(json.as_bytes()));
    }
    log.print_error(Password::from_stored("BT_PW_X", PASSWORD));
    log.print_error(Password::new("Passw0rd".to_owned()).check_new());
    log.print_error(PASSWORD.parse::<CryptoType>());
    log.print_error(Password::from_lookup(root, |_| Some(PASSWORD.into())));
    if crypto_type == CryptoType::Sr25519 {
        let export = PolkadotJs::export(&pair, &password, "name", 0).unwrap();
        let account = PolkadotJs::parse(export.as_bytes()).unwrap();
        log.print_debug(&account);
        log.print_error(account.open(&wrong_password));
    } else {
        log.print_error(PolkadotJs::export(&pair, &password, "name", 0));
    }

    let wallet = Wallets::new(root).wallet(name("alice"));
    log.print_debug(&wallet.write_coldkey(&keyfile, None, Overwrite::Refuse).unwrap());
    log.print_debug(&wallet.write_hotkey(&name("h"), &keyfile, None, Overwrite::Refuse).unwrap());
    log.print_error(wallet.write_hotkey(&name("h"), &keyfile, None, Overwrite::Refuse));
    make_world_readable(&wallet.hotkey_path(&name("h")));
    log.print_debug(
        &wallet.write_hotkey(&name("h"), &keyfile, None, Overwrite::KeepBackup).unwrap(),
    );
    make_world_readable(&wallet.coldkey_path());
    log.print_debug(&wallet.coldkey().unwrap());
    log.print_debug(&wallet.coldkey().unwrap().open(None).unwrap());
    log.print_debug(&(Wallets::new(root).list().unwrap(), &wallet));
    std::fs::write(
        wallet.coldkeypub_path(),
        Keyfile::from_public(wrong_key.public()).to_public_json(),
    )
    .unwrap();
    log.print_debug(&wallet.coldkey().unwrap().open(None).unwrap());
    wallet.hotkey(&name("h")).unwrap().change_password(None, Some(&password)).unwrap();
    let password_file = root.join("password");
    std::fs::write(&password_file, PASSWORD).unwrap();
    make_world_readable(&password_file);
    log.print_debug(&Password::from_file(&password_file).unwrap());
    log.print_error(StoredKey::read(root));
    std::fs::write(wallet.coldkey_path(), format!("{PHRASE} {PASSWORD}")).unwrap();
    log.print_error(wallet.coldkey().unwrap().open(Some(&password)));

    let vault = "$ANSIBLE_VAULT;1.1;AES256\n33310a33310a3331\n";
    log.print_debug(&EncryptedKeyfile::parse(vault.as_bytes()).unwrap());
    log.print_error(Keyfile::from_bytes(vault.as_bytes(), Some(&password)));

    let signature = pair.sign(b"message");
    let signed = SignedMessage { signer: pair.hotkey(), message: b"message", signature };
    log.print_debug(&(signed, verify_batch(&[signed]), signature));
}
