//! What a text says, as numbers that do not depend on any tokenizer: a folded bag of words. From which text, and what learns it,
//! is unknown here.

use bioverse_core::fingerprint;

/// Bins into which words are folded.
pub(super) const BAG_LEN: usize = 512;

/// A vector of length 3: `sqrt(occurrences)` of the words of at least three letters or digits, in lower case, folded into bins by a
/// hash. Empty where the text has no such word.
pub(super) fn bag(text: &str) -> Vec<f32> {
    let mut bins = vec![0f32; BAG_LEN];
    let lower = text.to_lowercase();
    for word in lower.split(|c: char| !c.is_alphanumeric()) {
        if word.chars().count() >= 3 {
            bins[(fingerprint::hash(word.as_bytes()) % BAG_LEN as u64) as usize] += 1.0;
        }
    }
    let length = bins.iter().sum::<f32>().sqrt();
    if length == 0.0 {
        return vec![];
    }
    bins.iter()
        .map(|count| 3.0 * count.sqrt() / length)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bag_has_one_length_and_forgets_order_and_case() {
        let bins = bag("Binds ATP; binds zinc.");
        let length = bins.iter().map(|x| x * x).sum::<f32>().sqrt();
        assert!((length - 3.0).abs() < 1e-5);
        assert_eq!(bins, bag("zinc atp BINDS binds"));
        assert_ne!(bins, bag("zinc atp binds"));
        assert!(bag("of a -").is_empty());
    }
}
