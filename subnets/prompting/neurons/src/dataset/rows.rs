//! Parquet files of questions, the usual format on hubs of datasets.

use std::path::Path;

use bytes::Bytes;
use parquet::errors::ParquetError;
use parquet::file::metadata::RowGroupMetaData;
use parquet::file::reader::{FileReader as _, SerializedFileReader};
use parquet::record::Field;
use parquet::schema::types::Type;

use super::{DatasetError, DatasetLine, Item};
use crate::lines::{LinesError, MAX_BYTES, read_bytes};

/// The columns that are read: the fields of a line of a JSONL file.
const COLUMNS: [&str; 3] = ["question", "prompt", "text"];
/// Bytes counted for a row besides its text: a small file can have billions of rows without a text.
const ROW_BYTES: u64 = 32;

/// Reads the questions and passages of a Parquet file. Only the columns of [`COLUMNS`] are read.
pub(super) fn read_rows(path: &Path) -> Result<Vec<Item>, DatasetError> {
    read_limited(path, MAX_BYTES)
}

/// Reads a file whose texts have at most `limit` bytes.
fn read_limited(path: &Path, limit: u64) -> Result<Vec<Item>, DatasetError> {
    let malformed = |source| DatasetError::Parquet { path: path.to_owned(), source };
    let reader = SerializedFileReader::new(Bytes::from(read_bytes(path)?)).map_err(malformed)?;
    let Some(projection) = projection(&reader, path)? else { return Ok(Vec::new()) };
    if uncompressed_bytes(&reader) > limit {
        return Err(LinesError::TooLarge { path: path.to_owned() }.into());
    }
    let (mut items, mut bytes) = (Vec::new(), 0);
    for row in reader.get_row_iter(Some(projection)).map_err(malformed)? {
        let mut line = DatasetLine { question: None, text: None };
        for (column, value) in row.map_err(malformed)?.into_columns() {
            let value = match value {
                Field::Str(value) => value,
                Field::Null => continue,
                _ => return Err(DatasetError::NotText { path: path.to_owned(), column }),
            };
            bytes += value.len() as u64;
            let field = if column == "text" { &mut line.text } else { &mut line.question };
            // A row with both has the question.
            if field.is_none() || column == "question" {
                *field = Some(value);
            }
        }
        items.extend(line.item());
        // A text that many rows share is stored once in the file.
        bytes += ROW_BYTES;
        if bytes > limit {
            return Err(LinesError::TooLarge { path: path.to_owned() }.into());
        }
    }
    Ok(items)
}

/// Returns the schema of the columns to read, or `None` if the file has none of them.
fn projection(
    reader: &SerializedFileReader<Bytes>,
    path: &Path,
) -> Result<Option<Type>, DatasetError> {
    let schema = reader.metadata().file_metadata().schema();
    let is_read = |column: &str| COLUMNS.contains(&column);
    let columns = schema.get_fields().iter().filter(|column| is_read(column.name()));
    let columns = columns.cloned().collect::<Vec<_>>();
    if columns.is_empty() {
        return Ok(None);
    }
    if let Some(column) = columns.iter().find(|column| !column.is_primitive()) {
        let column = column.name().to_owned();
        return Err(DatasetError::NotText { path: path.to_owned(), column });
    }
    Type::group_type_builder(schema.name())
        .with_fields(columns)
        .build()
        .map(Some)
        .map_err(|source: ParquetError| DatasetError::Parquet { path: path.to_owned(), source })
}

/// Returns the size of the columns to read, as the file states it.
fn uncompressed_bytes(reader: &SerializedFileReader<Bytes>) -> u64 {
    let chunks = reader.metadata().row_groups().iter().flat_map(RowGroupMetaData::columns);
    let is_read = |path: &[String]| matches!(path, [name] if COLUMNS.contains(&name.as_str()));
    chunks
        .filter(|chunk| is_read(chunk.column_path().parts()))
        // A negative size is malformed.
        .map(|chunk| u64::try_from(chunk.uncompressed_size()).unwrap_or(u64::MAX))
        .fold(0, u64::saturating_add)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::sync::Arc;

    use parquet::basic::Compression;
    use parquet::data_type::{ByteArray, ByteArrayType};
    use parquet::file::properties::WriterProperties;
    use parquet::file::writer::SerializedFileWriter;
    use parquet::schema::parser::parse_message_type;
    use taonet_primitives::with_causes;
    use tempfile::TempDir;

    use super::*;
    use crate::Dataset;

    /// Writes a file `a.parquet` whose columns have the same values, with one row group.
    fn write(
        columns: &[&str],
        values: &[Option<&str>],
        compression: Compression,
    ) -> (TempDir, PathBuf) {
        let columns: Vec<_> =
            columns.iter().map(|column| format!("OPTIONAL BYTE_ARRAY {column};")).collect();
        let schema =
            parse_message_type(&format!("message rows {{ {} }}", columns.join(" "))).unwrap();
        let properties = WriterProperties::builder().set_compression(compression).build();
        let levels: Vec<_> = values.iter().map(|value| i16::from(value.is_some())).collect();
        let values: Vec<_> = values.iter().flatten().map(|value| ByteArray::from(*value)).collect();
        let mut bytes = Vec::new();
        let mut file =
            SerializedFileWriter::new(&mut bytes, Arc::new(schema), Arc::new(properties)).unwrap();
        let mut group = file.next_row_group().unwrap();
        while let Some(mut column) = group.next_column().unwrap() {
            let writer = column.typed::<ByteArrayType>();
            writer.write_batch(&values, Some(&levels), None).unwrap();
            column.close().unwrap();
        }
        group.close().unwrap();
        file.close().unwrap();
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.parquet");
        std::fs::write(&path, bytes).unwrap();
        (directory, path)
    }

    fn error(path: &Path) -> String {
        with_causes(&Dataset::open(path).unwrap_err())
    }

    #[test]
    fn rows_are_questions_or_passages_by_column_name() {
        let values = [Some(" Why? "), None, Some(""), Some("Who?")];
        let question = |text: &str| Item::Question(text.to_owned());
        let passage = |text: &str| Item::Passage(text.to_owned());
        for compression in [Compression::UNCOMPRESSED, Compression::SNAPPY] {
            for (columns, expected) in [
                (&["id", "question (UTF8)"][..], [question("Why?"), question("Who?")]),
                (&["prompt (UTF8)", "question (UTF8)"], [question("Why?"), question("Who?")]),
                (&["text (UTF8)"], [passage("Why?"), passage("Who?")]),
            ] {
                let (directory, path) = write(columns, &values, compression);
                assert_eq!(read_rows(&path).unwrap(), expected, "{columns:?}");
                // Beside other files of a directory.
                assert_eq!(Dataset::open(directory.path()).unwrap().count(), 2);
            }
        }
    }

    #[test]
    fn unusable_parquet_files_are_reported() {
        let (_directory, path) = write(&["id"], &[Some("7")], Compression::SNAPPY);
        assert!(error(&path).contains("has no questions"), "{}", error(&path));
        let (_directory, path) = write(&["text"], &[Some("a")], Compression::SNAPPY);
        assert!(error(&path).starts_with("the column `text` of "), "{}", error(&path));
        let (_directory, path) = write(&["text (UTF8)"], &[Some("a")], Compression::SNAPPY);
        let bytes = std::fs::read(&path).unwrap();
        for malformed in [&b""[..], b"PAR1", &bytes[..bytes.len() / 2], &[0; 64]] {
            std::fs::write(&path, malformed).unwrap();
            assert!(error(&path).starts_with("cannot read "), "{}", error(&path));
        }
    }

    /// The file has the text once, and the rows refer to it.
    #[test]
    fn small_file_that_expands_beyond_the_limit_is_refused() {
        let (_directory, path) =
            write(&["text (UTF8)"], &[Some("a passage"); 1_000], Compression::SNAPPY);
        assert!(std::fs::metadata(&path).unwrap().len() < 2_000);
        assert_eq!(read_limited(&path, 50_000).unwrap().len(), 1_000);
        let error = read_limited(&path, 40_000).unwrap_err().to_string();
        assert!(error.ends_with("is larger than 256 MiB; hint: split it"), "{error}");
    }
}
