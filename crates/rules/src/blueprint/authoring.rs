//! Blueprints in several files: `{"$file": "prompt.md"}` stands for a file's text, and `{"$agent_md": "coder.md"}` in
//! `agents` for an agent that a Markdown file describes: its front matter is the agent, its body the system prompt.
//!
//! What stands beside `$agent_md` goes over what the file says. Here is decided what is named and what comes of it;
//! who calls reads the files, and only those that [`confined`] lets pass.

use super::fields::optional;
use crate::document::{Cursor, Lint, Lints};
use crate::source;
use adjutant_model::Value;
use adjutant_model::value::Object;
use std::sync::Arc;

const FILE: &str = "$file";
const AGENT: &str = "$agent_md";
/// A blueprint has at most so many references.
const REFERENCES_MAX: usize = 256;

/// Puts everything that a document refers to in its place; `read` gives a file's text, or why there is none.
///
/// # Errors
/// What is wrong with its references, each at its place in the document.
pub fn resolved(
    document: &Value,
    read: &mut dyn FnMut(&str) -> Result<String, String>,
) -> Result<Value, Vec<Lint>> {
    let mut resolver = Resolver { read, left: REFERENCES_MAX, lints: Lints::default() };
    let value = resolver.value(&Cursor::root(document), Place::Document);
    if resolver.lints.has_error() { Err(resolver.lints.into_vec()) } else { Ok(value) }
}

/// Tells whether a path stays in the folder it is relative to, as far as its text says.
///
/// # Errors
/// What to do instead.
pub fn confined(path: &str) -> Result<(), &'static str> {
    if path.is_empty() || path.contains(['\0', '\\']) {
        return Err("name a file by a relative path with `/` between folders");
    }
    if path.starts_with('/') {
        return Err("an absolute path is refused; name a file in the blueprint's folder");
    }
    if path.split('/').any(|part| part == "..") {
        return Err("a path with `..` is refused; name a file in the blueprint's folder");
    }
    Ok(())
}

/// Where a value stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Document,
    Agents,
    Agent,
    Elsewhere,
}

struct Resolver<'r> {
    read: &'r mut dyn FnMut(&str) -> Result<String, String>,
    left: usize,
    lints: Lints,
}

impl Resolver<'_> {
    fn value(&mut self, at: &Cursor<'_>, place: Place) -> Value {
        match at.value() {
            Value::Object(object) if object.get(FILE).is_some() => self.file(at, object),
            Value::Object(object) if object.get(AGENT).is_some() => self.agent(at, place),
            Value::Object(object) => Value::Object(self.members(at, object)),
            Value::Array(_) => {
                let below = if place == Place::Agents { Place::Agent } else { Place::Elsewhere };
                let mut ignored = Lints::default();
                Value::array(at.elements(&mut ignored).iter().map(|item| self.value(item, below)))
            }
            scalar => scalar.clone(),
        }
    }

    /// Resolves the members of an object, but for the reference itself.
    fn members(&mut self, at: &Cursor<'_>, object: &Object) -> Object {
        let is_document = at.pointer().is_empty();
        let resolved = object.iter().filter(|(key, _)| &***key != AGENT).filter_map(|(key, _)| {
            let member = at.member(key)?;
            let place = if is_document && &**key == "agents" { Place::Agents } else { Place::Elsewhere };
            Some((key.clone(), self.value(&member, place)))
        });
        resolved.collect()
    }

    fn file(&mut self, at: &Cursor<'_>, object: &Object) -> Value {
        if object.len() > 1 {
            let hint = "a text has no members; remove what stands beside `$file`";
            self.lints.error_with_hint(at, "invalid-reference", "`$file` stands alone", hint);
            return Value::Null;
        }
        self.text(at, FILE).map_or(Value::Null, |(_, text)| Value::from(text))
    }

    fn agent(&mut self, at: &Cursor<'_>, place: Place) -> Value {
        if place != Place::Agent {
            let message = "`$agent_md` stands for an agent, so it stands in `agents`";
            self.lints.error_with_hint(at, "invalid-reference", message, "`$file` gives a text anywhere");
            return Value::Null;
        }
        let Some((path, text)) = self.text(at, AGENT) else { return Value::Null };
        let described = match described(&text) {
            Ok(described) => described,
            Err(why) => {
                if let Some(named) = at.member(AGENT) {
                    self.lints.error(&named, "invalid-agent-file", format!("{path}{why}"));
                }
                return Value::Null;
            }
        };
        // Its front matter may name files, and they are said to stand where it is named.
        let mut own = Resolver { read: &mut *self.read, left: self.left, lints: Lints::default() };
        let value = own.value(&Cursor::root(&described), Place::Elsewhere);
        self.left = own.left;
        for lint in own.lints.into_vec() {
            self.lints.note(Lint { pointer: format!("{}/{AGENT}", at.pointer()), ..lint });
        }
        let mut agent = value.as_object().cloned().unwrap_or_default();
        let beside = at.value().as_object().cloned().unwrap_or_default();
        for (key, value) in self.members(at, &beside).iter() {
            agent.insert(key.clone(), value.clone());
        }
        Value::Object(agent)
    }

    /// Reads what a reference names; gives its path, too.
    fn text(&mut self, at: &Cursor<'_>, key: &str) -> Option<(String, String)> {
        let named = at.member(key)?;
        let path = named.string(&mut self.lints)?;
        if let Err(instead) = confined(path) {
            let message = format!("`{path}` may lead out of the blueprint's folder");
            self.lints.error_with_hint(&named, "reference-outside", message, instead);
            return None;
        }
        if self.left == 0 {
            let message = format!("a blueprint has at most {REFERENCES_MAX} references");
            self.lints.error(&named, "too-large", message);
            return None;
        }
        self.left -= 1;
        match (self.read)(path) {
            Ok(text) => Some((path.to_owned(), text)),
            Err(why) => {
                self.lints.error(&named, "unreadable-reference", format!("`{path}` cannot be read: {why}"));
                None
            }
        }
    }
}

/// Makes an agent of a Markdown file. `model` and `tools` may stand in the front matter itself; they belong to the
/// profile, and so does the body. The error begins behind the file's name.
fn described(text: &str) -> Result<Value, String> {
    let (front, body) =
        parted(text).ok_or(": it begins with front matter: a line `---`, YAML, and a line `---`")?;
    let read = source::read(front).map_err(|lints| match lints.first() {
        // The fence is the first line.
        Some(placed) => format!(":{}:{}: {}", placed.span.line + 1, placed.span.column, placed.lint.message),
        None => ": its front matter cannot be read".to_owned(),
    })?;
    let mut agent = read.value().as_object().cloned().ok_or(": its front matter is no mapping")?;
    let root = Cursor::root(read.value());
    let mut profile = match optional(&root, "profile") {
        None => Object::default(),
        Some(profile) => profile.value().as_object().cloned().ok_or(": its `profile` is no mapping")?,
    };
    for (key, value) in [("model", None), ("tools", root.member("tools").map(|tools| listed(tools.value())))]
    {
        let Some(said) = value.or_else(|| root.member(key).map(|said| said.value().clone())) else {
            continue;
        };
        if profile.get(key).is_some() {
            return Err(format!(": it says `{key}` twice, in its front matter and in the `profile` there"));
        }
        agent = without(&agent, key);
        profile.insert(key.into(), said);
    }
    if !body.is_empty() {
        if profile.get("system_prompt").is_some() {
            return Err(": its body is the system prompt, and its `profile` has another one".to_owned());
        }
        profile.insert("system_prompt".into(), Value::from(body));
    }
    if !profile.is_empty() {
        agent.insert("profile".into(), Value::Object(profile));
    }
    Ok(Value::Object(agent))
}

/// Parts a text into its front matter and its body.
fn parted(text: &str) -> Option<(&str, &str)> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let rest = text.strip_prefix("---\n").or_else(|| text.strip_prefix("---\r\n"))?;
    let mut end = 0;
    for line in rest.split_inclusive('\n') {
        if line.trim_end() == "---" {
            return Some((&rest[..end], rest[end + line.len()..].trim()));
        }
        end += line.len();
    }
    None
}

/// Takes a list that is written as a text with commas.
fn listed(tools: &Value) -> Value {
    match tools.as_str() {
        Some(text) => {
            Value::array(text.split(',').map(str::trim).filter(|name| !name.is_empty()).map(Value::from))
        }
        None => tools.clone(),
    }
}

fn without(object: &Object, key: &str) -> Object {
    let kept = object.iter().filter(|(name, _)| &***name != key);
    kept.map(|(name, value)| (Arc::clone(name), value.clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const CODER: &str = "---\nname: coder\nkind: command\nmodel: opus\ntools: Read, Edit\nspec: { template: claude }\n\
                         ---\n\nYou write code.\n\n---\nAnd tests.\n";

    fn files(path: &str) -> Result<String, String> {
        match path {
            "coder.md" => Ok(CODER.to_owned()),
            "deep/prompt.txt" => Ok("Say hello.\n".to_owned()),
            "files.md" => Ok("---\nname: a\nspec: { source: { $file: deep/prompt.txt } }\n---\n".to_owned()),
            "escape.md" => Ok("---\nname: { $file: ../x }\n---\n".to_owned()),
            "nested.md" => Ok("---\n$agent_md: coder.md\n---\n".to_owned()),
            "plain.md" => Ok("You write code.".to_owned()),
            "open.md" => Ok("---\nname: a\n".to_owned()),
            "broken.md" => Ok("---\nname: a\nkind: [\n---\n".to_owned()),
            "list.md" => Ok("---\n- a\n---\n".to_owned()),
            "twice.md" => Ok("---\nprofile: { system_prompt: x }\n---\ny".to_owned()),
            _ => Err("there is no such file".to_owned()),
        }
    }

    fn resolve(document: serde_json::Value) -> Result<serde_json::Value, Vec<String>> {
        let told =
            |lints: Vec<Lint>| lints.iter().map(|lint| format!("{} {}", lint.pointer, lint.name)).collect();
        resolved(&document.into(), &mut files).map(|value| (&value).into()).map_err(told)
    }

    #[test]
    fn a_file_is_a_text_and_a_markdown_file_an_agent() {
        let coder = json!({"name": "coder", "kind": "command", "spec": {"template": "claude"}, "profile":
            {"model": "opus", "tools": ["Read", "Edit"], "system_prompt": "You write code.\n\n---\nAnd tests."}});
        let mut renamed = coder.clone();
        (renamed["name"], renamed["spec"]) = (json!("other"), json!({"program": "x"}));
        for (given, expected) in [
            (json!({"id": "a", "agents": []}), json!({"id": "a", "agents": []})),
            (json!({"agents": [{"$agent_md": "coder.md"}]}), json!({"agents": [coder]})),
            (
                json!({"agents": [{"$agent_md": "coder.md", "name": "other", "spec": {"program": "x"}}]}),
                json!({"agents": [renamed]}),
            ),
            (
                json!({"agents": [{"$agent_md": "files.md"}]}),
                json!({"agents": [{"name": "a", "spec": {"source": "Say hello.\n"}}]}),
            ),
            (json!({"x": [{"$file": "deep/prompt.txt"}]}), json!({"x": ["Say hello.\n"]})),
        ] {
            assert_eq!(resolve(given.clone()), Ok(expected), "{given}");
        }
    }

    #[test]
    fn what_a_reference_may_not_be_is_told_at_its_place() {
        for (given, expected) in [
            (json!({"x": {"$file": "/etc/passwd"}}), "/x/$file reference-outside"),
            (json!({"x": {"$file": "../x"}}), "/x/$file reference-outside"),
            (json!({"x": {"$file": "a/../../x"}}), "/x/$file reference-outside"),
            (json!({"x": {"$file": "a\\..\\x"}}), "/x/$file reference-outside"),
            (json!({"x": {"$file": ""}}), "/x/$file reference-outside"),
            (json!({"x": {"$file": 5}}), "/x/$file wrong-type"),
            (json!({"x": {"$file": "nope"}}), "/x/$file unreadable-reference"),
            (json!({"x": {"$file": "deep/prompt.txt", "y": 1}}), "/x invalid-reference"),
            (json!({"x": {"$agent_md": "coder.md"}}), "/x invalid-reference"),
            (json!({"flow": {"agents": [{"$agent_md": "coder.md"}]}}), "/flow/agents/0 invalid-reference"),
            (json!({"agents": [{"$agent_md": "../coder.md"}]}), "/agents/0/$agent_md reference-outside"),
            (json!({"agents": [{"$agent_md": "escape.md"}]}), "/agents/0/$agent_md reference-outside"),
            (json!({"agents": [{"$agent_md": "nested.md"}]}), "/agents/0/$agent_md invalid-reference"),
            (json!({"agents": [{"$agent_md": "plain.md"}]}), "/agents/0/$agent_md invalid-agent-file"),
            (json!({"agents": [{"$agent_md": "open.md"}]}), "/agents/0/$agent_md invalid-agent-file"),
            (json!({"agents": [{"$agent_md": "broken.md"}]}), "/agents/0/$agent_md invalid-agent-file"),
            (json!({"agents": [{"$agent_md": "list.md"}]}), "/agents/0/$agent_md invalid-agent-file"),
            (json!({"agents": [{"$agent_md": "twice.md"}]}), "/agents/0/$agent_md invalid-agent-file"),
        ] {
            assert_eq!(resolve(given.clone()), Err(vec![expected.to_owned()]), "{given}");
        }
        let many: Vec<_> = (0..=REFERENCES_MAX).map(|_| json!({"$file": "deep/prompt.txt"})).collect();
        assert_eq!(resolve(json!({"x": many})), Err(vec![format!("/x/{REFERENCES_MAX}/$file too-large")]));
    }

    #[test]
    fn a_mistake_in_front_matter_is_told_with_its_line() {
        let lints = resolved(&json!({"agents": [{"$agent_md": "broken.md"}]}).into(), &mut files);
        let lints = lints.expect_err("it cannot be read");
        assert!(lints[0].message.starts_with("broken.md:"), "{}", lints[0].message);
    }
}
