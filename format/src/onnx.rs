//! ONNX models, read where they lie: what a graph takes and gives, where its weights stand, and the skeleton by which
//! ONNX Runtime maps those weights instead of copying them.
//!
//! Source: `onnx.proto3` of the ONNX specification.

mod model;
mod skeleton;

pub use model::{Dimension, ElementType, Initializer, InitializerData, Model, OperatorSet, TensorInfo};
pub use skeleton::externalize;

/// Field numbers of `onnx.proto3`.
mod field {
    pub(super) mod model {
        pub(crate) const IR_VERSION: u32 = 1;
        pub(crate) const GRAPH: u32 = 7;
        pub(crate) const OPSET_IMPORT: u32 = 8;
    }
    pub(super) mod operator_set {
        pub(crate) const DOMAIN: u32 = 1;
        pub(crate) const VERSION: u32 = 2;
    }
    pub(super) mod graph {
        pub(crate) const INITIALIZER: u32 = 5;
        pub(crate) const INPUT: u32 = 11;
        pub(crate) const OUTPUT: u32 = 12;
    }
    pub(super) mod value_info {
        pub(crate) const NAME: u32 = 1;
        pub(crate) const TYPE: u32 = 2;
    }
    pub(super) mod type_ {
        pub(crate) const TENSOR: u32 = 1;
    }
    pub(super) mod tensor_type {
        pub(crate) const ELEMENT: u32 = 1;
        pub(crate) const SHAPE: u32 = 2;
    }
    pub(super) mod shape {
        pub(crate) const DIMENSION: u32 = 1;
    }
    pub(super) mod dimension {
        pub(crate) const VALUE: u32 = 1;
        pub(crate) const PARAMETER: u32 = 2;
    }
    pub(super) mod tensor {
        pub(crate) const DIMENSIONS: u32 = 1;
        pub(crate) const DATA_TYPE: u32 = 2;
        pub(crate) const NAME: u32 = 8;
        pub(crate) const RAW_DATA: u32 = 9;
        pub(crate) const EXTERNAL_DATA: u32 = 13;
        pub(crate) const DATA_LOCATION: u32 = 14;
        /// `DataLocation.EXTERNAL`.
        pub(crate) const EXTERNAL: u64 = 1;
    }
    pub(super) mod entry {
        pub(crate) const KEY: u32 = 1;
        pub(crate) const VALUE: u32 = 2;
    }
}

/// Why bytes are not an ONNX model. Offsets are bytes of the model.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OnnxError {
    /// Not protobuf, or cut off.
    #[error("not a complete protobuf message")]
    Wire(#[from] crate::WireError),
    /// Protobuf, but without what every ONNX model has.
    #[error("not an ONNX model: it has no {missing}")]
    NotOnnx {
        /// The missing part.
        missing: &'static str,
    },
    /// A text that is not UTF-8.
    #[error("a name at byte {offset} is not UTF-8")]
    Text {
        /// Where it starts.
        offset: usize,
    },
    /// More than one graph: protobuf would merge them, no exporter writes them.
    #[error("the model has more than one graph")]
    SeveralGraphs,
}
