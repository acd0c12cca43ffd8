//! The specification's example is a file that this crate writes.

use std::fmt::Write as _;

use encoderfile_format::{ArtifactKind, SentencePooling};

use crate::sample::{payload, written};

const README: &str = include_str!("../../README.md");

/// The file of the example.
fn example() -> Vec<u8> {
    let mut payload = payload(&[
        (ArtifactKind::Weights, b"the bytes of model.onnx"),
        (ArtifactKind::Tokenizer, b"{\"tokenizer\":{},\"config\":{}}"),
    ]);
    payload.description.model_type = encoderfile_format::ModelType::SentenceEmbedding;
    payload.description.sentence_pooling =
        Some(SentencePooling { normalize: true, ..SentencePooling::default() });
    written(b"<the base binary's executable>", &payload)
}

/// The format of `hexdump -C`: a line that says what the one before it says is left out, as `*`.
fn dump(bytes: &[u8]) -> String {
    let mut text = String::new();
    let mut last: &[u8] = &[];
    let mut is_repeated = false;
    for (index, row) in bytes.chunks(16).enumerate() {
        if row == last {
            if !is_repeated {
                text.push_str("*\n");
            }
            is_repeated = true;
            continue;
        }
        (last, is_repeated) = (row, false);
        let hex = |half: &[u8]| {
            let digits: Vec<_> = half.iter().map(|byte| format!("{byte:02x}")).collect();
            digits.join(" ")
        };
        let (left, right) = row.split_at(row.len().min(8));
        let shown: String = row
            .iter()
            .map(|&byte| match byte {
                b' '..=b'~' => char::from(byte),
                _ => '.',
            })
            .collect();
        let offset = index * 16;
        writeln!(text, "{offset:08x}  {:23}  {:23}  |{shown}|", hex(left), hex(right)).unwrap();
    }
    writeln!(text, "{:08x}", bytes.len()).unwrap();
    text
}

#[test]
fn the_dump_is_of_a_file_written_today() {
    let expected = dump(&example());
    let (_, rest) = README.split_once("<!-- dump -->\n\n```text\n").expect("a dump");
    let (found, _) = rest.split_once("```").expect("its end");
    assert_eq!(found, expected, "the dump should be:\n{expected}");
}

#[test]
fn the_table_says_what_stands_where() {
    let bytes = example();
    let (_, rest) = README.split_once("<!-- table -->").expect("a table");
    let (table, _) = rest.split_once("<!-- end -->").expect("its end");
    let mut position = 0;
    let mut rows = 0;
    for line in table.lines().filter(|line| line.starts_with("| `")) {
        let mut cells = line.split('|').map(|cell| cell.trim().trim_matches('`'));
        let (offset, value) = (cells.nth(1).unwrap(), cells.next().unwrap());
        let offset = usize::from_str_radix(offset, 16).unwrap();
        // Rows follow each other without a gap, so that no byte is left unexplained.
        assert_eq!(offset, position, "{line}");
        position = if let Some((count, byte)) = value.split_once(" × ") {
            let count: usize = count.parse().unwrap();
            let expected = hex::decode(byte).unwrap().repeat(count);
            assert_eq!(bytes[offset..offset + count], expected, "{line}");
            offset + count
        } else if let Some(count) = value.strip_suffix(" bytes") {
            offset + count.parse::<usize>().unwrap()
        } else {
            let expected = hex::decode(value.replace(' ', "")).unwrap();
            assert_eq!(bytes[offset..offset + expected.len()], expected, "{line}");
            offset + expected.len()
        };
        rows += 1;
    }
    assert!(rows > 10, "{rows} rows");
    assert_eq!(position, bytes.len());
}
