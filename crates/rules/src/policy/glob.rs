//! Globs over tool names and parameters: `*` is any run of characters, `/` and line ends included, `?` is one
//! character, `\` takes the next character as it is. A glob is matched against the whole text, case-sensitively.

/// The longest glob, in characters.
const LEN_MAX: usize = 4096;

/// A glob that has been read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Glob {
    parts: Vec<Part>,
    /// The longest run of plain characters; a text without it cannot match, which is quick to find out.
    literal: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Char(char),
    One,
    Any,
}

/// A text that is no glob.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidGlob {
    /// It would match nothing but the empty text.
    #[error("the pattern is empty")]
    Empty,
    /// Its last character takes the next one as it is, and there is none.
    #[error("the pattern `{0}` ends with a lone backslash")]
    DanglingEscape(String),
    /// It is too long.
    #[error("the pattern is longer than {LEN_MAX} characters")]
    TooLong,
}

impl Glob {
    /// Reads a glob.
    ///
    /// # Errors
    /// [`InvalidGlob`] when it is empty, too long, or ends inside of an escape.
    pub fn new(text: &str) -> Result<Self, InvalidGlob> {
        let mut parts = Vec::new();
        let mut chars = text.chars();
        while let Some(c) = chars.next() {
            let part = match c {
                '*' if parts.last() == Some(&Part::Any) => continue,
                '*' => Part::Any,
                '?' => Part::One,
                '\\' => Part::Char(chars.next().ok_or_else(|| InvalidGlob::DanglingEscape(text.to_owned()))?),
                plain => Part::Char(plain),
            };
            parts.push(part);
        }
        match parts.len() {
            0 => Err(InvalidGlob::Empty),
            len if len > LEN_MAX => Err(InvalidGlob::TooLong),
            _ => Ok(Glob { literal: longest_literal(&parts), parts }),
        }
    }

    /// Tells whether it matches the whole of `text`; takes at most the product of their lengths.
    pub fn is_match(&self, text: &str) -> bool {
        if !text.contains(&self.literal) {
            return false;
        }
        let parts = &self.parts;
        let mut rest = text.chars();
        let mut at = 0;
        // Where to go on when what follows the last `*` does not fit: the `*` then takes one character more.
        let mut retry = None;
        loop {
            let before = rest.clone();
            let next = rest.next();
            match (parts.get(at), next) {
                (Some(Part::Any), _) => {
                    at += 1;
                    retry = Some((at, before.clone()));
                    rest = before;
                }
                (Some(Part::One), Some(_)) => at += 1,
                (Some(Part::Char(expected)), Some(found)) if *expected == found => at += 1,
                (None, None) => return true,
                (Some(Part::Char(_)) | None, Some(_)) => {
                    let Some((after_any, mut from)) = retry.take() else { return false };
                    if from.next().is_none() {
                        return false;
                    }
                    at = after_any;
                    retry = Some((after_any, from.clone()));
                    rest = from;
                }
                (Some(Part::One | Part::Char(_)), None) => return false,
            }
        }
    }

    /// Writes a text so that a glob takes every character of it as it is.
    pub fn escape(text: &str) -> String {
        let mut escaped = String::with_capacity(text.len());
        for c in text.chars() {
            if matches!(c, '*' | '?' | '\\') {
                escaped.push('\\');
            }
            escaped.push(c);
        }
        escaped
    }
}

fn longest_literal(parts: &[Part]) -> String {
    let literals = parts.split(|part| !matches!(part, Part::Char(_)));
    let longest = literals.max_by_key(|run| run.len()).unwrap_or_default();
    let character = |part: &Part| match part {
        Part::Char(c) => Some(*c),
        Part::One | Part::Any => None,
    };
    longest.iter().filter_map(character).collect()
}
