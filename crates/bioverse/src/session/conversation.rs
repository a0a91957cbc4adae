//! Conversations → prompts, through the LLM's chat template. Knows no record's content and no model.
//!
//! An LLM without a chat template gets a plain form: `User: …\nAssistant: …<eos>\n`, system turns as they are on a line
//! of their own, bos in front when the tokenizer has one.

use bioverse_core::placeholder::escape;
use bioverse_core::{Example, Message, Piece, Prompt, Segment};
use bioverse_nn::Tokenizer;
use bioverse_nn::chat::ChatMessage;

use crate::error::{Error, Result};

/// The prompt of a conversation through the LLM's chat template. With `for_training`, assistant turns carry loss and the
/// end-of-turn token is a target; otherwise trailing assistant turns are dropped and the generation prompt is appended.
pub fn prompt_of(
    tokenizer: &Tokenizer,
    example: &Example,
    modalities: &[&str],
    for_training: bool,
) -> Result<Prompt> {
    if for_training {
        let pieces = pieces(tokenizer, &example.messages)?;
        return Ok(Prompt::from_pieces(&pieces, &example.records, modalities)?);
    }
    let kept = asked(example)?;
    let text = question(tokenizer, kept)?;
    fitting(&[Piece { text, loss: false }], example, modalities)
}

/// The prompt of a conversation whose last question gets `answer`, in place of what its row says. Only the answer with its
/// end-of-turn token is a target, whatever the assistant said before.
///
/// # Errors
/// A conversation without a question; a question without its record.
pub fn prompt_with(
    tokenizer: &Tokenizer,
    example: &Example,
    answer: &str,
    modalities: &[&str],
) -> Result<Prompt> {
    let mut messages = asked(example)?.to_vec();
    messages.push(Message {
        role: "assistant".into(),
        content: escape(answer),
    });
    let mut prompt = fitting(&pieces(tokenizer, &messages)?, example, modalities)?;
    let mut targets = prompt
        .segments
        .iter_mut()
        .filter_map(|segment| match segment {
            Segment::Text { loss, .. } if *loss => Some(loss),
            _ => None,
        });
    targets.next_back();
    targets.for_each(|loss| *loss = false);
    Ok(prompt)
}

/// The conversation up to its last question.
fn asked(example: &Example) -> Result<&[Message]> {
    let mut turns = example.messages.iter();
    let last = turns.rposition(|message| message.role != "assistant");
    let last = last
        .ok_or_else(|| Error::Input("the conversation asks nothing; give it a user turn".into()))?;
    Ok(&example.messages[..=last])
}

/// Records that only dropped answers mention go with them: the longest beginning that fits.
fn fitting(pieces: &[Piece], example: &Example, modalities: &[&str]) -> Result<Prompt> {
    let count = example.records.len();
    let fits = |n: usize| Prompt::from_pieces(pieces, &example.records[..n], modalities).ok();
    match (0..=count).rev().find_map(fits) {
        Some(prompt) => Ok(prompt),
        None => Ok(Prompt::from_pieces(pieces, &example.records, modalities)?),
    }
}

fn pieces(tokenizer: &Tokenizer, messages: &[Message]) -> Result<Vec<Piece>> {
    let spans = match tokenizer.chat_template() {
        Some(template) => template.render_spans(&chat(messages))?,
        None => plain(tokenizer, messages),
    };
    let pieces = spans
        .into_iter()
        .filter(|(text, _)| !text.is_empty())
        .map(|(text, loss)| Piece { text, loss });
    Ok(pieces.collect())
}

/// A conversation that ends where the assistant begins to speak.
fn question(tokenizer: &Tokenizer, messages: &[Message]) -> Result<String> {
    match tokenizer.chat_template() {
        Some(template) => Ok(template.render(&chat(messages), true)?),
        None => {
            let spans = plain(tokenizer, messages);
            let text: String = spans.into_iter().map(|(text, _)| text).collect();
            Ok(text + ASSISTANT)
        }
    }
}

fn chat(messages: &[Message]) -> Vec<ChatMessage> {
    messages
        .iter()
        .map(|message| ChatMessage::new(&message.role, &message.content))
        .collect()
}

const ASSISTANT: &str = "Assistant:";

fn plain(tokenizer: &Tokenizer, messages: &[Message]) -> Vec<(String, bool)> {
    let token = |id: Option<u32>| id.map_or(String::new(), |id| tokenizer.tokens(&[id]).concat());
    let (bos, eos) = (token(tokenizer.bos()), token(tokenizer.eos()));
    let mut spans = vec![(bos, false)];
    for message in messages {
        let content = message.content.trim();
        match message.role.as_str() {
            "assistant" => {
                spans.push((ASSISTANT.into(), false));
                spans.push((format!(" {content}{eos}"), true));
                spans.push(("\n".into(), false));
            }
            "user" => spans.push((format!("User: {content}\n"), false)),
            _ => spans.push((format!("{content}\n"), false)),
        }
    }
    spans
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    /// A tokenizer without a chat template.
    fn tokenizer() -> Tokenizer {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
        write(
            "vocab.json",
            r#"{"<s>":0,"<pad>":1,"</s>":2,"<unk>":3,"<mask>":4,"a":5}"#,
        );
        write("merges.txt", "#version: 0.2\n");
        Tokenizer::load(dir.path()).unwrap()
    }

    fn example(turns: &[(&str, &str)], records: &[&str]) -> Example {
        let messages = turns.iter().map(|(role, content)| Message {
            role: role.to_string(),
            content: content.to_string(),
        });
        let records = records
            .iter()
            .map(|record| ("dna".to_string(), (*record).into()));
        Example {
            messages: messages.collect(),
            records: records.collect(),
            group: None,
        }
    }

    fn show(prompt: &Prompt) -> String {
        let parts = prompt.segments.iter().map(|segment| match segment {
            Segment::Text { text, loss: true } => format!("[{text}]"),
            Segment::Text { text, .. } => text.clone(),
            Segment::Soft { record, .. } => format!("({record})"),
        });
        parts.collect()
    }

    const TURNS: [(&str, &str); 5] = [
        ("system", "Be kind."),
        ("user", "<dna>?"),
        ("assistant", "One, like <dna>."),
        ("user", "And <dna>?"),
        ("assistant", "As <dna>."),
    ];

    #[test]
    fn without_a_template_answers_and_their_eos_are_learnt() {
        let example = example(&TURNS, &["A", "C", "G", "T"]);
        let prompt = prompt_of(&tokenizer(), &example, &["dna"], true).unwrap();
        assert_eq!(
            show(&prompt),
            "<s>Be kind.\nUser: (\"A\")?\nAssistant:[ One, like ](\"C\")[.</s>]\nUser: And (\"G\")?\nAssistant:[ As \
             ](\"T\")[.</s>]\n"
        );
    }

    #[test]
    fn a_question_drops_the_last_answer_with_its_records() {
        let example = example(&TURNS, &["A", "C", "G", "T"]);
        let prompt = prompt_of(&tokenizer(), &example, &["dna"], false).unwrap();
        let text = show(&prompt);
        assert!(text.ends_with("User: And (\"G\")?\nAssistant:"), "{text}");
        assert!(
            !text.contains('['),
            "nothing is learnt from a question: {text}"
        );
    }

    #[test]
    fn another_answer_is_the_only_target() {
        let example = example(&TURNS, &["A", "C", "G", "T"]);
        let prompt = prompt_with(&tokenizer(), &example, "A <dna> tag.", &["dna"]).unwrap();
        let text = show(&prompt);
        assert!(
            text.contains("Assistant: One, like (\"C\")."),
            "what was said before is no target: {text}"
        );
        let end = "User: And (\"G\")?\nAssistant:[ A <dna> tag.</s>]\n";
        assert!(text.ends_with(end), "{text}");
    }

    #[test]
    fn a_conversation_without_a_question_and_a_missing_record_are_errors() {
        let silent = example(&[("assistant", "x")], &[]);
        assert!(prompt_of(&tokenizer(), &silent, &["dna"], false).is_err());
        let missing = example(&[("user", "<dna>?")], &[]);
        let error = prompt_of(&tokenizer(), &missing, &["dna"], false).unwrap_err();
        assert!(error.to_string().contains("no record"), "{error}");
    }
}
