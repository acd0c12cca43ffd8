//! From token vectors to one vector, as sentence-transformers' `models.Pooling` and `models.Normalize` do it.

use encoderfile_format::{PoolingMode, SentencePooling};

/// Pools the vectors of one text, `[tokens, hidden]` with a mask that says which tokens are its own, into
/// `[modes × hidden]`, without the first `skipped` of them, which are a prompt's. None where nothing is left, or the lengths
/// do not fit together.
///
/// Source: `Pooling.forward` of sentence-transformers 6.2 (`sentence_transformer/modules/pooling.py`): what is left of a text
/// without its prompt has the weights that it has behind the prompt, and the first token is the one behind the prompt.
pub(crate) fn pool(
    tokens: &[f32],
    hidden: usize,
    mask: &[bool],
    skipped: usize,
    pooling: &SentencePooling,
) -> Option<Vec<f32>> {
    if hidden == 0 || Some(tokens.len()) != mask.len().checked_mul(hidden) {
        return None;
    }
    let rows = tokens.chunks_exact(hidden).zip(mask);
    let kept: Vec<&[f32]> = rows.filter(|(_, counts)| **counts).map(|(row, _)| row).skip(skipped).collect();
    let (first, last) = (kept.first()?, kept.last()?);
    let mut pooled = Vec::with_capacity(pooling.modes.len() * hidden);
    for mode in &pooling.modes {
        #[expect(clippy::cast_precision_loss, reason = "no text has 2^52 tokens")]
        let (number, skipped) = (kept.len() as f64, skipped as f64);
        match mode {
            PoolingMode::Cls => pooled.extend_from_slice(first),
            PoolingMode::LastToken => pooled.extend_from_slice(last),
            PoolingMode::Max => {
                pooled.extend(
                    (0..hidden).map(|i| kept.iter().map(|row| row[i]).fold(f32::NEG_INFINITY, f32::max)),
                );
            }
            PoolingMode::Mean => pooled.extend(weighted_sum(&kept, hidden, |_| 1.0 / number)),
            PoolingMode::MeanSqrtLen => pooled.extend(weighted_sum(&kept, hidden, |_| 1.0 / number.sqrt())),
            PoolingMode::WeightedMean => {
                let sum = number * (number + 1.0) / 2.0 + number * skipped;
                pooled.extend(weighted_sum(&kept, hidden, |position| (skipped + position) / sum));
            }
        }
    }
    if pooling.normalize {
        normalize(&mut pooled);
    }
    Some(pooled)
}

/// `Σ weight(n) × row n`, n counted from 1. Summed in double precision, so the order of the rows does not show.
fn weighted_sum(rows: &[&[f32]], hidden: usize, weight: impl Fn(f64) -> f64) -> impl Iterator<Item = f32> {
    let mut sums = vec![0.0_f64; hidden];
    let mut position = 0.0;
    for row in rows {
        position += 1.0;
        let weight = weight(position);
        for (sum, &value) in sums.iter_mut().zip(*row) {
            *sum += weight * f64::from(value);
        }
    }
    #[expect(clippy::cast_possible_truncation, reason = "rounding to the precision of the model is wanted")]
    sums.into_iter().map(|sum| sum as f32)
}

/// Scales a vector to Euclidean length 1; the zero vector stays.
pub(crate) fn normalize(vector: &mut [f32]) {
    let length = vector.iter().map(|&value| f64::from(value).powi(2)).sum::<f64>().sqrt().max(1e-12);
    #[expect(clippy::cast_possible_truncation, reason = "rounding to the precision of the model is wanted")]
    for value in vector {
        *value = (f64::from(*value) / length) as f32;
    }
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "the expected values are exact")]
mod tests {
    use super::*;

    /// Four tokens of two dimensions, the third of them padding.
    const TOKENS: [f32; 8] = [1.0, -1.0, 2.0, 5.0, 99.0, 99.0, 6.0, -2.0];
    const MASK: [bool; 4] = [true, true, false, true];

    fn pooling(modes: &[PoolingMode], normalize: bool) -> SentencePooling {
        SentencePooling { modes: modes.to_vec(), normalize, ..SentencePooling::default() }
    }

    fn pooled(modes: &[PoolingMode], normalize: bool) -> Vec<f32> {
        pool(&TOKENS, 2, &MASK, 0, &pooling(modes, normalize)).unwrap()
    }

    #[test]
    fn each_mode_leaves_padding_out() {
        assert_eq!(pooled(&[PoolingMode::Cls], false), [1.0, -1.0]);
        assert_eq!(pooled(&[PoolingMode::LastToken], false), [6.0, -2.0]);
        assert_eq!(pooled(&[PoolingMode::Max], false), [6.0, 5.0]);
        assert_eq!(pooled(&[PoolingMode::Mean], false), [3.0, 2.0 / 3.0]);
        // 9 / √3, 2 / √3
        assert_eq!(pooled(&[PoolingMode::MeanSqrtLen], false), [5.196_152, 1.154_700_5]);
        // (1·1 + 2·2 + 3·6) / 6, (-1 + 10 - 6) / 6
        assert_eq!(pooled(&[PoolingMode::WeightedMean], false), [23.0 / 6.0, 0.5]);
    }

    /// The first of the three tokens is a prompt's.
    #[test]
    fn each_mode_leaves_a_prompt_out() {
        let pooled = |mode| pool(&TOKENS, 2, &MASK, 1, &pooling(&[mode], false)).unwrap();
        assert_eq!(pooled(PoolingMode::Cls), [2.0, 5.0]);
        assert_eq!(pooled(PoolingMode::LastToken), [6.0, -2.0]);
        assert_eq!(pooled(PoolingMode::Max), [6.0, 5.0]);
        assert_eq!(pooled(PoolingMode::Mean), [4.0, 1.5]);
        // 8 / √2, 3 / √2
        assert_eq!(pooled(PoolingMode::MeanSqrtLen), [5.656_854, 2.121_320_2]);
        // (2·2 + 3·6) / 5, (10 - 6) / 5: the weights stay those behind the prompt
        assert_eq!(pooled(PoolingMode::WeightedMean), [4.4, 0.8]);
    }

    #[test]
    fn modes_are_concatenated_in_their_order_and_then_normalized() {
        let vector = pooled(&[PoolingMode::LastToken, PoolingMode::Cls], true);
        let length = (36.0_f32 + 4.0 + 1.0 + 1.0).sqrt();
        assert_eq!(vector, [6.0 / length, -2.0 / length, 1.0 / length, -1.0 / length]);
    }

    #[test]
    fn padding_on_the_left_gives_the_same() {
        let left = [99.0, 99.0, 1.0, -1.0, 2.0, 5.0, 6.0, -2.0];
        for mode in [
            PoolingMode::Cls,
            PoolingMode::Max,
            PoolingMode::Mean,
            PoolingMode::MeanSqrtLen,
            PoolingMode::WeightedMean,
            PoolingMode::LastToken,
        ] {
            let mask = [false, true, true, true];
            for skipped in 0..3 {
                let found = pool(&left, 2, &mask, skipped, &pooling(&[mode], false));
                let expected = pool(&TOKENS, 2, &MASK, skipped, &pooling(&[mode], false));
                assert_eq!(found, expected, "{mode:?}, {skipped} skipped");
            }
        }
    }

    #[test]
    fn what_does_not_fit_together_is_none() {
        let pooling = SentencePooling::default();
        assert_eq!(pool(&TOKENS, 2, &[false; 4], 0, &pooling), None);
        assert_eq!(pool(&TOKENS, 3, &MASK, 0, &pooling), None);
        assert_eq!(pool(&[], 0, &[], 0, &pooling), None);
        assert_eq!(pool(&TOKENS, 2, &MASK, 3, &pooling), None);
    }

    #[test]
    fn the_zero_vector_stays_zero() {
        let mut zero = [0.0; 3];
        normalize(&mut zero);
        assert_eq!(zero, [0.0; 3]);
    }
}
