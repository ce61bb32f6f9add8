//! espeak-ng as a subprocess. Linking espeak-ng would extend its licence to the program.

use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use taonet_primitives::SampleRate;

use super::{SynthesisError, Synthesizer, Voice, check_name};
use crate::{Pcm, Wav};

/// The timeout for one text. espeak-ng synthesises a sentence in about 10 ms.
const TIMEOUT: Duration = Duration::from_secs(30);
/// The polling interval for the exit of the process after its output is closed.
const POLL_INTERVAL: Duration = Duration::from_millis(1);
/// Package managers by program name, each with the command that installs espeak-ng.
const INSTALLERS: [(&str, &str); 6] = [
    ("/usr/bin/apt-get", "sudo apt-get install espeak-ng"),
    ("/usr/bin/dnf", "sudo dnf install espeak-ng"),
    ("/usr/bin/pacman", "sudo pacman -S espeak-ng"),
    ("/sbin/apk", "sudo apk add espeak-ng"),
    ("/opt/homebrew/bin/brew", "brew install espeak-ng"),
    ("/usr/local/bin/brew", "brew install espeak-ng"),
];

/// The espeak-ng program. Each text runs one short-lived process.
#[derive(Debug, Clone)]
pub struct Espeak {
    program: PathBuf,
    timeout: Duration,
}

impl Espeak {
    /// Creates a synthesiser that runs the `espeak-ng` found on the search path.
    ///
    /// # Errors
    /// [`SynthesisError::Missing`], with the install command, when the program is not found; see
    /// [`Espeak::at`] for other errors.
    pub fn find() -> Result<Self, SynthesisError> {
        Self::at(Path::new("espeak-ng"))
    }

    /// Creates a synthesiser that runs the program at this path, which must accept espeak-ng's
    /// options.
    ///
    /// # Errors
    /// [`SynthesisError::Missing`] when the program does not exist, [`SynthesisError::Failed`] or
    /// [`SynthesisError::TimedOut`] when the program does not report its version.
    pub fn at(program: &Path) -> Result<Self, SynthesisError> {
        let espeak = Self { program: program.to_owned(), timeout: TIMEOUT };
        // `eSpeak NG text-to-speech: 1.51  Data at: /usr/lib/...`
        let output = espeak.run(&["--version"], "")?;
        if !String::from_utf8_lossy(&output).contains(": ") {
            return Err(SynthesisError::Failed("it does not report its version".into()));
        }
        Ok(espeak)
    }

    fn run(&self, arguments: &[&str], input: &str) -> Result<Vec<u8>, SynthesisError> {
        let deadline = Instant::now() + self.timeout;
        let mut child = Command::new(&self.program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| match error.kind() {
                io::ErrorKind::NotFound => {
                    SynthesisError::Missing { install: install_command().into() }
                }
                _ => SynthesisError::Io(error),
            })?;
        let result = write_and_read(&mut child, input.as_bytes().to_vec(), deadline);
        if result.is_err() {
            // The process may have exited already; after the wait it has exited in either case.
            let _ = child.kill();
            let _ = child.wait();
        }
        result.map_err(|error| match error {
            SynthesisError::TimedOut { .. } => {
                SynthesisError::TimedOut { seconds: self.timeout.as_secs_f64() }
            }
            other => other,
        })
    }
}

/// Error after the deadline; the caller sets the duration.
const TIMED_OUT: SynthesisError = SynthesisError::TimedOut { seconds: 0.0 };

/// Waits for the content of a pipe until `deadline`.
fn receive_output(
    pipe: Option<mpsc::Receiver<io::Result<Vec<u8>>>>,
    deadline: Instant,
) -> Result<Vec<u8>, SynthesisError> {
    let Some(pipe) = pipe else { return Ok(Vec::new()) };
    match pipe.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
        Ok(bytes) => bytes.map_err(SynthesisError::Io),
        Err(_) => Err(TIMED_OUT),
    }
}

/// Writes `input`, collects the output and waits for the exit, all before `deadline`.
fn write_and_read(
    child: &mut Child,
    input: Vec<u8>,
    deadline: Instant,
) -> Result<Vec<u8>, SynthesisError> {
    if let Some(mut stdin) = child.stdin.take() {
        // Write errors are ignored: if the process exits without reading its input, its own error
        // message is more useful than a broken pipe.
        thread::spawn(move || stdin.write_all(&input));
    }
    let output = child.stdout.take().map(read_on_thread);
    let error_text = child.stderr.take().map(read_on_thread);
    let output = receive_output(output, deadline)?;
    let error_text = receive_output(error_text, deadline)?;
    let status = loop {
        match child.try_wait()? {
            Some(status) => break status,
            None if Instant::now() >= deadline => return Err(TIMED_OUT),
            None => thread::sleep(POLL_INTERVAL),
        }
    };
    if status.success() {
        Ok(output)
    } else {
        let error_text = String::from_utf8_lossy(&error_text);
        Err(SynthesisError::Failed(format!("{} ({status})", error_text.trim())))
    }
}

/// Reads a pipe to its end on a separate thread, so that a silent process cannot block the caller.
fn read_on_thread(mut pipe: impl Read + Send + 'static) -> mpsc::Receiver<io::Result<Vec<u8>>> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        let result = pipe.read_to_end(&mut bytes).map(|_| bytes);
        // After a timeout, the receiver no longer exists.
        let _ = sender.send(result);
    });
    receiver
}

fn install_command() -> &'static str {
    let installer = INSTALLERS.iter().find(|(manager, _)| Path::new(manager).exists());
    installer.map_or("the system's package manager (package espeak-ng)", |(_, command)| command)
}

impl Espeak {
    /// Returns the phonemes of a text in the International Phonetic Alphabet: one line per clause,
    /// in espeak-ng's notation. Words of other languages are enclosed in the names of their
    /// languages, such as `(fr)`. `voice` is a name of espeak-ng, such as `en-us`.
    ///
    /// # Errors
    /// [`SynthesisError::VoiceName`] when the name is malformed; those of [`Synthesizer::speak`]
    /// when espeak-ng is missing or fails.
    pub fn phonemes(&self, text: &str, voice: &str) -> Result<Vec<String>, SynthesisError> {
        check_name(voice)?;
        let output =
            self.run(&["-q", "--ipa", "-v", voice, "-b", "1", "--stdin"], &without_markup(text))?;
        let lines = String::from_utf8_lossy(&output).into_owned();
        Ok(lines
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty())
            .map(str::to_owned)
            .collect())
    }
}

/// Removes control characters and `[[`: they would be commands to espeak-ng rather than text.
fn without_markup(text: &str) -> String {
    text.replace(|letter: char| letter.is_control(), " ").replace("[[", "[ [")
}

impl Synthesizer for Espeak {
    fn speak(&self, text: &str, voice: &Voice) -> Result<Pcm, SynthesisError> {
        voice.validate()?;
        let text = without_markup(text);
        if text.trim().is_empty() {
            return Ok(Pcm::mono(Vec::new(), SampleRate::HZ_22K));
        }
        let speed = voice.words_per_minute.to_string();
        let pitch = voice.pitch.to_string();
        // The text is passed on standard input, so it cannot be parsed as an option. `-b 1` selects
        // UTF-8.
        let arguments =
            ["-v", &voice.name, "-s", &speed, "-p", &pitch, "-b", "1", "--stdin", "--stdout"];
        let file = self.run(&arguments, &text)?;
        Ok(Wav::decode(&file)?.pcm)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn voice(name: &str) -> Voice {
        Voice { name: name.into(), words_per_minute: 160, pitch: 50 }
    }

    /// Creates a program that answers `--version` like espeak-ng and otherwise runs `script`.
    fn script_espeak(folder: &Path, script: &str) -> Espeak {
        let path = folder.join("espeak-ng");
        let version = "case \"$1\" in --version) echo 'eSpeak NG text-to-speech: 9.9  Data at: /x'; exit;; esac";
        // A shell writes the file: programs that other tests start meanwhile would inherit it from
        // this process while it is open for writing, and until they close it, it cannot be run
        // ("Text file busy").
        let write = r#"printf %s "$2" > "$1" && chmod 755 "$1""#;
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", write, "sh"]).arg(&path).arg(format!("#!/bin/sh\n{version}\n{script}\n"));
        assert!(shell.status().unwrap().success());
        Espeak::at(&path).unwrap()
    }

    #[test]
    fn text_is_synthesised() {
        let espeak = Espeak::find().unwrap_or_else(|error| panic!("{error}"));
        let speak = |text| espeak.speak(text, &voice("en-us+f3")).unwrap();
        let sound = speak("hello world");
        assert_eq!((sound.channels, sound.rate), (1, SampleRate::HZ_22K));
        assert!((0.4..3.0).contains(&sound.duration().get()));
        assert!(sound.samples.iter().any(|x| x.abs() > 0.1));
        assert_eq!(sound, speak("hello world"));
        assert!(speak("--help me").frames() > 0);
        assert!(speak("hello \u{1}5I [[h@]] wörld").frames() > 0);
    }

    #[test]
    fn phonemes_have_a_line_per_clause() {
        let espeak = Espeak::find().unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(
            espeak.phonemes("Hello world, this is a test.", "en-us").unwrap(),
            ["həlˈoʊ wˈɜːld", "ðɪs ɪz ɐ tˈɛst"]
        );
        for silent in ["", " ", "...", "\n"] {
            assert!(espeak.phonemes(silent, "en-us").unwrap().is_empty(), "{silent:?}");
        }
        assert!(matches!(
            espeak.phonemes("hello", "--help"),
            Err(SynthesisError::VoiceName { .. })
        ));
        assert!(matches!(espeak.phonemes("hello", "zz"), Err(SynthesisError::Failed(_))));
    }

    #[test]
    fn empty_text_has_no_samples() {
        let folder = tempfile::tempdir().unwrap();
        let espeak = script_espeak(folder.path(), "exit 1");
        for text in ["", " \n\t", "\u{1}"] {
            assert_eq!(espeak.speak(text, &voice("en")).unwrap().frames(), 0);
        }
    }

    #[test]
    fn invalid_voice_names_speeds_and_pitches_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let espeak = script_espeak(folder.path(), "exit 1");
        for name in ["", "../x", "en us", "-x", "a/b", &"x".repeat(65)] {
            let error = espeak.speak("hello", &voice(name)).unwrap_err();
            assert!(matches!(error, SynthesisError::VoiceName { .. }), "{name}: {error}");
        }
        for (words_per_minute, pitch) in [(79, 50), (451, 50), (160, 100)] {
            let voice = Voice { name: "en".into(), words_per_minute, pitch };
            assert!(matches!(espeak.speak("hello", &voice), Err(SynthesisError::Range { .. })));
        }
    }

    #[test]
    fn missing_program_error_names_the_package() {
        let error = Espeak::at(Path::new("/nowhere/espeak-ng")).unwrap_err();
        assert!(
            matches!(&error, SynthesisError::Missing { install } if install.contains("espeak-ng")),
            "{error}"
        );
    }

    #[test]
    fn failure_includes_stderr_of_the_program() {
        let folder = tempfile::tempdir().unwrap();
        let espeak = script_espeak(folder.path(), "echo 'no such voice' >&2; exit 3");
        let error = espeak.speak("hello", &voice("xx")).unwrap_err();
        assert_eq!(error.to_string(), "espeak-ng failed: no such voice (exit status: 3)");
        let espeak = script_espeak(folder.path(), "cat > /dev/null; echo junk");
        assert!(matches!(espeak.speak("hello", &voice("xx")), Err(SynthesisError::Output(_))));
    }

    #[test]
    fn hanging_espeak_is_killed() {
        let folder = tempfile::tempdir().unwrap();
        for script in ["exec sleep 60", "exec sleep 60 >&- 2>&-"] {
            let mut espeak = script_espeak(folder.path(), script);
            espeak.timeout = Duration::from_millis(50);
            let started = Instant::now();
            assert!(matches!(
                espeak.speak("hello", &voice("en")),
                Err(SynthesisError::TimedOut { .. })
            ));
            assert!(started.elapsed() < Duration::from_secs(20));
        }
    }
}
