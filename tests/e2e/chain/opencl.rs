//! `tao register --pow --device opencl`, with PoCL as the only driver.

use std::path::{Path, PathBuf};
use std::process::Output;

use serde_json::json;

use super::{BABELBIT, Chain};
use crate::peers::Peer;
use crate::support::{document, refusal, tao};

/// Returns the file of a directory whose name begins with a prefix.
fn only(directory: &Path, prefix: &str) -> PathBuf {
    let mut files = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    files.find(|file| file.file_name().unwrap().to_string_lossy().starts_with(prefix)).unwrap()
}

#[test]
fn a_hotkey_is_registered_with_an_opencl_device() {
    let Some(peer) = Peer::find("pocl") else { return };
    // The chain accepts work for its last five blocks.
    let chain = Chain::with(&["--block-time", "1s"]);
    let (_, hotkey) = chain.wallet();
    for item in ["SubtensorModule.MinDifficulty", "SubtensorModule.Difficulty"] {
        let words = ["localnet", "set-storage", item, "59", "100", "--network", chain.url(), "--json"];
        document(&tao().args(words).output().unwrap());
    }
    let package = only(&peer.programs().with_file_name("lib"), "python").join("site-packages/pyopencl");
    let libraries = package.join(".libs");
    std::fs::create_dir(chain.path("opencl")).unwrap();
    let library = chain.path("opencl/libOpenCL.so.1");
    std::os::unix::fs::symlink(only(&libraries, "libOpenCL"), &library).unwrap();
    let register = |options: &[&str]| -> Output {
        let mut command = tao();
        command.args(["register", "--netuid", BABELBIT, "--pow"]).args(options);
        command.env("BT_CHAIN_ENDPOINT", chain.url()).env("BT_WALLET_PATH", chain.path("wallets"));
        command.env("LD_LIBRARY_PATH", chain.path("opencl")).env("OCL_ICD_VENDORS", only(&libraries, "libpocl"));
        // This build of the loader crashes without PYOPENCL_HOME.
        command.env("PYOPENCL_HOME", &package).env("POCL_CACHE_DIR", chain.path("cache"));
        command.output().unwrap()
    };
    let error = refusal(&register(&["--device", "opencl:7"]), 1);
    assert!(error.contains("there is no OpenCL device 7") && error.contains("the devices are opencl:0 ("), "{error}");
    let told = document(&register(&["--device", "opencl", "--json"]));
    assert_eq!((&told["success"], &told["difficulty"], &told["hotkey"]), (&json!(true), &json!(100), &json!(hotkey)));
    assert!(told["uid"].is_u64() && told["device"].as_str().unwrap().contains("pthread"), "{told}");

    std::fs::remove_file(&library).unwrap();
    std::fs::write(&library, "no library").unwrap();
    let error = refusal(&register(&["--device", "opencl", "--hotkey-ss58", super::BOB]), 1);
    assert!(error.contains("cannot load the OpenCL library") && error.contains("--device cpu"), "{error}");
}
