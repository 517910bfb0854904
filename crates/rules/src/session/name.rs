//! The names of sessions: what people call them, and what their terminals are called.

/// A name has at most so many characters.
pub const NAME_MAX: usize = 40;
/// What is made of a hint or a folder has at most so many.
const SLUG_MAX: usize = 20;

/// Makes a name of what a person or a folder is called: ASCII letters and digits in lower case, and single hyphens
/// between them; `session` when nothing is left.
pub fn slug(text: &str) -> String {
    let mut slug = String::new();
    for c in text.chars() {
        match c.is_ascii_alphanumeric() {
            true => slug.push(c.to_ascii_lowercase()),
            false if slug.is_empty() || slug.ends_with('-') => {}
            false => slug.push('-'),
        }
    }
    slug.truncate(SLUG_MAX);
    let slug = slug.trim_end_matches('-');
    if slug.is_empty() { "session".to_owned() } else { slug.to_owned() }
}

/// Gives what to call the session whose slug is taken so often already.
pub fn nth(slug: &str, times: u32) -> String {
    if times == 0 { slug.to_owned() } else { format!("{slug}-{}", times + 1) }
}

/// Tells whether a text may be a session's name.
pub fn is_name(text: &str) -> bool {
    (1..=NAME_MAX).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !text.starts_with('-')
        && !text.ends_with('-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_a_project_is_called_its_sessions_have_plain_names() {
        for (text, wanted) in [
            ("Fix Login", "fix-login"),
            ("--upload-pack=sh", "upload-pack-sh"),
            ("日本語", "session"),
            ("", "session"),
            ("a_very_long_name_of_a_project", "a-very-long-name-of"),
            ("...x...", "x"),
            ("$(rm -rf /)\u{1b}[2J", "rm-rf-2j"),
        ] {
            let slug = slug(text);
            assert_eq!(slug, wanted, "{text}");
            assert!(is_name(&slug) && is_name(&nth(&slug, 12)), "{slug}");
        }
        assert_eq!((nth("x", 0).as_str(), nth("x", 1).as_str()), ("x", "x-2"));
        for wrong in ["", "-x", "x-", "X", "a b", "a:b", "a.b", &"x".repeat(41)] {
            assert!(!is_name(wrong), "{wrong}");
        }
    }
}
