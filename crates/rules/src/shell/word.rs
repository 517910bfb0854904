//! Words: quotes taken away, variables put in where the line tells them, braces expanded.

use std::collections::BTreeMap;
use tree_sitter::Node;

/// A word may expand to so many.
const EXPANSIONS_MAX: usize = 256;

/// A word as its program would get it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Word {
    /// The text; what only the run can tell is in its source form.
    pub(super) text: String,
    /// Whether the text is certain.
    pub(super) is_sure: bool,
}

impl Word {
    pub(super) fn sure(text: String) -> Self {
        Word { text, is_sure: true }
    }
}

/// The variables whose one literal value the line tells.
pub(super) type Variables = BTreeMap<String, String>;

/// Gives the words that a node of the tree expands to.
pub(super) fn words(node: Node<'_>, source: &str, variables: &Variables) -> Vec<Word> {
    let text = text_of(node, source);
    if let Some(value) = variable_of(node, source).and_then(|name| variables.get(name)) {
        // Unquoted, so the shell splits it.
        return value.split_whitespace().map(|part| Word::sure(part.to_owned())).collect();
    }
    let expands = text.contains('{') && !text.contains(['"', '\'', '$', '`', '\\']);
    match expands.then(|| braces(text)) {
        Some(expanded) if expanded.len() > 1 => expanded.into_iter().map(Word::sure).collect(),
        Some(_) | None => vec![one(node, source, variables)],
    }
}

fn one(node: Node<'_>, source: &str, variables: &Variables) -> Word {
    let mut word = Word::sure(String::new());
    append(node, source, variables, &mut word);
    word
}

fn append(node: Node<'_>, source: &str, variables: &Variables, word: &mut Word) {
    let text = text_of(node, source);
    match node.kind() {
        "raw_string" => word.text.push_str(text.trim_matches('\'')),
        "ansi_c_string" => {
            let inner = text.strip_prefix("$'").and_then(|rest| rest.strip_suffix('\'')).unwrap_or(text);
            word.text.push_str(&unescaped_ansi(inner));
        }
        "string" | "translated_string" => in_quotes(node, source, variables, word),
        "concatenation" | "command_name" => {
            let mut at = node.start_byte();
            for child in children(node) {
                // Blanks cannot stand inside a word, so nothing is between but what the tree leaves out.
                word.text.push_str(&unescaped(&source[at..child.start_byte()]));
                append(child, source, variables, word);
                at = child.end_byte();
            }
            if node.child_count() == 0 {
                word.text.push_str(&unescaped(text));
            }
        }
        "simple_expansion" | "expansion" => {
            match variable_of(node, source).and_then(|name| variables.get(name)) {
                Some(value) if !value.contains(char::is_whitespace) => word.text.push_str(value),
                Some(_) | None => unsure(text, word),
            }
        }
        "command_substitution" | "process_substitution" | "arithmetic_expansion" => unsure(text, word),
        _ => word.text.push_str(&unescaped(text)),
    }
}

fn in_quotes(node: Node<'_>, source: &str, variables: &Variables, word: &mut Word) {
    let (start, end) = (node.start_byte(), node.end_byte());
    let open = start + source[start..end].find('"').map_or(0, |at| at + 1);
    let close = if source[open..end].ends_with('"') { end - 1 } else { end };
    let mut at = open;
    for child in children(node) {
        if child.start_byte() < at || child.end_byte() > close || child.kind() == "\"" {
            continue;
        }
        match child.kind() {
            "simple_expansion" | "expansion" => {
                word.text.push_str(&unescaped_quoted(&source[at..child.start_byte()]));
                match variable_of(child, source).and_then(|name| variables.get(name)) {
                    Some(value) => word.text.push_str(value),
                    None => unsure(text_of(child, source), word),
                }
            }
            "command_substitution" | "arithmetic_expansion" => {
                word.text.push_str(&unescaped_quoted(&source[at..child.start_byte()]));
                unsure(text_of(child, source), word);
            }
            _ => continue,
        }
        at = child.end_byte();
    }
    word.text.push_str(&unescaped_quoted(&source[at..close.max(at)]));
}

fn unsure(text: &str, word: &mut Word) {
    word.text.push_str(text);
    word.is_sure = false;
}

/// Gives the name of the variable that a node is, when it is nothing else.
fn variable_of<'s>(node: Node<'_>, source: &'s str) -> Option<&'s str> {
    let text = text_of(node, source);
    let name = match node.kind() {
        "simple_expansion" => text.strip_prefix('$')?,
        "expansion" => text.strip_prefix("${")?.strip_suffix('}')?,
        "command_name" if node.named_child_count() == 1 => return variable_of(node.named_child(0)?, source),
        _ => return None,
    };
    name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_').then_some(name)
}

pub(super) fn text_of<'s>(node: Node<'_>, source: &'s str) -> &'s str {
    &source[node.start_byte()..node.end_byte()]
}

pub(super) fn children<'t>(node: Node<'t>) -> impl Iterator<Item = Node<'t>> {
    (0..node.child_count()).filter_map(move |index| node.child(index))
}

/// Takes backslashes away; one before a line end takes that away as well.
fn unescaped(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => plain.extend(chars.next().filter(|next| *next != '\n')),
            c => plain.push(c),
        }
    }
    plain
}

/// In double quotes a backslash stands for itself but before a few.
fn unescaped_quoted(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match (c, chars.peek()) {
            ('\\', Some('$' | '`' | '"' | '\\')) => plain.extend(chars.next()),
            ('\\', Some('\n')) => drop(chars.next()),
            (c, _) => plain.push(c),
        }
    }
    plain
}

/// Takes the escapes of `$'…'`, and of `echo -e` and `printf`, for what they stand for.
pub(super) fn unescaped_ansi(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        plain.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        let Some(c) = rest.chars().next() else { break };
        rest = &rest[c.len_utf8()..];
        let coded = match c {
            'x' => Some((16, 2)),
            'u' => Some((16, 4)),
            'U' => Some((16, 8)),
            '0'..='7' => {
                rest = &text[text.len() - rest.len() - 1..];
                Some((8, 3 + usize::from(c == '0')))
            }
            _ => None,
        };
        match (coded, c) {
            (Some((radix, digits_max)), _) => {
                let digits: String =
                    rest.chars().take(digits_max).take_while(|digit| digit.is_digit(radix)).collect();
                rest = &rest[digits.len()..];
                plain.extend(u32::from_str_radix(&digits, radix).ok().and_then(char::from_u32));
            }
            (None, 'n') => plain.push('\n'),
            (None, 't') => plain.push('\t'),
            (None, 'r') => plain.push('\r'),
            (None, 'a' | 'b' | 'e' | 'E' | 'f' | 'v') => plain.push(' '),
            (None, other) => plain.push(other),
        }
    }
    plain.push_str(rest);
    plain
}

/// Expands `{a,b}`, each into the others.
fn braces(text: &str) -> Vec<String> {
    let mut done = Vec::new();
    let mut open = vec![text.to_owned()];
    while let Some(text) = open.pop() {
        match first_brace(&text) {
            Some((before, parts, after)) if open.len() + done.len() + parts.len() <= EXPANSIONS_MAX => {
                open.extend(parts.iter().rev().map(|part| format!("{before}{part}{after}")));
            }
            Some(_) | None => done.push(text),
        }
    }
    done
}

/// Finds the first `{…,…}` and gives what stands before it, its parts, and what stands behind it.
fn first_brace(text: &str) -> Option<(&str, Vec<&str>, &str)> {
    for (start, _) in text.match_indices('{') {
        let (mut depth, mut parts, mut from) = (0, Vec::new(), start + 1);
        for (at, c) in text[start..].char_indices().map(|(at, c)| (start + at, c)) {
            match c {
                '{' => depth += 1,
                ',' if depth == 1 => {
                    parts.push(&text[from..at]);
                    from = at + 1;
                }
                '}' => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                if parts.is_empty() {
                    break;
                }
                parts.push(&text[from..at]);
                return Some((&text[..start], parts, &text[at + 1..]));
            }
        }
    }
    None
}
