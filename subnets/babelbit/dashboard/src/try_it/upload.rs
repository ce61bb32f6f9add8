//! Recordings uploaded by a form, for visitors without scripts.

use std::convert::Infallible;
use std::future::ready;

use axum::body::Bytes;
use futures::stream;
use multer::{Multipart, parse_boundary};
use taonet_primitives::{SampleRate, Uid};
use taonet_speech::{Wav, WavHeader, resample_endpoints};

use super::MAX_SECONDS;
use super::error::TryError;

/// Fields of the form.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Upload {
    pub(super) miner: Uid,
    pub(super) allows_storage: bool,
    pub(super) speech: Speech,
}

/// Speech that a form submits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Speech {
    /// An uploaded file.
    File(Bytes),
    /// The sample in this language.
    Sample(String),
}

impl Upload {
    /// Parses a form of type `multipart/form-data`.
    pub(super) async fn parse(content_type: &str, body: Bytes) -> Result<Self, TryError> {
        let mut form = Multipart::new(
            stream::once(ready(Ok::<_, Infallible>(body))),
            parse_boundary(content_type)?,
        );
        let (mut miner, mut allows_storage) = (None::<Uid>, false);
        let (mut file, mut sample) = (None::<Bytes>, None::<String>);
        while let Some(field) = form.next_field().await? {
            let name = field.name().map(str::to_owned);
            match name.as_deref() {
                Some("miner") => miner = field.text().await?.trim().parse().ok(),
                Some("keep") => allows_storage = true,
                Some("sound") => file = Some(field.bytes().await?),
                // The value of the sample's button.
                Some("sample") => sample = Some(field.text().await?),
                _ => {}
            }
        }
        let file = file.filter(|file| !file.is_empty()).map(Speech::File);
        Ok(Self {
            miner: miner.ok_or(TryError::MissingField("miner"))?,
            allows_storage,
            speech: sample.map(Speech::Sample).or(file).ok_or(TryError::MissingField("sound"))?,
        })
    }
}

/// Decodes a WAV file to mono samples at 24 kHz. Blocks the calling thread.
pub(super) fn decode(file: &[u8]) -> Result<Vec<f32>, TryError> {
    // Before decoding, which takes memory in proportion to the duration.
    if WavHeader::read(file)?.duration().get() > f64::from(MAX_SECONDS) {
        return Err(TryError::TooLong);
    }
    let recording = Wav::decode(file)?.pcm.into_mono();
    Ok(resample_endpoints(&recording, SampleRate::HZ_24K).samples)
}

#[cfg(test)]
mod tests {
    use taonet_speech::{Pcm, SampleFormat};

    use super::*;

    fn form(fields: &[(&str, &str)]) -> Bytes {
        let part = |(name, value): &(&str, &str)| {
            format!("--b\r\ncontent-disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
        };
        format!("{}--b--\r\n", fields.iter().map(part).collect::<String>()).into()
    }

    async fn parse(fields: &[(&str, &str)]) -> Result<Upload, String> {
        let parsed = Upload::parse("multipart/form-data; boundary=b", form(fields)).await;
        parsed.map_err(|error| error.to_string())
    }

    #[tokio::test]
    async fn upload_form_is_parsed() {
        let sound = ("sound", "RIFF");
        let file = Speech::File(Bytes::from("RIFF"));
        let expected =
            |allows_storage| Ok(Upload { miner: Uid(7), allows_storage, speech: file.clone() });
        assert_eq!(parse(&[("miner", "7"), sound]).await, expected(false));
        // Without scripts, the button of a sample submits the empty field of the file, too.
        let sample = [("miner", "7"), ("sound", ""), ("sample", "French")];
        assert_eq!(
            parse(&sample).await.map(|upload| upload.speech),
            Ok(Speech::Sample("French".to_owned()))
        );
        assert_eq!(
            parse(&[sound, ("keep", "on"), ("other", ""), ("miner", " 7 ")]).await,
            expected(true)
        );
        for (fields, error) in [
            (&[("miner", "7")][..], "the form lacks the field sound"),
            (&[("miner", "7"), ("sound", "")], "the form lacks the field sound"),
            (&[sound], "the form lacks the field miner"),
            (&[sound, ("miner", "70000")], "the form lacks the field miner"),
        ] {
            assert_eq!(parse(fields).await.unwrap_err(), error);
        }
        for (kind, body) in [
            ("application/x-www-form-urlencoded", "miner=7"),
            ("multipart/form-data", ""),
            (
                "multipart/form-data; boundary=b",
                "--b\r\ncontent-disposition: form-data; name=\"miner\"\r\n\r\n7",
            ),
        ] {
            let error = Upload::parse(kind, body.into()).await.unwrap_err();
            assert!(matches!(error, TryError::Form(_)), "{kind}: {error}");
        }
    }

    #[test]
    fn recordings_become_mono_at_24_khz() {
        let rate = SampleRate::new(12_000).unwrap();
        let stereo = Pcm { samples: [0.5, 0.25].repeat(1_200), channels: 2, rate };
        let samples = decode(&Wav::encode(&stereo, SampleFormat::F32).unwrap()).unwrap();
        assert_eq!(samples.len(), 2_400);
        assert!(samples.iter().all(|sample| (sample - 0.375).abs() < 1e-6));
        assert!(matches!(decode(b"MP3"), Err(TryError::Wav(_))));
        let seconds = |count: usize| {
            Wav::encode(&Pcm::mono(vec![0.0; count * 12_000], rate), SampleFormat::S16)
        };
        assert!(decode(&seconds(30).unwrap()).is_ok());
        assert!(matches!(decode(&seconds(31).unwrap()), Err(TryError::TooLong)));
    }
}
