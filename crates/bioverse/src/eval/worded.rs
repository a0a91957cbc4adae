//! The same question without soft tokens: what the frozen LLM is asked, which never saw a record in training. A record that
//! is text (SMILES, residues) is written out, any other is only named. It knows no model.

use bioverse_core::placeholder::escape;
use bioverse_core::{Example, Message, Record};

/// Longest record that is written out, in characters; of a longer one only the beginning is.
const LONGEST: usize = 200;

/// The example with every placeholder replaced by words, and no records.
pub fn worded(example: &Example) -> Example {
    let mut records = example.records.iter().peekable();
    let mut messages: Vec<Message> = example.messages.clone();
    for message in &mut messages {
        let mut done = String::new();
        let mut rest = message.content.as_str();
        while let Some((name, record)) = records.peek() {
            let placeholder = format!("<{name}>");
            let Some(at) = rest.find(&placeholder) else {
                break;
            };
            let end = at + placeholder.len();
            if rest[..at].ends_with('\\') {
                // Somebody's words that only look like a placeholder.
                done.push_str(&rest[..end]);
            } else {
                done.push_str(&rest[..at]);
                done.push_str(&words(name, record));
                records.next();
            }
            rest = &rest[end..];
        }
        message.content = done + rest;
    }
    Example {
        messages,
        records: vec![],
        group: example.group.clone(),
    }
}

fn words(name: &str, record: &Record) -> String {
    match record.as_str() {
        Some(text) => {
            let cut: String = text.trim().chars().take(LONGEST).collect();
            format!("the {name} {}", escape(&cut))
        }
        None => format!("the {name}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn placeholders_become_words_in_order() {
        let turn = |role: &str, content: &str| Message {
            role: role.into(),
            content: content.into(),
        };
        let example = Example {
            messages: vec![
                turn(
                    "user",
                    "\\<molecule>: does <molecule> bind <protein>, unlike <molecule>?",
                ),
                turn("assistant", "Yes."),
                turn("user", "And in <cell>?"),
            ],
            records: vec![
                ("molecule".into(), json!("CCO")),
                ("protein".into(), json!("M".repeat(300))),
                ("molecule".into(), json!("CN")),
                ("cell".into(), json!({"genes": ["A"], "counts": [1]})),
            ],
            group: None,
        };
        let got = worded(&example);
        let protein = "M".repeat(LONGEST);
        assert_eq!(
            got.messages[0].content,
            format!(
                "\\<molecule>: does the molecule CCO bind the protein {protein}, unlike the molecule CN?"
            )
        );
        assert_eq!(got.messages[2].content, "And in the cell?");
        assert!(got.records.is_empty());
    }
}
