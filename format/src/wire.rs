//! Walks protobuf messages on the wire, without decoding them: what `prost` would copy or drop stays where it is.
//!
//! Source: <https://protobuf.dev/programming-guides/encoding/>.

use std::ops::Range;

/// The largest field number that protobuf has.
pub(crate) const LAST_FIELD: u32 = 0x1fff_ffff;

/// Why bytes are not a protobuf message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WireError {
    /// A field goes on behind the end of its message.
    #[error("field {number} at byte {offset} is cut off: it needs {needed} more bytes and {left} are left")]
    Truncated {
        /// Field number.
        number: u32,
        /// Byte of the whole message at which the field starts.
        offset: usize,
        /// Bytes that the field claims.
        needed: u64,
        /// Bytes that are left.
        left: u64,
    },
    /// A variable-length integer that is cut off or longer than ten bytes.
    #[error("invalid variable-length integer at byte {offset}")]
    Varint {
        /// Byte of the whole message.
        offset: usize,
    },
    /// A tag whose field number or wire type does not exist.
    #[error("invalid field tag at byte {offset}")]
    Tag {
        /// Byte of the whole message.
        offset: usize,
    },
    /// A field that has another wire type than its number calls for.
    #[error("field {number} at byte {offset} has the wrong wire type")]
    WireType {
        /// Field number.
        number: u32,
        /// Byte of the whole message.
        offset: usize,
    },
}

/// The value of a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Value {
    /// An integer, a boolean or an enumeration.
    Varint(u64),
    /// Eight bytes.
    Fixed64(u64),
    /// Four bytes.
    Fixed32,
    /// Bytes, a string, a message or packed numbers: where they stand in the walked buffer.
    Bytes(Range<usize>),
}

/// One field of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Field {
    pub(crate) number: u32,
    /// Tag and value.
    pub(crate) span: Range<usize>,
    pub(crate) value: Value,
}

impl Field {
    /// The range of a length-delimited field.
    pub(crate) fn bytes(&self) -> Result<Range<usize>, WireError> {
        match &self.value {
            Value::Bytes(range) => Ok(range.clone()),
            _ => Err(self.wrong_type()),
        }
    }

    /// The value of a variable-length integer.
    pub(crate) fn varint(&self) -> Result<u64, WireError> {
        match self.value {
            Value::Varint(value) => Ok(value),
            _ => Err(self.wrong_type()),
        }
    }

    fn wrong_type(&self) -> WireError {
        WireError::WireType { number: self.number, offset: self.span.start }
    }
}

/// Iterates over the fields of the message at `range` of `buffer`. Ends after the first error.
pub(crate) fn fields(buffer: &[u8], range: Range<usize>) -> Fields<'_> {
    Fields { buffer, position: range.start, end: range.end }
}

/// See [`fields`].
pub(crate) struct Fields<'a> {
    buffer: &'a [u8],
    position: usize,
    end: usize,
}

impl Fields<'_> {
    fn varint(&mut self) -> Result<u64, WireError> {
        let start = self.position;
        let mut value = 0_u64;
        for shift in (0..70).step_by(7) {
            let Some(&byte) = self.buffer[..self.end].get(self.position) else {
                break;
            };
            self.position += 1;
            // The tenth byte holds one bit.
            if shift == 63 && byte > 1 {
                break;
            }
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(WireError::Varint { offset: start })
    }

    fn take(&mut self, number: u32, offset: usize, length: u64) -> Result<Range<usize>, WireError> {
        let left = (self.end - self.position) as u64;
        if length > left {
            return Err(WireError::Truncated { number, offset, needed: length - left, left });
        }
        let start = self.position;
        self.position += usize::try_from(length).expect("bounded by the buffer's length");
        Ok(start..self.position)
    }

    fn field(&mut self) -> Result<Field, WireError> {
        let start = self.position;
        let tag = self.varint()?;
        let number = u32::try_from(tag >> 3).unwrap_or(0);
        if number == 0 || number > LAST_FIELD {
            return Err(WireError::Tag { offset: start });
        }
        let value = match tag & 7 {
            0 => Value::Varint(self.varint()?),
            1 => {
                let range = self.take(number, start, 8)?;
                let bytes = self.buffer[range].try_into().expect("took eight bytes");
                Value::Fixed64(u64::from_le_bytes(bytes))
            }
            2 => {
                let length = self.varint()?;
                Value::Bytes(self.take(number, start, length)?)
            }
            5 => {
                self.take(number, start, 4)?;
                Value::Fixed32
            }
            // Groups (3 and 4) are not part of proto3, and neither ONNX nor this format uses them.
            _ => return Err(WireError::Tag { offset: start }),
        };
        Ok(Field { number, span: start..self.position, value })
    }
}

impl Iterator for Fields<'_> {
    type Item = Result<Field, WireError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.position >= self.end {
            return None;
        }
        let field = self.field();
        if field.is_err() {
            self.position = self.end;
        }
        Some(field)
    }
}

/// Appends a variable-length integer.
pub(crate) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(u8::try_from(value & 0x7f).expect("seven bits") | 0x80);
        value >>= 7;
    }
    out.push(u8::try_from(value).expect("seven bits"));
}

/// Appends a length-delimited field.
pub(crate) fn put_bytes(out: &mut Vec<u8>, number: u32, bytes: &[u8]) {
    put_varint(out, u64::from(number) << 3 | 2);
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Appends a variable-length integer field.
pub(crate) fn put_integer(out: &mut Vec<u8>, number: u32, value: u64) {
    put_varint(out, u64::from(number) << 3);
    put_varint(out, value);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn walk(bytes: &[u8]) -> Result<Vec<Field>, WireError> {
        fields(bytes, 0..bytes.len()).collect()
    }

    #[test]
    fn what_is_put_is_walked() {
        let mut bytes = Vec::new();
        put_integer(&mut bytes, 1, 300);
        put_bytes(&mut bytes, 100, b"abc");
        let fields = walk(&bytes).unwrap();
        assert_eq!(fields[0].varint().unwrap(), 300);
        assert_eq!(&bytes[fields[1].bytes().unwrap()], b"abc");
        assert_eq!(fields[1].span.end, bytes.len());
    }

    #[test]
    fn faults_are_named() {
        // Field 1, length 5, one byte.
        let truncated = WireError::Truncated { number: 1, offset: 0, needed: 4, left: 1 };
        assert_eq!(walk(&[0x0a, 5, 0]), Err(truncated));
        assert_eq!(walk(&[0x08, 0xff]), Err(WireError::Varint { offset: 1 }));
        assert_eq!(walk(&[0xff; 11]), Err(WireError::Varint { offset: 0 }));
        assert_eq!(walk(&[0x00]), Err(WireError::Tag { offset: 0 }));
        assert_eq!(walk(&[0x0b]), Err(WireError::Tag { offset: 0 }));
        let field = &walk(&[0x08, 1]).unwrap()[0];
        assert_eq!(field.bytes(), Err(WireError::WireType { number: 1, offset: 0 }));
    }

    proptest! {
        #[test]
        fn any_bytes_are_walked_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            for field in fields(&bytes, 0..bytes.len()).flatten() {
                prop_assert!(field.span.end <= bytes.len());
            }
        }

        #[test]
        fn integers_round_trip(value: u64) {
            let mut bytes = Vec::new();
            put_integer(&mut bytes, 7, value);
            prop_assert_eq!(walk(&bytes).unwrap()[0].varint().unwrap(), value);
        }
    }
}
