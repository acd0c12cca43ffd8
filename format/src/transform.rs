//! The artifact `transform`: post-processing of a model's outputs.

use prost::Message as _;

use crate::proto::transform as proto;

/// The language of a transform.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum TransformType {
    /// Lua 5.4.
    Lua,
    /// A language that this version does not know.
    Other(i32),
}

/// A transform as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transform {
    /// Its language.
    pub transform_type: TransformType,
    /// Its source text.
    pub source: String,
    /// The libraries that it may use; none where the writer left the choice open.
    pub libraries: Option<Vec<String>>,
}

impl Transform {
    /// The artifact's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let transform_type = match self.transform_type {
            TransformType::Lua => proto::TransformType::Lua as i32,
            TransformType::Other(number) => number,
        };
        let lua_libs = self.libraries.clone().map(|libs| proto::LuaLibs { libs });
        proto::Transform { transform_type, source: self.source.clone(), lua_libs }.encode_to_vec()
    }

    /// Reads the artifact.
    ///
    /// # Errors
    /// Where it is not the protobuf message `Transform`.
    pub fn decode(bytes: &[u8]) -> Result<Self, prost::DecodeError> {
        let message = proto::Transform::decode(bytes)?;
        let lua = proto::TransformType::Lua as i32;
        Ok(Self {
            transform_type: if message.transform_type == lua {
                TransformType::Lua
            } else {
                TransformType::Other(message.transform_type)
            },
            source: message.source,
            libraries: message.lua_libs.map(|libraries| libraries.libs),
        })
    }
}
