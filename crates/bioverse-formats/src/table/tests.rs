//! Tables as users write them, good and bad.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::{io::Write, path::Path, sync::Arc};

use arrow_array::{
    Array, ArrayRef, Float32Array, Int64Array, ListArray, RecordBatch, StringArray, StructArray,
    TimestampMicrosecondArray,
    builder::{Int64Builder, ListBuilder, MapBuilder, StringBuilder, StructBuilder},
    types::Float64Type,
};
use arrow_schema::{DataType, Field};
use flate2::{Compression, write::GzEncoder};
use serde_json::{Value, json};

use crate::{Object, Options, Result, Row, open};

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(vec![], Compression::fast());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

fn read_as(
    name: &str,
    content: impl AsRef<[u8]>,
    options: &Options,
) -> Result<Vec<(usize, Object)>> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(name);
    std::fs::write(&path, content).unwrap();
    open(&path, options)?
        .map(|row| row.map(|row| (row.number, row.object)))
        .collect()
}

fn read(name: &str, content: impl AsRef<[u8]>) -> Result<Vec<(usize, Object)>> {
    read_as(name, content, &Options::default())
}

fn object(value: Value) -> Object {
    value.as_object().unwrap().clone()
}

#[test]
fn the_content_decides_what_a_file_is() {
    let expected = [
        (1, object(json!({"smiles": "C,C", "text": "two \"words\""}))),
        (2, object(json!({"smiles": "O", "text": ""}))),
    ];
    let jsonl =
        "{\"smiles\":\"C,C\",\"text\":\"two \\\"words\\\"\"}\r\n{\"smiles\":\"O\",\"text\":\"\"}";
    let csv = "smiles,text\n\"C,C\",\"two \"\"words\"\"\"\nO,\n";
    let tsv = "smiles\ttext\nC,C\t\"two \"\"words\"\"\"\nO\t\n";
    let semicolons = "\u{feff}smiles;text\nC,C;\"two \"\"words\"\"\"\nO;\n";
    let bars = "smiles|text\nC,C|\"two \"\"words\"\"\"\nO|\n";
    assert_eq!(read("a.csv", bars).unwrap(), expected);
    for (name, text) in [
        ("a.jsonl", jsonl),
        ("a.csv", csv),
        ("a.tsv", tsv),
        ("a.csv", semicolons),
        ("a.txt", tsv),
    ] {
        assert_eq!(read(name, text).unwrap(), expected, "{name}: {text}");
        assert_eq!(
            read(&format!("{name}.gz"), gzip(text)).unwrap(),
            expected,
            "{name}.gz"
        );
        assert_eq!(read("misnamed", gzip(text)).unwrap(), expected);
    }
}

#[test]
fn a_field_with_a_line_break_is_one_row() {
    let rows = read("a.csv", "a,b\n\"x\ny\",z\nlast,row\n").unwrap();
    assert_eq!(rows[0].1["a"], "x\ny");
    assert_eq!(rows[1].0, 2);
    let rows = read("a.csv", "a,b\n5\" pipe,x\n\"6\"\"\",\"y\nz\"").unwrap();
    assert_eq!(rows[1].1["b"], "y\nz");
}

#[test]
fn one_column_needs_no_separator() {
    let rows = read("a.csv", "smiles\nCCO\n").unwrap();
    assert_eq!(rows, [(1, object(json!({"smiles": "CCO"})))]);
}

#[test]
fn blank_lines_are_skipped_but_counted() {
    let rows = read("a.jsonl", "\n{\"a\":1}\n  \n\n{\"a\":2}\n").unwrap();
    assert_eq!(rows.iter().map(|row| row.0).collect::<Vec<_>>(), [2, 5]);
}

#[test]
fn columns_without_names_are_numbered() {
    let numbered = [
        (1, object(json!({"column_1": "CC(=O)O", "column_2": "1"}))),
        (2, object(json!({"column_1": "CO", "column_2": "0"}))),
    ];
    assert_eq!(read("a.csv", "CC(=O)O,1\nCO,0\n").unwrap(), numbered);
    let told = |header| Options {
        header: Some(header),
        ..Options::default()
    };
    let rows = read_as("a.csv", "x,y\n1,2\n", &told(false)).unwrap();
    assert_eq!(rows[0].1, object(json!({"column_1": "x", "column_2": "y"})));
    let rows = read_as("a.csv", "CC(=O)O,1\nCO,0\n", &told(true)).unwrap();
    assert_eq!(rows, [(1, object(json!({"CC(=O)O": "CO", "1": "0"})))]);
    let rows = read("a.csv", ",smiles\n0,CCO\n").unwrap();
    assert_eq!(rows[0].1, object(json!({"column_1": "0", "smiles": "CCO"})));
}

#[test]
fn what_is_wrong_is_said_with_file_and_row() {
    let mut cut = gzip(&"{\"a\":\"some text that is long enough\"}\n".repeat(200));
    cut.truncate(cut.len() / 2);
    let array = b" [{\"a\":1}]".to_vec();
    for (name, content, expected) in [
        (
            "a.jsonl",
            b"{\"a\":1}\n{\"a\":".to_vec(),
            "a.jsonl row 2: is not a JSON object",
        ),
        ("a.jsonl", b"{\"a\":1}\n[1]\n".to_vec(), "a.jsonl row 2"),
        ("a.jsonl", b"{\"a\":NaN}\n".to_vec(), "a.jsonl row 1"),
        (
            "a.jsonl",
            b"{\"a\":\"\xff\"}\n".to_vec(),
            "a.jsonl row 1: is not UTF-8",
        ),
        ("a.json", array, "one object per line"),
        (
            "a.csv",
            b"a,b\n1,2\n3\n".to_vec(),
            "a.csv row 2: has 1 field, but the first line has 2",
        ),
        (
            "a.csv",
            b"a,b\n1,\xff\n".to_vec(),
            "a.csv row 1: is not UTF-8",
        ),
        (
            "a.csv",
            b"a,b\n\"x\ny\",2\n3,\"z\n4,5\n6,7\n".to_vec(),
            "a.csv row 2: opens a quote that is never closed",
        ),
        (
            "a.csv",
            b"a,b\n5\" pipe,\"z".to_vec(),
            "a.csv row 1: opens a quote that is never closed",
        ),
        (
            "a.csv",
            b"a,\"b\n1,2\n".to_vec(),
            "a first line that opens a quote that is never closed",
        ),
        ("a.csv", b"\xe9,b\n1,2\n".to_vec(), "iconv -f latin1"),
        ("a.csv", b"a,a\n1,2\n".to_vec(), "two columns called `a`"),
        ("a.jsonl.gz", cut, "cannot be read to its end"),
        ("a.parquet", b"PAR1 and no more".to_vec(), "cannot be read"),
        (
            "a.parquet",
            b"PAR1\xff\xff\xff\xff\xff\xff\xff\x7fPAR1".to_vec(),
            "cannot be read",
        ),
        (
            "a.parquet",
            b"a,b\n".to_vec(),
            "is called Parquet but is not",
        ),
    ] {
        let error = read(name, content).unwrap_err().to_string();
        assert!(
            error.contains(expected),
            "{error}\nshould contain: {expected}"
        );
    }
    assert!(read("a.csv", "a,b\n").unwrap().is_empty());
    assert!(read("a.jsonl", "").unwrap().is_empty());
}

#[test]
fn rows_after_a_bad_one_are_read() {
    let dir = tempfile::tempdir().unwrap();
    for (name, content) in [
        ("a.csv", b"a,b\n1,2\n3\n4,\xff\n5,6\n".to_vec()),
        (
            "a.jsonl",
            b"{\"a\":\"1\"}\nx\n\"\xff\n{\"a\":\"5\"}\n".to_vec(),
        ),
    ] {
        let path = dir.path().join(name);
        std::fs::write(&path, content).unwrap();
        let rows: Vec<Result<Row>> = open(&path, &Options::default()).unwrap().collect();
        let good: Vec<&str> = rows
            .iter()
            .flatten()
            .map(|row| row.object["a"].as_str().unwrap())
            .collect();
        assert_eq!((rows.len(), good), (4, vec!["1", "5"]), "{name}");
    }
}

/// Two rows of every kind of column: text, numbers, lists, instruction rows.
fn batch() -> RecordBatch {
    let fields = ["role", "content"].map(|name| Field::new(name, DataType::Utf8, true));
    let mut messages = ListBuilder::new(StructBuilder::from_fields(fields.to_vec(), 3));
    let turns = [
        &[("user", "Is <molecule> wet?"), ("assistant", "Yes.")][..],
        &[("user", "?")],
    ];
    for row in turns {
        for (role, content) in row {
            let turn = messages.values();
            turn.field_builder::<StringBuilder>(0)
                .unwrap()
                .append_value(role);
            turn.field_builder::<StringBuilder>(1)
                .unwrap()
                .append_value(content);
            turn.append(true);
        }
        messages.append(true);
    }
    let vectors = ListArray::from_iter_primitive::<Float64Type, _, _>([
        Some(vec![Some(0.5), Some(f64::NAN)]),
        None,
    ]);
    RecordBatch::try_from_iter([
        (
            "smiles",
            Arc::new(StringArray::from(vec![Some("O"), None])) as ArrayRef,
        ),
        ("label", Arc::new(Int64Array::from(vec![1, i64::MAX]))),
        (
            "score",
            Arc::new(Float32Array::from(vec![0.1, f32::INFINITY])),
        ),
        ("messages", Arc::new(messages.finish())),
        ("vector", Arc::new(vectors)),
    ])
    .unwrap()
}

fn write(path: &Path, compression: parquet::basic::Compression) {
    let batch = batch();
    let properties =
        parquet::file::properties::WriterProperties::builder().set_compression(compression);
    let file = std::fs::File::create(path).unwrap();
    let mut writer =
        parquet::arrow::ArrowWriter::try_new(file, batch.schema(), Some(properties.build()))
            .unwrap();
    for _ in 0..3 {
        writer.write(&batch).unwrap();
        // Each in a row group of its own.
        writer.flush().unwrap();
    }
    writer.close().unwrap();
}

#[test]
fn parquet_is_json() {
    use parquet::basic::Compression;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("badly-named.csv");
    for compression in [
        Compression::UNCOMPRESSED,
        Compression::SNAPPY,
        Compression::GZIP(parquet::basic::GzipLevel::default()),
        Compression::ZSTD(parquet::basic::ZstdLevel::default()),
        Compression::LZ4_RAW,
    ] {
        write(&path, compression);
        let rows = open(&path, &Options::default()).unwrap();
        assert_eq!(rows.len_hint(), Some(6));
        let rows: Vec<Row> = rows.map(Result::unwrap).collect();
        let first = json!({"smiles": "O", "label": 1, "score": 0.1,
            "messages": [{"role": "user", "content": "Is <molecule> wet?"}, {"role": "assistant", "content": "Yes."}],
            "vector": [0.5, null]});
        let second = json!({"smiles": null, "label": i64::MAX, "score": null,
            "messages": [{"role": "user", "content": "?"}], "vector": null});
        for (i, row) in rows.iter().enumerate() {
            assert_eq!(row.number, i + 1);
            assert_eq!(
                Value::Object(row.object.clone()),
                if i % 2 == 0 {
                    first.clone()
                } else {
                    second.clone()
                }
            );
        }
        assert_eq!(rows.len(), 6);
    }
}

fn written(path: &Path, columns: Vec<(&str, ArrayRef)>) {
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let file = std::fs::File::create(path).unwrap();
    let mut writer = parquet::arrow::ArrowWriter::try_new(file, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

#[test]
fn times_of_any_zone_are_written_in_utc() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.parquet");
    // 2024-03-01T12:30:00.25Z
    let times = TimestampMicrosecondArray::from(vec![Some(1_709_296_200_250_000), None]);
    let inner = times.clone().with_timezone("Europe/Berlin");
    let kind = Field::new("at", inner.data_type().clone(), true);
    let nested = StructArray::from(vec![(Arc::new(kind), Arc::new(inner) as ArrayRef)]);
    written(
        &path,
        vec![
            ("utc", Arc::new(times.clone().with_timezone("UTC"))),
            ("plain", Arc::new(times)),
            ("nested", Arc::new(nested)),
        ],
    );
    let rows = open(&path, &Options::default()).unwrap();
    let rows: Vec<Value> = rows.map(|row| Value::Object(row.unwrap().object)).collect();
    let time = "2024-03-01T12:30:00.250Z";
    assert_eq!(rows[0]["utc"], time);
    assert_eq!(rows[0]["nested"]["at"], time);
    assert_eq!(rows[0]["plain"], "2024-03-01T12:30:00.250");
    assert_eq!(
        rows[1],
        json!({"utc": null, "plain": null, "nested": {"at": null}})
    );
}

#[test]
fn a_column_that_is_no_json_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.parquet");
    let mut counts = MapBuilder::new(None, Int64Builder::new(), Int64Builder::new());
    counts.keys().append_value(1);
    counts.values().append_value(2);
    counts.append(true).unwrap();
    written(
        &path,
        vec![
            ("a", Arc::new(Int64Array::from(vec![1]))),
            ("counts", Arc::new(counts.finish())),
        ],
    );
    let rows = open(&path, &Options::default()).unwrap();
    let error = rows.map(|row| row.unwrap_err()).next().unwrap().to_string();
    assert!(error.contains("a column `counts` that cannot"), "{error}");
}
