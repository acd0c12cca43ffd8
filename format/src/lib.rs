#![doc = include_str!("../README.md")]
#![deny(missing_docs)]

mod artifact;
mod atomic;
mod base;
mod copy;
mod description;
mod digest;
mod error;
mod footer;
mod image;
mod layout;
mod manifest;
mod model_config;
mod model_type;
pub mod onnx;
mod pooling;
mod proto;
mod reader;
mod stamp;
mod task;
mod tokenizer;
mod transform;
mod verify;
mod wire;
mod writer;

pub use artifact::{Artifact, ArtifactKind};
pub use atomic::{Pending, create_beside, remove_temporary_files};
pub use base::{Architecture, BaseError, BaseFacts, Container, inspect_base};
pub use description::{Description, Edit, Prompt, Setting, SourceFile, Tool, UnknownField};
pub use digest::{Digest, ParseDigestError};
pub use error::Error;
pub use footer::{FORMAT_VERSION, Footer};
pub use image::is_image_followed;
pub use layout::{ALIGNMENT, Layout, WEIGHTS_ALIGNMENT};
pub use manifest::{BaseProvenance, MANIFEST_LIMIT, Manifest};
pub use model_config::ModelConfig;
pub use model_type::ModelType;
pub use pooling::{PoolingMode, SentencePooling};
pub use reader::Encoderfile;
pub use stamp::Stamp;
pub use task::{LENGTH_LIMIT, Limits, ModelInput, OutputKind, Signature, TaskError};
pub use tokenizer::{TokenizerArtifact, TokenizerSettings};
pub use transform::{Transform, TransformType};
pub use verify::{Finding, Outcome, Subject};
pub use wire::WireError;
pub use writer::{Base, Content, Draft, Part, Payload, WriteError, write};
