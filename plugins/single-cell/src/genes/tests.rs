//! Names as files spell them against small vocabularies.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::Path;

use super::*;

fn vocabulary(names: &[&str]) -> Vocabulary {
    let names = names.iter().map(|name| (*name).to_owned());
    Vocabulary::new(names.zip(0..))
}

fn symbols() -> Vocabulary {
    vocabulary(&[
        "CD3D",
        "C1orf21",
        "LYZ",
        "<pad>",
        "ENSG00000000003",
        "Dup",
        "DUP",
    ])
}

fn written(name: &str, text: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join(name), text).unwrap();
    dir
}

fn aliases(text: &str) -> Aliases {
    let dir = written("aliases.tsv", text);
    Aliases::read(&dir.path().join("aliases.tsv"), &symbols()).unwrap()
}

fn refusal(name: &str, text: &str) -> String {
    let dir = written(name, text);
    let refused = Aliases::read(&dir.path().join(name), &symbols());
    refused.unwrap_err().to_string()
}

#[test]
fn names_are_found_however_they_are_spelt() {
    let matcher = GeneMatcher::new(
        symbols(),
        aliases("Leu-4\tCD3D\nENSG00000090382\tLYZ\ncd3d\tLYZ\n"),
    );
    for (name, wanted) in [
        ("CD3D", Some((0, Found::Exact))),
        ("Dup", Some((5, Found::Exact))),
        ("ENSG00000000003", Some((4, Found::Exact))),
        ("ENSG00000000003.14", Some((4, Found::Version))),
        ("ensg00000000003.14", Some((4, Found::Case))),
        // The vocabulary comes before the list.
        ("Cd3d", Some((0, Found::Case))),
        ("C1ORF21", Some((1, Found::Case))),
        ("leu-4", Some((0, Found::Alias))),
        ("ENSG00000090382.7", Some((2, Found::Alias))),
        ("dup", None),
        ("LYZ.1", None),
        ("ENSG00000000003.", None),
        ("ENSG00000000003.x", None),
        ("<pad>", None),
        ("", None),
        ("γ", None),
    ] {
        assert_eq!(matcher.find(name), wanted, "{name}");
    }
}

#[test]
fn a_name_is_counted_once_and_the_sentence_says_how_it_was_found() {
    let matcher = GeneMatcher::new(symbols(), aliases("Leu-4 , CD3D\n"));
    assert_eq!(
        matcher.counts().to_string(),
        "0 gene names: 0 in the vocabulary"
    );
    for _ in 0..3 {
        let rows = matcher.rows(
            [
                "Zz",
                "CD3D",
                "cd3d",
                "LEU-4",
                "ENSG00000000003.1",
                "Zz",
                "Y",
            ]
            .into_iter(),
        );
        assert_eq!(rows, [None, Some(0), Some(0), Some(0), Some(4), None, None]);
    }
    let many: Vec<String> = (0..1998).map(|i| format!("U{i}")).collect();
    matcher.rows(many.iter().map(String::as_str));
    assert_eq!(
        matcher.counts().to_string(),
        "2,004 gene names: 1 in the vocabulary, 1 without their version, 1 by alias, 1 by case, 2,000 unknown (first: Zz, Y, U0)"
    );
}

#[test]
fn aliases_are_read_from_every_kind_of_file() {
    let found = |aliases: &Aliases, name: &str| aliases.row(name);
    let tabs = aliases(
        "\u{feff}alias\tname\n# a remark\n\nA1 \t CD3D\r\n\"B2\"\t\"LYZ\"\nC3\tNOT_KNOWN\n",
    );
    assert_eq!(
        (found(&tabs, "A1"), found(&tabs, "b2"), found(&tabs, "C3")),
        (Some(0), Some(2), None)
    );
    let ambiguous = aliases("X,CD3D\nX,LYZ\nY,CD3D\nY,CD3D\nZ,NOT_KNOWN\nZ,LYZ\n");
    assert_eq!(
        (
            found(&ambiguous, "X"),
            found(&ambiguous, "Y"),
            found(&ambiguous, "Z")
        ),
        (None, Some(0), Some(2))
    );
    let dir = written(
        "aliases.json",
        r#"{"T3": "CD3D", "ENSG00000090382": "LYZ"}"#,
    );
    let json = Aliases::read(&dir.path().join("aliases.json"), &symbols()).unwrap();
    assert_eq!(
        (found(&json, "t3"), found(&json, "ENSG00000090382.3")),
        (Some(0), Some(2))
    );
}

#[test]
fn a_list_that_cannot_be_used_is_refused_with_the_reason() {
    for (name, text, wanted) in [
        (
            "a.tsv",
            "A\tCD3D\nB\tLYZ\tmore\n",
            "line 2 has 3 columns, not two",
        ),
        ("a.csv", "CD3D\n", "line 1 has 1 columns, not two"),
        (
            "a.tsv",
            "CD3D\tENSG1\n",
            "the alias comes first, the model's name second",
        ),
        (
            "a.tsv",
            "A\tB\nC\tD\n",
            "none of its 2 names is in the model's vocabulary; the second column",
        ),
        ("a.tsv", "", "none of its 0 names"),
        ("a.json", "[1]", "is no JSON object"),
        (
            "a.json",
            r#"{"A": 3}"#,
            "`A` is 3; a dictionary from names to text is read",
        ),
        (
            "a.pkl",
            "no pickle",
            "cannot be read as a pickled dictionary",
        ),
    ] {
        let refused = refusal(name, text);
        assert!(
            refused.starts_with("`gene_aliases`: ") && refused.contains(wanted),
            "{refused}"
        );
    }
    let missing = Aliases::read(Path::new("no/such.tsv"), &symbols())
        .unwrap_err()
        .to_string();
    assert!(missing.contains("no/such.tsv"), "{missing}");
}

#[test]
fn styles_are_recognised_by_the_majority() {
    for (names, wanted) in [
        (
            &["ENSG00000000003", "ENSG00000000419.12", "MT-CO1"][..],
            Style::Ensembl,
        ),
        (
            &["ENSMUSG00000032094", "ENSMUSG00000032093.2"],
            Style::OtherEnsembl,
        ),
        (&["7157", "915", "A"], Style::Numbers),
        (
            &["Cd3d", "Lyz2", "H2-Ab1", "mt-Co1", "Actb"],
            Style::Capitalised,
        ),
        (
            &["CD3D", "HLA-A", "RP11-206L10.2", "C1orf21"],
            Style::Symbols,
        ),
        (&["CD3D", "7157"], Style::Mixed),
        (&[], Style::Mixed),
    ] {
        assert_eq!(Style::of(names.iter().copied()), wanted, "{names:?}");
    }
}

#[test]
fn a_cell_with_other_names_is_told_what_they_are_and_what_to_do() {
    let known = vocabulary(&["CD3D", "LYZ", "MS4A1"]);
    let ids = vocabulary(&["ENSG00000167286", "ENSG00000090382"]);
    let refused = |names: &[&str], vocabulary: &Vocabulary, wanted| {
        let rows: Vec<_> = names
            .iter()
            .map(|name| Some(vocabulary.find(name)?.0))
            .collect();
        let checked = Mismatch::check(names.iter().copied(), &rows, vocabulary, wanted);
        checked.err().map(|mismatch| mismatch.to_string())
    };
    assert_eq!(
        refused(&["ENSG00000167286", "ENSG00000090382.5"], &known, 0.3).unwrap(),
        "0 of 2 genes are in the model's vocabulary; the names look like Ensembl ids (ENSG00000167286, ENSG00000090382.5), the \
         model's are gene symbols: choose the column of symbols with `--gene-field`, or map the ids by a two-column file in \
         `gene_aliases` (id, symbol)"
    );
    for (names, vocabulary, wanted) in [
        (
            &["CD3D", "LYZ"][..],
            &ids,
            "the column of Ensembl ids with `--gene-field`",
        ),
        (&["7157", "915"], &known, "look like numbers"),
        (&["ENSMUSG00000032094"], &ids, "map them to human genes"),
        (&["Zz1", "Yy1"], &known, "symbols of mouse or rat"),
        (&["QQ1", "QQ2"], &known, "genes of another species?"),
    ] {
        let refused = refused(names, vocabulary, 0.0).expect("no gene is never enough");
        assert!(refused.contains(wanted), "{refused}");
    }
    let few = refused(&["CD3D", "QQ1", "QQ2", "QQ3"], &known, 0.3).unwrap();
    assert!(few.starts_with("1 of 4 genes are in the model's vocabulary, less than the share of 0.3 in `min_gene_match`"), "{few}");
    assert_eq!(refused(&["CD3D", "QQ1", "QQ2", "QQ3"], &known, 0.25), None);
}
