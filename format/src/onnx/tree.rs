//! The messages of a model in which tensors may stand, and the walk through them.

use std::ops::Range;

use super::{OnnxError, field};
use crate::wire::{Field, fields};

/// How deep graphs may stand in graphs. Protobuf's own limit of 100 messages, which ONNX Runtime has, is met earlier.
pub(super) const DEPTH_LIMIT: usize = 64;

/// No model has as many nodes, attributes and tensors together; more are damage, and would only take time.
const MESSAGES_LIMIT: usize = 1 << 22;

/// A kind of message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Message {
    Model,
    MainGraph,
    /// A graph in a node's attribute, or of a training step.
    Graph,
    Training,
    Function,
    Node,
    Attribute,
    SparseTensor,
    /// An initializer of the main graph.
    Weight,
    /// A tensor anywhere else.
    Tensor,
}

/// How often a field may stand in its message.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Count {
    One,
    Any,
}

impl Message {
    /// What a field of this message holds, if that can have tensors in it.
    fn child(self, number: u32) -> Option<(Self, Count)> {
        use Count::{Any, One};
        let child =
            match (self, number) {
                (Self::Model, field::model::GRAPH) => (Self::MainGraph, One),
                (Self::Model, field::model::FUNCTION) => (Self::Function, Any),
                (Self::Model, field::model::TRAINING) => (Self::Training, Any),
                (Self::Training, field::training::INITIALIZATION | field::training::ALGORITHM) => {
                    (Self::Graph, One)
                }
                (Self::MainGraph, field::graph::INITIALIZER) => (Self::Weight, Any),
                (Self::Graph, field::graph::INITIALIZER) | (Self::Attribute, field::attribute::TENSORS) => {
                    (Self::Tensor, Any)
                }
                (Self::MainGraph | Self::Graph, field::graph::NODE)
                | (Self::Function, field::function::NODE) => (Self::Node, Any),
                (Self::MainGraph | Self::Graph, field::graph::SPARSE_INITIALIZER)
                | (Self::Attribute, field::attribute::SPARSE_TENSORS) => (Self::SparseTensor, Any),
                (Self::Node, field::node::ATTRIBUTE)
                | (Self::Function, field::function::ATTRIBUTE_DEFAULT) => (Self::Attribute, Any),
                (Self::Attribute, field::attribute::GRAPH) => (Self::Graph, One),
                (Self::Attribute, field::attribute::GRAPHS) => (Self::Graph, Any),
                (Self::Attribute, field::attribute::SPARSE_TENSOR) => (Self::SparseTensor, One),
                (Self::Attribute, field::attribute::TENSOR)
                | (Self::SparseTensor, field::sparse_tensor::VALUES | field::sparse_tensor::INDICES) => {
                    (Self::Tensor, One)
                }
                _ => return None,
            };
        Some(child)
    }
}

/// What is told of the messages that [`walk`] meets, in the order of their bytes.
pub(super) trait Visitor {
    /// Begins a message that may have tensors in it; `content` is the message without tag and length.
    fn enter(&mut self, _field: &Field, _content: &Range<usize>) {}

    /// Ends the message that was begun last.
    fn leave(&mut self) {}

    /// Meets a tensor. Its kind is [`Message::Weight`] or [`Message::Tensor`].
    fn tensor(&mut self, kind: Message, field: &Field, content: Range<usize>) -> Result<(), OnnxError>;
}

/// Walks all of a model's messages that may have tensors in them: the main graph, graphs in attributes, functions,
/// training steps. Each field is looked at once, values of tensors are not.
pub(super) fn walk(model: &[u8], visitor: &mut impl Visitor) -> Result<(), OnnxError> {
    Walk { model, visitor, messages: 0 }.message(Message::Model, 0..model.len(), 0)
}

struct Walk<'a, V> {
    model: &'a [u8],
    visitor: &'a mut V,
    /// How many messages were met.
    messages: usize,
}

impl<V: Visitor> Walk<'_, V> {
    /// Walks what is in a message, which is in `depth` graphs besides the main one.
    fn message(&mut self, message: Message, range: Range<usize>, depth: usize) -> Result<(), OnnxError> {
        let mut seen = 0_u64;
        for item in fields(self.model, range) {
            let item = item?;
            let Some((child, count)) = message.child(item.number) else {
                continue;
            };
            let content = item.bytes()?;
            if count == Count::One {
                let bit = 1 << item.number;
                if seen & bit != 0 {
                    return Err(match child {
                        Message::MainGraph => OnnxError::SeveralGraphs,
                        _ => OnnxError::Repeated { offset: item.span.start },
                    });
                }
                seen |= bit;
            }
            if self.messages == MESSAGES_LIMIT {
                return Err(OnnxError::TooMany {
                    what: "nodes, attributes and tensors",
                    limit: MESSAGES_LIMIT,
                });
            }
            self.messages += 1;
            if matches!(child, Message::Weight | Message::Tensor) {
                self.visitor.tensor(child, &item, content)?;
                continue;
            }
            let depth = depth + usize::from(child == Message::Graph);
            if depth > DEPTH_LIMIT {
                return Err(OnnxError::TooDeep { offset: item.span.start });
            }
            self.visitor.enter(&item, &content);
            self.message(child, content, depth)?;
            self.visitor.leave();
        }
        if message == Message::Model && seen & (1 << field::model::GRAPH) == 0 {
            return Err(OnnxError::NotOnnx { missing: "graph" });
        }
        Ok(())
    }
}
