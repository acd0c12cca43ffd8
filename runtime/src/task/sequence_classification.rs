//! One label per text.

use encoderfile_format::ModelConfig;

use super::{check_finite, rows};
use crate::answer::Answer;
use crate::batch::Batch;
use crate::error::Error;
use crate::session::Output;
use crate::softmax::{argmax, softmax};

pub(super) fn answers(batch: &Batch, output: &Output, config: &ModelConfig) -> Result<Vec<Answer>, Error> {
    let width = output.width(&[], batch.rows.len(), "[batch, labels]")?;
    let answer = |(row, logits): (&crate::batch::Row, &[f32])| {
        check_finite(logits, &row.place)?;
        let predicted_index = argmax(logits).unwrap_or_default();
        Ok(Answer::SequenceClassification {
            logits: logits.to_vec(),
            scores: softmax(logits),
            predicted_index,
            predicted_label: config.label(predicted_index),
        })
    };
    rows(batch, output, width).map(answer).collect()
}
