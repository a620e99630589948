#!/usr/bin/env python3
"""The double of Elasticsearch against the client of its makers, python3-elasticsearch. SIGHTGLASS_TEST_ELASTICSEARCH
names a real server to run the same on; classes called …Fault… need the double."""
import gzip
import json
import unittest
import urllib.error
import urllib.request

import elasticsearch
from elasticsearch import helpers

import double_process

TEMPLATE = {"index_patterns": ["sightglass-double-*"], "priority": 500, "template": {
    "settings": {"number_of_shards": 1},
    "mappings": {"dynamic": "strict", "properties": {
        "uuid": {"type": "keyword"}, "source_id": {"type": "keyword"}, "text": {"type": "text"}, "seq": {"type": "long"},
        "small": {"type": "byte"}, "when": {"type": "date"}, "good": {"type": "boolean"}, "score": {"type": "float"},
        "labels": {"type": "flattened"},
        "objects": {"type": "nested", "properties": {"label": {"type": "keyword"}, "id": {"type": "long"}}},
        "size": {"properties": {"width": {"type": "integer"}}}}}}}


def frame(number):
    return {"uuid": f"u-{number}", "source_id": f"cam-{number % 3}", "seq": number, "score": 0.5, "good": True,
            "when": "2026-01-02T03:04:05.678Z", "objects": [{"label": "car", "id": number}], "size": {"width": 640}}


class Suite(unittest.TestCase):
    arguments = []

    def setUp(self):
        self.server = double_process.ServerUnderTest("ELASTICSEARCH", "elasticsearch_double.py", "http://", self.arguments)
        self.addCleanup(self.server.stop)
        self.client = elasticsearch.Elasticsearch(self.server.url, request_timeout=20, max_retries=0)
        self.addCleanup(self.client.close)
        self.client.indices.put_index_template(name="sightglass-double", **{
            "index_patterns": TEMPLATE["index_patterns"], "priority": 500, "template": TEMPLATE["template"]})
        self.client.indices.delete(index="sightglass-double-*", ignore_unavailable=True)
        self.index = "sightglass-double-2026.01.02"

    def bulk(self, operations, **options):
        return self.client.bulk(operations=operations, **options)


class Elasticsearch(Suite):
    def test_says_what_it_is(self):
        self.assertEqual(self.client.info()["tagline"], "You Know, for Search")

    def test_bulk_of_the_helpers_stores_what_is_found_after_a_refresh(self):
        actions = ({"_op_type": "create", "_index": self.index, "_id": f"u-{i}", **frame(i)} for i in range(1000))
        done, failed = helpers.bulk(self.client, actions, chunk_size=300)
        self.assertEqual((done, failed), (1000, []))
        self.assertEqual(self.client.get(index=self.index, id="u-7")["_source"], frame(7))
        self.client.indices.refresh(index=self.index)
        self.assertEqual(self.client.count(index="sightglass-double-*")["count"], 1000)
        found = self.client.search(index=self.index, query={"term": {"source_id": "cam-1"}}, size=1000)
        self.assertEqual(found["hits"]["total"]["value"], 333)
        self.assertEqual({hit["_source"]["source_id"] for hit in found["hits"]["hits"]}, {"cam-1"})
        both = {"bool": {"filter": [{"term": {"good": True}}, {"range": {"seq": {"gte": 10, "lt": 20}}}]}}
        self.assertEqual(self.client.count(index=self.index, query=both)["count"], 10)
        inside = {"nested": {"path": "objects", "query": {"term": {"objects.id": 5}}}}
        self.assertEqual(self.client.count(index=self.index, query=inside)["count"], 1)
        self.assertEqual(self.client.count(index=self.index, query={"term": {"objects.id": 5}})["count"], 0)

    def test_what_is_not_refreshed_is_not_found(self):
        self.client.create(index=self.index, id="a", document=frame(1), refresh=True)
        self.client.create(index=self.index, id="b", document=frame(2))
        self.assertTrue(self.client.exists(index=self.index, id="b"))
        self.assertLessEqual(self.client.count(index=self.index)["count"], 2)
        self.client.indices.refresh()
        self.assertEqual(self.client.count(index=self.index)["count"], 2)

    def test_create_of_what_is_there_is_a_conflict_and_index_overwrites(self):
        self.client.create(index=self.index, id="a", document=frame(1))
        with self.assertRaises(elasticsearch.ConflictError):
            self.client.create(index=self.index, id="a", document=frame(2))
        answer = self.bulk([{"create": {"_index": self.index, "_id": "a"}}, frame(2), {"index": {"_index": self.index, "_id": "a"}}, frame(3)])
        self.assertTrue(answer["errors"])
        self.assertEqual(answer["items"][0]["create"]["status"], 409)
        self.assertEqual(answer["items"][0]["create"]["error"]["type"], "version_conflict_engine_exception")
        self.assertEqual((answer["items"][1]["index"]["status"], answer["items"][1]["index"]["_version"]), (200, 2))
        self.assertEqual(self.client.get(index=self.index, id="a")["_source"]["seq"], 3)

    def test_updates_merge_and_upsert(self):
        self.client.create(index=self.index, id="a", document=frame(1))
        answer = self.bulk([{"update": {"_index": self.index, "_id": "a"}}, {"doc": {"score": 0.75, "size": {"width": 8}}},
                            {"update": {"_index": self.index, "_id": "b"}}, {"doc": {"seq": 2}},
                            {"update": {"_index": self.index, "_id": "c"}}, {"doc": {"seq": 3}, "doc_as_upsert": True},
                            {"update": {"_index": self.index, "_id": "a"}}, {"doc": {"score": 0.75}}])
        self.assertEqual([item["update"]["status"] for item in answer["items"]], [200, 404, 201, 200])
        self.assertEqual(answer["items"][3]["update"]["result"], "noop")
        self.assertEqual(self.client.get(index=self.index, id="a")["_source"], frame(1) | {"score": 0.75, "size": {"width": 8}})

    def test_strict_mappings_refuse_items_and_keep_the_others(self):
        wrong = [{"unknown": 1}, {"seq": "many"}, {"small": 300}, {"good": "perhaps"}, {"when": "yesterday"}, {"score": "x"},
                 {"objects": [{"colour": "red"}]}, {"size": 3}, {"uuid": {"a": 1}}]
        operations = []
        for number, document in enumerate(wrong):
            operations += [{"create": {"_index": self.index, "_id": f"bad-{number}"}}, document]
        operations += [{"create": {"_index": self.index, "_id": "good"}}, frame(1) | {"labels": {"any": "thing"}}]
        answer = self.bulk(operations)
        self.assertEqual([item["create"]["status"] for item in answer["items"]], [400] * len(wrong) + [201])
        self.assertEqual(answer["items"][0]["create"]["error"]["type"], "strict_dynamic_mapping_exception")

    def test_without_a_template_types_are_learned(self):
        self.client.indices.delete(index="sightglass-free", ignore_unavailable=True)
        self.client.index(index="sightglass-free", id="a", document={"n": 1, "s": "text"})
        with self.assertRaises(elasticsearch.BadRequestError):
            self.client.index(index="sightglass-free", id="b", document={"n": "text"})
        mapping = self.client.indices.get_mapping(index="sightglass-free")["sightglass-free"]["mappings"]
        self.assertEqual(mapping["properties"]["n"]["type"], "long")
        self.client.indices.delete(index="sightglass-free")

    def test_templates_indexes_and_life_cycles_are_kept(self):
        kept = self.client.indices.get_index_template(name="sightglass-double")["index_templates"][0]
        self.assertEqual(kept["index_template"]["template"]["mappings"]["properties"]["seq"]["type"], "long")
        self.assertTrue(self.client.indices.exists_index_template(name="sightglass-double"))
        self.assertFalse(self.client.indices.exists_index_template(name="sightglass-other"))
        policy = {"phases": {"delete": {"min_age": "7d", "actions": {"delete": {}}}}}
        self.client.ilm.put_lifecycle(name="sightglass-double", policy=policy)
        self.assertIn("delete", self.client.ilm.get_lifecycle(name="sightglass-double")["sightglass-double"]["policy"]["phases"])
        self.client.indices.create(index=self.index)
        with self.assertRaisesRegex(elasticsearch.BadRequestError, "resource_already_exists_exception"):
            self.client.indices.create(index=self.index)
        mapping = self.client.indices.get(index=self.index)[self.index]["mappings"]
        self.assertEqual(mapping["dynamic"], "strict")

    def test_malformed_bulks_are_refused_as_a_whole(self):
        for body in (b'{"create":{"_index":"sightglass-double-x","_id":"a"}}\n{"seq":1}',  # no newline at the end
                     b'{"frobnicate":{"_index":"sightglass-double-x"}}\n{"seq":1}\n', b'{"create"\n', b'\n'):
            request = urllib.request.Request(self.server.url + "/_bulk", body, {"content-type": "application/x-ndjson"})
            with self.assertRaises(urllib.error.HTTPError) as caught:
                urllib.request.urlopen(request, timeout=20)
            self.assertEqual(caught.exception.code, 400)
            caught.exception.close()
        request = urllib.request.Request(self.server.url + "/_bulk", b"{}\n", {"content-type": "text/plain"})
        with self.assertRaises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(request, timeout=20)
        self.assertEqual(caught.exception.code, 406)
        caught.exception.close()

    def test_zipped_bulks_are_read_and_answers_can_be_filtered(self):
        body = json.dumps({"create": {"_index": self.index, "_id": "z"}}) + "\n" + json.dumps(frame(1)) + "\n"
        request = urllib.request.Request(
            self.server.url + "/_bulk?filter_path=errors,items.*.status", gzip.compress(body.encode()),
            {"content-type": "application/x-ndjson", "content-encoding": "gzip"})
        with urllib.request.urlopen(request, timeout=20) as answer:
            self.assertEqual(json.load(answer), {"errors": False, "items": [{"create": {"status": 201}}]})

    def test_external_versions_keep_the_newest(self):
        self.client.index(index=self.index, id="a", document=frame(5), version=5, version_type="external")
        with self.assertRaises(elasticsearch.ConflictError):
            self.client.index(index=self.index, id="a", document=frame(4), version=4, version_type="external")
        self.assertEqual(self.client.get(index=self.index, id="a")["_source"]["seq"], 5)


class OpenSearch(unittest.TestCase):
    def test_has_no_product_header_and_other_life_cycles(self):
        with double_process.Process.script("elasticsearch_double.py", "--opensearch") as server:
            with urllib.request.urlopen(f"http://{server.address}/", timeout=20) as answer:
                self.assertIsNone(answer.headers["X-Elastic-Product"])
                self.assertEqual(json.load(answer)["version"]["distribution"], "opensearch")
            client = elasticsearch.Elasticsearch(f"http://{server.address}")
            with self.assertRaises((elasticsearch.UnsupportedProductError, elasticsearch.ApiError)):
                client.count()
            client.close()
            policy = urllib.request.Request(f"http://{server.address}/_plugins/_ism/policies/p", b'{"policy":{"states":[]}}',
                                            {"content-type": "application/json"}, method="PUT")
            with urllib.request.urlopen(policy, timeout=20) as answer:
                self.assertEqual(answer.status, 201)


class Access(unittest.TestCase):
    def test_passwords_and_keys_are_asked_for(self):
        with double_process.Process.script("elasticsearch_double.py", "--user", "ann", "--password", "p: ss", "--api-key", "k:s") as server:
            url = f"http://{server.address}"
            for options, right in (({}, False), ({"basic_auth": ("ann", "p: ss")}, True), ({"basic_auth": ("ann", "x")}, False),
                                   ({"api_key": ("k", "s")}, True), ({"api_key": ("k", "t")}, False)):
                with self.subTest(options), elasticsearch.Elasticsearch(url, **options) as client:
                    if right:
                        self.assertEqual(client.info()["cluster_name"], "double")
                    else:
                        with self.assertRaises(elasticsearch.AuthenticationException):
                            client.info()

    def test_speaks_tls_and_can_ask_for_a_certificate(self):
        with double_process.Certificates() as files:
            with double_process.Process.script("elasticsearch_double.py", *files.server_arguments(ask_for_client=True)) as server:
                url = f"https://{server.address}"
                mine = {"client_cert": files.path("client.pem"), "client_key": files.path("client.key")}
                with elasticsearch.Elasticsearch(url, ca_certs=files.path("ca.pem"), max_retries=0, **mine) as client:
                    self.assertEqual(client.info()["cluster_name"], "double")
                for options in ({"ca_certs": files.path("ca.pem")}, {"ca_certs": files.path("other-ca.pem"), **mine}):
                    with elasticsearch.Elasticsearch(url, max_retries=0, **options) as client:
                        with self.assertRaises(elasticsearch.ConnectionError):
                            client.info()


class Fault(Suite):
    def setUp(self):
        super().setUp()
        if self.server.real:
            self.skipTest("fault: only on the double")

    def operations(self, count):
        return [part for i in range(count) for part in ({"create": {"_index": self.index, "_id": f"u-{i}"}}, frame(i))]

    def test_items_fail_one_by_one(self):
        self.server.control("faults", {"rules": [{"fault": "400", "contains": "u-1"}, {"fault": "409", "contains": "u-2"},
                                                 {"fault": "429", "contains": "u-3", "count": 1}, {"fault": "503", "contains": "u-4"}]})
        answer = self.bulk(self.operations(6))
        self.assertEqual([item["create"]["status"] for item in answer["items"]], [201, 400, 409, 429, 503, 201])
        stored = self.server.control("documents")[self.index]
        self.assertEqual(set(stored), {"u-0", "u-2", "u-5"})  # a conflict means that it is there
        again = self.bulk(self.operations(6))
        self.assertEqual([item["create"]["status"] for item in again["items"]], [409, 400, 409, 201, 503, 409])
        self.assertEqual(self.server.control("injected")["400"], ["u-1", "u-1"])

    def test_a_mix_is_the_same_for_the_same_seed_and_sticks_where_it_should(self):
        rules = [{"fault": "400", "probability": 0.2, "sticky": True}, {"fault": "429", "probability": 0.3}]
        seen = []
        for _ in range(2):
            self.server.control("faults", {"rules": rules, "seed": 7})
            first = [item["create"]["status"] for item in self.bulk(self.operations(200))["items"]]
            second = [item["create"]["status"] for item in self.bulk(self.operations(200))["items"]]
            self.assertEqual([i for i, status in enumerate(first) if status == 400], [i for i, status in enumerate(second) if status == 400])
            seen.append(first)
            self.client.indices.delete(index=self.index)
        self.assertEqual(seen[0], seen[1])
        self.assertTrue(20 < seen[0].count(400) < 60 and 20 < seen[0].count(429) < 80)

    def test_whole_requests_fail(self):
        for status in (401, 403, 413, 429, 500, 503):
            self.server.control("faults", {"rules": [{"fault": str(status), "scope": "request", "contains": "_bulk", "count": 1}]})
            with self.assertRaises(elasticsearch.ApiError) as caught:
                self.bulk(self.operations(1))
            self.assertEqual(caught.exception.status_code, status)
        self.assertEqual(self.server.control("state")["indices"], {})

    def test_connections_end_before_and_after(self):
        for number, (fault, stored) in enumerate((("cut_before", 0), ("cut_after", 1), ("truncated", 1), ("garbage", 0))):
            self.server.control("faults", {"rules": [{"fault": fault, "scope": "request", "contains": "_bulk"}]})
            with self.subTest(fault), self.assertRaises(elasticsearch.TransportError):
                self.bulk([{"create": {"_index": f"sightglass-double-{number}", "_id": "a"}}, frame(1)])
            self.assertEqual(self.server.control("state")["indices"].get(f"sightglass-double-{number}", 0), stored)

    def test_answers_are_late_or_never_come(self):
        self.server.control("faults", {"rules": [{"fault": "silence", "scope": "request", "contains": "_bulk", "count": 1},
                                                 {"fault": "slow", "scope": "request", "contains": "_bulk", "seconds": 0.2}]})
        patient = self.client.options(request_timeout=0.1)
        for _ in range(2):
            with self.assertRaises(elasticsearch.ConnectionTimeout):
                patient.bulk(operations=self.operations(1))
        self.assertEqual(len(self.bulk(self.operations(1))["items"]), 1)

    def test_large_requests_are_refused(self):
        self.server.control("settings", {"max_body": 2000})
        with self.assertRaises(elasticsearch.ApiError) as caught:
            self.bulk(self.operations(50))
        self.assertEqual(caught.exception.status_code, 413)
        self.assertFalse(self.bulk(self.operations(2))["errors"])

    def test_a_rule_that_does_not_exist_is_refused(self):
        for rule in ({"fault": "418"}, {"fault": "silence"}, {"fault": "400", "when": "now"}):
            with self.assertRaises(RuntimeError):
                self.server.control("faults", {"rules": [rule]})


class Restart(unittest.TestCase):
    def test_what_was_acknowledged_survives_being_killed(self):
        with double_process.Folder() as folder, double_process.Process.script("elasticsearch_double.py", "--data", f"{folder}/data") as server:
            with elasticsearch.Elasticsearch(f"http://{server.address}", max_retries=0) as client:
                client.indices.put_index_template(name="t", index_patterns=["t-*"], template={"mappings": {"dynamic": "strict"}})
                client.index(index="x", id="1", document={"a": 1})
            server.kill()
            server.restart()
            with elasticsearch.Elasticsearch(f"http://{server.address}", max_retries=0) as client:
                self.assertEqual(client.get(index="x", id="1")["_source"], {"a": 1})
                self.assertTrue(client.indices.exists_index_template(name="t"))


if __name__ == "__main__":
    unittest.main()
