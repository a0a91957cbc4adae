//! Memory for intermediate results that a thread keeps, so that a layer allocates nothing.

use std::cell::RefCell;

thread_local! {
    static KEPT: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

/// Slices of the given lengths, holding whatever was there. `work` must not ask for scratch memory itself.
pub(super) fn with<const N: usize, R>(
    lengths: [usize; N],
    work: impl FnOnce([&mut [f32]; N]) -> R,
) -> R {
    KEPT.with_borrow_mut(|kept| {
        let all: usize = lengths.iter().sum();
        if kept.len() < all {
            kept.resize(all, 0.0);
        }
        let mut rest = &mut kept[..];
        work(lengths.map(|length| {
            let (own, others) = std::mem::take(&mut rest).split_at_mut(length);
            rest = others;
            own
        }))
    })
}
