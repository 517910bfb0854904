//! Percent-escaping of texts that stand in an address.

use std::fmt::Write;

/// Escapes everything but the characters that RFC 3986 calls unreserved.
pub fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                escaped.push(char::from(byte));
            }
            byte => write!(escaped, "%{byte:02X}").expect("a string takes everything"),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_mean_something_is_escaped() {
        for (text, expected) in [
            ("run_01-a.b~c", "run_01-a.b~c"),
            ("a/b", "a%2Fb"),
            ("a b?c&d=e#f%", "a%20b%3Fc%26d%3De%23f%25"),
            ("é\n", "%C3%A9%0A"),
        ] {
            assert_eq!(escaped(text), expected, "{text}");
        }
    }
}
