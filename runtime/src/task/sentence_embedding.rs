//! One vector per text.

use encoderfile_format::SentencePooling;

use super::{check_finite, rows};
use crate::answer::Answer;
use crate::batch::Batch;
use crate::error::Error;
use crate::pooling;
use crate::session::Output;

/// From a model that gives token vectors.
pub(super) fn pooled(
    batch: &Batch,
    output: &Output,
    pooling: &SentencePooling,
) -> Result<Vec<Answer>, Error> {
    let expected = "[batch, tokens, hidden]";
    let width = output.width(&[batch.length], batch.rows.len(), expected)?;
    let answer = |(row, values): (&crate::batch::Row, &[f32])| {
        let mask: Vec<bool> = (0..batch.length).map(|column| row.columns.contains(&column)).collect();
        let skipped = row.tokens.prompt_length;
        let embedding =
            pooling::pool(values, width, &mask, skipped, pooling).ok_or_else(|| Error::OutputShape {
                name: output.name.clone(),
                found: output.shape.clone(),
                expected: expected.to_owned(),
            })?;
        check_finite(&embedding, &row.place)?;
        Ok(Answer::SentenceEmbedding { embedding })
    };
    rows(batch, output, batch.length * width).map(answer).collect()
}

/// From a model that pools by itself.
pub(super) fn given(batch: &Batch, output: &Output, normalize: bool) -> Result<Vec<Answer>, Error> {
    let width = output.width(&[], batch.rows.len(), "[batch, hidden]")?;
    let answer = |(row, values): (&crate::batch::Row, &[f32])| {
        let mut embedding = values.to_vec();
        if normalize {
            pooling::normalize(&mut embedding);
        }
        check_finite(&embedding, &row.place)?;
        Ok(Answer::SentenceEmbedding { embedding })
    };
    rows(batch, output, width).map(answer).collect()
}
