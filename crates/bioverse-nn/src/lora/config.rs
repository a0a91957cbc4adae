//! What a LoRA is: the keys of `adapter_config.json` that say what it computes.
//!
//! Plain values with PEFT's names; the file around them is the business of the adapter module.

use std::fmt;
use std::path::Path;

use serde::de::{Deserializer, MapAccess, Visitor};
use serde::ser::{SerializeMap, Serializer};
use serde::{Deserialize, Serialize};

use crate::adapter::read_config;
use crate::error::Result;

/// `adapter_config.json`, PEFT names; unknown keys of a file are ignored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LoraConfig {
    /// Rank.
    pub r: usize,
    /// Numerator of the scale `lora_alpha / r`.
    pub lora_alpha: f64,
    /// Dropout on the side path's input while training.
    #[serde(default)]
    pub lora_dropout: f64,
    /// Module-name suffixes, or `["all-linear"]`.
    pub target_modules: Vec<String>,
    /// Scale by `lora_alpha / sqrt(r)`.
    #[serde(default)]
    pub use_rslora: bool,
    /// A regular expression that whole module paths match, in place of `target_modules`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_pattern: Option<String>,
    /// Modules left alone though they are targets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exclude_modules: Option<Modules>,
    /// Numbers of the only layers that get adapters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layers_to_transform: Option<Vec<usize>>,
    /// What layers are called where `layers_to_transform` counts them; any name when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub layers_pattern: Vec<String>,
    /// Ranks of modules that have another one, by a pattern for the end of their path; the first that matches counts.
    #[serde(default, skip_serializing_if = "Patterns::is_empty")]
    pub rank_pattern: Patterns<usize>,
    /// The same for `lora_alpha`.
    #[serde(default, skip_serializing_if = "Patterns::is_empty")]
    pub alpha_pattern: Patterns<f64>,
    /// Endings of the names of modules that are trained and stored whole, such as `lm_head`.
    #[serde(default)]
    pub modules_to_save: Vec<String>,
}

impl Default for LoraConfig {
    /// Rank 8 and alpha 16 on the query and value projections, no dropout.
    fn default() -> Self {
        Self {
            r: 8,
            lora_alpha: 16.0,
            lora_dropout: 0.0,
            target_modules: vec!["q_proj".to_owned(), "v_proj".to_owned()],
            use_rslora: false,
            target_pattern: None,
            exclude_modules: None,
            layers_to_transform: None,
            layers_pattern: Vec::new(),
            rank_pattern: Patterns::default(),
            alpha_pattern: Patterns::default(),
            modules_to_save: Vec::new(),
        }
    }
}

impl LoraConfig {
    /// Reads `dir/adapter_config.json`; refuses kinds of adapters that would silently compute something else.
    pub fn load(dir: &Path) -> Result<Self> {
        read_config(dir)
    }

    /// The factor on the side path, where no pattern gives another rank or alpha.
    pub fn scaling(&self) -> f64 {
        let r = self.r as f64;
        match self.use_rslora {
            true => self.lora_alpha / r.sqrt(),
            false => self.lora_alpha / r,
        }
    }
}

/// Module names: a list of path endings, or one regular expression for whole paths.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Modules {
    /// A regular expression.
    Pattern(String),
    /// Endings of paths.
    List(Vec<String>),
}

/// Values by pattern, in the order of the file: the first pattern that matches counts.
#[derive(Debug, Clone, PartialEq)]
pub struct Patterns<T>(Vec<(String, T)>);

impl<T> Default for Patterns<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> FromIterator<(String, T)> for Patterns<T> {
    fn from_iter<I: IntoIterator<Item = (String, T)>>(entries: I) -> Self {
        Self(entries.into_iter().collect())
    }
}

impl<T: Copy> Patterns<T> {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Patterns with their values, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, T)> {
        self.0
            .iter()
            .map(|(pattern, value)| (pattern.as_str(), *value))
    }
}

impl<T: Serialize> Serialize for Patterns<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (pattern, value) in &self.0 {
            map.serialize_entry(pattern, value)?;
        }
        map.end()
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Patterns<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        deserializer.deserialize_map(Entries(std::marker::PhantomData))
    }
}

struct Entries<T>(std::marker::PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for Entries<T> {
    type Value = Patterns<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("values by pattern")
    }

    fn visit_map<A: MapAccess<'de>>(
        self,
        mut map: A,
    ) -> std::result::Result<Self::Value, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Patterns(entries))
    }
}
