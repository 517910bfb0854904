//! Text of strangers, made fit for a terminal: control characters are made visible and never pass.

/// A line of an agent shows so many characters.
const LINE_CHARS: usize = 200;

/// Makes control characters visible, so that no text can drive a terminal; lines become one.
pub(crate) fn visible(text: &str) -> String {
    text.chars().map(|c| if c == '\n' || c == '\t' { ' ' } else { shown(c) }).collect()
}

/// As [`visible`], but lines and tabs stay.
pub(crate) fn visible_lines(text: &str) -> String {
    text.chars().map(|c| if c == '\n' || c == '\t' { c } else { shown(c) }).collect()
}

/// As [`visible`], cut to what a line has room for.
pub(crate) fn visible_line(text: &str) -> String {
    let text = visible(text);
    match text.char_indices().nth(LINE_CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

fn shown(c: char) -> char {
    match c {
        '\u{0}'..='\u{1f}' => char::from_u32(0x2400 + u32::from(c)).unwrap_or('�'),
        '\u{7f}' => '␡',
        // C1 controls, and the marks that turn the direction of text.
        '\u{80}'..='\u{9f}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
            '�'
        }
        c => c,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_control_character_reaches_the_terminal() {
        assert_eq!(visible("a\x1b[31mb\r\n\tc\u{9b}d\u{202e}"), "a␛[31mb␍  c�d�");
        assert_eq!(visible_lines("a\n\tb\x07"), "a\n\tb␇");
        assert_eq!(visible_line(&"x".repeat(300)).chars().count(), LINE_CHARS + 1);
    }
}
