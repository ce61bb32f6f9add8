use serde::Serialize;
use serde::de::DeserializeOwned;
use serde::ser::Error as _;
use serde_json::{Map, Value};
use taonet_wire::SynapseClass;

/// One kind of request of a subnet: the Rust form of a Python class that derives from `bt.Synapse`.
///
/// A request and its response are the same type, as in Python: the validator sends it with the
/// fields of the answer empty, and the miner returns it with these fields set. The fields of the
/// class are the fields of the JSON object, under the same names. Fields of the answer are optional
/// (`Option`, or `#[serde(default)]`), and a type must not deny unknown fields: a Python peer adds
/// those of `bt.Synapse` (`name`, `timeout`, `total_size`, `header_size`, `dendrite`, `axon`,
/// `computed_body_hash`), whose names a type cannot use.
///
/// ```
/// use serde::{Deserialize, Serialize};
/// use serde_json::json;
/// use taonet_kit::{Protocol, SynapseClass};
///
/// /// In Python:
/// ///
/// /// class Sum(bt.Synapse):
/// ///     a: int
/// ///     b: int
/// ///     sum: Optional[int] = None
/// ///     required_hash_fields: ClassVar[tuple[str, ...]] = ("a", "b")
/// #[derive(Serialize, Deserialize)]
/// struct Sum {
///     a: i64,
///     b: i64,
///     sum: Option<i64>,
/// }
///
/// impl Protocol for Sum {
///     fn class() -> SynapseClass {
///         SynapseClass::new("Sum").hash(["a", "b"]).required("a", json!(0)).required("b", json!(0))
///     }
/// }
/// ```
pub trait Protocol: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// Returns the message class: the name of the Python class, which is also the path (`POST
    /// /<name>`), its `required_hash_fields`, which the signature covers, and its fields without a
    /// default, which a Python axon expects in the headers.
    fn class() -> SynapseClass;
}

/// Serialises a message to the object that is sent.
pub(crate) fn serialise_fields(
    message: &impl Protocol,
) -> Result<Map<String, Value>, serde_json::Error> {
    match serde_json::to_value(message)? {
        Value::Object(fields) => Ok(fields),
        _ => Err(serde_json::Error::custom("a message must serialise to a JSON object")),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::Method;
    use serde_json::json;
    use taonet_wallet::Keypair;
    use taonet_wire::{DendriteScheme, Peer, Signer};

    use super::*;
    use crate::testing::SumRequest;

    /// `Sum(a=20, b=-3).to_headers()` of bittensor 10.5.0.
    const PYTHON_HEADERS: [(&str, &str); 5] = [
        ("name", "Sum"),
        ("timeout", "12.0"),
        ("bt_header_input_obj_a", "MA=="),
        ("bt_header_input_obj_b", "MA=="),
        ("computed_body_hash", "2df16034d493560f25551ddf1411d4bfc5c0a96ed5aae2cad9e7c7b9258c4932"),
    ];

    #[test]
    fn request_headers_match_the_python_class() {
        let keypair = Keypair::from_uri("//Alice").unwrap();
        let peer = Peer::new(keypair.hotkey(), "10.0.0.1", 8091).unwrap();
        let signer =
            Signer::new(keypair, "10.0.0.2", DendriteScheme::new().class(SumRequest::class()));
        let body =
            serde_json::to_vec(&serialise_fields(&SumRequest { a: 20, b: -3, sum: None }).unwrap())
                .unwrap();
        let timeout = Duration::from_secs(12);
        let headers = signer.headers(&peer, &Method::POST, "/Sum", "Sum", timeout, &body).unwrap();
        for (name, value) in PYTHON_HEADERS {
            assert_eq!(
                headers.get(name).and_then(|value| value.to_str().ok()),
                Some(value),
                "{name}"
            );
        }
    }

    #[test]
    fn body_of_a_python_synapse_is_read() {
        // `Sum(a=20, b=-3, sum=17).model_dump_json()` of bittensor 10.5.0.
        let terminal = json!({
            "status_code": null, "status_message": null, "process_time": null, "ip": null, "port": null,
            "version": null, "nonce": null, "uuid": null, "hotkey": null, "signature": null,
        });
        let body = json!({
            "name": "Sum", "timeout": 12.0, "total_size": 2402, "header_size": 0, "dendrite": terminal,
            "axon": terminal, "computed_body_hash": "", "a": 20, "b": -3, "sum": 17,
        });
        let read: SumRequest = serde_json::from_value(body).unwrap();
        assert_eq!(read, SumRequest { a: 20, b: -3, sum: Some(17) });
    }

    #[test]
    fn message_other_than_an_object_is_an_error() {
        #[derive(Serialize, serde::Deserialize)]
        struct Bare(i64);

        impl Protocol for Bare {
            fn class() -> SynapseClass {
                SynapseClass::new("Bare")
            }
        }

        let error = serialise_fields(&Bare(1)).unwrap_err().to_string();
        assert_eq!(error, "a message must serialise to a JSON object");
    }
}
