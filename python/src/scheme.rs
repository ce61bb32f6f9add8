//! Schemes by which requests are signed, and the neurons that they are signed for.

use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::convert::json_object;
use crate::errors::Failure;

/// A message class of the SDK 10: its name, its signed fields and its fields without a default.
#[pyclass(frozen, module = "taonet")]
#[derive(Clone)]
pub(crate) struct SynapseClass(taonet_wire::SynapseClass);

#[pymethods]
impl SynapseClass {
    /// `hash_fields` are those of the class's `required_hash_fields`, in the same order. `required`
    /// has the fields without a default, each with the empty value of its type.
    #[new]
    #[pyo3(signature = (name, *, hash_fields=Vec::new(), required=None))]
    fn new(
        name: &str,
        hash_fields: Vec<String>,
        required: Option<Bound<'_, PyDict>>,
    ) -> Result<Self, Failure> {
        let required = required
            .map(|fields| json_object("required", &fields))
            .transpose()?
            .unwrap_or_default();
        let class = taonet_wire::SynapseClass::new(name).hash(hash_fields);
        Ok(Self(
            required.into_iter().fold(class, |class, (field, empty)| class.required(field, empty)),
        ))
    }

    /// The name of the class.
    #[getter]
    fn name(&self) -> &str {
        self.0.name()
    }

    fn __repr__(&self) -> String {
        format!("SynapseClass({:?})", self.0.name())
    }
}

/// The signed headers of the SDK 10's dendrite, for these message classes and the base class
/// `Synapse`.
#[pyclass(frozen, module = "taonet")]
pub(crate) struct DendriteScheme(taonet_wire::DendriteScheme);

#[pymethods]
impl DendriteScheme {
    #[new]
    #[pyo3(signature = (classes=Vec::new()))]
    fn new(classes: Vec<Bound<'_, SynapseClass>>) -> Self {
        let add = |scheme: taonet_wire::DendriteScheme, class: Bound<'_, SynapseClass>| {
            scheme.class(class.get().0.clone())
        };
        Self(classes.into_iter().fold(taonet_wire::DendriteScheme::new(), add))
    }
}

/// `btauth/1`, the scheme of the SDK 11: the signature covers method, path, body, sender and
/// receiver.
#[pyclass(frozen, module = "taonet")]
pub(crate) struct BtauthScheme(taonet_wire::BtauthScheme);

#[pymethods]
impl BtauthScheme {
    /// With `accept_unbound`, a server also accepts requests that name no receiver. Any server that
    /// gets such a request can forward it to another one.
    #[new]
    #[pyo3(signature = (*, accept_unbound=false))]
    const fn new(accept_unbound: bool) -> Self {
        let scheme = taonet_wire::BtauthScheme::new();
        Self(if accept_unbound { scheme.accept_unbound() } else { scheme })
    }
}

/// The signed headers of Babelbit's validators. A server accepts both of their forms.
#[pyclass(frozen, module = "taonet")]
pub(crate) struct BabelbitScheme(taonet_wire::BabelbitScheme);

#[pymethods]
impl BabelbitScheme {
    /// With `sign_body`, a client signs the body's hash, as the arena's gateway does for managed
    /// miners; otherwise no body is signed.
    #[new]
    #[pyo3(signature = (*, sign_body=false))]
    const fn new(sign_body: bool) -> Self {
        Self(if sign_body {
            taonet_wire::BabelbitScheme::managed()
        } else {
            taonet_wire::BabelbitScheme::axon()
        })
    }
}

/// A scheme in an argument.
#[derive(FromPyObject)]
pub(crate) enum Scheme<'py> {
    #[pyo3(transparent)]
    Dendrite(Bound<'py, DendriteScheme>),
    #[pyo3(transparent)]
    Btauth(Bound<'py, BtauthScheme>),
    #[pyo3(transparent)]
    Babelbit(Bound<'py, BabelbitScheme>),
}

impl Scheme<'_> {
    /// Creates a signer of outgoing requests.
    pub(crate) fn signer(
        &self,
        keypair: taonet_wallet::Keypair,
        external_ip: &str,
    ) -> taonet_wire::Signer {
        match self {
            Self::Dendrite(scheme) => {
                taonet_wire::Signer::new(keypair, external_ip, scheme.get().0.clone())
            }
            Self::Btauth(scheme) => taonet_wire::Signer::new(keypair, external_ip, scheme.get().0),
            Self::Babelbit(scheme) => {
                taonet_wire::Signer::new(keypair, external_ip, scheme.get().0)
            }
        }
    }

    /// Creates a builder of the server's checks.
    pub(crate) fn layer(&self, me: taonet_primitives::Hotkey) -> taonet_wire::SignedLayerBuilder {
        match self {
            Self::Dendrite(scheme) => taonet_wire::SignedLayer::builder(me, scheme.get().0.clone()),
            Self::Btauth(scheme) => taonet_wire::SignedLayer::builder(me, scheme.get().0),
            Self::Babelbit(scheme) => taonet_wire::SignedLayer::builder(me, scheme.get().0),
        }
    }
}

/// The hotkey and address of a neuron to call.
#[pyclass(frozen, eq, hash, module = "taonet")]
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct Peer(pub(crate) taonet_wire::Peer);

#[pymethods]
impl Peer {
    #[new]
    fn new(hotkey: &str, host: String, port: u16) -> Result<Self, Failure> {
        Ok(Self(taonet_wire::Peer::new(hotkey.parse()?, host, port)?))
    }

    /// The neuron's hotkey.
    #[getter]
    fn hotkey(&self) -> String {
        self.0.hotkey().to_string()
    }

    /// The IP address or host name.
    #[getter]
    fn host(&self) -> &str {
        self.0.host()
    }

    /// The port.
    #[getter]
    fn port(&self) -> u16 {
        self.0.port()
    }

    /// Returns `http://host:port/path`.
    fn url(&self, path: &str) -> String {
        self.0.url(path)
    }

    fn __repr__(&self) -> String {
        format!("Peer({:?}, {:?}, {})", self.hotkey(), self.0.host(), self.0.port())
    }
}
