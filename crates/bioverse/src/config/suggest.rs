//! Did you mean …? Names that were mistyped, anywhere: keys, fields, modalities.

/// The candidate that `word` most likely stands for, if any is near.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let plain = |text: &str| text.to_lowercase().replace('-', "_");
    let word = plain(word);
    candidates
        .into_iter()
        .map(|candidate| (likeness(&word, &plain(candidate)), candidate))
        .filter(|(likeness, _)| *likeness >= 0.82)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}

/// From 0 to 1. One slip of the finger is alike in short words too, where a measure of shared letters sees little.
fn likeness(word: &str, candidate: &str) -> f64 {
    let slip = word.len() > 2 && strsim::damerau_levenshtein(word, candidate) == 1;
    strsim::jaro_winkler(word, candidate).max(if slip { 0.9 } else { 0.0 })
}

/// The end of an error sentence about `word`: the nearest candidate, or else all of them.
pub fn hint<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> String {
    let candidates: Vec<&str> = candidates.into_iter().collect();
    match nearest(word, candidates.iter().copied()) {
        Some(near) => format!("; did you mean `{near}`?"),
        None if candidates.is_empty() => String::new(),
        None => format!(" (there are: {})", quoted(&candidates)),
    }
}

/// `` `a`, `b` ``
pub fn quoted(names: &[&str]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    quoted.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typing_mistakes_are_near_and_other_words_are_not() {
        let keys = [
            "temperature",
            "text_space",
            "lr",
            "batch_size",
            "warmup_steps",
        ];
        for (word, expected) in [
            ("temprature", Some("temperature")),
            ("batchsize", Some("batch_size")),
            ("text-space", Some("text_space")),
            ("warm_up_steps", Some("warmup_steps")),
            ("LR", Some("lr")),
            ("gpu", None),
            ("rl", None),
            ("text_sapce", Some("text_space")),
        ] {
            assert_eq!(nearest(word, keys), expected, "{word}");
        }
    }

    #[test]
    fn short_names_swapped_are_near() {
        assert_eq!(nearest("tyo", ["toy", "rna"]), Some("toy"));
    }

    #[test]
    fn without_a_near_one_all_are_listed() {
        assert_eq!(hint("gpu", ["lr", "steps"]), " (there are: `lr`, `steps`)");
        assert_eq!(hint("gpu", []), "");
    }
}
