//! Which characters of a rendered conversation are the assistant's own: those the template itself marks, or else those
//! found by rendering the conversation turn by turn. It knows no template: only that one which writes turns in order renders
//! every beginning of a conversation as a beginning of the whole.

use super::dialect::{MARKED, MARKS};
use super::{ChatMessage, ChatTemplate};
use crate::error::{Error, Result};

/// See [`ChatTemplate::render_spans`].
pub(super) fn render(
    template: &ChatTemplate,
    messages: &[ChatMessage],
) -> Result<Vec<(String, bool)>> {
    if template.marked {
        return marked(template, messages);
    }
    let whole = template.render(messages, false)?;
    let mut pieces = Pieces::default();
    let mut done = 0;
    for (turn, message) in messages.iter().enumerate() {
        if message.role != "assistant" {
            continue;
        }
        let start = beginning(
            template.render(&messages[..turn], true)?,
            &whole,
            done,
            turn,
        )?;
        let end = beginning(
            template.render(&messages[..=turn], false)?,
            &whole,
            start,
            turn,
        )?;
        let stop = start
            + answer_len(
                &whole[start..end],
                &message.content,
                template.special("eos_token"),
            );
        if !without_space(&whole[start..stop]).contains(&without_space(&message.content)) {
            return Err(Error::Text(format!(
                "the chat template drops or changes the answer of turn {}, which begins {:?}; correct the template or the \
                 answer",
                turn + 1,
                excerpt(&message.content, 0)
            )));
        }
        pieces.push(&whole[done..start], false);
        pieces.push(&whole[start..stop], true);
        pieces.push(&whole[stop..end], false);
        done = end;
    }
    pieces.push(&whole[done..], false);
    Ok(pieces.0)
}

/// As the template's own generation blocks say.
fn marked(template: &ChatTemplate, messages: &[ChatMessage]) -> Result<Vec<(String, bool)>> {
    if messages
        .iter()
        .any(|message| message.content.contains(MARKS))
    {
        return Err(Error::Text(
            "a message contains U+FDD0 or U+FDD1, which are no characters; remove them".into(),
        ));
    }
    let asked = serde_json::Map::from_iter([(MARKED.to_owned(), true.into())]);
    let whole = template.render_with(messages, false, &asked)?;
    let eos = template.special("eos_token").filter(|eos| !eos.is_empty());
    let mut pieces = Pieces::default();
    let mut rest = whole.as_str();
    while let Some((before, block)) = rest.split_once(MARKS[0]) {
        let (block, after) = block.split_once(MARKS[1]).unwrap_or((block, ""));
        pieces.push(before, false);
        rest = after;
        let written = block.trim_end();
        match eos {
            Some(eos) if written.ends_with(eos) => {
                pieces.push(written, true);
                pieces.push(&block[written.len()..], false);
            }
            Some(eos) if after.starts_with(eos) => {
                pieces.push(block, true);
                pieces.push(eos, true);
                rest = &after[eos.len()..];
            }
            _ => pieces.push(block, true),
        }
    }
    pieces.push(rest, false);
    Ok(pieces.0)
}

/// The length of `prefix` if it begins `whole` and reaches at least to `from`.
fn beginning(prefix: String, whole: &str, from: usize, turn: usize) -> Result<usize> {
    if whole.starts_with(&prefix) && prefix.len() >= from {
        return Ok(prefix.len());
    }
    let at = prefix
        .bytes()
        .zip(whole.bytes())
        .take_while(|(a, b)| a == b)
        .count();
    Err(Error::Text(format!(
        "the chat template is not prefix-stable: up to turn {turn} it renders {:?} where the whole conversation has {:?}, \
         so the text of one answer cannot be told apart; split the conversation into single exchanges or use a template \
         that keeps earlier turns as they are",
        excerpt(&prefix, at),
        excerpt(whole, at)
    )))
}

/// Templates may trim and wrap.
fn without_space(text: &str) -> String {
    text.split_whitespace().collect()
}

/// A few characters from around byte `at`.
fn excerpt(text: &str, at: usize) -> String {
    let mut start = at.min(text.len());
    while !text.is_char_boundary(start) {
        start -= 1;
    }
    text[start..].chars().take(24).collect()
}

/// How much of an assistant turn the model has to write: up to the end-of-turn marker. The marker is the eos token if the
/// turn ends with one, else whatever the template writes after the content.
fn answer_len(turn: &str, content: &str, eos: Option<&str>) -> usize {
    let content = content.trim();
    // A template may rewrite the content; then the marker is looked for in the whole turn.
    let content_end = match turn.rfind(content) {
        Some(at) if !content.is_empty() => at + content.len(),
        _ => 0,
    };
    let marker = &turn[content_end..];
    if let Some(eos) = eos.filter(|eos| !eos.is_empty())
        && let Some(at) = marker.rfind(eos)
    {
        return content_end + at + eos.len();
    }
    match marker.trim_end() {
        // Nothing but white space ends the turn: then the white space is the marker.
        "" => turn.len(),
        text => content_end + text.len(),
    }
}

/// Pieces in order; empty ones are dropped, neighbours of one kind joined.
#[derive(Default)]
struct Pieces(Vec<(String, bool)>);

impl Pieces {
    fn push(&mut self, text: &str, loss: bool) {
        match self.0.last_mut() {
            _ if text.is_empty() => {}
            Some((last, flag)) if *flag == loss => last.push_str(text),
            _ => self.0.push((text.to_string(), loss)),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use std::collections::BTreeMap;

    const CHATML: &str = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content | trim }}<|im_end|>\n{% endfor %}\
        {% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";

    fn template(source: &str, eos: &str) -> ChatTemplate {
        // Inline text ends in newlines the trimming rules would eat, hence the explicit expression.
        let source = source.replace('\n', "{{ '\\n' }}");
        ChatTemplate::new(&source, BTreeMap::from([("eos_token".into(), eos.into())])).unwrap()
    }

    fn talk(turns: &[(&str, &str)]) -> Vec<ChatMessage> {
        turns
            .iter()
            .map(|(role, content)| ChatMessage::new(*role, *content))
            .collect()
    }

    fn loss_only(spans: &[(String, bool)]) -> Vec<&str> {
        spans
            .iter()
            .filter(|(_, loss)| *loss)
            .map(|(text, _)| text.as_str())
            .collect()
    }

    #[test]
    fn every_answer_is_marked_up_to_its_end_marker() {
        let messages = talk(&[
            ("user", "a?"),
            ("assistant", "  b.\n"),
            ("user", "c?"),
            ("assistant", "d"),
        ]);
        let template = template(CHATML, "<|im_end|>");
        let spans = template.render_spans(&messages).unwrap();
        assert_eq!(loss_only(&spans), ["b.<|im_end|>", "d<|im_end|>"]);
        let joined: String = spans.iter().map(|(text, _)| text.as_str()).collect();
        assert_eq!(joined, template.render(&messages, false).unwrap());
        assert_eq!(spans.last().unwrap(), &("\n".to_string(), false));
        assert!(spans.windows(2).all(|pair| pair[0].1 != pair[1].1));
    }

    #[test]
    fn another_end_marker_than_eos_is_part_of_the_answer() {
        let spans = template(CHATML, "<|endoftext|>")
            .render_spans(&talk(&[("user", "a"), ("assistant", "b")]))
            .unwrap();
        assert_eq!(loss_only(&spans), ["b<|im_end|>"]);
    }

    #[test]
    fn a_bare_line_break_can_be_the_end_marker() {
        let plain = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}{% if add_generation_prompt %}assistant: {% endif %}";
        let spans = template(plain, "</s>")
            .render_spans(&talk(&[("user", "a"), ("assistant", "b")]))
            .unwrap();
        assert_eq!(loss_only(&spans), ["b\n"]);
    }

    #[test]
    fn an_answer_that_quotes_the_marker_is_kept_whole() {
        let spans = template(CHATML, "<|im_end|>")
            .render_spans(&talk(&[
                ("user", "a"),
                ("assistant", "say <|im_end|> twice"),
            ]))
            .unwrap();
        assert_eq!(loss_only(&spans), ["say <|im_end|> twice<|im_end|>"]);
    }

    #[test]
    fn an_empty_answer_is_its_end_marker() {
        let spans = template(CHATML, "<|im_end|>")
            .render_spans(&talk(&[("user", "a"), ("assistant", " ")]))
            .unwrap();
        assert_eq!(loss_only(&spans), ["<|im_end|>"]);
    }

    #[test]
    fn an_answer_that_the_template_rewrites_is_refused() {
        let source = CHATML.replace("m.content | trim", "m.content | replace('<b>', '')");
        let template = template(&source, "<|im_end|>");
        let say = |answer| template.render_spans(&talk(&[("user", "a"), ("assistant", answer)]));
        assert!(say("plain").is_ok());
        let error = say("a <b> c").unwrap_err();
        assert!(error.to_string().contains("answer of turn 2"), "{error}");
    }

    #[test]
    fn a_conversation_without_answers_has_no_loss() {
        let spans = template(CHATML, "<|im_end|>")
            .render_spans(&talk(&[("user", "a")]))
            .unwrap();
        assert!(loss_only(&spans).is_empty());
        assert_eq!(spans.len(), 1);
    }

    #[test]
    fn generation_blocks_decide_what_is_learnt() {
        let messages = talk(&[
            ("user", "a?"),
            ("assistant", "b"),
            ("user", "c?"),
            ("assistant", "d "),
        ]);
        let before = "{% for m in messages %}[{{ m.role }}]{% if m.role == 'assistant' %}";
        let after = "{% endif %}\n{% endfor %}";
        // Block with the marker, before the marker, and around the last answer only.
        for (block, wanted) in [
            (
                "{% generation %}{{ m.content }}</s>{% endgeneration %}",
                &["b</s>", "d </s>"][..],
            ),
            (
                "{% generation %}{{ m.content }}{% endgeneration %}</s>",
                &["b</s>", "d </s>"],
            ),
            (
                "{%- generation -%} {{ m.content }}</s> {% endgeneration %}",
                &["b</s>", "d </s>"],
            ),
            (
                "{% if loop.last %}{% generation %}{{ m.content }}</s>{% endgeneration %}{% else %}{{ m.content }}</s>{% endif %}",
                &["d </s>"],
            ),
            (
                "{% generation %}{{ m.content }}.{% endgeneration %}",
                &["b.", "d ."],
            ),
        ] {
            let source = format!("{before}{block}{{% else %}}{{{{ m.content }}}}{after}");
            let template = template(&source, "</s>");
            let spans = template.render_spans(&messages).unwrap();
            assert_eq!(loss_only(&spans), wanted, "{block}");
            let joined: String = spans.iter().map(|(text, _)| text.as_str()).collect();
            assert_eq!(joined, template.render(&messages, false).unwrap());
        }
    }

    /// Such a template cannot be cut by rendering prefixes, and need not be.
    #[test]
    fn a_template_with_blocks_may_rewrite_earlier_turns() {
        let fickle = "{% for m in messages %}[{{ loop.revindex }} {% generation %}{{ m.content }}]{% endgeneration %}{% endfor %}";
        let spans = template(fickle, "]").render_spans(&talk(&[("user", "a"), ("assistant", "b")]));
        assert_eq!(loss_only(&spans.unwrap()), ["a]", "b]"]);
    }

    #[test]
    fn marks_in_a_message_are_refused() {
        let template = template(
            "{% generation %}{{ messages[0].content }}{% endgeneration %}",
            "",
        );
        let error = template
            .render_spans(&talk(&[("assistant", "x\u{fdd1}y")]))
            .unwrap_err();
        assert!(error.to_string().contains("U+FDD0"), "{error}");
    }

    #[test]
    fn a_template_that_rewrites_earlier_turns_is_refused() {
        let fickle = "{% for m in messages %}[{{ loop.revindex }} {{ m.content }}]{% endfor %}";
        let error = template(fickle, "]")
            .render_spans(&talk(&[("user", "a"), ("assistant", "b")]))
            .unwrap_err();
        assert!(error.to_string().contains("prefix-stable"), "{error}");
    }
}
