//! How much of something is done, as a bar.

/// Characters of the bar.
const WIDTH: u64 = 30;

/// `[###---]  50%`: `done` of `all`. More than all is all.
pub fn bar(done: u64, all: u64) -> String {
    let all = all.max(1);
    let done = done.min(all);
    let filled = usize::try_from(WIDTH * done / all).unwrap_or_default();
    let rest = usize::try_from(WIDTH).unwrap_or_default() - filled;
    format!("[{}{}] {:3}%", "#".repeat(filled), "-".repeat(rest), 100 * done / all)
}

#[cfg(test)]
mod tests {
    use super::bar;

    #[test]
    fn a_bar_fills_from_left_to_right() {
        assert_eq!(bar(0, 2000), "[------------------------------]   0%");
        assert_eq!(bar(1000, 2000), "[###############---------------]  50%");
        assert_eq!(bar(2000, 2000), "[##############################] 100%");
        assert_eq!(bar(2001, 2000), "[##############################] 100%");
        assert_eq!(bar(0, 0), "[------------------------------]   0%");
    }
}
