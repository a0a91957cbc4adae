//! Whether a template is fit to train with, found out by rendering a conversation whose turns are known by their text. It
//! knows no template: only what a model must be able to rely on when it is asked later.

use super::{ChatMessage, ChatTemplate};
use crate::error::{Error, Result};

/// See [`ChatTemplate::check`].
pub(super) fn check(
    template: &ChatTemplate,
    roles: &[&str],
    special: &dyn Fn(&str) -> Option<usize>,
) -> Result<()> {
    let messages = probe(roles);
    let whole = template.render(&messages, false)?;
    let mut places = vec![];
    for (turn, message) in messages.iter().enumerate() {
        let name = format!("the text of turn {} ({})", turn + 1, message.role);
        let place = match whole.matches(&message.content).count() {
            1 => whole.find(&message.content).unwrap_or_default(),
            0 => return Err(wrong(&format!("drops or changes {name}"))),
            n => return Err(wrong(&format!("writes {name} {n} times"))),
        };
        places.push(place);
    }
    let spoken = |turn: &usize| messages[*turn].role != "system";
    let turns: Vec<usize> = (0..messages.len()).filter(spoken).collect();
    if turns
        .windows(2)
        .any(|pair| places[pair[0]] > places[pair[1]])
    {
        return Err(wrong("changes the order of the turns"));
    }
    alike(template, roles)?;
    for (turn, message) in messages.iter().enumerate() {
        if message.role == "assistant" {
            asked(template, &messages[..turn], &whole, places[turn])?;
            closed(
                &whole[places[turn] + message.content.len()..],
                turn + 1,
                special,
            )?;
            if !whole.starts_with(&template.render(&messages[..=turn], false)?) {
                return Err(rewritten(turn + 1));
            }
        }
    }
    Ok(())
}

/// One turn for each role, with texts that occur nowhere else and suffer from escaping, folding of case and of accents.
fn probe(roles: &[&str]) -> Vec<ChatMessage> {
    let text = |turn: usize| format!("q{turn}z: Aa & \"ç\" < 'd'.");
    let turn = |(turn, role): (usize, &&str)| ChatMessage::new(*role, text(turn));
    roles.iter().enumerate().map(turn).collect()
}

/// What stands between a question and its answer must differ from what stands between an answer and the next question.
fn alike(template: &ChatTemplate, roles: &[&str]) -> Result<()> {
    let system = roles.iter().take_while(|role| **role == "system");
    let roles: Vec<&str> = system
        .copied()
        .chain(["user", "assistant", "user"])
        .collect();
    let messages = probe(&roles);
    // A template may allow one exchange only; then there is nothing to take for something else.
    let Ok(whole) = template.render(&messages, false) else {
        return Ok(());
    };
    let [question, answer, next] = &messages[messages.len() - 3..] else {
        return Ok(());
    };
    let between = |a: &ChatMessage, b: &ChatMessage| {
        let start = whole.find(&a.content)? + a.content.len();
        whole.get(start..whole.find(&b.content)?)
    };
    match (between(question, answer), between(answer, next)) {
        (Some(before), Some(after)) if before == after => Err(wrong(&format!(
            "writes user and assistant turns alike (with {before:?} between them)"
        ))),
        _ => Ok(()),
    }
}

/// What the model is given when it is asked must be what stood in front of the answer that it learnt.
fn asked(
    template: &ChatTemplate,
    before: &[ChatMessage],
    whole: &str,
    answer: usize,
) -> Result<()> {
    let turn = before.len() + 1;
    let given = template.render(before, true)?;
    if !whole.starts_with(&given) || given.len() > answer {
        let bare = template.render(before, false)?;
        return Err(match whole.starts_with(&bare) {
            true => wrong(&format!(
                "ends a question with {:?}, which is not what stands in front of the answer of turn {turn}",
                given.strip_prefix(&bare).unwrap_or(&given)
            )),
            false => rewritten(turn - 1),
        });
    }
    let own = &whole[given.len()..answer];
    match no_words(own) {
        true => Ok(()),
        false => Err(wrong(&format!(
            "puts {own:?} in front of the answer of turn {turn}, but not at the end of a question \
             (`add_generation_prompt`), so the model would have to write it"
        ))),
    }
}

/// Words of the template's own behind an answer would be learnt as part of it. A text without any special token is judged by
/// its rows: no answer in it could end.
fn closed(behind: &str, turn: usize, special: &dyn Fn(&str) -> Option<usize>) -> Result<()> {
    let own = special(behind)
        .and_then(|end| behind.get(..end))
        .unwrap_or_default();
    match own.trim().is_empty() {
        true => Ok(()),
        false => Err(wrong(&format!(
            "puts {own:?} behind the answer of turn {turn}, so the model would learn to say it"
        ))),
    }
}

/// White space, or a block of reasoning without any, which models write that can be told not to reason.
fn no_words(text: &str) -> bool {
    let text = text.trim();
    let inner = text.strip_prefix("<think>");
    let inner = inner.and_then(|text| text.strip_suffix("</think>"));
    text.is_empty() || inner.is_some_and(|text| text.trim().is_empty())
}

fn rewritten(turn: usize) -> Error {
    wrong(&format!(
        "writes turn {turn} otherwise once another follows (as templates do that leave out earlier reasoning)"
    ))
}

fn wrong(what: &str) -> Error {
    Error::Text(format!(
        "the chat template {what}, so what is learnt is not what will be asked for; correct it in tokenizer_config.json or \
         chat_template.jinja, or give the conversation another form"
    ))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use std::collections::BTreeMap;

    const ONCE: [&str; 2] = ["user", "assistant"];
    const TWICE: [&str; 5] = ["system", "user", "assistant", "user", "assistant"];

    fn template(source: &str) -> ChatTemplate {
        let source = source.replace('\n', "{{ '\\n' }}");
        ChatTemplate::new(
            &source,
            BTreeMap::from([("eos_token".into(), "</s>".into())]),
        )
        .unwrap()
    }

    /// ChatML with another way to write a turn, and another generation prompt.
    fn chatml(turn: &str, prompt: &str) -> ChatTemplate {
        template(&format!(
            "{{% for m in messages %}}{turn}{{% endfor %}}{{% if add_generation_prompt %}}{prompt}{{% endif %}}"
        ))
    }

    const TURN: &str = "<|im_start|>{{ m.role }}\n{{ m.content | trim }}<|im_end|>\n";
    const PROMPT: &str = "<|im_start|>assistant\n";

    /// Special tokens look like `<…>` here.
    fn fit(template: &ChatTemplate, roles: &[&str]) -> Result<()> {
        check(template, roles, &|text| text.find('<'))
    }

    #[test]
    fn answers_end_in_a_special_token_and_nothing_else() {
        let thanks = "<|im_start|>{{ m.role }}\n{{ m.content | trim }}{% if m.role == 'assistant' %} Thanks.{% endif \
            %}<|im_end|>\n";
        refused(
            &chatml(thanks, PROMPT),
            &ONCE,
            "puts \" Thanks.\" behind the answer of turn 2",
        );
    }

    fn refused(template: &ChatTemplate, roles: &[&str], reason: &str) {
        let error = fit(template, roles).unwrap_err().to_string();
        assert!(error.contains(reason), "{reason}: {error}");
    }

    #[test]
    fn templates_of_the_usual_styles_are_fit() {
        let instruct = "{% for m in messages %}{% if m.role == 'user' %}[INST] {{ m.content }} [/INST]{% elif m.role == \
            'assistant' %} {{ m.content }}</s>{% else %}{{ m.content }}\n{% endif %}{% endfor %}";
        for template in [chatml(TURN, PROMPT), template(instruct)] {
            fit(&template, &ONCE).unwrap();
            fit(&template, &TWICE).unwrap();
        }
    }

    #[test]
    fn texts_must_come_out_once_as_they_went_in() {
        let with = |turn: &str| chatml(&TURN.replace("{{ m.content | trim }}", turn), PROMPT);
        refused(
            &with("{{ m.content | lower }}"),
            &ONCE,
            "drops or changes the text of turn 1 (user)",
        );
        refused(&with("{{ m.content | e }}"), &ONCE, "drops or changes");
        refused(&with("{{ m.content | tojson }}"), &ONCE, "drops or changes");
        let no_answer = "{% if m.role != 'assistant' %}{{ m.content }}{% endif %}";
        refused(&with(no_answer), &ONCE, "the text of turn 2 (assistant)");
        let no_system = "{% if m.role != 'system' %}{{ m.content }}{% endif %}";
        fit(&with(no_system), &ONCE).unwrap();
        refused(&with(no_system), &TWICE, "the text of turn 1 (system)");
        refused(&with("{{ m.content }} {{ m.content }}"), &ONCE, "2 times");
    }

    #[test]
    fn roles_must_differ() {
        let flat = template("{% for m in messages %}{{ m.content }}</s>{% endfor %}");
        refused(&flat, &ONCE, "user and assistant turns alike");
        let same = chatml("<|turn|>{{ m.content }}</s>\n", "<|turn|>");
        refused(&same, &ONCE, "user and assistant turns alike");
    }

    #[test]
    fn questions_must_end_as_answers_begin() {
        let other = chatml(TURN, "<|im_start|>model\n");
        refused(
            &other,
            &ONCE,
            "ends a question with \"<|im_start|>model\\n\"",
        );
        let none = chatml(TURN, "");
        refused(
            &none,
            &ONCE,
            "puts \"<|im_start|>assistant\\n\" in front of the answer",
        );
    }

    #[test]
    fn earlier_turns_must_stay_and_empty_reasoning_may_lead() {
        // As hybrid models do: an empty block of reasoning in front of the last answer only.
        let hybrid = "<|im_start|>{{ m.role }}\n{% if m.role == 'assistant' and loop.last %}<think>\n\n</think>\n\n{% \
            endif %}{{ m.content }}<|im_end|>\n";
        let hybrid = chatml(hybrid, PROMPT);
        fit(&hybrid, &ONCE).unwrap();
        refused(
            &hybrid,
            &TWICE[1..],
            "writes turn 2 otherwise once another follows",
        );
    }

    #[test]
    fn turns_keep_their_order() {
        let reversed =
            template("{% for m in messages[::-1] %}{{ m.role }}: {{ m.content }}</s>{% endfor %}");
        refused(&reversed, &ONCE, "order");
    }
}
