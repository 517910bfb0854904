//! The tree of a text that is YAML.

use super::scalar::{self, Tag};
use super::tree::{Builder, Content, Kind, Stop, Tree};
use super::{Problems, SYNTAX, Span};
use adjutant_model::Value;
use saphyr_parser::{Event, Marker, Parser, ScalarStyle, Span as Marks};
use std::borrow::Cow;

pub(super) fn tree(text: &str, problems: &mut Problems) -> Option<Tree> {
    let places = Places::new(text);
    let mut builder = Builder::new(problems);
    let mut documents = 0;
    for event in Parser::new_from_str(text) {
        let (event, marks) = match event {
            Ok(event) => event,
            Err(error) => {
                let span = places.at(*error.marker());
                builder.problems.note(SYNTAX, span, format!("not valid YAML: {}", error.info()));
                return None;
            }
        };
        let span = places.between(&marks);
        if matches!(event, Event::DocumentStart(_)) {
            documents += 1;
        }
        if documents > 1 {
            builder.problems.note(
                "several-documents",
                span,
                "a second document begins here; only one is read",
            );
            return None;
        }
        if build(&mut builder, event, span).is_err() {
            return None;
        }
    }
    if documents == 0 {
        builder.problems.note("empty-document", places.at(Marker::new(0, 1, 0)), "the document is empty");
    }
    builder.finish()
}

fn build(builder: &mut Builder<'_>, event: Event<'_>, span: Span) -> Result<(), Stop> {
    match event {
        Event::Nothing
        | Event::StreamStart
        | Event::StreamEnd
        | Event::DocumentStart(_)
        | Event::DocumentEnd => Ok(()),
        Event::Alias(anchor) => builder.alias(anchor, span),
        Event::SequenceStart(anchor, tag) => {
            require_tag(builder, tag.as_deref(), "seq", &span);
            builder.open(Kind::Sequence, span, anchor)
        }
        Event::MappingStart(anchor, tag) => {
            require_tag(builder, tag.as_deref(), "map", &span);
            builder.open(Kind::Mapping, span, anchor)
        }
        Event::SequenceEnd | Event::MappingEnd => builder.close(&span),
        Event::Scalar(text, style, anchor, tag) => {
            let value = read_scalar(&text, style, tag).unwrap_or_else(|(name, why)| {
                builder.problems.note(name, span.clone(), why);
                // A string, so that a key which was noted once is not noted again as no string.
                Value::from(&*text)
            });
            builder.value(Tree { span, content: Content::Scalar(value) }, anchor)
        }
    }
}

type Refused = (&'static str, String);

fn read_scalar(
    text: &str,
    style: ScalarStyle,
    tag: Option<Cow<'_, saphyr_parser::Tag>>,
) -> Result<Value, Refused> {
    let invalid = |why| ("invalid-scalar", why);
    match (tag, style) {
        (Some(tag), _) => {
            let core = scalar_tag(&tag).ok_or_else(|| unknown_tag(&tag))?;
            scalar::tagged(core, text).map_err(invalid)
        }
        (None, ScalarStyle::Plain) => scalar::plain(text).map_err(invalid),
        (
            None,
            ScalarStyle::SingleQuoted
            | ScalarStyle::DoubleQuoted
            | ScalarStyle::Literal
            | ScalarStyle::Folded,
        ) => Ok(Value::from(text)),
    }
}

fn scalar_tag(tag: &saphyr_parser::Tag) -> Option<Tag> {
    if is_non_specific(tag) {
        return Some(Tag::Str);
    }
    if !tag.is_yaml_core_schema() {
        return None;
    }
    match tag.suffix.as_str() {
        "null" => Some(Tag::Null),
        "bool" => Some(Tag::Bool),
        "int" => Some(Tag::Int),
        "float" => Some(Tag::Float),
        "str" => Some(Tag::Str),
        _ => None,
    }
}

fn require_tag(builder: &mut Builder<'_>, tag: Option<&saphyr_parser::Tag>, suffix: &str, span: &Span) {
    if let Some(tag) = tag
        && !is_non_specific(tag)
        && !(tag.is_yaml_core_schema() && tag.suffix == suffix)
    {
        let (name, message) = unknown_tag(tag);
        builder.problems.note(name, span.clone(), message);
    }
}

/// A lone `!` says only that the value is not to be guessed.
fn is_non_specific(tag: &saphyr_parser::Tag) -> bool {
    (tag.handle == "!" && tag.suffix.is_empty()) || (tag.handle.is_empty() && tag.suffix == "!")
}

fn unknown_tag(tag: &saphyr_parser::Tag) -> Refused {
    let shown: String = tag.to_string().chars().take(60).collect();
    ("unknown-tag", format!("the tag `{shown}` means nothing here"))
}

/// Turns the parser's marks, which count characters, into places.
struct Places {
    /// The byte that each character begins at; empty for a text of ASCII alone, where they are the same.
    bytes: Vec<usize>,
    len: usize,
}

impl Places {
    fn new(text: &str) -> Self {
        let bytes =
            if text.is_ascii() { Vec::new() } else { text.char_indices().map(|(at, _)| at).collect() };
        Places { bytes, len: text.len() }
    }

    fn at(&self, mark: Marker) -> Span {
        self.between(&Marks::empty(mark))
    }

    fn between(&self, marks: &Marks) -> Span {
        let start = self.byte(marks.start.index());
        let end = self.byte(marks.end.index()).max(start);
        Span { line: marks.start.line().max(1), column: marks.start.col() + 1, bytes: start..end }
    }

    fn byte(&self, character: usize) -> usize {
        if self.bytes.is_empty() {
            character.min(self.len)
        } else {
            self.bytes.get(character).copied().unwrap_or(self.len)
        }
    }
}
