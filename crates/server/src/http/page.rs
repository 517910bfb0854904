//! How long lists are: one rule for all doors. What is asked beyond it is refused, so nobody takes a part for the whole.

use crate::answer::{Answer, Refusal};

/// How many entries a list has.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Page {
    /// When nothing is said.
    pub(crate) usual: usize,
    /// At most.
    pub(crate) max: usize,
}

impl Page {
    /// Gives how many are asked for.
    ///
    /// # Errors
    /// `invalid_request` unless they are from 1 to the most.
    pub(crate) fn limit(self, asked: Option<usize>) -> Answer<usize> {
        let Page { usual, max } = self;
        match asked.unwrap_or(usual) {
            limit if (1..=max).contains(&limit) => Ok(limit),
            limit => Err(Refusal::invalid(format!("`limit` is 1 to {max}, not {limit}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_out_of_range_is_refused_with_the_range() {
        let page = Page { usual: 20, max: 100 };
        for (asked, expected) in [
            (None, Ok(20)),
            (Some(1), Ok(1)),
            (Some(100), Ok(100)),
            (Some(0), Err("`limit` is 1 to 100, not 0")),
            (Some(101), Err("`limit` is 1 to 100, not 101")),
            (Some(1 << 63), Err("`limit` is 1 to 100, not 9223372036854775808")),
        ] {
            let found = page.limit(asked);
            let found = found.as_ref().map(|limit| *limit).map_err(|refusal| refusal.error().error.as_str());
            assert_eq!(found, expected, "{asked:?}");
        }
    }
}
