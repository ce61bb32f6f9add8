//! Keys, keyfiles, wallets on disk and signatures, compatible with Bittensor's own wallets.
//!
//! Uses `taonet-primitives` (addresses). Used by everything that signs: `taonet-chain`,
//! `taonet-wire`, every validator and the command line; and by `taonet-doctor`, which checks
//! keyfiles.
//!
//! # Tour
//!
//! **Keys.** A [`Keypair`] is created from a derivation URI (`//Alice`), a [`Mnemonic`], a seed or
//! a private key, of either [`CryptoType`]; a [`PublicKey`] is its public half.
//!
//! ```
//! use taonet_wallet::{Keypair, Mnemonic, WordCount, verify};
//!
//! let mnemonic = Mnemonic::generate(WordCount::Twelve)?;
//! let pair = Keypair::from_seed(&mnemonic.to_seed(""));
//! let signature = pair.sign(b"hello");
//! assert!(verify(&pair.hotkey(), b"hello", &signature));
//! # Ok::<(), taonet_wallet::KeyError>(())
//! ```
//!
//! **Signatures.** [`verify`] and [`verify_batch`] are for requests between neurons,
//! [`PublicKey::verify_wrapped`] for texts that people sign, for example in a browser.
//! [`message_bytes`] converts a text to the bytes to sign, decoding texts that begin with `0x`. In
//! this example a validator proves its identity: it signs a text with its address, and anyone can
//! verify it.
//!
//! ```
//! use taonet_wallet::{CryptoType, Keypair, PublicKey, message_bytes};
//!
//! let validator = Keypair::from_uri("//Alice")?;
//! let info = format!(r#"{{"hotkeys": ["{}"], "label": "Example", "timestamp": 1700000000}}"#, validator.hotkey());
//! let message = message_bytes(&info)?;
//! let signature = validator.sign(&message).to_bare_hex();
//!
//! let signer = PublicKey::parse("5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY", CryptoType::Sr25519)?;
//! assert!(signer.verify_wrapped(&message, &signature.parse()?));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! **Keyfiles.** A [`Keyfile`] is the content of a file. The crate reads plain keyfiles and the
//! three encryption formats of Bittensor's wallets ([`Encryption`]); it writes plain keyfiles and
//! the current wallet's format. [`PolkadotJs`] reads and writes the exports of browser wallets.
//! [`Password`] reads passwords from files, file descriptors and the variables of Bittensor's
//! tools, which the caller looks up, and checks their strength.
//!
//! **Wallets on disk.** [`Wallets`] is a directory of wallets, [`Wallet`] one of them, with its
//! coldkey and hotkeys. A [`StoredKey`] is a keyfile that was read but not decrypted.
//!
//! ```
//! use taonet_wallet::{CryptoType, Keyfile, Mnemonic, Overwrite, Wallets, WordCount};
//!
//! # let directory = tempfile::tempdir()?;
//! # let root = directory.path();
//! let wallet = Wallets::new(root).wallet("alice".parse()?);
//! let key = Keyfile::from_mnemonic(&Mnemonic::generate(WordCount::Twelve)?, CryptoType::Sr25519);
//! wallet.write_hotkey(&"default".parse()?, &key, None, Overwrite::Refuse)?;
//! assert_eq!(wallet.hotkey(&"default".parse()?)?.open(None)?.public(), key.public());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Guarantees
//!
//! - Secrets never appear in `Debug` output, errors or logs. They are wiped from memory when
//!   dropped, and keys are on the heap, so that moves leave no copy behind. On the stack this is
//!   best effort: copies made by the compiler, or by a library during a computation, remain until
//!   they are overwritten.
//! - A file is written atomically, with access for its owner only; a key is overwritten only on
//!   request, and then the old one is kept in the wallet's `.backups`. A change of the password
//!   replaces the keyfile without a backup. The crate locks a wallet while it writes to it.
//! - After an error the old key is still in place, except after [`WalletError::PartlyWritten`],
//!   which lists the new files.
//! - A wrong password and a damaged file give the same error, after a comparison in constant time.
//! - The crate reads no environment variables and never prompts: the program that uses it does
//!   both.

#![warn(clippy::arithmetic_side_effects)]
#![cfg_attr(test, allow(clippy::arithmetic_side_effects))]

mod batch;
mod crypto_type;
mod derive;
mod hex_text;
mod key_error;
mod keyfile;
mod keypair;
mod message;
mod mnemonic;
mod open;
mod password;
mod polkadot_js;
mod public_key;
mod signature;
mod stored_key;
mod wallet_error;
mod wallets;
mod write;

pub use batch::{SignedMessage, verify_batch};
pub use crypto_type::CryptoType;
pub use key_error::KeyError;
pub use keyfile::{EncryptedKeyfile, Encryption, Keyfile, KeyfileError};
pub use keypair::Keypair;
pub use message::{MessageError, message_bytes};
pub use mnemonic::{DEV_PHRASE, Mnemonic, WordCount};
pub use open::warn_if_exposed;
pub use password::{
    MIN_LENGTH, MIN_STRENGTH, Password, PasswordError, StoredPasswordError, WeakPassword,
    stored_password_name,
};
pub use polkadot_js::{PolkadotJs, PolkadotJsError};
pub use public_key::{DecodedPublicKey, PublicKey, PublicKeyError};
pub use signature::{Signature, SignatureError, verify, verify_wrapped};
pub use stored_key::StoredKey;
pub use wallet_error::WalletError;
pub use wallets::{
    Backup, DEFAULT_ROOT, ListedHotkey, ListedWallet, Name, NameError, SecretState, Wallet,
    Wallets, expand_home,
};
pub use write::{Overwrite, WrittenFiles};
