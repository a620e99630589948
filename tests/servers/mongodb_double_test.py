#!/usr/bin/env python3
"""The double of MongoDB against the client of its makers, python3-pymongo. SIGHTGLASS_TEST_MONGODB names a real server to
run the same on; classes called …Fault… need the double."""
import datetime
import socket
import struct
import unittest

import bson
import pymongo
import pymongo.errors

import double_process

DATABASE = "sightglass_double"


class Suite(unittest.TestCase):
    options = {}

    def setUp(self):
        self.server = double_process.ServerUnderTest("MONGODB", "mongodb_double.py", "mongodb://")
        self.addCleanup(self.server.stop)
        self.client = pymongo.MongoClient(self.server.url, serverSelectionTimeoutMS=20000, **self.options)
        self.addCleanup(self.client.close)
        self.client.drop_database(DATABASE)
        self.frames = self.client[DATABASE].frames


class Mongodb(Suite):
    def test_values_of_all_types_come_back_as_they_were(self):
        document = {"_id": bson.ObjectId(), "text": "zwölf", "int": 7, "long": bson.Int64(1 << 40), "small_long": bson.Int64(3),
                    "double": 0.1, "yes": True, "no": False, "nothing": None, "when": datetime.datetime(2026, 1, 2, 3, 4, 5, 678000),
                    "bytes": b"\x00\xff", "uuid": bson.Binary(bytes(16), 4), "list": [1, "a", {"b": [2]}], "nested": {"a": {"b": 1}},
                    "regex": bson.Regex("a.*", "i"), "stamp": bson.Timestamp(5, 6), "decimal": bson.Decimal128("1.5"),
                    "min": bson.MinKey(), "max": bson.MaxKey()}
        self.frames.insert_one(document)
        self.assertEqual(self.frames.find_one(), document)

    def test_bulks_upsert_and_say_what_they_did(self):
        result = self.frames.bulk_write([pymongo.UpdateOne({"_id": i}, {"$setOnInsert": {"n": i}}, upsert=True) for i in range(300)],
                                        ordered=False)
        self.assertEqual((result.upserted_count, result.matched_count), (300, 0))
        self.assertEqual(result.upserted_ids[7], 7)
        result = self.frames.bulk_write([pymongo.ReplaceOne({"_id": 1}, {"n": "one"}, upsert=True),
                                         pymongo.UpdateOne({"_id": 2}, {"$set": {"n": 2}}), pymongo.InsertOne({"_id": 1000}),
                                         pymongo.DeleteOne({"_id": 3})])
        self.assertEqual((result.matched_count, result.modified_count, result.inserted_count, result.deleted_count), (2, 1, 1, 1))
        self.assertEqual(self.frames.find_one({"_id": 1}), {"_id": 1, "n": "one"})
        self.assertEqual(self.frames.count_documents({}), 300)
        self.assertEqual(self.frames.estimated_document_count(), 300)

    def test_updates_do_what_their_operators_say(self):
        self.frames.insert_one({"_id": 1, "n": 1, "list": [1], "old": 1, "deep": {"a": 1}})
        self.frames.update_one({"_id": 1}, {"$inc": {"n": 2}, "$push": {"list": {"$each": [2, 3]}}, "$unset": {"old": ""},
                                            "$set": {"deep.b": 2}, "$max": {"top": 5}, "$setOnInsert": {"never": 1}})
        self.frames.update_one({"_id": 1}, {"$addToSet": {"list": 2}, "$max": {"top": 3}})
        self.assertEqual(self.frames.find_one(), {"_id": 1, "n": 3, "list": [1, 2, 3], "deep": {"a": 1, "b": 2}, "top": 5})
        self.frames.update_one({"key": {"$eq": 5}, "n": {"$gt": 9}}, {"$set": {"x": 1}}, upsert=True)
        made = self.frames.find_one({"key": 5}, {"_id": 0})
        self.assertEqual(made, {"key": 5, "x": 1})
        with self.assertRaises(pymongo.errors.WriteError):
            self.frames.update_one({"_id": 1}, {"$set": {"a": 1, "a.b": 2}})

    def test_ordered_stops_and_unordered_goes_on(self):
        for ordered, stored in ((True, [1, 2]), (False, [1, 2, 3])):
            self.frames.drop()
            with self.assertRaises(pymongo.errors.BulkWriteError) as caught:
                self.frames.insert_many([{"_id": 1}, {"_id": 2}, {"_id": 1}, {"_id": 3}], ordered=ordered)
            details = caught.exception.details
            self.assertEqual([(error["index"], error["code"]) for error in details["writeErrors"]], [(2, 11000)])
            self.assertEqual(details["writeErrors"][0]["keyPattern"], {"_id": 1})
            self.assertEqual(details["nInserted"], len(stored))
            self.assertEqual(sorted(d["_id"] for d in self.frames.find()), stored)

    def test_indexes_are_kept_unique_and_compared(self):
        self.frames.create_index([("source_id", 1), ("seq", 1)], unique=True, name="key")
        self.frames.create_index("at", expireAfterSeconds=3600, name="ttl")
        self.frames.create_index("at", expireAfterSeconds=3600, name="ttl")
        information = self.frames.index_information()
        self.assertEqual(set(information), {"_id_", "key", "ttl"})
        self.assertTrue(information["key"]["unique"])
        self.assertEqual(information["ttl"]["expireAfterSeconds"], 3600)
        with self.assertRaises(pymongo.errors.OperationFailure) as caught:
            self.frames.create_index("at", expireAfterSeconds=60, name="ttl")
        self.assertEqual(caught.exception.code, 85)
        with self.assertRaises(pymongo.errors.OperationFailure) as caught:
            self.frames.create_index("other", name="key")
        self.assertIn(caught.exception.code, (85, 86))
        self.frames.insert_one({"source_id": "a", "seq": 1})
        self.frames.insert_one({"source_id": "a", "seq": 2})
        with self.assertRaises(pymongo.errors.DuplicateKeyError):
            self.frames.insert_one({"source_id": "a", "seq": 1})
        with self.assertRaises(pymongo.errors.DuplicateKeyError):
            self.frames.update_one({"seq": 2}, {"$set": {"seq": 1}})
        self.frames.drop_index("key")
        self.frames.insert_one({"source_id": "a", "seq": 1})
        with self.assertRaises(pymongo.errors.OperationFailure):
            self.frames.create_index([("source_id", 1), ("seq", 1)], unique=True, name="key")

    def test_collections_are_made_once_and_listed(self):
        database = self.client[DATABASE]
        database.create_collection("made")
        with self.assertRaises(pymongo.errors.CollectionInvalid):
            database.create_collection("made")
        self.frames.insert_one({})
        self.assertEqual(set(database.list_collection_names()), {"made", "frames"})
        self.assertIn(DATABASE, self.client.list_database_names())

    def test_large_results_come_in_parts_in_order(self):
        self.frames.insert_many([{"_id": i, "even": i % 2 == 0} for i in range(1000)])
        found = [d["_id"] for d in self.frames.find({"even": True}, batch_size=50).sort("_id", -1).skip(10).limit(300)]
        self.assertEqual(found, list(range(978, 378, -2)))
        self.assertEqual(self.frames.count_documents({"_id": {"$gte": 10, "$lt": 20}}), 10)
        self.assertEqual(self.frames.count_documents({"$or": [{"_id": 1}, {"_id": {"$in": [5, 6]}}]}), 3)
        self.assertEqual(sorted(self.frames.distinct("even")), [False, True])

    def test_a_true_is_no_one(self):
        self.frames.insert_many([{"_id": 1, "v": True}, {"_id": 2, "v": 1}, {"_id": 3, "v": 1.0}, {"_id": 4}])
        self.assertEqual([d["_id"] for d in self.frames.find({"v": 1})], [2, 3])
        self.assertEqual([d["_id"] for d in self.frames.find({"v": None})], [4])

    def test_what_it_does_not_know_is_an_error(self):
        self.frames.insert_one({"a": 1})
        for command in ({"frobnicate": 1}, {"find": "frames", "wrong": 1}, {"find": "frames", "filter": {"a": {"$near": 1}}}):
            with self.assertRaises(pymongo.errors.OperationFailure):
                self.client[DATABASE].command(command)

    def test_majority_is_acknowledged_and_nothing_is_asked_for_too(self):
        majority = self.frames.with_options(write_concern=pymongo.WriteConcern(w="majority", wtimeout=5000))
        self.assertTrue(majority.insert_one({"_id": 1}).acknowledged)
        silent = self.frames.with_options(write_concern=pymongo.WriteConcern(w=0))
        silent.insert_one({"_id": 2})
        self.assertEqual(self.frames.count_documents({}), 2)


class Access(unittest.TestCase):
    def test_passwords_are_asked_for(self):
        with double_process.Process.script("mongodb_double.py", "--user", "ann", "--password", "p@ss") as server:
            def insert(**options):
                with pymongo.MongoClient(f"mongodb://{server.address}", serverSelectionTimeoutMS=10000, **options) as client:
                    client.db.frames.insert_one({})
            insert(username="ann", password="p@ss")
            insert(username="ann", password="p@ss", authMechanism="SCRAM-SHA-256")
            for wrong in ({"username": "ann", "password": "x"}, {"username": "bob", "password": "p@ss"}, {}):
                with self.subTest(wrong), self.assertRaises(pymongo.errors.OperationFailure) as caught:
                    insert(**wrong)
                self.assertIn(caught.exception.code, (13, 18))

    def test_speaks_tls_and_takes_certificates_for_passwords(self):
        with double_process.Certificates() as files:
            folder = files.folder.path
            (folder / "both.pem").write_text((folder / "client.pem").read_text() + (folder / "client.key").read_text())
            with double_process.Process.script("mongodb_double.py", "--user", "ann", *files.server_arguments(ask_for_client=True)) as server:
                def ping(limit=20000, **options):
                    with pymongo.MongoClient(f"mongodb://{server.address}", tls=True, serverSelectionTimeoutMS=limit, **options) as client:
                        client.db.frames.insert_one({})
                mine = {"tlsCertificateKeyFile": files.path("both.pem"), "authMechanism": "MONGODB-X509"}
                ping(tlsCAFile=files.path("ca.pem"), **mine)
                for wrong in ({"tlsCAFile": files.path("ca.pem")}, {"tlsCAFile": files.path("other-ca.pem"), **mine}):
                    with self.assertRaises(pymongo.errors.PyMongoError):
                        ping(limit=3000, **wrong)

    def test_a_server_without_a_replica_set_has_no_retryable_writes(self):
        with double_process.Process.script("mongodb_double.py", "--standalone") as server:
            with pymongo.MongoClient(f"mongodb://{server.address}", retryWrites=False) as client:
                client.db.frames.insert_one({"_id": 1})
            with pymongo.MongoClient(f"mongodb://{server.address}", retryWrites=True) as client:
                self.assertEqual(client.db.frames.count_documents({}), 1)
                self.assertEqual(client.topology_description.topology_type_name, "Single")


class Fault(Suite):
    options = {"retryWrites": True, "socketTimeoutMS": 1000}

    def setUp(self):
        super().setUp()
        if self.server.real:
            self.skipTest("fault: only on the double")

    def rule(self, fault, **more):
        self.server.control("faults", {"rules": [{"fault": fault, "scope": "request", "contains": "insert frames", **more}]})

    def stored(self):
        return [document["_id"] for document in self.server.control("documents", {"namespace": f"{DATABASE}.frames"})]

    def test_items_fail_one_by_one(self):
        self.server.control("faults", {"rules": [{"fault": "11000", "contains": "u-1"}, {"fault": "121", "contains": "u-2"}]})
        with self.assertRaises(pymongo.errors.BulkWriteError) as caught:
            self.frames.insert_many([{"_id": f"u-{i}"} for i in range(4)], ordered=False)
        details = caught.exception.details
        self.assertEqual([(e["index"], e["code"]) for e in details["writeErrors"]], [(1, 11000), (2, 121)])
        self.assertEqual(details["nInserted"], 2)
        self.assertEqual(self.stored(), ["u-0", "u-1", "u-3"])  # a duplicate means that it is there
        with self.assertRaises(pymongo.errors.BulkWriteError) as caught:
            self.frames.bulk_write([pymongo.UpdateOne({"_id": f"u-{i}"}, {"$set": {"n": i}}, upsert=True) for i in range(5)], ordered=False)
        self.assertEqual([(e["index"], e["code"]) for e in caught.exception.details["writeErrors"]], [(1, 11000), (2, 121)])
        self.assertEqual(caught.exception.details["nUpserted"], 1)

    def test_the_driver_repeats_what_is_retryable_once_and_it_is_stored_once(self):
        for number, fault in enumerate(("retryable", "retryable_write_concern", "10107", "cut_before", "cut_after", "truncated")):
            with self.subTest(fault):
                self.rule(fault, count=1)
                self.frames.insert_one({"_id": number})
                self.assertEqual(self.stored().count(number), 1)
                self.assertEqual(len(self.server.control("injected")[fault]), 1)
        self.rule("retryable")
        with self.assertRaises(pymongo.errors.PyMongoError) as caught:
            self.frames.insert_one({"_id": 99})
        self.assertTrue(caught.exception.has_error_label("RetryableWriteError"))
        self.assertNotIn(99, self.stored())

    def test_a_write_concern_error_is_told_and_the_data_is_there(self):
        self.rule("writeConcernError")
        with self.assertRaises(pymongo.errors.WTimeoutError):
            self.frames.insert_one({"_id": 1})
        self.assertEqual(self.stored(), [1])

    def test_errors_that_nobody_repeats(self):
        for fault, code in (("13", 13), ("11601", 11601)):
            self.rule(fault)
            with self.assertRaises(pymongo.errors.OperationFailure) as caught:
                self.frames.insert_one({"_id": 1})
            self.assertEqual(caught.exception.code, code)

    def test_no_answer_and_garbage_are_network_errors(self):
        for fault in ("silence", "garbage"):
            self.rule(fault)
            with self.subTest(fault), self.assertRaises(pymongo.errors.PyMongoError):
                self.frames.insert_one({"_id": fault})

    def test_without_a_primary_clients_wait_for_one(self):
        self.frames.insert_one({"_id": 1})
        self.server.control("settings", {"primary": False})
        with pymongo.MongoClient(self.server.url, serverSelectionTimeoutMS=500) as client:
            with self.assertRaises(pymongo.errors.ServerSelectionTimeoutError):
                client[DATABASE].frames.insert_one({"_id": 2})
        self.server.control("settings", {"primary": True})
        self.frames.insert_one({"_id": 3})
        self.assertEqual(self.stored(), [1, 3])

    def test_clients_stay_behind_the_proxy_that_is_advertised(self):
        with double_process.Process.script("fault_proxy.py", "--to", self.server.process.address) as proxy:
            self.server.control("settings", {"advertise": proxy.address})
            with pymongo.MongoClient(f"mongodb://{proxy.address}", serverSelectionTimeoutMS=5000) as client:
                client[DATABASE].frames.insert_one({"_id": 1})
                self.assertEqual(client.primary[1], proxy.port)
                proxy.control("reset")
                client[DATABASE].frames.insert_one({"_id": 2})
            self.assertEqual(self.stored(), [1, 2])

    def test_ttl_is_stored_and_expires_on_request(self):
        self.frames.create_index("at", expireAfterSeconds=60)
        self.frames.insert_many([{"_id": 1, "at": datetime.datetime(2020, 1, 1)}, {"_id": 2, "at": datetime.datetime.now()}, {"_id": 3}])
        self.assertEqual(self.server.control("expire", {"namespace": f"{DATABASE}.frames"}), {"deleted": 1})
        self.assertEqual(self.stored(), [2, 3])

    def test_garbage_from_a_client_ends_its_connection_only(self):
        host, _, port = self.server.process.address.partition(":")
        for packet in (b"GET / HTTP/1.1\r\n\r\n", struct.pack("<iiii", 30, 1, 0, 2013) + b"\xff" * 14,
                       struct.pack("<iiii", 1 << 30, 1, 0, 2013)):
            with socket.create_connection((host, int(port)), timeout=20) as connection:
                connection.sendall(packet)
                self.assertEqual(connection.recv(1), b"")
        self.frames.insert_one({"_id": 1})


class Restart(unittest.TestCase):
    def test_what_was_acknowledged_survives_being_killed(self):
        with double_process.Folder() as folder, double_process.Process.script("mongodb_double.py", "--data", f"{folder}/data") as server:
            with pymongo.MongoClient(f"mongodb://{server.address}") as client:
                client.db.frames.create_index("n", unique=True)
                client.db.frames.insert_many([{"_id": 1, "n": 1}, {"_id": 2, "n": 2}])
                client.db.frames.delete_one({"_id": 2})
            server.kill()
            server.restart()
            with pymongo.MongoClient(f"mongodb://{server.address}") as client:
                self.assertEqual(list(client.db.frames.find()), [{"_id": 1, "n": 1}])
                with self.assertRaises(pymongo.errors.DuplicateKeyError):
                    client.db.frames.insert_one({"n": 1})


if __name__ == "__main__":
    unittest.main()
