use std::fmt;

/// Seed of the random numbers that hide a prover's values in the commitments of a proof. Whoever
/// has it and the inputs can compute these commitments again, so it opens them: a secret of the
/// prover, for one proof only. Never printed; see [`Seed::as_bytes`].
#[derive(Clone, PartialEq, Eq)]
pub struct Seed([u8; 32]);

impl Seed {
    /// Creates a random seed.
    ///
    /// # Errors
    /// When the operating system provides no random bytes.
    pub fn random() -> Result<Self, getrandom::Error> {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes)?;
        Ok(Self(bytes))
    }

    /// Creates a seed from its 32 bytes, to open an earlier commitment. A new proof needs a
    /// [random](Self::random) one.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Returns the 32 bytes of the seed.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seed(…)")
    }
}
