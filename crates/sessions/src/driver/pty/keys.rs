//! What keys send, by tmux's names for them, so that a profile says the same for both kinds of terminals. Pure.

/// Gives the bytes that a key sends; `None` for a name that is no key.
pub(super) fn bytes(name: &str) -> Option<Vec<u8>> {
    if let Some(rest) = name.strip_prefix("M-").filter(|rest| !rest.is_empty()) {
        return Some([b"\x1b".to_vec(), bytes(rest)?].concat());
    }
    if let Some(rest) =
        name.strip_prefix("C-").or_else(|| name.strip_prefix('^')).filter(|rest| !rest.is_empty())
    {
        return control(rest).map(|byte| vec![byte]);
    }
    let text: &[u8] = match name {
        "Enter" => b"\r",
        "Escape" => b"\x1b",
        "Tab" => b"\t",
        "BTab" => b"\x1b[Z",
        "Space" => b" ",
        "BSpace" => b"\x7f",
        "Up" => b"\x1b[A",
        "Down" => b"\x1b[B",
        "Right" => b"\x1b[C",
        "Left" => b"\x1b[D",
        "Home" => b"\x1b[H",
        "End" => b"\x1b[F",
        "PageUp" | "PPage" => b"\x1b[5~",
        "PageDown" | "NPage" => b"\x1b[6~",
        "DC" | "Delete" => b"\x1b[3~",
        text if !text.is_empty() && !text.contains(char::is_control) => text.as_bytes(),
        _ => return None,
    };
    Some(text.to_vec())
}

fn control(key: &str) -> Option<u8> {
    match key.as_bytes() {
        b"Space" | b"@" => Some(0),
        [key @ (b'a'..=b'z' | b'A'..=b'Z' | b'['..=b'_')] => Some(key.to_ascii_uppercase() & 0x1f),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_send_what_a_terminal_sends() {
        let table: [(&str, Option<&[u8]>); 12] = [
            ("Enter", Some(b"\r")),
            ("Escape", Some(b"\x1b")),
            ("C-c", Some(b"\x03")),
            ("^C", Some(b"\x03")),
            ("M-x", Some(b"\x1bx")),
            ("y", Some(b"y")),
            ("2", Some(b"2")),
            ("Down", Some(b"\x1b[B")),
            ("ü", Some("ü".as_bytes())),
            ("", None),
            ("C-1", None),
            ("\x1b[201~", None),
        ];
        for (name, expected) in table {
            assert_eq!(bytes(name).as_deref(), expected, "{name:?}");
        }
    }
}
