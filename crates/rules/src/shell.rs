//! Shell command lines: which commands one would start, however they are written.
//!
//! The grammar is tree-sitter's for bash. Of the libraries that parse bash it is the one that always gives a tree, so
//! that a broken line still shows the commands around the break and says where it is broken; brush-parser gives
//! nothing for such a line, leaves words as raw text and brings a hundred crates; yash-syntax is GPL. On top of the
//! tree this module takes words apart, follows what starts another command (`sudo`, `env`, `xargs`, `sh -c`, `find
//! -exec`, `ssh`, …), and reads what a nested shell is given as a line of its own.
//!
//! Nothing is run and nothing is looked up: a variable is known when the line itself gives it one literal value, and
//! what only the run can tell stays in its source form. What cannot be seen through is told in
//! [`ShellLine::opaque`], and whoever judges takes that for everything that it could be.

mod facts;

mod git;

mod nested;

mod tree;

mod word;

use adjutant_model::shell::ShellLine;

/// A longer line is not read.
const LINE_BYTES_MAX: usize = 64 * 1024;
/// Lines inside lines are followed so deep.
const NESTING_MAX: usize = 8;
/// A line that would start more commands is not followed further.
const COMMANDS_MAX: usize = 2000;

/// Reads a line as a shell would.
pub fn parse(text: &str) -> ShellLine {
    let mut reader = Reader { line: ShellLine::default(), depth: 0 };
    reader.script(text, &[]);
    reader.line
}

/// Reads an argument list that starts a program directly: no shell is between, so its words are what they are.
pub fn parse_argv(words: &[String]) -> ShellLine {
    let mut reader = Reader { line: ShellLine::default(), depth: 0 };
    let words = words.iter().map(|text| word::Word::sure(text.clone())).collect();
    reader.command(tree::Found { words, ..tree::Found::default() }, &[]);
    reader.line
}

/// Reads lines and the lines inside them.
struct Reader {
    line: ShellLine,
    depth: usize,
}

impl Reader {
    /// Reads a script behind the wrappers it was found in.
    fn script(&mut self, text: &str, wrappers: &[String]) {
        if text.len() > LINE_BYTES_MAX {
            return self.opaque(format!("a line of more than {LINE_BYTES_MAX} bytes"));
        }
        if self.depth >= NESTING_MAX {
            return self.opaque(format!("lines nested deeper than {NESTING_MAX}"));
        }
        if text.contains('\0') {
            // A shell drops it, and may then read words that are not in the text.
            return self.opaque("a line with a NUL in it".to_owned());
        }
        self.depth += 1;
        match tree::read(text) {
            Some(tree) => {
                tree.broken.into_iter().for_each(|what| self.opaque(what));
                for found in tree.commands {
                    self.command(found, wrappers);
                }
            }
            None => self.opaque("a line that the grammar gives up on".to_owned()),
        }
        self.depth -= 1;
    }

    /// Takes a command, or what it starts in its place.
    fn command(&mut self, found: tree::Found, wrappers: &[String]) {
        if self.line.commands.len() >= COMMANDS_MAX {
            return self.opaque(format!("more than {COMMANDS_MAX} commands"));
        }
        nested::follow(self, found, wrappers.to_vec());
    }

    fn opaque(&mut self, what: String) {
        if !self.line.opaque.contains(&what) {
            self.line.opaque.push(what);
        }
    }
}

#[cfg(test)]
mod tests;
