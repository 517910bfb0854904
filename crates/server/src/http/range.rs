//! Ranges and validators of RFC 9110, as far as a body of known length needs them.
//!
//! One range is served. More of them at once, and what is no range of bytes, are left aside, as the standard allows, and
//! the whole is served: so nobody makes the daemon send overlapping parts of one body.

use axum::http::{HeaderMap, HeaderName, header};

/// What of a body is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// All of it.
    Whole,
    /// The bytes from the first to the last of these places, both included.
    Part { first: u64, last: u64 },
    /// Only what it does not have.
    Nothing,
}

/// Reads what of a body of `len` bytes a request wants, given the body's entity tag.
pub(crate) fn wanted(headers: &HeaderMap, etag: &str, len: u64) -> Wanted {
    // The range was meant for another body than this one.
    if text(headers, header::IF_RANGE).is_some_and(|tag| tag != etag) {
        return Wanted::Whole;
    }
    let range = text(headers, header::RANGE).and_then(|text| text.trim().strip_prefix("bytes="));
    range.and_then(|range| part(range.trim(), len)).unwrap_or(Wanted::Whole)
}

fn part(range: &str, len: u64) -> Option<Wanted> {
    let (first, last) = range.split_once('-')?;
    let number = |text: &str| text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse::<u64>().ok())?;
    let (first, last) = match (first, last) {
        ("", suffix) => match number(suffix)? {
            0 => return Some(Wanted::Nothing),
            suffix => (len.saturating_sub(suffix), len.saturating_sub(1)),
        },
        (first, "") => (number(first)?, len.saturating_sub(1)),
        (first, last) => {
            let (first, last) = (number(first)?, number(last)?);
            if first > last {
                return None;
            }
            (first, last.min(len.saturating_sub(1)))
        }
    };
    Some(if first < len { Wanted::Part { first, last } } else { Wanted::Nothing })
}

/// Tells whether the client has the body with this entity tag already.
pub(crate) fn is_known(headers: &HeaderMap, etag: &str) -> bool {
    let known = text(headers, header::IF_NONE_MATCH).unwrap_or_default();
    known.split(',').map(str::trim).any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == etag)
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(entries: &[(HeaderName, &str)]) -> HeaderMap {
        entries.iter().map(|(name, value)| (name.clone(), value.parse().unwrap())).collect()
    }

    #[test]
    fn one_range_is_read_and_anything_else_is_the_whole() {
        let part = |first, last| Wanted::Part { first, last };
        for (range, len, expected) in [
            ("bytes=0-0", 10, part(0, 0)),
            ("bytes=2-5", 10, part(2, 5)),
            ("bytes= 2-5 ", 10, part(2, 5)),
            ("bytes=2-", 10, part(2, 9)),
            ("bytes=2-99", 10, part(2, 9)),
            ("bytes=-3", 10, part(7, 9)),
            ("bytes=-99", 10, part(0, 9)),
            ("bytes=9-9", 10, part(9, 9)),
            ("bytes=10-", 10, Wanted::Nothing),
            ("bytes=10-12", 10, Wanted::Nothing),
            ("bytes=-0", 10, Wanted::Nothing),
            ("bytes=0-", 0, Wanted::Nothing),
            ("bytes=-5", 0, Wanted::Nothing),
            ("bytes=5-2", 10, Wanted::Whole),
            ("bytes=0-5,3-9", 10, Wanted::Whole),
            ("bytes=0-1,2-3", 10, Wanted::Whole),
            ("bytes=", 10, Wanted::Whole),
            ("bytes=-", 10, Wanted::Whole),
            ("bytes=--5", 10, Wanted::Whole),
            ("bytes=+1-2", 10, Wanted::Whole),
            ("bytes=a-b", 10, Wanted::Whole),
            ("bytes=0-99999999999999999999999", 10, Wanted::Whole),
            ("lines=0-1", 10, Wanted::Whole),
            ("0-1", 10, Wanted::Whole),
        ] {
            assert_eq!(
                wanted(&headers(&[(header::RANGE, range)]), "\"e\"", len),
                expected,
                "{range} of {len}"
            );
        }
        assert_eq!(wanted(&headers(&[]), "\"e\"", 10), Wanted::Whole);
    }

    #[test]
    fn a_range_of_another_body_is_the_whole_of_this_one() {
        for (tag, expected) in [
            ("\"e\"", Wanted::Part { first: 0, last: 1 }),
            ("\"other\"", Wanted::Whole),
            ("W/\"e\"", Wanted::Whole),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Wanted::Whole),
        ] {
            let headers = headers(&[(header::RANGE, "bytes=0-1"), (header::IF_RANGE, tag)]);
            assert_eq!(wanted(&headers, "\"e\"", 10), expected, "{tag}");
        }
    }

    #[test]
    fn a_client_that_has_the_body_is_told_so() {
        for (tags, known) in [
            ("\"e\"", true),
            ("*", true),
            ("W/\"e\"", true),
            ("\"a\", \"e\"", true),
            ("\"a\"", false),
            ("e", false),
        ] {
            assert_eq!(is_known(&headers(&[(header::IF_NONE_MATCH, tags)]), "\"e\""), known, "{tags}");
        }
        assert!(!is_known(&headers(&[]), "\"e\""));
    }
}
