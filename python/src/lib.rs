//! The Python package `taonet`: the parts of this workspace that a subnet in Python can use.
//!
//! This crate is the package's extension module `taonet._native`. Its classes are thin: each holds
//! a value of another crate, converts arguments and results, and raises that crate's errors as
//! exceptions with the same messages. The ASGI middleware, which receives and sends with the web
//! server, is Python code in `taonet/asgi.py`. `docs/python.md` is the guide for users,
//! `taonet/_native.pyi` has the types. A caller starts in Python:
//!
//! ```python
//! import taonet
//!
//! keypair = taonet.Keypair.from_uri("//Alice")
//! assert taonet.verify(keypair.address, "hello", keypair.sign("hello"))
//! ```
//!
//! - `keys`, `wallet`: key pairs, signatures, keyfiles and wallets.
//! - `scheme`, `client`, `server`, `policy`: requests signed by btauth/1 or the dendrite scheme,
//!   sent and verified.
//! - `chain`, `ledger`, `yuma`: metagraphs, weights submitted once per epoch, Yuma consensus.
//! - `runtime`: waits for futures without the GIL, and reacts to Ctrl-C meanwhile.
//!
//! Build the wheel with `scripts/python-wheel`, which runs maturin. The module uses the stable ABI
//! of Python 3.9, so one wheel serves every later version, and needs no libpython at build time.
//! Secrets are not shown in Python: `repr` shows addresses, no method returns a secret key. The
//! crate has no Rust API and no unsafe code of its own.
//!
//! Uses `taonet-chain`, `taonet-consensus`, `taonet-http` (buffered bodies), `taonet-ledger`,
//! `taonet-primitives`, `taonet-wallet` and `taonet-wire`. Used by no other crate; the end-to-end
//! tests run the built package.

#![allow(clippy::needless_pass_by_value, reason = "PyO3 passes converted arguments by value")]

mod chain;
mod client;
mod convert;
mod errors;
mod keys;
mod ledger;
mod policy;
mod runtime;
mod scheme;
mod server;
mod wallet;
mod yuma;

/// The extension module.
#[pyo3::pymodule]
mod _native {
    #[pymodule_export]
    use crate::chain::{Block, Client, Metagraph, Neuron};
    #[pymodule_export]
    use crate::client::{Call, Reply, Response, ResponseStream, SignedClient, Signer};
    #[pymodule_export]
    use crate::errors::{
        CallError, ChainError, Error, LedgerError, ReplayLogError, SigningError, WalletError,
        WrongPasswordError,
    };
    #[pymodule_export]
    use crate::keys::{Keypair, generate_mnemonic, verify, verify_batch};
    #[pymodule_export]
    use crate::ledger::{Extrinsic, Submission, WeightLedger, read_ledger};
    #[pymodule_export]
    use crate::policy::{Limits, Policy, Standings};
    #[pymodule_export]
    use crate::scheme::{BabelbitScheme, BtauthScheme, DendriteScheme, Peer, SynapseClass};
    #[pymodule_export]
    use crate::server::{Caller, Request, Verifier};
    #[pymodule_export]
    use crate::wallet::{Keyfile, Wallet};
    #[pymodule_export]
    use crate::yuma::yuma;

    /// The version of the package.
    #[pymodule_export]
    #[expect(non_upper_case_globals, reason = "the name of Python's convention")]
    const __version__: &str = env!("CARGO_PKG_VERSION");
}
