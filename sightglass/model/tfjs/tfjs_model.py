"""Reads TensorFlow.js graph models: the JSON of the graph and the weight files beside it."""
import base64
import json
import os

import numpy as np

WEIGHT_TYPES = {'float32': np.float32, 'int32': np.int32, 'bool': np.bool_, 'uint8': np.uint8}


class ConversionError(Exception):
    """A fault of the model, or something that is not supported; its text is one line for a user."""


def read_weight(entry, data, at):
    """One weight at offset `at` of its group's bytes -> (array, offset behind it)."""
    name, shape, dtype = entry['name'], entry['shape'], entry['dtype']
    if dtype not in WEIGHT_TYPES:
        raise ConversionError(f"weight '{name}': type {dtype} is not supported")
    quantization = entry.get('quantization')
    stored = np.dtype(quantization['dtype'] if quantization else WEIGHT_TYPES[dtype]).newbyteorder('<')
    count = int(np.prod(shape, dtype=np.int64))
    end = at + count * stored.itemsize
    if end > len(data):
        raise ConversionError(
            f"weight '{name}' ends at byte {end}, but its weight files have only {len(data)} bytes")
    values = np.frombuffer(data, stored, count, at)
    if quantization and 'scale' in quantization:
        values = values.astype(np.float32) * np.float32(quantization['scale']) + np.float32(
            quantization['min'])
        if dtype == 'int32':
            values = np.round(values)
    return values.astype(WEIGHT_TYPES[dtype]).reshape(shape), end


def read_model(path):
    """-> (nodes by name, weights by name)"""
    try:
        with open(path, encoding='utf-8') as file:
            document = json.load(file)
    except OSError as error:
        raise ConversionError(f'{path}: {error.strerror}') from error
    except ValueError as error:
        raise ConversionError(f'{path}: not JSON: {error}') from error
    topology = document.get('modelTopology') if isinstance(document, dict) else None
    if not isinstance(topology, dict):
        raise ConversionError(f'{path}: not a TensorFlow.js model')
    if document.get('format') == 'layers-model' or 'model_config' in topology or 'node' not in topology:
        raise ConversionError(
            f'{path}: this is a layers model; only graph models are supported (convert it with '
            'tensorflowjs_converter --output_format=tfjs_graph_model)')
    weights = {}
    for group in document.get('weightsManifest', []):
        data = b''
        for shard in group['paths']:
            shard_path = os.path.join(os.path.dirname(path), shard)
            try:
                with open(shard_path, 'rb') as file:
                    data += file.read()
            except OSError as error:
                raise ConversionError(
                    f"{path}: its weight file '{shard}' cannot be read: {error.strerror}") from error
        at = 0
        for entry in group['weights']:
            weights[entry['name']], at = read_weight(entry, data, at)
        if at != len(data):
            raise ConversionError(f"{path}: weight files {', '.join(group['paths'])} have {len(data)} bytes, "
                                  f'but the weights need {at}')
    return {node['name']: node for node in topology['node']}, weights


def attribute(node, key, default=None):
    value = node.get('attr', {}).get(key)
    if not value:
        return default
    if 's' in value:
        return base64.b64decode(value['s']).decode()
    if 'i' in value:
        return int(value['i'])
    if 'list' in value:
        items = value['list']
        if 's' in items:
            return [base64.b64decode(item).decode() for item in items['s']]
        return [int(item) for item in items.get('i', [])]
    for kind in ('b', 'f', 'type', 'shape'):
        if kind in value:
            return value[kind]
    return default


def split_name(reference):
    """'^x' and 'x:0' are x; 'x:1' is the second output of x -> (node, name of the tensor)."""
    name = reference.removeprefix('^').removesuffix(':0')
    node, colon, index = name.rpartition(':')
    return (node, name) if colon and index.isdigit() else (name, name)
