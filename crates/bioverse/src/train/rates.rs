//! Learning rates and decay by parameter path. Knows no optimiser and no module.

/// Parameters whose path matches.
#[derive(Debug, Clone, PartialEq)]
pub struct Rate {
    /// A dotted piece of the path, such as `projectors` or `llm.layers.3`: whole names, anywhere in it.
    pub path: String,
    /// The learning rate of the step is multiplied by this.
    pub factor: f64,
    /// Decay, if another than the optimiser's.
    pub weight_decay: Option<f64>,
}

/// Rules by path; the first that matches holds, and a path without one has factor 1.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Rates(pub Vec<Rate>);

impl Rates {
    /// Factor and decay of a parameter.
    pub fn of(&self, path: &str, weight_decay: f64) -> (f64, f64) {
        let whole = format!(".{path}.");
        let rule = self
            .0
            .iter()
            .find(|rate| whole.contains(&format!(".{}.", rate.path)));
        rule.map_or((1.0, weight_decay), |rate| {
            (rate.factor, rate.weight_decay.unwrap_or(weight_decay))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_rule_that_matches_whole_names_holds() {
        let rate = |path: &str, factor| Rate {
            path: path.into(),
            factor,
            weight_decay: None,
        };
        let rates = Rates(vec![
            Rate {
                weight_decay: Some(0.0),
                ..rate("task_query", 0.1)
            },
            rate("projectors", 0.5),
            rate("llm.layers.1", 2.0),
        ]);
        assert_eq!(rates.of("projectors.0.task_query", 0.01), (0.1, 0.0));
        assert_eq!(rates.of("projectors.0.layers.1.weight", 0.01), (0.5, 0.01));
        assert_eq!(rates.of("llm.layers.1.q.lora_a", 0.01).0, 2.0);
        assert_eq!(rates.of("llm.layers.10.q.lora_a", 0.01), (1.0, 0.01));
    }
}
