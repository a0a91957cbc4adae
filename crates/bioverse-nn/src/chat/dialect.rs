//! The Jinja dialect of `transformers`: what its environment offers to a template beyond the engine's own.
//! Nothing here knows what a conversation is.

use minijinja::value::Kwargs;
use minijinja::{Environment, Error, ErrorKind, State, Value, syntax::SyntaxConfig};
use serde::Serialize;

/// An environment with the filters and functions templates rely on.
pub(super) fn environment(unix_seconds: u64) -> Result<Environment<'static>, Error> {
    let mut environment = Environment::new();
    environment.set_syntax(
        SyntaxConfig::builder()
            .trim_blocks(true)
            .lstrip_blocks(true)
            .build()?,
    );
    environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
    environment.add_filter("tojson", to_json);
    environment.add_filter("generation", generation);
    environment.add_function("raise_exception", raise_exception);
    environment.add_function("strftime_now", move |format: String| {
        strftime(&format, unix_seconds)
    });
    Ok(environment)
}

fn raise_exception(message: String) -> Result<Value, Error> {
    Err(Error::new(ErrorKind::InvalidOperation, message))
}

/// Python's `json.dumps(value, ensure_ascii=False, indent=indent)`. The engine's own filter escapes HTML, which would
/// change the prompt.
fn to_json(value: Value, indent: Option<usize>, options: Kwargs) -> Result<String, Error> {
    let indent = match indent {
        Some(width) => Some(width),
        None => options.get("indent")?,
    };
    options.assert_all_used()?;
    let fail =
        |error: serde_json::Error| Error::new(ErrorKind::BadSerialization, error.to_string());
    let mut out = Vec::new();
    match indent {
        Some(width) => {
            let indent = " ".repeat(width);
            let style = serde_json::ser::PrettyFormatter::with_indent(indent.as_bytes());
            value
                .serialize(&mut serde_json::Serializer::with_formatter(&mut out, style))
                .map_err(fail)?;
        }
        None => value
            .serialize(&mut serde_json::Serializer::with_formatter(
                &mut out, Spaced,
            ))
            .map_err(fail)?,
    }
    String::from_utf8(out)
        .map_err(|error| Error::new(ErrorKind::BadSerialization, error.to_string()))
}

/// One line with a space after every comma and colon, as Python writes it.
struct Spaced;

impl serde_json::ser::Formatter for Spaced {
    fn begin_array_value<W: ?Sized + std::io::Write>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> std::io::Result<()> {
        writer.write_all(if first { b"" } else { b", " })
    }
    fn begin_object_key<W: ?Sized + std::io::Write>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> std::io::Result<()> {
        writer.write_all(if first { b"" } else { b", " })
    }
    fn begin_object_value<W: ?Sized + std::io::Write>(
        &mut self,
        writer: &mut W,
    ) -> std::io::Result<()> {
        writer.write_all(b": ")
    }
}

/// The variable that asks for marks.
pub(super) const MARKED: &str = "bioverse_marks_generation";
/// Before a generation block, and behind it: code points that Unicode promises never to be characters.
pub(super) const MARKS: [char; 2] = ['\u{fdd0}', '\u{fdd1}'];

/// What a generation block renders to: itself, between marks when they are asked for.
fn generation(state: &State<'_, '_>, text: String) -> String {
    match state.lookup(MARKED).is_some_and(|marked| marked.is_true()) {
        true => format!("{}{text}{}", MARKS[0], MARKS[1]),
        false => text,
    }
}

/// Replaces `{% generation %}` … `{% endgeneration %}`, with which a template says what the assistant writes, by a filter
/// block: unlike deleting the tags, this keeps their white-space control (`{%-`, `-%}`) and, as in `transformers`, their
/// scope. Also tells whether there were any.
pub(super) fn with_generation_blocks(source: &str) -> (String, bool) {
    let mut found = false;
    let mut out = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(start) = rest.find("{%") {
        let (text, tag) = rest.split_at(start);
        out.push_str(text);
        let Some(end) = tag.find("%}") else {
            rest = tag;
            break;
        };
        let (tag, after) = tag.split_at(end + 2);
        let inner = &tag[2..tag.len() - 2];
        let word = inner.trim_matches(|c: char| c == '-' || c == '+' || c.is_whitespace());
        match word {
            "generation" => {
                found = true;
                out.push_str(&tag.replacen(word, "filter generation", 1));
            }
            "endgeneration" => out.push_str(&tag.replacen(word, "endfilter", 1)),
            _ => out.push_str(tag),
        }
        rest = after;
    }
    out.push_str(rest);
    (out, found)
}

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
/// 1 January 1970 was a Thursday.
const WEEKDAYS: [&str; 7] = [
    "Thursday",
    "Friday",
    "Saturday",
    "Sunday",
    "Monday",
    "Tuesday",
    "Wednesday",
];

/// The part of C's `strftime` that concerns dates and times of day, in English and UTC.
fn strftime(format: &str, unix_seconds: u64) -> Result<String, Error> {
    let (days, second) = (unix_seconds / 86_400, unix_seconds % 86_400);
    let (year, day_of_year, month, day) = civil(days);
    let weekday = WEEKDAYS[(days % 7) as usize];
    let month_name = MONTHS[month as usize];
    let (hour, minute) = (second / 3600, second / 60 % 60);
    let mut out = String::new();
    let mut chars = format.chars();
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        let piece = match chars.next() {
            Some('Y') => year.to_string(),
            Some('y') => format!("{:02}", year % 100),
            Some('m') => format!("{:02}", month + 1),
            Some('d') => format!("{day:02}"),
            Some('e') => format!("{day:2}"),
            Some('j') => format!("{day_of_year:03}"),
            Some('B') => month_name.to_string(),
            Some('b' | 'h') => month_name[..3].to_string(),
            Some('A') => weekday.to_string(),
            Some('a') => weekday[..3].to_string(),
            Some('H') => format!("{hour:02}"),
            Some('M') => format!("{minute:02}"),
            Some('S') => format!("{:02}", second % 60),
            Some('F') => format!("{year}-{:02}-{day:02}", month + 1),
            Some('T') => format!("{hour:02}:{minute:02}:{:02}", second % 60),
            Some('%') => "%".to_string(),
            other => {
                let code = other.map_or_else(String::new, String::from);
                return Err(Error::new(
                    ErrorKind::InvalidOperation,
                    format!("strftime_now does not know the code `%{code}`"),
                ));
            }
        };
        out.push_str(&piece);
    }
    Ok(out)
}

/// Year, day of the year (from 1), month (from 0) and day (from 1) of a day counted from 1970-01-01.
fn civil(mut days: u64) -> (u64, u64, u64, u64) {
    let leap = |year: u64| {
        year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
    };
    let mut year = 1970;
    while days >= 365 + u64::from(leap(year)) {
        days -= 365 + u64::from(leap(year));
        year += 1;
    }
    let day_of_year = days + 1;
    let lengths = [
        31,
        28 + u64::from(leap(year)),
        31,
        30,
        31,
        30,
        31,
        31,
        30,
        31,
        30,
        31,
    ];
    let mut month = 0;
    for length in lengths {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    (year, day_of_year, month, days + 1)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn dates_match_the_calendar() {
        let at = |seconds| strftime("%F %T %a %j", seconds).unwrap();
        assert_eq!(at(0), "1970-01-01 00:00:00 Thu 001");
        assert_eq!(at(951_782_399), "2000-02-28 23:59:59 Mon 059");
        assert_eq!(at(951_782_400), "2000-02-29 00:00:00 Tue 060");
        assert_eq!(at(1_767_225_599), "2025-12-31 23:59:59 Wed 365");
        assert_eq!(at(4_107_542_400), "2100-03-01 00:00:00 Mon 060");
    }

    #[test]
    fn only_generation_tags_are_touched() {
        let source = "{%- generation %}{{ generation }}{% set x = 1 %}{%+ endgeneration -%}{% open";
        assert_eq!(
            with_generation_blocks(source),
            (
                "{%- filter generation %}{{ generation }}{% set x = 1 %}{%+ endfilter -%}{% open"
                    .into(),
                true
            )
        );
        let plain = "{{ generation }}{% if generation %}{% endif %}";
        assert_eq!(with_generation_blocks(plain), (plain.to_string(), false));
    }
}
