use super::*;

fn command(program: &str, flags: &[&str], operands: &[&str]) -> ShellLine {
    let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    let command = ShellCommand {
        program: program.to_owned(),
        args: texts(&[flags, operands].concat()),
        flags: texts(flags),
        operands: texts(operands),
        ..ShellCommand::default()
    };
    ShellLine { commands: vec![command], opaque: Vec::new() }
}

/// Pattern, then program, flags and operands of a command, and whether it matches.
type Row = (&'static str, &'static str, &'static [&'static str], &'static [&'static str], bool);

#[test]
fn a_pattern_is_about_a_program_with_its_flags_and_operands() {
    let rows: [Row; 41] = [
        ("rm", "rm", &[], &["x"], true),
        ("rm", "rmdir", &[], &["x"], false),
        ("rm*", "rmdir", &[], &["x"], true),
        ("rm|mv", "mv", &[], &["x"], true),
        ("*", "anything", &[], &[], true),
        ("rm -rf /*", "rm", &["-r", "-f"], &["/"], true),
        ("rm -rf /*", "rm", &["-f", "-r", "-v"], &["a", "/b"], true),
        ("rm -rf /*", "rm", &["-r"], &["/"], false),
        ("rm -rf /*", "rm", &["-r", "-f"], &["a"], false),
        ("rm -r|-R /", "rm", &["-R"], &["/"], true),
        ("rm --recursive /", "rm", &["--recurs"], &["/"], true),
        ("rm --recursive /", "rm", &["--recursively"], &["/"], false),
        ("git push --force*", "git", &["--force-with-lease"], &["push"], true),
        ("git push --force", "git", &["--force-with-lease"], &["push"], false),
        ("find -delete", "find", &["-delete"], &[], true),
        ("find -delete", "find", &["-d", "-e", "-l", "-t"], &[], false),
        ("git push origin", "git", &[], &["dir", "push", "now", "origin", "x"], true),
        ("git push origin", "git", &[], &["origin", "push"], false),
        ("rm -- -x", "rm", &[], &["-x"], true),
        ("rm -", "rm", &[], &["-"], true),
        ("cat /etc/passwd", "cat", &[], &["/etc//./x/../passwd"], true),
        ("cat /etc/passwd", "cat", &[], &["/etc/pass*"], true),
        ("cat /etc/passwd", "cat", &[], &["/e?c/[p]asswd"], true),
        ("cat /etc/passwd", "cat", &[], &["/*/*/passwd"], false),
        ("cat .env", "cat", &[], &["*"], false),
        ("cat .env", "cat", &[], &[".*"], true),
        ("cat a\\*b", "cat", &[], &["axb"], false),
        ("cat a\\*b", "cat", &[], &["a*b"], true),
        ("cat a\\|b", "cat", &[], &["a|b"], true),
        ("cat a\\ b", "cat", &[], &["a b"], true),
        ("rm -r x", "rm", &[], &["$F", "x"], true),
        ("rm -r *", "rm", &[], &["x", "$F"], false),
        ("git push -f", "git", &[], &["push", "$F"], true),
        ("rm -rf", "rm", &["--recursive", "--force"], &["x"], true),
        ("rm -rf", "rm", &["-R", "--for"], &["x"], true),
        ("rm -rf", "rm", &["--recursive"], &["x"], false),
        ("rm -r", "ls", &["--recursive"], &["x"], false),
        ("rm --recursive", "rm", &["-R"], &["x"], true),
        ("git push --force", "git", &["-f"], &["push"], true),
        ("git push -f", "git", &["--force"], &["push"], true),
        ("chmod -R", "chmod", &["-r"], &["x"], false),
    ];
    for (pattern, program, flags, operands, expected) in rows {
        let read = CommandPattern::new(pattern).expect("the pattern is valid");
        let found = read.could_match(&command(program, flags, operands), None);
        assert_eq!(found, expected, "{pattern}: {program} {flags:?} {operands:?}");
    }
}

#[test]
fn a_pattern_that_is_not_one_command_is_refused() {
    let rows = [
        ("", InvalidCommand::Empty),
        ("  ", InvalidCommand::Empty),
        ("rm; ls", InvalidCommand::Syntax(';')),
        ("a | b", InvalidCommand::Syntax('|')),
        ("a || b", InvalidCommand::Syntax('|')),
        ("a b|", InvalidCommand::Syntax('|')),
        ("a > b", InvalidCommand::Syntax('>')),
        ("a && b", InvalidCommand::Syntax('&')),
        ("'a' b", InvalidCommand::Syntax('\'')),
        ("a $(b)", InvalidCommand::Syntax('(')),
        ("/bin/rm x", InvalidCommand::ProgramPath("/bin/rm".to_owned())),
        ("rm {home}", InvalidCommand::Placeholder("{home}".to_owned())),
        ("rm {outside}/x", InvalidCommand::Placeholder("{outside}/x".to_owned())),
        ("{outside} x", InvalidCommand::Placeholder("{outside}".to_owned())),
        ("rm -r|x", InvalidCommand::MixedWord("-r|x".to_owned())),
        ("git --depth=1", InvalidCommand::FlagValue("--depth=1".to_owned())),
        ("rm a\\", InvalidCommand::Glob(InvalidGlob::DanglingEscape("a\\".to_owned()))),
    ];
    for (pattern, why) in rows {
        assert_eq!(CommandPattern::new(pattern), Err(why), "{pattern}");
    }
    assert_eq!(CommandPattern::new(&"a".repeat(5000)), Err(InvalidCommand::TooLong));
}

#[test]
fn only_text_that_reads_like_a_command_becomes_one() {
    for (text, expected) in [
        ("rm -rf", true),
        ("git push", true),
        ("rm", false),
        ("-rf /", false),
        ("a;b c", false),
        ("/etc/passwd x", false),
        ("", false),
    ] {
        assert_eq!(CommandPattern::of_plain_text(text).is_some(), expected, "{text}");
    }
}

#[test]
fn long_wildcards_take_no_exponential_time() {
    let pattern = CommandPattern::new(&format!("cat {}z", "a*".repeat(200))).expect("the pattern is valid");
    assert!(pattern.could_match(&command("cat", &[], &[&"a*".repeat(200)]), None));
    assert!(!pattern.could_match(&command("cat", &[], &[&("a?".repeat(200) + "b")]), None));
    assert!(pattern.could_match(&command("cat", &[], &[&"*".repeat(2000)]), None));
}
