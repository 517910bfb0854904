//! What a command's words are: flags, operands, paths, hosts, files that are written.

use super::git;
use super::tree::Found;
use adjutant_model::shell::ShellCommand;

/// Programs whose first operand may be a host without more.
const TO_HOSTS: [&str; 11] =
    ["curl", "wget", "ssh", "nc", "ncat", "netcat", "telnet", "ftp", "sftp", "ping", "http"];

/// Makes a command of its words.
pub(super) fn command(found: &Found, wrappers: Vec<String>) -> ShellCommand {
    let Some((first, rest)) = found.words.split_first() else { return ShellCommand::default() };
    let program = if first.is_sure { base_name(&first.text).to_owned() } else { String::new() };
    let args: Vec<String> = rest.iter().map(|word| word.text.clone()).collect();
    let mut flags = Vec::new();
    let mut operands = Vec::new();
    let values = if program == "git" { git::values(&args) } else { vec![false; args.len()] };
    let mut ended = false;
    for (arg, is_value) in args.iter().zip(values) {
        match arg.as_str() {
            "--" if !ended => ended = true,
            text if !ended && text.len() > 1 && text.starts_with('-') => flags.extend(flags_of(text)),
            _ if is_value => {}
            text => operands.push(text.to_owned()),
        }
    }
    let mut writes: Vec<String> = found.writes.iter().map(|word| normal(&word.text)).collect();
    match program.as_str() {
        "tee" => writes.extend(operands.iter().map(|operand| normal(operand))),
        "dd" => writes.extend(args.iter().filter_map(|arg| arg.strip_prefix("of=")).map(normal)),
        _ => {}
    }
    let mut paths: Vec<String> = Vec::new();
    for path in args.iter().filter_map(|arg| path_in(arg)).map(normal).chain(writes.iter().cloned()) {
        if !paths.contains(&path) {
            paths.push(path);
        }
    }
    let hosts = hosts(&program, &args, &operands);
    ShellCommand { program, args, flags, operands, paths, hosts, writes, wrappers }
}

/// Gives a program's name without its folder.
pub(super) fn base_name(text: &str) -> &str {
    text.rsplit('/').next().unwrap_or(text)
}

/// Takes an argument apart: `-rf` is `-r` and `-f`, `--depth=1` is `--depth`.
fn flags_of(text: &str) -> Vec<String> {
    match text.strip_prefix("--") {
        Some(long) => vec![format!("--{}", long.split('=').next().unwrap_or(long))],
        None => {
            let letters = text[1..].split('=').next().unwrap_or_default();
            letters
                .chars()
                .take_while(|c| !c.is_whitespace() && *c != '/')
                .filter(|c| *c != '-')
                .map(|c| format!("-{c}"))
                .collect()
        }
    }
}

/// Gives the path that an argument is, or has behind `=` or a flag's letter.
fn path_in(arg: &str) -> Option<&str> {
    if arg.contains("://") {
        return None;
    }
    let text = match arg.strip_prefix('-') {
        Some(flag) => match flag.split_once('=') {
            Some((_, value)) => value,
            None if flag.starts_with('-') => return None,
            None => attached(flag)?,
        },
        None => arg.split_once('=').map_or(arg, |(_, value)| value),
    };
    let is_path = text.contains('/') || text.starts_with(['.', '~']) && text.len() < 4096;
    is_path.then_some(text)
}

/// Gives the path that stands right behind a flag's letter, or behind those of a cluster.
fn attached(flag: &str) -> Option<&str> {
    let behind_letter = flag.get(1..)?;
    if behind_letter.starts_with(['.', '~']) {
        return Some(behind_letter);
    }
    flag.find(['/', '~']).map(|at| &flag[at..])
}

/// Folds `.`, `..` and double slashes away where that can be done without looking.
fn normal(path: &str) -> String {
    if path.is_empty() {
        return String::new();
    }
    let absolute = path.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => match parts.last() {
                Some(last) if *last != ".." && !last.contains(['$', '`', '*', '~']) => drop(parts.pop()),
                None if absolute => {}
                Some(_) | None => parts.push(".."),
            },
            part => parts.push(part),
        }
    }
    match (absolute, parts.is_empty()) {
        (true, _) => format!("/{}", parts.join("/")),
        (false, true) => ".".to_owned(),
        (false, false) => parts.join("/"),
    }
}

fn hosts(program: &str, args: &[String], operands: &[String]) -> Vec<String> {
    let mut hosts: Vec<String> = Vec::new();
    let mut add = |host: &str| {
        let host = host.trim_matches(['[', ']']).to_ascii_lowercase();
        if !host.is_empty() && !hosts.contains(&host) {
            hosts.push(host);
        }
    };
    for arg in args {
        if let Some((_, rest)) = arg.split_once("://") {
            let authority = rest.split(['/', '?', '#']).next().unwrap_or(rest);
            let host = authority.rsplit('@').next().unwrap_or(authority);
            add(without_port(host));
        } else if let Some((user, rest)) = arg.split_once('@')
            && !user.is_empty()
            && !user.contains(['/', '=', ' '])
        {
            add(rest.split([':', '/']).next().unwrap_or(rest));
        } else if matches!(program, "scp" | "rsync" | "git")
            && let Some((host, _)) = arg.split_once(':')
            && !host.contains(['/', '.', '=', '-'])
        {
            add(host);
        }
    }
    if TO_HOSTS.contains(&program) {
        for operand in operands.iter().filter(|operand| !operand.contains("://") && !operand.contains('@')) {
            let host = operand.split(['/', '?', ':']).next().unwrap_or(operand);
            let is_host = host == "localhost"
                || (host.contains('.')
                    && host.split('.').all(|part| {
                        !part.is_empty()
                            && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
                    }));
            if is_host && !operand.starts_with(['/', '.', '~']) {
                add(host);
            }
        }
    }
    hosts
}

fn without_port(host: &str) -> &str {
    match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or(rest),
        None => host.rsplit_once(':').map_or(host, |(host, _)| host),
    }
}
