//! Where policies stand, and whom they could be about.

use super::PolicyFile;
use adjutant_model::policy::{PolicyEffect, PolicyMatcher, PolicyRule};
use std::fmt::Write;

/// Gives the name of an agent's policy file: its own, with everything but letters, digits and `_-.:` as `%XX`, and a
/// full stop at the beginning so too.
///
/// No two agents have the same, and none leads to another folder.
pub fn agent_file(agent: &str) -> String {
    let mut name = String::with_capacity(agent.len() + 5);
    for (place, byte) in agent.bytes().enumerate() {
        let is_plain = byte.is_ascii_alphanumeric() || b"_-:".contains(&byte) || (byte == b'.' && place > 0);
        if is_plain {
            name.push(char::from(byte));
        } else {
            write!(name, "%{byte:02X}").expect("a text takes everything");
        }
    }
    name + ".toml"
}

/// Tells whether a policy could refuse a built-in function: its default does, or a rule names functions.
///
/// Functions are pure and touch nothing, so a rule is about them only when it names them, as `step:function` or by a
/// pattern that begins with `step:`.
pub fn names_functions(file: &PolicyFile) -> bool {
    let against = |rule: &PolicyRule| rule.effect != PolicyEffect::Allow && is_about(&rule.matcher);
    file.default != PolicyEffect::Allow || file.rules.iter().any(against)
}

fn is_about(matcher: &PolicyMatcher) -> bool {
    match matcher {
        PolicyMatcher::Tool(tool) | PolicyMatcher::ToolParam { tool, .. } => tool == "step:function",
        PolicyMatcher::Pattern(pattern) => pattern.tool.starts_with("step:"),
        PolicyMatcher::Connector(_) => false,
        PolicyMatcher::RequireState { .. } => true,
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Places, read_file};
    use super::*;

    #[test]
    fn every_agent_has_a_file_of_its_own_and_none_leaves_the_folder() {
        for (agent, file) in [
            ("claude", "claude.toml"),
            ("name:my-loop", "name:my-loop.toml"),
            ("a.b_C-1", "a.b_C-1.toml"),
            ("..", "%2E..toml"),
            ("../policy", "%2E.%2Fpolicy.toml"),
            ("a/b", "a%2Fb.toml"),
            ("a%2Fb", "a%252Fb.toml"),
            ("é ", "%C3%A9%20.toml"),
            ("", ".toml"),
        ] {
            assert_eq!(agent_file(agent), file, "{agent}");
        }
    }

    #[test]
    fn only_what_names_functions_could_refuse_one() {
        for (text, expected) in [
            ("", false),
            ("default = \"deny\"", true),
            ("default = \"ask\"", true),
            ("[[rule]]\nname = \"x\"\neffect = \"deny\"\ntool = \"*\"", false),
            ("[[rule]]\nname = \"x\"\neffect = \"deny\"\ntool = \"step:function\"", true),
            ("[[rule]]\nname = \"x\"\neffect = \"ask\"\ntool = \"step:*\"", true),
            ("[[rule]]\nname = \"x\"\neffect = \"allow\"\ntool = \"step:*\"", false),
        ] {
            let file = read_file(text, &Places { data_folder: "/data" }).expect("the policy is valid");
            assert_eq!(names_functions(&file), expected, "{text}");
        }
    }
}
