//! SD files, good and bad.
#![allow(clippy::unwrap_used, clippy::expect_used)]
use super::*;

/// Ethanol.
const ETHANOL: &str = "\
ethanol
  by hand

  3  2  0  0  0  0  0  0  0  0999 V2000
    0.0000    0.0000    0.0000 C   0  0
    1.2990    0.7500    0.0000 C   0  0
    2.5981    0.0000    0.0000 O   0  0
  1  2  1  0
  2  3  1  0
M  END
";

/// (R)-1-fluoroethanol as a wedge, in V3000.
const WEDGE: &str = "\
chiral
  by hand

  0  0  0     0  0            999 V3000
M  V30 BEGIN CTAB
M  V30 COUNTS 4 3 0 0 0
M  V30 BEGIN ATOM
M  V30 1 C 0 0 0 0
M  V30 2 C 1.3 0.75 0 0
M  V30 3 O 2.6 0 0 0
M  V30 4 F 1.3 2.25 0 0
M  V30 END ATOM
M  V30 BEGIN BOND
M  V30 1 1 2 1
M  V30 2 1 2 3
M  V30 3 1 2 4 CFG=1
M  V30 END BOND
M  V30 END CTAB
M  END
";

fn read(text: impl AsRef<[u8]>) -> Vec<Result<Row>> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.sdf");
    std::fs::write(&path, text).unwrap();
    rows(&path).unwrap().collect()
}

#[test]
fn a_record_is_its_molecule_and_its_data_items() {
    let items = "> <logP> (1)\n-0.31\n\n>  <NOTE>\nfirst\n> second\n\n> 25 <id>\n7\n\n> <empty>\n\n> <a > b>\nx\n\n";
    let rows = read(format!("{ETHANOL}{items}$$$$\n{ETHANOL}$$$$\r\n\n"));
    assert_eq!(rows.len(), 2);
    let object = &rows[0].as_ref().unwrap().object;
    let expected = [
        ("id", "ethanol"),
        ("smiles", "CCO"),
        ("logP", "-0.31"),
        ("NOTE", "first\n> second"),
        ("item_id", "7"),
        ("empty", ""),
        ("a > b", "x"),
    ];
    let found: Vec<(&str, &str)> = object
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str().unwrap()))
        .collect();
    assert_eq!(found, expected);
}

#[test]
fn a_molecule_alone_needs_no_end_and_a_title_may_be_missing() {
    let rows = read(ETHANOL.replacen("ethanol", "", 1) + "> <id>\nx\n");
    let object = &rows[0].as_ref().unwrap().object;
    assert_eq!(
        (object["id"].as_str(), object["smiles"].as_str()),
        (Some("x"), Some("CCO"))
    );
}

#[test]
fn both_versions_and_wedges_are_read() {
    let rows = read(format!("{WEDGE}$$$$\n{ETHANOL}$$$$\n"));
    let smiles = |i: usize| {
        rows[i].as_ref().unwrap().object["smiles"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    assert!(
        ["C[C@@H](O)F", "C[C@H](O)F"].contains(&smiles(0).as_str()),
        "{}",
        smiles(0)
    );
    let other = read(WEDGE.replace("CFG=1", "CFG=3"));
    assert_ne!(
        other[0].as_ref().unwrap().object["smiles"],
        smiles(0).as_str()
    );
    assert_eq!(smiles(1), "CCO");
}

#[test]
fn hydrogens_are_not_written_out() {
    let text = "\
water
  by hand

  3  2  0  0  0  0  0  0  0  0999 V2000
    0.0000    0.0000    0.1000 O   0  0
    0.9572    0.0000    0.0000 H   0  0
   -0.2400    0.9266    0.0000 H   0  0
  1  2  1  0
  1  3  1  0
M  END
";
    assert_eq!(read(text)[0].as_ref().unwrap().object["smiles"], "O");
}

#[test]
fn a_bad_record_is_named_and_the_next_is_read() {
    let cut = ETHANOL.replace("M  END\n", "");
    let element = ETHANOL.replace(" O   0", " Qq  0");
    let valence = ETHANOL
        .replace("  1  2  1", "  1  2  3")
        .replace("  2  3  1", "  2  3  3");
    let counts = ETHANOL.replace("  3  2  0", "999999  0");
    let mut text =
        format!("{cut}$$$$\n{element}$$$$\n{valence}$$$$\n{counts}$$$$\n\n\n$$$$\n").into_bytes();
    text.extend(b"\xff\n$$$$\n");
    text.extend(ETHANOL.as_bytes());
    let rows = read(text);
    let problems = [
        "row 1: (`ethanol`) has no line `M  END`",
        "row 2: (`ethanol`) has a molecule that cannot be read",
        "row 3: (`ethanol`) has a molecule that is not sound",
        "row 4: (`ethanol`) has a molecule that cannot be read",
        "row 5: (``) has no line `M  END`",
        "row 6: is not UTF-8",
    ];
    for (row, expected) in rows.iter().zip(problems) {
        let error = row.as_ref().unwrap_err();
        assert!(error.is_row());
        assert!(
            error.to_string().contains(expected),
            "{error}\nshould contain: {expected}"
        );
    }
    assert_eq!(rows.len(), 7);
    assert_eq!(rows[6].as_ref().unwrap().number, 7);
}
