use serde_json::json;

use super::*;

fn counters(total: u32, limited: u32) -> Value {
    json!({
        "total_requests": total, "capacity": 120_000, "consumed_capacity": 120_000.0,
        "requests_429": limited, "requests_500": 0,
    })
}

#[test]
fn arrays_of_counters_give_arrays() {
    let profile = PeriodProfile::Reference;
    let scores = |document: Value| period_scores(&document, profile).unwrap();
    assert_eq!(scores(counters(40, 10)), json!(0.75));
    assert_eq!(scores(json!([counters(40, 10), counters(0, 0)])), json!([0.75, null]));
    assert_eq!(scores(json!([[counters(40, 10)], []])), json!([[0.75], []]));
    let seed = period_scores(&json!([counters(40, 10)]), PeriodProfile::Seed).unwrap();
    assert_eq!(seed, json!([1.0]));
}

fn tables() -> Value {
    let rewards = |hotkey: &str| json!({"task": "X", "hotkey": hotkey, "quality_score": 1.0, "metric": 5.0});
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
fn weights_stand_in_the_order_of_first_assignment() {
    // Equal speeds rank in input order: (1.25 / 2)³ and (0.75 / 2)³.
    let (one, two) = (0.625_f64.powi(3), 0.375_f64.powi(3));
    let found = weights(&tables(), None).unwrap();
    assert_eq!(found["uids"], json!([7, 3]));
    let first = found["weights"][0].as_f64().unwrap();
    assert!((first - one / (one + two)).abs() < 1e-12, "{first}");
    let both = weights(&json!([tables(), tables()]), None).unwrap();
    assert_eq!(both, json!([found, found]));
    let mut none = tables();
    none["rewards"] = json!([]);
    assert_eq!(weights(&none, None).unwrap(), json!({"uids": [], "weights": []}));
}

#[test]
fn the_document_names_its_profile() {
    let later = weights(&tables(), Some(ScoringProfile::Later)).unwrap();
    assert_ne!(later, weights(&tables(), None).unwrap());
    let mut named = tables();
    named["scoring_profile"] = json!("later");
    assert_eq!(weights(&named, None).unwrap(), later);
    // The command's own profile comes first.
    assert_eq!(weights(&named, Some(ScoringProfile::Reference)).unwrap(), weights(&tables(), None).unwrap());
    named["scoring_profile"] = json!("latest");
    assert!(weights(&named, None).unwrap_err().to_string().starts_with("document.scoring_profile: unknown variant"));
}

/// Period scores are computed from the counters, and must be those of the document.
#[test]
fn period_scores_are_recomputed() {
    let with = |profile: &str, score: Value, changed: (&str, Value)| {
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
    assert_eq!(with("reference", json!(0.75), unchanged()).unwrap(), weights(&finished, None).unwrap());
    assert!(with("seed", json!(1.0), unchanged()).is_ok());
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
        ("seed", json!(0.75), unchanged(), "document.period_scores[0].period_score: is 0.75, but its counters give 1"),
        ("seed", json!(1.0), ("requests_429", json!(null)), "document.period_scores[0].requests_429: missing"),
        ("seed", json!(1.0), ("requests_500", json!(-1)), "document.period_scores[0].requests_500: -1 is below 0"),
        ("none", json!(1.0), unchanged(), "document.period_scores[0].period_profile: unknown variant"),
    ] {
        let error = with(profile, score, changed).unwrap_err();
        assert!(error.starts_with(message), "{error}");
    }
}

#[test]
fn errors_name_the_field() {
    let refused = |change: &dyn Fn(&mut Value)| {
        let mut document = tables();
        change(&mut document);
        weights(&json!([tables(), document]), None).unwrap_err().to_string()
    };
    assert!(
        refused(&|tables| tables["contenders"][1]["capacity"] = json!("many"))
            .starts_with("[1].contenders[1].capacity: ")
    );
    assert_eq!(
        refused(&|tables| tables["contenders"][1]["capacity"] = json!(-1)),
        "[1].contenders[1].capacity: -1 is below 0"
    );
    assert_eq!(refused(&|tables| tables["tasks"][0] = json!({"task": "X"})), "[1].tasks[0]: missing field `weight`");
    assert!(
        refused(&|tables| tables["contenders"][1]["hotkey"] = json!("one"))
            .starts_with("[1]: contenders[1] has the hotkey")
    );
    let error = period_scores(&json!([counters(1, 0), {"capacity": 1}]), PeriodProfile::Reference).unwrap_err();
    assert_eq!(error.to_string(), "[1]: missing field `total_requests`");
    let deep = (0..9).fold(counters(1, 0), |document, _| json!([document]));
    assert!(period_scores(&deep, PeriodProfile::Reference).unwrap_err().to_string().contains("nested deeper than 8"));
}
