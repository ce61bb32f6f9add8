use serde_json::json;

use super::*;

fn counters(total: u32, limited: u32) -> Value {
    json!({
        "total_requests": total, "capacity": 120_000, "consumed_capacity": 120_000.0,
        "requests_429": limited, "requests_500": 0,
    })
}

#[test]
fn arrays_of_counters_give_arrays_of_scores() {
    let profile = PeriodProfile::Reference;
    let scores = |document: Value| period_scores(&document, profile).unwrap();
    assert_eq!(scores(counters(40, 10)), json!(0.75));
    assert_eq!(scores(json!([counters(40, 10), counters(0, 0)])), json!([0.75, null]));
    assert_eq!(scores(json!([[counters(40, 10)], []])), json!([[0.75], []]));
    let seed = period_scores(&json!([counters(40, 10)]), PeriodProfile::Seed).unwrap();
    assert_eq!(seed, json!([1.0]));
}

fn tables() -> Value {
    let rewards =
        |hotkey: &str| json!({"task": "X", "hotkey": hotkey, "quality_score": 1.0, "metric": 5.0});
    let period = |hotkey: &str| json!({"task": "X", "hotkey": hotkey, "period_score": 1.0, "consumed_capacity": 10});
    json!({
        "tasks": [{"task": "X", "weight": 1.0, "enabled": true}, {"task": "Y", "weight": 1.0, "enabled": false}],
        "contenders": [
            {"hotkey": "one", "uid": 7, "task": "X", "capacity": 100},
            {"hotkey": "two", "uid": 3, "task": "X", "capacity": 100.0},
            {"hotkey": "new", "uid": 4, "task": "X", "capacity": 100.0},
        ],
        "rewards": [rewards("two"), rewards("one"), {"task": "X", "hotkey": "new", "quality_score": null, "metric": null}],
        "period_scores": [period("two"), period("one"), {
            "task": "X", "hotkey": "one", "period_score": null, "consumed_capacity": 0.0
        }],
    })
}

#[test]
fn weights_are_in_order_of_first_appearance() {
    // Equal speeds rank in order of uid: (0.75 / 2)³ and (1.25 / 2)³.
    let (one, two) = (0.375_f64.powi(3), 0.625_f64.powi(3));
    let actual = weights(&tables(), None).unwrap();
    assert_eq!(actual["uids"], json!([7, 3]));
    let first = actual["weights"][0].as_f64().unwrap();
    assert!((first - one / (one + two)).abs() < 1e-12, "{first}");
    let both = weights(&json!([tables(), tables()]), None).unwrap();
    assert_eq!(both, json!([actual, actual]));
    let mut none = tables();
    none["rewards"] = json!([]);
    assert_eq!(weights(&none, None).unwrap(), json!({"uids": [], "weights": []}));
}

/// The profiles `reference` and `later` give exactly the reference's weights
/// (vectors/market-weights).
#[test]
fn weights_match_the_reference() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../vectors/market-weights/weights.json");
    let cases: Vec<Value> = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    assert_eq!(cases.len(), 72);
    let mut changed = 0;
    for (index, case) in cases.iter().enumerate() {
        let document = &case["document"];
        for (profile, name) in
            [(ScoringProfile::Reference, "reference"), (ScoringProfile::Later, "later")]
        {
            let actual = weights(document, Some(profile)).unwrap();
            assert_eq!(actual["uids"], case[name]["uids"], "case {index}, {name}");
            let numbers =
                |value: &Value| serde_json::from_value::<Vec<f64>>(value.clone()).unwrap();
            for (actual, expected) in
                numbers(&actual["weights"]).iter().zip(numbers(&case[name]["weights"]))
            {
                assert!(
                    (actual - expected).abs() < 1e-12,
                    "case {index}, {name}: {actual}, expected {expected}"
                );
            }
        }
        changed += usize::from(
            weights(document, Some(ScoringProfile::Strict)).unwrap()
                != weights(document, Some(ScoringProfile::Reference)).unwrap(),
        );
    }
    assert!(changed > 20, "strict rules change only {changed} cases");
}

/// The reference ranks all registered miners, also those that offer nothing.
#[test]
fn nodes_default_to_contenders_in_order_of_uid() {
    let mut named = tables();
    named["nodes"] = json!(["two", "new", "one"]);
    assert_eq!(weights(&named, None).unwrap(), weights(&tables(), None).unwrap());
    named["nodes"] = json!(["one", "new", "two"]);
    assert_ne!(weights(&named, None).unwrap(), weights(&tables(), None).unwrap());
    let mut idle = tables();
    idle["nodes"] = json!(["two", "idle", "one"]);
    idle["rewards"].as_array_mut().unwrap().push(json!({
        "task": "Y", "hotkey": "idle", "quality_score": 1.0, "metric": 9.0
    }));
    // The idle miner is the fastest: bonuses of 0 and -0.25.
    let (one, two) = (0.75_f64.powi(3), 1.0);
    let first = weights(&idle, None).unwrap()["weights"][0].as_f64().unwrap();
    assert!((first - one / (one + two)).abs() < 1e-12, "{first}");
    named["nodes"] = json!(["one", "two"]);
    assert_eq!(
        weights(&named, Some(ScoringProfile::Strict)).unwrap(),
        weights(&tables(), Some(ScoringProfile::Strict)).unwrap()
    );
    named["nodes"] = json!(["one", "two", "one"]);
    assert_eq!(
        weights(&named, None).unwrap_err().to_string(),
        "document: nodes[2] has the hotkey of an earlier node"
    );
}

#[test]
fn scoring_profile_is_read_from_the_document() {
    let later = weights(&tables(), Some(ScoringProfile::Later)).unwrap();
    assert_ne!(later, weights(&tables(), None).unwrap());
    let mut named = tables();
    named["scoring_profile"] = json!("later");
    assert_eq!(weights(&named, None).unwrap(), later);
    // The command's own profile comes first.
    assert_eq!(
        weights(&named, Some(ScoringProfile::Reference)).unwrap(),
        weights(&tables(), None).unwrap()
    );
    for (name, profile) in
        [("strict", ScoringProfile::Strict), ("later-strict", ScoringProfile::LaterStrict)]
    {
        named["scoring_profile"] = json!(name);
        assert_eq!(weights(&named, None).unwrap(), weights(&tables(), Some(profile)).unwrap());
    }
    named["scoring_profile"] = json!("latest");
    assert!(
        weights(&named, None)
            .unwrap_err()
            .to_string()
            .starts_with("document.scoring_profile: unknown variant")
    );
}

/// The period scores of a document must equal those computed from its counters.
#[test]
fn period_scores_must_match_their_counters() {
    let weights_with = |profile: &str, score: Value, changed: (&str, Value)| {
        let mut document = tables();
        let row = document["period_scores"][0].as_object_mut().unwrap();
        row.extend(counters(40, 10).as_object().unwrap().clone());
        row.insert("period_profile".to_owned(), profile.into());
        row.insert("period_score".to_owned(), score);
        row.insert(changed.0.to_owned(), changed.1);
        weights(&document, None).map_err(|error| error.to_string())
    };
    let unchanged = || ("requests_429", json!(10));
    let mut finished = tables();
    finished["period_scores"][0]["period_score"] = json!(0.75);
    finished["period_scores"][0]["consumed_capacity"] = json!(120_000.0);
    assert_eq!(
        weights_with("reference", json!(0.75), unchanged()).unwrap(),
        weights(&finished, None).unwrap()
    );
    assert!(weights_with("seed", json!(1.0), unchanged()).is_ok());
    for (profile, score, changed, message) in [
        (
            "reference",
            json!(0.8),
            unchanged(),
            "document.period_scores[0].period_score: is 0.8, but its counters give 0.75",
        ),
        (
            "reference",
            json!(null),
            unchanged(),
            "document.period_scores[0].period_score: is null, but its counters give",
        ),
        (
            "seed",
            json!(0.75),
            unchanged(),
            "document.period_scores[0].period_score: is 0.75, but its counters give 1",
        ),
        (
            "seed",
            json!(1.0),
            ("requests_429", json!(null)),
            "document.period_scores[0].requests_429: missing",
        ),
        (
            "seed",
            json!(1.0),
            ("requests_500", json!(-1)),
            "document.period_scores[0].requests_500: -1 is below 0",
        ),
        (
            "none",
            json!(1.0),
            unchanged(),
            "document.period_scores[0].period_profile: unknown variant",
        ),
    ] {
        let error = weights_with(profile, score, changed).unwrap_err();
        assert!(error.starts_with(message), "{error}");
    }
}

#[test]
fn invalid_table_field_is_named_in_the_error() {
    let error_after = |change: &dyn Fn(&mut Value)| {
        let mut document = tables();
        change(&mut document);
        weights(&json!([tables(), document]), None).unwrap_err().to_string()
    };
    assert!(
        error_after(&|tables| tables["contenders"][1]["capacity"] = json!("many"))
            .starts_with("[1].contenders[1].capacity: ")
    );
    assert_eq!(
        error_after(&|tables| tables["contenders"][1]["capacity"] = json!(-1)),
        "[1].contenders[1].capacity: -1 is below 0"
    );
    for (field, number) in [("period_score", json!(-0.5)), ("consumed_capacity", json!(-2))] {
        assert_eq!(
            error_after(&|tables| tables["period_scores"][1][field] = number.clone()),
            format!("[1].period_scores[1].{field}: {number} is below 0")
        );
    }
    assert_eq!(
        error_after(&|tables| {
            let mut second = tables["contenders"][0].clone();
            second["task"] = json!("Y");
            second["uid"] = json!(8);
            tables["contenders"].as_array_mut().unwrap().push(second);
        }),
        "[1]: contenders[3] has another uid than an earlier contender with its hotkey"
    );
    assert_eq!(
        error_after(&|tables| tables["tasks"][0] = json!({"task": "X"})),
        "[1].tasks[0]: missing field `weight`"
    );
    assert!(
        error_after(&|tables| tables["contenders"][1]["hotkey"] = json!("one"))
            .starts_with("[1]: contenders[1] has the hotkey")
    );
    let error = period_scores(&json!([counters(1, 0), {"capacity": 1}]), PeriodProfile::Reference)
        .unwrap_err();
    assert_eq!(error.to_string(), "[1]: missing field `total_requests`");
    let deep = (0..9).fold(counters(1, 0), |document, _| json!([document]));
    assert!(
        period_scores(&deep, PeriodProfile::Reference)
            .unwrap_err()
            .to_string()
            .contains("nested deeper than 8")
    );
}
