//! A shell command line as the gate sees it: every command that it would start, with prefixes and nesting seen through.

use serde::{Deserialize, Serialize};

/// What a shell command line would do, as far as reading it can tell.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShellLine {
    /// Every command in it, in the order of the text: of pipelines and lists, in substitutions, behind `sudo`, `env`
    /// or `xargs`, and inside what a nested shell is given with `-c`.
    pub commands: Vec<ShellCommand>,
    /// What could not be seen through, each with the reason. A line that has any counts as matching every rule that
    /// denies and could apply.
    pub opaque: Vec<String>,
}

/// One command that a line would start.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShellCommand {
    /// The program without its folder, quotes removed: `rm` for `"/bin/rm"`. Empty when it is only known at run time.
    pub program: String,
    /// The arguments as the program would get them, quotes removed and braces expanded. What only the run can tell (a variable,
    /// a substitution, a glob) stands in its source form, as `$HOME` or `*`.
    pub args: Vec<String>,
    /// The flags among `args`, taken apart: `-rf` gives `-r` and `-f`, `--depth=1` gives `--depth`.
    pub flags: Vec<String>,
    /// The arguments that are no flags, in order; everything after `--` is one.
    pub operands: Vec<String>,
    /// The paths among the operands, flag values and redirections, with `.` and `..` folded where they can be.
    pub paths: Vec<String>,
    /// The hosts among the arguments: of URLs and of `user@host:path`.
    pub hosts: Vec<String>,
    /// The files that redirections open for writing.
    pub writes: Vec<String>,
    /// The prefixes it was found behind, outermost first: `sudo`, `env`, `xargs`, `sh -c`.
    pub wrappers: Vec<String>,
}
