//! Globs over tool names and parameters: `*` is any run of characters, `/` and line ends included, `?` is one
//! character, `\` takes the next character as it is. A glob is matched against the whole text, case-sensitively.

/// The longest glob, in characters.
const LEN_MAX: usize = 4096;

/// The longest pattern of a shell that is taken apart, in characters.
const SHELL_LEN_MAX: usize = 1024;

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

impl Part {
    fn shares_a_char_with(self, shell: ShellPart) -> bool {
        match (self, shell) {
            (Part::Char(mine), ShellPart::Char(other)) => mine == other,
            (Part::Char(mine), ShellPart::One { leading }) => mine != '/' && !(leading && mine == '.'),
            (Part::Char(mine), ShellPart::LeadingStar) => mine != '/' && mine != '.',
            (Part::Char(mine), ShellPart::Star) => mine != '/',
            (Part::One | Part::Any, _) => true,
        }
    }
}

/// A part of a pattern that the shell expands to names of files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ShellPart {
    Char(char),
    /// `?` or `[…]`.
    One {
        leading: bool,
    },
    /// `*` at the beginning of a name: nothing, or a first character and then the [`ShellPart::Star`] behind it.
    LeadingStar,
    Star,
}

fn shell_parts(pattern: &str) -> Vec<ShellPart> {
    let mut parts = Vec::new();
    let mut rest = pattern.chars();
    while let Some(c) = rest.next() {
        let leading = matches!(parts.last(), None | Some(ShellPart::Char('/')));
        match c {
            '*' if parts.last() == Some(&ShellPart::Star) => {}
            '*' if leading => parts.extend([ShellPart::LeadingStar, ShellPart::Star]),
            '*' => parts.push(ShellPart::Star),
            '?' => parts.push(ShellPart::One { leading }),
            '[' => match rest.as_str().char_indices().skip(1).find(|(_, c)| *c == ']') {
                Some((end, _)) => {
                    rest = rest.as_str()[end + 1..].chars();
                    parts.push(ShellPart::One { leading });
                }
                None => parts.push(ShellPart::Char('[')),
            },
            c => parts.push(ShellPart::Char(c)),
        }
    }
    parts
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

    /// Tells whether it matches one text alone.
    pub(super) fn is_literal(&self) -> bool {
        self.parts.iter().all(|part| matches!(part, Part::Char(_)))
    }

    /// Tells whether it matches every text.
    pub(super) fn is_any(&self) -> bool {
        self.parts == [Part::Any]
    }

    /// Tells whether a shell could make a text of `pattern` that this glob matches; takes at most the product of
    /// their lengths, and a very long pattern is taken for one that could.
    ///
    /// The shell's `*`, `?` and `[…]` stay between slashes and do not begin a name with a dot.
    pub(super) fn could_meet(&self, pattern: &str) -> bool {
        let theirs = shell_parts(pattern);
        if theirs.len() > SHELL_LEN_MAX {
            return true;
        }
        let mut seen = vec![false; (self.parts.len() + 1) * (theirs.len() + 1)];
        let mut open = vec![(0, 0)];
        while let Some((mine, other)) = open.pop() {
            if std::mem::replace(&mut seen[mine * (theirs.len() + 1) + other], true) {
                continue;
            }
            let (part, shell) = (self.parts.get(mine), theirs.get(other));
            if part.is_none() && shell.is_none() {
                return true;
            }
            if part == Some(&Part::Any) {
                open.push((mine + 1, other));
            }
            match shell {
                Some(ShellPart::Star) => open.push((mine, other + 1)),
                Some(ShellPart::LeadingStar) => open.push((mine, other + 2)),
                Some(ShellPart::Char(_) | ShellPart::One { .. }) | None => {}
            }
            if let (Some(part), Some(shell)) = (part, shell)
                && part.shares_a_char_with(*shell)
            {
                let mine = if *part == Part::Any { mine } else { mine + 1 };
                open.push((mine, if *shell == ShellPart::Star { other } else { other + 1 }));
            }
        }
        false
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
