//! Key pairs and signatures.

use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};
use taonet_primitives::Hotkey;
use taonet_wallet::{Mnemonic, PublicKey, SignedMessage, WordCount};

use crate::convert::{Message, crypto_type};
use crate::errors::Failure;

/// An sr25519 or ed25519 key pair. Its secret is never shown, and wiped from memory when the object
/// is freed.
#[pyclass(frozen, module = "taonet")]
pub(crate) struct Keypair(Arc<taonet_wallet::Keypair>);

impl Keypair {
    pub(crate) fn new(pair: taonet_wallet::Keypair) -> Self {
        Self(Arc::new(pair))
    }

    pub(crate) fn pair(&self) -> &taonet_wallet::Keypair {
        &self.0
    }
}

#[pymethods]
impl Keypair {
    /// Derives a key pair from a URI such as `//Alice`, or from a mnemonic.
    #[staticmethod]
    #[pyo3(signature = (uri, *, crypto_type="sr25519"))]
    fn from_uri(py: Python<'_>, uri: &str, crypto_type: &str) -> Result<Self, Failure> {
        let crypto_type = self::crypto_type(crypto_type)?;
        // The seed of a mnemonic takes thousands of hashes.
        Ok(Self::new(py.detach(|| taonet_wallet::Keypair::from_uri_with(uri, crypto_type))?))
    }

    /// Creates a key pair from a seed of 32 bytes.
    #[staticmethod]
    #[pyo3(signature = (seed, *, crypto_type="sr25519"))]
    fn from_seed(seed: &[u8], crypto_type: &str) -> Result<Self, Failure> {
        let seed = seed
            .try_into()
            .map_err(|_| Failure::value(format!("seed has {} bytes, expected 32", seed.len())))?;
        Ok(Self::new(taonet_wallet::Keypair::from_seed_with(seed, self::crypto_type(crypto_type)?)))
    }

    /// The SS58 address of the public key.
    #[getter]
    fn address(&self) -> String {
        self.0.public().to_string()
    }

    /// The 32 bytes of the public key.
    #[getter]
    fn public_key<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, self.0.public().as_bytes())
    }

    /// The signature scheme: "sr25519" or "ed25519".
    #[getter]
    fn crypto_type(&self) -> &'static str {
        self.0.crypto_type().name()
    }

    /// Signs a message: bytes, the decoded hex digits of a text after `0x`, or any other text as
    /// UTF-8.
    fn sign<'py>(&self, py: Python<'py>, message: Message) -> Result<Bound<'py, PyBytes>, Failure> {
        let message = message.to_signed()?;
        let signature = py.detach(|| self.0.sign(&message));
        Ok(PyBytes::new(py, signature.as_bytes()))
    }

    /// Whether this key signed exactly this message.
    fn verify(
        &self,
        py: Python<'_>,
        message: Message,
        signature: Message,
    ) -> Result<bool, Failure> {
        check(py, self.0.public(), &message, &signature, false)
    }

    fn __repr__(&self) -> String {
        format!("{:?}", self.0)
    }
}

fn check(
    py: Python<'_>,
    signer: PublicKey,
    message: &Message,
    signature: &Message,
    wrapped: bool,
) -> Result<bool, Failure> {
    let message = message.to_signed()?;
    let Some(signature) = signature.to_signature() else { return Ok(false) };
    Ok(py.detach(|| {
        if wrapped {
            signer.verify_wrapped(&message, &signature)
        } else {
            signer.verify(&message, &signature)
        }
    }))
}

/// Whether `signer`, an address, signed a message. A malformed signature is not valid; a malformed
/// address is a `ValueError`. With `wrapped`, the message may also be signed as `<Bytes>…</Bytes>`,
/// as browser wallets do.
#[pyfunction]
#[pyo3(signature = (signer, message, signature, *, crypto_type="sr25519", wrapped=false))]
pub(crate) fn verify(
    py: Python<'_>,
    signer: &str,
    message: Message,
    signature: Message,
    crypto_type: &str,
    wrapped: bool,
) -> Result<bool, Failure> {
    let signer = PublicKey::parse(signer, self::crypto_type(crypto_type)?)?;
    check(py, signer, &message, &signature, wrapped)
}

/// Verifies many sr25519 signatures, given as tuples (signer, message, signature). Returns one
/// result for each, equal to that of [`verify`], but faster.
#[pyfunction]
pub(crate) fn verify_batch(
    py: Python<'_>,
    items: Vec<(String, Message, Message)>,
) -> Result<Vec<bool>, Failure> {
    let mut parsed: Vec<(Hotkey, Vec<u8>, Option<taonet_wallet::Signature>)> =
        Vec::with_capacity(items.len());
    for (index, (signer, message, signature)) in items.into_iter().enumerate() {
        let signer = signer
            .parse()
            .map_err(|error| Failure::value(format!("items[{index}]: {signer:?}: {error}")))?;
        parsed.push((signer, message.to_signed()?, signature.to_signature()));
    }
    Ok(py.detach(|| {
        let well_formed = parsed.iter().filter_map(|(signer, message, signature)| {
            Some(SignedMessage { signer: *signer, message, signature: (*signature)? })
        });
        let mut results = taonet_wallet::verify_batch(&well_formed.collect::<Vec<_>>()).into_iter();
        let result = |(_, _, signature): &(_, _, Option<_>)| {
            signature.is_some() && results.next().unwrap_or(false)
        };
        parsed.iter().map(result).collect()
    }))
}

/// Generates a mnemonic of 12, 15, 18, 21 or 24 words.
#[pyfunction]
#[pyo3(signature = (words=12))]
pub(crate) fn generate_mnemonic(
    py: Python<'_>,
    words: usize,
) -> Result<Bound<'_, PyString>, Failure> {
    let count = WordCount::try_from(words).map_err(|error| Failure::value(error.to_string()))?;
    Ok(PyString::new(py, &Mnemonic::generate(count)?.phrase()))
}
