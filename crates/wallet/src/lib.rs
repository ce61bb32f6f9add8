//! sr25519 keys, derivation and signatures (btwallet-compatible).
