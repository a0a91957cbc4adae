//! Matrix products of rows that may stand apart, on the calling thread. The only place that hands out pointers.

use gemm::Parallelism;

/// A matrix whose rows begin `stride` numbers apart.
#[derive(Clone, Copy)]
pub(super) struct Rows<'a> {
    data: &'a [f32],
    rows: usize,
    width: usize,
    stride: usize,
}

/// The same, to be written.
pub(super) struct RowsMut<'a> {
    data: &'a mut [f32],
    rows: usize,
    width: usize,
    stride: usize,
}

impl<'a> Rows<'a> {
    /// `rows × width` numbers of `data`, which must reach that far.
    pub(super) fn new(data: &'a [f32], [rows, width]: [usize; 2], stride: usize) -> Self {
        assert!(reach(rows, width, stride) <= data.len());
        Self {
            data,
            rows,
            width,
            stride,
        }
    }

    /// Rows without a gap.
    pub(super) fn dense(data: &'a [f32], width: usize) -> Self {
        Self::new(data, [data.len() / width, width], width)
    }
}

impl<'a> RowsMut<'a> {
    /// `rows × width` numbers of `data`, which must reach that far.
    pub(super) fn new(data: &'a mut [f32], [rows, width]: [usize; 2], stride: usize) -> Self {
        assert!(width <= stride && reach(rows, width, stride) <= data.len());
        Self {
            data,
            rows,
            width,
            stride,
        }
    }

    /// Rows without a gap.
    pub(super) fn dense(data: &'a mut [f32], width: usize) -> Self {
        let rows = data.len() / width;
        Self::new(data, [rows, width], width)
    }
}

/// How far the last row reaches.
fn reach(rows: usize, width: usize, stride: usize) -> usize {
    rows.checked_sub(1).map_or(0, |last| last * stride + width)
}

/// `out = a · b`, `[m, k] · [k, n] → [m, n]`.
pub(super) fn product(out: RowsMut, a: Rows, b: Rows) {
    assert_eq!((a.width, b.width), (b.rows, out.width));
    run(out, a, b, [b.stride, 1], false);
}

/// `out += a · b`, `[m, k] · [k, n] → [m, n]`.
pub(super) fn add_product(out: RowsMut, a: Rows, b: Rows) {
    assert_eq!((a.width, b.width), (b.rows, out.width));
    run(out, a, b, [b.stride, 1], true);
}

/// `out = a · bᵀ`, `[m, k] · [n, k]ᵀ → [m, n]`.
pub(super) fn product_transposed(out: RowsMut, a: Rows, b: Rows) {
    assert_eq!((a.width, b.rows), (b.width, out.width));
    run(out, a, b, [1, b.stride], false);
}

fn run(out: RowsMut, a: Rows, b: Rows, [b_row, b_column]: [usize; 2], add: bool) {
    assert_eq!(a.rows, out.rows);
    // SAFETY: `new` made sure that every element of the three matrices lies in its slice, the shapes fit, and `out` is
    // borrowed alone, its rows do not overlap.
    unsafe {
        gemm::gemm(
            out.rows,
            out.width,
            a.width,
            out.data.as_mut_ptr(),
            1,
            out.stride as isize,
            add,
            a.data.as_ptr(),
            1,
            a.stride as isize,
            b.data.as_ptr(),
            b_column as isize,
            b_row as isize,
            1.0,
            1.0,
            false,
            false,
            false,
            Parallelism::None,
        );
    }
}
