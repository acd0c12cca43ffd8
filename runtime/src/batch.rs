//! Several texts as the rectangular tensors that a model takes.

use std::ops::Range;

use encoderfile_format::Limits;
use tokenizers::{PaddingDirection, PaddingParams, PaddingStrategy};

use crate::error::Error;
use crate::input::Place;
use crate::tokenization::Tokens;

/// Texts of one call, padded to one length.
pub(crate) struct Batch {
    pub(crate) rows: Vec<Row>,
    /// Number of columns.
    pub(crate) length: usize,
    pub(crate) input_ids: Vec<i64>,
    pub(crate) attention_mask: Vec<i64>,
    pub(crate) token_type_ids: Vec<i64>,
    pub(crate) position_ids: Vec<i64>,
}

/// One text of a batch.
pub(crate) struct Row {
    pub(crate) place: Place,
    pub(crate) tokens: Tokens,
    /// The columns that hold its tokens; the others are padding.
    pub(crate) columns: Range<usize>,
}

impl Batch {
    /// Pads the texts of a batch.
    pub(crate) fn new(
        texts: Vec<(Place, Tokens)>,
        padding: &PaddingParams,
        limits: Limits,
    ) -> Result<Self, Error> {
        let longest = texts.iter().map(|(_, tokens)| tokens.encoding.len()).max().unwrap_or(0);
        let length = match limits.length {
            Some(limit) => {
                let too_long = texts.iter().find(|(_, tokens)| tokens.encoding.len() > limit);
                if let Some((place, tokens)) = too_long {
                    return Err(Error::TooManyTokens {
                        place: place.clone(),
                        tokens: tokens.encoding.len(),
                        limit,
                    });
                }
                limit
            }
            None => padded_length(longest, padding),
        };
        let size = texts.len() * length;
        let mut batch = Self {
            rows: Vec::with_capacity(texts.len()),
            length,
            input_ids: vec![i64::from(padding.pad_id); size],
            attention_mask: vec![0; size],
            token_type_ids: vec![i64::from(padding.pad_type_id); size],
            position_ids: vec![0; size],
        };
        for (number, (place, tokens)) in texts.into_iter().enumerate() {
            let encoding = &tokens.encoding;
            let start = match padding.direction {
                PaddingDirection::Left => length - encoding.len(),
                PaddingDirection::Right => 0,
            };
            let columns = start..start + encoding.len();
            let cells = number * length + columns.start..number * length + columns.end;
            widen(&mut batch.input_ids[cells.clone()], encoding.get_ids());
            widen(&mut batch.token_type_ids[cells.clone()], encoding.get_type_ids());
            batch.attention_mask[cells.clone()].fill(1);
            for (cell, position) in batch.position_ids[cells].iter_mut().zip(0..) {
                *cell = position;
            }
            batch.rows.push(Row { place, tokens, columns });
        }
        Ok(batch)
    }
}

impl Row {
    /// The row's tokens that stand for text: position in the row's encoding, and column in the tensors.
    pub(crate) fn text_tokens(&self) -> impl Iterator<Item = (usize, usize)> {
        let special = self.tokens.encoding.get_special_tokens_mask();
        let columns = self.columns.clone();
        columns.enumerate().filter(|(position, _)| special.get(*position) == Some(&0))
    }
}

/// Groups texts, by number, of like length: padding takes as long as text, so a batch of unlike lengths is slower than its
/// texts one by one. At most `size` each, shortest first.
pub(crate) fn groups(lengths: &[usize], size: usize) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..lengths.len()).collect();
    order.sort_by_key(|&number| lengths[number]);
    let mut groups: Vec<Vec<usize>> = Vec::new();
    for number in order {
        let fits = |group: &&mut Vec<usize>| {
            let shortest = lengths[group[0]];
            group.len() < size && lengths[number] <= shortest + shortest / 8 + 1
        };
        match groups.last_mut().filter(fits) {
            Some(group) => group.push(number),
            None => groups.push(vec![number]),
        }
    }
    groups
}

fn padded_length(longest: usize, padding: &PaddingParams) -> usize {
    let length = match padding.strategy {
        PaddingStrategy::Fixed(length) => longest.max(length),
        PaddingStrategy::BatchLongest => longest,
    };
    match padding.pad_to_multiple_of {
        Some(multiple) if multiple > 0 => length.next_multiple_of(multiple),
        _ => length,
    }
}

fn widen(cells: &mut [i64], values: &[u32]) {
    for (cell, &value) in cells.iter_mut().zip(values) {
        *cell = i64::from(value);
    }
}

#[cfg(test)]
mod tests {
    use tokenizers::Encoding;

    use super::*;

    fn text(ids: &[u32]) -> (Place, Tokens) {
        let tokens = ids.iter().map(|&id| tokenizers::Token::new(id, String::new(), (0, 0))).collect();
        let encoding = Encoding::from_tokens(tokens, 1);
        (Place::Argument(1), Tokens { encoding, truncated_from: None, prompt_length: 0 })
    }

    fn padding(direction: PaddingDirection) -> PaddingParams {
        PaddingParams { direction, pad_id: 9, ..PaddingParams::default() }
    }

    #[test]
    fn shorter_texts_are_filled_up_and_masked() {
        let texts = vec![text(&[4, 5, 6]), text(&[7])];
        let batch = Batch::new(texts, &padding(PaddingDirection::Right), Limits::default()).unwrap();
        assert_eq!(batch.length, 3);
        assert_eq!(batch.input_ids, [4, 5, 6, 7, 9, 9]);
        assert_eq!(batch.attention_mask, [1, 1, 1, 1, 0, 0]);
        assert_eq!(batch.token_type_ids, [1, 1, 1, 1, 0, 0]);
        assert_eq!(batch.position_ids, [0, 1, 2, 0, 0, 0]);

        let texts = vec![text(&[4, 5, 6]), text(&[7])];
        let batch = Batch::new(texts, &padding(PaddingDirection::Left), Limits::default()).unwrap();
        assert_eq!(batch.input_ids, [4, 5, 6, 9, 9, 7]);
        assert_eq!(batch.attention_mask, [1, 1, 1, 0, 0, 1]);
        assert_eq!(batch.position_ids, [0, 1, 2, 0, 0, 0]);
        assert_eq!(batch.rows[1].columns, 2..3);
    }

    #[test]
    fn texts_of_like_length_share_a_batch() {
        assert_eq!(groups(&[16, 80, 17, 4, 16], 8), [vec![3], vec![0, 4, 2], vec![1]]);
        assert_eq!(groups(&[5, 5, 5], 2), [vec![0, 1], vec![2]]);
        assert_eq!(groups(&[1, 2], 1), [[0], [1]]);
        assert!(groups(&[], 8).is_empty());
    }

    #[test]
    fn a_length_is_padded_to() {
        let right = || padding(PaddingDirection::Right);
        let multiple = PaddingParams { pad_to_multiple_of: Some(4), ..right() };
        assert_eq!(Batch::new(vec![text(&[1, 2, 3, 4, 5])], &multiple, Limits::default()).unwrap().length, 8);
        let fixed = PaddingParams { strategy: PaddingStrategy::Fixed(6), ..right() };
        assert_eq!(Batch::new(vec![text(&[1])], &fixed, Limits::default()).unwrap().length, 6);
        let limits = Limits { length: Some(2), texts: None };
        assert_eq!(Batch::new(vec![text(&[1])], &right(), limits).unwrap().length, 2);
        let error = Batch::new(vec![text(&[1, 2, 3])], &right(), limits).err().unwrap();
        assert!(matches!(error, Error::TooManyTokens { tokens: 3, limit: 2, .. }), "{error}");
    }
}
