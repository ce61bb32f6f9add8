//! Commands for holders of TAO: stake, keys, proxies and crowdloans.

mod crowdloans;
mod keys;
mod proxies;
mod stake;

use serde_json::{Value, json};

use super::{Chain, failure};
use crate::support::{document, tao};

/// JSON document of a successful call signed by a development key.
#[track_caller]
fn call_as(chain: &Chain, key: &str, arguments: &[&str]) -> Value {
    let result = document(&chain.tao(arguments, &["--key-uri", key, "--yes", "--json"]));
    assert_eq!(result["success"], true, "{result}");
    result
}

/// Name of the error of a call signed by a development key.
#[track_caller]
fn refusal_of(chain: &Chain, key: &str, arguments: &[&str]) -> String {
    let (code, result) = failure(&chain.tao(arguments, &["--key-uri", key, "--yes", "--json"]));
    assert_eq!((code, &result["success"]), (5, &json!(false)), "{result}");
    result["error"]["name"].as_str().unwrap().to_owned()
}

fn mine(chain: &Chain, blocks: u32) {
    document(
        &tao()
            .args(["localnet", "mine", &blocks.to_string(), "--network", chain.url(), "--json"])
            .output()
            .unwrap(),
    );
}
