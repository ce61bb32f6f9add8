//! Pre-tokenizers of byte-level BPE: the regular expressions that split a text before the merges,
//! by the names that llama.cpp gives them in `tokenizer.ggml.pre`.
//!
//! The expressions are those of the models' own tokenizers. Each one splits the pieces of the one
//! before it: matches and the text between them become pieces.

/// A rule that splits a text.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct PreTokenizer {
    /// Regular expressions, applied one after the other.
    pub(super) patterns: &'static [&'static str],
    /// Whether a piece that is a token of the vocabulary is not merged from smaller ones.
    pub(super) ignores_merges: bool,
}

impl PreTokenizer {
    const fn merging(patterns: &'static [&'static str]) -> Self {
        Self { patterns, ignores_merges: false }
    }

    const fn of_whole_words(patterns: &'static [&'static str]) -> Self {
        Self { patterns, ignores_merges: true }
    }

    /// Returns the pre-tokenizer with this name, if it is supported.
    pub(super) fn from_name(name: &str) -> Option<&'static Self> {
        let index = NAMES.binary_search_by_key(&name, |(name, _)| *name).ok()?;
        NAMES.get(index).map(|(_, rule)| *rule)
    }
}

/// English contractions.
macro_rules! contraction {
    () => {
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
    };
}
/// Letters, after at most one other character that is neither a digit nor a line break.
macro_rules! word {
    () => {
        r"[^\r\n\p{L}\p{N}]?\p{L}+"
    };
}
/// Words that a capital letter begins after a small one, as in `CamelCase`, with this suffix.
macro_rules! cased_word {
    ($($suffix:tt)*) => {
        concat!(
            r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+",
            $($suffix)*,
            r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*",
            $($suffix)*
        )
    };
}
/// Punctuation and other symbols, with the line breaks that follow.
macro_rules! punctuation {
    () => {
        r" ?[^\s\p{L}\p{N}]+[\r\n]*"
    };
}
/// White space: up to the last line break, or up to the last space before a word.
macro_rules! spaces {
    () => {
        r"\s*[\r\n]+|\s+(?!\S)|\s+"
    };
}
/// Punctuation before a Latin word, and words with their combining marks.
macro_rules! marked_word {
    () => {
        concat!(
            r##"[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|"##,
            r"[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"
        )
    };
}
const GPT_2_WORDS: &str =
    r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";
const QWEN_2_WORDS: &str =
    concat!(contraction!(), "|", word!(), r"|\p{N}|", punctuation!(), "|", spaces!());
const LLAMA_3_WORDS: &str =
    concat!(contraction!(), "|", word!(), r"|\p{N}{1,3}|", punctuation!(), "|", spaces!());
const GPT_4O_WORDS: &str = concat!(
    cased_word!(concat!(contraction!(), "?")),
    r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|",
    spaces!()
);
const BLOOM_WORDS: &str = " ?[^(\\s|.,!?\u{2026}\u{3002}\u{ff0c}\u{3001}\u{964}\u{6d4}\u{60c})]+";
const DIGIT: &str = r"\p{N}";
const THREE_DIGITS: &str = "[0-9][0-9][0-9]";
const LINE_BREAK: &str = r"[\r\n]";
const HAN_OR_HANGUL: &str = "[\u{4e00}-\u{9fa5}\u{800}-\u{4e00}\u{ac00}-\u{d7ff}]+";
const HAN_OR_KANA: &str = "[\u{4e00}-\u{9fa5}\u{3040}-\u{309f}\u{30a0}-\u{30ff}]+";

const BAILING: PreTokenizer = PreTokenizer::merging(&[concat!(
    r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]++[\r\n]*|",
    r"\s*[\r\n]|\s+(?!\S)|\s+"
)]);
const BLOOM: PreTokenizer = PreTokenizer::merging(&[BLOOM_WORDS]);
const CHAMELEON: PreTokenizer = PreTokenizer::merging(&[
    "<sentinel:[0-9]+>",
    "(IMGIMG)((A|B|C|D|E|F|G|H|I){1,4})Z",
    r"([\t\n]|    |  )",
    DIGIT,
    r"[\p{P}!-/:-@\[-`{-~]",
    GPT_2_WORDS,
]);
const DEEPSEEK_CODER: PreTokenizer =
    PreTokenizer::merging(&[LINE_BREAK, r"\s?\p{L}+", r"\s?\p{P}+", HAN_OR_HANGUL, DIGIT]);
const DEEPSEEK_LLM: PreTokenizer = PreTokenizer::merging(&[
    LINE_BREAK,
    // Letters that have a case.
    concat!(
        r"\s?[",
        r"\x{41}-\x{5A}\x{61}-\x{7A}\x{B5}\x{C0}-\x{D6}\x{D8}-\x{F6}\x{F8}-\x{1BA}",
        r"\x{1BC}-\x{1BF}\x{1C4}-\x{293}\x{295}-\x{2AF}\x{370}-\x{373}\x{376}\x{377}",
        r"\x{37B}-\x{37D}\x{37F}\x{386}\x{388}-\x{38A}\x{38C}\x{38E}-\x{3A1}\x{3A3}-\x{3F5}",
        r"\x{3F7}-\x{481}\x{48A}-\x{52F}\x{531}-\x{556}\x{10A0}-\x{10C5}\x{13A0}-\x{13F5}",
        r"\x{13F8}-\x{13FD}\x{1C90}-\x{1CBA}\x{1CBD}-\x{1CBF}\x{1D00}-\x{1D2B}",
        r"\x{1D6B}-\x{1D77}\x{1D79}-\x{1D9A}\x{1E00}-\x{1F15}\x{1F18}-\x{1F1D}",
        r"\x{1F20}-\x{1F45}\x{1F48}-\x{1F4D}\x{1F50}-\x{1F57}\x{1F59}\x{1F5B}\x{1F5D}",
        r"\x{1F5F}-\x{1F7D}\x{1F80}-\x{1FB4}\x{1FB6}-\x{1FBC}\x{1FBE}\x{1FC2}-\x{1FC4}",
        r"\x{1FC6}-\x{1FCC}\x{1FD0}-\x{1FD3}\x{1FD6}-\x{1FDB}\x{1FE0}-\x{1FEC}",
        r"\x{1FF2}-\x{1FF4}\x{1FF6}-\x{1FFC}\x{2102}\x{2107}\x{210A}-\x{2113}\x{2115}",
        r"\x{2119}-\x{211D}\x{2124}\x{2126}\x{2128}\x{212A}-\x{212D}\x{212F}-\x{2134}\x{2139}",
        r"\x{213C}-\x{213F}\x{2145}-\x{2149}\x{214E}\x{2183}-\x{2184}\x{2C00}-\x{2C7B}",
        r"\x{2C7E}-\x{2CE4}\x{2CEB}-\x{2CEE}\x{2CF2}-\x{2CF3}\x{A640}-\x{A66D}",
        r"\x{A680}-\x{A69B}\x{A722}-\x{A76F}\x{A771}-\x{A787}\x{A78B}-\x{A78E}",
        r"\x{AB70}-\x{ABBF}\x{FB00}-\x{FB06}\x{FB13}-\x{FB17}\x{FF21}-\x{FF3A}",
        r"\x{FF41}-\x{FF5A}\x{10400}-\x{1044F}\x{104B0}-\x{104D3}\x{104D8}-\x{104FB}",
        r"\x{10C80}-\x{10CB2}\x{10CC0}-\x{10CF2}\x{118A0}-\x{118DF}\x{1E900}-\x{1E943}",
        r"]+"
    ),
    "\\s?[!-/:-~\u{ff01}-\u{ff0f}\u{ff1a}-\u{ff5e}\u{2018}-\u{201f}\u{3000}-\u{3002}]+",
    r"\s+$",
    HAN_OR_HANGUL,
    r"\p{N}+",
]);
const DEEPSEEK_V3: PreTokenizer = PreTokenizer::merging(&[
    r"\p{N}{1,3}",
    HAN_OR_KANA,
    concat!(marked_word!(), r"| ?[\p{P}\p{S}]+[\r\n]*|", spaces!()),
]);
const DEFAULT: PreTokenizer =
    PreTokenizer::merging(&[r"[\p{P}\$\+<=>\^~\|]+", GPT_2_WORDS, r"\p{N}+", THREE_DIGITS]);
const EXAONE_MOE: PreTokenizer = PreTokenizer::merging(&[concat!(
    contraction!(),
    r"|[^\r\n\p{L}\p{N}]?(?:\p{L}\p{M}*(?: \p{L}\p{M}*)*)+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]?|",
    r"\s*[\r\n]|\s+(?!\S)|\s+"
)]);
const FALCON: PreTokenizer =
    PreTokenizer::merging(&[r"[\p{P}\$\+<=>\^~\|`]+", GPT_2_WORDS, THREE_DIGITS]);
const GPT_2: PreTokenizer = PreTokenizer::merging(&[GPT_2_WORDS]);
const GPT_4O: PreTokenizer = PreTokenizer::merging(&[GPT_4O_WORDS]);
const JAIS_2: PreTokenizer = PreTokenizer::merging(&[concat!(
    contraction!(),
    "|",
    word!(),
    r"|\p{N}{1,3}|",
    punctuation!(),
    r"|\s*[\r\n]+|\s{512}(?!\S)|\s{256}(?!\S)|\s{128}(?!\S)|\s{64}(?!\S)|\s{32}(?!\S)|",
    r"\s{16}(?!\S)|\s{8}(?!\S)|\s{4}(?!\S)|\s{1,2}(?!\S)|\s"
)]);
const LAGUNA: PreTokenizer = PreTokenizer::merging(&[r"[^\n]+|[\n]+", QWEN_2_WORDS]);
const LLAMA_3: PreTokenizer = PreTokenizer::of_whole_words(&[LLAMA_3_WORDS]);
const LLAMA_3_MERGING: PreTokenizer = PreTokenizer::merging(&[LLAMA_3_WORDS]);
const MINICPM_5: PreTokenizer = PreTokenizer::of_whole_words(&[
    r"\p{N}{1,3}",
    concat!(contraction!(), "|", word!(), r"|\p{N}+|", punctuation!(), "|", spaces!()),
]);
const QWEN_2: PreTokenizer = PreTokenizer::merging(&[QWEN_2_WORDS]);
const QWEN_35: PreTokenizer = PreTokenizer::merging(&[concat!(
    contraction!(),
    r"|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|",
    spaces!()
)]);
const SEED_CODER: PreTokenizer = PreTokenizer::merging(&[concat!(
    contraction!(),
    "|",
    word!(),
    r"|\p{N}| ?[^\s\p{L}\p{N}\r\n]+|",
    spaces!()
)]);
const SPARK_2_5: PreTokenizer = PreTokenizer::merging(&[
    r"\p{N}{1,3}",
    HAN_OR_KANA,
    concat!(marked_word!(), r"| ?[\p{P}\p{S}]+|[\r\n]|\s+(?!\S)|\s+"),
    DIGIT,
]);
const STARCODER: PreTokenizer = PreTokenizer::merging(&[DIGIT, GPT_2_WORDS]);
const SUPERBPE: PreTokenizer = PreTokenizer::merging(&[r"\p{N}+", r"(?=(\d{3})+(?!\d))"]);
const TEKKEN: PreTokenizer = PreTokenizer::of_whole_words(&[concat!(
    cased_word!(""),
    r"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|",
    spaces!()
)]);
const TINY_AYA: PreTokenizer = PreTokenizer::merging(&[r"\d{1,3}(?=(?:\d{3})*\b)", GPT_4O_WORDS]);
const UFAKZEKA: PreTokenizer =
    PreTokenizer::merging(&[concat!(word!(), r"|\p{N}|", punctuation!(), "|", spaces!())]);
const VIKING: PreTokenizer = PreTokenizer::merging(&[BLOOM_WORDS, DIGIT]);
const YOUTU: PreTokenizer = PreTokenizer::of_whole_words(&[
    concat!(
        "[\u{ac00}-\u{d7a3}\u{3131}-\u{318e}]+|",
        "[\u{ff01}\u{2026}\u{201c}\u{201d}\u{2018}\u{2019}\u{2014}\u{ff1a}\u{ff1b}\u{ff0c}\u{3001}-\u{303f}",
        "\u{fe30}-\u{fe4f}]+|[\u{3105}-\u{312f}]+|[\u{4e00}-\u{9fa5}\u{3040}-\u{309f}\u{30a0}-\u{30ff}]+"
    ),
    concat!(
        cased_word!(concat!(contraction!(), "?")),
        r"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|",
        spaces!()
    ),
]);

/// The supported names, sorted. llama.cpp also knows `afmoe`, `gemma4`, `granite-embed-multi-*`,
/// `kimi-k2`, `sarvam-moe` and `whitespace`, which are more than a split by expressions and
/// byte-level merges.
const NAMES: &[(&str, &PreTokenizer)] = &[
    ("a.x-4.0", &GPT_2),
    ("bailingmoe", &BAILING),
    ("bailingmoe2", &BAILING),
    ("bloom", &BLOOM),
    ("chameleon", &CHAMELEON),
    ("chatglm-bpe", &LLAMA_3_MERGING),
    ("codeshell", &STARCODER),
    ("cohere2moe", &TINY_AYA),
    ("command-r", &STARCODER),
    ("dbrx", &LLAMA_3_MERGING),
    ("deepseek-coder", &DEEPSEEK_CODER),
    ("deepseek-llm", &DEEPSEEK_LLM),
    ("deepseek-r1-qwen", &QWEN_2),
    ("deepseek-v3", &DEEPSEEK_V3),
    ("default", &DEFAULT),
    ("exaone", &STARCODER),
    ("exaone-moe", &EXAONE_MOE),
    ("exaone4", &GPT_2),
    ("f2llmv2", &QWEN_2),
    ("falcon", &FALCON),
    ("falcon-h1", &LLAMA_3),
    ("falcon3", &LLAMA_3),
    ("gigachat", &GPT_2),
    ("glm4", &LLAMA_3_MERGING),
    ("gpt-2", &GPT_2),
    ("gpt-4o", &GPT_4O),
    ("gpt3-finnish", &BLOOM),
    ("granite-docling", &GPT_2),
    ("grok-2", &QWEN_2),
    ("hunyuan", &QWEN_2),
    ("hunyuan-dense", &DEEPSEEK_V3),
    ("hy_v4", &DEEPSEEK_V3),
    ("jais", &GPT_2),
    ("jais-2", &JAIS_2),
    ("jina-de", &GPT_2),
    ("jina-es", &GPT_2),
    ("jina-v1-en", &GPT_2),
    ("jina-v2-code", &GPT_2),
    ("jina-v2-de", &GPT_2),
    ("jina-v2-es", &GPT_2),
    ("jina-v5-nano", &LLAMA_3),
    ("joyai-llm", &DEEPSEEK_V3),
    ("kanana2", &GPT_4O),
    ("kormo", &QWEN_2),
    ("laguna", &LAGUNA),
    ("lfm2", &LLAMA_3),
    ("llada-moe", &BAILING),
    ("llama-bpe", &LLAMA_3),
    ("llama-v3", &LLAMA_3),
    ("llama3", &LLAMA_3),
    ("llama4", &GPT_4O),
    ("megrez", &QWEN_2),
    ("mellum", &GPT_2),
    ("mellum2", &STARCODER),
    ("midm-2.0", &LLAMA_3),
    ("minerva-7b", &STARCODER),
    ("minicpm5", &MINICPM_5),
    ("minimax-m2", &GPT_4O),
    ("modern-bert", &GPT_2),
    ("mpt", &GPT_2),
    ("olmo", &GPT_2),
    ("phi-2", &GPT_2),
    ("pixtral", &LLAMA_3),
    ("poro-chat", &BLOOM),
    ("qwen2", &QWEN_2),
    ("qwen35", &QWEN_35),
    ("refact", &STARCODER),
    ("roberta-bpe", &GPT_2),
    ("seed-coder", &SEED_CODER),
    ("smaug-bpe", &LLAMA_3_MERGING),
    ("smollm", &STARCODER),
    ("solar-open", &QWEN_2),
    ("spark2_5", &SPARK_2_5),
    ("stablelm2", &QWEN_2),
    ("starcoder", &STARCODER),
    ("superbpe", &SUPERBPE),
    ("talkie", &GPT_4O),
    ("tekken", &TEKKEN),
    ("tiny_aya", &TINY_AYA),
    ("trillion", &GPT_2),
    ("ufakzeka", &UFAKZEKA),
    ("viking", &VIKING),
    ("youtu", &YOUTU),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pre_tokenizer_names_are_sorted_and_recognised() {
        assert!(NAMES.is_sorted_by(|(one, _), (other, _)| one < other));
        assert!(NAMES.iter().all(|(name, rule)| PreTokenizer::from_name(name) == Some(*rule)));
        assert_eq!(PreTokenizer::from_name("kimi-k2"), None);
    }
}
