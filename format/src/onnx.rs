//! ONNX models, read where they lie: what a graph takes and gives, where its weights stand, which operators it
//! needs, and the skeleton by which ONNX Runtime maps the weights instead of copying them.
//!
//! Source: `onnx.proto3` of the ONNX specification.

mod element_type;
mod embedding;
mod external;
mod inline;
mod model;
mod node;
mod operators;
mod outline;
mod rewrite;
mod skeleton;
mod tensor;
mod tree;

pub use element_type::ElementType;
pub use embedding::EmbeddingTable;
pub use external::{check_external, check_location};
pub use inline::inline_beyond_main_graph;
pub use model::{Dimension, Model, OperatorSet, TensorInfo};
pub use operators::{
    NEWEST_IR_VERSION, NEWEST_OPERATOR_SET, OLDEST_OPERATOR_SET, ONNX_RUNTIME, OperatorError,
};
pub use outline::Outline;
pub use skeleton::{Place, externalize};
pub use tensor::{Initializer, InitializerData};

/// Field numbers of `onnx.proto3`.
mod field {
    pub(super) mod model {
        pub(crate) const IR_VERSION: u32 = 1;
        pub(crate) const GRAPH: u32 = 7;
        pub(crate) const OPSET_IMPORT: u32 = 8;
        pub(crate) const TRAINING: u32 = 20;
        pub(crate) const FUNCTION: u32 = 25;
    }
    pub(super) mod training {
        pub(crate) const INITIALIZATION: u32 = 1;
        pub(crate) const ALGORITHM: u32 = 2;
    }
    pub(super) mod function {
        pub(crate) const NAME: u32 = 1;
        pub(crate) const NODE: u32 = 7;
        pub(crate) const OPSET_IMPORT: u32 = 9;
        pub(crate) const DOMAIN: u32 = 10;
        pub(crate) const ATTRIBUTE_DEFAULT: u32 = 11;
        pub(crate) const OVERLOAD: u32 = 13;
    }
    pub(super) mod operator_set {
        pub(crate) const DOMAIN: u32 = 1;
        pub(crate) const VERSION: u32 = 2;
    }
    pub(super) mod graph {
        pub(crate) const NODE: u32 = 1;
        pub(crate) const INITIALIZER: u32 = 5;
        pub(crate) const INPUT: u32 = 11;
        pub(crate) const OUTPUT: u32 = 12;
        pub(crate) const SPARSE_INITIALIZER: u32 = 15;
    }
    pub(super) mod node {
        pub(crate) const INPUT: u32 = 1;
        pub(crate) const OUTPUT: u32 = 2;
        pub(crate) const NAME: u32 = 3;
        pub(crate) const OPERATOR: u32 = 4;
        pub(crate) const ATTRIBUTE: u32 = 5;
        pub(crate) const DOMAIN: u32 = 7;
        pub(crate) const OVERLOAD: u32 = 8;
    }
    pub(super) mod attribute {
        pub(crate) const NAME: u32 = 1;
        pub(crate) const INTEGER: u32 = 3;
        pub(crate) const TENSOR: u32 = 5;
        pub(crate) const GRAPH: u32 = 6;
        pub(crate) const TENSORS: u32 = 10;
        pub(crate) const GRAPHS: u32 = 11;
        pub(crate) const SPARSE_TENSOR: u32 = 22;
        pub(crate) const SPARSE_TENSORS: u32 = 23;
    }
    pub(super) mod sparse_tensor {
        pub(crate) const VALUES: u32 = 1;
        pub(crate) const INDICES: u32 = 2;
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
    /// Another message twice where one may stand, which protobuf would merge.
    #[error("the message at byte {offset} stands there a second time, where only one may")]
    Repeated {
        /// Where it starts.
        offset: usize,
    },
    /// Graphs within graphs, beyond any sense.
    #[error("the graph at byte {offset} is in more than {} others", tree::DEPTH_LIMIT)]
    TooDeep {
        /// Where it starts.
        offset: usize,
    },
    /// More of something than any model has.
    #[error("the model has more than {limit} {what}")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many there may be.
        limit: usize,
    },
    /// A shape whose size is no 64-bit number of bytes.
    #[error("the shape of the tensor `{}` is too large for any file", .tensor.escape_debug())]
    TooLarge {
        /// Its name.
        tensor: String,
    },
    /// An offset or length that is not a number of 64 bits.
    #[error(
        "the external data of the tensor `{}` has the {key} `{}`, which is no number of bytes",
        .tensor.escape_debug(), .value.escape_debug()
    )]
    ExternalNumber {
        /// The tensor's name.
        tensor: String,
        /// `offset` or `length`.
        key: &'static str,
        /// What stands there.
        value: String,
    },
    /// A name of a file that cannot be trusted.
    #[error(
        "the tensor `{}` is in the file `{}`, which is no file beside the model: {reason}",
        .tensor.escape_debug(), .location.escape_debug()
    )]
    Location {
        /// The tensor's name.
        tensor: String,
        /// The name of the file.
        location: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A file that is not there.
    #[error("the tensor `{}` is in the file `{}`, which is missing", .tensor.escape_debug(), .file.escape_debug())]
    NoFile {
        /// The tensor's name.
        tensor: String,
        /// The file.
        file: String,
    },
    /// A tensor that is not within its file.
    #[error(
        "the tensor `{}` needs {length} bytes from byte {offset} on of the file `{}`, which has {file_length}",
        .tensor.escape_debug(), .file.escape_debug()
    )]
    OutsideFile {
        /// The tensor's name.
        tensor: String,
        /// The file.
        file: String,
        /// Where in it the tensor starts.
        offset: u64,
        /// How long the tensor is.
        length: u64,
        /// How long the file is.
        file_length: u64,
    },
    /// A tensor that is longer or shorter than its shape and type ask for.
    #[error(
        "the tensor `{}` has {length} bytes in the file `{}`, but its shape and type ask for {expected}",
        .tensor.escape_debug(), .file.escape_debug()
    )]
    ExternalLength {
        /// The tensor's name.
        tensor: String,
        /// The file.
        file: String,
        /// How many bytes it has.
        length: u64,
        /// How many it should have.
        expected: u64,
    },
}
