//! Sequence files as programs and people write them.
#![allow(clippy::unwrap_used, clippy::expect_used)]
use super::*;
use proptest::prelude::*;

fn read(content: impl AsRef<[u8]>) -> Vec<Result<Row>> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.fasta");
    std::fs::write(&path, content).unwrap();
    rows(&path).unwrap().collect()
}

/// `id sequence` of good rows, the text of errors.
fn shown(content: impl AsRef<[u8]>) -> Vec<String> {
    let show = |row: Result<Row>| match row {
        Ok(row) => format!(
            "{} {}",
            row.object["id"].as_str().unwrap(),
            row.object["sequence"].as_str().unwrap()
        ),
        Err(error) => error
            .to_string()
            .rsplit_once("a.fasta")
            .unwrap()
            .1
            .to_owned(),
    };
    read(content).into_iter().map(show).collect()
}

#[test]
fn sequences_however_they_are_broken_into_lines() {
    for text in [
        ">P1 one\nMKT\nAYI\n>P2\nmk*\n",
        ">P1 one\r\nMKTAYI\r\n>P2\r\nmk*",
        "\n\n>P1 one\nMKT\n\nAYI\n\n>P2\nmk*\n\n\n",
        "\u{feff}; a comment\n>P1\tone\nMKT AYI\n> P2\nm\nk\n*\n",
    ] {
        assert_eq!(shown(text), ["P1 MKTAYI", "P2 mk*"], "{text:?}");
    }
    assert_eq!(
        shown("@r1 x\nAC\nGT\n+r1\nII\n@I\n@r2\nA\n+\n@\n"),
        ["r1 ACGT", "r2 A"]
    );
    assert!(shown("\n \n").is_empty());
}

#[test]
fn uniprot_headers_have_fields() {
    let header = "sp|P04637|P53_HUMAN Cellular tumor antigen p53 (GN=none here) OS=Homo sapiens OX=9606 GN=TP53 PE=1 SV=4";
    let rows = read(format!(">{header}\nMEEPQ\n"));
    let object = &rows[0].as_ref().unwrap().object;
    for (field, expected) in [
        ("id", "sp|P04637|P53_HUMAN"),
        ("description", header.split_once(' ').unwrap().1),
        ("accession", "P04637"),
        ("entry_name", "P53_HUMAN"),
        ("organism", "Homo sapiens"),
        ("gene", "TP53"),
        ("sequence", "MEEPQ"),
    ] {
        assert_eq!(object[field], expected, "{field}");
    }
    assert_eq!(object.len(), 7);
    let rows = read(">NP_000537.3 tumor protein p53 OS=Homo sapiens\nMEEPQ\n");
    assert_eq!(rows[0].as_ref().unwrap().object.len(), 3);
    let rows =
        read(">tr|A0A1|A0A1_X Thing OS=Escherichia coli (strain K12) OX=83333 PE=4 SV=1\nM\n");
    let object = &rows[0].as_ref().unwrap().object;
    assert_eq!(object["organism"], "Escherichia coli (strain K12)");
    assert!(!object.contains_key("gene"));
}

#[test]
fn a_bad_record_is_named_and_the_next_is_read() {
    let long = "x".repeat(100_000);
    let found = shown(format!(">a\n>b\nMK1\nT\n>\nMK\n>{long} y\nMKT\n"));
    assert_eq!(
        found[0],
        " row 1: (`a`) has no sequence; add it, or remove the record"
    );
    assert_eq!(found[1], " row 2: (`b`) has `1` in its sequence; remove it");
    assert!(found[2].contains("row 3: (``) has no name"));
    assert_eq!(found[3].len(), 100_000 + 4);
    let found = shown(b">a\nM\xffK\n>b\nMKT\n");
    assert!(found[0].contains("row 1: (`a`) is not UTF-8"), "{found:?}");
    assert_eq!(found[1], "b MKT");
    let found = shown("@a\nACGT\n+\nIII\nI\n@b\nAC\n+\nIII\n@c\nA\n+\nI\n");
    assert_eq!(found[0], "a ACGT");
    assert_eq!(
        found[1],
        " row 2: (`b`) has 2 letters but 3 qualities; fetch or write the file again"
    );
    assert_eq!(found[2], "c A");
    let found = shown("@a\nACGT\n+\nIII\n@b\nACGT\n+\n@III\n@c\nAC\n+\nI\n@d\nA\n+\nI\n");
    assert!(
        found[0].starts_with(" row 1: (`a`) has 4 letters but 3 qualities"),
        "{found:?}"
    );
    assert_eq!((&*found[1], &*found[3]), ("b ACGT", "d A"));
    assert!(found[2].contains("row 3: (`c`) has 2 letters but 1 qualit"));
}

#[test]
fn what_is_no_fasta_says_so() {
    for (content, expected) in [
        ("MKT\n>P1\nMKT\n", "line 1 should begin with `>`"),
        ("@a\nACGT\n+\nII", "breaks off in the record `a`"),
        ("@a\nACGT\n", "breaks off"),
        (">a\rMKT\r>b\rMK\r", "`\\r` alone"),
        ("@a\nA\n+\nI\n>b\nA\n", "is not FASTQ: line 5"),
    ] {
        let found = shown(content);
        assert!(
            found.last().unwrap().contains(expected),
            "{found:?} should contain {expected}"
        );
    }
}

#[test]
fn a_record_that_is_too_long_is_skipped() {
    let line = "A".repeat((1 << 20) - 1) + "\n";
    let content = format!(">long\n{}>b\nMKT\n", line.repeat(66));
    let found = shown(content);
    assert!(
        found[0].contains("(`long`) is longer than 64 MiB"),
        "{}",
        &found[0][..80]
    );
    assert_eq!(found[1], "b MKT");
}

proptest! {
    /// What another reader of the same format says.
    #[test]
    fn well_formed_files_are_read_as_another_library_reads_them(
        records in prop::collection::vec(("[A-Za-z0-9|_.]{1,12}", " ?[ -~]{0,20}", "[A-Za-z*]{1,90}"), 1..8),
        width in 1usize..40,
        crlf in any::<bool>(),
    ) {
        let end = if crlf { "\r\n" } else { "\n" };
        let mut text = String::new();
        for (id, description, sequence) in &records {
            text += &format!(">{id} {}{end}", description.trim());
            for line in sequence.as_bytes().chunks(width) {
                text += std::str::from_utf8(line).unwrap();
                text += end;
            }
        }
        let mut reader = needletail::parse_fastx_reader(std::io::Cursor::new(text.clone())).unwrap();
        let mut expected = vec![];
        while let Some(record) = reader.next() {
            let record = record.unwrap();
            let id = String::from_utf8(record.id().to_vec()).unwrap();
            let id = id.split_whitespace().next().unwrap().to_owned();
            expected.push(format!("{id} {}", String::from_utf8(record.seq().to_vec()).unwrap()));
        }
        prop_assert_eq!(shown(&text), expected);
    }
}
