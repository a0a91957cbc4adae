//! The suites `qa` and `describe` of the real program on a user's own file: bad rows, what is written, and numbers that follow
//! from the stored predictions. What the numbers mean is tested beside their formulas.

use std::fs;
use std::path::Path;

use bioverse_tests::{root, run, tiny_align};
use serde_json::{Value, json};

/// Flags of `eval` on a file of molecules.
fn eval(bundle: &Path, suite: &str, data: &Path, report: &Path, more: &[&str]) -> Vec<String> {
    let mut args: Vec<String> = ["eval", "--suite", suite].map(str::to_owned).into();
    for (flag, path) in [("--bundle", bundle), ("--data", data), ("--report", report)] {
        args.extend([flag.to_owned(), path.display().to_string()]);
    }
    args.extend(["--input-field", "smiles", "--max-new-tokens", "4"].map(str::to_owned));
    args.extend(more.iter().map(|flag| (*flag).to_owned()));
    args
}

fn written(report: &Path, suite: &str) -> (Value, Vec<Value>) {
    let read = |name: &str| fs::read_to_string(report.join(name)).expect(name);
    let lines = read(&format!("predictions/{suite}.molecule.jsonl"));
    let rows = lines
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"));
    let metrics = serde_json::from_str(&read("metrics.json")).expect("JSON");
    assert!(read("report.html").contains("<svg"), "pictures");
    (metrics, rows.collect())
}

fn share(rows: &[Value], right: impl Fn(&Value) -> bool) -> f64 {
    rows.iter().filter(|row| right(row)).count() as f64 / rows.len() as f64
}

#[test]
fn a_property_of_molecules_and_a_row_that_is_none() {
    let dir = tempfile::tempdir().expect("a scratch directory");
    let [bundle, data, report] = ["bundle", "tox.csv", "report"].map(|name| dir.path().join(name));
    run(tiny_align(&bundle)).ok();
    let smiles = ["CCO", "CCN", "CCCN", "CCCO", "c1ccccc1", "NCCO"];
    let mut lines = vec!["smiles,toxic".to_owned()];
    lines.extend(smiles.map(|smiles| format!("{smiles},{}", u8::from(smiles.contains('N')))));
    lines.push("C1CC,1".into());
    fs::write(&data, lines.join("\n")).expect("rows");
    let ask = |more: &[&str]| {
        let label = ["--label-field", "toxic"];
        run(eval(
            &bundle,
            "qa",
            &data,
            &report,
            &[&label, more].concat(),
        ))
    };
    let refused = ask(&[]);
    assert_eq!(refused.code, 2, "{refused:#?}");
    let said = refused.error();
    assert!(
        said.contains("C1CC") && said.contains("--skip-bad"),
        "{said}"
    );

    let shown = ask(&["--skip-bad"]).ok().stdout;
    assert!(shown.contains("1 of 7 rows are left out"), "{shown}");
    let (metrics, rows) = written(&report, "qa");
    assert_eq!(rows.len(), 6);
    for (method, column) in [("model", "prediction"), ("majority", "majority")] {
        let accuracy = share(&rows, |row| row[column] == row["reference"]);
        let key = format!("qa.molecule.{method}.accuracy");
        assert_eq!(metrics["numbers"][&key], json!(accuracy), "{method}");
    }
}

#[test]
fn descriptions_beside_what_might_be_as_good() {
    let dir = tempfile::tempdir().expect("a scratch directory");
    let (bundle, report) = (dir.path().join("bundle"), dir.path().join("report"));
    run(tiny_align(&bundle)).ok();
    let data = root().join("tests/data/molecules.jsonl");
    let more = [
        "--text-field",
        "text",
        "--split-field",
        "split",
        "--limit",
        "4",
    ];
    run(eval(&bundle, "describe", &data, &report, &more)).ok();
    let (metrics, rows) = written(&report, "describe");
    assert_eq!(rows.len(), 4);
    for method in [
        "model",
        "shuffled",
        "base_llm",
        "nearest_text",
        "nearest_fingerprint",
    ] {
        let key = format!("describe.molecule.{method}.rougeL");
        assert!(metrics["numbers"][&key].is_number(), "{key}: {metrics}");
    }
    // A text that was copied is the text of some training row, so it is never empty.
    assert!(rows.iter().all(|row| {
        row["nearest_text"]
            .as_str()
            .is_some_and(|text| !text.is_empty())
    }));
}
