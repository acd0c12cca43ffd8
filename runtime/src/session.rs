//! The model in ONNX Runtime: made from the running file, fed by the names of its inputs.

use std::borrow::Cow;
use std::sync::Arc;
use std::thread;

use encoderfile_format::onnx::{self, ElementType};
use encoderfile_format::{ArtifactKind, Limits, ModelInput, Signature};
use ort::environment::Environment;
use ort::logging::LogLevel;
use ort::session::builder::SessionBuilder;
use ort::session::{HasSelectedOutputs, OutputSelector, RunOptions, SessionInputValue};
use ort::value::{Tensor, TensorElementType, ValueType};

use crate::batch::Batch;
use crate::cli;
use crate::error::{Error, OnnxRuntimeError};
use crate::executable::Executable;
use crate::external::{self, ExternalFile};
use crate::library;
use crate::mapping::{self, Detached, Skeleton};
use crate::task::Task;

/// More threads than this rarely make one batch faster, but each costs time to start.
const MOST_THREADS: usize = 16;

/// A model that is ready to run.
pub(crate) struct Model {
    session: ort::session::Session,
    run_options: RunOptions<HasSelectedOutputs>,
    inputs: Vec<(ModelInput, ElementType)>,
    output: String,
    pub(crate) limits: Limits,
    pub(crate) task: Task,
}

/// What the model gives: `[rows, …]`, all as 32-bit numbers.
pub(crate) struct Output {
    pub(crate) name: String,
    pub(crate) shape: Vec<i64>,
    pub(crate) values: Vec<f32>,
}

impl Model {
    /// Loads the model out of the running file.
    pub(crate) fn load(executable: &Executable, options: &cli::Infer) -> Result<Self, Error> {
        let kind = ArtifactKind::Weights;
        if options.verify {
            executable.check_weights()?;
        }
        let weights = mapping::model(executable)?;
        let graph = onnx::Model::parse(&weights).map_err(|source| executable.content_error(kind, source))?;
        let files = external::files(executable.manifest(), &graph)
            .map_err(|source| executable.content_error(kind, source))?;
        let skeleton = match options.weights {
            cli::Weights::Copy => None,
            cli::Weights::Map => Some(mapping::skeleton(executable, &weights, &files)?),
            cli::Weights::Auto => match mapping::skeleton(executable, &weights, &files) {
                Ok(skeleton) => Some(skeleton),
                Err(Error::Mapping(_)) => None,
                Err(error) => return Err(error),
            },
        };
        let Signature { inputs, limits, output, output_kind, .. } =
            Signature::of(&graph, executable.manifest().description.model_type).map_err(Error::Graph)?;
        let task = Task::new(executable, output_kind)?;

        let environment = library::load()?;
        let threads = threads(options);
        let mapped = skeleton.map(|skeleton| mapped_session(&environment, threads, executable, &skeleton));
        let session = match mapped {
            Some(Ok(session)) => session,
            Some(Err(error)) if options.weights == cli::Weights::Map => return Err(error),
            // The file is not at its path any more, or ONNX Runtime refuses to map it there: slower, but as good.
            Some(Err(_)) | None => {
                if !options.verify {
                    executable.check_weights()?;
                }
                copied_session(&environment, threads, executable, &weights, &files)?
            }
        };
        let selector = OutputSelector::no_default().with(&output);
        let run_options =
            RunOptions::new().map_err(|error| Error::Load(error.into()))?.with_outputs(selector);
        Ok(Self { session, run_options, inputs, output, limits, task })
    }

    /// Runs the model on a batch.
    pub(crate) fn run(&mut self, batch: &Batch) -> Result<Output, Error> {
        let failed = |error: ort::Error| Error::Run(error.into());
        let shape = [batch.rows.len(), batch.length];
        let mut inputs: Vec<(&str, SessionInputValue<'_>)> = Vec::with_capacity(self.inputs.len());
        for &(input, element_type) in &self.inputs {
            let values = match input {
                ModelInput::InputIds => &batch.input_ids,
                ModelInput::AttentionMask => &batch.attention_mask,
                ModelInput::TokenTypeIds => &batch.token_type_ids,
                ModelInput::PositionIds => &batch.position_ids,
            };
            inputs.push((input.name(), tensor(element_type, shape, values).map_err(failed)?));
        }
        let outputs = self.session.run_with_options(inputs, &self.run_options).map_err(failed)?;
        let name = self.output.clone();
        let Some(value) = outputs.values().next() else {
            return Err(Error::OutputShape { name, found: Vec::new(), expected: "a tensor".to_owned() });
        };
        let ValueType::Tensor { ty, .. } = *value.dtype() else {
            return Err(Error::OutputType { name, found: "another kind than tensors".to_owned() });
        };
        let (shape, values) = match ty {
            TensorElementType::Float32 => {
                let (shape, values) = value.try_extract_tensor::<f32>().map_err(failed)?;
                (shape.to_vec(), values.to_vec())
            }
            TensorElementType::Float64 => {
                let (shape, values) = value.try_extract_tensor::<f64>().map_err(failed)?;
                #[expect(clippy::cast_possible_truncation, reason = "results are given in single precision")]
                let values = values.iter().map(|&value| value as f32).collect();
                (shape.to_vec(), values)
            }
            TensorElementType::Float16 => {
                let (shape, values) = value.try_extract_tensor::<half::f16>().map_err(failed)?;
                (shape.to_vec(), values.iter().map(|value| value.to_f32()).collect())
            }
            TensorElementType::Bfloat16 => {
                let (shape, values) = value.try_extract_tensor::<half::bf16>().map_err(failed)?;
                (shape.to_vec(), values.iter().map(|value| value.to_f32()).collect())
            }
            other => {
                return Err(Error::OutputType { name, found: other.to_string() });
            }
        };
        Ok(Output { name, shape, values })
    }
}

impl Output {
    /// Checks the shape `[rows, middle…, width]` and gives the width, which is not zero.
    pub(crate) fn width(&self, middle: &[usize], rows: usize, expected: &str) -> Result<usize, Error> {
        let dimensions: Option<Vec<usize>> =
            self.shape.iter().map(|&size| usize::try_from(size).ok()).collect();
        if let Some([first, between @ .., width]) = dimensions.as_deref()
            && (*first, between) == (rows, middle)
            && *width > 0
            && self.values.len() == middle.iter().fold(rows * width, |size, dimension| size * dimension)
        {
            return Ok(*width);
        }
        Err(Error::OutputShape {
            name: self.name.clone(),
            found: self.shape.clone(),
            expected: expected.to_owned(),
        })
    }
}

fn threads(options: &cli::Infer) -> usize {
    let available = || thread::available_parallelism().map_or(1, |number| number.get().min(MOST_THREADS));
    options.threads.map_or_else(available, std::num::NonZero::get)
}

/// A session whose large weights are mapped from the running file.
fn mapped_session(
    environment: &Environment,
    threads: usize,
    executable: &Executable,
    skeleton: &Skeleton,
) -> Result<ort::session::Session, Error> {
    let load = || -> Result<_, OnnxRuntimeError> {
        let mut builder = builder(environment, threads)?
            .with_config_entry("session.model_external_initializers_file_folder_path", &skeleton.folder)?;
        Ok(builder.commit_from_memory(&skeleton.model)?)
    };
    let session = load().map_err(Error::Load)?;
    // What was mapped is what lay at the path, and it was the running file before: was it still?
    if executable.is_at_its_path() {
        Ok(session)
    } else {
        Err(Error::Mapping("the running file was moved or replaced while it started"))
    }
}

/// A session with a copy of the weights in its own memory.
fn copied_session(
    environment: &Environment,
    threads: usize,
    executable: &Executable,
    weights: &[u8],
    files: &[ExternalFile<'_>],
) -> Result<ort::session::Session, Error> {
    let mut builder = builder(environment, threads).map_err(Error::Load)?;
    let model = if files.is_empty() {
        Cow::Borrowed(weights)
    } else {
        let Detached { model, file } = mapping::detached(executable, weights, files)?;
        builder = builder
            .with_external_initializer_file_in_memory(mapping::DETACHED, Arc::from(&file[..]))
            .map_err(|error| Error::Load(error.into()))?;
        Cow::Owned(model)
    };
    builder.commit_from_memory(&model).map_err(|error| Error::Load(error.into()))
}

fn builder(environment: &Environment, threads: usize) -> Result<SessionBuilder, OnnxRuntimeError> {
    Ok(ort::session::Session::builder(environment)?
        .with_log_level(LogLevel::Fatal)?
        // Packed weights are faster to multiply, but they are a private copy that takes longer to make than to save.
        .with_prepacking(false)?
        .with_intra_threads(threads)?)
}

fn tensor(
    element_type: ElementType,
    shape: [usize; 2],
    values: &[i64],
) -> Result<SessionInputValue<'static>, ort::Error> {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        reason = "token ids are below 2^31, and those of real vocabularies below 2^24, which floats hold exactly"
    )]
    Ok(match element_type {
        ElementType::Int32 => {
            let values: Vec<i32> = values.iter().map(|&value| value as i32).collect();
            Tensor::from_array((shape, values))?.into()
        }
        ElementType::Float => {
            let values: Vec<f32> = values.iter().map(|&value| value as f32).collect();
            Tensor::from_array((shape, values))?.into()
        }
        _ => Tensor::from_array((shape, values.to_vec()))?.into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_output_of_another_shape_is_refused() {
        let output = Output { name: "x".to_owned(), shape: vec![2, 3, 4], values: vec![0.0; 24] };
        assert_eq!(output.width(&[3], 2, "").unwrap(), 4);
        assert!(output.width(&[4], 2, "").is_err());
        assert!(output.width(&[], 2, "").is_err());
        let empty = Output { name: "x".to_owned(), shape: vec![2, 0], values: Vec::new() };
        assert!(empty.width(&[], 2, "").is_err());
        let negative = Output { name: "x".to_owned(), shape: vec![2, -1], values: Vec::new() };
        assert!(negative.width(&[], 2, "").is_err());
    }
}
