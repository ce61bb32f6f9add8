//! `tao register --pow --device opencl`, with PoCL as the only driver.

use std::path::Path;
use std::process::Output;

use serde_json::json;
use taonet_testing::skip;

use super::{BABELBIT, Chain};
use crate::support::{document, refusal, tao};

/// Debian's build of PoCL, which compiles for processors that its LLVM does not know.
const DRIVER: &str = "/etc/OpenCL/vendors/pocl.icd";

#[test]
fn hotkey_is_registered_by_opencl_device() {
    if !Path::new(DRIVER).exists() {
        let message = "SKIPPED: registration with an OpenCL device: PoCL is not installed. Install pocl-opencl-icd";
        skip(message);
        return;
    }
    // The chain accepts work for its last five blocks.
    let chain = Chain::with(&["--block-time", "1s"]);
    let (_, hotkey) = chain.wallet();
    for item in ["SubtensorModule.MinDifficulty", "SubtensorModule.Difficulty"] {
        let words =
            ["localnet", "set-storage", item, "59", "100", "--network", chain.url(), "--json"];
        document(&tao().args(words).output().unwrap());
    }
    std::fs::create_dir(chain.path("opencl")).unwrap();
    let register = |options: &[&str]| -> Output {
        let mut command = tao();
        command.args(["register", "--netuid", BABELBIT, "--pow"]).args(options);
        command.env("BT_CHAIN_ENDPOINT", chain.url()).env("BT_WALLET_PATH", chain.path("wallets"));
        command.env("LD_LIBRARY_PATH", chain.path("opencl")).env("OCL_ICD_VENDORS", DRIVER);
        command.env("POCL_CACHE_DIR", chain.path("cache")).output().unwrap()
    };
    let error = refusal(&register(&["--device", "opencl:7"]), 1);
    assert!(
        error.contains("there is no OpenCL device 7")
            && error.contains("the devices are opencl:0 ("),
        "{error}"
    );
    let result = document(&register(&["--device", "opencl", "--json"]));
    assert_eq!(
        (&result["success"], &result["difficulty"], &result["hotkey"]),
        (&json!(true), &json!(100), &json!(hotkey))
    );
    assert!(
        result["uid"].is_u64() && result["device"].as_str().unwrap().contains("pthread"),
        "{result}"
    );

    std::fs::write(chain.path("opencl/libOpenCL.so.1"), "no library").unwrap();
    let error = refusal(&register(&["--device", "opencl", "--hotkey-ss58", super::BOB]), 1);
    assert!(
        error.contains("cannot load the OpenCL library") && error.contains("--device cpu"),
        "{error}"
    );
}
