//! Records as people name them.
#![allow(clippy::unwrap_used, clippy::expect_used)]
use super::*;
use serde_json::json;

const PROTEINS: &str = ">sp|P04637|P53_HUMAN p53\nMEE\nPQ\n>7\nMKT\n>c\nMA\n";

fn with(name: &str, content: &str, ask: impl Fn(&str) -> Result<Record>) -> Result<Record> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(name);
    std::fs::write(&path, content).unwrap();
    ask(&path.display().to_string())
}

fn pick(modality: &str, name: &str, content: &str, pick: &str) -> Result<Record> {
    with(name, content, |path| {
        read(modality, &format!("{path}{pick}"), &Options::default())
    })
}

#[test]
fn what_is_no_file_is_the_record() {
    for (given, expected) in [
        ("CC#N", json!("CC#N")),
        ("C/C=C/C", json!("C/C=C/C")),
        ("[1, 2]", json!([1, 2])),
        ("[Na+].[Cl-]", json!("[Na+].[Cl-]")),
        (" MKT ", json!("MKT")),
        ("7", json!("7")),
        (
            "It binds DNA. See fig. 3",
            json!("It binds DNA. See fig. 3"),
        ),
    ] {
        assert_eq!(
            read("molecule", given, &Options::default()).unwrap(),
            expected
        );
    }
    let error = read("protein", "nowhere/P53.fasta#1", &Options::default()).unwrap_err();
    assert!(
        error.to_string().starts_with("nowhere/P53.fasta: "),
        "{error}"
    );
}

#[test]
fn a_text_file_is_one_text_and_its_lines_are_records_of_anything_else() {
    let text = "One.\n\nTwo.\n";
    assert_eq!(pick("text", "a.txt", text, "").unwrap(), "One.\nTwo.");
    assert_eq!(pick("text", "a.txt", text, "#3").unwrap(), "Two.");
    let error = pick("molecule", "a.txt", text, "").unwrap_err();
    assert!(error.to_string().contains("several records"), "{error}");
    assert!(pick("text", "a.txt", "\n", "").is_err());
}

#[test]
fn a_record_of_a_file_is_picked_by_place_or_name() {
    for (what, expected) in [
        ("#1", "MEEPQ"),
        ("#sp|P04637|P53_HUMAN", "MEEPQ"),
        ("#2", "MKT"),
        ("#id=7", "MKT"),
        ("#c", "MA"),
    ] {
        assert_eq!(
            pick("protein", "a.fasta", PROTEINS, what).unwrap(),
            expected,
            "{what}"
        );
    }
    for (name, content, what, expected) in [
        ("a.smi", "CCO ethanol\nO water\n", "#water", json!("O")),
        (
            "a.csv",
            "name,smiles\nethanol,CCO\nwater,O\n",
            "#water",
            json!("O"),
        ),
        (
            "a.csv",
            "smiles,text\nCCO,alcohol\nO,wet\n",
            "#2",
            json!("O"),
        ),
        ("a.csv", "molecule,smiles\nCCO,C\nO,C\n", "#2", json!("O")),
        (
            "a.csv",
            "name,SMILES\nethanol,CCO\nwater,O\n",
            "#1",
            json!("CCO"),
        ),
        ("a.csv", "x\nCCO\nO\n", "#2", json!("O")),
        (
            "a.jsonl",
            "\n{\"id\": 3, \"molecule\": [1]}\n{\"id\": 4, \"molecule\": [2]}\n",
            "#id=4",
            json!([2]),
        ),
        (
            "a.jsonl",
            "\n{\"id\": 3, \"molecule\": [1]}\n{\"id\": 4, \"molecule\": [2]}\n",
            "#2",
            json!([1]),
        ),
        ("a#b.smi", "CCO\n", "#1", json!("CCO")),
    ] {
        assert_eq!(
            pick("molecule", name, content, what).unwrap(),
            expected,
            "{name}{what}"
        );
    }
}

#[test]
fn a_file_with_one_record_needs_no_name() {
    for (name, content, expected) in [
        ("a.fa", ">x\nMKT\n", json!("MKT")),
        ("a.smi", "CCO\n", json!("CCO")),
        ("a.txt", "\nsome text\n", json!("some text")),
        (
            "a.json",
            "{\n \"genes\": [\"A\"],\n \"values\": [1]\n}\n",
            json!({"genes": ["A"], "values": [1]}),
        ),
        ("a.json", "[1,\n 2]", json!([1, 2])),
        (
            "a.jsonl",
            "{\"id\": \"x\", \"sequence\": \"MKT\"}\n",
            json!("MKT"),
        ),
        ("a.csv", "id,sequence\nx,MKT\n", json!("MKT")),
        ("a.txt", "[3]\n", json!([3])),
    ] {
        assert_eq!(
            pick("protein", name, content, "").unwrap(),
            expected,
            "{name}"
        );
    }
}

#[test]
fn what_cannot_be_picked_says_what_can() {
    for (name, content, what, expected) in [
        (
            "a.fasta",
            PROTEINS,
            "",
            "such as `#sp|P04637|P53_HUMAN`, `#2`, `#c`",
        ),
        (
            "a.fasta",
            PROTEINS,
            "#4",
            "has no record 4 (3 records, counted from 1)",
        ),
        ("a.fasta", PROTEINS, "#0", "has no record 0"),
        (
            "a.fasta",
            PROTEINS,
            "#d",
            "has no record called `d`; the first are `#sp|P04637",
        ),
        (
            "a.fasta",
            ">a\n>b\nMKT\n",
            "#1",
            "row 1: (`a`) has no sequence",
        ),
        ("a.txt", "\n", "", "has no record"),
        ("a.csv", "a,b\n1,2\n", "#1", "has columns (a, b)"),
        ("a.csv", "a,smiles\n1,\n", "#1", "has an empty record"),
        ("a.fasta", "MKT\n", "", "should begin with `>`"),
    ] {
        let error = pick("protein", name, content, what).unwrap_err();
        assert!(
            error.to_string().contains(expected),
            "{error}\nshould contain: {expected}"
        );
        assert_eq!(error.exit_code(), 2);
    }
}

#[test]
fn cells_count_from_nought_and_have_names() {
    let file = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../fuzz/seeds/h5ad/csr.h5ad"
    );
    let ask = |pick: &str, options: &Options| read("cell", &format!("{file}{pick}"), options);
    let plain = Options::default();
    // The matrix of the seed: [[0, 3, 1], [2, 0, 0], [0, 0, 0], [1, 1, 4]].
    for (pick, genes, values) in [
        ("#0", json!(["G2", "G3"]), [3.0, 1.0].as_slice()),
        ("#1", json!(["G1"]), &[2.0]),
        ("#cell3", json!(["G1", "G2", "G3"]), &[1.0, 1.0, 4.0]),
    ] {
        let cell = ask(pick, &plain).unwrap();
        assert_eq!(cell["genes"], genes, "{pick}");
        let found: Vec<f64> = cell["values"]
            .as_array()
            .unwrap()
            .iter()
            .map(|v| v.as_f64().unwrap())
            .collect();
        assert_eq!(found, values, "{pick}");
    }
    let named = Options {
        gene_field: Some("symbol".into()),
        layer: Some("counts".into()),
        ..Options::default()
    };
    assert_eq!(ask("#1", &named).unwrap()["genes"], json!(["ONE"]));
    for (pick, expected) in [
        ("#4", "has no cell 4 (4 cells, counted from 0)"),
        ("", "such as `#cell0`, `#cell1`"),
        ("#x", "has no record called `x`"),
    ] {
        let error = ask(pick, &plain).unwrap_err().to_string();
        assert!(
            error.contains(expected),
            "{error}\nshould contain: {expected}"
        );
    }
}
