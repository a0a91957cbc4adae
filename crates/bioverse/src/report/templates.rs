//! Markup: the templates of every report and the engine that fills them. Every value is escaped by the engine; no template
//! marks anything as safe. What is drawn or told is not known here.

use std::collections::BTreeMap;

use minijinja::value::Serde;
use minijinja::{Environment, UndefinedBehavior, syntax::SyntaxConfig};
use serde::Serialize;

use super::chart::Chart;
use super::map::Map;
use crate::error::{Error, Result};

/// Templates by name; the name's ending decides how values are escaped.
const TEMPLATES: [(&str, &str); 11] = [
    ("page.html", include_str!("page.html")),
    ("drawings.html", include_str!("drawings.html")),
    ("explain.html", include_str!("explain.html")),
    ("sweep.html", include_str!("sweep.html")),
    ("eval.html", include_str!("eval.html")),
    ("plot.html", include_str!("plot.html")),
    ("points.html", include_str!("points.html")),
    ("bars.html", include_str!("bars.html")),
    ("confusion.html", include_str!("confusion.html")),
    ("labelled.html", include_str!("labelled.html")),
    ("style.css", include_str!("style.css")),
];

/// The legend, the `<svg>` and the numbers of a chart, without heading and caption.
pub fn chart(chart: &Chart) -> Result<String> {
    fill("plot.html", &BTreeMap::from([("drawing", chart)]))
}

/// The `<svg>` of a map.
pub fn points(map: &Map) -> Result<String> {
    fill("points.html", &BTreeMap::from([("drawing", map)]))
}

/// Any other drawing by its template.
pub fn drawing(template: &str, value: &impl Serialize) -> Result<String> {
    fill(template, &BTreeMap::from([("drawing", value)]))
}

/// A template of the report with `value`, escaped.
pub fn fill(template: &str, value: &impl Serialize) -> Result<String> {
    let fail =
        |error: minijinja::Error| Error::Run(format!("the page cannot be written: {error:#}"));
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    let mut syntax = SyntaxConfig::builder();
    let syntax = syntax.trim_blocks(true).lstrip_blocks(true).build();
    environment.set_syntax(syntax.map_err(fail)?);
    for (name, source) in TEMPLATES {
        environment.add_template(name, source).map_err(fail)?;
    }
    let template = environment.get_template(template).map_err(fail)?;
    template.render(Serde(value)).map_err(fail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_the_templates_escapes_the_escaping() {
        for (name, source) in TEMPLATES {
            for word in [
                "|safe",
                "| safe",
                "autoescape",
                "http:",
                "https:",
                "<script",
            ] {
                assert!(!source.contains(word), "{name} holds {word}");
            }
        }
    }
}
