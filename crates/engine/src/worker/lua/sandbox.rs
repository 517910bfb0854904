//! The machine a chunk runs in: libraries that compute, and nothing that reaches the world or loads code.
//!
//! What a chunk can reach is listed, and everything else is taken away, so that a library which grows a function
//! does not open a door. Luau checks for a stop at loops, calls and inside of pattern matching; the few library
//! functions that can work for long without a check are bounded here.

use super::super::Progress;
use super::convert::Converter;
use super::host;
use adjutant_rules::limits;
use mlua::chunk::{ChunkMode, Compiler};
use mlua::{Lua, LuaOptions, MultiValue, StdLib};
use std::cell::Cell;
use std::sync::LazyLock;
use tokio::sync::mpsc;

/// The globals of a chunk, besides `null`, `array`, `print` and `host`.
const GLOBALS: &[&str] = &[
    "_VERSION",
    "assert",
    "bit32",
    "buffer",
    "coroutine",
    "error",
    "getmetatable",
    "ipairs",
    "math",
    "next",
    "pairs",
    "pcall",
    "rawequal",
    "rawget",
    "rawlen",
    "rawset",
    "select",
    "setmetatable",
    "string",
    "table",
    "tonumber",
    "tostring",
    "type",
    "typeof",
    "unpack",
    "utf8",
    "xpcall",
];

/// So many lines of `print` are passed on; a loop that prints must not fill the journal.
const PRINTED_MAX: u32 = 100;

/// Bounds what cannot be stopped while it works: a plain search and a split compare up to text × pattern bytes, a
/// sort without a function compares whole strings, and a repetition or move may count to billions without a check.
static GUARDS: LazyLock<Vec<u8>> = LazyLock::new(|| compiled(include_str!("guards.luau")));
/// What the guards are called in a stack.
pub(super) const GUARDS_LABEL: &str = "guards";

/// Makes a machine that holds at most so many bytes, and what converts values for it.
pub(super) fn machine(
    memory_bytes: usize,
    progress: &mpsc::Sender<Progress>,
) -> mlua::Result<(Lua, Converter)> {
    let libraries = StdLib::COROUTINE
        | StdLib::TABLE
        | StdLib::STRING
        | StdLib::UTF8
        | StdLib::BIT
        | StdLib::MATH
        | StdLib::BUFFER;
    let lua = Lua::new_with(libraries, LuaOptions::default())?;
    lua.set_memory_limit(memory_bytes)?;
    lua.load(GUARDS.as_slice()).set_name(format!("={GUARDS_LABEL}")).set_mode(ChunkMode::Binary).exec()?;
    keep_only(&lua, GLOBALS)?;
    let converter = Converter::new(&lua)?;
    lua.globals().raw_set("null", mlua::Value::NULL)?;
    lua.globals().raw_set("array", converter.array_function()?)?;
    lua.globals().raw_set("print", print(&lua, progress.clone())?)?;
    lua.globals().raw_set("host", host::table(&lua, &converter)?)?;
    lua.sandbox(true)?;
    Ok((lua, converter))
}

/// Compiles a chunk of the program's own.
pub(super) fn compiled(source: &str) -> Vec<u8> {
    Compiler::new().compile(source).expect("the chunk is part of the program and compiles")
}

fn keep_only(lua: &Lua, names: &[&str]) -> mlua::Result<()> {
    let globals = lua.globals();
    let found: Vec<String> =
        globals.pairs::<String, mlua::Value>().map(|pair| Ok(pair?.0)).collect::<mlua::Result<_>>()?;
    for name in found.iter().filter(|name| !names.contains(&name.as_str())) {
        globals.raw_set(name.as_str(), mlua::Value::Nil)?;
    }
    Ok(())
}

/// Makes `print`, which shows a line as progress.
fn print(lua: &Lua, progress: mpsc::Sender<Progress>) -> mlua::Result<mlua::Function> {
    let printed = Cell::new(0);
    lua.create_function(move |_, values: MultiValue| {
        if printed.get() >= PRINTED_MAX {
            return Ok(());
        }
        printed.set(printed.get() + 1);
        let words = values.iter().map(mlua::Value::to_string).collect::<mlua::Result<Vec<_>>>()?;
        let text = limits::progress_text(&words.join(" "));
        // Nobody waits for what a chunk prints: when the channel is full the line is lost.
        drop(progress.try_send(Progress { what: "said".to_owned(), text }));
        Ok(())
    })
}
