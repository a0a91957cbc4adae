//! How a placeholder is written: `<name>` with a name of the form `[a-z][a-z0-9-]*`. `\<name>` is the literal text
//! `<name>`; any other `<` or `\` is ordinary text. Which names mean something is unknown here.

/// A part of a text.
pub(crate) enum Token<'a> {
    /// Ordinary text.
    Text(&'a str),
    /// `<name>`.
    Name(&'a str),
    /// `\<name>`.
    Escaped(&'a str),
}

/// Splits text at everything of the form `<name>`.
pub(crate) fn scan(text: &str) -> impl Iterator<Item = Token<'_>> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let first = rest.chars().next()?;
        let escaped = rest.strip_prefix('\\').and_then(name_at);
        let (token, length) = match (name_at(rest), escaped) {
            (Some(name), _) => (Token::Name(name), name.len() + "<>".len()),
            (None, Some(name)) => (Token::Escaped(name), name.len() + r"\<>".len()),
            (None, None) => {
                let after = first.len_utf8();
                let next = rest[after..].find(['<', '\\']);
                let length = next.map_or(rest.len(), |at| after + at);
                (Token::Text(&rest[..length]), length)
            }
        };
        rest = &rest[length..];
        Some(token)
    })
}

/// Writes text so that nothing in it is a placeholder: each `<name>` gets a backslash. For text that nobody wrote with
/// placeholders in mind, such as descriptions from a database or an answer that a model gave.
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('<') {
        escaped.push_str(&rest[..at]);
        if name_at(&rest[at..]).is_some() {
            escaped.push('\\');
        }
        escaped.push('<');
        rest = &rest[at + 1..];
    }
    escaped + rest
}

/// The text as a reader sees it: the inverse of [`escape`].
pub fn unescape(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for token in scan(text) {
        match token {
            Token::Text(text) => plain.push_str(text),
            Token::Name(name) | Token::Escaped(name) => plain.extend(["<", name, ">"]),
        }
    }
    plain
}

/// The names of the placeholders of a text, in order; escaped ones are none.
pub fn names(text: &str) -> impl Iterator<Item = &str> {
    scan(text).filter_map(|token| match token {
        Token::Name(name) => Some(name),
        Token::Text(_) | Token::Escaped(_) => None,
    })
}

/// The text with each placeholder for which `other` gives a text replaced by that; everything else stays as it was written.
pub fn replace(text: &str, mut other: impl FnMut(&str) -> Option<String>) -> String {
    let part = |token| match token {
        Token::Text(text) => text.to_owned(),
        Token::Escaped(name) => format!("\\<{name}>"),
        Token::Name(name) => other(name).unwrap_or_else(|| format!("<{name}>")),
    };
    scan(text).map(part).collect()
}

/// Whether `name` can stand in a placeholder.
pub fn is_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_lowercase()) && name.chars().all(in_name)
}

/// Names for a message.
pub(crate) fn listed(names: &[&str]) -> String {
    if names.is_empty() {
        "none".into()
    } else {
        names.join(", ")
    }
}

fn in_name(c: char) -> bool {
    c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-'
}

/// The name when `text` starts with `<name>`.
fn name_at(text: &str) -> Option<&str> {
    let inside = text.strip_prefix('<')?;
    let (name, rest) = inside.split_at(inside.find(|c| !in_name(c))?);
    (rest.starts_with('>') && is_name(name)).then_some(name)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn placeholders_are_found_and_replaced_one_by_one() {
        let text = r"<rna> and \<rna>, a<b <dna> <rna>";
        assert_eq!(
            super::names(text).collect::<Vec<_>>(),
            ["rna", "dna", "rna"]
        );
        let mut count = 0;
        let replaced = replace(text, |name| {
            count += usize::from(name == "rna");
            (name == "rna" && count == 2).then(|| "it".into())
        });
        assert_eq!(replaced, r"<rna> and \<rna>, a<b <dna> it");
        assert_eq!(replace(text, |_| None), text);
    }

    #[test]
    fn names() {
        for good in ["a", "single-cell", "h5"] {
            assert!(is_name(good), "{good}");
        }
        for bad in ["", "A", "1a", "-a", "a b", "a_b", "é"] {
            assert!(!is_name(bad), "{bad}");
        }
    }

    #[test]
    fn only_placeholder_shapes_are_escaped() {
        assert_eq!(
            escape("<rna> a<b C/C=C\\C <|user|> <B> <rna"),
            "\\<rna> a<b C/C=C\\C <|user|> <B> <rna"
        );
        assert_eq!(
            unescape("\\<rna> a \\< b \\<B> <dna> \\"),
            "<rna> a \\< b \\<B> <dna> \\"
        );
    }

    proptest! {
        /// Texts dense in the characters that matter.
        #[test]
        fn escaping_hides_every_placeholder_and_nothing_else(text in r"([<>\\a-cA1é-]|<a>){0,12}") {
            let escaped = escape(&text);
            prop_assert!(!scan(&escaped).any(|token| matches!(token, Token::Name(_))));
            prop_assert_eq!(unescape(&escaped), text);
        }
    }
}
