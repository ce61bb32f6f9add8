use taonet_wallet::Keypair;
use taonet_wire::{BtauthScheme, DendriteScheme, Signer, SynapseClass};

/// The scheme that signs the requests of a subnet. All its miners and validators use the same one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum RequestScheme {
    /// The scheme of the Bittensor SDK 10, for subnets in which Python miners and validators take
    /// part. The signature covers the fields of [`SynapseClass::hash`] only.
    #[default]
    Dendrite,
    /// `btauth/1`, the scheme of the SDK 11. The signature covers the method, the path and the
    /// whole body. The SDK 11 signs such requests, but has no axon that serves them.
    Btauth,
}

impl RequestScheme {
    /// Creates a signer of requests of a class.
    pub(crate) fn signer(self, keypair: Keypair, class: SynapseClass) -> Signer {
        // The address is not signed, and miners do not need it.
        const ADDRESS: &str = "0.0.0.0";
        match self {
            Self::Dendrite => Signer::new(keypair, ADDRESS, DendriteScheme::new().class(class)),
            Self::Btauth => Signer::new(keypair, ADDRESS, BtauthScheme::new()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::Method;

    use super::*;
    use crate::Protocol as _;
    use crate::testing::{SumRequest, entry, key};

    #[test]
    fn signer_creates_the_headers_of_its_scheme() {
        let peer = entry(0, key("//miner").hotkey(), 8091).peer().unwrap();
        for (scheme, own, other) in [
            (RequestScheme::Dendrite, "bt_header_dendrite_signature", "x-bittensor-signature"),
            (RequestScheme::Btauth, "x-bittensor-signature", "bt_header_dendrite_signature"),
        ] {
            let signer = scheme.signer(key("//validator"), SumRequest::class());
            let body = SumRequest::THREE.as_bytes();
            let timeout = Duration::from_secs(12);
            let headers =
                signer.headers(&peer, &Method::POST, "/Sum", "Sum", timeout, body).unwrap();
            assert!(headers.contains_key(own), "{scheme:?}: {headers:?}");
            assert!(!headers.contains_key(other), "{scheme:?}: {headers:?}");
        }
    }
}
