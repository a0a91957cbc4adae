//! Which charts a training has, and what they are called. Names of measurements are known here, drawings are not.

use super::chart::{Across, Chart, Level, Plot, Scale, Series};
use super::map::anchor;
use super::metrics::Training;
use super::retrieval::chance;

/// What `metrics.jsonl` holds beside measurements.
const NOT_DRAWN: [&str; 5] = [
    "held_out_texts",
    "held_out_rows",
    "held_out_records",
    "seconds",
    "rss_bytes",
];

/// Charts of one training.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Curves {
    /// Name of the training.
    pub name: String,
    /// For links.
    pub anchor: String,
    /// Those everybody looks at.
    pub main: Vec<Chart>,
    /// The others.
    pub more: Vec<Chart>,
}

/// A chart by the keys it shows.
struct Wanted {
    title: &'static str,
    note: &'static str,
    keys: &'static [(&'static str, &'static str)],
    scale: Scale,
}

const MAIN: [Wanted; 6] = [
    Wanted {
        title: "Loss",
        note: "What training minimises, at the logged steps; lower is better.",
        keys: &[("loss", "training"), ("held_out_loss", "held out")],
        scale: Scale::Linear,
    },
    Wanted {
        title: "Retrieval of held-out pairs",
        note: "How often the right partner comes first (R@1), and the mean of one over its rank (MRR); the mean of both directions.",
        keys: &[("held_out_r1", "R@1"), ("held_out_mrr", "MRR")],
        scale: Scale::Share,
    },
    Wanted {
        title: "MRR by direction",
        note: "From records to texts and from texts to records; higher is better.",
        keys: &[
            ("held_out_mrr_to_text", "record to text"),
            ("held_out_mrr_to_bio", "text to record"),
        ],
        scale: Scale::Share,
    },
    Wanted {
        title: "FOSCTTM",
        note: "Share of candidates that are closer than the true partner; 50 % is chance, 0 is perfect.",
        keys: &[("held_out_foscttm", "FOSCTTM")],
        scale: Scale::Share,
    },
    Wanted {
        title: "Learning rate",
        note: "Linear warm-up, then a cosine to zero.",
        keys: &[("lr", "learning rate")],
        scale: Scale::Linear,
    },
    Wanted {
        title: "Gradient norm",
        note: "Global norm before clipping.",
        keys: &[("grad_norm", "gradient norm")],
        scale: Scale::Wide,
    },
];

const MORE: [Wanted; 6] = [
    Wanted {
        title: "Modality gap",
        note: "Distance between the centres of records and of texts on the unit sphere (Liang et al. 2022).",
        keys: &[("held_out_modality_gap", "modality gap")],
        scale: Scale::Linear,
    },
    Wanted {
        title: "Alignment",
        note: "Mean squared distance of partners on the unit sphere (Wang & Isola 2020); lower is better.",
        keys: &[("held_out_alignment", "alignment")],
        scale: Scale::Linear,
    },
    Wanted {
        title: "Uniformity",
        note: "How evenly each side covers the unit sphere (Wang & Isola 2020); lower is more even.",
        keys: &[
            ("held_out_uniformity_bio", "records"),
            ("held_out_uniformity_text", "texts"),
        ],
        scale: Scale::Linear,
    },
    Wanted {
        title: "CKA",
        note: "Linear centred kernel alignment of records and texts (Kornblith et al. 2019): 0 is nothing in common, 1 is the same up to rotation.",
        keys: &[("held_out_cka", "CKA")],
        scale: Scale::Linear,
    },
    Wanted {
        title: "Shared neighbours",
        note: "Share of nearest neighbours that a record and its text have in common.",
        keys: &[("held_out_mutual_knn", "shared neighbours")],
        scale: Scale::Share,
    },
    Wanted {
        title: "Speed",
        note: "Rows per second.",
        keys: &[("rows_per_s", "rows per second")],
        scale: Scale::Linear,
    },
];

/// All charts of a training; a number that no chart knows gets one of its own when it is measured more than once.
pub fn of(training: &Training) -> Curves {
    let known: Vec<&str> = MAIN
        .iter()
        .chain(&MORE)
        .flat_map(|w| w.keys)
        .map(|(key, _)| *key)
        .collect();
    let other = |key: &&str| {
        // Recall at 5 and 10 and both directions of all of them stand in the table of retrieval.
        let tabled = key.starts_with("raw_")
            || key.starts_with("held_out_r")
            || key.starts_with("held_out_mrr");
        !known.contains(key) && !NOT_DRAWN.contains(key) && !tabled
    };
    let draw = |wanted: &Wanted| plot(training, wanted).draw();
    let mut more: Vec<Chart> = MORE.iter().filter_map(draw).collect();
    let others = training.keys().into_iter().filter(other);
    more.extend(others.filter_map(|key| plain(training, key).draw()));
    Curves {
        name: training.name.clone(),
        anchor: format!("curves-{}", anchor(&training.name)),
        main: MAIN.iter().filter_map(draw).collect(),
        more,
    }
}

fn plot(training: &Training, wanted: &Wanted) -> Plot {
    let series = wanted.keys.iter().map(|(key, name)| Series {
        name: (*name).to_owned(),
        points: training.series(key),
    });
    let first = wanted.keys.first().map_or("", |(key, _)| *key);
    Plot {
        id: format!("chart-{}-{}", anchor(&training.name), anchor(first)),
        title: wanted.title.into(),
        note: wanted.note.into(),
        across: Across::steps(),
        series: series.collect(),
        levels: levels(training, first),
        scale: wanted.scale,
    }
}

/// What a line is to be compared with: the frozen encoder with a linear map, and chance.
fn levels(training: &Training, key: &str) -> Vec<Level> {
    // The chart of R@1 and MRR has room for the levels of one of them.
    let (raw, of) = match key {
        "held_out_r1" => ("raw_mrr".to_owned(), ", MRR"),
        key => (key.replace("held_out", "raw"), ""),
    };
    let chance = match key {
        "held_out_r1" | "held_out_mrr_to_text" => chance(training).map(|chance| chance.mrr),
        "held_out_foscttm" => Some(0.5),
        _ => None,
    };
    let level = |name: &str, value: Option<f64>| {
        value.map(|value| Level {
            name: format!("{name}{of}"),
            value,
        })
    };
    let raw = (raw != key).then(|| training.first(&raw)).flatten();
    let levels = [
        level("encoder and a linear map", raw),
        level("chance", chance),
    ];
    levels.into_iter().flatten().collect()
}

fn plain(training: &Training, key: &str) -> Plot {
    let points = training.series(key);
    let name = key.replace('_', " ");
    Plot {
        id: format!("chart-{}-{}", anchor(&training.name), anchor(key)),
        title: name.clone(),
        note: format!("`{key}` of metrics.jsonl."),
        across: Across::steps(),
        series: vec![Series {
            name,
            points: if points.len() > 1 { points } else { vec![] },
        }],
        levels: vec![],
        scale: Scale::Linear,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::super::metrics::Line;
    use super::*;

    #[test]
    fn every_repeated_number_is_drawn_once_and_ids_differ() {
        let line = |step: u64| Line {
            step,
            values: [
                ("loss", 1.0),
                ("held_out_mrr", 0.5),
                ("temperature", 0.07),
                ("raw_mrr", 0.2),
                ("held_out_texts", 8.0),
            ]
            .map(|(key, value)| (key.to_owned(), value))
            .to_vec(),
        };
        let training = Training {
            name: "align molecule".into(),
            lines: vec![line(0), line(1)],
        };
        let curves = of(&training);
        let json = serde_json::to_value(&curves).unwrap();
        let titles = |part: &str| -> Vec<String> {
            let charts = json[part].as_array().unwrap().iter();
            charts
                .map(|chart| chart["title"].as_str().unwrap().to_owned())
                .collect()
        };
        assert_eq!(titles("main"), ["Loss", "Retrieval of held-out pairs"]);
        assert_eq!(titles("more"), ["temperature"]);
        let levels = &json["main"][1]["levels"];
        assert_eq!(levels[0]["name"], "encoder and a linear map, MRR (20.0 %)");
        assert_eq!(levels[1]["name"], "chance, MRR (34.0 %)");
    }
}
