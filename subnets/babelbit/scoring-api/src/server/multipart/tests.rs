use futures::stream;
use proptest::prelude::*;

use super::*;

const TYPE: &str = "multipart/form-data; boundary=\"b\"";

/// Creates a form whose body arrives in chunks of this size.
fn form(body: &[u8], piece_len: usize) -> Form {
    let pieces: Vec<Result<Bytes, std::io::Error>> =
        body.chunks(piece_len).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
    Form::new(TYPE, Body::from_stream(stream::iter(pieces))).unwrap()
}

fn body(metadata: &[u8], file: &[u8]) -> Vec<u8> {
    let mut body =
        b"preamble\r\n--b\r\nContent-Disposition: form-data; name=\"metadata\"\r\n\r\n".to_vec();
    body.extend_from_slice(metadata);
    body.extend_from_slice(
        b"\r\n--b\r\ncontent-type: x/y\r\ncontent-disposition: form-data; name=\"file\"; filename=\"a\"\r\n\r\n",
    );
    body.extend_from_slice(file);
    body.extend_from_slice(b"\r\n--b--\r\n");
    body
}

async fn read_both(body: &[u8], piece_len: usize) -> Result<(Vec<u8>, Vec<u8>), FormError> {
    let mut form = form(body, piece_len);
    form.next_part("metadata").await?;
    let metadata = form.read_part("metadata", 1_000).await?;
    form.next_part("file").await?;
    Ok((metadata, form.read_part("file", 100_000).await?))
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

proptest! {
    /// Parts with any content survive any split of the body.
    #[test]
    fn multipart_parts_round_trip(
        metadata in proptest::collection::vec(prop_oneof![Just(b'\r'), Just(b'\n'), Just(b'-'), any::<u8>()], 0..50),
        file in proptest::collection::vec(prop_oneof![Just(b'\r'), Just(b'\n'), Just(b'-'), any::<u8>()], 0..300),
        piece_len in 1_usize..40,
    ) {
        let contains_delimiter = |part: &[u8]| {
            find(part, b"\r\n--b").is_some() || part.starts_with(b"--b") || part.ends_with(b"\r")
        };
        prop_assume!(!contains_delimiter(&metadata) && !contains_delimiter(&file));
        let (actual, content) = block_on(read_both(&body(&metadata, &file), piece_len)).unwrap();
        prop_assert_eq!((actual, content), (metadata, file));
    }

    #[test]
    fn arbitrary_body_is_refused(bytes: Vec<u8>, piece_len in 1_usize..9) {
        prop_assert!(block_on(read_both(&bytes, piece_len)).is_err());
    }
}

#[tokio::test]
async fn truncated_form_is_an_error() {
    let complete = body(b"{}", b"sound");
    for length in 0..complete.len() - 4 {
        assert!(read_both(&complete[..length], 7).await.is_err(), "{length}");
    }
}

/// Columns: malformed form, error message.
#[tokio::test]
async fn malformed_form_is_reported() {
    let swapped_parts =
        "--b\r\ncontent-disposition: form-data; name=\"file\"\r\n\r\nx\r\n--b--\r\n";
    let long_header = format!("--b\r\nx: {}", "y".repeat(10_000));
    for (body, text) in [
        (
            swapped_parts,
            "the form lacks the field metadata; hint: send `metadata` first, then `file`",
        ),
        (
            "--b--\r\n",
            "the form lacks the field metadata; hint: send `metadata` first, then `file`",
        ),
        ("--bXY", "malformed form: a boundary is not followed by a line break"),
        (&long_header, "malformed form: a part header is incomplete"),
        ("", "the form ends before its final boundary"),
    ] {
        assert_eq!(
            read_both(body.as_bytes(), 100).await.unwrap_err().to_string(),
            text,
            "{body:.40}"
        );
    }
    let error = read_both(&body(&[b'x'; 2_000], b""), 100).await.unwrap_err();
    assert_eq!(
        (error.to_string().as_str(), error.status()),
        ("the field metadata is larger than 1000 bytes", StatusCode::PAYLOAD_TOO_LARGE)
    );
    for content_type in [
        "",
        "application/json",
        "multipart/form-data",
        "multipart/form-data; boundary=",
        "text/plain; boundary=b",
    ] {
        assert!(
            matches!(Form::new(content_type, Body::empty()), Err(FormError::ContentType)),
            "{content_type}"
        );
    }
}
