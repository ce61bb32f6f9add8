/// Version, codec and hash of a supported CID, as in the table of multicodec: CIDv1, raw, sha2-256
/// of 32 bytes.
const RAW_CID_PREFIX: [u8; 4] = [0x01, 0x55, 0x12, 0x20];
/// Codec of files in several blocks, and of directories.
const DAG_PB: u8 = 0x70;

/// Why a CID does not state the SHA-256 of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CidError {
    /// The text is no CID in base32.
    #[error("not a CID of version 1 in base32, which begins with b")]
    Malformed,
    /// The CID is the hash of the tree of a file or directory, not of its bytes.
    #[error("the CID is that of a tree of blocks (codec dag-pb), not of one raw block")]
    Tree,
    /// The CID has another codec or hash function.
    #[error("the CID has another codec than raw, or another hash function than sha2-256")]
    Unsupported,
}

/// Returns the SHA-256 of the content of a raw block.
pub(super) fn raw_sha256(cid: &str) -> Result<[u8; 32], CidError> {
    // Version 0 is the bare hash of a dag-pb node, in base58.
    if cid.len() == 46 && cid.starts_with("Qm") {
        return Err(CidError::Tree);
    }
    let bytes = decode_base32(cid.strip_prefix('b').ok_or(CidError::Malformed)?)
        .ok_or(CidError::Malformed)?;
    match bytes.split_first_chunk::<4>() {
        Some((&RAW_CID_PREFIX, hash)) => hash.try_into().map_err(|_| CidError::Malformed),
        Some((&[1, DAG_PB, ..], _)) => Err(CidError::Tree),
        Some((&[1, ..], _)) => Err(CidError::Unsupported),
        _ => Err(CidError::Malformed),
    }
}

/// Decodes base32 in lower case without padding (RFC 4648); `None` for other characters, or bits
/// after the last byte.
fn decode_base32(text: &str) -> Option<Vec<u8>> {
    let (mut bytes, mut buffer, mut buffered_bits) =
        (Vec::with_capacity(text.len() * 5 / 8), 0_u32, 0_u32);
    for byte in text.bytes() {
        let value = match byte {
            b'a'..=b'z' => byte - b'a',
            b'2'..=b'7' => byte - b'2' + 26,
            _ => return None,
        };
        buffer = (buffer << 5) | u32::from(value);
        buffered_bits += 5;
        if buffered_bits >= 8 {
            buffered_bits -= 8;
            bytes.push((buffer >> buffered_bits) as u8);
            buffer &= (1 << buffered_bits) - 1;
        }
    }
    (buffer == 0 && buffered_bits < 5).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The CID and the hash of "hello world" as `ipfs add --cid-version 1` prints them.
    #[test]
    fn cid_of_a_raw_block_states_its_hash() {
        let cid = "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e";
        let hash = "b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde9";
        assert_eq!(raw_sha256(cid).map(hex::encode).as_deref(), Ok(hash));
    }

    #[test]
    fn unsupported_cid_error_explains_the_reason() {
        let raw = "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e";
        for (cid, error) in [
            ("QmT78zSuBmuS4z925WZfrqQ1qHaJ56DQaTfyMUF7F8ff5o", CidError::Tree),
            ("bafybeigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi", CidError::Tree),
            // Codec dag-cbor, and hash blake2b-256.
            ("bafyreigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi", CidError::Unsupported),
            ("", CidError::Malformed),
            ("b", CidError::Malformed),
            (&raw[1..], CidError::Malformed),
            (&raw[..raw.len() - 1], CidError::Malformed),
            ("zb2rhe5P4gXftAwvA4eXQ5HJwsER2owDyS9sKaQRRVQPn93bA", CidError::Malformed),
            ("bAFKREIFZJUT3TE2NHYEKKLSS27NH3K72YSCO7Y32KOAO5EEI66WOF36N5E", CidError::Malformed),
            ("bafkrei\u{fc}", CidError::Malformed),
        ] {
            assert_eq!(raw_sha256(cid), Err(error), "{cid}");
        }
    }

    /// Examples of RFC 4648, in lower case.
    #[test]
    fn base32_decodes_whole_bytes() {
        for (text, bytes) in [
            ("", &b""[..]),
            ("my", b"f"),
            ("mzxq", b"fo"),
            ("mzxw6", b"foo"),
            ("mzxw6ytboi", b"foobar"),
        ] {
            assert_eq!(decode_base32(text).as_deref(), Some(bytes), "{text}");
        }
        for text in ["m", "mz2", "mzxw6=", "m1", "mzx"] {
            assert_eq!(decode_base32(text), None, "{text}");
        }
    }
}
