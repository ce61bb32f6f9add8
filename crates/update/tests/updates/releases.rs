//! Key pairs and signed releases for the tests.

use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use blake2::{Blake2b512, Digest as _};
use ed25519_dalek::{Signer as _, SigningKey};
use taonet_update::{ReleaseKey, TARGET};
use tempfile::TempDir;

/// A minisign key pair.
pub(crate) struct Keys {
    id: [u8; 8],
    secret: SigningKey,
}

impl Keys {
    pub(crate) fn new(seed: u8) -> Self {
        Self { id: [seed; 8], secret: SigningKey::from_bytes(&[seed; 32]) }
    }

    /// Creates another key pair with the same key ID.
    pub(crate) fn with_same_id(&self) -> Self {
        Self { id: self.id, secret: SigningKey::from_bytes(&[0xEE; 32]) }
    }

    /// Returns the content of the public key file.
    pub(crate) fn public(&self) -> String {
        let bytes = [b"Ed", &self.id[..], self.secret.verifying_key().as_bytes()].concat();
        format!("untrusted comment: minisign public key\n{}\n", STANDARD.encode(bytes))
    }

    pub(crate) fn key(&self) -> ReleaseKey {
        ReleaseKey::parse(&self.public()).unwrap()
    }

    /// Creates a minisign signature.
    pub(crate) fn sign(&self, message: &[u8]) -> String {
        let signature = self.secret.sign(&Blake2b512::digest(message)).to_bytes();
        let comment = "taonet release";
        let global = self.secret.sign(&[&signature[..], comment.as_bytes()].concat());
        let signature = STANDARD.encode([b"ED", &self.id[..], &signature].concat());
        let global = STANDARD.encode(global.to_bytes());
        format!("untrusted comment: signature\n{signature}\ntrusted comment: {comment}\n{global}\n")
    }
}

/// A directory of releases, signed with the keys of seed 1.
pub(crate) struct Releases {
    pub(crate) folder: TempDir,
    pub(crate) keys: Keys,
}

/// Returns a program that reports a version, and writes a man page and completions with it.
pub(crate) fn program(version: &str) -> String {
    let commands =
        r#"man) mkdir "$2" && echo VERSION >"$2/tao.1" ;; completions) echo "$2 $4 VERSION" ;;"#;
    let commands = commands.replace("VERSION", version);
    format!("#!/bin/sh\ncase \"$1\" in {commands} *) echo 'tao {version}' ;; esac\n")
}

/// Returns the file name of a release's program for this platform.
pub(crate) fn name(version: &str) -> String {
    format!("tao-{version}-{}", TARGET.expect("the tests run on a platform with releases"))
}

impl Releases {
    /// Creates a directory with one release, whose program reports its version.
    pub(crate) fn of(version: &str) -> Self {
        let releases = Self { folder: TempDir::new().unwrap(), keys: Keys::new(1) };
        releases.publish(version, program(version).as_bytes());
        releases
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Returns the path of a file of a release.
    pub(crate) fn file(&self, version: &str, name: &str) -> PathBuf {
        self.path().join(version).join(name)
    }

    /// Adds a release with this program, and makes it the latest.
    pub(crate) fn publish(&self, version: &str, program: &[u8]) {
        fs::create_dir_all(self.path().join(version)).unwrap();
        fs::write(self.file(version, &name(version)), program).unwrap();
        self.list(version, &format!("{}  {}\n", sha256(program), name(version)));
        self.announce(version);
    }

    /// Writes and signs the list of a release's digests.
    pub(crate) fn list(&self, version: &str, sums: &str) {
        fs::write(self.file(version, "SHA256SUMS"), sums).unwrap();
        fs::write(self.file(version, "SHA256SUMS.minisig"), self.keys.sign(sums.as_bytes()))
            .unwrap();
    }

    /// Writes `latest.json`.
    pub(crate) fn announce(&self, version: &str) {
        fs::write(self.path().join("latest.json"), format!("{{\"version\": \"{version}\"}}"))
            .unwrap();
    }
}

/// Returns the SHA-256 in hexadecimal digits.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    hex::encode(sha2::Sha256::digest(bytes))
}
