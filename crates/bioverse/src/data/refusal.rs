//! Why a row or a record was refused, in words for people: of a length that fits a screen, with a next step. What records
//! mean is for the encoders to know.

use bioverse_core::Record;
use serde_json::Value;

/// What to do about a bad row of a training file.
pub(crate) const MEND: &str = "mend it, or leave bad rows out with `data.skip_bad = true`";
/// Characters of a record that are shown.
const SHOWN: usize = 80;
/// Characters of a reason; one that quotes a whole record has more.
const REASON: usize = 400;

/// The beginning of a long text.
pub(crate) fn shortened(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        None => text.into(),
        Some((at, _)) => format!("{}…", text.get(..at).unwrap_or_default()),
    }
}

/// A reason without the middle of what it quotes.
pub(crate) fn brief(reason: String) -> String {
    let half = REASON / 2;
    let start = reason.char_indices().nth(half).map(|(at, _)| at);
    let end = reason.char_indices().nth_back(half - 1).map(|(at, _)| at);
    match (start, end) {
        (Some(start), Some(end)) if start < end => {
            let (head, tail) = (reason.get(..start), reason.get(end..));
            format!("{}…{}", head.unwrap_or_default(), tail.unwrap_or_default())
        }
        _ => reason,
    }
}

/// A reason with a next step, unless it has one of its own.
pub(crate) fn with_step(reason: &str, step: &str) -> String {
    match reason.contains("; ") {
        true => reason.into(),
        false => format!("{reason}; {step}"),
    }
}

/// What an encoder has against a record.
pub(crate) fn refusal(record: &Record, error: bioverse_core::Error) -> String {
    let reason = match error {
        bioverse_core::Error::Record { source, .. } => source.to_string(),
        other => other.to_string(),
    };
    brief(wrong_kind(record, &reason).unwrap_or(reason))
}

/// A record of another JSON type than the modality takes, said without the words of the JSON reader.
fn wrong_kind(record: &Record, reason: &str) -> Option<String> {
    let found = reason.strip_prefix("invalid type: ")?;
    let (word, name) = match record {
        Value::Object(fields) if fields.contains_key("genes") => ("map", "a cell"),
        Value::Object(_) => ("map", "an object"),
        Value::Array(_) => ("sequence", "a list"),
        Value::Number(number) if number.is_f64() => ("floating point", "a number"),
        Value::Number(_) => ("integer", "a number"),
        Value::Bool(_) => ("boolean", "true or false"),
        Value::String(_) => ("string", "text"),
        Value::Null => ("null", "empty"),
    };
    // The type of something inside the record is for its own message.
    if !found.starts_with(word) {
        return None;
    }
    let (_, expected) = found.rsplit_once(", expected ")?;
    let expected = match expected.starts_with("struct ") {
        true => "an object",
        false => expected,
    };
    Some(format!(
        "the record is {name}, not {expected}; name another field as the record (--input-field, or `data.input_field`), or \
         another modality"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn long_texts_are_cut_between_characters() {
        assert_eq!(shortened("CCO"), "CCO");
        assert_eq!(shortened(&"é".repeat(80)), "é".repeat(80));
        assert_eq!(shortened(&"é".repeat(81)), "é".repeat(80) + "…");
        assert_eq!(brief("a".repeat(400)), "a".repeat(400));
        let long = format!("`{}` is bad: why", "é".repeat(1_000_000));
        let cut = brief(long);
        assert_eq!(cut.chars().count(), 401);
        assert!(
            cut.starts_with("`é") && cut.ends_with("é` is bad: why"),
            "{cut}"
        );
    }

    #[test]
    fn a_next_step_is_given_once() {
        assert_eq!(with_step("is bad", "mend it"), "is bad; mend it");
        assert_eq!(
            with_step("is bad; leave it out", "mend it"),
            "is bad; leave it out"
        );
    }

    #[test]
    fn a_record_of_another_kind_is_named() {
        for (record, reason, expected) in [
            (
                json!({"genes": []}),
                "invalid type: map, expected a string",
                "the record is a cell, not a string; ",
            ),
            (
                json!({}),
                "invalid type: map, expected a string",
                "is an object, not",
            ),
            (
                json!([1]),
                "invalid type: sequence, expected a string",
                "is a list, not",
            ),
            (
                json!(3),
                "invalid type: integer `3`, expected a string",
                "is a number, not",
            ),
            (
                json!(0.5),
                "invalid type: floating point `0.5`, expected a string",
                "is a number, not",
            ),
            (
                json!("x"),
                "invalid type: string \"x\", expected struct Cell",
                "is text, not an object; ",
            ),
        ] {
            let said = wrong_kind(&record, reason);
            assert!(
                said.as_ref().is_some_and(|said| said.contains(expected)),
                "{said:?}"
            );
        }
        let inside = "invalid type: string \"3\", expected a number";
        assert_eq!(wrong_kind(&json!({"genes": []}), inside), None);
        assert_eq!(wrong_kind(&json!("x"), "it shouts"), None);
    }
}
