//! Proxies, with and without a delay, and accounts without a key.

use serde_json::json;

use super::super::{ALICE, AS_ALICE, BOB, Chain, failure};
use super::{call_as, mine, refusal_of};
use crate::support::{document, refusal};

#[test]
fn proxies_make_calls_for_an_account() {
    let chain = Chain::start();
    let transfer =
        ["call", "Balances.transfer_keep_alive", "dest=//Dave", "value=1tao", "--proxy-for", ALICE];
    assert_eq!(refusal_of(&chain, "//Bob", &transfer), "Proxy.NotProxy");
    chain.alice(&["proxy", "add", "//Bob", "--type", "transfer", "--yes"]);
    let proxies = chain.run_json(&["proxy", "list", ALICE]);
    assert_eq!(
        proxies["proxies"],
        json!([{ "delegate": BOB, "proxy_type": "Transfer", "delay": 0 }])
    );
    assert!(proxies["deposit_rao"].as_u64().unwrap() > 0);
    let dave = chain.free("//Dave");
    call_as(&chain, "//Bob", &transfer);
    assert_eq!(chain.free("//Dave"), dave + 1_000_000_000);
    // Every command that submits a call has the option, also under btcli's name.
    let direct = ["transfer", "//Dave", "2", "--proxy", ALICE];
    let submission = call_as(&chain, "//Bob", &direct);
    assert_eq!(
        (&submission["from"], &submission["proxy_for"], &submission["signer"]),
        (&json!(ALICE), &json!(ALICE), &json!(BOB)),
        "{submission}"
    );
    assert_eq!(chain.free("//Dave"), dave + 3_000_000_000);
    let dry_run = chain.tao(&direct, &["--dry-run", "--key-uri", "//Bob", "--json"]);
    assert_eq!(document(&dry_run)["decoded_call"]["name"], "proxy");
    // A call that the type does not allow fails within the call of the proxy.
    let remark = ["call", "System.remark", "remark=hello", "--proxy-for", ALICE];
    refusal_of(&chain, "//Bob", &remark);
    chain.alice(&["proxy", "remove", "//Bob", "--yes"]);
    assert_eq!(chain.run_json(&["proxy", "list", ALICE])["proxies"], json!([]));
    let error = refusal(&chain.tao(&["proxy", "remove", "//Bob", "--key-uri", "//Alice"], &[]), 1);
    assert!(error.contains("tao proxy list"), "{error}");
    let error = refusal(
        &chain.tao(&["proxy", "add", "//Bob", "--type", "all"], &["--key-uri", "//Alice"]),
        2,
    );
    assert!(error.contains("NonTransfer"), "{error}");
}

#[test]
fn delayed_proxy_must_announce_calls() {
    let chain = Chain::start();
    chain.alice(&["proxy", "add", "//Bob", "--type", "any", "--delay", "600", "--yes"]);
    let transfer =
        ["call", "Balances.transfer_keep_alive", "dest=//Dave", "value=1tao", "--proxy-for", ALICE];
    let transfer_with = |option: &'static str| [&transfer[..], &[option]].concat();
    assert_eq!(refusal_of(&chain, "//Bob", &transfer), "Proxy.Unannounced");
    call_as(&chain, "//Bob", &transfer_with("--announce"));
    let announcements =
        || chain.run_json(&["proxy", "announcements", BOB])["announcements"].clone();
    assert_eq!(
        (announcements().as_array().unwrap().len(), &announcements()[0]["real"]),
        (1, &json!(ALICE))
    );
    assert_eq!(refusal_of(&chain, "//Bob", &transfer_with("--announced")), "Proxy.Unannounced");
    mine(&chain, 600);
    let dave = chain.free("//Dave");
    call_as(&chain, "//Bob", &transfer_with("--announced"));
    assert_eq!(chain.free("//Dave"), dave + 1_000_000_000);
    assert_eq!(announcements(), json!([]));

    let transfer = ["transfer", "//Dave", "1", "--proxy-for", ALICE];
    let announcement = call_as(&chain, "//Bob", &[&transfer[..], &["--announce"]].concat());
    assert_eq!(
        (&announcement["proxy_for"], &announcements()[0]["real"]),
        (&json!(ALICE), &json!(ALICE))
    );
    mine(&chain, 600);
    call_as(&chain, "//Bob", &[&transfer[..], &["--announced"]].concat());
    assert_eq!(chain.free("//Dave"), dave + 2_000_000_000);

    // Any account can make the announced call.
    call_as(&chain, "//Bob", &transfer_with("--announce"));
    let execute =
        ["proxy", "execute", ALICE, "Balances.transfer_keep_alive", "dest=//Dave", "value=1tao"];
    let execute_as_charlie = [&execute[..], &["--delegate", BOB]].concat();
    assert_eq!(refusal_of(&chain, "//Charlie", &execute_as_charlie), "Proxy.Unannounced");
    mine(&chain, 600);
    let executed = call_as(&chain, "//Charlie", &execute_as_charlie);
    assert_eq!(
        (&executed["real"], &executed["delegate"]),
        (&json!(ALICE), &json!(BOB)),
        "{executed}"
    );
    assert_eq!(chain.free("//Dave"), dave + 3_000_000_000);
    let dry_run = document(&chain.tao(&["transfer", "//Dave", "1", "--dry-run"], &AS_ALICE));
    let data = dry_run["decoded_call"]["data"].as_str().unwrap();
    let error = refusal(
        &chain.tao(&["proxy", "execute", ALICE, data], &["--key-uri", "//Bob", "--yes"]),
        1,
    );
    assert!(error.contains("has not announced the call"), "{error}");

    for (key, verb, account) in [("//Alice", "reject", BOB), ("//Bob", "withdraw", ALICE)] {
        call_as(&chain, "//Bob", &transfer_with("--announce"));
        let hash = announcements()[0]["call_hash"].as_str().unwrap().to_owned();
        call_as(&chain, key, &["proxy", verb, account, &hash]);
        assert_eq!(announcements(), json!([]), "{verb}");
    }
}

#[test]
fn pure_proxy_is_created_and_removed() {
    let chain = Chain::start();
    let created = chain.alice(&["proxy", "create-pure", "--type", "any", "--yes"]);
    let (pure, created_at) =
        (created["pure"].as_str().unwrap(), created["created"].as_str().unwrap());
    assert_eq!(chain.run_json(&["proxy", "list", pure])["proxies"][0]["delegate"], json!(ALICE));
    chain.alice(&["transfer", pure, "3", "--yes"]);
    let back = [
        "call",
        "Balances.transfer_all",
        &format!("dest={ALICE}"),
        "keep_alive=false",
        "--proxy-for",
        pure,
    ];
    chain.alice(&[&back[..], &["--yes"]].concat());
    assert_eq!(chain.free(pure), 0);
    let kill = ["proxy", "kill-pure", pure, "--type", "any", "--yes", "--created"];
    let (code, error) = failure(&chain.tao(&[&kill[..], &["1-0"]].concat(), &AS_ALICE));
    assert_eq!((code, &error["error"]["name"]), (5, &json!("Proxy.NoPermission")), "{error}");
    chain.alice(&[&kill[..], &[created_at]].concat());
    assert_eq!(chain.run_json(&["proxy", "list", pure])["proxies"], json!([]));
}
