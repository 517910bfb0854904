//! What terminals show and keep: text without what would steer a terminal, and the bounded file of what scrolled by.

mod scrollback;

pub use scrollback::{SCROLLBACK_FILE, Scrollback, scrollback_read};

/// Gives a text without escape sequences and control characters but tab and line feed; `\r\n` and `\r` become `\n`.
///
/// What is left cannot steer a terminal: neither what a person looks at nor the one that it is typed into, and it
/// cannot end a bracketed paste. A sequence that does not end loses its beginning only.
pub fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(|c: char| c.is_control() && c != '\n' && c != '\t') {
        out.push_str(&rest[..at]);
        rest = match rest[at..].chars().next() {
            Some('\r') => {
                out.push('\n');
                rest[at + 1..].strip_prefix('\n').unwrap_or(&rest[at + 1..])
            }
            Some('\u{1b}') => behind_escape(&rest[at + 1..]),
            // The 8-bit forms of CSI and of the strings.
            Some('\u{9b}') => behind_csi(&rest[at + 2..]),
            Some(c) => &rest[at + c.len_utf8()..],
            None => "",
        };
    }
    out.push_str(rest);
    out
}

/// Gives what follows an escape sequence whose ESC was taken.
fn behind_escape(rest: &str) -> &str {
    match rest.chars().next() {
        Some('[') => behind_csi(&rest[1..]),
        Some(']' | 'P' | 'X' | '^' | '_') => behind_string(&rest[1..]),
        Some(' '..='/') => {
            let rest = rest.trim_start_matches(|c| matches!(c, ' '..='/'));
            rest.strip_prefix(|c| matches!(c, '0'..='~')).unwrap_or(rest)
        }
        Some('0'..='~') => &rest[1..],
        _ => rest,
    }
}

fn behind_csi(rest: &str) -> &str {
    let rest = rest.trim_start_matches(|c| matches!(c, '0'..='?'));
    let rest = rest.trim_start_matches(|c| matches!(c, ' '..='/'));
    rest.strip_prefix(|c| matches!(c, '@'..='~')).unwrap_or(rest)
}

/// Gives what follows a control string such as a title, up to BEL or ST; all of it when it does not end.
fn behind_string(rest: &str) -> &str {
    match rest.find(['\u{7}', '\u{1b}', '\u{9c}']) {
        Some(at) if rest[at..].starts_with("\u{1b}\\") => &rest[at + 2..],
        Some(at) if rest[at..].starts_with('\u{1b}') => &rest[at..],
        Some(at) => &rest[at + rest[at..].chars().next().map_or(0, char::len_utf8)..],
        None => rest,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_steer_a_terminal_is_left_out() {
        let table = [
            ("plain ünï\tcode 漢字\n", "plain ünï\tcode 漢字\n"),
            ("a\r\nb\rc", "a\nb\nc"),
            ("\u{1b}[31mred\u{1b}[0m", "red"),
            ("\u{1b}[201~; rm -rf /\n", "; rm -rf /\n"),
            ("\u{1b}\u{1b}[201~x", "x"),
            ("\u{1b}[\u{1b}[201~x", "x"),
            ("\u{9b}201~x", "x"),
            ("\u{1b}]0;title\u{7}x\u{1b}]8;;http://a\u{1b}\\y", "xy"),
            ("\u{1b}]0;never ends\nx", "0;never ends\nx"),
            ("\u{1b}P1$r\u{9c}x", "x"),
            ("\u{1b}(Bx\u{1b}=y\u{1b}", "xy"),
            ("bell\u{7} null\0 del\u{7f} back\u{8}", "bell null del back"),
            ("\u{85}next", "next"),
        ];
        for (text, expected) in table {
            assert_eq!(plain(text), expected, "{text:?}");
            assert!(!plain(text).contains('\u{1b}'));
        }
    }
}
