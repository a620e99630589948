"""Small generated graphs through the converter, run by onnx's reference evaluator and compared with numpy."""
import base64
import json
import os
import subprocess
import sys
import tempfile
import unittest

import numpy as np
import onnx
from onnx.reference import ReferenceEvaluator

import tfjs_to_onnx
from tfjs_to_onnx import ConversionError


def text(value):
    return {'s': base64.b64encode(value.encode()).decode()}


def ints(*values):
    return {'list': {'i': [str(value) for value in values]}}


class GraphFile:
    """A graph model under construction, in a folder of its own."""

    def __init__(self, folder):
        self.folder, self.nodes, self.entries, self.data = folder, [], [], b''

    def node(self, name, op, inputs=(), **attributes):
        self.nodes.append({'name': name, 'op': op, 'input': list(inputs), 'attr': attributes})
        return name

    def input(self, name, *shape, dtype='DT_FLOAT'):
        dims = [{'size': str(size)} for size in shape]
        return self.node(name, 'Placeholder', dtype={'type': dtype}, shape={'shape': {'dim': dims}})

    def const(self, name, values, quantization=None):
        values = np.asarray(values)
        dtype = {'f': 'float32', 'i': 'int32', 'b': 'bool'}[values.dtype.kind]
        entry = {'name': name, 'shape': list(values.shape), 'dtype': dtype}
        stored = values.astype(dtype)
        if quantization:
            entry['quantization'] = quantization
            stored = values.astype(np.float16) if quantization['dtype'] == 'float16' else np.round(
                (values - quantization['min']) / quantization['scale']).astype(quantization['dtype'])
        self.entries.append(entry)
        self.data += stored.tobytes()
        return self.node(name, 'Const')

    def write(self):
        half = len(self.data) // 2 // 2 * 2  # shards may split anywhere
        for shard, data in (('a.bin', self.data[:half]), ('b.bin', self.data[half:])):
            with open(os.path.join(self.folder, shard), 'wb') as file:
                file.write(data)
        path = os.path.join(self.folder, 'model.json')
        with open(path, 'w', encoding='utf-8') as file:
            json.dump(
                {
                    'format': 'graph-model',
                    'modelTopology': {
                        'node': self.nodes
                    },
                    'weightsManifest': [{
                        'paths': ['a.bin', 'b.bin'],
                        'weights': self.entries
                    }]
                }, file)
        return path


class ConverterTest(unittest.TestCase):

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.graph = GraphFile(folder.name)
        self.random = np.random.default_rng(1)

    def run_graph(self, outputs=None, **inputs):
        model = tfjs_to_onnx.convert(self.graph.write(), outputs)
        onnx.checker.check_model(model, full_check=True)
        return ReferenceEvaluator(model).run(None, inputs)

    def picture(self, *shape):
        return self.random.random(shape, np.float32)

    def assert_near(self, got, wanted):
        self.assertEqual(got.shape, wanted.shape)
        np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-5)

    def convolve(self, x, kernel, stride):
        """SAME padding, straight from the definition."""
        height, width = x.shape[1:3]
        out_h, out_w = -(-height // stride), -(-width // stride)
        pad_h = max((out_h - 1) * stride + kernel.shape[0] - height, 0)
        pad_w = max((out_w - 1) * stride + kernel.shape[1] - width, 0)
        x = np.pad(x, ((0, 0), (pad_h // 2, pad_h - pad_h // 2), (pad_w // 2, pad_w - pad_w // 2), (0, 0)))
        result = np.zeros((x.shape[0], out_h, out_w, kernel.shape[3]), np.float32)
        for i in range(out_h):
            for j in range(out_w):
                window = x[:, i * stride:i * stride + kernel.shape[0],
                           j * stride:j * stride + kernel.shape[1]]
                result[:, i, j] = np.einsum('nhwc,hwco->no', window, kernel)
        return result

    def test_convolution_pads_as_tensorflow_and_fuses_bias_and_activation(self):
        # All sizes alike, since onnx's evaluator looks at the wrong axes to find the padding.
        kernel, bias = self.random.standard_normal((3, 3, 6, 4)).astype(np.float32), np.float32([1, -1, 0, 6])
        self.graph.input('x', 6, 6, 6, 6)
        self.graph.node('y',
                        '_FusedConv2D', ['x', self.graph.const('k', kernel),
                                         self.graph.const('b', bias)],
                        strides=ints(1, 2, 2, 1),
                        padding=text('SAME'),
                        fused_ops={'list': {
                            's': [text('BiasAdd')['s'], text('Relu6')['s']]
                        }})
        x = self.picture(6, 6, 6, 6)
        self.assert_near(self.run_graph(x=x)[0], np.clip(self.convolve(x, kernel, 2) + bias, 0, 6))

    def test_depthwise_convolution_keeps_channels_apart(self):
        kernel = self.random.standard_normal((3, 3, 2, 2)).astype(np.float32)
        self.graph.input('x', 1, 4, 4, 2)
        self.graph.node('y',
                        'DepthwiseConv2dNative', ['x', self.graph.const('k', kernel)],
                        strides=ints(1, 1, 1, 1),
                        padding=text('SAME'))
        x = self.picture(1, 4, 4, 2)
        wanted = np.concatenate(
            [self.convolve(x[..., c:c + 1], kernel[:, :, c:c + 1, :], 1) for c in range(2)], axis=3)
        self.assert_near(self.run_graph(x=x)[0], wanted)

    def test_first_axis_stays_free(self):
        self.graph.input('x', -1, 4, 4, 3)
        axes = self.graph.const('axes', np.int32([1, 2]))
        self.graph.node('mean', 'Mean', ['x', axes], keep_dims={'b': False})
        self.graph.node('y', 'Softmax', ['mean'])
        for batch in (1, 3):
            self.assertEqual(self.run_graph(x=self.picture(batch, 4, 4, 3))[0].shape, (batch, 3))

    def test_quantised_weights_are_restored(self):
        values = np.linspace(-1, 1, 8, dtype=np.float32)
        self.graph.input('x', 8)
        self.graph.const('half', values, {'dtype': 'float16'})
        self.graph.const('byte', values, {'dtype': 'uint8', 'scale': 2 / 255, 'min': -1.0})
        self.graph.node('a', 'AddV2', ['x', 'half'])
        self.graph.node('b', 'AddV2', ['x', 'byte'])
        half, byte = self.run_graph(['a', 'b'], x=np.zeros(8, np.float32))
        np.testing.assert_allclose(half, values, atol=1e-3)
        np.testing.assert_allclose(byte, values, atol=5e-3)

    def test_integer_division_rounds_down_and_remainder_follows_the_divisor(self):
        values = np.int32([-7, -1, 0, 7])
        self.graph.input('x', 4, dtype='DT_INT32')
        three = self.graph.const('three', np.int32(3))
        self.graph.node('div', 'FloorDiv', ['x', three], T={'type': 'DT_INT32'})
        self.graph.node('mod', 'FloorMod', ['x', three], T={'type': 'DT_INT32'})
        div, mod = self.run_graph(['div', 'mod'], x=values)
        np.testing.assert_array_equal(div, values // 3)
        np.testing.assert_array_equal(mod, values % 3)

    def test_strided_slice_honours_its_masks(self):
        self.graph.input('x', 4, 5, 6)
        begin, end, step = (self.graph.const(name, np.int32(values))
                            for name, values in (('begin', [1, 0, -1]), ('end', [0, 3, 0]), ('step',
                                                                                             [1, 2, 1])))
        self.graph.node('y',
                        'StridedSlice', ['x', begin, end, step],
                        begin_mask={'i': '2'},
                        end_mask={'i': '1'},
                        shrink_axis_mask={'i': '4'})
        x = self.picture(4, 5, 6)
        self.assert_near(self.run_graph(x=x)[0], x[1:, :3:2, -1])

    def test_bilinear_resize_with_half_pixel_centres_doubles_a_ramp(self):
        self.graph.input('x', 1, 1, 4, 1)
        size = self.graph.const('size', np.int32([1, 8]))
        self.graph.node('y', 'ResizeBilinear', ['x', size], half_pixel_centers={'b': True})
        got = self.run_graph(x=np.float32([0, 1, 2, 3]).reshape(1, 1, 4, 1))[0].reshape(-1)
        np.testing.assert_allclose(got, [0, .25, .75, 1.25, 1.75, 2.25, 2.75, 3], atol=1e-6)

    def test_padding_and_pooling(self):
        self.graph.input('x', 1, 3, 3, 1)
        pads = self.graph.const('pads', np.int32([[0, 0], [1, 0], [0, 1], [0, 0]]))
        self.graph.node('padded', 'Pad', ['x', pads])
        self.graph.node('y',
                        'MaxPool', ['padded'],
                        ksize=ints(1, 2, 2, 1),
                        strides=ints(1, 2, 2, 1),
                        padding=text('VALID'))
        x = self.picture(1, 3, 3, 1) + 1
        padded = np.pad(x[0, :, :, 0], ((1, 0), (0, 1)))
        self.assert_near(self.run_graph(x=x)[0][0, :, :, 0], padded.reshape(2, 2, 2, 2).max(axis=(1, 3)))

    def test_ops_of_several_outputs(self):
        self.graph.input('x', 1, 5)
        k = self.graph.const('k', np.int32(2))
        self.graph.node('top', 'TopKV2', ['x', k])
        self.graph.node('values', 'Identity', ['top:0'])
        self.graph.node('places', 'Identity', ['top:1'])
        values, places = self.run_graph(['values', 'places'], x=np.float32([[1, 9, 3, 7, 5]]))
        np.testing.assert_array_equal(values, [[9, 7]])
        np.testing.assert_array_equal(places, [[1, 3]])

    def test_outputs_are_those_that_nobody_consumes_unless_named(self):
        self.graph.input('x', 2)
        self.graph.node('inner', 'Relu', ['x'])
        self.graph.node('last', 'Neg', ['inner'])
        path = self.graph.write()
        self.assertEqual([o.name for o in tfjs_to_onnx.convert(path).graph.output], ['last'])
        self.assertEqual([o.name for o in tfjs_to_onnx.convert(path, ['inner:0']).graph.output], ['inner'])

    def test_a_deep_graph_needs_no_deep_stack(self):
        name = self.graph.input('x', 1)
        for i in range(3000):
            name = self.graph.node(f'n{i}', 'Relu', [name])
        self.assertEqual(len(tfjs_to_onnx.convert(self.graph.write()).graph.node), 3000)

    # ---- what goes wrong

    def assert_refused(self, pattern, outputs=None):
        with self.assertRaisesRegex(ConversionError, pattern):
            tfjs_to_onnx.convert(self.graph.write(), outputs)

    def test_an_unsupported_op_is_named_with_its_node(self):
        self.graph.input('x', 1)
        self.graph.node('odd/one', 'NonMaxSuppressionV5', ['x'])
        self.assert_refused(r'op NonMaxSuppressionV5 \(node odd/one\) is not supported')

    def test_a_computed_axis_is_refused(self):
        self.graph.input('x', 2, 2)
        self.graph.input('axis', 1, dtype='DT_INT32')
        self.graph.node('y', 'Mean', ['x', 'axis'])
        self.assert_refused(r'op Mean \(node y\): the list of axes is computed')

    def test_an_unknown_output_is_an_error(self):
        self.graph.input('x', 1)
        self.graph.node('block/Relu', 'Relu', ['x'])
        self.assert_refused("no node 'relu'; similar: block/Relu", ['relu'])

    def test_layers_models_are_refused(self):
        path = os.path.join(self.graph.folder, 'model.json')
        with open(path, 'w', encoding='utf-8') as file:
            json.dump({
                'format': 'layers-model',
                'modelTopology': {
                    'model_config': {}
                },
                'weightsManifest': []
            }, file)
        with self.assertRaisesRegex(ConversionError, 'layers model'):
            tfjs_to_onnx.convert(path)

    def test_missing_and_short_shards_are_errors(self):
        self.graph.input('x', 4)
        self.graph.node('y', 'Add', ['x', self.graph.const('w', np.ones(4, np.float32))])
        path = self.graph.write()
        shard = os.path.join(self.graph.folder, 'b.bin')
        os.truncate(shard, 2)
        with self.assertRaisesRegex(ConversionError,
                                    "weight 'w' ends at byte 16, but its weight files have only 10 bytes"):
            tfjs_to_onnx.convert(path)
        os.unlink(shard)
        with self.assertRaisesRegex(ConversionError, "weight file 'b.bin' cannot be read: No such file"):
            tfjs_to_onnx.convert(path)

    def test_the_program_says_one_line_and_leaves_no_file(self):
        out = os.path.join(self.graph.folder, 'out.onnx')
        for content in ('{', '[]', '{"modelTopology": {"node": [{"op": "Relu"}]}}'):
            path = os.path.join(self.graph.folder, 'model.json')
            with open(path, 'w', encoding='utf-8') as file:
                file.write(content)
            result = subprocess.run([sys.executable, tfjs_to_onnx.__file__, path, out],
                                    capture_output=True,
                                    text=True,
                                    check=False)
            self.assertEqual(result.returncode, 1, content)
            self.assertRegex(result.stderr, r'\Aerror: .*\n\Z', content)
            self.assertEqual([name for name in os.listdir(self.graph.folder) if name.endswith('.onnx')], [])

    def test_the_program_writes_a_model(self):
        self.graph.input('x', 2)
        self.graph.node('y', 'Relu', ['x'])
        out = os.path.join(self.graph.folder, 'out.onnx')
        self.assertEqual(tfjs_to_onnx.main([self.graph.write(), out, '--outputs', 'y']), 0)
        self.assertEqual(onnx.load(out).graph.output[0].name, 'y')


if __name__ == '__main__':
    unittest.main()
