//! Storage items, constants and runtime APIs by name.

use serde_json::json;

use super::{ALICE, BABELBIT, Chain};
use crate::support::refusal;

#[test]
fn any_item_is_read_by_its_name() {
    let chain = Chain::start();
    let value =
        |arguments: &[&str]| chain.ask(&[&["query"][..], arguments].concat())["value"].clone();
    assert_eq!(value(&["SubtensorModule.Tempo", BABELBIT]), 10);
    assert_eq!(value(&["SubtensorModule.Tempo", BABELBIT, "--block", "0"]), 10);
    assert_eq!(value(&["SubtensorModule.Uids", BABELBIT, "//Dave"]), json!(null));
    assert_eq!(
        value(&["System.Account", "//Alice", "--block", "0"])["data"]["free"],
        1_000_000_000_000_000_u64
    );
    assert!(value(&["Timestamp.Now"]).as_u64() > Some(0));
    assert_eq!(value(&["Balances.ExistentialDeposit"]), 500);
    assert_eq!(value(&["AccountNonceApi.account_nonce", ALICE]), 0);
    assert!(value(&["SwapRuntimeApi.current_alpha_price", BABELBIT]).as_u64() > Some(0));

    let first = chain.ask(&["query", "SubtensorModule.Tempo", "--limit", "7"]);
    let entries = first["entries"].as_array().unwrap();
    assert_eq!(
        (entries.len(), &first["more"], &first["keys"]),
        (7, &json!(true), &json!([])),
        "{first}"
    );
    assert_eq!(entries[0], json!({ "keys": [0], "value": 100 }));
    let all = chain.ask(&["query", "SubtensorModule.Tempo"]);
    assert_eq!((all["entries"].as_array().unwrap().len(), &all["more"]), (60, &json!(false)));
    let of_subnet = chain.ask(&["query", "SubtensorModule.Keys", BABELBIT]);
    assert_eq!(
        (of_subnet["entries"].as_array().unwrap().len(), &of_subnet["keys"]),
        (1, &json!([59])),
        "{of_subnet}"
    );

    let items = chain.ask(&["query"])["items"].as_array().unwrap().clone();
    assert!(items.len() > 300, "{}", items.len());
    let tempo = items
        .iter()
        .find(|item| item["pallet"] == "SubtensorModule" && item["name"] == "Tempo")
        .unwrap();
    assert_eq!(tempo["keys"], 1);
    let text = |arguments: &[&str]| String::from_utf8(chain.tao(arguments, &[]).stdout).unwrap();
    assert_eq!(text(&["query", "SubtensorModule.Tempo", BABELBIT]), "10\n");
    assert!(text(&["query", "SubtensorModule.Tempo"]).contains("59: 10\n"));
    let listed = text(&["query", "SubtensorModule"]);
    assert!(
        listed.contains("SubtensorModule.Uids (2 keys)") && !listed.contains("System."),
        "{listed}"
    );
}

#[test]
fn mistakes_in_a_query_are_named() {
    let chain = Chain::start();
    for (arguments, code, words) in [
        (&["SubtensorModul"][..], 1, "no pallet SubtensorModul with storage"),
        (
            &["SubtensorModule.Tempos"],
            1,
            "no storage item, constant or method SubtensorModule.Tempos",
        ),
        (&["Balances.ExistentialDeposit", "1"], 1, "no storage item, constant or method"),
        (&["SubtensorModule.Tempo", "59", "1"], 2, "has 1 key, not 2"),
        (&["SubtensorModule.Tempo", "much"], 1, "key: found"),
        (&["SubtensorModule", "59"], 2, "expected an item such as SubtensorModule.Tempo"),
        (&["SubtensorModule.Tempo", "--limit", "0"], 2, "0 is not in"),
    ] {
        let error = refusal(&chain.tao(&[&["query"][..], arguments].concat(), &[]), code);
        assert!(error.contains(words), "{arguments:?}: {error}");
    }
}
