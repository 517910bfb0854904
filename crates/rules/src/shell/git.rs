//! `git`'s own options before its subcommand, so that the subcommand is the first operand.

/// Options that take the next argument.
const VALUED: [&str; 8] =
    ["-C", "-c", "--git-dir", "--work-tree", "--namespace", "--super-prefix", "--config-env", "--exec-path"];

/// Tells for each argument whether it is the value of an option before the subcommand.
pub(super) fn values(args: &[String]) -> Vec<bool> {
    let mut of_option = vec![false; args.len()];
    let mut at = 0;
    while let Some(arg) = args.get(at).filter(|arg| arg.starts_with('-')) {
        at += 1;
        if VALUED.contains(&arg.as_str()) && at < args.len() {
            of_option[at] = true;
            at += 1;
        }
    }
    of_option
}
