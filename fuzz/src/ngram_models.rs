//! Files of n-gram models: reading never panics, a model that is read predicts, and writing it
//! gives the same file. The checksum is corrected first, since no other check would be reached.

use sha2::{Digest as _, Sha256};
use taonet_babelbit_text_miner::ngram::NgramModel;

use super::file::with_file;

/// Size of the checksum at the end of a file in bytes.
const CHECKSUM: usize = 32;

/// Checks one input.
pub fn check(file: &[u8]) {
    let read = |file: &[u8]| NgramModel::read(file, file.len() as u64);
    let _ = read(file);
    let Some((content, _)) = file.split_last_chunk::<CHECKSUM>() else { return };
    let file = [content, &Sha256::digest(content)[..]].concat();
    let Ok(model) = read(&file) else { return };
    for prefix in ["", "the ferry", "\u{fffd} x"] {
        assert!(model.complete(prefix).starts_with(prefix));
    }
    let model_bytes = with_file("ngram.model", &[], |path| {
        model.save(path).expect("a model that is read is written");
        std::fs::read(path).expect("the file was written")
    });
    assert!(model_bytes == file, "the file of a model is unique");
}
