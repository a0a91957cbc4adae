//! Where a process may die while it works on files. In a test it "dies" at the n-th such point: that operation and all
//! later ones, cleaning up included, do nothing. Elsewhere these points cost nothing.

#[cfg(not(test))]
pub(crate) fn point() -> std::io::Result<()> {
    Ok(())
}

#[cfg(test)]
pub(crate) use testing::{crash_at, point};

#[cfg(test)]
mod testing {
    use std::cell::Cell;
    use std::io;

    thread_local! {
        static LEFT: Cell<Option<usize>> = const { Cell::new(None) };
    }

    pub(crate) fn point() -> io::Result<()> {
        match LEFT.get() {
            None => Ok(()),
            Some(0) => Err(io::Error::other("the process died here")),
            Some(left) => {
                LEFT.set(Some(left - 1));
                Ok(())
            }
        }
    }

    /// Runs `work`, which dies at its `point`-th point; whether it came to an end before that.
    pub(crate) fn crash_at(point: usize, work: impl FnOnce()) -> bool {
        LEFT.set(Some(point));
        work();
        LEFT.take().is_some_and(|left| left > 0)
    }
}
