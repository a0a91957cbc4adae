//! Keys of `[align]` that exclude one another.

use super::*;

/// The first line names the key, whatever it is set in.
fn refuses(extra: &str, expected: &[&str]) {
    let text = refused(extra, &[]);
    for part in expected {
        assert!(text.contains(part), "{text}\nshould contain: {part}");
    }
}

#[test]
fn what_only_contrast_has_is_refused_without_it() {
    for (key, value) in [
        ("negatives", "'n.txt'"),
        ("learn_temperature", "true"),
        ("micro_batch_size", "8"),
        ("direction", "'bio-to-text'"),
        ("positives", "'none'"),
        ("bio_from", "'hidden-states'"),
    ] {
        let extra = format!("[align]\nobjective = 'autoregressive'\n{key} = {value}\n");
        refuses(
            &extra,
            &[&format!("`align.{key}` is for contrastive objectives")],
        );
    }
    let extra = "[align]\nobjective = 'autoregressive'\n";
    assert!(load(&format!("{MINIMAL}{extra}"), &[]).is_ok());
}

#[test]
fn contradictions_are_refused() {
    refuses(
        "[align]\nobjective = 'siglip'\ndirection = 'bio-to-text'\n",
        &["`align.direction`", "siglip"],
    );
    refuses(
        "[align]\nbatch_size = 8\nmicro_batch_size = 16\n",
        &["`align.micro_batch_size` is 16", "`align.batch_size`"],
    );
    refuses(
        "[align]\npositives = 'label'\n",
        &["`data.label_field` is not set"],
    );
    refuses(
        "[align]\nbio_from = 'hidden-states'\n",
        &["`align.text_from`"],
    );
}

#[test]
fn what_fits_together_is_taken() {
    for (extra, sets) in [
        (
            "[align]\npositives = 'label'\n",
            vec!["data.label_field=cell_type"],
        ),
        ("[align]\npositives = 'group'\n", vec![]),
        (
            "[align]\nbio_from = 'hidden-states'\ntext_from = 'hidden-states'\n",
            vec![],
        ),
        (
            "[align]\nbatch_size = 8\nmicro_batch_size = 8\nobjective = 'siglip'\n",
            vec![],
        ),
    ] {
        let loaded = load(&format!("{MINIMAL}{extra}"), &sets);
        assert!(
            loaded.is_ok(),
            "{extra}: {:?}",
            loaded.err().map(|e| e.to_string())
        );
    }
}
