//! Protobuf by hand, so that what the crate reads and writes is compared with something other than itself.

use std::ops::Range;

pub(crate) fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let [low, ..] = value.to_le_bytes();
        value >>= 7;
        if value == 0 {
            bytes.push(low & 0x7f);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}

pub(crate) fn integer(number: u32, value: u64) -> Vec<u8> {
    [varint(u64::from(number) << 3), varint(value)].concat()
}

pub(crate) fn fixed64(number: u32, value: u64) -> Vec<u8> {
    [varint(u64::from(number) << 3 | 1), value.to_le_bytes().to_vec()].concat()
}

pub(crate) fn bytes(number: u32, value: &[u8]) -> Vec<u8> {
    [varint(u64::from(number) << 3 | 2), varint(value.len() as u64), value.to_vec()].concat()
}

/// A field of a message that is known to be well formed.
pub(crate) struct Field {
    pub(crate) number: u32,
    /// Tag and value.
    pub(crate) span: Range<usize>,
    /// Where the bytes of a length-delimited value stand; empty for others.
    pub(crate) value: Range<usize>,
    pub(crate) integer: u64,
}

pub(crate) fn fields(message: &[u8]) -> Vec<Field> {
    let mut fields = Vec::new();
    let mut position = 0;
    while position < message.len() {
        let start = position;
        let tag = take_varint(message, &mut position);
        let (mut value, mut integer) = (position..position, 0);
        match tag & 7 {
            0 => integer = take_varint(message, &mut position),
            1 => {
                let bytes = message[position..position + 8].try_into().unwrap();
                integer = u64::from_le_bytes(bytes);
                position += 8;
            }
            2 => {
                let length = usize::try_from(take_varint(message, &mut position)).unwrap();
                value = position..position + length;
                position += length;
            }
            5 => position += 4,
            other => panic!("wire type {other} at byte {start}"),
        }
        let number = u32::try_from(tag >> 3).unwrap();
        fields.push(Field { number, span: start..position, value, integer });
    }
    fields
}

fn take_varint(message: &[u8], position: &mut usize) -> u64 {
    let mut value = 0;
    for shift in (0..).step_by(7) {
        let byte = message[*position];
        *position += 1;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            break;
        }
    }
    value
}
