#!/usr/bin/env python3
"""Converts a TensorFlow.js graph model (JSON + weight files) to ONNX, opset 13.

usage: tfjs_to_onnx.py MODEL.json OUT.onnx [--outputs NAME ...]

Tensors keep TensorFlow's names and NHWC layout; a convolution, pooling or resize stands between two
Transpose nodes, most of which the runtime's optimiser removes. A free first axis stays free. Weights become
float32, int32 or bool.
Not supported: layers models, control flow, ops whose result shape depends on the data, axes and paddings that
are computed.
"""
import argparse
import os
import sys
import tempfile

import onnx
from onnx import helper

from tfjs_model import ConversionError, attribute, read_model, split_name
from tfjs_ops import CONVERTERS, SAME, TF_TYPES, Graph, refuse

OPSET = 13
IR_VERSION = 8


def placeholder(node):
    kind = attribute(node, 'dtype')
    if kind not in TF_TYPES:
        refuse(node, f'type {kind}')
    shape_attribute = attribute(node, 'shape', {})
    if shape_attribute.get('unknownRank') or 'dim' not in shape_attribute:
        refuse(node, 'an input of unknown rank')
    sizes = [int(dim.get('size', -1)) for dim in shape_attribute['dim']]
    symbols = [
        size if size > 0 else 'N' if axis == 0 else f"{node['name']}_{axis}"
        for axis, size in enumerate(sizes)
    ]
    return helper.make_tensor_value_info(node['name'], TF_TYPES[kind], symbols)


def in_order(nodes, outputs):
    """The nodes that the outputs need, each behind those that it needs. No recursion: graphs are deep."""
    order, done = [], set()
    stack = [(name, False) for name in reversed(outputs)]
    while stack:
        name, ready = stack.pop()
        if name in done or name not in nodes:
            continue
        if ready:
            done.add(name)
            order.append(nodes[name])
            continue
        stack.append((name, True))
        stack.extend((split_name(i)[0], False) for i in reversed(nodes[name].get('input', [])))
    return order


def convert(path, outputs=None):
    nodes, weights = read_model(path)
    if not outputs:
        used = {split_name(i)[0] for node in nodes.values() for i in node.get('input', [])}
        outputs = [
            name for name, node in nodes.items() if name not in used and node['op'] not in ('Const', 'NoOp')
        ]
    wanted = [split_name(name) for name in outputs]
    for node, name in wanted:
        if node not in nodes:
            near = [other for other in nodes if node.lower() in other.lower()][:5]
            raise ConversionError(f"{path}: no node '{node}'" +
                                  (f"; similar: {', '.join(near)}" if near else ''))
    order = in_order(nodes, [node for node, _ in wanted])
    unknown = [
        node for node in order
        if node['op'] not in CONVERTERS and node['op'] not in SAME and node['op'] not in ('Const',
                                                                                          'Placeholder',
                                                                                          'NoOp')
    ]
    if unknown:
        more = sorted({node['op'] for node in unknown} - {unknown[0]['op']})
        raise ConversionError(f"{path}: op {unknown[0]['op']} (node {unknown[0]['name']}) is not supported" +
                              (f", nor are {', '.join(more)}" if more else ''))
    graph = Graph(nodes, weights)
    for node in order:
        if node['op'] == 'Placeholder':
            graph.inputs.append(placeholder(node))
        elif node['op'] in CONVERTERS:
            CONVERTERS[node['op']](graph, node)
        elif node['op'] in SAME:
            data = [name for name in node['input'] if not name.startswith('^')]
            graph.emit(SAME[node['op']], [graph.ref(name) for name in data], node['name'])
    return finish(path, graph, [name for _, name in wanted])


def finish(path, graph, outputs):
    """The model, checked, with the types and shapes of its outputs inferred."""

    def model(values):
        return helper.make_model(helper.make_graph(graph.nodes, 'converted', graph.inputs, values,
                                                   graph.initializers),
                                 opset_imports=[helper.make_opsetid('', OPSET)],
                                 ir_version=IR_VERSION,
                                 producer_name='sightglass tfjs_to_onnx')

    try:
        inferred = onnx.shape_inference.infer_shapes(model(
            [onnx.ValueInfoProto(name=name) for name in outputs]),
                                                     strict_mode=True)
        types = {value.name: value for value in list(inferred.graph.value_info) + list(inferred.graph.output)}
        result = model([types[name] for name in outputs])
        onnx.checker.check_model(result)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ConversionError(
            f"{path}: the converted graph is not valid: {' '.join(str(error).split())}") from error
    return result


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('graph', metavar='MODEL.json', help='graph-model JSON, its weight files beside it')
    parser.add_argument('onnx', metavar='OUT.onnx', help='file to write')
    parser.add_argument('--outputs',
                        nargs='+',
                        metavar='NAME',
                        help='nodes to expose (default: all that no other consumes)')
    options = parser.parse_args(arguments)
    try:
        model = convert(options.graph, options.outputs)
        folder = os.path.dirname(os.path.abspath(options.onnx))
        with tempfile.NamedTemporaryFile(dir=folder, suffix='.onnx', delete=False) as file:
            temporary = file.name
        try:
            onnx.save(model, temporary)
            os.chmod(temporary, 0o644)
            os.replace(temporary, options.onnx)
        except BaseException:
            os.unlink(temporary)
            raise
    except ConversionError as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    except OSError as error:
        print(f'error: {options.onnx} cannot be written: {error.strerror}', file=sys.stderr)
        return 1
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        print(f'error: {options.graph}: damaged model: {type(error).__name__}: {error}', file=sys.stderr)
        return 1
    return 0


if __name__ == '__main__':
    sys.exit(main())
