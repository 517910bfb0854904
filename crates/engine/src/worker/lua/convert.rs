//! Between JSON and Luau, so that `return x` gives back the same JSON.
//!
//! - `null` is a value of its own, which tables can hold; `nil` as the whole result is `null` too. It is truthy.
//! - An array from JSON carries a mark, which stays when the table is emptied or cloned. A table made in the script
//!   is an array when its keys are 1 to n, and an object when they are strings or when it is empty; `array {}` marks
//!   a table, so that it is an array even when it is empty.
//! - Numbers are f64 and convert by value: whole ones leave as JSON integers, so `1.0` comes back as `1`. Whole
//!   numbers that f64 may have rounded, from 2^53 to 2^64 and their negatives, are refused in both directions;
//!   larger ones cannot have been integers and leave as floats.
//! - Strings must be UTF-8. Functions, coroutines, buffers, NaN, infinities, lists with holes, tables that mix
//!   positions and names, and tables that hold themselves have no JSON form: the error names the place.

use super::Stop;
use adjutant_model::Value;
use adjutant_model::value::{DEPTH_MAX, Number, Object};
use mlua::{Function, Lua, Table};
use std::ffi::c_void;
use std::fmt;
use std::fmt::Write as _;
use std::sync::Arc;

/// Up to here f64 holds every integer.
const EXACT_MAX: f64 = 9_007_199_254_740_992.0;
/// From here no JSON integer can have been meant.
const INTEGER_END: f64 = 18_446_744_073_709_551_616.0;
/// What an element of a container weighs besides its text.
const ELEMENT_BYTES: usize = 32;

/// Why a value has no counterpart.
#[derive(Debug, thiserror::Error)]
#[error("{place} {why}")]
pub(super) struct ConvertError {
    place: String,
    why: String,
}

/// Converts values for one machine.
pub(super) struct Converter {
    lua: Lua,
    mark: Table,
}

impl Converter {
    pub(super) fn new(lua: &Lua) -> mlua::Result<Self> {
        let mark = lua.create_table()?;
        // Scripts may see the mark and pass it on, which does no harm, but not change it.
        mark.set_readonly(true);
        Ok(Converter { lua: lua.clone(), mark })
    }

    /// Makes one more for a machine, with the mark that its arrays carry.
    pub(super) fn with(lua: &Lua, mark: Table) -> Self {
        Converter { lua: lua.clone(), mark }
    }

    /// Gives the mark that arrays carry.
    pub(super) fn mark(&self) -> Table {
        self.mark.clone()
    }

    /// Gives `array`, which marks a table as an array.
    pub(super) fn array_function(&self) -> mlua::Result<Function> {
        let mark = self.mark.clone();
        self.lua.create_function(move |lua, table: Option<Table>| {
            let table = table.map_or_else(|| lua.create_table(), Ok)?;
            table.set_metatable(Some(mark.clone()))?;
            Ok(table)
        })
    }

    /// Makes the machine's value; it counts towards the machine's memory.
    pub(super) fn to_lua(&self, value: &Value) -> Result<mlua::Value, ConvertError> {
        let mut place = Place::new("input");
        self.lua_at(value, &mut place)
    }

    fn lua_at(&self, value: &Value, place: &mut Place) -> Result<mlua::Value, ConvertError> {
        Ok(match value {
            Value::Null => mlua::Value::NULL,
            Value::Bool(b) => mlua::Value::Boolean(*b),
            Value::Number(number) => mlua::Value::Number(float(number).ok_or_else(|| place.inexact(number))?),
            Value::String(text) => {
                mlua::Value::String(place.checked(self.lua.create_string(text.as_bytes()))?)
            }
            Value::Array(array) => {
                let items = array.as_slice();
                let table = place.checked(self.lua.create_table_with_capacity(items.len(), 0))?;
                for (index, item) in items.iter().enumerate() {
                    place.enter(Step::Index(index + 1));
                    let item = self.lua_at(item, place)?;
                    place.checked(table.raw_seti(index + 1, item))?;
                    place.leave();
                }
                place.checked(table.set_metatable(Some(self.mark.clone())))?;
                mlua::Value::Table(table)
            }
            Value::Object(object) => {
                let table = place.checked(self.lua.create_table_with_capacity(0, object.len()))?;
                for (key, item) in object.iter() {
                    place.enter(Step::Key(key.clone()));
                    let item = self.lua_at(item, place)?;
                    place.checked(table.raw_set(&**key, item))?;
                    place.leave();
                }
                mlua::Value::Table(table)
            }
        })
    }

    /// Makes JSON.
    pub(super) fn to_json(&self, value: &mlua::Value, bounds: Bounds<'_>) -> Result<Value, ConvertError> {
        let mut reading =
            Reading { mark: &self.mark, place: Place::new("result"), above: Vec::new(), bounds };
        reading.json(value)
    }
}

/// What a reading may cost: a table that stands in many places takes little memory only as long as it is Luau's.
pub(super) struct Bounds<'b> {
    /// About how many bytes the JSON may weigh.
    pub(super) bytes_max: usize,
    /// Ends the reading early.
    pub(super) stop: &'b Stop,
}

/// One reading of a machine's value; no code of the script runs in it.
struct Reading<'c> {
    mark: &'c Table,
    place: Place,
    /// The tables that hold the one being read.
    above: Vec<*const c_void>,
    bounds: Bounds<'c>,
}

impl Reading<'_> {
    fn json(&mut self, value: &mlua::Value) -> Result<Value, ConvertError> {
        self.spend(ELEMENT_BYTES)?;
        match value {
            mlua::Value::Nil => Ok(Value::Null),
            value if value.is_null() => Ok(Value::Null),
            mlua::Value::Boolean(b) => Ok(Value::Bool(*b)),
            mlua::Value::Integer(n) => self.number(*n as f64),
            mlua::Value::Number(n) => self.number(*n),
            mlua::Value::String(text) => Ok(Value::String(self.text(text)?)),
            mlua::Value::Table(table) => self.table(table),
            other => Err(self.place.error(format!("is a {}, which has no JSON form", other.type_name()))),
        }
    }

    fn number(&self, n: f64) -> Result<Value, ConvertError> {
        if n.fract() == 0.0 && n.abs() <= EXACT_MAX {
            return Ok(Value::from(n as i64));
        }
        if n.fract() == 0.0 && n.abs() < INTEGER_END {
            return Err(self.place.inexact(n));
        }
        Value::from_f64(n).ok_or_else(|| self.place.error(format!("is {n}, which has no JSON form")))
    }

    fn text(&mut self, text: &mlua::LuaString) -> Result<Arc<str>, ConvertError> {
        self.spend(text.as_bytes().len())?;
        match text.to_str() {
            Ok(text) => Ok(Arc::from(&*text)),
            Err(_) => Err(self.place.error("is a text that is not UTF-8")),
        }
    }

    fn table(&mut self, table: &Table) -> Result<Value, ConvertError> {
        let own = table.to_pointer();
        if self.above.contains(&own) {
            return Err(self.place.error("is a table that holds itself and so nests deeper than any JSON"));
        }
        if self.above.len() >= usize::from(DEPTH_MAX) {
            return Err(self.place.error(format!("nests deeper than {DEPTH_MAX}")));
        }
        self.above.push(own);
        let marked = table.metatable().is_some_and(|found| found == *self.mark);
        let first = self.place.checked(table.pairs::<mlua::Value, mlua::Value>().next().transpose())?;
        let value = match first {
            None if marked => Value::array([]),
            Some((mlua::Value::Integer(_) | mlua::Value::Number(_), _)) => self.array(table)?,
            Some(_) if marked => {
                return Err(self.place.error("is an array that has names besides positions"));
            }
            Some(_) | None => self.object(table)?,
        };
        self.above.pop();
        Ok(value)
    }

    fn array(&mut self, table: &Table) -> Result<Value, ConvertError> {
        let mut count = 0_usize;
        for pair in table.pairs::<mlua::Value, mlua::Value>() {
            match self.place.checked(pair)?.0 {
                mlua::Value::Integer(position) if position >= 1 => count += 1,
                _ => return Err(self.place.error("mixes positions and names")),
            }
        }
        let mut items = Vec::new();
        for position in 1..=count {
            let item: mlua::Value = self.place.checked(table.raw_get(position))?;
            if item.is_nil() {
                let why = format!("is a list with a hole at {position}; put `null` where nothing is");
                return Err(self.place.error(why));
            }
            self.place.enter(Step::Index(position));
            items.push(self.json(&item)?);
            self.place.leave();
        }
        Ok(Value::array(items))
    }

    fn object(&mut self, table: &Table) -> Result<Value, ConvertError> {
        let mut object = Object::default();
        for pair in table.pairs::<mlua::Value, mlua::Value>() {
            let (key, item) = self.place.checked(pair)?;
            let key = match key {
                mlua::Value::String(key) => self.text(&key)?,
                mlua::Value::Integer(_) | mlua::Value::Number(_) => {
                    return Err(self.place.error("mixes positions and names"));
                }
                other => return Err(self.place.error(format!("has a key that is a {}", other.type_name()))),
            };
            self.place.enter(Step::Key(key.clone()));
            let item = self.json(&item)?;
            self.place.leave();
            object.insert(key, item);
        }
        Ok(Value::Object(object))
    }

    fn spend(&mut self, bytes: usize) -> Result<(), ConvertError> {
        if self.bounds.stop.why().is_some() {
            return Err(self.place.error("was not read to its end"));
        }
        match self.bounds.bytes_max.checked_sub(bytes) {
            Some(left) => {
                self.bounds.bytes_max = left;
                Ok(())
            }
            None => Err(self.place.error("is where the result grows beyond the memory limit")),
        }
    }
}

/// Gives the number as the machine has it; `None` when it may not be the same.
fn float(number: &Number) -> Option<f64> {
    let integer = number.as_i64().map(i64::unsigned_abs).or_else(|| number.as_u64());
    let float = number.as_f64()?;
    let exact = match integer {
        Some(magnitude) => magnitude <= EXACT_MAX as u64,
        None => float.fract() != 0.0 || float.abs() <= EXACT_MAX || float.abs() >= INTEGER_END,
    };
    exact.then_some(float)
}

/// Where a value stands, as a script would write it: `result.items[3]`.
struct Place {
    root: &'static str,
    steps: Vec<Step>,
}

enum Step {
    Key(Arc<str>),
    Index(usize),
}

impl Place {
    fn new(root: &'static str) -> Self {
        Place { root, steps: Vec::new() }
    }

    fn enter(&mut self, step: Step) {
        self.steps.push(step);
    }

    fn leave(&mut self) {
        self.steps.pop();
    }

    fn error(&self, why: impl Into<String>) -> ConvertError {
        ConvertError { place: self.to_string(), why: why.into() }
    }

    fn inexact(&self, number: impl fmt::Display) -> ConvertError {
        self.error(format!(
            "is {number}, and whole numbers beyond ±2^53 are not exact in Luau; pass it as a text"
        ))
    }

    fn checked<T>(&self, result: mlua::Result<T>) -> Result<T, ConvertError> {
        result.map_err(|error| self.error(format!("could not be taken over: {}", super::told(&error))))
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = self.root.to_owned();
        for step in &self.steps {
            match step {
                Step::Index(position) => write!(text, "[{position}]")?,
                Step::Key(key) if is_name(key) => write!(text, ".{key}")?,
                Step::Key(key) => write!(text, "[{key:?}]")?,
            }
        }
        f.write_str(&adjutant_rules::limits::cut(&text, 512))
    }
}

fn is_name(key: &str) -> bool {
    !key.is_empty()
        && !key.starts_with(|c: char| c.is_ascii_digit())
        && key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}
