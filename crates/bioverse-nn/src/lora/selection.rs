//! Which modules of a model a LoRA configuration means, and at which rank: PEFT's rules, written anew.
//!
//! Works on dotted module paths alone (`model.layers.0.self_attn.q_proj`). Knows no tensor and no file.
//!
//! The rules are those of `check_target_module_exists` and `get_pattern_key` of the `peft` package.

use fancy_regex::Regex;

use super::{ALL_LINEAR, LoraConfig, Modules};

/// A configuration with its patterns compiled.
#[derive(Debug)]
pub(crate) struct Selection {
    config: LoraConfig,
    targets: Names,
    excluded: Option<Names>,
    /// Modules stored whole, which no adapter sits on.
    whole: Vec<Regex>,
    /// What comes before a layer's number.
    layers: Vec<Regex>,
    ranks: Vec<(Regex, usize)>,
    alphas: Vec<(Regex, f64)>,
}

/// Names as a list of path endings, or as one pattern for the whole path.
#[derive(Debug)]
enum Names {
    Endings(Vec<String>),
    Pattern(Regex),
}

/// Rank and scale of the adapter on one module.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Rank {
    pub(crate) r: usize,
    /// The factor on the side path.
    pub(crate) scaling: f64,
}

impl Selection {
    /// Compiles the patterns of `config`; a pattern that is none is named in the error.
    pub(crate) fn new(config: &LoraConfig) -> Result<Self, String> {
        let whole = config.modules_to_save.iter();
        let whole = whole.map(|name| {
            regex(
                "modules_to_save",
                &format!(r"^(?:|.*\.)(?:{name})(?:$|\..*)"),
            )
        });
        let layers = match config.layers_pattern.is_empty() {
            true => vec![regex("layers_pattern", r"^.*?\.[^.]*\.(\d+)\.")?],
            false => {
                let patterns = config.layers_pattern.iter();
                let patterns = patterns
                    .map(|p| regex("layers_pattern", &format!(r"^(?:|.*?\.)(?:{p})\.(\d+)\.")));
                patterns.collect::<Result<_, _>>()?
            }
        };
        let targets = match &config.target_pattern {
            Some(pattern) => Names::pattern("target_modules", pattern)?,
            None => Names::Endings(config.target_modules.clone()),
        };
        let excluded = match &config.exclude_modules {
            None => None,
            Some(Modules::List(list)) => Some(Names::Endings(list.clone())),
            Some(Modules::Pattern(pattern)) => Some(Names::pattern("exclude_modules", pattern)?),
        };
        Ok(Self {
            targets,
            excluded,
            whole: whole.collect::<Result<_, _>>()?,
            layers,
            ranks: patterns("rank_pattern", config.rank_pattern.iter())?,
            alphas: patterns("alpha_pattern", config.alpha_pattern.iter())?,
            config: config.clone(),
        })
    }

    /// Whether the linear layer at `path` carries an adapter.
    pub(crate) fn targets(&self, path: &str) -> bool {
        let excluded = self
            .excluded
            .as_ref()
            .is_some_and(|names| names.matches(path));
        let stored_whole = self.whole.iter().any(|whole| matches(whole, path));
        if excluded || stored_whole || !self.targets.matches(path) {
            return false;
        }
        match (&self.config.layers_to_transform, self.targets.names(path)) {
            (Some(layers), false) if !layers.is_empty() => self
                .layer(path)
                .is_some_and(|layer| layers.contains(&layer)),
            _ => true,
        }
    }

    /// Whether the parameters of the module at `path` are stored whole.
    pub(crate) fn stores(&self, path: &str) -> bool {
        let names = &self.config.modules_to_save;
        names.iter().any(|name| path.ends_with(name.as_str()))
    }

    /// Rank and scale at `path`: those of the first pattern that matches it, or the usual ones.
    pub(crate) fn rank(&self, path: &str) -> Rank {
        let r = first(&self.ranks, path).unwrap_or(self.config.r);
        let alpha = first(&self.alphas, path).unwrap_or(self.config.lora_alpha);
        let divisor = match self.config.use_rslora {
            true => (r as f64).sqrt(),
            false => r as f64,
        };
        Rank {
            r,
            scaling: alpha / divisor,
        }
    }

    /// The number of the layer that `path` lies in.
    fn layer(&self, path: &str) -> Option<usize> {
        let captures = |pattern: &Regex| pattern.captures(path).ok().flatten();
        let found = self.layers.iter().find_map(captures)?;
        found.get(1)?.as_str().parse().ok()
    }
}

impl Names {
    fn pattern(key: &str, pattern: &str) -> Result<Self, String> {
        regex(key, &format!("^(?:{pattern})$")).map(Self::Pattern)
    }

    fn matches(&self, path: &str) -> bool {
        match self {
            Self::Pattern(pattern) => matches(pattern, path),
            Self::Endings(names) => names.iter().any(|name| {
                (name == ALL_LINEAR && path != "lm_head")
                    || path
                        .strip_suffix(name.as_str())
                        .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
            }),
        }
    }

    /// Whether `path` stands in the list as it is, which no choice of layers overrides, or a pattern decides alone.
    fn names(&self, path: &str) -> bool {
        match self {
            Self::Pattern(_) => true,
            Self::Endings(names) => names.iter().any(|name| name == path),
        }
    }
}

fn patterns<'a, T: Copy + 'a>(
    key: &str,
    of: impl Iterator<Item = (&'a str, T)>,
) -> Result<Vec<(Regex, T)>, String> {
    of.map(|(pattern, value)| {
        let regex = regex(key, &format!(r"^(?:.*\.)?(?:{pattern})$"))?;
        Ok((regex, value))
    })
    .collect()
}

fn first<T: Copy>(patterns: &[(Regex, T)], path: &str) -> Option<T> {
    let found = patterns.iter().find(|(pattern, _)| matches(pattern, path));
    found.map(|(_, value)| *value)
}

/// A pattern that gives up (the engine bounds its work) matches nothing.
fn matches(pattern: &Regex, path: &str) -> bool {
    pattern.is_match(path).unwrap_or(false)
}

fn regex(key: &str, pattern: &str) -> Result<Regex, String> {
    /// Longest pattern compiled.
    const LONGEST: usize = 4096;
    if pattern.len() > LONGEST {
        return Err(format!(
            "`{key}` has a pattern of more than {LONGEST} bytes"
        ));
    }
    Regex::new(pattern)
        .map_err(|e| format!("`{key}` holds `{pattern}`, which is no regular expression: {e}"))
}

#[cfg(test)]
mod tests;
