"""TFLite files: float and int8, with nothing in them but what a phone's accelerator takes.

litert_torch knows no depth-to-space: left alone it writes chains of TRANSPOSE and RESHAPE, 1.9 times (float) to 3
times (int8) slower on a CPU and unfit for an accelerator. :func:`_teach_depth_to_space` gives it the operator, through
interfaces it does not publish; ``tests/deployment`` hold the operators of every exported file to a list, so that
another release of litert_torch cannot undo this unseen.
"""

import copy
import functools
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx, nn

from pipeline_src.models.layers import depth_to_space


@torch.library.custom_op("super_resolution::depth_to_space_nhwc", mutates_args=())
def depth_to_space_nhwc(x: Tensor, block: int) -> Tensor:
    """:func:`~pipeline_src.models.layers.depth_to_space` on N×H×W×C."""
    return depth_to_space(x.permute(0, 3, 1, 2).contiguous(), block).permute(0, 2, 3, 1).contiguous()


@depth_to_space_nhwc.register_fake
def _(x: Tensor, block: int) -> Tensor:
    n, h, w, c = x.shape
    return x.new_empty(n, h * block, w * block, c // block**2)


class ChannelsLast(nn.Module):
    """A net on float NHWC instead of NCHW."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)


@functools.cache
def _teach_depth_to_space() -> None:
    """Let litert_torch keep depth-to-space in NHWC and lower it to TFLite's DEPTH_TO_SPACE (idempotent)."""
    from litert_converter.mlir import ir
    from litert_converter.mlir.dialects import stablehlo
    from litert_torch._convert.fx_passes.optimize_layout_transposes_pass import layout_check, layout_rewrite
    from litert_torch.backend.lowerings import registry, utils

    nchw = torch.ops.super_resolution.depth_to_space.default
    nhwc = torch.ops.super_resolution.depth_to_space_nhwc.default

    @layout_check.nhwcable_node_checkers.register(nchw)
    def _(node: fx.Node) -> Any:
        four_sided = layout_check.is_4d(node)
        return layout_check.NHWCable(can_be=four_sided, must_be=four_sided)

    @layout_rewrite.rewriters.register(nchw)
    def _(node: fx.Node) -> None:
        node.target = nhwc

    @registry.lower(nhwc)
    def _(context: Any, x: Any, block: int) -> Any:
        block_size = ir.IntegerAttr.get(ir.IntegerType.get_signless(32), block)
        return stablehlo.custom_call(
            result=utils.node_meta_to_ir_types(context.node),
            inputs=[x],
            call_target_name=ir.StringAttr.get("tfl.depth_to_space"),
            has_side_effect=ir.BoolAttr.get(False),
            backend_config=ir.StringAttr.get(str(ir.DictAttr.get({"block_size": block_size}))),
        )


def export_float(net: nn.Module, size: tuple[int, int]) -> bytes:
    """TFLite file of a float net (NCHW, 0..255) for LR images of one size (height, width): float NHWC in and out."""
    return _convert(net, size, quantizer=None)


def export_int8(converted: nn.Module, size: tuple[int, int]) -> bytes:
    """TFLite file of a converted net (``quantization.convert(…, fold=False)``): uint8 NHWC in and out, int8 inside."""
    from pipeline_src.compression.quantizer import SuperResolutionQuantizer

    return with_uint8_border(_convert(converted, size, SuperResolutionQuantizer()))


def _convert(net: nn.Module, size: tuple[int, int], quantizer: Any) -> bytes:
    import litert_torch
    from litert_torch.quantize.quant_config import QuantConfig

    _teach_depth_to_space()
    litert_torch.config.show_progress = False
    config = QuantConfig(pt2e_quantizer=quantizer) if quantizer else None
    # Never through dynamic_shapes: litert_torch 0.10 silently loses the CONCATENATION and the ADD of an anchor so.
    edge = litert_torch.convert(ChannelsLast(net).eval(), (torch.zeros(1, *size, 3),), quant_config=config)
    return bytes(edge.model_content())


def with_any_size(model: bytes) -> bytes:
    """Declare height and width of every activation as unknown (shape signature [1, -1, -1, C]).

    The operators of these nets hold no shape, so the same file serves every size after ``resize_tensor_input``.
    """
    net = parse(model)
    graph = net.subgraphs[0]
    for index in {*graph.inputs, *(output for op in graph.operators for output in op.outputs)}:
        tensor = graph.tensors[index]
        tensor.shapeSignature = np.array([1, -1, -1, tensor.shape[3]], np.int32)
    return pack(net)


def with_uint8_border(model: bytes) -> bytes:
    """Put QUANTIZE uint8 → int8 before an int8 net and int8 → uint8 behind it: the same scale, the zero point + 128."""
    from ai_edge_litert import schema_py_generated as schema

    net = parse(model)
    graph = net.subgraphs[0]
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.QUANTIZE
    code.version = 1
    net.operatorCodes.append(code)

    def as_uint8(index: int, name: str) -> int:
        tensor = copy.deepcopy(graph.tensors[index])
        tensor.name, tensor.buffer, tensor.type = name.encode(), 0, schema.TensorType.UINT8
        tensor.quantization.zeroPoint = [int(zero) + 128 for zero in tensor.quantization.zeroPoint]
        graph.tensors.append(tensor)
        return len(graph.tensors) - 1

    def quantize(source: int, target: int) -> Any:
        op = schema.OperatorT()
        op.opcodeIndex = len(net.operatorCodes) - 1
        op.inputs, op.outputs = np.array([source], np.int32), np.array([target], np.int32)
        op.builtinOptionsType, op.builtinOptions = schema.BuiltinOptions.QuantizeOptions, schema.QuantizeOptionsT()
        return op

    inner_input, inner_output = int(graph.inputs[0]), int(graph.outputs[0])
    lr, sr = as_uint8(inner_input, "lr"), as_uint8(inner_output, "sr")
    graph.operators = [quantize(lr, inner_input), *graph.operators, quantize(inner_output, sr)]
    graph.inputs, graph.outputs = np.array([lr], np.int32), np.array([sr], np.int32)
    for signature in net.signatureDefs or []:
        for border in [*signature.inputs, *signature.outputs]:
            border.tensorIndex = {inner_input: lr, inner_output: sr}.get(border.tensorIndex, border.tensorIndex)
    return pack(net)


def parse(model: bytes) -> Any:
    """The object tree of a TFLite flatbuffer."""
    from ai_edge_litert import schema_py_generated as schema

    return schema.ModelT.InitFromPackedBuf(model, 0)


def pack(net: Any) -> bytes:
    """The flatbuffer of an object tree."""
    import flatbuffers  # type: ignore[import-untyped]

    builder = flatbuffers.Builder(1 << 20)
    builder.Finish(net.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())
