#!/usr/bin/env python3
"""A collector of OpenTelemetry: takes OTLP over HTTP in protobuf, and keeps what it was given.

    otlp_receiver.py [--port 0]

It reads with the classes that the OpenTelemetry project publishes (python3-opentelemetry-proto), so it cannot merely
agree with our own writer. Paths: /v1/traces, /v1/metrics.

Control commands (serving.py):

    spans     {}    all spans: trace, span, parent, name, kind, begin, end (ns), attributes, links, error, tracestate, service
    metrics   {}    the points of the latest push: name, labels, value or count, sum, buckets, bounds
    requests  {}    how many came by path, and their headers' last values
    clear     {}    forgets all of that
    faults    …     of requests: 400, 429, 503 (with Retry-After: `seconds`), partial (the first span is refused), slow
"""
import asyncio
import collections
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import serving  # noqa: E402

from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2  # noqa: E402
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2  # noqa: E402


def attributes(pairs):
    return {pair.key: pair.value.string_value for pair in pairs}


def spans_of(body):
    request = trace_service_pb2.ExportTraceServiceRequest.FromString(body)
    for resource in request.resource_spans:
        service = attributes(resource.resource.attributes)
        for scope in resource.scope_spans:
            for span in scope.spans:
                if len(span.trace_id) != 16 or len(span.span_id) != 8 or len(span.parent_span_id) not in (0, 8):
                    raise ValueError("ids of the wrong size")
                yield {"trace": span.trace_id.hex(), "span": span.span_id.hex(), "parent": span.parent_span_id.hex(),
                       "name": span.name, "kind": span.kind, "begin": span.start_time_unix_nano,
                       "end": span.end_time_unix_nano, "attributes": attributes(span.attributes),
                       "links": [[link.trace_id.hex(), link.span_id.hex()] for link in span.links],
                       "error": span.status.message if span.status.code == 2 else "",
                       "tracestate": span.trace_state, "service": service}


def points_of(body):
    request = metrics_service_pb2.ExportMetricsServiceRequest.FromString(body)
    for resource in request.resource_metrics:
        service = attributes(resource.resource.attributes)
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                kind = metric.WhichOneof("data")
                for point in getattr(metric, kind).data_points:
                    one = {"name": metric.name, "kind": kind, "labels": attributes(point.attributes), "service": service}
                    if kind == "histogram":
                        if len(point.bucket_counts) != len(point.explicit_bounds) + 1:
                            raise ValueError("a histogram needs one bucket more than bounds")
                        one.update(count=point.count, sum=point.sum, buckets=list(point.bucket_counts),
                                   bounds=list(point.explicit_bounds))
                    else:
                        one["value"] = point.as_double
                    yield one


class OtlpReceiver(serving.Server):
    def __init__(self, options):
        super().__init__(options)
        self.faults = serving.Faults((), ("400", "429", "503", "partial", "slow"))
        self.control_clear({})

    def control_clear(self, _):
        self.spans, self.metrics, self.requests = [], [], collections.Counter()
        self.headers = {}
        return {}

    def control_spans(self, _):
        return self.spans

    def control_metrics(self, _):
        return self.metrics

    def control_requests(self, _):
        return {"paths": self.requests, "headers": self.headers}

    async def connection(self, reader, writer):
        while (request := await serving.read_request(reader, writer)) is not None:
            self.requests[request.path] += 1
            self.headers = request.headers
            status, body, headers = await self.answer(request)
            headers = [("content-type", "application/x-protobuf"), *headers]
            writer.write(serving.response(status, body, headers))
            await writer.drain()
            if request.headers["connection"] == "close":
                break

    async def answer(self, request):
        fault = self.faults.pick("request", request.path)
        name = fault["fault"] if fault else ""
        if name == "slow":
            await asyncio.sleep(fault.get("seconds", 1))
        elif name and name != "partial":
            after = [("retry-after", str(fault["seconds"]))] if "seconds" in fault else []
            return int(name), b"not now", after
        if request.headers.get("content-type") != "application/x-protobuf":
            return 415, b"", []
        try:
            if request.path == "/v1/traces":
                spans = list(spans_of(request.body))
                answer = trace_service_pb2.ExportTraceServiceResponse()
                if name == "partial":
                    del spans[0]
                    answer.partial_success.rejected_spans = 1
                    answer.partial_success.error_message = "one was too old"
                self.spans += spans
                return 200, answer.SerializeToString(), []
            if request.path == "/v1/metrics":
                self.metrics = list(points_of(request.body))
                return 200, metrics_service_pb2.ExportMetricsServiceResponse().SerializeToString(), []
        except Exception as error:  # whatever a body that is no OTLP makes protobuf say
            return 400, str(error).encode(), []
        return 404, b"", []


if __name__ == "__main__":
    serving.serve(OtlpReceiver, __doc__.splitlines()[0])
