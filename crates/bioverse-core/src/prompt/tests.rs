//! Placeholders and records: what matches, what is text, and what each mismatch is told.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use serde_json::json;

use super::*;

const KNOWN: &[&str] = &["molecule", "protein"];

fn records(names: &[&str]) -> Vec<(String, Record)> {
    names
        .iter()
        .enumerate()
        .map(|(i, name)| (name.to_string(), json!(i)))
        .collect()
}

fn text(text: &str, loss: bool) -> Segment {
    Segment::Text {
        text: text.into(),
        loss,
    }
}

fn soft(modality: &str, record: usize) -> Segment {
    Segment::Soft {
        modality: modality.into(),
        record: json!(record),
    }
}

fn example(turns: &[(&str, &str)], names: &[&str]) -> Example {
    let message = |&(role, content): &(&str, &str)| Message {
        role: role.into(),
        content: content.into(),
    };
    Example {
        messages: turns.iter().map(message).collect(),
        records: records(names),
        group: None,
    }
}

fn refusal(turns: &[(&str, &str)], names: &[&str]) -> String {
    example(turns, names).check(KNOWN).unwrap_err().to_string()
}

#[test]
fn placeholders_become_records_in_order() {
    let prompt = Prompt::parse(
        "<protein> binds <molecule>?",
        &records(&["protein", "molecule"]),
        KNOWN,
    )
    .unwrap();
    let wanted = [
        soft("protein", 0),
        text(" binds ", false),
        soft("molecule", 1),
        text("?", false),
    ];
    assert_eq!(prompt.segments, wanted);
    assert_eq!(Prompt::parse("", &[], KNOWN).unwrap(), Prompt::default());
}

#[test]
fn an_escaped_name_is_text() {
    let prompt = Prompt::parse(
        r"\<molecule> \<b> <molecule> C/C=C\C",
        &records(&["molecule"]),
        KNOWN,
    )
    .unwrap();
    assert_eq!(
        prompt.segments,
        [
            text("<molecule> <b> ", false),
            soft("molecule", 0),
            text(r" C/C=C\C", false)
        ]
    );
}

#[test]
fn template_markers_stay_text_and_text_of_equal_loss_is_one_segment() {
    let piece = |text: &str, loss| Piece {
        text: text.into(),
        loss,
    };
    let pieces = [
        piece("<s><|user|>", false),
        piece("What is <molecule>", false),
        piece(r"? \<molecule>", false),
        piece("A <b>base</b>", true),
        piece(", like <protein>", true),
        piece("</s>", true),
    ];
    let prompt = Prompt::from_pieces(&pieces, &records(&["molecule", "protein"]), KNOWN).unwrap();
    let wanted = [
        text("<s><|user|>What is ", false),
        soft("molecule", 0),
        text("? <molecule>", false),
        text("A <b>base</b>, like ", true),
        soft("protein", 1),
        text("</s>", true),
    ];
    assert_eq!(prompt.segments, wanted);
}

#[test]
fn check_and_answer() {
    let turns = [
        ("system", "Be brief."),
        ("user", "Is <molecule> like <molecule>?"),
        ("assistant", r"<thinking> \<molecule> is a tag. <protein>"),
        ("user", "Why?"),
        ("assistant", "Because."),
    ];
    let example = example(&turns, &["molecule", "molecule", "protein"]);
    example.check(KNOWN).unwrap();
    assert_eq!(
        example.answer(),
        "<thinking> <molecule> is a tag. <protein>\nBecause."
    );
}

#[test]
fn an_unregistered_name_of_a_user_is_an_error() {
    assert_eq!(
        refusal(&[("user", "What is <protien>?")], &[]),
        r"`<protien>` names a modality that is not registered (registered: molecule, protein); write `\<protien>` if it is meant as text"
    );
    assert!(
        Prompt::parse("<protien>", &[], &[])
            .unwrap_err()
            .to_string()
            .contains("(registered: none)")
    );
}

#[test]
fn mismatches_name_the_placeholder_and_the_modality() {
    let user = |content| [("user", content)];
    for (turns, names, wanted) in [
        (
            user("<molecule> <protein>"),
            vec!["molecule"],
            "placeholder 2, `<protein>`, has no record (there are 1)",
        ),
        (
            user("<molecule>"),
            vec!["molecule", "protein"],
            "record 2, of modality `protein`, has no placeholder",
        ),
        (
            user("<molecule>"),
            vec!["protein"],
            "placeholder 1 is `<molecule>`, but record 1 is of modality `protein`",
        ),
        (
            user("<molecule>"),
            vec!["rna"],
            "record 1 is of modality `rna`, which is not registered",
        ),
        (
            [("asistant", "hi")],
            vec![],
            "message 1 has role `asistant`",
        ),
    ] {
        let message = refusal(&turns, &names);
        assert!(message.contains(wanted), "{message}");
    }
}

#[test]
fn rows_are_read_as_people_write_them() {
    let row = json!({"messages": [{"role": "user", "content": "<molecule>?"}], "records": [["molecule", "CCO"]]});
    let example: Example = serde_json::from_value(row.clone()).unwrap();
    assert_eq!(example.records, [("molecule".to_string(), json!("CCO"))]);
    assert_eq!(serde_json::to_value(&example).unwrap(), row);
}
