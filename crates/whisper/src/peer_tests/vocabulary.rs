//! Comparison of the vocabulary: suppressed tokens, and the words of several languages.

use super::*;

/// Texts in languages with and without spaces between words, with accents, marks and symbols.
const TEXTS: [(&str, &str); 10] = [
    ("en", " Don't stop - it's (really) 3.14, isn't it? \"Yes!\" ♪ La la ♪ 🙂"),
    ("de", " Über Größe läßt sich streiten: 1.000 € sind »viel«."),
    ("fr", " L'été s'achève, n'est-ce pas ? Voilà !"),
    ("ru", " Съешь ещё этих мягких французских булок, да выпей чаю."),
    ("ar", " مرحبا، كيف حالك؟ اليوم ١٢ مارس."),
    ("hi", " नमस्ते, आप कैसे हैं? मैं ठीक हूँ।"),
    ("zh", "今天天气很好,我们去公园吧。你觉得怎么样?"),
    ("ja", "昨日の夜、静かな雨が降っていました。「はい」と言った。"),
    ("yue", "我哋聽日去飲茶,好唔好呀?嗰度啲點心好正。"),
    ("th", "สวัสดีครับ วันนี้อากาศดีมาก เราไปเดินเล่นกันไหม"),
];

#[test]
fn token_suppression_and_word_splits_match_the_reference() {
    let Some(peer) = Peer::find() else { return };
    let folder = peer.model("micro", &[]);
    let vocabulary = Model::open(&folder).unwrap().vocabulary;
    let mut cases: Vec<Value> = TEXTS.iter().map(|case| json!(case)).collect();
    // Arbitrary tokens, many of which end within a character.
    cases.extend((0..100).map(|index| {
        let tokens: Vec<usize> =
            (1..=30).map(|token| (token * 7_919 + index * 104_729) % 50_257).collect();
        json!([TEXTS[index % TEXTS.len()].0, tokens])
    }));
    let answer = peer.run_reference(json!({"do": "vocabulary", "model": folder, "cases": cases}));
    assert_eq!(json!(vocabulary.suppressed()), answer["suppressed"]);
    // OpenAI's vocabulary has a token for each of these symbols; another vocabulary has fewer.
    let symbols = vocabulary
        .suppressed()
        .iter()
        .filter(|token| **token < vocabulary.special().end_of_text)
        .count();
    assert!(symbols > 80, "{symbols} symbols are suppressed");
    let mut words = 0;
    for (case, theirs) in cases.iter().zip(answer["cases"].as_array().unwrap()) {
        let tokens: Vec<u32> = serde_json::from_value(theirs["tokens"].clone()).unwrap();
        let ours = vocabulary.split_words(&tokens, case[0].as_str().unwrap());
        assert_eq!(json!(ours), theirs["words"], "{case}");
        assert_eq!(json!(vocabulary.decode(&tokens)), theirs["text"], "{case}");
        words += ours.len();
    }
    let _ = writeln!(
        std::io::stderr(),
        "{symbols} suppressed symbols, and {words} words of {} texts equal",
        cases.len()
    );
}
