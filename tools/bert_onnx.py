"""Writes a BERT encoder, with or without a classification head, as an ONNX model.

Only standard operators of opset 17 are used, and each weight is an initializer of its own, stored as `raw_data` under
the name that it has in PyTorch. Shapes in the comments: B texts, S tokens, H hidden size, A attention heads, L labels.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET = 17
IR_VERSION = 8
INPUT_IDS, ATTENTION_MASK, TOKEN_TYPE_IDS = "input_ids", "attention_mask", "token_type_ids"
DEFAULT_INPUTS = (INPUT_IDS, ATTENTION_MASK, TOKEN_TYPE_IDS)

# What a masked position gets instead of its attention score: the lowest finite float32, as `transformers` has it.
MASKED_SCORE = float(np.finfo(np.float32).min)


# What each large tensor of an external file starts at a multiple of: ONNX asks for pages, so that they can be mapped.
EXTERNAL_ALIGNMENT = 4096


@dataclass(frozen=True)
class Head:
    """A linear classifier: `weight` [H, L] and `bias` [L], over each token or over the first one ([CLS])."""

    weight: np.ndarray
    bias: np.ndarray
    per_token: bool


def seeded_tensor(name: str, shape: Sequence[int], scale: float, centre: float = 0.0) -> np.ndarray:
    """Float32 values, uniform in `centre` ± `scale`, that depend on `name` and `shape` only.

    They come from SHA-256 in counter mode, so no version of a random number generator can change them.
    """
    count = int(np.prod(shape))
    blocks = (hashlib.sha256(f"{name}#{block}".encode()).digest() for block in range(-(-count // 8)))
    integers = np.frombuffer(b"".join(blocks), dtype="<u4")[:count] >> 8  # 24 bits: exact in float32
    unit = integers.astype(np.float32) / np.float32(1 << 23) - np.float32(1)
    return (unit * np.float32(scale) + np.float32(centre)).reshape(shape)


class GraphBuilder:
    """Collects the nodes and initializers of a graph; every method returns the name of the value that it adds."""

    def __init__(self, weights: Mapping[str, np.ndarray]):
        self.weights = weights
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: dict[str, onnx.TensorProto] = {}

    def tensor(self, name: str, value: np.ndarray) -> str:
        """An initializer; a name that is there already is not added again."""
        if name not in self.initializers:
            self.initializers[name] = numpy_helper.from_array(np.asarray(value, order="C"), name)
        return name

    def integers(self, *values: int) -> str:
        """A one-dimensional int64 constant, shared between its users."""
        return self.tensor("int64:" + ",".join(map(str, values)), np.array(values, dtype=np.int64))

    def number(self, value: float) -> str:
        """A float32 scalar, shared between its users."""
        scalar = np.array(value, dtype=np.float32)
        return self.tensor(f"float32:{scalar}", scalar)

    def weight(self, name: str) -> str:
        """A weight of the checkpoint as it is."""
        return self.tensor(name, self.weights[name])

    def node(self, operator: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        """A node with one output, which the node is named after."""
        self.nodes.append(helper.make_node(operator, list(inputs), [output], name=output, **attributes))
        return output

    def linear(self, x: str, name: str) -> str:
        """`x` [..., in] @ weight [in, out] + bias [out]. PyTorch stores [out, in], ONNX's MatMul wants [in, out]."""
        weight = self.tensor(f"{name}.weight", self.weights[f"{name}.weight"].T)
        product = self.node("MatMul", [x, weight], f"{name}/matmul")
        return self.node("Add", [product, self.weight(f"{name}.bias")], f"{name}/out")

    def layer_norm(self, x: str, name: str, epsilon: float) -> str:
        """Normalisation over the last axis, with scale and shift."""
        inputs = [x, self.weight(f"{name}.weight"), self.weight(f"{name}.bias")]
        return self.node("LayerNormalization", inputs, f"{name}/out", axis=-1, epsilon=epsilon)

    def gelu(self, x: str, name: str) -> str:
        """The exact, erf-based GELU, in the order of operations that ONNX Runtime recognises and fuses."""
        erf = self.node("Erf", [self.node("Div", [x, self.number(2**0.5)], f"{name}/scaled")], f"{name}/erf")
        gate = self.node("Add", [erf, self.number(1)], f"{name}/gate")
        return self.node("Mul", [self.node("Mul", [x, gate], f"{name}/gated"), self.number(0.5)], f"{name}/out")


def _embeddings(graph: GraphBuilder, epsilon: float, with_token_types: bool) -> str:
    """Sum of word, position and type embeddings, normalised: [B, S, H]."""
    words = graph.node("Gather", [graph.weight("embeddings.word_embeddings.weight"), INPUT_IDS], "embeddings/words")
    length = graph.node("Shape", [INPUT_IDS], "embeddings/length", start=1, end=2)
    table = graph.weight("embeddings.position_embeddings.weight")
    window = [table, graph.integers(0), length, graph.integers(0)]
    positions = graph.node("Slice", window, "embeddings/positions")  # [S, H], the same for every text
    type_table = graph.weights["embeddings.token_type_embeddings.weight"]
    if with_token_types:
        types = graph.weight("embeddings.token_type_embeddings.weight")
        types = graph.node("Gather", [types, TOKEN_TYPE_IDS], "embeddings/types")
    else:
        types = graph.tensor("embeddings.token_type_embeddings.first", type_table[0])
    typed = graph.node("Add", [words, types], "embeddings/typed")
    placed = graph.node("Add", [typed, positions], "embeddings/placed")
    return graph.layer_norm(placed, "embeddings.LayerNorm", epsilon)


def _mask_bias(graph: GraphBuilder) -> str:
    """What is added to the attention scores: 0 for a real token, `MASKED_SCORE` for padding; [B, 1, 1, S]."""
    mask = graph.node("Cast", [ATTENTION_MASK], "mask/float", to=TensorProto.FLOAT)
    padding = graph.node("Sub", [graph.number(1), mask], "mask/padding")
    bias = graph.node("Mul", [padding, graph.number(MASKED_SCORE)], "mask/flat")
    return graph.node("Unsqueeze", [bias, graph.integers(1, 2)], "mask/bias")


def _attention(graph: GraphBuilder, x: str, mask_bias: str, name: str, hidden: int, heads: int) -> str:
    """Multi-head self-attention with its output projection: [B, S, H] to [B, S, H]."""
    size = hidden // heads

    def per_head(role: str, permutation: list[int]) -> str:
        flat = graph.linear(x, f"{name}.self.{role}")
        split = graph.node("Reshape", [flat, graph.integers(0, 0, heads, size)], f"{name}/{role}/split")
        return graph.node("Transpose", [split], f"{name}/{role}", perm=permutation)

    query, value = per_head("query", [0, 2, 1, 3]), per_head("value", [0, 2, 1, 3])  # [B, A, S, H / A]
    key = per_head("key", [0, 2, 3, 1])  # [B, A, H / A, S]
    query = graph.node("Mul", [query, graph.number(size**-0.5)], f"{name}/query/scaled")
    scores = graph.node("MatMul", [query, key], f"{name}/scores")
    masked = graph.node("Add", [scores, mask_bias], f"{name}/masked")
    attention = graph.node("Softmax", [masked], f"{name}/probabilities", axis=-1)
    context = graph.node("MatMul", [attention, value], f"{name}/context")
    merged = graph.node("Transpose", [context], f"{name}/merged", perm=[0, 2, 1, 3])
    merged = graph.node("Reshape", [merged, graph.integers(0, 0, hidden)], f"{name}/flat")
    return graph.linear(merged, f"{name}.output.dense")


def _layer(graph: GraphBuilder, x: str, mask_bias: str, name: str, config: Mapping[str, Any]) -> str:
    """One encoder layer, normalised after each residual: [B, S, H] to [B, S, H]."""
    epsilon = config["layer_norm_eps"]
    heads = config["num_attention_heads"]
    attended = _attention(graph, x, mask_bias, f"{name}.attention", config["hidden_size"], heads)
    residual = graph.node("Add", [attended, x], f"{name}/attended")
    x = graph.layer_norm(residual, f"{name}.attention.output.LayerNorm", epsilon)
    wide = graph.gelu(graph.linear(x, f"{name}.intermediate.dense"), f"{name}/gelu")
    residual = graph.node("Add", [graph.linear(wide, f"{name}.output.dense"), x], f"{name}/fed")
    return graph.layer_norm(residual, f"{name}.output.LayerNorm", epsilon)


def _projection(graph: GraphBuilder, x: str, weight: np.ndarray) -> str:
    """`x` [B, S, H] @ `weight` [H, H], which stands in a branch of an `If` whose condition no optimiser can tell.

    The condition, that some token is attended to, always holds; the other branch gives `x` as it is.
    """
    attended = graph.node("ReduceMax", [ATTENTION_MASK], "projection/attended", keepdims=0)
    zero = graph.tensor("int64:0 (scalar)", np.array(0, dtype=np.int64))
    condition = graph.node("Greater", [attended, zero], "projection/condition")
    name = "projection.weight"
    product = helper.make_node("MatMul", [x, name], ["projection/product"], name="projection/product")
    same = helper.make_node("Identity", [x], ["projection/same"], name="projection/same")

    def branch(node: onnx.NodeProto, initializers: Sequence[onnx.TensorProto]) -> onnx.GraphProto:
        output = helper.make_tensor_value_info(node.output[0], TensorProto.FLOAT, None)
        return helper.make_graph([node], f"{node.name}/branch", [], [output], list(initializers))

    constant = numpy_helper.from_array(np.asarray(weight, order="C"), name)
    branches = {"then_branch": branch(product, [constant]), "else_branch": branch(same, [])}
    return graph.node("If", [condition], "projection/out", **branches)


def graphs(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    """A graph, and all graphs in the attributes of its nodes."""
    yield graph
    for attribute in (attribute for node in graph.node for attribute in node.attribute):
        if attribute.type == onnx.AttributeProto.GRAPH:
            yield from graphs(attribute.g)


def move_out(model: onnx.ModelProto, file_of: Callable[[str, int], str | None]) -> dict[str, bytes]:
    """Moves the data of initializers into files, whose contents by name are returned.

    `file_of` gives the file for a tensor's name and its size in bytes, or None to leave it where it is.
    """
    files: dict[str, bytearray] = {}
    for tensor in (tensor for graph in graphs(model.graph) for tensor in graph.initializer):
        data = tensor.raw_data
        name = file_of(tensor.name, len(data))
        if name is None:
            continue
        content = files.setdefault(name, bytearray())
        content.extend(bytes(-len(content) % EXTERNAL_ALIGNMENT))
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        for key, value in (("location", name), ("offset", str(len(content))), ("length", str(len(data)))):
            tensor.external_data.add(key=key, value=value)
        content.extend(data)
    return {name: bytes(content) for name, content in files.items()}


def build(
    config: Mapping[str, Any],
    weights: Mapping[str, np.ndarray],
    head: Head | None = None,
    inputs: Sequence[str] = DEFAULT_INPUTS,
    projection: np.ndarray | None = None,
) -> onnx.ModelProto:
    """A BERT as an ONNX model.

    `config` is a parsed config.json, `weights` has PyTorch's names without the `bert.` prefix. `inputs` are declared in
    the order given; without `token_type_ids` among them every token is of the first type.

    The output is `last_hidden_state` [B, S, H], or with a head `logits`: [B, S, L] per token, else [B, L]. With a
    `projection` [H, H], the encoder's output is multiplied by it, within a graph in the graph.
    """
    graph = GraphBuilder(weights)
    x = _embeddings(graph, config["layer_norm_eps"], TOKEN_TYPE_IDS in inputs)
    mask_bias = _mask_bias(graph)
    for index in range(config["num_hidden_layers"]):
        x = _layer(graph, x, mask_bias, f"encoder.layer.{index}", config)

    if projection is not None:
        x = _projection(graph, x, projection)
    if head is None:
        output, shape = "last_hidden_state", ["batch_size", "sequence_length", config["hidden_size"]]
        graph.node("Identity", [x], output)
    else:
        output, shape = "logits", ["batch_size", "sequence_length", len(head.bias)]
        if not head.per_token:
            del shape[1]
            first = graph.tensor("first_token", np.array(0, dtype=np.int64))
            x = graph.node("Gather", [x, first], "classifier/first", axis=1)
        x = graph.node("MatMul", [x, graph.tensor("classifier.weight", head.weight)], "classifier/matmul")
        graph.node("Add", [x, graph.tensor("classifier.bias", head.bias)], output)

    text = ["batch_size", "sequence_length"]
    return helper.make_model(
        helper.make_graph(
            graph.nodes,
            "bert",
            [helper.make_tensor_value_info(name, TensorProto.INT64, text) for name in inputs],
            [helper.make_tensor_value_info(output, TensorProto.FLOAT, shape)],
            list(graph.initializers.values()),
        ),
        producer_name="encoderfile-tools",
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
    )
