//! The document as it stands in the text: every value and key with its place, aliases not yet expanded.

use super::{NODES_MAX, Problems, Span};
use adjutant_model::Value;
use adjutant_model::value::DEPTH_MAX;
use std::collections::HashMap;
use std::sync::Arc;

/// A value and its place.
#[derive(Debug, Clone)]
pub(super) struct Tree {
    pub(super) span: Span,
    pub(super) content: Content,
}

#[derive(Debug, Clone)]
pub(super) enum Content {
    Scalar(Value),
    Sequence(Vec<Tree>),
    Mapping(Vec<(Key, Tree)>),
    /// What an anchor names, at the place of the anchor.
    Alias(Arc<Tree>),
}

/// A key and its place.
#[derive(Debug, Clone)]
pub(super) struct Key {
    pub(super) text: Arc<str>,
    pub(super) span: Span,
}

/// Where a pointer led.
pub(super) struct Found<'a> {
    pub(super) value: &'a Span,
    /// The last key on the way, when a key was the last step.
    pub(super) key: Option<&'a Span>,
    /// Whether the whole pointer could be followed.
    pub(super) exact: bool,
}

impl Tree {
    /// Follows an RFC 6901 pointer as far as it goes.
    pub(super) fn find(&self, pointer: &str) -> Found<'_> {
        let mut found = Found { value: &self.span, key: None, exact: true };
        let mut at = self;
        for token in pointer.split('/').skip(1) {
            let token = token.replace("~1", "/").replace("~0", "~");
            let Some((key, tree)) = at.child(&token) else {
                found.exact = false;
                return found;
            };
            found.key = key.map(|key| &key.span);
            found.value = &tree.span;
            at = tree;
        }
        found
    }

    fn child(&self, token: &str) -> Option<(Option<&Key>, &Tree)> {
        match &self.content {
            Content::Scalar(_) => None,
            Content::Sequence(items) => items.get(token.parse::<usize>().ok()?).map(|item| (None, item)),
            Content::Mapping(entries) => {
                entries.iter().find(|(key, _)| &*key.text == token).map(|(key, tree)| (Some(key), tree))
            }
            Content::Alias(target) => target.child(token),
        }
    }

    /// Gives the value with its aliases expanded; `None` when it grows beyond the bounds, which `problems` then say.
    pub(super) fn value(&self, problems: &mut Problems) -> Option<Value> {
        let mut expansion = Expansion { nodes_left: NODES_MAX, depth: 0 };
        match expansion.value(self) {
            Ok(value) => Some(value),
            Err(Beyond { span, message }) => {
                problems.note("too-large", span, message);
                None
            }
        }
    }
}

struct Expansion {
    nodes_left: usize,
    depth: u16,
}

struct Beyond {
    span: Span,
    message: String,
}

impl Expansion {
    fn value(&mut self, tree: &Tree) -> Result<Value, Beyond> {
        if self.nodes_left == 0 {
            let message = format!("the document has more than {NODES_MAX} values");
            return Err(Beyond { span: tree.span.clone(), message });
        }
        self.nodes_left -= 1;
        match &tree.content {
            Content::Scalar(value) => Ok(value.clone()),
            Content::Alias(target) => {
                // The alias itself is no value of its own.
                self.nodes_left += 1;
                self.value(target)
            }
            Content::Sequence(items) => {
                self.enter(tree)?;
                let items = items.iter().map(|item| self.value(item)).collect::<Result<Vec<_>, _>>()?;
                self.depth -= 1;
                Ok(Value::array(items))
            }
            Content::Mapping(entries) => {
                self.enter(tree)?;
                let entries = entries.iter().map(|(key, tree)| Ok((key.text.clone(), self.value(tree)?)));
                let entries = entries.collect::<Result<Vec<_>, Beyond>>()?;
                self.depth -= 1;
                Ok(Value::object(entries))
            }
        }
    }

    fn enter(&mut self, tree: &Tree) -> Result<(), Beyond> {
        if self.depth == DEPTH_MAX {
            let message = format!("the document nests deeper than {DEPTH_MAX}");
            return Err(Beyond { span: tree.span.clone(), message });
        }
        self.depth += 1;
        Ok(())
    }
}

/// Puts a tree together from events in the order of the text.
pub(super) struct Builder<'p> {
    stack: Vec<Frame>,
    root: Option<Tree>,
    anchors: HashMap<usize, Arc<Tree>>,
    nodes: usize,
    pub(super) problems: &'p mut Problems,
}

struct Frame {
    span: Span,
    anchor: usize,
    open: Open,
}

enum Open {
    Sequence(Vec<Tree>),
    Mapping { entries: Vec<(Key, Tree)>, seen: HashMap<Arc<str>, usize>, key: PendingKey },
}

enum PendingKey {
    /// The next value is a key.
    Expected,
    Read(Key),
    /// A key that cannot be one was noted; its value is read and dropped.
    Refused,
}

/// What a container is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Sequence,
    Mapping,
}

/// The document is beyond its bounds and reading it must end.
#[derive(Debug)]
pub(super) struct Stop;

impl<'p> Builder<'p> {
    pub(super) fn new(problems: &'p mut Problems) -> Self {
        Builder { stack: Vec::new(), root: None, anchors: HashMap::new(), nodes: 0, problems }
    }

    pub(super) fn open(&mut self, kind: Kind, span: Span, anchor: usize) -> Result<(), Stop> {
        if self.stack.len() >= usize::from(DEPTH_MAX) {
            self.problems.note("too-large", span, format!("the document nests deeper than {DEPTH_MAX}"));
            return Err(Stop);
        }
        let open = match kind {
            Kind::Sequence => Open::Sequence(Vec::new()),
            Kind::Mapping => {
                Open::Mapping { entries: Vec::new(), seen: HashMap::new(), key: PendingKey::Expected }
            }
        };
        self.stack.push(Frame { span, anchor, open });
        Ok(())
    }

    /// Closes the innermost container; `end` is the place of its closing bracket, empty when it has none.
    pub(super) fn close(&mut self, end: &Span) -> Result<(), Stop> {
        let Some(Frame { mut span, anchor, open }) = self.stack.pop() else { return Ok(()) };
        let content = match open {
            Open::Sequence(items) => Content::Sequence(items),
            Open::Mapping { entries, .. } => Content::Mapping(entries),
        };
        let last = match &content {
            Content::Sequence(items) => items.last().map(|item| item.span.bytes.end),
            Content::Mapping(entries) => entries.last().map(|(_, tree)| tree.span.bytes.end),
            Content::Scalar(_) | Content::Alias(_) => None,
        };
        let bracket = Some(end.bytes.end).filter(|_| !end.bytes.is_empty());
        span.bytes.end = span.bytes.end.max(last.unwrap_or(0)).max(bracket.unwrap_or(0));
        self.value(Tree { span, content }, anchor)
    }

    /// Takes a value that is complete.
    pub(super) fn value(&mut self, tree: Tree, anchor: usize) -> Result<(), Stop> {
        self.nodes += 1;
        if self.nodes > 2 * NODES_MAX {
            self.problems.note(
                "too-large",
                tree.span,
                format!("the document has more than {NODES_MAX} values"),
            );
            return Err(Stop);
        }
        let tree = match anchor {
            0 => tree,
            anchor => {
                let target = Arc::new(tree);
                self.anchors.insert(anchor, target.clone());
                Tree { span: target.span.clone(), content: Content::Alias(target) }
            }
        };
        self.place(tree);
        Ok(())
    }

    /// Takes an alias; one to a container that is still open would contain itself.
    pub(super) fn alias(&mut self, anchor: usize, span: Span) -> Result<(), Stop> {
        let content = match self.anchors.get(&anchor) {
            Some(target) => Content::Alias(target.clone()),
            None => {
                self.problems.note(
                    "recursive-alias",
                    span.clone(),
                    "this alias stands inside of what it names",
                );
                Content::Scalar(Value::Null)
            }
        };
        self.value(Tree { span, content }, 0)
    }

    /// Gives the tree when the document was complete.
    pub(super) fn finish(self) -> Option<Tree> {
        self.root
    }

    fn place(&mut self, tree: Tree) {
        let Some(frame) = self.stack.last_mut() else {
            self.root = Some(tree);
            return;
        };
        match &mut frame.open {
            Open::Sequence(items) => items.push(tree),
            Open::Mapping { entries, seen, key } => match std::mem::replace(key, PendingKey::Expected) {
                PendingKey::Expected => *key = read_key(&tree, seen, self.problems),
                PendingKey::Read(key) => entries.push((key, tree)),
                PendingKey::Refused => {}
            },
        }
    }
}

fn read_key(tree: &Tree, seen: &mut HashMap<Arc<str>, usize>, problems: &mut Problems) -> PendingKey {
    let Some(text) = key_text(tree) else {
        let hint = Some("put quotes around it");
        problems.note_with_hint("key-not-a-string", tree.span.clone(), "a key must be a string", hint);
        return PendingKey::Refused;
    };
    if let Some(line) = seen.get(&text) {
        let message = format!("the key `{text}` stands here twice, first on line {line}");
        problems.note("duplicate-key", tree.span.clone(), message);
        return PendingKey::Refused;
    }
    seen.insert(text.clone(), tree.span.line);
    PendingKey::Read(Key { text, span: tree.span.clone() })
}

fn key_text(tree: &Tree) -> Option<Arc<str>> {
    match &tree.content {
        Content::Scalar(Value::String(text)) => Some(text.clone()),
        Content::Alias(target) => key_text(target),
        Content::Scalar(_) | Content::Sequence(_) | Content::Mapping(_) => None,
    }
}
