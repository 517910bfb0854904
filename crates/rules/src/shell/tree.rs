//! From the grammar's tree to commands: the words of each, what its redirections write, what it reads.

use super::word::{self, Variables, Word, children, text_of};
use std::borrow::Cow;
use std::collections::BTreeMap;
use tree_sitter::{Node, Parser};

/// A command as it stands in a line.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Found {
    /// Its words, the program first.
    pub(super) words: Vec<Word>,
    /// The files that its redirections open for writing.
    pub(super) writes: Vec<Word>,
    /// What stands on its standard input.
    pub(super) input: Input,
}

/// What a command reads.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) enum Input {
    /// Nothing that the line says.
    #[default]
    Unsaid,
    /// This text.
    Text(String),
    /// What another command of the line writes.
    Piped(Vec<Word>),
    /// A file.
    File,
}

/// A line's commands, in the order of the text, and where it is broken.
#[derive(Debug, Default)]
pub(super) struct Read {
    pub(super) commands: Vec<Found>,
    pub(super) broken: Vec<String>,
}

/// Gives a line of the same bytes' length in which each character beyond ASCII is letters.
///
/// The grammar's scanner, which is C, looks characters up in tables that end long before Unicode does. To a shell they
/// are parts of words like letters, also those that Unicode calls spaces, and the words are cut from the line itself.
fn ascii(source: &str) -> Cow<'_, str> {
    if source.is_ascii() {
        return Cow::Borrowed(source);
    }
    Cow::Owned(source.bytes().map(|byte| if byte.is_ascii() { char::from(byte) } else { 'x' }).collect())
}

/// Reads a line; nothing when the grammar gives up.
pub(super) fn read(source: &str) -> Option<Read> {
    let mut parser = Parser::new();
    parser.set_language(&tree_sitter_bash::LANGUAGE.into()).ok()?;
    let tree = parser.parse(&*ascii(source), None)?;
    let variables = variables(tree.root_node(), source);
    let mut read = Read::default();
    let mut open = vec![tree.root_node()];
    while let Some(node) = open.pop() {
        if node.is_error() || node.is_missing() {
            let shown: String = text_of(node, source).chars().take(40).collect();
            read.broken.push(format!("a line that the grammar does not take, at `{shown}`"));
        }
        match node.kind() {
            "command" => read.commands.push(command(node, source, &variables)),
            "declaration_command" | "unset_command" => {
                let words = children(node).flat_map(|child| word::words(child, source, &variables)).collect();
                read.commands.push(Found { words, ..Found::default() });
            }
            "redirected_statement"
                if node.child_by_field_name("body").is_none_or(|body| body.kind() != "command") =>
            {
                // What a whole group, or nothing at all, writes to.
                let writes = writes(node, source, &variables);
                if !writes.is_empty() {
                    let words = vec![Word::sure(":".to_owned())];
                    read.commands.push(Found { words, writes, input: Input::Unsaid });
                }
            }
            _ => {}
        }
        let below: Vec<_> = children(node).collect();
        open.extend(below.into_iter().rev());
    }
    Some(read)
}

fn command(node: Node<'_>, source: &str, variables: &Variables) -> Found {
    let mut found = Found { words: command_words(node, source, variables), ..Found::default() };
    let around = node.parent().filter(|parent| parent.kind() == "redirected_statement");
    for place in [Some(node), around].into_iter().flatten() {
        found.writes.extend(writes(place, source, variables));
        if let Some(input) = input(place, source, variables) {
            found.input = input;
        }
    }
    if found.input == Input::Unsaid {
        found.input = piped(around.unwrap_or(node), source, variables);
    }
    found
}

fn writes(node: Node<'_>, source: &str, variables: &Variables) -> Vec<Word> {
    let redirects = children(node).filter(|child| child.kind() == "file_redirect");
    let writing = redirects.filter(|redirect| {
        let operator = children(*redirect).find(|child| !child.is_named());
        operator.is_some_and(|operator| text_of(operator, source).contains('>'))
    });
    let destinations = writing.filter_map(|redirect| redirect.child_by_field_name("destination"));
    // `2>&1` names a descriptor and no file.
    let files = destinations
        .filter(|destination| destination.kind() != "number" && text_of(*destination, source) != "-");
    files.flat_map(|destination| word::words(destination, source, variables)).collect()
}

fn input(node: Node<'_>, source: &str, variables: &Variables) -> Option<Input> {
    children(node).find_map(|child| match child.kind() {
        "herestring_redirect" => {
            let given = children(child).filter(Node::is_named).last()?;
            let words = word::words(given, source, variables);
            Some(Input::Text(words.into_iter().map(|word| word.text).collect::<Vec<_>>().join(" ")))
        }
        "heredoc_redirect" => {
            let body = children(child).find(|part| part.kind() == "heredoc_body")?;
            Some(Input::Text(text_of(body, source).to_owned()))
        }
        "file_redirect" => {
            let operator = children(child).find(|part| !part.is_named())?;
            (text_of(operator, source) == "<").then_some(Input::File)
        }
        _ => None,
    })
}

/// Gives the command before this one in a pipeline.
fn piped(node: Node<'_>, source: &str, variables: &Variables) -> Input {
    let Some(pipeline) = node.parent().filter(|parent| parent.kind() == "pipeline") else {
        return Input::Unsaid;
    };
    let before = children(pipeline).filter(Node::is_named).take_while(|stage| stage.id() != node.id()).last();
    match before {
        None => Input::Unsaid,
        Some(stage) if stage.kind() == "command" => Input::Piped(command_words(stage, source, variables)),
        Some(stage) => {
            let inner = stage.child_by_field_name("body").filter(|body| body.kind() == "command");
            match (inner, inner.and_then(|_| input(stage, source, variables))) {
                (Some(_), Some(text @ Input::Text(_))) => text,
                (Some(body), _) => Input::Piped(command_words(body, source, variables)),
                (None, _) => Input::Piped(Vec::new()),
            }
        }
    }
}

fn command_words(node: Node<'_>, source: &str, variables: &Variables) -> Vec<Word> {
    command_parts(node).flat_map(|part| word::words(part, source, variables)).collect()
}

fn command_parts<'t>(node: Node<'t>) -> impl Iterator<Item = Node<'t>> {
    children(node).filter(|child| {
        !matches!(
            child.kind(),
            "variable_assignment" | "file_redirect" | "heredoc_redirect" | "herestring_redirect"
        )
    })
}

/// Gives the variables that are set once, to a literal value.
fn variables(root: Node<'_>, source: &str) -> Variables {
    let mut seen: BTreeMap<String, Option<String>> = BTreeMap::new();
    let mut open = vec![root];
    while let Some(node) = open.pop() {
        open.extend(children(node).collect::<Vec<_>>().into_iter().rev());
        let unknown = match node.kind() {
            "variable_assignment" => {
                let Some(name) = node.child_by_field_name("name") else { continue };
                let known: Variables =
                    seen.iter().filter_map(|(k, v)| Some((k.clone(), v.clone()?))).collect();
                let value = match node.child_by_field_name("value") {
                    Some(value) => word::words(value, source, &known),
                    None => vec![Word::sure(String::new())],
                };
                let literal = match value.as_slice() {
                    [one] if one.is_sure && !text_of(node, source).contains("+=") => Some(one.text.clone()),
                    _ => None,
                };
                let name = text_of(name, source).to_owned();
                let again = seen.contains_key(&name);
                seen.insert(name, literal.filter(|_| !again));
                continue;
            }
            "for_statement" => node.child_by_field_name("variable"),
            _ => None,
        };
        if let Some(name) = unknown {
            seen.insert(text_of(name, source).to_owned(), None);
        }
    }
    seen.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}
