//! Porter's stemmer ("An algorithm for suffix stripping", Program 14(3), 1980) with the departures that nltk makes by
//! default, because the metrics that stem are defined by that program. Words are in lower case.
//!
//! In the paper's terms: `m` is the number of vowel-consonant sequences of a stem, `*v*` = it has a vowel, `*d` = it ends in a
//! double consonant, `*o` = it ends consonant, vowel, consonant and the last is not w, x or y.

/// Words that the rules would get wrong, with their stems.
const IRREGULAR: [(&str, &str); 16] = [
    ("sky", "sky"),
    ("skies", "sky"),
    ("dying", "die"),
    ("lying", "lie"),
    ("tying", "tie"),
    ("news", "news"),
    ("innings", "inning"),
    ("inning", "inning"),
    ("outings", "outing"),
    ("outing", "outing"),
    ("cannings", "canning"),
    ("canning", "canning"),
    ("howe", "howe"),
    ("proceed", "proceed"),
    ("exceed", "exceed"),
    ("succeed", "succeed"),
];

/// Step 2: suffix → replacement where `m > 0`.
const STEP_2: [(&str, &str); 21] = [
    ("ational", "ate"),
    ("tional", "tion"),
    ("enci", "ence"),
    ("anci", "ance"),
    ("izer", "ize"),
    ("bli", "ble"),
    ("alli", "al"),
    ("entli", "ent"),
    ("eli", "e"),
    ("ousli", "ous"),
    ("ization", "ize"),
    ("ation", "ate"),
    ("ator", "ate"),
    ("alism", "al"),
    ("iveness", "ive"),
    ("fulness", "ful"),
    ("ousness", "ous"),
    ("aliti", "al"),
    ("iviti", "ive"),
    ("biliti", "ble"),
    ("fulli", "ful"),
];

/// Step 3: suffix → replacement where `m > 0`.
const STEP_3: [(&str, &str); 7] = [
    ("icate", "ic"),
    ("ative", ""),
    ("alize", "al"),
    ("iciti", "ic"),
    ("ical", "ic"),
    ("ful", ""),
    ("ness", ""),
];

/// Step 4: suffixes that go where `m > 1`; `ion` only after s or t.
const STEP_4: [&str; 19] = [
    "al", "ance", "ence", "er", "ic", "able", "ible", "ant", "ement", "ment", "ent", "ion", "ou",
    "ism", "ate", "iti", "ous", "ive", "ize",
];

/// The stem of a word.
pub fn stem(word: &str) -> String {
    if let Some((_, stem)) = IRREGULAR.iter().find(|(from, _)| *from == word) {
        return (*stem).to_owned();
    }
    let mut word: Vec<char> = word.chars().collect();
    if word.len() > 2 {
        for step in [
            plural,
            past,
            final_y,
            double_suffix,
            suffix,
            last_suffix,
            final_e,
            double_l,
        ] {
            word = step(word);
        }
    }
    word.into_iter().collect()
}

/// 1a: plurals.
fn plural(word: Vec<char>) -> Vec<char> {
    if ends(&word, "ies") && word.len() == 4 {
        return replaced(&word, "ies", "ie");
    }
    let rules = [("sses", "ss"), ("ies", "i"), ("ss", "ss"), ("s", "")];
    let rule = rules.into_iter().find(|(suffix, _)| ends(&word, suffix));
    match rule {
        Some((suffix, replacement)) => replaced(&word, suffix, replacement),
        None => word,
    }
}

/// 1b: `-ed` and `-ing`.
fn past(word: Vec<char>) -> Vec<char> {
    if ends(&word, "ied") {
        let replacement = if word.len() == 4 { "ie" } else { "i" };
        return replaced(&word, "ied", replacement);
    }
    if ends(&word, "eed") {
        return match measure(without(&word, "eed")) > 0 {
            true => replaced(&word, "eed", "ee"),
            false => word,
        };
    }
    let shorter = ["ed", "ing"].into_iter().find_map(|suffix| {
        let stem = ends(&word, suffix).then(|| without(&word, suffix))?;
        has_vowel(stem).then(|| stem.to_vec())
    });
    shorter.map_or(word, tidy_past)
}

/// What is left after `-ed` or `-ing` gets back the letter that was dropped when it was added, or loses the one doubled.
fn tidy_past(mut stem: Vec<char>) -> Vec<char> {
    if ["at", "bl", "iz"].iter().any(|suffix| ends(&stem, suffix)) {
        stem.push('e');
    } else if double_consonant(&stem) {
        if !matches!(stem.last(), Some('l' | 's' | 'z')) {
            stem.pop();
        }
    } else if measure(&stem) == 1 && consonant_vowel_consonant(&stem) {
        stem.push('e');
    }
    stem
}

/// 1c: `y → i` after a consonant that is not the first letter.
fn final_y(mut word: Vec<char>) -> Vec<char> {
    let before = word.len().saturating_sub(2);
    if word.len() > 2 && word.last() == Some(&'y') && consonants(&word)[before] {
        word.pop();
        word.push('i');
    }
    word
}

/// 2: double suffixes to single ones.
fn double_suffix(word: Vec<char>) -> Vec<char> {
    if ends(&word, "alli") && measure(without(&word, "alli")) > 0 {
        return double_suffix(replaced(&word, "alli", "al"));
    }
    if let Some((suffix, replacement)) = longest_first(&word, &STEP_2) {
        return conditional(word, suffix, replacement, 0);
    }
    // The `l` of `logi` counts for the stem, so that `geo` and `theo` are long enough.
    match ends(&word, "logi") && measure(&word[..word.len() - 3]) > 0 {
        true => replaced(&word, "logi", "log"),
        false => word,
    }
}

/// 3: `-ic-`, `-full`, `-ness` and their like.
fn suffix(word: Vec<char>) -> Vec<char> {
    match longest_first(&word, &STEP_3) {
        Some((suffix, replacement)) => conditional(word, suffix, replacement, 0),
        None => word,
    }
}

/// 4: single suffixes of long stems.
fn last_suffix(word: Vec<char>) -> Vec<char> {
    let Some(suffix) = STEP_4.into_iter().find(|suffix| ends(&word, suffix)) else {
        return word;
    };
    let after = without(&word, suffix).last();
    if suffix == "ion" && !matches!(after, Some('s' | 't')) {
        return word;
    }
    conditional(word, suffix, "", 1)
}

/// 5a: a final `e`.
fn final_e(mut word: Vec<char>) -> Vec<char> {
    if word.last() == Some(&'e') {
        let stem = &word[..word.len() - 1];
        let m = measure(stem);
        if m > 1 || (m == 1 && !consonant_vowel_consonant(stem)) {
            word.pop();
        }
    }
    word
}

/// 5b: `-ll` of long words.
fn double_l(mut word: Vec<char>) -> Vec<char> {
    if ends(&word, "ll") && measure(&word[..word.len() - 1]) > 1 {
        word.pop();
    }
    word
}

/// The first rule of a table whose suffix the word has; tables list a suffix before those that it ends in.
fn longest_first<'t>(word: &[char], table: &'t [(&str, &str)]) -> Option<&'t (&'t str, &'t str)> {
    table.iter().find(|(suffix, _)| ends(word, suffix))
}

/// Replaces the suffix if what stands before it has a measure above `m`.
fn conditional(word: Vec<char>, suffix: &str, replacement: &str, m: usize) -> Vec<char> {
    match measure(without(&word, suffix)) > m {
        true => replaced(&word, suffix, replacement),
        false => word,
    }
}

fn ends(word: &[char], suffix: &str) -> bool {
    suffix.len() <= word.len()
        && word[word.len() - suffix.len()..]
            .iter()
            .copied()
            .eq(suffix.chars())
}

/// The word without a suffix that it has (suffixes are ASCII).
fn without<'w>(word: &'w [char], suffix: &str) -> &'w [char] {
    &word[..word.len().saturating_sub(suffix.len())]
}

fn replaced(word: &[char], suffix: &str, replacement: &str) -> Vec<char> {
    let stem = without(word, suffix).iter().copied();
    stem.chain(replacement.chars()).collect()
}

/// Which letters are consonants: all but a, e, i, o, u, and but a y after a consonant.
fn consonants(word: &[char]) -> Vec<bool> {
    let mut flags: Vec<bool> = Vec::with_capacity(word.len());
    for letter in word {
        flags.push(match letter {
            'a' | 'e' | 'i' | 'o' | 'u' => false,
            'y' => !flags.last().copied().unwrap_or(false),
            _ => true,
        });
    }
    flags
}

/// `m`.
fn measure(stem: &[char]) -> usize {
    let flags = consonants(stem);
    flags.windows(2).filter(|pair| !pair[0] && pair[1]).count()
}

/// `*v*`
fn has_vowel(stem: &[char]) -> bool {
    consonants(stem).contains(&false)
}

/// `*d`
fn double_consonant(word: &[char]) -> bool {
    matches!(word, [.., a, b] if a == b) && consonants(word).last() == Some(&true)
}

/// `*o`; a stem of vowel and consonant counts too.
fn consonant_vowel_consonant(word: &[char]) -> bool {
    match consonants(word).as_slice() {
        [.., true, false, true] => !matches!(word.last(), Some('w' | 'x' | 'y')),
        [false, true] => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_of_the_paper() {
        for (word, want) in [
            ("caresses", "caress"),
            ("ponies", "poni"),
            ("cats", "cat"),
            ("feed", "feed"),
            ("agreed", "agre"),
            ("plastered", "plaster"),
            ("motoring", "motor"),
            ("sing", "sing"),
            ("hopping", "hop"),
            ("falling", "fall"),
            ("filing", "file"),
            ("happy", "happi"),
            ("relational", "relat"),
            ("conditional", "condit"),
            ("radically", "radic"),
            ("vietnamization", "vietnam"),
            ("electricity", "electr"),
            ("hopefulness", "hope"),
            ("adjustable", "adjust"),
            ("replacement", "replac"),
            ("adoption", "adopt"),
            ("probate", "probat"),
            ("rate", "rate"),
            ("controlling", "control"),
            ("rolls", "roll"),
        ] {
            assert_eq!(stem(word), want, "{word}");
        }
    }

    #[test]
    fn the_departures_of_nltk() {
        for (word, want) in [
            ("dies", "die"),
            ("died", "die"),
            ("spied", "spi"),
            ("enjoy", "enjoy"),
            ("sky", "sky"),
            ("by", "by"),
            ("geology", "geolog"),
            ("α-helix", "α-helix"),
            ("kinases", "kinas"),
        ] {
            assert_eq!(stem(word), want, "{word}");
        }
    }

    #[test]
    fn odd_words_have_stems() {
        for word in ["", "y", "yyyy", "ing", "ed", "ééé", "sss", "ion"] {
            assert!(
                stem(word).chars().count() <= word.chars().count() + 1,
                "{word}"
            );
        }
    }
}
