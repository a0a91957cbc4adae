//! `[[data.mixture]]` as a user writes it.

use super::*;

const MIXED: &str = "[llm]\npath = 'lm'\n[modality.toy]\npath = 'enc'\n[data]\ntext_field = 'text'\nlimit = 9\n\
     [[data.mixture]]\ntrain = 'a.csv'\ninput_field = 'x'\nweight = 3\n";

fn mixed(rest: &str) -> Result<Resolved> {
    load(&format!("{MIXED}{rest}"), &[])
}

#[test]
fn what_a_source_leaves_out_is_as_data_says() {
    let rest = "[[data.mixture]]\ntrain = 'b.csv'\neval = 'c.csv'\ninput_field = 'y'\nlimit = 2\n";
    let data = mixed(rest).unwrap().config.data;
    let sources: Vec<_> = data
        .sources()
        .into_iter()
        .map(|(data, weight)| (data.text_field, data.input_field, data.limit, weight))
        .collect();
    let named = |name: &str| Some(name.to_string());
    assert_eq!(
        sources,
        [
            (named("text"), named("x"), Some(9), 3.0),
            (named("text"), named("y"), Some(2), 1.0)
        ]
    );
    assert!(data.holds_out());
    assert_eq!(data.files(), ["a.csv", "b.csv", "c.csv"].map(PathBuf::from));
    let written = RunConfig {
        data: data.clone(),
        ..RunConfig::default()
    };
    let back: RunConfig = toml::from_str(&written.to_toml().unwrap()).unwrap();
    assert_eq!(back.data.mixture, data.mixture);
}

#[test]
fn mixtures_that_make_no_run_are_refused() {
    for (rest, expected) in [
        ("modality = 'toi'\n", "`data.modality` names `toi`"),
        ("question = 'Hello?'\n", "`data.question`"),
        (
            "[[data.mixture]]\ninput_field = 'x'\n",
            "missing field `train`",
        ),
        (
            "[[data.mixture]]\ntrain = 'b.csv'\nweight = 0\n",
            "`data.mixture[1].weight` is 0",
        ),
        (
            "split_by = 'random'\nsplit_field = 'fold'\n",
            "both say what is held out",
        ),
        ("trian = 'b.csv'\n", "trian"),
    ] {
        let error = mixed(rest).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
        assert_eq!(error.exit_code(), 2, "{error}");
    }
    let both = MIXED.replace("limit = 9", "train = 'rows.csv'");
    let error = load(&both, &[]).unwrap_err().to_string();
    assert!(error.contains("are both set"), "{error}");
}
