//! Chat templates, rendered by a Jinja engine with the dialect of `transformers`.
//!
//! It knows strings only: no tokenizer, no soft token. [`ChatTemplate::render_spans`] additionally tells which part of a
//! conversation the model itself would have to write, which is what an answers-only loss trains on.

mod check;
mod dialect;
mod spans;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use minijinja::Environment;
use minijinja::value::Serde;

use crate::error::{Error, Result};

/// One turn.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ChatMessage {
    /// `system`, `user` or `assistant`.
    pub role: String,
    /// What was said.
    pub content: String,
}

impl ChatMessage {
    /// A turn of `role` saying `content`.
    pub fn new(role: impl Into<String>, content: impl Into<String>) -> Self {
        Self {
            role: role.into(),
            content: content.into(),
        }
    }
}

/// A compiled template.
#[derive(Debug, Clone)]
pub struct ChatTemplate {
    environment: Arc<Environment<'static>>,
    special: BTreeMap<String, String>,
    /// Whether it says itself what the assistant writes.
    marked: bool,
}

/// The only template of the environment.
const NAME: &str = "chat_template";

impl ChatTemplate {
    /// Compiles `source`; `special` holds `bos_token`, `eos_token`, … as strings.
    ///
    /// A template that prints the date (`strftime_now`) sees the day of the call to this function, in UTC; pass a date
    /// of your own to [`Self::with_date`] for output that does not change overnight.
    pub fn new(source: &str, special: BTreeMap<String, String>) -> Result<Self> {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |elapsed| elapsed.as_secs());
        Self::with_date(source, special, now)
    }

    /// As [`Self::new`], with the clock of `strftime_now` stopped at `unix_seconds`.
    pub fn with_date(
        source: &str,
        special: BTreeMap<String, String>,
        unix_seconds: u64,
    ) -> Result<Self> {
        let mut environment = dialect::environment(unix_seconds)
            .map_err(|error| Error::Text(format!("chat template engine: {error}")))?;
        let (source, marked) = dialect::with_generation_blocks(source);
        environment
            .add_template_owned(NAME, source)
            .map_err(|error| {
                Error::Text(format!(
                    "the chat template does not compile: {}; correct it in tokenizer_config.json or chat_template.jinja",
                    with_causes(&error)
                ))
            })?;
        Ok(Self {
            environment: Arc::new(environment),
            special,
            marked,
        })
    }

    /// Renders a conversation. The text already contains bos when the template writes one.
    pub fn render(&self, messages: &[ChatMessage], add_generation_prompt: bool) -> Result<String> {
        self.render_with(messages, add_generation_prompt, &serde_json::Map::new())
    }

    /// As `render`, with further template variables (`enable_thinking`, …).
    pub fn render_with(
        &self,
        messages: &[ChatMessage],
        add_generation_prompt: bool,
        extra: &serde_json::Map<String, serde_json::Value>,
    ) -> Result<String> {
        let fail = |error: minijinja::Error| {
            Error::Text(format!(
                "the chat template refuses this conversation: {}",
                with_causes(&error)
            ))
        };
        let mut variables = serde_json::Map::new();
        for (name, token) in &self.special {
            variables.insert(name.clone(), token.as_str().into());
        }
        // `transformers` always defines these two, and templates ask `tools is none`.
        variables.insert("tools".into(), serde_json::Value::Null);
        variables.insert("documents".into(), serde_json::Value::Null);
        variables.insert("messages".into(), messages.iter().map(as_json).collect());
        variables.insert("add_generation_prompt".into(), add_generation_prompt.into());
        variables.extend(extra.clone());
        let template = self.environment.get_template(NAME).map_err(fail)?;
        template.render(Serde(variables)).map_err(fail)
    }

    /// Renders a conversation as consecutive pieces of text; joined, they are [`Self::render`] without a generation prompt.
    /// The flag is true where the assistant speaks: its content up to and including its end-of-turn marker.
    ///
    /// A template with `{% generation %}` blocks says itself which text that is. `transformers` learns exactly the blocks;
    /// here, an eos token right behind a block is learnt with it, for without it nothing would teach the model to stop, and
    /// white space behind an eos at the end of a block is not.
    ///
    /// White space that a template puts after the marker is not part of the answer, so a model trained on the flagged
    /// pieces learns to stop at the marker.
    ///
    /// # Errors
    /// When the template refuses the conversation, or rewrites earlier turns once later ones follow, so that no piece of
    /// the text could be attributed to one turn.
    pub fn render_spans(&self, messages: &[ChatMessage]) -> Result<Vec<(String, bool)>> {
        spans::render(self, messages)
    }

    /// Whether conversations of these roles can be trained on: every text comes out once and as it went in, in order;
    /// user and assistant differ; a question ends as its answer begins, an answer ends in a special token without words of
    /// the template's own in front of it, and nothing is rewritten by what follows. `special(text)` is where the first special
    /// token of a text begins.
    ///
    /// # Errors
    /// What is wrong with the template; also when it refuses such a conversation.
    pub(crate) fn check(
        &self,
        roles: &[&str],
        special: &dyn Fn(&str) -> Option<usize>,
    ) -> Result<()> {
        check::check(self, roles, special)
    }

    /// The text of a special token (`eos_token`, …).
    pub(crate) fn special(&self, name: &str) -> Option<&str> {
        self.special.get(name).map(String::as_str)
    }
}

fn as_json(message: &ChatMessage) -> serde_json::Value {
    serde_json::json!({ "role": message.role, "content": message.content })
}

/// The engine nests what went wrong inside "could not render"; users need the innermost sentence.
fn with_causes(error: &minijinja::Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    fn special() -> BTreeMap<String, String> {
        BTreeMap::from([
            ("bos_token".to_string(), "<s>".to_string()),
            ("eos_token".to_string(), "</s>".to_string()),
        ])
    }

    fn one(source: &str, content: &str) -> Result<String> {
        ChatTemplate::with_date(source, special(), 1_709_209_445)?
            .render(&[ChatMessage::new("user", content)], true)
    }

    #[test]
    fn block_tags_leave_no_white_space_behind() {
        let source = "{% for m in messages %}\n    {% if true %}\n{{ m.content }}\n    {% endif %}\n{% endfor %}\nend\n";
        assert_eq!(one(source, "x").unwrap(), "x\nend");
    }

    #[test]
    fn python_methods_and_slices_work() {
        let source = "{{ messages[0]['content'].split('|')[-1].lstrip('\\n') }} {{ [1,2,3][::-1] | join('') }}";
        assert_eq!(one(source, "a|\nb").unwrap(), "b 321");
    }

    #[test]
    fn tojson_writes_what_python_writes() {
        let source =
            "{{ {'a': [1, 'é<b>'], 'c': none} | tojson }}|{{ {'a': [1]} | tojson(indent=2) }}";
        assert_eq!(
            one(source, "").unwrap(),
            "{\"a\": [1, \"é<b>\"], \"c\": null}|{\n  \"a\": [\n    1\n  ]\n}"
        );
    }

    #[test]
    fn raise_exception_is_an_error_with_its_own_words() {
        let error = one("{{ raise_exception('roles must alternate') }}", "").unwrap_err();
        assert!(
            error.to_string().contains("roles must alternate"),
            "{error}"
        );
    }

    #[test]
    fn the_clock_can_be_stopped() {
        // 2024-02-29 12:24:05 UTC, a Thursday.
        let source = "{{ strftime_now('%d %b %Y %A %j %H:%M:%S 100%%') }}";
        assert_eq!(
            one(source, "").unwrap(),
            "29 Feb 2024 Thursday 060 12:24:05 100%"
        );
        assert!(one("{{ strftime_now('%Q') }}", "").is_err());
    }

    #[test]
    fn generation_tags_keep_their_white_space_control() {
        let source = "a {%- generation -%} {{ messages[0].content }} {% endgeneration %} b";
        assert_eq!(one(source, "x").unwrap(), "ax  b");
    }

    #[test]
    fn special_tokens_and_extra_variables_reach_the_template() {
        let template = ChatTemplate::new(
            "{{ bos_token }}{{ pad_token }}{% if tools is none %}{{ mood }}{% endif %}",
            special(),
        )
        .unwrap();
        let mut extra = serde_json::Map::new();
        extra.insert("mood".into(), "calm".into());
        assert_eq!(template.render_with(&[], false, &extra).unwrap(), "<s>calm");
    }

    #[test]
    fn a_broken_template_is_an_error() {
        let error = ChatTemplate::new("{% if %}", special()).unwrap_err();
        assert!(error.to_string().contains("does not compile"), "{error}");
    }
}
