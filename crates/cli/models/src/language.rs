//! The language of speech on the command line.

use std::str::FromStr;

use taonet_whisper::language_code;

/// Language of speech that Whisper recognises.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpokenLanguage {
    /// No particular language, written `auto`: announced by a validator, or else detected.
    Auto,
    /// A language by its code, such as `fr`, or by a tag with a region, such as `fr-FR`.
    Code(&'static str),
}

impl SpokenLanguage {
    /// Returns the code of the language; `None` for [`SpokenLanguage::Auto`].
    pub const fn code(self) -> Option<&'static str> {
        match self {
            Self::Auto => None,
            Self::Code(code) => Some(code),
        }
    }
}

impl FromStr for SpokenLanguage {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.eq_ignore_ascii_case("auto") {
            return Ok(Self::Auto);
        }
        language_code(text)
            .map(Self::Code)
            .ok_or("expected auto, or the code of a language that Whisper understands, such as fr")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn language_codes_ignore_case_and_region() {
        for (text, expected) in [
            ("fr", Some("fr")),
            ("EN", Some("en")),
            ("Yue", Some("yue")),
            ("fr-FR", Some("fr")),
            ("ZH-hant-tw", Some("zh")),
            ("auto", None),
            ("Auto", None),
        ] {
            let language: SpokenLanguage = text.parse().unwrap();
            assert_eq!(language.code(), expected, "{text}");
        }
    }

    #[test]
    fn language_without_code_is_refused_with_an_example() {
        for text in ["french", "English", "xx", "xx-FR", "fr_FR", "-FR", ""] {
            let error = text.parse::<SpokenLanguage>().unwrap_err();
            assert!(error.ends_with("the code of a language that Whisper understands, such as fr"));
        }
    }
}
