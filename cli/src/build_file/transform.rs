//! Post-processing of the model's outputs.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer};

use super::forms::{Filled, Name, Several, TextOrMapping, path};

/// The longest transform, in bytes.
pub(super) const MAX_TRANSFORM: u64 = 1 << 20;

/// A program in Lua that changes what the model gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transform {
    /// The file that has it; none where it stands in the build file itself.
    pub path: Option<PathBuf>,
    /// The program, without white space around it, as encoderfile 0.7 stores it. Empty until its file has been read.
    pub source: String,
}

/// How a transform is written.
#[derive(JsonSchema)]
#[schemars(untagged, rename = "Transform")]
pub(super) enum WrittenTransform {
    /// The program itself.
    Inline(#[schemars(with = "Filled")] String),
    /// The file that has it.
    File(TransformFile),
}

/// The file of a transform.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping")]
pub(super) struct TransformFile {
    /// A file with a program in Lua.
    #[serde(deserialize_with = "path")]
    #[schemars(with = "Filled")]
    path: PathBuf,
}

impl<'de> Deserialize<'de> for WrittenTransform {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(match TextOrMapping::read(deserializer, "a program in Lua, or a mapping with `path`")? {
            TextOrMapping::Text(source) => Self::Inline(source),
            TextOrMapping::Mapping(file) => Self::File(file),
        })
    }
}

impl From<WrittenTransform> for Transform {
    fn from(written: WrittenTransform) -> Self {
        match written {
            WrittenTransform::Inline(source) => Self { path: None, source: source.trim().to_owned() },
            WrittenTransform::File(TransformFile { path }) => {
                Self { path: Some(path), source: String::new() }
            }
        }
    }
}

/// A library of Lua that a transform may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LuaLib {
    /// Coroutines.
    Coroutine,
    /// Tables.
    Table,
    /// Files.
    Io,
    /// The operating system.
    Os,
    /// Strings.
    String,
    /// UTF-8.
    Utf8,
    /// Mathematics.
    Math,
    /// Loading of modules.
    Package,
    /// Debugging.
    Debug,
}

impl LuaLib {
    /// Its name in Lua and in the file that is built.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Coroutine => "coroutine",
            Self::Table => "table",
            Self::Io => "io",
            Self::Os => "os",
            Self::String => "string",
            Self::Utf8 => "utf8",
            Self::Math => "math",
            Self::Package => "package",
            Self::Debug => "debug",
        }
    }
}

impl From<Several<Name<LuaLib>>> for Vec<LuaLib> {
    fn from(Several(libraries): Several<Name<LuaLib>>) -> Self {
        libraries.into_iter().map(|Name(library)| library).collect()
    }
}
