//! Which parameters of a call are shell text.

use adjutant_model::Value;

/// The keys whose values are read as shell text.
const KEYS: [&str; 6] = ["command", "cmd", "script", "argv", "args", "shell"];

/// The keys that hold only the words behind a program that another key names.
const ARGUMENT_KEYS: [&str; 2] = ["args", "argv"];

/// The keys that hold a program when an argument key stands beside them.
const PROGRAM_KEYS: [&str; 2] = ["command", "cmd"];

/// Tells whether a parameter of this key is shell text.
pub(super) fn is_key(key: &str) -> bool {
    KEYS.contains(&key)
}

/// Gives the command lines that a call's parameters hold, for a parser of shell text; none when it holds none.
///
/// Looked at are the parameters `command`, `cmd`, `script`, `argv`, `args` and `shell` of the call itself, when they
/// are a string or a list. A string is a line as it stands. A list is the words of one command, each quoted where it
/// needs to be; an only word, and every word of a `script`, is a line of its own as well. A program in `command` or
/// `cmd` beside a list or string of arguments in `args` or `argv` is one line with them.
pub fn shell_texts(parameters: &Value) -> Vec<String> {
    let texts = |keys: &[&str]| -> Vec<(String, Vec<String>)> {
        keys.iter().filter_map(|key| Some(((*key).to_owned(), readings(key, parameters.get(key)?)))).collect()
    };
    let arguments: Vec<String> = texts(&ARGUMENT_KEYS).into_iter().flat_map(|(_, lines)| lines).collect();
    let mut lines = Vec::new();
    for (key, own) in texts(&KEYS) {
        let joined = PROGRAM_KEYS.contains(&key.as_str()) && !arguments.is_empty();
        for line in own {
            if joined {
                lines.extend(arguments.iter().map(|arguments| format!("{line} {arguments}")));
            } else {
                lines.push(line);
            }
        }
    }
    lines
}

fn readings(key: &str, value: &Value) -> Vec<String> {
    match value {
        Value::String(line) => vec![line.to_string()],
        Value::Array(items) => {
            let words: Vec<String> = items.as_slice().iter().map(word).collect();
            let quoted: Vec<_> = words.iter().map(|word| quoted(word)).collect();
            let lines = if key == "script" || words.len() == 1 { words } else { Vec::new() };
            if quoted.is_empty() {
                Vec::new()
            } else {
                std::iter::once(quoted.join(" ")).chain(lines).collect()
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => Vec::new(),
    }
}

fn word(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Quotes a word so that a shell takes it as it is.
fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_-./=:,@%+".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn command_lines_are_found_where_tools_keep_them() {
        for (parameters, expected) in [
            (r#"{}"#, vec![]),
            (r#""rm -rf /""#, vec![]),
            (r#"{"prompt": "rm -rf /"}"#, vec![]),
            (r#"{"command": "rm  -rf /"}"#, vec!["rm  -rf /"]),
            (r#"{"command": {"a": 1}}"#, vec![]),
            (r#"{"command": []}"#, vec![]),
            (r#"{"cmd": ["bash", "-lc", "rm -rf '/'"]}"#, vec!["bash -lc 'rm -rf '\\''/'\\'''"]),
            (r#"{"argv": ["rm -rf /"]}"#, vec!["'rm -rf /'", "rm -rf /"]),
            (r#"{"argv": ["kill", -9, 1]}"#, vec!["kill -9 1"]),
            (r#"{"script": ["cd x", "rm a"]}"#, vec!["'cd x' 'rm a'", "cd x", "rm a"]),
            (r#"{"command": "rm", "args": ["-rf", "/"]}"#, vec!["rm -rf /", "-rf /"]),
            (r#"{"command": "rm", "args": "-rf /"}"#, vec!["rm -rf /", "-rf /"]),
            (r#"{"shell": "ls", "command": "pwd"}"#, vec!["pwd", "ls"]),
        ] {
            let parameters: Value = serde_json::from_str(parameters).expect("the parameters are JSON");
            assert_eq!(shell_texts(&parameters), expected, "{parameters}");
        }
    }
}
