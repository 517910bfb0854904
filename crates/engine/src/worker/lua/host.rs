//! What the plane lends to chunks: functions over documents, in the table `host`.
//!
//! All of them compute from their arguments and reach nothing, so every chunk has them. None can be stopped while it
//! works, and what it holds does not count as the chunk's memory; therefore each takes at most 4 MiB, which takes a
//! fraction of a second.
//!
//! - `yaml_to_json(text)`: what a document says; YAML or JSON.
//! - `to_yaml(value)`: a value as YAML that people read.
//! - `canonical(value)`: the one text of RFC 8785 that a version is the hash of.
//! - `content_hash(text)`: SHA-256 as 64 hex digits.
//! - `patch(given)`: what a producer of patches gave, as `{ops, bump, rationale}`; takes fences of Markdown off.
//! - `json_patch(document, ops)`: the document after the operations of RFC 6902.
//! - `bump(label, bump)`: the next version label.
//! - `compile(document)`: `{ok, version, lints}`, whether a blueprint could run here.

use super::convert::{Bounds, Converter};
use super::sandbox::GUARDS_LABEL;
use super::{Stop, sandbox};
use crate::tasks::read_blueprint;
use adjutant_model::Value;
use adjutant_rules::enhance::patch::{self, Bump, DOCUMENT_BYTES_MAX};
use adjutant_rules::{blueprint, source};
use mlua::chunk::ChunkMode;
use mlua::{Function, Lua, MultiValue, Table};
use std::sync::LazyLock;

static WRAPPER: LazyLock<Vec<u8>> = LazyLock::new(|| sandbox::compiled(include_str!("host.luau")));

/// One function of the plane: its name, and what it gives for its arguments, or why it gives nothing.
type HostFunction = (&'static str, fn(&Call<'_>) -> Result<Value, String>);

const FUNCTIONS: [HostFunction; 8] = [
    ("yaml_to_json", |call| {
        let text = call.text(0)?;
        let read = source::read(&text).map_err(|lints| {
            format!("parse: {}", lints.first().map(ToString::to_string).unwrap_or_default())
        })?;
        Ok(read.value().clone())
    }),
    ("to_yaml", |call| Ok(Value::from(source::to_yaml(&call.value(0)?)))),
    ("canonical", |call| Ok(Value::from(blueprint::canonical(&call.value(0)?)))),
    ("content_hash", |call| Ok(Value::from(blueprint::version_of(&call.text(0)?)))),
    ("patch", |call| {
        let spec = patch::read(&call.value(0)?).map_err(|error| error.to_string())?;
        Ok(Value::object([
            ("ops", Value::array(spec.ops)),
            ("bump", Value::from(spec.bump.as_str())),
            ("rationale", Value::from(spec.rationale)),
        ]))
    }),
    ("json_patch", |call| {
        let (document, ops) = (call.value(0)?, call.value(1)?);
        let ops = ops
            .as_array()
            .ok_or_else(|| format!("expected an array of operations, found {}", ops.type_name()))?;
        patch::apply(&document, ops).map_err(|error| error.to_string())
    }),
    ("bump", |call| {
        let label = call.value(0)?;
        let name = call.text(1)?;
        let bump =
            Bump::parse(&name).ok_or_else(|| format!("expected major, minor or patch, found {name:?}"))?;
        Ok(Value::from(patch::bumped(label.as_str(), bump)))
    }),
    ("compile", |call| Ok(compiled(&call.value(0)?))),
];

/// Makes the table.
pub(super) fn table(lua: &Lua, converter: &Converter) -> mlua::Result<Table> {
    let raw = lua.create_table()?;
    for (name, function) in FUNCTIONS {
        raw.raw_set(name, lend(lua, converter, (name, function))?)?;
    }
    let wrapper =
        lua.load(WRAPPER.as_slice()).set_name(format!("={GUARDS_LABEL}")).set_mode(ChunkMode::Binary);
    wrapper.call(raw)
}

fn lend(lua: &Lua, converter: &Converter, (name, function): HostFunction) -> mlua::Result<Function> {
    let mark = converter.mark();
    lua.create_function(move |lua, args: MultiValue| {
        // A machine that held itself through a function of its own would never be dropped.
        let converter = Converter::with(lua, mark.clone());
        let given = function(&Call { args: &args, converter: &converter })
            .and_then(|value| converter.to_lua(&value).map_err(|error| error.to_string()));
        Ok(match given {
            Ok(value) => (value, None),
            Err(why) => (mlua::Value::Nil, Some(format!("{name}: {why}"))),
        })
    })
}

/// The arguments of one call.
struct Call<'c> {
    args: &'c MultiValue,
    converter: &'c Converter,
}

impl Call<'_> {
    fn value(&self, index: usize) -> Result<Value, String> {
        let value = self.args.get(index).unwrap_or(&mlua::Value::Nil);
        let bounds = Bounds { bytes_max: DOCUMENT_BYTES_MAX, stop: &Stop::default() };
        self.converter.to_json(value, bounds).map_err(|error| error.to_string())
    }

    fn text(&self, index: usize) -> Result<String, String> {
        match self.args.get(index).unwrap_or(&mlua::Value::Nil) {
            mlua::Value::String(text) if text.as_bytes().len() <= DOCUMENT_BYTES_MAX => {
                text.to_str().map(|text| text.to_owned()).map_err(|_| "the text is not UTF-8".to_owned())
            }
            mlua::Value::String(_) => Err(format!("the text is longer than {DOCUMENT_BYTES_MAX} bytes")),
            other => Err(format!("expected a text, found {}", other.type_name())),
        }
    }
}

/// Says whether a document is a blueprint that could run here.
fn compiled(document: &Value) -> Value {
    let (ok, lints) = match read_blueprint(document) {
        Ok((_, lints)) => (true, lints),
        Err(lints) => (false, lints),
    };
    Value::object([
        ("ok", Value::from(ok)),
        ("version", Value::from(blueprint::hash(document))),
        ("lints", Value::array(lints.iter().map(|lint| Value::from(lint.to_string())))),
    ])
}
