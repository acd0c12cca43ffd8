//! The model in ONNX Runtime: made from the running file, fed by the names of its inputs.

use std::thread;

use encoderfile_format::ArtifactKind;
use encoderfile_format::onnx::{self, Dimension, ElementType, TensorInfo};
use ort::environment::Environment;
use ort::logging::LogLevel;
use ort::session::{HasSelectedOutputs, OutputSelector, RunOptions, SessionInputValue};
use ort::value::{Tensor, TensorElementType, ValueType};

use crate::batch::{Batch, Limits};
use crate::cli;
use crate::error::{Error, OnnxRuntimeError};
use crate::executable::Executable;
use crate::library;
use crate::mapping::{self, Skeleton};
use crate::task::Task;
use crate::tokenization::LENGTH_LIMIT;

/// More threads than this rarely make one batch faster, but each costs time to start.
const MOST_THREADS: usize = 16;

/// A model that is ready to run.
pub(crate) struct Model {
    session: ort::session::Session,
    run_options: RunOptions<HasSelectedOutputs>,
    inputs: Vec<Input>,
    output: String,
    pub(crate) limits: Limits,
    pub(crate) task: Task,
}

/// An input of the graph.
struct Input {
    name: String,
    meaning: Meaning,
    element_type: ElementType,
}

/// What an input is to be fed with.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Meaning {
    InputIds,
    AttentionMask,
    TokenTypeIds,
    PositionIds,
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
        let weights = mapping::map(executable)?;
        let skeleton = match options.weights {
            cli::Weights::Copy => None,
            cli::Weights::Map => Some(mapping::skeleton(executable, &weights)?),
            cli::Weights::Auto => match mapping::skeleton(executable, &weights) {
                Ok(skeleton) => Some(skeleton),
                Err(Error::Mapping(_)) => None,
                Err(error) => return Err(error),
            },
        };
        let model = skeleton.as_ref().map_or(&weights[..], |skeleton| &skeleton.model);
        let graph = onnx::Model::parse(model).map_err(|source| executable.content_error(kind, source))?;
        // Whatever lies beside the running file is none of its model's tensors.
        let own_name = executable.path().file_name().and_then(|name| name.to_str());
        let mut others =
            graph.external_files().into_iter().filter(|&file| skeleton.is_none() || Some(file) != own_name);
        if let Some(other) = others.next() {
            return Err(executable.content_error(kind, format!("its tensors are in another file, `{other}`")));
        }
        let (inputs, limits) = inputs(&graph.inputs)?;
        let (task, output) = Task::new(executable, &graph.outputs)?;

        let verify =
            || executable.file().check(kind).map_err(|source| executable.artifact_error(kind, source));
        if options.verify {
            verify()?;
        }
        let environment = library::load()?;
        let threads = threads(options);
        let mapped = skeleton.map(|skeleton| mapped_session(&environment, threads, executable, &skeleton));
        let session = match mapped {
            Some(Ok(session)) => session,
            Some(Err(error)) if options.weights == cli::Weights::Map => return Err(error),
            // The file is not at its path any more, or ONNX Runtime refuses to map it there: slower, but as good.
            Some(Err(_)) | None => {
                if !options.verify {
                    verify()?;
                }
                copied_session(&environment, threads, &weights).map_err(Error::Load)?
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
        for input in &self.inputs {
            let values = match input.meaning {
                Meaning::InputIds => &batch.input_ids,
                Meaning::AttentionMask => &batch.attention_mask,
                Meaning::TokenTypeIds => &batch.token_type_ids,
                Meaning::PositionIds => &batch.position_ids,
            };
            inputs.push((&input.name, tensor(input.element_type, shape, values).map_err(failed)?));
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
    let folder = Some(skeleton.folder.as_str());
    let session = session(environment, threads, &skeleton.model, folder).map_err(Error::Load)?;
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
    weights: &[u8],
) -> Result<ort::session::Session, OnnxRuntimeError> {
    session(environment, threads, weights, None)
}

fn session(
    environment: &Environment,
    threads: usize,
    model: &[u8],
    external_folder: Option<&str>,
) -> Result<ort::session::Session, OnnxRuntimeError> {
    let mut builder = ort::session::Session::builder(environment)?
        .with_log_level(LogLevel::Fatal)?
        // Packed weights are faster to multiply, but they are a private copy that takes longer to make than to save.
        .with_prepacking(false)?
        .with_intra_threads(threads)?;
    if let Some(folder) = external_folder {
        builder =
            builder.with_config_entry("session.model_external_initializers_file_folder_path", folder)?;
    }
    Ok(builder.commit_from_memory(model)?)
}

/// Finds out what each input is to be fed with, by its name.
fn inputs(declared: &[TensorInfo]) -> Result<(Vec<Input>, Limits), Error> {
    let mut inputs = Vec::with_capacity(declared.len());
    let mut limits = Limits::default();
    for info in declared {
        let meaning = match info.name.as_str() {
            "input_ids" => Meaning::InputIds,
            "attention_mask" => Meaning::AttentionMask,
            "token_type_ids" => Meaning::TokenTypeIds,
            "position_ids" => Meaning::PositionIds,
            _ => {
                return Err(Error::ModelInput { input: info.to_string() });
            }
        };
        let Some(element_type @ (ElementType::Int64 | ElementType::Int32 | ElementType::Float)) =
            info.element_type
        else {
            return Err(Error::ModelInput { input: info.to_string() });
        };
        match info.shape.as_deref() {
            None => {}
            Some([rows, columns]) => {
                if let Some(size) = fixed(rows) {
                    if size != 1 {
                        return Err(Error::ModelBatch { input: info.to_string() });
                    }
                    limits.texts = Some(size);
                }
                limits.length = fixed(columns).or(limits.length);
            }
            Some(_) => {
                return Err(Error::ModelInput { input: info.to_string() });
            }
        }
        inputs.push(Input { name: info.name.clone(), meaning, element_type });
    }
    let has = |meaning| inputs.iter().any(|input| input.meaning == meaning);
    if !has(Meaning::InputIds) {
        let found = declared.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        return Err(Error::NoTokenInput { found });
    }
    if !has(Meaning::AttentionMask) {
        // It could not tell tokens from padding, so no text may be padded for another one's sake.
        limits.texts = Some(1);
    }
    if limits.length.is_some_and(|length| length > LENGTH_LIMIT) {
        return Err(Error::ModelInput { input: declared[0].to_string() });
    }
    Ok((inputs, limits))
}

fn fixed(dimension: &Dimension) -> Option<usize> {
    match dimension {
        Dimension::Fixed(size) => Some(usize::try_from(*size).unwrap_or(usize::MAX)),
        Dimension::Named(_) => None,
    }
}

fn tensor(
    element_type: ElementType,
    shape: [usize; 2],
    values: &[i64],
) -> Result<SessionInputValue<'static>, ort::Error> {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        reason = "token ids are below 2^31, and floats are only asked for as masks"
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

    fn info(name: &str, element_type: ElementType, shape: &[u64]) -> TensorInfo {
        let dimension = |&size: &u64| match size {
            0 => Dimension::Named("any".to_owned()),
            size => Dimension::Fixed(size),
        };
        let shape = Some(shape.iter().map(dimension).collect());
        TensorInfo { name: name.to_owned(), element_type: Some(element_type), shape }
    }

    #[test]
    fn inputs_are_known_by_name_whatever_their_order() {
        let declared = [
            info("attention_mask", ElementType::Int64, &[0, 0]),
            info("input_ids", ElementType::Int32, &[0, 0]),
        ];
        let (inputs, limits) = inputs(&declared).unwrap();
        assert!(inputs[0].meaning == Meaning::AttentionMask && inputs[1].meaning == Meaning::InputIds);
        assert_eq!((limits.length, limits.texts), (None, None));
    }

    #[test]
    fn declared_shapes_limit_a_batch() {
        let (_, limits) = inputs(&[info("input_ids", ElementType::Int64, &[1, 128])]).unwrap();
        assert_eq!((limits.length, limits.texts), (Some(128), Some(1)));
        let (_, limits) = inputs(&[info("input_ids", ElementType::Int64, &[0, 0])]).unwrap();
        assert_eq!(limits.texts, Some(1), "no mask, no padding");
    }

    #[test]
    fn inputs_that_no_text_gives_are_refused() {
        let ids = || info("input_ids", ElementType::Int64, &[0, 0]);
        let refused = |other: TensorInfo| inputs(&[ids(), other]).err().unwrap();
        assert!(matches!(
            refused(info("pixel_values", ElementType::Float, &[0, 0])),
            Error::ModelInput { .. }
        ));
        assert!(matches!(
            refused(info("attention_mask", ElementType::Bool, &[0, 0])),
            Error::ModelInput { .. }
        ));
        assert!(matches!(
            refused(info("attention_mask", ElementType::Int64, &[0])),
            Error::ModelInput { .. }
        ));
        assert!(matches!(
            refused(info("attention_mask", ElementType::Int64, &[4, 0])),
            Error::ModelBatch { .. }
        ));
        assert!(matches!(inputs(&[]).err().unwrap(), Error::NoTokenInput { .. }));
        let huge = info("input_ids", ElementType::Int64, &[0, u64::MAX]);
        assert!(matches!(inputs(&[huge]).err().unwrap(), Error::ModelInput { .. }));
    }

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
