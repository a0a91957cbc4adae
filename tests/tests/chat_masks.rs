//! What is learnt from conversations, beyond what the golden folders compare: borders between question and answer, and soft
//! tokens in an answer.

use std::path::Path;

use bioverse::session::prompt_of;
use bioverse_core::{BoxError, Example, Layout, Message, PadSide, Slot};
use bioverse_nn::Tokenizer;
use serde_json::json;

fn tokenizer(style: &str) -> Tokenizer {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("golden/chat")
        .join(style);
    Tokenizer::load(&folder).expect("a tokenizer")
}

/// A text is not the sum of its parts for a tokenizer that writes a space in front of every text.
#[test]
fn question_and_answer_are_tokenised_as_the_one_text_they_are() {
    let tokenizer = tokenizer("inst");
    let texts = [
        "<s>[INST] What is it? [/INST]",
        " A salt.</s>",
        "[INST] Sure?",
    ];
    let whole = tokenizer.encode(&texts.concat()).expect("ids");
    let run = tokenizer.encode_run(&texts).expect("ids");
    assert_eq!(run.concat(), whole);
    let alone = texts
        .map(|text| tokenizer.encode(text).expect("ids"))
        .concat();
    assert_ne!(alone, whole, "or this test would show nothing");
    assert_eq!(
        tokenizer.decode_with_special(&run[1]).expect("text").trim(),
        "A salt.</s>"
    );
    assert!(tokenizer.encode_run(&[]).expect("ids").is_empty());
    assert_eq!(
        tokenizer
            .encode_run(&["", "a", ""])
            .expect("ids")
            .iter()
            .filter(|ids| !ids.is_empty())
            .count(),
        1
    );
}

/// Every assistant turn is learnt to its end token, whatever stands in it; no soft token ever is.
#[test]
fn soft_tokens_in_answers_are_never_targets() {
    let say = |role: &str, content: &str| Message {
        role: role.into(),
        content: content.into(),
    };
    let example = Example {
        messages: vec![
            say("user", "Which is like <molecule>?"),
            say("assistant", "<molecule> is, <protein>"),
            say("user", "And <protein>?"),
            say("assistant", "<molecule>"),
        ],
        records: [
            ("molecule", "C"),
            ("molecule", "CC"),
            ("protein", "M"),
            ("protein", "K"),
            ("molecule", "CCC"),
        ]
        .map(|(name, record)| (name.to_owned(), json!(record)))
        .to_vec(),
        group: None,
    };
    for style in [
        "chatml",
        "chatml_generation",
        "headers",
        "headers_generation",
        "roles",
        "tags",
        "inst",
    ] {
        let tokenizer = tokenizer(style);
        let prompt =
            prompt_of(&tokenizer, &example, &["molecule", "protein"], true).expect("a prompt");
        let tokenize = |texts: &[&str]| tokenizer.encode_run(texts).map_err(BoxError::from);
        let layout =
            Layout::of_runs(&[prompt], 0, PadSide::Right, tokenize, |_| Ok(3)).expect("a layout");
        let row = &layout.rows[0];
        let soft = row
            .slots
            .iter()
            .zip(&row.loss)
            .filter(|(slot, _)| matches!(slot, Slot::Soft { .. }));
        let (count, learnt) = soft.fold((0, 0), |(count, learnt), (_, loss)| {
            (count + 1, learnt + usize::from(*loss))
        });
        assert_eq!((count, learnt), (15, 0), "{style}");
        let eos = tokenizer.eos().expect("eos");
        let ends = layout.targets().iter().filter(|(_, id)| *id == eos).count();
        assert_eq!(ends, 2, "{style}: both turns end in a token that is learnt");
    }
}
