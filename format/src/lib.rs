#![doc = include_str!("../README.md")]
#![deny(missing_docs)]

mod artifact;
mod atomic;
mod base;
mod copy;
mod description;
mod digest;
mod error;
mod extract;
mod footer;
mod frame;
mod image;
mod layout;
mod macho;
mod manifest;
mod model_config;
mod model_type;
mod needs;
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
mod write_error;
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
pub use macho::{
    CodeSignature, CodeSignatureError, HeaderRoom, MachOError, check_mach_o_base, code_signature,
    header_room, verify_code_signature,
};
pub use manifest::{BaseProvenance, MANIFEST_LIMIT, Manifest};
pub use model_config::ModelConfig;
pub use model_type::ModelType;
pub use needs::{Needs, SystemVersion, embedded_libraries, needs};
pub use pooling::{PoolingMode, SentencePooling};
pub use reader::Encoderfile;
pub use stamp::Stamp;
pub use task::{LENGTH_LIMIT, Limits, ModelInput, OutputKind, Signature, TaskError};
pub use tokenizer::{TokenizerArtifact, TokenizerSettings};
pub use transform::{Transform, TransformType};
pub use verify::{Finding, Outcome, Subject};
pub use wire::WireError;
pub use write_error::WriteError;
pub use writer::{Base, Content, Draft, Part, Payload, write};
