use serde_json::json;

use super::*;

const ALICE: &str = "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY";

#[test]
fn challenge_types_are_parsed_with_their_old_names() {
    for (text, expected) in [
        ("main", ChallengeType::Main),
        ("round1", ChallengeType::Main),
        ("Solo", ChallengeType::Solo),
        ("arena", ChallengeType::Arena),
        ("round2", ChallengeType::Arena),
    ] {
        assert_eq!(text.parse(), Ok(expected));
        assert_eq!(
            serde_json::from_value::<ChallengeType>(json!(text.to_lowercase())).unwrap(),
            expected
        );
    }
    assert!("qualifying".parse::<ChallengeType>().is_err());
}

#[test]
fn score_file_head_is_parsed() {
    let parse_head = |file: serde_json::Value| ScoreFileHead::parse(file.to_string().as_bytes());
    let kind = |kind: serde_json::Value| {
        parse_head(json!({
            "challenge_uid": "c", "challenge_type": kind, "miner_uid": 3, "miner_hotkey": ALICE, "x": 1
        }))
            .unwrap()
            .challenge_type
    };
    assert_eq!(kind(json!("round2")), Some(ChallengeType::Arena));
    assert_eq!(kind(json!(null)), Some(ChallengeType::Main));
    assert_eq!(kind(json!(" ")), Some(ChallengeType::Main));
    assert_eq!(kind(json!("other")), None);
    let without_type =
        parse_head(json!({"challenge_uid": "c", "miner_uid": 3, "miner_hotkey": ALICE})).unwrap();
    assert_eq!(without_type.challenge_type, Some(ChallengeType::Main));
    assert_eq!(parse_head(json!({"challenge_uid": "c"})), None);
    assert_eq!(parse_head(json!([])), None);
    assert_eq!(ScoreFileHead::parse(b"{"), None);
}
