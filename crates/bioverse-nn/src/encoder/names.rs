//! Where checkpoints keep the encoder's parameters: the one rename table per family.
//!
//! Field paths of this crate stay readable (`layers.0.query.weight`); files have a longer history.

use crate::config::{EncoderConfig, EncoderFamily};
use crate::weights::Weights;

/// Field of a layer → name below `encoder.layer.{i}`.
const LAYER: [(&str, &str); 8] = [
    ("query", "attention.self.query"),
    ("key", "attention.self.key"),
    ("value", "attention.self.value"),
    ("attention_output", "attention.output.dense"),
    ("attention_norm", "attention.output.LayerNorm"),
    ("intermediate", "intermediate.dense"),
    ("output", "output.dense"),
    ("output_norm", "output.LayerNorm"),
];

/// Field of the language-model head → name in BERT's files; RoBERTa's are the fields' names.
const BERT_HEAD: [(&str, &str); 4] = [
    ("dense", "cls.predictions.transform.dense"),
    ("layer_norm", "cls.predictions.transform.LayerNorm"),
    ("decoder", "cls.predictions.decoder"),
    ("bias", "cls.predictions.bias"),
];

/// Translates field paths into the names of one checkpoint.
#[derive(Debug)]
pub(super) struct Names {
    family: EncoderFamily,
    /// `roberta.`, `bert.` or nothing.
    prefix: &'static str,
}

impl Names {
    /// The names `w` uses: headless checkpoints often lack the prefix.
    pub(super) fn found(config: &EncoderConfig, w: &Weights) -> Self {
        let bare = w.contains("embeddings.word_embeddings.weight");
        let names = Self::written(config);
        match bare {
            true => Self {
                prefix: "",
                ..names
            },
            false => names,
        }
    }

    /// The names we write: those of a checkpoint with a head.
    pub(super) fn written(config: &EncoderConfig) -> Self {
        let family = config.family();
        let prefix = match family {
            EncoderFamily::Roberta => "roberta.",
            EncoderFamily::Bert => "bert.",
        };
        Self { family, prefix }
    }

    /// `layers.0.query.weight` → `roberta.encoder.layer.0.attention.self.query.weight`.
    pub(super) fn file(&self, path: &str) -> String {
        let prefix = self.prefix;
        if let Some(rest) = path.strip_prefix("lm_head.") {
            return match self.family {
                EncoderFamily::Roberta => path.to_owned(),
                EncoderFamily::Bert => renamed(rest, &BERT_HEAD),
            };
        }
        match path
            .strip_prefix("layers.")
            .and_then(|rest| rest.split_once('.'))
        {
            Some((i, rest)) => format!("{prefix}encoder.layer.{i}.{}", renamed(rest, &LAYER)),
            None => format!("{prefix}{}", path.replace("layer_norm", "LayerNorm")),
        }
    }
}

/// Replaces the first component of a dotted path.
fn renamed(path: &str, table: &[(&str, &str)]) -> String {
    let (field, rest) = match path.split_once('.') {
        Some((field, rest)) => (field, format!(".{rest}")),
        None => (path, String::new()),
    };
    let name = table
        .iter()
        .find(|(from, _)| *from == field)
        .map_or(field, |(_, to)| to);
    format!("{name}{rest}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(model_type: &str) -> Names {
        Names::written(&EncoderConfig {
            model_type: model_type.to_owned(),
            ..Default::default()
        })
    }

    #[test]
    fn every_part_has_its_hugging_face_name() {
        let (roberta, bert) = (names("roberta"), names("bert"));
        for (path, want) in [
            (
                "embeddings.word_embeddings.weight",
                "embeddings.word_embeddings.weight",
            ),
            ("embeddings.layer_norm.bias", "embeddings.LayerNorm.bias"),
            (
                "layers.2.query.weight",
                "encoder.layer.2.attention.self.query.weight",
            ),
            ("layers.0.output_norm", "encoder.layer.0.output.LayerNorm"),
        ] {
            assert_eq!(roberta.file(path), format!("roberta.{want}"));
            assert_eq!(bert.file(path), format!("bert.{want}"));
        }
        assert_eq!(
            roberta.file("lm_head.layer_norm.weight"),
            "lm_head.layer_norm.weight"
        );
        assert_eq!(
            bert.file("lm_head.layer_norm.weight"),
            "cls.predictions.transform.LayerNorm.weight"
        );
        assert_eq!(bert.file("lm_head.bias"), "cls.predictions.bias");
    }
}
