//! Rows of files as users write them, good and bad.
#![allow(clippy::unwrap_used, clippy::expect_used)]
use super::*;
use bioverse_formats::Format;
use serde_json::{Value, json};

const PAIRS: &str = "smiles,text,fold,scaffold\nC,methane is <gas> and <molecule>,train,a\nO,water,test,b\nN,ammonia,train,c\n";

fn section(edit: impl FnOnce(&mut DataSection)) -> DataSection {
    let mut data = DataSection {
        input_field: Some("smiles".into()),
        text_field: Some("text".into()),
        ..DataSection::default()
    };
    edit(&mut data);
    data
}

fn read_as(name: &str, text: &str, mut data: DataSection, split: Split) -> Result<Vec<Row>> {
    let dir = tempfile::tempdir().unwrap();
    data.train = dir.path().join(name);
    data.eval = data.eval.map(|_| data.train.clone());
    std::fs::write(&data.train, text).unwrap();
    read_split(&data, split, &["molecule"], &Registry::new())
}

fn numbers(rows: &[Row]) -> Vec<usize> {
    rows.iter().map(|row| row.number).collect()
}

#[test]
fn a_plain_pair_becomes_a_question_and_its_answer() {
    let data = section(|data| data.group_field = Some("scaffold".into()));
    let rows = read_as("a.csv", PAIRS, data, Split::Train).unwrap();
    let example = &rows[0].example;
    assert_eq!(example.messages[0].content, "Describe <molecule>.");
    assert_eq!(example.records, [("molecule".to_string(), json!("C"))]);
    assert_eq!(
        example.answer(),
        "methane is <gas> and <molecule>",
        "prose keeps its brackets"
    );
    assert_eq!(example.group.as_deref(), Some("a"));
    assert_eq!(rows[0].extra["fold"], "train");
    assert_eq!(
        numbers(&rows),
        [1, 2, 3],
        "without a split, every row is to learn from"
    );
}

#[test]
fn the_split_separates_rows() {
    let data = || section(|data| data.split_field = Some("fold".into()));
    assert_eq!(
        numbers(&read_as("a.csv", PAIRS, data(), Split::Train).unwrap()),
        [1, 3]
    );
    assert_eq!(
        numbers(&read_as("a.csv", PAIRS, data(), Split::Eval).unwrap()),
        [2]
    );
    let limited = section(|data| {
        data.split_field = Some("fold".into());
        data.limit = Some(1);
    });
    assert_eq!(
        numbers(&read_as("a.csv", PAIRS, limited, Split::Train).unwrap()),
        [1]
    );
}

#[test]
fn a_file_of_its_own_may_leave_the_split_unsaid_but_not_bring_training_rows() {
    let own = |split: &str| {
        section(|data| {
            data.eval = Some("replaced".into());
            data.split_field = Some(split.into());
        })
    };
    assert_eq!(
        numbers(&read_as("a.csv", PAIRS, own("absent"), Split::Eval).unwrap()),
        [1, 2, 3]
    );
    assert_eq!(
        numbers(&read_as("a.csv", PAIRS, own("fold"), Split::Eval).unwrap()),
        [2]
    );
}

#[test]
fn instruction_rows_are_taken_as_they_are() {
    let row = json!({"messages": [{"role": "user", "content": "Is <molecule> like <molecule>?"}, {"role": "assistant", "content": "No."}],
        "records": [["molecule", "C"], ["molecule", {"smiles": "O"}]], "group": 7, "kind": "compare"});
    let rows = read_as(
        "a.jsonl",
        &row.to_string(),
        DataSection::default(),
        Split::Train,
    )
    .unwrap();
    assert_eq!(rows[0].example.records[1].1, json!({"smiles": "O"}));
    assert_eq!(rows[0].example.group.as_deref(), Some("7"));
    assert_eq!(rows[0].extra["kind"], "compare");
}

#[test]
fn what_is_wrong_is_said_with_file_row_and_next_step() {
    let user = |content: &str, records: Value| {
        json!({"messages": [{"role": "user", "content": content}], "records": records}).to_string()
    };
    let plain = || section(|_| ());
    let split = |value: &str| {
        section(|data| {
            data.split_field = Some("fold".into());
            data.train_split = value.into();
        })
    };
    let own = DataSection::default;
    for (name, text, data, expected) in [
        (
            "a.jsonl",
            r#"{"smile":"C","text":"x"}"#.into(),
            plain(),
            "a.jsonl row 1: there is no field `smiles`, which `data.input_field` names; did you mean `smile`?",
        ),
        (
            "a.csv",
            "smiles,text\nC,x\n,y\n".into(),
            plain(),
            "a.csv row 2: field `smiles` is empty",
        ),
        (
            "a.csv",
            "smiles,text\nC, \n".into(),
            plain(),
            "row 1: field `text` is empty",
        ),
        (
            "a.csv",
            PAIRS.into(),
            split("training"),
            "no row has `fold` = `training`; set `data.train_split`",
        ),
        ("a.csv", PAIRS.into(), own(), "there is no field `messages`"),
        (
            "a.jsonl",
            r#"{"messages":"hello"}"#.into(),
            own(),
            "row 1: is not an instruction row",
        ),
        (
            "a.jsonl",
            r#"{"messages":[]}"#.into(),
            own(),
            "`messages` is empty",
        ),
        (
            "a.jsonl",
            user("Is <molecule>?", json!([])),
            own(),
            "row 1: placeholder 1",
        ),
        (
            "a.jsonl",
            user("Is it?", json!([["molecule", "C"]])),
            own(),
            "has no placeholder",
        ),
        (
            "a.jsonl",
            user("Is <protein>?", json!([["protein", "M"]])),
            own(),
            "`protein`, which is not registered",
        ),
    ] {
        let error = read_as(name, &text, data, Split::Train).unwrap_err();
        assert!(
            error.to_string().contains(expected),
            "{error}\nshould contain: {expected}"
        );
        assert_eq!(error.exit_code(), 2);
    }
}

#[test]
fn measuring_needs_rows_to_measure_on() {
    let error = read_split(
        &section(|_| ()),
        Split::Eval,
        &["molecule"],
        &Registry::new(),
    )
    .unwrap_err();
    assert!(
        error.to_string().contains("`data.eval`")
            && error.to_string().contains("`data.split_field`")
    );
}

#[test]
fn a_plain_pair_knows_its_modality_when_there_is_one() {
    let ask = |modality: Option<&str>, known: &[&str]| {
        let data = section(|data| data.modality = modality.map(Into::into));
        match Shape::of(&data, Format::Csv, known) {
            Ok(Shape::Pairs { modality, .. }) => modality.to_owned(),
            Ok(Shape::Instructions) => "instructions".into(),
            Err(error) => error.to_string(),
        }
    };
    assert_eq!(ask(None, &["molecule"]), "molecule");
    assert_eq!(ask(Some("rna"), &["molecule", "rna"]), "rna");
    assert!(ask(None, &["molecule", "rna"]).contains("`data.modality` must say"));
    assert!(ask(Some("molecul"), &["molecule"]).contains("did you mean `molecule`?"));
    assert!(ask(None, &[]).contains("[modality.<name>]"));
}

#[test]
fn formats_that_know_their_records_need_only_a_text() {
    let data = || section(|data| data.input_field = None);
    let sdf = "water\n\n\n  1  0  0  0  0  0  0  0  0  0999 V2000\n    0.0000    0.0000    0.0000 O   0  0\nM  END\n> <text>\nwet\n\n$$$$\n";
    let rows = read_as("a.sdf", sdf, data(), Split::Train).unwrap();
    assert_eq!(rows[0].example.records[0].1, json!("O"));
    assert_eq!(rows[0].example.answer(), "wet");
    let error = read_as("a.csv", PAIRS, data(), Split::Train).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("`data.input_field` is not; plain pairs in CSV need both"),
        "{error}"
    );
    let error = read_as("a.sdf", sdf, DataSection::default(), Split::Train).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("name the field that has one as `data.text_field`"),
        "{error}"
    );
}

#[test]
fn a_structured_record_is_held_once() {
    let cell = json!({"genes": ["CD3D"], "values": [3]});
    let row = json!({"cell": cell, "text": "a T cell"}).to_string();
    let data = section(|data| data.input_field = Some("cell".into()));
    let rows = read_as("a.jsonl", &row, data, Split::Train).unwrap();
    assert_eq!(rows[0].example.records[0].1, cell);
    assert!(rows[0].extra["cell"].is_null());
}

#[test]
fn records_of_instruction_rows_may_be_objects_of_two_fields() {
    let row = json!({"messages": [{"role": "user", "content": "<molecule>?"}, {"role": "assistant", "content": "No."}],
        "records": [{"modality": "molecule", "record": "C"}]});
    let rows = read_as(
        "a.jsonl",
        &row.to_string(),
        DataSection::default(),
        Split::Train,
    )
    .unwrap();
    assert_eq!(
        rows[0].example.records,
        [("molecule".to_string(), json!("C"))]
    );
}

#[test]
fn bad_rows_are_left_out_with_their_reasons_where_that_is_asked_for() {
    let text = "smiles,text\nC,methane\n,empty\nO,water\nN\n";
    let rows = read_as(
        "a.csv",
        text,
        section(|data| data.skip_bad = true),
        Split::Train,
    )
    .unwrap();
    assert_eq!(numbers(&rows), [1, 3]);
    let dir = tempfile::tempdir().unwrap();
    let (train, rejected) = (dir.path().join("a.csv"), dir.path().join("rejected.jsonl"));
    std::fs::write(&train, text).unwrap();
    let mut config = crate::RunConfig {
        data: section(|data| data.skip_bad = true),
        ..Default::default()
    };
    config.data.train = train;
    config.run.dir = dir.path().into();
    let mut screen =
        Screen::of(&config, &bioverse_core::Registry::new(), std::iter::empty()).unwrap();
    read_split_into(&config.data, Split::Train, &["molecule"], &mut screen).unwrap();
    screen.finish().unwrap();
    let lines = std::fs::read_to_string(rejected).unwrap();
    let lines: Vec<Value> = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(
        (&lines[0]["row"], &lines[1]["row"], lines.len()),
        (&json!(2), &json!(4), 2)
    );
    assert!(
        lines[0]["reason"]
            .as_str()
            .unwrap()
            .contains("`smiles` is empty")
    );
    assert_eq!(lines[0]["fields"]["text"], "empty");
    let all = read_as(
        "a.csv",
        "smiles,text\n,x\n",
        section(|data| data.skip_bad = true),
        Split::Train,
    )
    .unwrap_err();
    assert!(all.to_string().contains("no row is left"), "{all}");
}

/// Two sources with fields of their own.
fn mixture(edit: impl FnOnce(&mut Vec<toml::Table>)) -> (tempfile::TempDir, DataSection) {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).display().to_string();
    std::fs::write(dir.path().join("a.csv"), PAIRS).unwrap();
    let rows = "{\"seq\":\"MK\",\"says\":\"one\"}\n\n{\"seq\":\"MV\",\"says\":\"two\"}\n";
    std::fs::write(dir.path().join("b.jsonl"), rows).unwrap();
    let table = |text: String| text.parse::<toml::Table>().unwrap();
    let mut sources = vec![
        table(format!(
            "train = '{}'\nmodality = 'molecule'\ninput_field = 'smiles'\nsplit_field = 'fold'",
            path("a.csv")
        )),
        table(format!(
            "train = '{}'\nmodality = 'protein'\ninput_field = 'seq'\ntext_field = 'says'",
            path("b.jsonl")
        )),
    ];
    edit(&mut sources);
    let mut section = toml::Table::new();
    section.insert("text_field".into(), "text".into());
    let sources = sources.into_iter().map(toml::Value::Table).collect();
    section.insert("mixture".into(), toml::Value::Array(sources));
    (dir, section.try_into().unwrap())
}

#[test]
fn sources_of_a_mixture_are_read_with_their_own_fields() {
    let (_dir, data) = mixture(|_| ());
    let rows = read_split(
        &data,
        Split::Train,
        &["molecule", "protein"],
        &Registry::new(),
    )
    .unwrap();
    let seen: Vec<(usize, usize, &str, String)> = rows
        .iter()
        .map(|row| {
            let (modality, record) = &row.example.records[0];
            let said = format!("{} {}", record.as_str().unwrap(), row.example.answer());
            (row.source, row.number, modality.as_str(), said)
        })
        .collect();
    let molecule = |number, said: &str| (0, number, "molecule", said.to_string());
    let protein = |number, said: &str| (1, number, "protein", said.to_string());
    assert_eq!(
        seen,
        [
            molecule(1, "C methane is <gas> and <molecule>"),
            molecule(3, "N ammonia"),
            protein(1, "MK one"),
            protein(3, "MV two"),
        ]
    );
    assert!(
        rows[3].name().ends_with("b.jsonl row 3"),
        "{}",
        rows[3].name()
    );
    let held_out = read_split(
        &data,
        Split::Eval,
        &["molecule", "protein"],
        &Registry::new(),
    )
    .unwrap();
    assert_eq!(
        numbers(&held_out),
        [2],
        "the second source holds nothing out"
    );
}

#[test]
fn a_shared_file_to_measure_on_is_read_once() {
    let (dir, mut data) = mixture(|sources| {
        for source in sources.iter_mut() {
            source.insert("input_field".into(), "smiles".into());
            source.insert("text_field".into(), "text".into());
            source.insert("modality".into(), "molecule".into());
            source.remove("split_field");
        }
        let own = sources[1].clone();
        sources.push(own);
    });
    data.eval = Some(dir.path().join("a.csv"));
    let eval = read_split(&data, Split::Eval, &["molecule"], &Registry::new()).unwrap();
    assert_eq!(numbers(&eval), [1, 2, 3]);
    data.mixture[2].eval = Some(dir.path().join("other.csv"));
    std::fs::write(dir.path().join("other.csv"), PAIRS).unwrap();
    let eval = read_split(&data, Split::Eval, &["molecule"], &Registry::new()).unwrap();
    assert_eq!(numbers(&eval), [1, 2, 3, 1, 2, 3]);
    assert_eq!(eval[3].source, 2);
}

#[test]
fn what_is_wrong_in_a_mixture_names_the_right_file() {
    let (_dir, data) = mixture(|sources| {
        sources[1].insert("input_field".into(), "sequence".into());
    });
    let error = read_split(
        &data,
        Split::Train,
        &["molecule", "protein"],
        &Registry::new(),
    )
    .unwrap_err();
    let error = error.to_string();
    assert!(
        error.contains("b.jsonl row 1: there is no field `sequence`"),
        "{error}"
    );
}

#[test]
fn a_label_is_the_text_where_there_is_no_other() {
    let rows = "smiles,kind\nCCO,alcohol\nCC,\nCC=O, aldehyde \n";
    let labelled = |name: &str| {
        section(|data| {
            data.text_field = None;
            data.split_field = None;
            data.group_field = None;
            data.label_field = Some(name.into());
        })
    };
    let read = read_as("a.csv", rows, labelled("kind"), Split::Train).unwrap();
    let answers: Vec<String> = read.iter().map(|row| row.example.answer()).collect();
    assert_eq!(
        answers,
        ["alcohol", "aldehyde"],
        "a row without a label is none"
    );
    let error = read_as("a.csv", rows, labelled("class"), Split::Train).unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("no field `class`") && text.contains("`smiles`, `kind`"),
        "{text}"
    );
    let nested = "{\"smiles\":\"CCO\",\"facts\":{\"class\":\"alcohol\"}}\n";
    let read = read_as("a.jsonl", nested, labelled("facts.class"), Split::Train).unwrap();
    assert_eq!(read[0].example.answer(), "alcohol");
}
