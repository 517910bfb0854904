//! Policies: which tool calls may happen, which need a person's word, and which are refused.
//!
//! Rules come from TOML that a person wrote ([`read_file`]) or from the wire ([`read_wire`]); what is unknown in
//! them is refused and never ignored. A [`PolicySet`] keeps them compiled, and [`judge`] asks the sets in force.
//!
//! # The file
//!
//! ```toml
//! default = "allow"            # allow (unless said), ask or deny: what no rule of this file is about
//!
//! [[rule]]
//! name = "no-prod"             # shown to people and agents; several rules may share one
//! effect = "deny"              # deny, ask or allow
//! tool = "Bash"                # a glob over the tool's name; every tool when absent
//! params = { "path|file" = ["/srv/*", "/etc/*"] }   # globs over parameters
//! command = ["kubectl delete *", "rm -r|-R {outside}"]  # patterns over the commands of its shell text
//! when = "now.getHours() >= 18 || agent != 'release'"   # a condition in CEL
//! reason = "production is off limits"               # told to who asked; say what to do instead
//! ```
//!
//! A rule is about a call that fits all of `tool`, `params`, `command` and `when`; at least one of them is there.
//!
//! **Globs** are matched against the whole text, case-sensitively: `*` is any run of characters, `/` and line ends
//! included, `?` is one character, `\` takes the next one as it is.
//!
//! **`params`** has a key, several with `|` between them, or `*` for any parameter, nested ones included. Of several
//! globs one must match; every entry must. A string is matched as it is, anything else as JSON, a list of strings
//! also joined by spaces. Shell text (see below) is matched as it stands and as the text of each of its commands,
//! with single spaces and without quotes.
//!
//! **`command`** is a pattern or several, of which one must match. A call has commands when it has shell text:
//! [`shell_texts`] tells which parameters are. What `sudo`, `env`, `sh -c`, pipes and substitutions start is a command
//! like any other. The words of a pattern are:
//!
//! - the program, without its folder, as a glob;
//! - flags, which begin with a hyphen: all of them must be there, in any order and place. `-rf` is `-r` and `-f`;
//!   `--force` also stands for its abbreviations; a glob such as `--force*` is matched against each flag. A
//!   rule that denies or asks is about the other names too that a few common programs have for a flag, as `-R` and
//!   `--recursive` of `rm`; of any other program the names are different flags: write `-q|--quiet`;
//! - operands, as globs: they must be found among the command's operands in this order, with any others before,
//!   between and behind. They are matched as they stand and with `.`, `..` and double slashes folded away. An
//!   operand by which the shell looks for files, as `.gi*`, matches when it could become one that does. `--` makes
//!   all further words operands;
//! - `a|b` in any word is one or the other; `\` takes the next character as it is.
//!
//! So `rm -rf /*` matches `rm  -r -f /`, `"rm" -fr /etc` and `sudo sh -c 'rm -rf /'`. The operand `{outside}` is a
//! path that is not known to be in the workspace: an absolute path elsewhere, `..`, `~`, anything with a variable in
//! it, and everything behind a `cd` that may have left. `{workspace}` is the top of the workspace itself. `{data_folder}`, in `params` and
//! `command`, is the data folder.
//!
//! **`when`** is a boolean in CEL over `tool`, `parameters`, `agent`, `session`, `project`, `run` and `workspace` (strings, empty
//! when there is none; the last is a path), `state`, `now` (an instant, in UTC) and `shell`, whose fields `programs`,
//! `args`, `paths`, `hosts`, `writes` (files that redirections open) and `opaque` are lists of strings over all
//! commands, and whose `commands` have `program`, `args`, `flags`, `operands`, `paths`, `hosts`, `writes` and
//! `wrappers` each. There are the operators, `has`, `all`, `exists`, `exists_one`, `map`, `filter`, `in`, `size`, `contains`,
//! `startsWith`, `endsWith`, `matches` (with a pattern that is written out), `int`, `uint`, `double`, `string`, `timestamp`,
//! `duration` and the `get…` methods of instants. What can be checked is checked when the file is read. A parameter
//! that may be absent is asked for first: `has(parameters.path) && parameters.path.startsWith('/srv/')`. Arithmetic
//! does not mix whole numbers with fractions, though comparing does. A condition that comes to nothing denies,
//! whatever the rule's effect is.
//!
//! # What cannot be told
//!
//! Rules that deny or ask are about everything that they could be about. When a command line cannot be read to its
//! end, or only the run can tell which program it starts, every such rule fits that has a `command`, names shell text
//! in `params` or looks at `shell` in `when`, if the rest of it fits. A variable in the place of flags is taken for
//! any flag, and an `xargs` for any operand.
//!
//! Rules that allow are about nothing but what is certain: with `command`, or `params` over shell text, *every*
//! command of the call must match, the line must have been read to its end, nothing but a shell stands before a
//! command, no redirection leaves the workspace, and the pattern names each flag and operand in its place. Only a last
//! word `*` lets any others follow: `cargo test *` allows `cargo test --workspace`, and `cargo test` does not.
//!
//! # How rules decide
//!
//! Each set has a scope: plane, project, agent, run, connection, from wide to narrow. The plane's is `policy.toml` in the
//! data folder, a project's `.adjutant/policy.toml` in its repository, an agent's [`agent_file`] in `policies/agents` of
//! the data folder; the others come over the wire. Within one set, `deny` wins over
//! `ask` and `ask` over `allow`, whatever the order of the rules; when none matches, the set's default decides. Then
//! the strictest word of all sets holds. So a set can only tighten what the others say, the narrower as well as the
//! wider: an `allow` overrules nothing but the default of its own set. A set without a say, as every one is whose
//! default is `allow`, changes nothing.

mod call;
mod command;
mod condition;
mod glob;
mod outside;
mod place;
mod read;
mod set;
mod shell;

pub use glob::{Glob, InvalidGlob};
pub use place::{agent_file, names_functions};
pub use read::{Places, PolicyFile, read_file, read_wire};
pub use set::PolicySet;
pub use shell::shell_texts;

use adjutant_model::policy::{PolicyEffect, PolicyMatch, PolicyScope};
use adjutant_model::shell::ShellLine;
use adjutant_model::{Timestamp, Value};
use call::Call;

/// The policy of a fresh install, as TOML with the placeholders of [`Places`]: ordinary commands run, the data
/// folder's own files are out of reach, and plainly destructive commands are refused.
pub const DEFAULT_POLICY: &str = include_str!("policy/default.toml");

/// A call that is to be judged, and where it comes from.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// The tool's name; steps of a flow are judged as `step:<kind>`.
    pub tool: &'a str,
    /// Its parameters.
    pub parameters: &'a Value,
    /// What its shell text ([`shell_texts`]) would start, all lines together; without it a call that has shell text
    /// counts as one that nobody could read.
    pub shell: Option<&'a ShellLine>,
    /// The agent that calls.
    pub agent: Option<&'a str>,
    /// The session that it calls from.
    pub session: Option<&'a str>,
    /// The project that it works in.
    pub project: Option<&'a str>,
    /// The run that the call belongs to.
    pub run: Option<&'a str>,
    /// The absolute path of the folder that it works in.
    pub workspace: Option<&'a str>,
    /// The state that `require_state` and conditions ask for, an object.
    pub state: &'a Value,
    /// When it calls.
    pub now: Timestamp,
}

impl<'a> Subject<'a> {
    /// Makes a call of which nothing else is known; `Subject { agent: …, ..Subject::new(…) }` tells more.
    pub fn new(tool: &'a str, parameters: &'a Value, now: Timestamp) -> Self {
        let (shell, agent, session, project, run, workspace) = (None, None, None, None, None, None);
        Subject { tool, parameters, shell, agent, session, project, run, workspace, state: &Value::Null, now }
    }
}

/// What the rules say about a call.
#[derive(Debug, Clone, PartialEq)]
pub struct Verdict {
    /// Whether the call may go on, and whether a person must be asked.
    pub effect: PolicyEffect,
    /// The first rule that decided; `None` when none matched and a default did.
    pub rule: Option<String>,
    /// The scope of the set that decided; `None` when no set has a say.
    pub scope: Option<PolicyScope>,
    /// For people: why; every rule that decided as `policy '<name>': <why>`, joined by `; `.
    pub reason: String,
    /// Every rule that matched, in the order of the sets and of their rules.
    pub matched: Vec<PolicyMatch>,
}

/// Judges a call by the sets in force, which stand in the order in which their rules are to be told, the widest first.
///
/// Within a set the strictest rule that matches decides, else its default; the strictest set decides. Without any
/// set the call is allowed.
pub fn judge(sets: &[&PolicySet], subject: &Subject<'_>) -> Verdict {
    let mut call = Call::new(subject);
    let mut matched = Vec::new();
    let mut strictest: Option<(PolicyEffect, PolicyScope)> = None;
    for set in sets {
        let own = set.matches(&mut call);
        let word = own.iter().map(|hit| hit.effect).max().unwrap_or(set.default_effect());
        if strictest.is_none_or(|(so_far, _)| word > so_far) {
            strictest = Some((word, set.scope()));
        }
        matched.extend(own);
    }
    let effect = strictest.map_or(PolicyEffect::Allow, |(effect, _)| effect);
    let deciding: Vec<&PolicyMatch> = matched.iter().filter(|hit| hit.effect == effect).collect();
    let told = if effect == PolicyEffect::Allow { deciding.len().min(1) } else { deciding.len() };
    let reasons: Vec<_> =
        deciding[..told].iter().map(|hit| format!("policy '{}': {}", hit.rule, hit.why)).collect();
    let reason = match (reasons.is_empty(), effect) {
        (false, _) => reasons.join("; "),
        (true, PolicyEffect::Allow) => "no rule is against it".to_owned(),
        (true, PolicyEffect::Ask) => "no rule allows it without asking".to_owned(),
        (true, PolicyEffect::Deny) => "no rule allows it".to_owned(),
    };
    let rule = deciding.first().map(|hit| hit.rule.clone());
    let scope = deciding.first().map(|hit| hit.scope).or(strictest.map(|(_, scope)| scope));
    Verdict { effect, rule, scope, reason, matched }
}

#[cfg(test)]
mod tests;
