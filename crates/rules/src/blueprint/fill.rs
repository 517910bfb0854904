//! From a command as it is written to a command that can start: its template merged in, its placeholders filled.
//!
//! A placeholder is one of eight words in braces. Any other word in braces stays as it is, and so does what stands
//! after a `$`, so that a shell's `${model}` is the shell's. Filled-in text is not looked at again.

use adjutant_model::blueprint::CommandSpec;

/// The placeholders.
pub(super) const WORDS: [&str; 8] =
    ["prompt", "system", "system_file", "model", "tools_csv", "work_dir", "task_id", "attempt"];

/// What the placeholders stand for; what is absent fails the command that names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Fillings<'a> {
    /// `{prompt}`: the step's input as text.
    pub prompt: Option<&'a str>,
    /// `{system}`: the profile's system prompt.
    pub system: Option<&'a str>,
    /// `{system_file}`: the path of a file that holds it.
    pub system_file: Option<&'a str>,
    /// `{model}`: the profile's model.
    pub model: Option<&'a str>,
    /// `{tools_csv}`: the profile's tools with commas between them.
    pub tools_csv: Option<&'a str>,
    /// `{work_dir}`: the workspace's path.
    pub work_dir: Option<&'a str>,
    /// `{task_id}`: the task's id.
    pub task_id: Option<&'a str>,
    /// `{attempt}`: which attempt of the step, from 1.
    pub attempt: Option<&'a str>,
}

impl<'a> Fillings<'a> {
    fn get(&self, word: &str) -> Option<&'a str> {
        match word {
            "prompt" => self.prompt,
            "system" => self.system,
            "system_file" => self.system_file,
            "model" => self.model,
            "tools_csv" => self.tools_csv,
            "work_dir" => self.work_dir,
            "task_id" => self.task_id,
            "attempt" => self.attempt,
            _ => None,
        }
    }
}

/// A placeholder that nothing fills.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("nothing fills the placeholder {{{placeholder}}}")]
pub struct MissingSource {
    /// The word between the braces.
    pub placeholder: String,
}

/// Merges a command with its template: what the command says itself wins; variables are merged one by one.
pub fn fill(spec: &CommandSpec, template: Option<&CommandSpec>) -> CommandSpec {
    let Some(template) = template else { return spec.clone() };
    let mut env = template.env.clone();
    env.extend(spec.env.clone());
    CommandSpec {
        template: spec.template.clone(),
        argv: if spec.argv.is_empty() { template.argv.clone() } else { spec.argv.clone() },
        use_stdin: spec.use_stdin.or(template.use_stdin),
        // Standard input has one source: a command that takes the step's input does not also take the template's text.
        stdin: spec.stdin.clone().or_else(|| template.stdin.clone().filter(|_| spec.use_stdin != Some(true))),
        env,
        cwd: spec.cwd.clone().or_else(|| template.cwd.clone()),
        timeout_ms: spec.timeout_ms.or(template.timeout_ms),
        output: spec.output.clone().or_else(|| template.output.clone()),
    }
}

/// Fills the placeholders of a text.
///
/// # Errors
/// [`MissingSource`] when the text names a placeholder that has no filling.
pub fn placeholders(text: &str, fillings: &Fillings<'_>) -> Result<String, MissingSource> {
    let mut filled = String::with_capacity(text.len());
    for piece in pieces(text) {
        match piece {
            Piece::Text(text) => filled.push_str(text),
            Piece::Braces { text, word, after_dollar } => {
                if after_dollar || !WORDS.contains(&word) {
                    filled.push_str(text);
                } else {
                    let missing = || MissingSource { placeholder: word.to_owned() };
                    filled.push_str(fillings.get(word).ok_or_else(missing)?);
                }
            }
        }
    }
    Ok(filled)
}

/// Gives the words in braces that are no placeholders.
pub(super) fn unknown_words(text: &str) -> Vec<&str> {
    let word = |piece| match piece {
        Piece::Braces { word, .. } if !WORDS.contains(&word) => Some(word),
        Piece::Braces { .. } | Piece::Text(_) => None,
    };
    pieces(text).filter_map(word).collect()
}

enum Piece<'t> {
    Text(&'t str),
    /// `{word}` of lowercase letters and underscores.
    Braces {
        text: &'t str,
        word: &'t str,
        after_dollar: bool,
    },
}

fn pieces(text: &str) -> impl Iterator<Item = Piece<'_>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let rest = text.get(at..).filter(|rest| !rest.is_empty())?;
        let found = rest.match_indices('{').find_map(|(open, _)| {
            let (word, _) = rest[open + 1..].split_once('}')?;
            let is_word = !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
            is_word.then_some((open, word))
        });
        match found {
            Some((0, word)) => {
                let len = word.len() + 2;
                let after_dollar = text[..at].ends_with('$');
                at += len;
                Some(Piece::Braces { text: &rest[..len], word, after_dollar })
            }
            Some((open, _)) => {
                at += open;
                Some(Piece::Text(&rest[..open]))
            }
            None => {
                at = text.len();
                Some(Piece::Text(rest))
            }
        }
    })
}
