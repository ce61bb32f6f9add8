//! Parsing of parameters, positional or named: hexadecimal bytes, hashes, numbers, addresses.

use jsonrpsee::types::{ErrorObjectOwned, Params};
use serde_json::Value;
use sp_core::H256;
use sp_core::crypto::Ss58Codec;
use taonet_localnet_runtime::AccountId;
use taonet_localnet_runtime::dev::StorageEntry;

use super::error::{invalid_params, too_many_keys};

type ParamResult<T> = Result<T, ErrorObjectOwned>;

/// Maximum number of storage keys or block numbers in a list, the same as for a page of keys.
const MAX_LIST_LENGTH: usize = 1_000;
/// Maximum bytes of a storage key in a list; no key of the runtime is longer.
const MAX_KEY_BYTES: usize = 512;

/// The names of a method's parameters, in order, as in the real chain's node.
pub(crate) type ParamNames = &'static [&'static str];

/// The parameters of one request, in the order of their method; missing ones are null.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Args(Vec<Value>);

/// A block number parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BlockRef {
    /// Null, which means the newest block.
    Newest,
    /// A block number; `None` if it exceeds the range of block numbers.
    Number(Option<u32>),
}

/// Encodes bytes as a hexadecimal string with the prefix `0x`.
pub(crate) fn to_hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 + 2 * bytes.len());
    text.push_str("0x");
    text.push_str(&hex::encode(bytes));
    text
}

/// Converts a name in snake case, such as `start_key`, to camel case.
fn camel_case(name: &str) -> String {
    let mut parts = name.split('_');
    let mut camel_case = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (initial, tail) = part.split_at(part.len().min(1));
        camel_case.push_str(&initial.to_ascii_uppercase());
        camel_case.push_str(tail);
    }
    camel_case
}

fn from_hex(text: &str) -> ParamResult<Vec<u8>> {
    hex::decode(text.strip_prefix("0x").unwrap_or(text))
        .map_err(|error| invalid_params(error.to_string()))
}

fn parse_hash(text: &str) -> ParamResult<H256> {
    let bytes = from_hex(text)?;
    let bytes: [u8; 32] =
        bytes.try_into().map_err(|_| invalid_params("a hash must have 32 bytes"))?;
    Ok(H256(bytes))
}

/// Checks the length of a list; returns the list.
pub(crate) fn check_list_length(values: &[Value]) -> ParamResult<&[Value]> {
    if values.len() > MAX_LIST_LENGTH {
        Err(too_many_keys(values.len() as u64, MAX_LIST_LENGTH as u64))
    } else {
        Ok(values)
    }
}

fn malformed_entries() -> ErrorObjectOwned {
    invalid_params("storage must be a list of [key, value or null]")
}

fn parse_storage_entry(entry: &Value) -> ParamResult<StorageEntry> {
    let [name, value] = entry.as_array().map(Vec::as_slice).ok_or_else(malformed_entries)? else {
        return Err(malformed_entries());
    };
    let value = match value {
        Value::Null => None,
        Value::String(text) => Some(from_hex(text)?),
        _ => return Err(malformed_entries()),
    };
    Ok((parse_key(name)?, value))
}

fn parse_key(value: &Value) -> ParamResult<Vec<u8>> {
    let text = value.as_str().ok_or_else(|| invalid_params("a storage key must be a string"))?;
    if text.len() > 2 * (MAX_KEY_BYTES + 1) {
        return Err(invalid_params(format!(
            "a storage key in a list must have at most {MAX_KEY_BYTES} bytes"
        )));
    }
    from_hex(text)
}

/// Parses a block number: an integer, or hexadecimal or decimal text.
pub(crate) fn parse_block_ref(value: &Value) -> ParamResult<BlockRef> {
    let number = match value {
        Value::Null => return Ok(BlockRef::Newest),
        Value::Number(number) => number.as_u64(),
        Value::String(text) => match text.strip_prefix("0x") {
            Some(digits) => u64::from_str_radix(digits, 16).ok(),
            None => text.parse().ok(),
        },
        _ => None,
    };
    let number = number.ok_or_else(|| {
        invalid_params("a block number must be an integer or a hexadecimal string")
    })?;
    Ok(BlockRef::Number(u32::try_from(number).ok()))
}

impl Args {
    /// Parses a list of parameters, or an object with the `names` of the method's parameters.
    ///
    /// Like the real chain's node, this accepts a name in snake case or camel case, and ignores
    /// unknown names.
    pub(crate) fn parse(params: &Params<'_>, names: ParamNames) -> ParamResult<Self> {
        let Some(text) = params.as_str() else { return Ok(Self::default()) };
        match serde_json::from_str(text) {
            Ok(Value::Array(values)) => Ok(Self(values)),
            Ok(Value::Object(mut values)) => {
                let mut value =
                    |name: &&str| values.remove(*name).or_else(|| values.remove(&camel_case(name)));
                Ok(Self(names.iter().map(|name| value(name).unwrap_or_default()).collect()))
            }
            Ok(Value::Null) => Ok(Self::default()),
            Ok(_) => Err(invalid_params("parameters must be a list or an object")),
            Err(error) => Err(invalid_params(error.to_string())),
        }
    }

    /// Returns all given parameters.
    pub(crate) fn values(&self) -> &[Value] {
        &self.0
    }

    pub(crate) fn value(&self, position: usize) -> &Value {
        self.0.get(position).unwrap_or(&Value::Null)
    }

    fn str_arg(&self, position: usize, name: &str) -> ParamResult<&str> {
        self.value(position)
            .as_str()
            .ok_or_else(|| invalid_params(format!("{name} must be a string")))
    }

    /// Parses a string, such as the name of a runtime API method.
    pub(crate) fn string(&self, position: usize, name: &str) -> ParamResult<String> {
        self.str_arg(position, name).map(str::to_owned)
    }

    /// Parses hexadecimal bytes.
    pub(crate) fn bytes(&self, position: usize, name: &str) -> ParamResult<Vec<u8>> {
        from_hex(self.str_arg(position, name)?)
    }

    /// Parses hexadecimal bytes, or null.
    pub(crate) fn optional_bytes(
        &self,
        position: usize,
        name: &str,
    ) -> ParamResult<Option<Vec<u8>>> {
        match self.value(position) {
            Value::Null => Ok(None),
            _ => self.bytes(position, name).map(Some),
        }
    }

    /// Parses a block hash; null means the newest block.
    pub(crate) fn hash(&self, position: usize) -> ParamResult<Option<H256>> {
        match self.value(position) {
            Value::Null => Ok(None),
            _ => parse_hash(self.str_arg(position, "a block's hash")?).map(Some),
        }
    }

    /// Parses a list of storage keys; null is an empty list.
    pub(crate) fn keys(&self, position: usize) -> ParamResult<Vec<Vec<u8>>> {
        match self.value(position) {
            Value::Null => Ok(Vec::new()),
            Value::Array(values) => check_list_length(values)?.iter().map(parse_key).collect(),
            _ => Err(invalid_params("storage keys must be a list")),
        }
    }

    /// Parses a list of storage keys, each with a value or null.
    pub(crate) fn entries(&self, position: usize) -> ParamResult<Vec<StorageEntry>> {
        let entries = self.value(position).as_array().ok_or_else(malformed_entries)?;
        check_list_length(entries)?.iter().map(parse_storage_entry).collect()
    }

    /// Parses a non-negative count.
    pub(crate) fn count(&self, position: usize, name: &str) -> ParamResult<u64> {
        self.value(position)
            .as_u64()
            .ok_or_else(|| invalid_params(format!("{name} must be a non-negative integer")))
    }

    /// Parses an account: its SS58 address, or its public key in hexadecimal.
    pub(crate) fn account(&self, position: usize) -> ParamResult<AccountId> {
        let text = self.str_arg(position, "an account")?;
        if text.starts_with("0x") {
            return parse_hash(text).map(|key| AccountId::new(key.0));
        }
        AccountId::from_ss58check(text)
            .map_err(|error| invalid_params(format!("malformed address {text:?}: {error:?}")))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn args(value: &Value) -> Args {
        Args::parse(&Params::new(Some(&value.to_string())), &[]).unwrap()
    }

    #[test]
    fn block_number_is_integer_hexadecimal_or_text() {
        for (value, number) in [
            (json!(null), BlockRef::Newest),
            (json!(0), BlockRef::Number(Some(0))),
            (json!("0x10"), BlockRef::Number(Some(16))),
            (json!("16"), BlockRef::Number(Some(16))),
            (json!(u64::from(u32::MAX) + 1), BlockRef::Number(None)),
        ] {
            assert_eq!(parse_block_ref(&value).unwrap(), number, "{value}");
        }
        for value in
            [json!(-1), json!(1.5), json!("0x"), json!("x"), json!([1]), json!(true), json!("")]
        {
            assert!(parse_block_ref(&value).is_err(), "{value}");
        }
    }

    #[test]
    fn parameters_are_a_list_or_an_object() {
        let parse = |text| Args::parse(&Params::new(text), &["key", "start_key", "hash"]);
        let key = Args(vec![json!("0x01"), json!(null), json!(null)]);
        let start = Args(vec![json!(null), json!("0x02"), json!(null)]);
        for (text, expected) in [
            (None, Args::default()),
            (Some("null"), Args::default()),
            (Some("[]"), Args::default()),
            (Some(r#"["0x01", null, null]"#), key.clone()),
            (Some(r#"{"key": "0x01"}"#), key.clone()),
            (Some(r#"{"hash": null, "key": "0x01"}"#), key.clone()),
            (Some(r#"{"key": "0x01", "at": 5}"#), key),
            (Some(r#"{"start_key": "0x02"}"#), start.clone()),
            (Some(r#"{"startKey": "0x02"}"#), start),
        ] {
            assert_eq!(parse(text).unwrap(), expected, "{text:?}");
        }
        for text in ["[1", "{", "5", "true", r#""key""#] {
            assert_eq!(parse(Some(text)).unwrap_err().code(), -32602, "{text}");
        }
    }

    #[test]
    fn account_is_address_or_public_key() {
        let alice = "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY";
        let key = "0xd43593c715fdd31c61141abd04a99fd6822c8558854ccde39a5684e7a56da27d";
        assert_eq!(
            args(&json!([alice])).account(0).unwrap(),
            args(&json!([key])).account(0).unwrap()
        );
        for wrong in [json!([&alice[1..]]), json!([""]), json!(["0x00"]), json!([1]), json!([])] {
            assert!(args(&wrong).account(0).is_err(), "{wrong}");
        }
    }

    #[test]
    fn number_and_length_of_keys_are_limited() {
        let key = |bytes: usize| json!("0x".to_owned() + &"00".repeat(bytes));
        assert_eq!(args(&json!([vec![key(1); 1_000]])).keys(0).unwrap().len(), 1_000);
        assert_eq!(args(&json!([vec![key(1); 1_001]])).keys(0).unwrap_err().code(), 4002);
        assert!(args(&json!([[key(512)]])).keys(0).is_ok());
        assert_eq!(args(&json!([[key(513)]])).keys(0).unwrap_err().code(), -32602);
    }

    proptest! {
        #[test]
        fn hex_params_round_trip(bytes: Vec<u8>) {
            let list = args(&json!([to_hex(&bytes), hex::encode(&bytes)]));
            prop_assert_eq!(list.bytes(0, "bytes").unwrap(), bytes.clone());
            prop_assert_eq!(list.bytes(1, "bytes").unwrap(), bytes);
        }

        #[test]
        fn hash_must_have_32_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let list = args(&json!([to_hex(&bytes)]));
            prop_assert_eq!(list.hash(0).is_ok(), bytes.len() == 32);
        }

        #[test]
        fn random_text_never_panics(text: String, number: u64) {
            let list = args(&json!([text, number]));
            let _ = (list.bytes(0, ""), list.hash(0), list.keys(0), list.count(0, ""), list.account(0));
            let _ = (list.bytes(1, ""), list.hash(1), list.keys(1), list.count(1, ""), list.account(1));
            let _ = Args::parse(&Params::new(Some(&text)), &["key"]);
            let _ = parse_block_ref(&json!(text));
        }
    }
}
