//! What starts another command: `sudo`, `env`, `xargs`, shells, `find -exec`, `ssh` and their like.

use super::facts;
use super::tree::{Found, Input};
use super::word::{self, Word};
use super::{NESTING_MAX, Reader};

/// A program that starts the command that its arguments name.
struct Prefix {
    name: &'static str,
    /// Its flags that take the next argument.
    valued: &'static [&'static str],
    /// How many of its own operands stand before the command.
    operands: usize,
}

const fn prefix(name: &'static str, valued: &'static [&'static str], operands: usize) -> Prefix {
    Prefix { name, valued, operands }
}

const PREFIXES: [Prefix; 27] = [
    prefix("coproc", &[], 0),
    prefix(
        "sudo",
        &[
            "-u",
            "-g",
            "-h",
            "-p",
            "-C",
            "-r",
            "-t",
            "-T",
            "-U",
            "-D",
            "-R",
            "--user",
            "--group",
            "--host",
            "--prompt",
            "--chdir",
            "--chroot",
            "--role",
            "--type",
            "--other-user",
            "--close-from",
            "--command-timeout",
        ],
        0,
    ),
    prefix("doas", &["-u", "-C", "-a"], 0),
    prefix("env", &["-u", "-C", "-S", "--unset", "--chdir", "--split-string"], 0),
    prefix("nohup", &[], 0),
    prefix("setsid", &[], 0),
    prefix("builtin", &[], 0),
    prefix("command", &[], 0),
    prefix("exec", &["-a"], 0),
    prefix("time", &["-f", "-o", "--format", "--output"], 0),
    prefix("nice", &["-n", "--adjustment"], 0),
    prefix("ionice", &["-c", "-n", "-p", "--class", "--classdata"], 0),
    prefix("chrt", &["-T", "-P", "-D"], 1),
    prefix("taskset", &[], 1),
    prefix("stdbuf", &["-i", "-o", "-e", "--input", "--output", "--error"], 0),
    prefix("timeout", &["-s", "-k", "--signal", "--kill-after"], 1),
    prefix(
        "xargs",
        &[
            "-I",
            "-n",
            "-P",
            "-L",
            "-s",
            "-E",
            "-d",
            "-a",
            "--max-args",
            "--max-procs",
            "--max-lines",
            "--max-chars",
            "--delimiter",
            "--arg-file",
            "--replace",
            "--eof",
        ],
        0,
    ),
    prefix(
        "parallel",
        &["-j", "--jobs", "-n", "-N", "-L", "-a", "-S", "--colsep", "--delay", "--retries"],
        0,
    ),
    prefix("chroot", &["--userspec", "--groups"], 1),
    prefix("unshare", &["-R", "-w", "-S", "-G", "--root", "--wd", "--setuid", "--setgid"], 0),
    prefix("nsenter", &["-t", "-S", "-G", "--target", "--setuid", "--setgid"], 0),
    prefix(
        "systemd-run",
        &["-p", "-u", "-E", "--property", "--unit", "--setenv", "--uid", "--gid", "--slice"],
        0,
    ),
    prefix("strace", &["-e", "-o", "-p", "-s", "-u", "-E"], 0),
    prefix("busybox", &[], 0),
    prefix("toybox", &[], 0),
    prefix("catchsegv", &[], 0),
    prefix("caffeinate", &["-t", "-w"], 0),
];

const SHELLS: [&str; 8] = ["sh", "bash", "dash", "zsh", "ksh", "mksh", "ash", "rbash"];

/// Flags of shells that take the next argument.
const SHELL_VALUED: [&str; 6] = ["-o", "+o", "-O", "+O", "--rcfile", "--init-file"];

/// Flags of `ssh` that take the next argument.
const SSH_VALUED: [&str; 20] = [
    "-p", "-i", "-l", "-o", "-F", "-J", "-L", "-R", "-D", "-b", "-c", "-e", "-m", "-w", "-E", "-S", "-W",
    "-Q", "-B", "-I",
];

/// Programs of other languages that take code as an argument, with the flags that it follows.
const INTERPRETERS: [(&str, &[&str]); 7] = [
    ("python", &["-c"]),
    ("perl", &["-e", "-E"]),
    ("ruby", &["-e"]),
    ("node", &["-e", "-p", "--eval", "--print"]),
    ("php", &["-r"]),
    ("lua", &["-e"]),
    ("awk", &[]),
];

/// What code of another language says when it starts programs or destroys files.
const TELLTALES: [&str; 22] = [
    "system",
    "popen",
    "subprocess",
    "exec",
    "spawn",
    "child_process",
    "rmtree",
    "unlink",
    "remove",
    "rmdir",
    "rename",
    "truncate",
    "shutil",
    "FileUtils",
    "rm_r",
    "fork",
    "eval",
    "`",
    "__import__",
    "ctypes",
    "socket",
    "urlopen",
];

/// Takes a command, or the one that it starts, or the lines that it is given.
pub(super) fn follow(reader: &mut Reader, mut found: Found, mut wrappers: Vec<String>) {
    loop {
        strip_assignments(&mut found.words);
        let Some(first) = found.words.first() else { return };
        let name = match first.is_sure {
            true => facts::base_name(&first.text).to_owned(),
            false => String::new(),
        };
        if wrappers.len() > 2 * NESTING_MAX {
            return reader.opaque("commands nested too deep".to_owned());
        }
        if SHELLS.contains(&name.as_str()) {
            return shell(reader, found, &name, wrappers);
        }
        match name.as_str() {
            "eval" => return lines_of(reader, &found.words[1..], "eval", wrappers),
            "watch" => {
                let given = behind(&found.words[1..], &["-n", "--interval"]);
                return lines_of(reader, &found.words[1 + given..], "watch", wrappers);
            }
            "su" | "runuser" | "script" | "flock" => {
                if let Some(text) = value_behind(&found.words, &["-c", "--command"]) {
                    return lines_of(reader, &[text], &name, wrappers);
                }
                if name != "flock" {
                    return list(reader, found, wrappers);
                }
                let own = 1 + behind(&found.words[1..], &["-w", "-E", "--timeout"]) + 1;
                if !step_in(&mut found, own, &mut wrappers, "flock") {
                    return list(reader, found, wrappers);
                }
            }
            "source" | "." if found.words.get(1).is_some_and(|word| comes_from_elsewhere(&word.text)) => {
                reader.opaque(format!("lines that `{name}` reads from another command"));
                return list(reader, found, wrappers);
            }
            "ssh" => return ssh(reader, found, wrappers),
            "find" | "fd" => return find(reader, found, wrappers),
            "alias" if found.words.len() > 1 => {
                reader.opaque("an alias, which may stand for any command".to_owned());
                return list(reader, found, wrappers);
            }
            "trap" if found.words.len() > 2 => {
                lines_of(reader, &found.words[1..2], "trap", wrappers.clone());
                return list(reader, found, wrappers);
            }
            "command" if found.words.iter().any(|word| ["-v", "-V"].contains(&word.text.as_str())) => {
                return list(reader, found, wrappers);
            }
            "env" if value_behind(&found.words, &["-S", "--split-string"]).is_some() => {
                let text = value_behind(&found.words, &["-S", "--split-string"]).expect("it was looked for");
                return lines_of(reader, &[text], "env", wrappers);
            }
            _ => {}
        }
        match PREFIXES.iter().find(|prefix| prefix.name == name) {
            Some(prefix) => {
                let own = 1 + own_words(&found.words[1..], prefix);
                if !step_in(&mut found, own, &mut wrappers, prefix.name) {
                    return list(reader, found, wrappers);
                }
            }
            None if name == "flock" => {}
            None => return list(reader, found, wrappers),
        }
    }
}

/// Goes on with the command behind the first `own` words; false when there is none.
fn step_in(found: &mut Found, own: usize, wrappers: &mut Vec<String>, name: &str) -> bool {
    if own >= found.words.len() {
        return false;
    }
    found.words.drain(..own);
    wrappers.push(name.to_owned());
    true
}

/// Adds the command as it is.
fn list(reader: &mut Reader, found: Found, wrappers: Vec<String>) {
    let name = found.words.first().map(|word| facts::base_name(&word.text).to_owned()).unwrap_or_default();
    if let Some((_, flags)) = INTERPRETERS.iter().find(|(known, _)| is_interpreter(&name, known)) {
        let code = match flags.is_empty() {
            true => found.words.get(1).cloned(),
            false => value_behind(&found.words, flags),
        };
        if let Some(code) = code
            && (!code.is_sure || TELLTALES.iter().any(|telltale| code.text.contains(telltale)))
        {
            reader.opaque(format!("code of another language, for `{name}`"));
        }
    }
    reader.line.commands.push(facts::command(&found, wrappers));
}

fn is_interpreter(name: &str, known: &str) -> bool {
    let rest = name.strip_prefix(known);
    let version = |rest: &str| rest.chars().all(|c| c.is_ascii_digit() || c == '.');
    rest.is_some_and(version)
        || (known == "awk" && matches!(name, "gawk" | "mawk" | "nawk"))
        || (known == "node" && name == "nodejs")
}

fn strip_assignments(words: &mut Vec<Word>) {
    let is_assignment = |word: &Word| {
        word.text.split_once('=').is_some_and(|(name, _)| {
            !name.is_empty()
                && !name.starts_with(|c: char| c.is_ascii_digit())
                && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        })
    };
    let count = words.iter().take_while(|word| is_assignment(word)).count();
    words.drain(..count);
}

/// Counts the words of a prefix before the command that it starts.
fn own_words(words: &[Word], prefix: &Prefix) -> usize {
    let mut at = behind(words, prefix.valued);
    let mut operands = prefix.operands;
    while at < words.len() {
        if is_assignment_word(&words[at]) {
            at += 1;
        } else if operands > 0 {
            operands -= 1;
            at += 1;
        } else {
            break;
        }
        at += behind(&words[at.min(words.len())..], prefix.valued);
    }
    at
}

fn is_assignment_word(word: &Word) -> bool {
    let mut words = vec![word.clone()];
    strip_assignments(&mut words);
    words.is_empty()
}

/// Counts the flags at the beginning, with the values of those that take one.
fn behind(words: &[Word], valued: &[&str]) -> usize {
    let mut at = 0;
    while let Some(word) = words.get(at).filter(|word| word.text.starts_with('-') && word.text.len() > 1) {
        at += 1;
        if word.text == "--" {
            break;
        }
        // A cluster such as `-nu` takes the next argument when its last letter does.
        let last = word.text.chars().last().map(|c| format!("-{c}")).unwrap_or_default();
        let takes = valued.contains(&word.text.as_str())
            || (!word.text.starts_with("--")
                && word.text.len() > 2
                && valued.contains(&last.as_str())
                && word.text[1..].chars().all(char::is_alphabetic));
        if takes {
            at += 1;
        }
    }
    at.min(words.len())
}

/// Gives what follows one of the flags, as the next word or in the same.
fn value_behind(words: &[Word], flags: &[&str]) -> Option<Word> {
    let mut words = words.iter().skip(1);
    while let Some(word) = words.next() {
        for flag in flags {
            if word.text == *flag {
                return words.next().cloned();
            }
            let attached = match flag.starts_with("--") {
                true => word.text.strip_prefix(flag).and_then(|rest| rest.strip_prefix('=')),
                false => word.text.strip_prefix(flag),
            };
            if let Some(value) = attached.filter(|value| !value.is_empty()) {
                return Some(Word { text: value.to_owned(), is_sure: word.is_sure });
            }
        }
    }
    None
}

/// Reads words as one line, as `eval` does.
fn lines_of(reader: &mut Reader, words: &[Word], wrapper: &str, mut wrappers: Vec<String>) {
    if words.iter().any(|word| !word.is_sure) {
        reader.opaque(format!("a line that only the run can tell, for `{wrapper}`"));
    }
    let text = words.iter().map(|word| word.text.as_str()).collect::<Vec<_>>().join(" ");
    wrappers.push(wrapper.to_owned());
    reader.script(&text, &wrappers);
}

/// A shell reads lines from an argument, a text, another command or a file.
fn shell(reader: &mut Reader, found: Found, name: &str, mut wrappers: Vec<String>) {
    let mut words = found.words.iter().skip(1).peekable();
    let (mut takes_line, mut takes_input, mut informs) = (false, false, false);
    while let Some(word) = words.next_if(|word| word.text.len() > 1 && word.text.starts_with(['-', '+'])) {
        if word.text == "--" {
            break;
        }
        let short = word.text.strip_prefix('-').filter(|rest| !rest.starts_with('-'));
        takes_line |= short.is_some_and(|letters| letters.contains('c'));
        takes_input |= short.is_some_and(|letters| letters.contains('s'));
        informs |= matches!(word.text.as_str(), "--version" | "--help");
        if SHELL_VALUED.contains(&word.text.as_str()) {
            words.next();
        }
    }
    if takes_line {
        let Some(line) = words.next() else { return list(reader, found.clone(), wrappers) };
        if !line.is_sure {
            reader.opaque(format!("a line that only the run can tell, for `{name}`"));
        }
        wrappers.push(format!("{name} -c"));
        return reader.script(&line.text, &wrappers);
    }
    let script = words.peek().map(|word| word.text.clone()).filter(|text| text != "-" && !takes_input);
    if let Some(script) = script {
        if comes_from_elsewhere(&script) {
            reader.opaque(format!("lines that `{name}` reads from another command"));
        }
        // Otherwise a script that lies there.
        return list(reader, found.clone(), wrappers);
    }
    if informs {
        return list(reader, found.clone(), wrappers);
    }
    match &found.input {
        Input::Text(text) => {
            wrappers.push(name.to_owned());
            reader.script(text, &wrappers);
        }
        Input::Piped(before) => match literal_output(before) {
            Some(text) => {
                wrappers.push(name.to_owned());
                reader.script(&text, &wrappers);
            }
            None => {
                reader.opaque(format!("lines that `{name}` reads from another command"));
                list(reader, found.clone(), wrappers);
            }
        },
        Input::File => {
            reader.opaque(format!("lines that `{name}` reads from a file"));
            list(reader, found.clone(), wrappers);
        }
        Input::Unsaid => {
            reader.opaque(format!("lines that `{name}` reads from its input"));
            list(reader, found.clone(), wrappers);
        }
    }
}

/// Tells whether a script is what another command writes.
fn comes_from_elsewhere(script: &str) -> bool {
    script.starts_with("<(") || script.starts_with("/dev/") || script.starts_with("/proc/")
}

/// Gives what `echo` or `printf` writes, when the line tells all of it.
fn literal_output(words: &[Word]) -> Option<String> {
    if words.iter().any(|word| !word.is_sure) {
        return None;
    }
    let name = facts::base_name(&words.first()?.text);
    let texts: Vec<&str> = words.iter().skip(1).map(|word| word.text.as_str()).collect();
    match name {
        "echo" => {
            let flags =
                texts.iter().take_while(|text| matches!(**text, "-n" | "-e" | "-E" | "-ne" | "-en")).count();
            let text = texts[flags..].join(" ");
            let escapes = texts[..flags].iter().any(|flag| flag.contains('e'));
            Some(if escapes { word::unescaped_ansi(&text) } else { text })
        }
        "printf" => match texts.as_slice() {
            [text] if !text.contains('%') => Some(word::unescaped_ansi(text)),
            ["%s" | "%s\\n" | "%b" | "%b\\n", text] => Some(word::unescaped_ansi(text)),
            _ => None,
        },
        _ => None,
    }
}

/// `ssh host line…`
fn ssh(reader: &mut Reader, found: Found, wrappers: Vec<String>) {
    let own = 1 + behind(&found.words[1..], &SSH_VALUED);
    let line = found.words.get(own + 1..).unwrap_or_default().to_vec();
    let to_host = Found { words: found.words[..found.words.len().min(own + 1)].to_vec(), ..found };
    list(reader, to_host, wrappers.clone());
    if !line.is_empty() {
        lines_of(reader, &line, "ssh", wrappers);
    }
}

/// `find … -exec command ;` starts the command for what it finds; `find` itself is a command as well.
fn find(reader: &mut Reader, found: Found, wrappers: Vec<String>) {
    let starts = |text: &str| {
        matches!(text, "-exec" | "-execdir" | "-ok" | "-okdir" | "-x" | "--exec" | "-X" | "--exec-batch")
    };
    let mut inner = Vec::new();
    let mut words = found.words.iter().peekable();
    while let Some(word) = words.next() {
        if starts(&word.text) {
            let mut command = Vec::new();
            while let Some(part) = words.next_if(|part| !matches!(part.text.as_str(), ";" | "+")) {
                command.push(part.clone());
            }
            inner.push(command);
        }
    }
    list(reader, found.clone(), wrappers.clone());
    for words in inner.into_iter().filter(|words| !words.is_empty()) {
        let mut around = wrappers.clone();
        around.push("find".to_owned());
        follow(reader, Found { words, ..Found::default() }, around);
    }
}
