//! Keys of `[align]` that exclude one another. Each pair is refused rather than one of them ignored.

use super::super::{
    AlignSection, BioSource, DataSection, Direction, Objective, Positives, TextSource,
};

/// The first contradiction, as the end of a sentence that begins with the file.
pub(super) fn check(align: &AlignSection, data: &DataSection) -> Result<(), String> {
    match align.objective {
        Objective::Autoregressive => autoregressive(align)?,
        Objective::Siglip if align.direction == Direction::BioToText => {
            return Err(
                "`align.direction` = \"bio-to-text\" is for InfoNCE, but `align.objective` is \"siglip\", which judges \
                 each pair by itself and has no direction; leave `align.direction` out"
                    .into(),
            );
        }
        Objective::InfoNce | Objective::Siglip => {}
    }
    if let Some(size) = align.micro_batch_size
        && size > align.batch_size
    {
        return Err(format!(
            "`align.micro_batch_size` is {size}, more than the {} of `align.batch_size`; make it smaller, or leave it out",
            align.batch_size
        ));
    }
    if align.positives == Positives::Label
        && data
            .sources()
            .iter()
            .all(|(source, _)| source.label_field.is_none())
    {
        return Err(
            "`align.positives` is \"label\", but `data.label_field` is not set; name the field of the label".into(),
        );
    }
    if align.bio_from == BioSource::HiddenStates && align.text_from == TextSource::InputEmbeddings {
        return Err(
            "`align.bio_from` is \"hidden-states\", but `align.text_from` is \"input-embeddings\", and states of the LLM \
             are not comparable with its input; set both to \"hidden-states\""
                .into(),
        );
    }
    Ok(())
}

/// What only a contrast between pairs has.
fn autoregressive(align: &AlignSection) -> Result<(), String> {
    let contrastive = [
        ("align.negatives", align.negatives.is_some()),
        ("align.learn_temperature", align.learn_temperature),
        ("align.micro_batch_size", align.micro_batch_size.is_some()),
        ("align.direction", align.direction != Direction::default()),
        ("align.positives", align.positives != Positives::default()),
        ("align.bio_from", align.bio_from != BioSource::default()),
    ];
    match contrastive.iter().find(|(_, is_set)| *is_set) {
        None => Ok(()),
        Some((key, _)) => Err(format!(
            "`{key}` is for contrastive objectives, but `align.objective` is \"autoregressive\", which compares no pairs; \
             leave `{key}` out, or set the objective to \"info-nce\""
        )),
    }
}
