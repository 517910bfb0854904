//! Patterns over the commands of a shell line, such as `rm -r {outside}`; their form is told in [`crate::policy`].

use super::glob::{Glob, InvalidGlob};
use super::outside::{Ground, folded, is_dynamic, is_one_expansion, is_shell_glob};
use adjutant_model::shell::{ShellCommand, ShellLine};

/// The longest pattern, in bytes.
const LEN_MAX: usize = 4096;

/// A pattern's `-abc` is taken apart up to so many letters; `-delete` is one flag.
const BUNDLE_MAX: usize = 3;

/// The word that stands for a path outside of the workspace.
const OUTSIDE: &str = "{outside}";

/// The word that stands for the top of the workspace.
const TOP: &str = "{workspace}";

/// Prefixes that run a command as it stands; behind any other an allowing rule does not apply.
const SHELLS: [&str; 6] = ["sh", "bash", "dash", "zsh", "ksh", "ash"];

/// Prefixes that add operands which only the run can tell.
const ADD_OPERANDS: [&str; 2] = ["xargs", "parallel"];

/// Files that take a redirection and keep nothing.
const SINKS: [&str; 4] = ["/dev/null", "/dev/stdout", "/dev/stderr", "/dev/tty"];

/// Flags that mean the same, by program, as their manuals have them. A rule against one of them is against all.
const SAME_FLAGS: [(&[&str], &[&str]); 7] = [
    (&["rm", "cp"], &["-r", "-R", "--recursive"]),
    (&["chmod", "chown", "chgrp"], &["-R", "--recursive"]),
    (&["rm", "cp", "mv", "ln", "git"], &["-f", "--force"]),
    (&["cp"], &["-a", "--archive"]),
    (&["ln"], &["-s", "--symbolic"]),
    (&["git"], &["-d", "--delete"]),
    (&["sed"], &["-i", "--in-place"]),
];

/// A pattern that has been read.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct CommandPattern {
    program: Vec<Glob>,
    /// One alternative of each must be there.
    flags: Vec<Vec<FlagPattern>>,
    operands: Vec<Vec<Word>>,
    /// Whether the last word is `*`: an allowing rule then lets any flags and operands follow.
    open: bool,
}

#[derive(Debug, Clone, PartialEq)]
enum FlagPattern {
    Glob(Glob),
    /// Written with two hyphens; a denying rule takes abbreviations of it too.
    Long(String),
    /// Written with one: as it stands, or each letter for itself.
    Short(String),
}

#[derive(Debug, Clone, PartialEq)]
enum Word {
    Glob(Glob),
    Outside,
    Top,
}

/// A text that is no pattern over a command.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum InvalidCommand {
    /// It names no program.
    #[error("the pattern is empty")]
    Empty,
    /// It is too long.
    #[error("the pattern is longer than {LEN_MAX} bytes")]
    TooLong,
    /// It is more than the words of one command.
    #[error("`{0}` belongs to the shell; a pattern is the words of one command")]
    Syntax(char),
    /// A placeholder that does not exist or stands where it cannot.
    #[error("`{0}` is no placeholder here; `{{outside}}`, `{{workspace}}` and `{{data_folder}}` are")]
    Placeholder(String),
    /// The program is given by its path.
    #[error("`{0}` is a path; a program is named without its folder")]
    ProgramPath(String),
    /// A word that is sometimes a flag.
    #[error("`{0}` mixes flags with other words")]
    MixedWord(String),
    /// A flag with a value.
    #[error("`{0}` has a value; name the flag alone, or judge its value by `when`")]
    FlagValue(String),
    /// One of the words is no glob.
    #[error(transparent)]
    Glob(#[from] InvalidGlob),
}

impl CommandPattern {
    /// Reads a pattern whose `{data_folder}` is filled in already.
    ///
    /// # Errors
    /// [`InvalidCommand`] says what is wrong.
    pub(super) fn new(text: &str) -> Result<Self, InvalidCommand> {
        if text.len() > LEN_MAX {
            return Err(InvalidCommand::TooLong);
        }
        let words = words(text)?;
        let (program, rest) = words.split_first().ok_or(InvalidCommand::Empty)?;
        if let Some(path) = program.iter().find(|name| name.contains('/')) {
            return Err(InvalidCommand::ProgramPath(path.clone()));
        }
        let program = program.iter().map(|name| name_glob(name)).collect::<Result<_, _>>()?;
        let open = rest.last().is_some_and(|last| last == &["*"]);
        let mut pattern = CommandPattern { program, flags: Vec::new(), operands: Vec::new(), open };
        let mut only_operands = false;
        for word in rest {
            let flags = word.iter().filter(|alternative| is_flag(alternative)).count();
            if !only_operands && word == &["--"] {
                only_operands = true;
            } else if only_operands || flags == 0 {
                pattern.operands.push(word.iter().map(|w| operand(w)).collect::<Result<_, _>>()?);
            } else if flags == word.len() {
                pattern.flags.push(word.iter().map(|w| flag(w)).collect::<Result<_, _>>()?);
            } else {
                return Err(InvalidCommand::MixedWord(word.join("|")));
            }
        }
        Ok(pattern)
    }

    /// Reads a plain text that looks like the beginning of a command, as `rm -rf` does; `None` when it does not.
    ///
    /// It is taken as it stands, without globs, and its last word may go on.
    pub(super) fn of_plain_text(text: &str) -> Option<Self> {
        let mut words = text.split_whitespace();
        let program = words.next()?;
        let is_name = |c: char| c.is_ascii_alphanumeric() || "_.-+".contains(c);
        if !program.chars().all(is_name) || program.starts_with('-') || words.clone().next().is_none() {
            return None;
        }
        let mut escaped = escape_word(text);
        if words.last().is_some_and(|last| !is_flag(last)) {
            escaped.push('*');
        }
        CommandPattern::new(&escaped).ok()
    }

    /// Tells whether a word of it stands for paths, as only a rule against them can use.
    pub(super) fn names_places(&self) -> bool {
        self.operands.iter().flatten().any(|word| matches!(word, Word::Outside | Word::Top))
    }

    /// Tells whether a command of the line is what the pattern speaks of, as far as anyone can tell before the run.
    pub(super) fn could_match(&self, line: &ShellLine, workspace: Option<&str>) -> bool {
        let mut ground = Ground::at_start(workspace, line);
        line.commands.iter().any(|command| {
            let here = ground;
            ground = ground.after(command);
            self.could_be(command, &here)
        })
    }

    /// Tells whether a command is for certain nothing but what the pattern speaks of.
    pub(super) fn must_match(&self, command: &ShellCommand, ground: &Ground<'_>) -> bool {
        self.program.iter().any(|glob| glob.is_match(&command.program))
            && CommandPattern::runs_plainly(command, ground)
            && self.flags.iter().all(|one| one.iter().any(|flag| flag.is_exactly_in(command)))
            && (self.open || command.flags.iter().all(|flag| self.takes_flag(flag)))
            && self.takes_operands(&command.operands)
    }

    /// Tells whether a command is run as itself and overwrites nothing outside of the workspace.
    pub(super) fn runs_plainly(command: &ShellCommand, ground: &Ground<'_>) -> bool {
        let by_shell = |by: &String| SHELLS.contains(&first_word(by));
        let kept = |file: &&String| !SINKS.contains(&file.as_str());
        let mut files = command.writes.iter().filter(kept);
        command.wrappers.iter().all(by_shell) && !files.any(|file| ground.is_outside(file))
    }

    fn could_be(&self, command: &ShellCommand, ground: &Ground<'_>) -> bool {
        if !self.program.iter().any(|glob| glob.is_match(&command.program)) {
            return false;
        }
        let has_flag = |one: &Vec<FlagPattern>| one.iter().any(|flag| flag.could_be_in(command));
        (self.flags.iter().all(has_flag) || self.flags_are_unknown(command))
            && self.operands_fit(command, ground)
    }

    /// Tells whether a variable stands where flags do: before every operand that the pattern does not spell out.
    fn flags_are_unknown(&self, command: &ShellCommand) -> bool {
        let spelled_out = |(index, operand): (usize, &String)| {
            let Some(words) = self.operands.get(index) else { return false };
            words
                .iter()
                .any(|word| matches!(word, Word::Glob(glob) if glob.is_literal() && glob.is_match(operand)))
        };
        let at = command.operands.iter().enumerate().find(|(i, operand)| !spelled_out((*i, operand)));
        at.is_some_and(|(_, operand)| is_one_expansion(operand))
            || command.flags.iter().any(|f| is_dynamic(f))
    }

    /// Finds the operands of the pattern among those of the command, in this order; others may stand between.
    fn operands_fit(&self, command: &ShellCommand, ground: &Ground<'_>) -> bool {
        let unknown = command.wrappers.iter().any(|by| ADD_OPERANDS.contains(&first_word(by)));
        let added = unknown.then_some("$@");
        let mut given = command.operands.iter().map(String::as_str).chain(added);
        self.operands
            .iter()
            .all(|words| given.any(|operand| words.iter().any(|word| word.could_be(operand, ground))))
    }

    fn takes_flag(&self, flag: &str) -> bool {
        self.flags.iter().flatten().any(|pattern| match pattern {
            FlagPattern::Glob(glob) => glob.is_match(flag),
            FlagPattern::Long(long) => long == flag,
            FlagPattern::Short(short) => short == flag || letters(short).any(|letter| letter == flag),
        })
    }

    fn takes_operands(&self, operands: &[String]) -> bool {
        let fixed = self.operands.len() - usize::from(self.open);
        let long_enough = if self.open { operands.len() >= fixed } else { operands.len() == fixed };
        let fits = |(words, operand): (&Vec<Word>, &String)| words.iter().any(|word| word.must_be(operand));
        long_enough && self.operands[..fixed].iter().zip(operands).all(fits)
    }
}

impl FlagPattern {
    fn could_be_in(&self, command: &ShellCommand) -> bool {
        let stands = |name: &str| command.flags.iter().any(|flag| flag == name || abbreviates(name, flag));
        let could = |name: &str| stands(name) || same_flags(&command.program, name).any(stands);
        match self {
            FlagPattern::Glob(_) => self.is_exactly_in(command),
            FlagPattern::Long(long) => could(long),
            FlagPattern::Short(short) => {
                self.is_exactly_in(command)
                    || could(short)
                    || is_bundle(short) && letters(short).all(|letter| could(&letter))
            }
        }
    }

    fn is_exactly_in(&self, command: &ShellCommand) -> bool {
        let has = |name: &str| command.flags.iter().any(|flag| flag == name);
        match self {
            FlagPattern::Glob(glob) => command.flags.iter().any(|flag| glob.is_match(flag)),
            FlagPattern::Long(long) => has(long),
            FlagPattern::Short(short) => {
                let bundled = is_bundle(short) && letters(short).all(|letter| has(&letter));
                has(short) || command.args.contains(short) || bundled
            }
        }
    }
}

impl Word {
    fn could_be(&self, operand: &str, ground: &Ground<'_>) -> bool {
        match self {
            Word::Outside => ground.is_outside(operand),
            Word::Top => ground.is_top(operand),
            Word::Glob(glob) => {
                glob.is_match(operand)
                    || glob.is_match(&folded(operand))
                    || (is_shell_glob(operand) && glob.could_meet(&folded(operand)))
            }
        }
    }

    fn must_be(&self, operand: &str) -> bool {
        match self {
            Word::Outside | Word::Top => false,
            Word::Glob(glob) => {
                let whole = operand.is_empty() || !operand.contains('/') || glob.is_match(&folded(operand));
                glob.is_any() || (!is_dynamic(operand) && whole && glob.is_match(operand))
            }
        }
    }
}

fn first_word(text: &str) -> &str {
    let word = text.split_whitespace().next().unwrap_or_default();
    word.rsplit('/').next().unwrap_or_default()
}

/// Tells whether a flag with one hyphen may be several in one.
fn is_bundle(short: &str) -> bool {
    short.len() <= 1 + BUNDLE_MAX
}

/// Tells whether a flag may be the beginning of a longer one.
fn abbreviates(long: &str, flag: &str) -> bool {
    flag.len() > 2 && flag.starts_with("--") && long.starts_with(flag)
}

/// Gives the flags of a program that mean the same as one of them.
fn same_flags<'a>(program: &'a str, flag: &'a str) -> impl Iterator<Item = &'static str> + 'a {
    let same = SAME_FLAGS
        .iter()
        .filter(move |(programs, names)| programs.contains(&program) && names.contains(&flag));
    same.flat_map(|(_, names)| names.iter().copied())
}

fn letters(short: &str) -> impl Iterator<Item = String> {
    short.chars().skip(1).map(|letter| format!("-{letter}"))
}

fn is_flag(word: &str) -> bool {
    word.len() > 1 && word.starts_with('-')
}

/// Splits a pattern into words and each word into its alternatives; `\` takes the next character as it is.
fn words(text: &str) -> Result<Vec<Vec<String>>, InvalidCommand> {
    let mut words = Vec::new();
    let mut word = vec![String::new()];
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        let last = word.last_mut().expect("a word has an alternative, the last is pushed below");
        match c {
            '\\' => last.extend(std::iter::once(c).chain(chars.next())),
            c if c.is_whitespace() => finish(&mut word, &mut words)?,
            '|' => word.push(String::new()),
            ';' | '&' | '<' | '>' | '`' | '"' | '\'' | '(' | ')' => return Err(InvalidCommand::Syntax(c)),
            c => last.push(c),
        }
    }
    finish(&mut word, &mut words)?;
    Ok(words)
}

fn finish(word: &mut Vec<String>, words: &mut Vec<Vec<String>>) -> Result<(), InvalidCommand> {
    let word = std::mem::replace(word, vec![String::new()]);
    if word.len() > 1 && word.iter().any(String::is_empty) {
        return Err(InvalidCommand::Syntax('|'));
    }
    if !word[0].is_empty() {
        words.push(word);
    }
    Ok(())
}

fn name_glob(text: &str) -> Result<Glob, InvalidCommand> {
    if has_brace(text) {
        return Err(InvalidCommand::Placeholder(text.to_owned()));
    }
    Ok(Glob::new(text)?)
}

fn operand(text: &str) -> Result<Word, InvalidCommand> {
    Ok(match text {
        OUTSIDE => Word::Outside,
        TOP => Word::Top,
        glob => Word::Glob(name_glob(glob)?),
    })
}

fn flag(text: &str) -> Result<FlagPattern, InvalidCommand> {
    if text.contains('=') {
        return Err(InvalidCommand::FlagValue(text.to_owned()));
    }
    let glob = name_glob(text)?;
    Ok(match (glob.is_literal(), text.starts_with("--")) {
        (false, _) => FlagPattern::Glob(glob),
        (true, true) => FlagPattern::Long(text.replace('\\', "")),
        (true, false) => FlagPattern::Short(text.replace('\\', "")),
    })
}

/// Finds a brace that is not escaped: the shell's own braces are expanded before anything is matched.
fn has_brace(text: &str) -> bool {
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => drop(chars.next()),
            '{' | '}' => return true,
            _ => {}
        }
    }
    false
}

/// Writes a text so that a pattern takes every character of it as it is; white space that separates words stays when
/// it is a plain space between them.
fn escape_word(text: &str) -> String {
    text.split_whitespace().map(escape).collect::<Vec<_>>().join(" ")
}

/// Writes a text as a part of one word, every character as it is.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_whitespace() || "*?\\|;&<>`\"'(){}".contains(c) {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}

#[cfg(test)]
mod tests;
