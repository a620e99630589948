"""TensorFlow's ops as nodes of ONNX: a Graph under construction, and a function per op that adds to it."""
import numpy as np
from onnx import TensorProto, helper, numpy_helper

from tfjs_model import ConversionError, attribute, split_name

TF_TYPES = {
    'DT_FLOAT': TensorProto.FLOAT,
    'DT_INT32': TensorProto.INT32,
    'DT_INT64': TensorProto.INT64,
    'DT_BOOL': TensorProto.BOOL,
    'DT_UINT8': TensorProto.UINT8,
    1: TensorProto.FLOAT,
    3: TensorProto.INT32,
    4: TensorProto.UINT8,
    9: TensorProto.INT64,
    10: TensorProto.BOOL
}
END = np.iinfo(np.int32).max


class Graph:

    def __init__(self, nodes, weights):
        self.tf_nodes, self.weights = nodes, weights
        self.nodes, self.initializers, self.inputs = [], [], []
        self._added, self._count = set(), 0

    def temporary(self):
        self._count += 1
        return f'sg_{self._count}'

    def emit(self, op, inputs, output=None, **attributes):
        outputs = output if isinstance(output, list) else [output or self.temporary()]
        self.nodes.append(helper.make_node(op, inputs, outputs, name=outputs[0], **attributes))
        return outputs[0]

    def constant(self, values, dtype=np.int64):
        name = self.temporary()
        self.initializers.append(
            numpy_helper.from_array(np.ascontiguousarray(np.asarray(values, dtype)), name))
        return name

    def weight(self, reference):
        """The array behind an input, looking through Identity; None if it is computed."""
        node = self.tf_nodes.get(split_name(reference)[0])
        while node and node['op'] == 'Identity':
            node = self.tf_nodes.get(split_name(node['input'][0])[0])
        return self.weights.get(node['name']) if node and node['op'] == 'Const' else None

    def fixed(self, node, index, what):
        """The value of an input that has to be known now."""
        values = self.weight(node['input'][index])
        if values is None:
            raise ConversionError(
                f"op {node['op']} (node {node['name']}): {what} is computed, which is not supported")
        return values

    def ref(self, reference):
        """Name of the tensor; a constant becomes an initializer at its first use."""
        node, name = split_name(reference)
        if self.tf_nodes.get(node, {}).get('op') == 'Const' and name not in self._added:
            if name not in self.weights:
                raise ConversionError(f"constant '{name}' has no weight")
            self._added.add(name)
            self.initializers.append(numpy_helper.from_array(np.ascontiguousarray(self.weights[name]), name))
        return name

    def ref_int64(self, reference):
        """The same as a list of int64, which ONNX wants for shapes and sizes."""
        values = self.weight(reference)
        if values is not None:
            return self.constant(values.reshape(-1))
        return self.emit('Cast', [self.ref(reference)], to=TensorProto.INT64)

    def nchw(self, reference):
        return self.emit('Transpose', [self.ref(reference)], perm=[0, 3, 1, 2])

    def nhwc(self, name, output=None):
        return self.emit('Transpose', [name], output, perm=[0, 2, 3, 1])


# ---- ops

CONVERTERS = {}


def converts(*ops):

    def register(function):
        CONVERTERS.update(dict.fromkeys(ops, function))
        return function

    return register


def refuse(node, what):
    raise ConversionError(f"op {node['op']} (node {node['name']}): {what} is not supported")


def spatial(node, key, default):
    """Height and width of an attribute like [1, 2, 2, 1]."""
    values = attribute(node, key) or default
    if attribute(node, 'data_format', 'NHWC') != 'NHWC':
        refuse(node, f"data format {attribute(node, 'data_format')}")
    if values[0] != 1 or values[3] != 1:
        refuse(node, f'{key} {values}')
    return values[1:3]


def padding(node):
    kind = attribute(node, 'padding')
    if kind == 'SAME':
        return {'auto_pad': 'SAME_UPPER'}
    if kind == 'VALID':
        return {}
    if kind == 'EXPLICIT':
        pads = attribute(node, 'explicit_paddings')
        return {'pads': [pads[2], pads[4], pads[3], pads[5]]}
    return refuse(node, f'padding {kind}')


def activate(graph, node, kind, name, output, slope=None):
    if kind in ('Relu', 'Sigmoid', 'Elu', 'Tanh'):
        graph.emit(kind, [name], output)
    elif kind == 'Relu6':
        graph.emit('Clip', [name, graph.constant(0, np.float32), graph.constant(6, np.float32)], output)
    elif kind == 'LeakyRelu':
        alpha = attribute(node, 'leakyrelu_alpha', attribute(node, 'alpha', 0.2))
        graph.emit('LeakyRelu', [name], output, alpha=float(alpha))
    elif kind == 'Prelu':
        graph.emit('PRelu', [name, slope], output)
    else:
        refuse(node, f'activation {kind}')


def fused(node):
    """-> (whether a bias is added, name of the activation or None)"""
    ops = attribute(node, 'fused_ops', [])
    others = [op for op in ops if op != 'BiasAdd']
    if len(others) > 1 or any(op != 'BiasAdd' for op in ops[:-1]):
        refuse(node, f'fusion of {ops}')
    return 'BiasAdd' in ops, others[0] if others else None


@converts('Conv2D', '_FusedConv2D', 'DepthwiseConv2dNative', 'FusedDepthwiseConv2dNative')
def convolution(graph, node):
    kernel = graph.fixed(node, 1, 'the kernel')
    height, width, channels, filters = kernel.shape
    depthwise = 'Depthwise' in node['op']
    if depthwise:
        kernel = kernel.transpose(2, 3, 0, 1).reshape(channels * filters, 1, height, width)
    else:
        kernel = kernel.transpose(3, 2, 0, 1)
    bias, kind = fused(node)
    inputs = [graph.nchw(node['input'][0]), graph.constant(kernel, np.float32)]
    if bias:
        inputs.append(graph.constant(graph.fixed(node, 2, 'the bias').reshape(-1), np.float32))
    result = graph.emit('Conv',
                        inputs,
                        kernel_shape=[height, width],
                        strides=spatial(node, 'strides', [1, 1, 1, 1]),
                        dilations=spatial(node, 'dilations', [1, 1, 1, 1]),
                        group=channels if depthwise else 1,
                        **padding(node))
    if not kind:
        graph.nhwc(result, node['name'])
        return
    slope = graph.ref(node['input'][3 if bias else 2]) if kind == 'Prelu' else None
    activate(graph, node, kind, graph.nhwc(result), node['name'], slope)


@converts('MatMul', '_FusedMatMul')
def matrix_product(graph, node):
    bias, kind = fused(node)
    inputs = [graph.ref(name) for name in node['input'][:3 if bias else 2]]
    result = graph.emit('Gemm',
                        inputs,
                        None if kind else node['name'],
                        transA=int(bool(attribute(node, 'transpose_a'))),
                        transB=int(bool(attribute(node, 'transpose_b'))))
    if kind:
        activate(graph, node, kind, result, node['name'],
                 graph.ref(node['input'][-1]) if kind == 'Prelu' else None)


@converts('BatchMatMul', 'BatchMatMulV2')
def batch_matrix_product(graph, node):
    if attribute(node, 'adj_x') or attribute(node, 'adj_y'):
        refuse(node, 'an adjoint operand')
    graph.emit('MatMul', [graph.ref(name) for name in node['input'][:2]], node['name'])


@converts('MaxPool', 'AvgPool')
def pool(graph, node):
    result = graph.emit('MaxPool' if node['op'] == 'MaxPool' else 'AveragePool',
                        [graph.nchw(node['input'][0])],
                        kernel_shape=spatial(node, 'ksize', None),
                        strides=spatial(node, 'strides', None),
                        **padding(node))
    graph.nhwc(result, node['name'])


@converts('FusedBatchNorm', 'FusedBatchNormV2', 'FusedBatchNormV3')
def batch_norm(graph, node):
    spatial(node, 'strides', [1, 1, 1, 1])  # refuses other data formats
    inputs = [graph.nchw(node['input'][0])] + [graph.ref(name) for name in node['input'][1:5]]
    result = graph.emit('BatchNormalization', inputs, epsilon=float(attribute(node, 'epsilon', 0.001)))
    graph.nhwc(result, node['name'])


@converts('Pad', 'PadV2', 'MirrorPad')
def pad(graph, node):
    pads = graph.fixed(node, 1, 'the padding').T.reshape(-1)  # [[before, after]…] -> [before…, after…]
    inputs, mode = [graph.ref(node['input'][0]), graph.constant(pads)], 'constant'
    if node['op'] == 'MirrorPad':
        mode = {
            'REFLECT': 'reflect'
        }.get(attribute(node, 'mode')) or refuse(node, f"mode {attribute(node, 'mode')}")
    elif node['op'] == 'PadV2':
        inputs.append(graph.ref(node['input'][2]))
    graph.emit('Pad', inputs, node['name'], mode=mode)


@converts('ResizeBilinear', 'ResizeNearestNeighbor')
def resize(graph, node):
    picture = graph.nchw(node['input'][0])
    channels = graph.emit('Slice', [graph.emit('Shape', [picture]), graph.constant([0]), graph.constant([2])])
    size = graph.emit('Concat', [channels, graph.ref_int64(node['input'][1])], axis=0)
    half_pixel, corners = attribute(node, 'half_pixel_centers',
                                    False), attribute(node, 'align_corners', False)
    mode = 'align_corners' if corners else 'half_pixel' if half_pixel else 'asymmetric'
    if node['op'] == 'ResizeBilinear':
        result = graph.emit('Resize', [picture, '', '', size],
                            mode='linear',
                            coordinate_transformation_mode=mode)
    else:
        # floor((x + 0.5) scale) is what ONNX calls rounding of (x + 0.5) scale - 0.5
        rounding = 'round_prefer_ceil' if corners or half_pixel else 'floor'
        result = graph.emit('Resize', [picture, '', '', size],
                            mode='nearest',
                            nearest_mode=rounding,
                            coordinate_transformation_mode=mode)
    graph.nhwc(result, node['name'])


@converts('StridedSlice')
def strided_slice(graph, node):
    begin, end, stride = (graph.fixed(node, i, what)
                          for i, what in ((1, 'the start'), (2, 'the end'), (3, 'the step')))
    masks = {
        key: attribute(node, f'{key}_mask', 0)
        for key in ('begin', 'end', 'shrink_axis', 'ellipsis', 'new_axis')
    }
    if masks['new_axis']:
        refuse(node, 'a new axis')
    starts, ends, axes, squeezed, behind_ellipsis = [], [], [], [], False
    steps = []
    for i in range(len(begin)):
        if masks['ellipsis'] >> i & 1:
            behind_ellipsis = True  # further axes count from the end
            continue
        axis, shrink = i - len(begin) if behind_ellipsis else i, masks['shrink_axis'] >> i & 1
        if stride[i] < 0 and not shrink:
            refuse(node, 'a negative step')
        axes.append(axis)
        steps.append(1 if shrink else stride[i])
        starts.append(0 if masks['begin'] >> i & 1 and not shrink else begin[i])
        if shrink:
            ends.append(END if begin[i] == -1 else begin[i] + 1)
            squeezed.append(axis)
        else:
            ends.append(END if masks['end'] >> i & 1 else end[i])
    result = graph.emit('Slice', [graph.ref(node['input'][0])] +
                        [graph.constant(v) for v in (starts, ends, axes, steps)],
                        None if squeezed else node['name'])
    if squeezed:
        graph.emit('Squeeze', [result, graph.constant(squeezed)], node['name'])


@converts('Slice')
def slice_op(graph, node):
    begin, size = graph.fixed(node, 1, 'the start'), graph.fixed(node, 2, 'the size')
    ends = np.where(size < 0, END, begin + size)
    graph.emit(
        'Slice',
        [graph.ref(node['input'][0]),
         graph.constant(begin), graph.constant(ends)], node['name'])


@converts('Mean', 'Sum', 'Max', 'Min', 'Prod')
def reduce(graph, node):
    axes = [int(axis) for axis in graph.fixed(node, 1, 'the list of axes').reshape(-1)]
    keep = int(bool(attribute(node, 'keep_dims')))
    if node['op'] == 'Sum':
        graph.emit('ReduceSum',
                   [graph.ref(node['input'][0]), graph.constant(axes)],
                   node['name'],
                   keepdims=keep)
    else:
        graph.emit('Reduce' + node['op'], [graph.ref(node['input'][0])],
                   node['name'],
                   axes=axes,
                   keepdims=keep)


@converts('Reshape')
def reshape(graph, node):
    graph.emit('Reshape', [graph.ref(node['input'][0]), graph.ref_int64(node['input'][1])], node['name'])


@converts('Transpose')
def transpose(graph, node):
    order = [int(axis) for axis in graph.fixed(node, 1, 'the order of axes')]
    graph.emit('Transpose', [graph.ref(node['input'][0])], node['name'], perm=order)


@converts('Shape')
def shape(graph, node):
    graph.emit('Cast', [graph.emit('Shape', [graph.ref(node['input'][0])])],
               node['name'],
               to=TensorProto.INT32)


@converts('Softmax')
def softmax(graph, node):
    graph.emit('Softmax', [graph.ref(node['input'][0])], node['name'], axis=-1)


@converts('ConcatV2')
def concat(graph, node):
    axis = int(graph.fixed(node, len(node['input']) - 1, 'the axis'))
    graph.emit('Concat', [graph.ref(name) for name in node['input'][:-1]], node['name'], axis=axis)


@converts('Pack')
def pack(graph, node):
    axis = attribute(node, 'axis', 0)
    parts = [graph.emit('Unsqueeze', [graph.ref(name), graph.constant([axis])]) for name in node['input']]
    graph.emit('Concat', parts, node['name'], axis=axis)


def output_names(node, count):
    return [node['name'] if i == 0 else f"{node['name']}:{i}" for i in range(count)]


@converts('Unpack')
def unpack(graph, node):
    axis, count = attribute(node, 'axis', 0), attribute(node, 'num')
    parts = [graph.temporary() for _ in range(count)]
    graph.emit('Split', [graph.ref(node['input'][0])], parts, axis=axis)
    for part, name in zip(parts, output_names(node, count)):
        graph.emit('Squeeze', [part, graph.constant([axis])], name)


@converts('Split')
def split(graph, node):
    axis = int(graph.fixed(node, 0, 'the axis'))
    graph.emit('Split', [graph.ref(node['input'][1])],
               output_names(node, attribute(node, 'num_split')),
               axis=axis)


@converts('SplitV')
def split_sizes(graph, node):
    sizes, axis = graph.fixed(node, 1, 'the list of sizes'), int(graph.fixed(node, 2, 'the axis'))
    graph.emit('Split', [graph.ref(node['input'][0]), graph.constant(sizes)],
               output_names(node, len(sizes)),
               axis=axis)


@converts('ExpandDims')
def expand_dims(graph, node):
    axis = int(graph.fixed(node, 1, 'the axis'))
    graph.emit('Unsqueeze', [graph.ref(node['input'][0]), graph.constant([axis])], node['name'])


@converts('Squeeze')
def squeeze(graph, node):
    axes = attribute(node, 'squeeze_dims') or attribute(node, 'axis')
    graph.emit('Squeeze', [graph.ref(node['input'][0])] + ([graph.constant(axes)] if axes else []),
               node['name'])


@converts('Cast')
def cast(graph, node):
    kind = attribute(node, 'DstT')
    if kind not in TF_TYPES:
        refuse(node, f'type {kind}')
    graph.emit('Cast', [graph.ref(node['input'][0])], node['name'], to=TF_TYPES[kind])


@converts('ArgMax')
def arg_max(graph, node):
    index = graph.emit('ArgMax', [graph.ref(node['input'][0])],
                       axis=int(graph.fixed(node, 1, 'the axis')),
                       keepdims=0)
    graph.emit('Cast', [index], node['name'], to=TensorProto.INT32)  # TensorFlow.js has no int64


@converts('TopKV2')
def top_k(graph, node):
    index = graph.temporary()
    graph.emit('TopK',
               [graph.ref(node['input'][0]), graph.ref_int64(node['input'][1])], [node['name'], index],
               axis=-1)
    graph.emit('Cast', [index], node['name'] + ':1', to=TensorProto.INT32)


@converts('GatherV2')
def gather(graph, node):
    if attribute(node, 'batch_dims', 0):
        refuse(node, 'a batch of indices')
    axis = int(graph.fixed(node, 2, 'the axis'))
    graph.emit('Gather', [graph.ref(node['input'][0]), graph.ref(node['input'][1])], node['name'], axis=axis)


@converts('GatherNd')
def gather_nd(graph, node):
    index = graph.emit('Cast', [graph.ref(node['input'][1])], to=TensorProto.INT64)
    graph.emit('GatherND', [graph.ref(node['input'][0]), index], node['name'])


def is_integer(node):
    return attribute(node, 'T') not in ('DT_FLOAT', 1, None)


@converts('FloorDiv')
def floor_div(graph, node):
    a, b = (graph.ref(name) for name in node['input'][:2])
    if is_integer(node):  # ONNX divides towards zero; its remainder has the sign of the divisor, as here
        graph.emit('Div', [graph.emit('Sub', [a, graph.emit('Mod', [a, b])]), b], node['name'])
    else:
        graph.emit('Floor', [graph.emit('Div', [a, b])], node['name'])


@converts('FloorMod')
def floor_mod(graph, node):
    a, b = (graph.ref(name) for name in node['input'][:2])
    if is_integer(node):
        graph.emit('Mod', [a, b], node['name'])
    else:
        whole = graph.emit('Floor', [graph.emit('Div', [a, b])])
        graph.emit('Sub', [a, graph.emit('Mul', [whole, b])], node['name'])


@converts('SquaredDifference')
def squared_difference(graph, node):
    difference = graph.emit('Sub', [graph.ref(name) for name in node['input'][:2]])
    graph.emit('Mul', [difference, difference], node['name'])


@converts('Square')
def square(graph, node):
    value = graph.ref(node['input'][0])
    graph.emit('Mul', [value, value], node['name'])


@converts('Rsqrt')
def reciprocal_root(graph, node):
    graph.emit('Reciprocal', [graph.emit('Sqrt', [graph.ref(node['input'][0])])], node['name'])


@converts('Relu6', 'LeakyRelu')
def activation(graph, node):
    activate(graph, node, node['op'], graph.ref(node['input'][0]), node['name'])


@converts('NotEqual')
def not_equal(graph, node):
    graph.emit('Not', [graph.emit('Equal', [graph.ref(name) for name in node['input'][:2]])], node['name'])


@converts('BiasAdd')
def bias_add(graph, node):
    spatial(node, 'strides', [1, 1, 1, 1])
    graph.emit('Add', [graph.ref(name) for name in node['input'][:2]], node['name'])


# One ONNX node with the same inputs.
SAME = {
    'Add': 'Add',
    'AddV2': 'Add',
    'AddN': 'Sum',
    'Sub': 'Sub',
    'Mul': 'Mul',
    'RealDiv': 'Div',
    'Div': 'Div',
    'Maximum': 'Max',
    'Minimum': 'Min',
    'Equal': 'Equal',
    'Greater': 'Greater',
    'GreaterEqual': 'GreaterOrEqual',
    'Less': 'Less',
    'LessEqual': 'LessOrEqual',
    'LogicalAnd': 'And',
    'LogicalOr': 'Or',
    'LogicalNot': 'Not',
    'Pow': 'Pow',
    'Prelu': 'PRelu',
    'Identity': 'Identity',
    'Relu': 'Relu',
    'Sigmoid': 'Sigmoid',
    'Tanh': 'Tanh',
    'Exp': 'Exp',
    'Log': 'Log',
    'Sqrt': 'Sqrt',
    'Neg': 'Neg',
    'Abs': 'Abs',
    'Floor': 'Floor',
    'Ceil': 'Ceil',
    'Round': 'Round',
    'Elu': 'Elu',
    'Softplus': 'Softplus',
    'Reciprocal': 'Reciprocal',
    'SelectV2': 'Where'
}
