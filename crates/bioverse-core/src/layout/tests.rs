//! Properties of layouts over random conversations, and one written out by hand.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use proptest::prelude::*;
use serde_json::json;

use super::*;

const PAD: u32 = 0;

/// One id per character, none of them the pad id.
fn tokenize(text: &str) -> Result<Vec<u32>, BoxError> {
    if text.contains('!') {
        return Err("`!` is not in the vocabulary".into());
    }
    Ok(text.chars().map(u32::from).collect())
}

fn decode(ids: &[u32]) -> String {
    ids.iter().filter_map(|&id| char::from_u32(id)).collect()
}

fn soft_len(modality: &str) -> Result<usize> {
    match modality {
        "molecule" => Ok(1),
        "protein" => Ok(3),
        other => Err(Error::Unknown(format!("no modality is called `{other}`"))),
    }
}

fn text(text: &str, loss: bool) -> Segment {
    Segment::Text {
        text: text.into(),
        loss,
    }
}

fn soft(modality: &str, record: &str) -> Segment {
    Segment::Soft {
        modality: modality.into(),
        record: json!(record),
    }
}

fn lay_out(prompts: &[Prompt], side: PadSide) -> Layout {
    Layout::new(prompts, PAD, side, tokenize, soft_len).unwrap()
}

fn ints(tensor: Tensor<2, Int>) -> Vec<u32> {
    tensor.into_data().iter::<u32>().collect()
}

fn bools(tensor: Tensor<2, Bool>) -> Vec<bool> {
    tensor.into_data().iter::<bool>().collect()
}

fn conversation() -> Vec<Prompt> {
    let first = vec![
        text("ab", false),
        soft("protein", "MK"),
        text("?", false),
        text("yes", true),
    ];
    let second = vec![
        soft("molecule", "C"),
        soft("protein", "GG"),
        text("no", true),
        text("x", false),
    ];
    vec![
        Prompt { segments: first },
        Prompt { segments: second },
        Prompt::default(),
    ]
}

#[test]
fn a_conversation_by_hand() {
    let layout = lay_out(&conversation(), PadSide::Right);
    assert_eq!(layout.width(), 9);
    assert_eq!(layout.groups[0].records, [json!("MK"), json!("GG")]);
    assert_eq!(
        (
            layout.groups[1].modality.as_str(),
            layout.groups[1].soft_len
        ),
        ("molecule", 1)
    );
    assert_eq!(layout.describe(0, decode), "ab‹protein ×3›?⟦yes⟧");
    assert_eq!(layout.describe(1, decode), "‹molecule ×1›‹protein ×3›⟦no⟧x");
    assert_eq!(
        (layout.describe(2, decode), layout.describe(3, decode)),
        (String::new(), String::new())
    );
    let device = Device::flex();
    let (a, b, q, y, e, s, n, o, x) = (97, 98, 63, 121, 101, 115, 110, 111, 120);
    let ids = [
        [a, b, 0, 0, 0, q, y, e, s],
        [0, 0, 0, 0, n, o, x, 0, 0],
        [0; 9],
    ];
    assert_eq!(ints(layout.input_ids(&device)), ids.concat());
    let lengths = [9, 7, 0];
    let mask: Vec<bool> = lengths
        .iter()
        .flat_map(|&n| (0..9).map(move |t| t < n))
        .collect();
    assert_eq!(bools(layout.attention_mask(&device)), mask);
    assert_eq!(
        layout.targets(),
        [(6, y), (7, e), (8, s), (9 + 4, n), (9 + 5, o)]
    );
}

#[test]
fn the_first_position_is_never_a_target() {
    let prompts = [
        Prompt {
            segments: vec![text("abc", true)],
        },
        Prompt {
            segments: vec![text("ab", true)],
        },
    ];
    for (side, targets) in [
        (PadSide::Right, [(1, 98), (2, 99), (4, 98)]),
        (PadSide::Left, [(1, 98), (2, 99), (5, 98)]),
    ] {
        let mut layout = lay_out(&prompts, side);
        assert_eq!(layout.targets(), targets, "{side:?}");
        assert!(layout.rows.iter().all(|row| !row.loss[0]));
        layout.rows.iter_mut().for_each(|row| row.loss[0] = true);
        assert_eq!(layout.targets(), targets, "nor in rows made by hand");
        assert_eq!(
            bools(layout.loss_mask(&Device::flex()))
                .iter()
                .filter(|&&loss| loss)
                .count(),
            3
        );
    }
}

#[test]
fn nothing_at_all_has_empty_tensors() {
    let device = Device::flex();
    for (prompts, rows) in [(vec![], 0), (vec![Prompt::default(); 2], 2)] {
        let layout = lay_out(&prompts, PadSide::Left);
        assert_eq!(layout.input_ids(&device).dims(), [rows, 0]);
        assert_eq!(layout.attention_mask(&device).dims(), [rows, 0]);
        assert_eq!(layout.loss_mask(&device).dims(), [rows, 0]);
    }
}

#[test]
fn the_first_bad_text_or_modality_is_the_error() {
    let bad = |segment| {
        Layout::new(
            &[
                Prompt::default(),
                Prompt {
                    segments: vec![segment],
                },
            ],
            PAD,
            PadSide::Right,
            tokenize,
            soft_len,
        )
    };
    let message = bad(text("what!", false)).unwrap_err().to_string();
    assert_eq!(
        message,
        "prompt 1: the text starting `what!` cannot be tokenised: `!` is not in the vocabulary"
    );
    assert!(
        bad(soft("rna", "A"))
            .unwrap_err()
            .to_string()
            .contains("`rna`")
    );
}

fn any_segment() -> impl Strategy<Value = Segment> {
    prop_oneof![
        ("[a-z ]{0,4}", any::<bool>()).prop_map(|(content, loss)| text(&content, loss)),
        (prop_oneof![Just("molecule"), Just("protein")], "[A-Z]{1,3}")
            .prop_map(|(name, record)| soft(name, &record)),
    ]
}

fn any_prompts() -> impl Strategy<Value = Vec<Prompt>> {
    let prompt =
        prop::collection::vec(any_segment(), 0..7).prop_map(|segments| Prompt { segments });
    prop::collection::vec(prompt, 0..5)
}

/// What a prompt says position by position: id and loss of text, `None` for soft tokens.
fn positions_of(prompt: &Prompt) -> Vec<Option<(u32, bool)>> {
    let of = |segment: &Segment| match segment {
        Segment::Text { text, loss } => text.chars().map(|c| Some((u32::from(c), *loss))).collect(),
        Segment::Soft { modality, .. } => vec![None; soft_len(modality).unwrap()],
    };
    prompt.segments.iter().flat_map(of).collect()
}

proptest! {
    #[test]
    fn every_soft_slot_appears_once_and_in_order(prompts in any_prompts()) {
        let layout = lay_out(&prompts, PadSide::Right);
        let mut positions = layout.rows.iter().flat_map(|row| row.slots.iter().zip(&row.loss));
        let trained_soft_slot = positions.any(|(slot, &loss)| loss && slot.token().is_none());
        prop_assert!(!trained_soft_slot);
        for (g, group) in layout.groups.iter().enumerate() {
            let found: Vec<_> = layout.rows.iter().flat_map(|row| &row.slots).filter_map(|slot| match slot {
                Slot::Soft { group, row, index } if *group == g => Some((*row, *index)),
                _ => None,
            }).collect();
            let wanted: Vec<_> = (0..group.records.len()).flat_map(|r| (0..group.soft_len).map(move |i| (r, i))).collect();
            prop_assert_eq!(found, wanted);
            let given: Vec<_> = prompts.iter().flat_map(|prompt| &prompt.segments).filter_map(|segment| match segment {
                Segment::Soft { modality, record } if *modality == group.modality => Some(record),
                _ => None,
            }).collect();
            prop_assert_eq!(group.records.iter().collect::<Vec<_>>(), given);
        }
    }

    #[test]
    fn masks_and_ids_say_what_the_prompts_say(prompts in any_prompts(), left in any::<bool>()) {
        let side = if left { PadSide::Left } else { PadSide::Right };
        let layout = lay_out(&prompts, side);
        let rows: Vec<_> = prompts.iter().map(positions_of).collect();
        let width = rows.iter().map(Vec::len).max().unwrap_or(0);
        prop_assert_eq!(layout.width(), width);
        let (mut ids, mut attention, mut loss) = (vec![], vec![], vec![]);
        for row in &rows {
            let padding = width - row.len();
            let before = if left { padding } else { 0 };
            for t in 0..width {
                let position = t.checked_sub(before).and_then(|t| row.get(t));
                ids.push(position.copied().flatten().map_or(PAD, |(id, _)| id));
                attention.push(position.is_some());
                loss.push(t > before && position.copied().flatten().is_some_and(|(_, loss)| loss));
            }
        }
        let device = Device::flex();
        prop_assert_eq!(ints(layout.input_ids(&device)), ids.clone());
        prop_assert_eq!(bools(layout.attention_mask(&device)), attention);
        prop_assert_eq!(bools(layout.loss_mask(&device)), loss.clone());
        let targets: Vec<_> = (0..loss.len()).filter(|&i| loss[i]).map(|i| (i, ids[i])).collect();
        prop_assert_eq!(layout.targets(), targets);
    }

    /// Padding moves rows as a whole: both sides hold the same rows, in the same order.
    #[test]
    fn sides_differ_only_in_where_the_padding_is(prompts in any_prompts()) {
        let (left, right) = (lay_out(&prompts, PadSide::Left), lay_out(&prompts, PadSide::Right));
        prop_assert_eq!(&left.rows, &right.rows);
        prop_assert_eq!(&left.groups, &right.groups);
        let kept = |layout: &Layout| layout.positions().flatten().collect::<Vec<_>>();
        prop_assert_eq!(kept(&left), kept(&right));
    }
}

#[test]
fn packed_prompts_keep_their_records_and_targets_and_know_where_they_begin() {
    let alone = lay_out(&conversation(), PadSide::Right);
    let packed = alone.clone().packed(&[vec![1, 0], vec![2]]);
    assert!(packed.is_packed() && !alone.is_packed());
    assert_eq!(packed.rows[0].starts, [7]);
    assert_eq!(packed.groups, alone.groups);
    assert_eq!(packed.width(), 16);
    let segments = ints(packed.segments(&Device::flex()));
    assert_eq!(segments[..16], [vec![1; 7], vec![2; 9]].concat());
    assert_eq!(segments[16..], [0; 16], "the empty prompt is padding");
    let positions = |layout: &Layout, from: usize, by: i64| -> Vec<(i64, u32)> {
        let targets = layout.targets().into_iter();
        let own = targets.filter(|(at, _)| (from..from + 9).contains(at));
        own.map(|(at, id)| (at as i64 + by, id)).collect()
    };
    assert_eq!(
        [positions(&alone, 0, 7), positions(&alone, 9, -9)]
            .concat()
            .len(),
        packed.targets().len()
    );
    assert_eq!(positions(&packed, 7, 0), positions(&alone, 0, 7));
    let text = packed.describe(0, decode);
    let [second, first] = [1, 0].map(|row| alone.describe(row, decode));
    assert_eq!(text, format!("{second}\n┃\n{first}"));
}

#[test]
fn the_first_token_of_a_packed_prompt_is_no_target() {
    let row = |loss: bool| Row {
        slots: vec![Slot::Token(5), Slot::Token(6)],
        loss: vec![loss, true],
        starts: vec![],
    };
    let layout = Layout {
        rows: vec![row(true), row(true)],
        groups: vec![],
        pad: PAD,
        side: PadSide::Right,
    };
    let twice = layout.packed(&[vec![0, 1]]).packed(&[vec![0, 0]]);
    let targets: Vec<usize> = twice.targets().iter().map(|(at, _)| *at).collect();
    assert_eq!(targets, [1, 3, 5, 7]);
    assert_eq!(twice.rows[0].starts, [2, 4, 6]);
}
