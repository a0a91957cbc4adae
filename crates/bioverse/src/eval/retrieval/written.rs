//! A record written out, for baselines that read text. It knows no model but a tokenizer.

use bioverse_core::Record;
use bioverse_nn::Tokenizer;
use serde_json::Value;

use super::super::rows::text_of;

/// A record as text: a string as it is, a cell as its genes from the most to the least expressed (Cell2Sentence, Levine et
/// al. 2023), anything else as JSON.
pub fn in_words(record: &Record) -> String {
    genes(record).map_or_else(|| text_of(record), |genes| genes.join(" "))
}

/// Names of a cell's genes, the largest value first; `None` for what is no cell.
pub fn genes(record: &Record) -> Option<Vec<String>> {
    let (genes, values) = (
        record.get("genes")?.as_array()?,
        record.get("values")?.as_array()?,
    );
    let pairs = genes.iter().zip(values).filter_map(|(gene, value)| {
        let value = value.as_f64().filter(|value| *value > 0.0)?;
        Some((gene.as_str()?, value))
    });
    let mut pairs: Vec<(&str, f64)> = pairs.collect();
    pairs.sort_by(|a, b| b.1.total_cmp(&a.1).then_with(|| a.0.cmp(b.0)));
    Some(pairs.into_iter().map(|(gene, _)| gene.to_owned()).collect())
}

/// The first tokens of a text; the whole text where it has no more.
pub fn cut(tokenizer: &Tokenizer, text: &str, tokens: usize) -> String {
    // No token is shorter than a byte, so a text of so few bytes need not be tokenised.
    if text.len() <= tokens {
        return text.to_owned();
    }
    let Ok(ids) = tokenizer.encode(text) else {
        return text.chars().take(tokens).collect();
    };
    if ids.len() <= tokens {
        return text.to_owned();
    }
    let kept = tokenizer.decode(&ids[..tokens]);
    kept.unwrap_or_else(|_| text.chars().take(tokens).collect())
}

/// Whether a record says anything when it is written out.
pub fn is_readable(record: &Record) -> bool {
    matches!(record, Value::String(text) if !text.trim().is_empty())
        || genes(record).is_some_and(|genes| !genes.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_cell_is_its_genes_from_the_most_expressed_down() {
        let cell =
            json!({"genes": ["LYZ", "CD3D", "GNLY", "ACTB"], "values": [1.0, 3.0, 0.0, 3.0]});
        assert_eq!(in_words(&cell), "ACTB CD3D LYZ");
        assert_eq!(in_words(&json!("CCO")), "CCO");
        assert!(is_readable(&cell) && !is_readable(&json!({"x": 1})));
    }
}
