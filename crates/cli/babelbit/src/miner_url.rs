//! Addresses of miners on the command line.

use taonet_babelbit_runner::{AddressPolicy, MinerAddress};
use taonet_cli_base::exit::ClassifiedError;

/// Parses `http://HOST:PORT` or `HOST:PORT`; `prefix` precedes the message of an error. The user
/// chose the address, so private addresses are allowed.
///
/// # Errors
/// If the address is malformed, or has neither a port nor a scheme that implies one.
pub(crate) fn parse_miner_url(prefix: &str, text: &str) -> anyhow::Result<MinerAddress> {
    let address = AddressPolicy::private()
        .resolve(text)
        .map_err(|error| ClassifiedError::usage(format!("{prefix}{error}")))?;
    if !text.contains("://") && !has_port(text) {
        let message = format!(
            "{prefix}`{text}` has no port\nhint: pass HOST:PORT, such as {}:8092",
            address.url().host_str().unwrap_or_default()
        );
        return Err(ClassifiedError::usage(message));
    }
    Ok(address)
}

/// Whether an address without a scheme has a port. An IPv6 address, which has colons itself, is in
/// brackets.
fn has_port(address: &str) -> bool {
    let authority = address.split('/').next().unwrap_or_default();
    let port_part = authority.rsplit(']').next().unwrap_or_default();
    port_part.rsplit_once(':').is_some_and(|(_, port)| !port.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn address_without_port_is_rejected() {
        for (text, port) in [
            ("127.0.0.1:8092", 8092),
            ("127.0.0.1:80", 80),
            ("[::1]:8092", 8092),
            ("http://127.0.0.1:8092", 8092),
            ("https://miner.example.com/a", 443),
        ] {
            assert_eq!(parse_miner_url("", text).unwrap().port(), port, "{text}");
        }
        for (text, host) in [
            ("127.0.0.1", "127.0.0.1"),
            ("127.0.0.1:", "127.0.0.1"),
            ("miner.example.com/a:1", "miner.example.com"),
            ("[::1]", "[::1]"),
        ] {
            let error = parse_miner_url("--miner: ", text).unwrap_err().to_string();
            let expected =
                format!("--miner: `{text}` has no port\nhint: pass HOST:PORT, such as {host}:8092");
            assert_eq!(error, expected);
        }
        let error = parse_miner_url("", "ftp://127.0.0.1:1").unwrap_err().to_string();
        assert!(error.contains("not an http or https URL"), "{error}");
    }
}
