//! What holders of TAO do with stake, keys, proxies and crowdloans.

mod crowdloans;
mod keys;
mod proxies;
mod stake;

use serde_json::{Value, json};

use super::{Chain, failure};
use crate::support::{document, tao};

/// JSON document of a successful call signed by a development key.
#[track_caller]
fn signed(chain: &Chain, key: &str, arguments: &[&str]) -> Value {
    let told = document(&chain.tao(arguments, &["--key-uri", key, "--yes", "--json"]));
    assert_eq!(told["success"], true, "{told}");
    told
}

/// Name of the error of a call signed by a development key.
#[track_caller]
fn refused(chain: &Chain, key: &str, arguments: &[&str]) -> String {
    let (code, told) = failure(&chain.tao(arguments, &["--key-uri", key, "--yes", "--json"]));
    assert_eq!((code, &told["success"]), (5, &json!(false)), "{told}");
    told["error"]["name"].as_str().unwrap().to_owned()
}

fn mine(chain: &Chain, blocks: u32) {
    document(
        &tao()
            .args(["localnet", "mine", &blocks.to_string(), "--network", chain.url(), "--json"])
            .output()
            .unwrap(),
    );
}
