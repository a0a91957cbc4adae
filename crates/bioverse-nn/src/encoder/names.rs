//! Translates field paths of this crate into the parameter names of checkpoints.
//!
//! Field paths stay readable (`layers.0.attention.query.weight`); files have a longer history. Each family has its table
//! at the top of its file; this module knows how to read one, and how to find the prefix that a checkpoint uses.

use crate::weights::Weights;

/// Pairs of a field path and the name that stands for it in files. What is not listed keeps its name.
pub(super) type Renames = &'static [(&'static str, &'static str)];

/// The parameter names of a family.
#[derive(Debug)]
pub(super) struct Table {
    /// Before everything but the language-model head, in checkpoints that have one.
    pub(super) prefix: &'static str,
    /// What stands before the number of a layer.
    pub(super) layers: &'static str,
    /// Below a layer.
    pub(super) layer: Renames,
    /// Elsewhere in the body.
    pub(super) body: Renames,
    /// Below `lm_head`; these names have no prefix.
    pub(super) head: Renames,
}

/// The names of one checkpoint.
#[derive(Debug)]
pub(super) struct Names {
    table: &'static Table,
    prefix: String,
}

impl Names {
    /// The names `w` uses: checkpoints without a head often lack the prefix, and some programs wrap models and leave
    /// another one.
    pub(super) fn found(table: &'static Table, w: &Weights) -> Self {
        let words = renamed("embeddings.word_embeddings.weight", table.body);
        let prefixes: Vec<&str> = w
            .names()
            .into_iter()
            .filter_map(|name| name.strip_suffix(&words))
            .filter(|prefix| prefix.is_empty() || prefix.ends_with('.'))
            .collect();
        match prefixes[..] {
            [only] => Self {
                table,
                prefix: only.to_owned(),
            },
            _ => Self::written(table),
        }
    }

    /// The names we write: those of a checkpoint with a head.
    pub(super) fn written(table: &'static Table) -> Self {
        Self {
            table,
            prefix: table.prefix.to_owned(),
        }
    }

    /// `layers.0.attention.query.weight` → `roberta.encoder.layer.0.attention.self.query.weight`.
    pub(super) fn file(&self, path: &str) -> String {
        let (table, prefix) = (self.table, &self.prefix);
        if let Some(part) = path.strip_prefix("lm_head.") {
            return renamed(part, table.head);
        }
        let numbered = path.strip_prefix("layers.");
        match numbered.and_then(|rest| rest.split_once('.')) {
            Some((i, part)) => format!(
                "{prefix}{}.{i}.{}",
                table.layers,
                renamed(part, table.layer)
            ),
            None => format!("{prefix}{}", renamed(path, table.body)),
        }
    }
}

/// Replaces the leading components of a dotted path that the table lists.
fn renamed(path: &str, table: Renames) -> String {
    let replaced = table.iter().find_map(|(field, name)| {
        let rest = path.strip_prefix(field)?;
        (rest.is_empty() || rest.starts_with('.')).then(|| format!("{name}{rest}"))
    });
    replaced.unwrap_or_else(|| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encoder::{bert, esm, modernbert};

    #[test]
    fn every_part_has_its_hugging_face_name() {
        let names = [&bert::BERT, &bert::ROBERTA, &esm::TABLE, &modernbert::TABLE];
        let [bert, roberta, esm, modern] = names.map(Names::written);
        for (names, path, want) in [
            (
                &roberta,
                "embeddings.layer_norm.bias",
                "roberta.embeddings.LayerNorm.bias",
            ),
            (
                &bert,
                "layers.2.attention.query.weight",
                "bert.encoder.layer.2.attention.self.query.weight",
            ),
            (
                &bert,
                "layers.0.output_norm.weight",
                "bert.encoder.layer.0.output.LayerNorm.weight",
            ),
            (&bert, "pooler.weight", "bert.pooler.dense.weight"),
            (
                &roberta,
                "lm_head.layer_norm.weight",
                "lm_head.layer_norm.weight",
            ),
            (
                &bert,
                "lm_head.layer_norm.weight",
                "cls.predictions.transform.LayerNorm.weight",
            ),
            (&bert, "lm_head.bias", "cls.predictions.bias"),
            (
                &esm,
                "layers.0.attention_norm.bias",
                "esm.encoder.layer.0.attention.LayerNorm.bias",
            ),
            (
                &esm,
                "layers.0.output_norm.bias",
                "esm.encoder.layer.0.LayerNorm.bias",
            ),
            (
                &esm,
                "final_norm.weight",
                "esm.encoder.emb_layer_norm_after.weight",
            ),
            (
                &modern,
                "layers.4.qkv.weight",
                "model.layers.4.attn.Wqkv.weight",
            ),
            (
                &modern,
                "embeddings.word_embeddings.weight",
                "model.embeddings.tok_embeddings.weight",
            ),
            (&modern, "lm_head.bias", "decoder.bias"),
            (&modern, "lm_head.layer_norm.weight", "head.norm.weight"),
        ] {
            assert_eq!(names.file(path), want);
        }
    }
}
