//! Text → label: what a free answer names. It knows no model.

use super::labels::Label;

/// Names of labels as words.
#[derive(Debug)]
pub struct Names {
    names: Vec<(Vec<String>, usize)>,
    answers: Vec<(Vec<String>, usize)>,
}

impl Names {
    /// Of a set.
    pub fn of(labels: &[Label]) -> Self {
        let each = || labels.iter().enumerate();
        let names = each().flat_map(|(at, label)| label.names.iter().map(move |n| (words(n), at)));
        Self {
            names: names.filter(|(words, _)| !words.is_empty()).collect(),
            answers: each()
                .map(|(at, label)| (words(&label.answer), at))
                .collect(),
        }
    }

    /// The label that a text is a name of or the answer of; else the label with the longest name in it, of equally long ones
    /// the one named first; else none.
    pub fn map(&self, text: &str) -> Option<usize> {
        let said = words(text);
        let whole = self.names.iter().chain(&self.answers);
        if let Some((_, label)) = whole.into_iter().find(|(words, _)| *words == said) {
            return Some(*label);
        }
        let within = self.names.iter().filter_map(|(name, label)| {
            let at = said.windows(name.len()).position(|words| words == name)?;
            let length: usize = name.iter().map(|word| word.chars().count() + 1).sum();
            Some((length, std::cmp::Reverse(at), *label))
        });
        within
            .max_by_key(|(length, at, _)| (*length, *at))
            .map(|(.., label)| label)
    }
}

/// Lower-case words; `+` belongs to a word (`CD14+`), other signs divide.
fn words(text: &str) -> Vec<String> {
    text.split(|c: char| !c.is_alphanumeric() && c != '+')
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Names {
        let label = |name: &str, other: &str, answer: &str| Label {
            name: name.into(),
            names: vec![name.into(), other.into()],
            term: None,
            answer: answer.into(),
        };
        Names::of(&[
            label("B", "B cell", "It is a B cell."),
            label("CD14+ Mono", "CD14+ monocyte", "It is a CD14+ monocyte."),
            label("Mono", "monocyte", "It is a monocyte."),
        ])
    }

    #[test]
    fn whole_answers_first_then_the_longest_name() {
        let names = names();
        assert_eq!(names.map("b CELL"), Some(0));
        assert_eq!(names.map("It is a monocyte."), Some(2));
        assert_eq!(
            names.map("This must be a CD14+ monocyte, I think."),
            Some(1)
        );
        assert_eq!(names.map("A monocyte or a B cell"), Some(2));
        assert_eq!(names.map("CD14 monocyte"), Some(2), "another gene product");
    }

    #[test]
    fn parts_of_words_are_no_names() {
        assert_eq!(names().map("Abacus"), None);
        assert_eq!(names().map(""), None);
    }
}
