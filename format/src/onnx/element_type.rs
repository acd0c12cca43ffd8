//! What a tensor consists of.

use std::fmt;

/// The type of a tensor's elements (`TensorProto.DataType`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ElementType {
    /// 32-bit floating point.
    Float,
    /// 16-bit floating point.
    Float16,
    /// 16-bit floating point with the exponent of 32-bit, "brain" floating point.
    BFloat16,
    /// 64-bit floating point.
    Double,
    /// 32-bit integer.
    Int32,
    /// 64-bit integer.
    Int64,
    /// Truth values.
    Bool,
    /// Texts, which have no raw form.
    String,
    /// Another number of `TensorProto.DataType`.
    Other(u64),
}

impl ElementType {
    pub(super) fn from_number(number: u64) -> Self {
        match number {
            1 => Self::Float,
            6 => Self::Int32,
            7 => Self::Int64,
            8 => Self::String,
            9 => Self::Bool,
            10 => Self::Float16,
            11 => Self::Double,
            16 => Self::BFloat16,
            other => Self::Other(other),
        }
    }

    /// Bits of an element in raw and external data, where they are always as many. Types of less than a byte are packed.
    pub(super) fn bits(self) -> Option<u64> {
        match self {
            Self::Float | Self::Int32 => Some(32),
            Self::Double | Self::Int64 => Some(64),
            Self::Float16 | Self::BFloat16 => Some(16),
            Self::Bool => Some(8),
            Self::String => None,
            Self::Other(number) => match number {
                // UINT8, INT8, the four FLOAT8 of 2022, FLOAT8E8M0.
                2 | 3 | 17..=20 | 24 => Some(8),
                // UINT16, INT16.
                4 | 5 => Some(16),
                // UINT32.
                12 => Some(32),
                // UINT64, COMPLEX64.
                13 | 14 => Some(64),
                // COMPLEX128.
                15 => Some(128),
                // UINT4, INT4, FLOAT4E2M1.
                21..=23 => Some(4),
                _ => None,
            },
        }
    }
}

impl fmt::Display for ElementType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Float => "float32",
            Self::Float16 => "float16",
            Self::BFloat16 => "bfloat16",
            Self::Double => "float64",
            Self::Int32 => "int32",
            Self::Int64 => "int64",
            Self::Bool => "bool",
            Self::String => "string",
            Self::Other(number) => return f.pad(&format!("data type {number}")),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn element_types_have_the_numbers_of_the_specification() {
        let name = |number| ElementType::from_number(number).to_string();
        assert_eq!([1, 10, 11, 16].map(name), ["float32", "float16", "float64", "bfloat16"]);
        assert_eq!([6, 7, 8, 9, 17].map(name), ["int32", "int64", "string", "bool", "data type 17"]);
    }

    #[test]
    fn element_types_have_the_sizes_of_the_specification() {
        let bits = |number| ElementType::from_number(number).bits().unwrap_or(0);
        let expected =
            [0, 32, 8, 8, 16, 16, 32, 64, 0, 8, 16, 64, 32, 64, 64, 128, 16, 8, 8, 8, 8, 4, 4, 4, 8, 0];
        assert_eq!(std::array::from_fn(|number| bits(number as u64)), expected);
    }
}
