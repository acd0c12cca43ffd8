//! One label per token.

use encoderfile_format::ModelConfig;

use super::{check_finite, rows, token_info};
use crate::answer::{Answer, TokenLabel};
use crate::batch::Batch;
use crate::error::Error;
use crate::session::Output;
use crate::softmax::{argmax, softmax};

pub(super) fn answers(batch: &Batch, output: &Output, config: &ModelConfig) -> Result<Vec<Answer>, Error> {
    let width = output.width(&[batch.length], batch.rows.len(), "[batch, tokens, labels]")?;
    let answer = |(row, values): (&crate::batch::Row, &[f32])| {
        let tokens = row.text_tokens().map(|(position, column)| {
            let logits = &values[column * width..][..width];
            check_finite(logits, &row.place)?;
            let best = argmax(logits).unwrap_or_default();
            let scores = softmax(logits);
            let score = scores.get(best).copied().unwrap_or_default();
            Ok(TokenLabel { token_info: token_info(row, position), scores, label: config.label(best), score })
        });
        Ok(Answer::TokenClassification { tokens: tokens.collect::<Result<_, Error>>()? })
    };
    rows(batch, output, batch.length * width).map(answer).collect()
}
