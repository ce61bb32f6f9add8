//! People's voices on the page "Try it", which hears with Whisper base.

use std::path::{Path, PathBuf};

use taonet_testing::skip;

use super::{demo_with_whisper, interpreted, page};
use crate::peers::Peer;
use crate::speech::word_errors;
use crate::support::{Terminal, are_installed, repository};

/// Maximum share of wrong words in a text that reads as a person would write it.
const MAX_ERRORS_PERCENT: usize = 10;

/// A recording of a person, and the words in its first seconds.
struct Voice {
    file: &'static str,
    seconds: &'static str,
    spoken: &'static str,
}

const VOICES: [Voice; 2] = [
    Voice {
        file: "jfk.flac",
        seconds: "11",
        spoken: "and so my fellow americans ask not what your country can do for you ask what you can do for your country",
    },
    Voice {
        file: "multilingual.mp3",
        seconds: "20",
        spoken: "permission is hereby granted free of charge to any person obtaining a copy of this software and \
                 associated documentation files to deal in the software without restriction including without \
                 limitation the rights to use copy modify merge publish distribute sublicense and or sell copies of \
                 the software and to permit persons to whom the software is furnished to do so",
    },
];

/// Finds the directory of the recordings, which are beside the repository.
fn recordings() -> Option<PathBuf> {
    let given =
        std::env::var_os("TAONET_VOICES").unwrap_or_else(|| "../shared/vectors/voices".into());
    let folder = repository(".").join(given);
    if folder.is_dir() {
        return Some(folder);
    }
    skip(&format!(
        "NOT TESTED: no recordings in {}; hint: set TAONET_VOICES to their directory",
        folder.display()
    ));
    None
}

/// Lower case without punctuation.
fn words(text: &str) -> String {
    let plain = |word: &str| {
        word.chars().filter(|character| character.is_alphanumeric()).collect::<String>()
    };
    text.to_lowercase().split_whitespace().map(plain).collect::<Vec<_>>().join(" ")
}

/// Returns the texts of a result: the visitor's words, and those of the interpretation.
fn texts(result: &str) -> [String; 2] {
    ["You", "Interpretation"].map(|label| {
        let (_, rest) =
            result.split_once(&format!("<h3>{label}</h3>")).unwrap_or_else(|| panic!("{result}"));
        let (_, rest) = rest.split_once("<p>").unwrap_or_else(|| panic!("{result}"));
        rest.split("</p>").next().unwrap().to_owned()
    })
}

#[test]
fn visitors_voices_become_english_text() {
    let (Some(folder), Some(decoder)) = (recordings(), Peer::find("whisper")) else { return };
    if !are_installed(&["faster-whisper-base"]) {
        return;
    }
    let decoded = tempfile::tempdir().unwrap();
    let mut terminal = Terminal::start(demo_with_whisper(&[]));
    terminal.expect("The contest is shown at ");
    let url = terminal.rest_of_line();
    terminal.expect("it hears with faster-whisper-base");
    terminal.expect("The page is served at ");
    let form = page(&format!("{url}/try"));
    assert!(form.contains("The captions are those of faster-whisper-base"), "{form}");
    // The parrot returns the speech itself, and so misses no deadline on a busy machine.
    let (_, parrot) = form.split_once("parrot · uid ").unwrap_or_else(|| panic!("{form}"));
    let parrot = parrot.split('<').next().unwrap().trim().parse().unwrap();
    for Voice { file, seconds, spoken } in VOICES {
        let target = decoded.path().join(Path::new(file).with_extension("wav"));
        let mut decode = decoder.script("decode.py");
        assert!(
            decode.arg(folder.join(file)).arg(&target).arg(seconds).status().unwrap().success()
        );
        let (_, result) = interpreted(&url, parrot, &target);
        for text in texts(&result) {
            let errors = word_errors(&words(&text), spoken);
            let limit = spoken.split(' ').count() * MAX_ERRORS_PERCENT / 100;
            assert!(errors <= limit, "{file}: {errors} word errors, at most {limit}: {text}");
        }
    }
}
