//! Texts on which n-gram models are trained, as JSON and as lines: reading never panics, and
//! utterances that are read give a model.

use taonet_babelbit_text_miner::ngram::{TrainError, Trainer, read_utterances};

use super::file::with_file;

/// Checks one input.
pub fn check(file: &[u8]) {
    for name in ["texts.json", "texts.txt"] {
        let mut trainer = Trainer::new(3).expect("a valid number of words");
        let mut read = 0;
        let count = with_file(name, file, |path| {
            read_utterances(
                path,
                |_| (),
                |utterance| {
                    read += 1;
                    trainer.add(utterance)
                },
            )
        });
        let Ok(count) = count else { continue };
        assert_eq!(count, read);
        match trainer.finish(|_| ()) {
            Ok(model) => assert!(model.vocabulary_size() > 0),
            // All words may be longer than the limit, or end markers.
            Err(error) => assert_eq!(error, TrainError::Empty),
        }
    }
}
